"""The Lambda REST API as one HTTP handler: invoke, functions, versions, aliases, layers, tags, event source mappings.

Source: Lambda API Reference (2015-03-31); error bodies as recorded on AWS.
"""

import base64
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

import orjson

from headwater.errors import ServiceError
from headwater.functions.admin.answers import check_place, check_reference, not_found, page
from headwater.functions.admin.asynchronous import EventInvokeConfigs
from headwater.functions.admin.code_store import CodeStore
from headwater.functions.admin.functions import FetchObject, FunctionAdmin, archive_of
from headwater.functions.admin.layers import Layers
from headwater.functions.admin.permissions import ResourcePolicies
from headwater.functions.admin.records import FunctionRecords
from headwater.functions.admin.tags import TaggedMappings, Tags
from headwater.functions.admin.versions import Versions
from headwater.functions.config import LATEST, parse_function_name
from headwater.functions.service import FunctionService
from headwater.values.http import HttpRequest, HttpResponse

_JSON = ("content-type", "application/json")
_REQUEST_ID = "x-amzn-requestid"


class Mappings(TaggedMappings, Protocol):
    """Event source mappings, in the API's JSON shapes."""

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]: ...
    async def update(self, mapping_id: str, request: Mapping[str, Any]) -> dict[str, Any]: ...
    async def delete(self, mapping_id: str) -> dict[str, Any]: ...
    def get(self, mapping_id: str) -> dict[str, Any]: ...
    def list(self, *, source_arn: str | None, function_name: str | None) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Call:
    """A request taken apart: `parts` are the path's decoded segments after the API version."""

    request: HttpRequest
    parts: tuple[str, ...]
    query: Mapping[str, str]
    queries: Mapping[str, list[str]]

    @classmethod
    def of(cls, request: HttpRequest) -> "Call":
        segments = [unquote(segment) for segment in request.raw_path.split("/") if segment]
        queries = parse_qs(request.raw_query, keep_blank_values=True)
        return cls(request, tuple(segments[1:]), {name: values[0] for name, values in queries.items()}, queries)

    def document(self) -> dict[str, Any]:
        """The body. Raises: ServiceError SerializationException."""
        if not self.request.body:
            return {}
        try:
            document = orjson.loads(self.request.body)
        except orjson.JSONDecodeError as error:
            raise ServiceError("SerializationException", f"the body is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ServiceError("SerializationException", "the body must be a JSON object")
        return document


Answer = dict[str, Any] | None
Operation = Callable[[Call], Answer | Awaitable[Answer]]


class LambdaApi:
    """An `HttpHandler`; who may call is decided before it.

    Functions made through it are kept in `directory`, with their versions, aliases, settings and layers.
    """

    def __init__(
        self,
        service: FunctionService,
        mappings: Mappings,
        directory: Path,
        *,
        fetch_object: FetchObject | None = None,
    ) -> None:
        records = FunctionRecords(CodeStore(directory), clock=service.clock)
        self._service = service
        self._mappings = mappings
        self._fetch_object = fetch_object
        self._layers = Layers(
            directory.with_name(f"{directory.name}-layers"),
            region=service.region,
            account_id=service.account_id,
            clock=service.clock,
        )
        self._functions = FunctionAdmin(service, records, self._layers, fetch_object=fetch_object)
        self._versions = Versions(service, records, self._functions)
        self._events = EventInvokeConfigs(service, records)
        self._policies = ResourcePolicies(service, records)
        self._tags = Tags(service, records, mappings)
        # By method and path, whose every second segment is a name and stands as *.
        self._operations: dict[tuple[str, str], tuple[int, Operation]] = {
            **self._function_operations(),
            **self._version_operations(),
            **self._setting_operations(),
            **self._other_operations(),
        }

    def restore(self) -> None:
        """Register the functions that earlier runs made through the API."""
        self._functions.restore()

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(uuid.uuid4())
        try:
            return await self._route(Call.of(request), request_id)
        except ServiceError as error:
            return _error(error, request_id)

    async def _route(self, call: Call, request_id: str) -> HttpResponse:
        pattern = "/".join("*" if index % 2 else part for index, part in enumerate(call.parts))
        method = call.request.method
        if (method, pattern) == ("POST", "functions/*/invocations"):
            return await self._invoke(call, request_id)
        found = self._operations.get((method, pattern))
        if found is None:
            raise _unknown(call.request)
        status, operation = found
        answer = operation(call)
        if isinstance(answer, Awaitable):
            answer = await answer
        identified = (_REQUEST_ID, request_id)
        if answer is None:
            return HttpResponse(status, (identified,))
        return HttpResponse(status, (_JSON, identified), orjson.dumps(answer))

    # Operations by resource

    def _function_operations(self) -> dict[tuple[str, str], tuple[int, Operation]]:
        functions = self._functions
        return {
            ("GET", "functions"): (200, lambda call: functions.list_functions(call.query)),
            ("POST", "functions"): (201, lambda call: functions.create(call.document())),
            ("GET", "functions/*"): (200, lambda call: functions.get(*self._qualified(call))),
            ("DELETE", "functions/*"): (204, self._delete),
            ("GET", "functions/*/configuration"): (200, lambda call: functions.describe(*self._qualified(call))),
            ("PUT", "functions/*/configuration"): (
                200,
                lambda call: functions.update_configuration(self._name(call), call.document()),
            ),
            ("PUT", "functions/*/code"): (200, lambda call: functions.update_code(self._name(call), call.document())),
            ("POST", "functions/*/invoke-async"): (202, self._invoke_async),
            ("GET", "account-settings"): (200, lambda call: functions.account_settings()),
        }

    def _version_operations(self) -> dict[tuple[str, str], tuple[int, Operation]]:
        versions = self._versions
        return {
            ("GET", "functions/*/versions"): (200, lambda call: versions.list(self._name(call), call.query)),
            ("POST", "functions/*/versions"): (201, lambda call: versions.publish(self._name(call), call.document())),
            ("GET", "functions/*/aliases"): (200, lambda call: versions.list_aliases(self._name(call), call.query)),
            ("POST", "functions/*/aliases"): (
                201,
                lambda call: versions.create_alias(self._parsed(call)[0], call.document()),
            ),
            ("GET", "functions/*/aliases/*"): (200, lambda call: versions.get_alias(self._name(call), call.parts[3])),
            ("PUT", "functions/*/aliases/*"): (
                200,
                lambda call: versions.update_alias(self._name(call), call.parts[3], call.document()),
            ),
            ("DELETE", "functions/*/aliases/*"): (
                204,
                lambda call: versions.delete_alias(self._name(call), call.parts[3]),
            ),
        }

    def _setting_operations(self) -> dict[tuple[str, str], tuple[int, Operation]]:
        functions, events, policies = self._functions, self._events, self._policies
        asynchronous = "functions/*/event-invoke-config"
        return {
            ("GET", "functions/*/concurrency"): (200, lambda call: functions.concurrency(self._name(call))),
            ("PUT", "functions/*/concurrency"): (
                200,
                lambda call: functions.put_concurrency(self._unqualified(call, LATEST), call.document()),
            ),
            ("DELETE", "functions/*/concurrency"): (
                204,
                lambda call: functions.delete_concurrency(self._unqualified(call)),
            ),
            ("GET", asynchronous): (200, lambda call: events.get(*self._parsed(call))),
            ("GET", f"{asynchronous}/*"): (200, self._list_event_invokes),
            ("PUT", asynchronous): (200, lambda call: events.put(*self._parsed(call), call.document(), merges=False)),
            ("POST", asynchronous): (200, lambda call: events.put(*self._parsed(call), call.document(), merges=True)),
            ("DELETE", asynchronous): (204, lambda call: events.delete(*self._parsed(call))),
            **self._absent_settings(),
            ("GET", "functions/*/policy"): (200, lambda call: policies.get(*self._parsed(call))),
            ("POST", "functions/*/policy"): (201, lambda call: policies.add(*self._parsed(call), call.document())),
            ("DELETE", "functions/*/policy/*"): (
                204,
                lambda call: policies.remove(*self._parsed(call), call.parts[3], call.query.get("RevisionId")),
            ),
        }

    def _absent_settings(self) -> dict[tuple[str, str], tuple[int, Operation]]:
        """What can't be set here, told truly: tools that describe a function ask for all of it."""
        return {
            ("GET", "functions/*/url"): (200, self._no_url),
            ("GET", "functions/*/urls"): (200, self._no_urls),
            ("GET", "functions/*/provisioned-concurrency"): (200, self._no_provisioned_concurrency),
            ("GET", "functions/*/code-signing-config"): (200, lambda call: {"FunctionName": self._name(call)}),
            ("GET", "functions/*/runtime-management-config"): (
                200,
                lambda call: {
                    "UpdateRuntimeOn": "Auto",
                    "FunctionArn": self._service.config(self._name(call)).arn,
                },
            ),
        }

    def _no_url(self, call: Call) -> Answer:
        raise not_found("The resource you requested does not exist.")  # (recorded)

    def _no_urls(self, call: Call) -> Answer:
        self._name(call)
        return {"FunctionUrlConfigs": []}

    def _no_provisioned_concurrency(self, call: Call) -> Answer:
        self._name(call)
        if call.query.get("List") == "ALL":
            return {"ProvisionedConcurrencyConfigs": []}
        message = "No Provisioned Concurrency Config found for this function"
        raise ServiceError(
            "ProvisionedConcurrencyConfigNotFoundException", message, status=404, fields={"Type": "User"}
        )

    def _other_operations(self) -> dict[tuple[str, str], tuple[int, Operation]]:
        layers, tags, mappings = self._layers, self._tags, self._mappings
        return {
            ("GET", "tags/*"): (200, lambda call: tags.list(call.parts[1])),
            ("POST", "tags/*"): (204, lambda call: tags.add(call.parts[1], call.document().get("Tags"))),
            ("DELETE", "tags/*"): (204, lambda call: tags.remove(call.parts[1], call.queries.get("tagKeys", []))),
            ("GET", "layers"): (200, self._list_layers),
            ("GET", "layers/*/versions"): (200, lambda call: layers.list_versions(call.parts[1], call.query)),
            ("POST", "layers/*/versions"): (201, self._publish_layer),
            ("GET", "layers/*/versions/*"): (200, lambda call: layers.get(call.parts[1], call.parts[3])),
            ("DELETE", "layers/*/versions/*"): (204, lambda call: layers.delete(call.parts[1], call.parts[3])),
            ("GET", "event-source-mappings"): (200, self._list_mappings),
            ("POST", "event-source-mappings"): (202, lambda call: mappings.create(call.document())),
            ("GET", "event-source-mappings/*"): (200, lambda call: mappings.get(call.parts[1])),
            ("PUT", "event-source-mappings/*"): (202, lambda call: mappings.update(call.parts[1], call.document())),
            ("DELETE", "event-source-mappings/*"): (202, lambda call: mappings.delete(call.parts[1])),
        }

    def _delete(self, call: Call) -> None:
        name, qualifier = self._parsed(call)
        self._service.config(name)
        self._functions.delete(name, qualifier)

    def _list_event_invokes(self, call: Call) -> Answer:
        if call.parts[3] != "list":
            raise _unknown(call.request)
        return self._events.list(self._parsed(call)[0], call.query)

    def _list_layers(self, call: Call) -> Answer:
        if call.query.get("find") == "LayerVersion":
            return self._layers.get_by_arn(call.query.get("Arn", ""))
        return self._layers.list_latest(call.query)

    async def _publish_layer(self, call: Call) -> Answer:
        request = call.document()
        content = request.get("Content")
        archive = await archive_of(content if isinstance(content, dict) else {}, self._fetch_object)
        return await self._layers.publish(call.parts[1], request, archive)

    def _list_mappings(self, call: Call) -> Answer:
        listed = self._mappings.list(
            source_arn=call.query.get("EventSourceArn"), function_name=call.query.get("FunctionName")
        )
        return page("EventSourceMappings", listed, call.query)

    # Invoke

    async def _invoke(self, call: Call, request_id: str) -> HttpResponse:
        request = call.request
        name, qualifier = self._parsed(call)
        # A function that is not there is named with $LATEST here (recorded).
        self._service.config(f"{name}:{qualifier or LATEST}")
        target = f"{self._service.config(name).arn}:{qualifier}" if qualifier else name
        payload = _payload(request)
        trace_header = request.header("x-amzn-trace-id") or None
        client_context = _client_context(request.header("x-amz-client-context"))
        match request.header("x-amz-invocation-type", "RequestResponse"):
            case "DryRun":
                return HttpResponse(204, ((_REQUEST_ID, request_id),))
            case "Event":
                request_id = await self._service.invoke_event(
                    target, payload, trace_header=trace_header, client_context=client_context
                )
                return HttpResponse(202, ((_REQUEST_ID, request_id),))
            case "RequestResponse":
                pass
            case other:
                raise ServiceError(
                    "ValidationException",
                    f"1 validation error detected: Value '{other}' at 'invocationType' failed to satisfy constraint: "
                    "Member must satisfy enum value set: [RequestResponse, Event, DryRun]",
                )
        result = await self._service.invoke(target, payload, trace_header=trace_header, client_context=client_context)
        headers = [
            _JSON,
            (_REQUEST_ID, result.request_id),
            ("x-amz-executed-version", result.executed_version),
        ]
        if result.function_error is not None:
            headers.append(("x-amz-function-error", result.function_error))
        if request.header("x-amz-log-type") == "Tail":
            headers.append(("x-amz-log-result", base64.b64encode(result.log_tail.encode()).decode()))
        return HttpResponse(200, tuple(headers), result.payload)

    async def _invoke_async(self, call: Call) -> Answer:
        await self._service.invoke_event(self._name(call), _payload(call.request))
        return {"Status": 202}

    # The function of a request

    def _parsed(self, call: Call) -> tuple[str, str | None]:
        """The plain name and the qualifier of a function in this account and region, which need not exist.

        Raises: ServiceError, also when a qualifier in the name contradicts the one in the query.
        """
        wanted = call.query.get("Qualifier") or None
        check_reference(call.parts[1], wanted)
        parsed = parse_function_name(call.parts[1])
        check_place(parsed, region=self._service.region, account_id=self._service.account_id)
        if parsed.qualifier is not None and wanted is not None and parsed.qualifier != wanted:
            message = "The derived qualifier from the function name does not match the specified qualifier."
            raise ServiceError("InvalidParameterValueException", message, fields={"Type": "User"})
        return parsed.name, wanted or parsed.qualifier

    def _qualified(self, call: Call) -> tuple[str, str | None]:
        """Like `_parsed`, of a function that exists."""
        name, qualifier = self._parsed(call)
        self._service.config(f"{name}:{qualifier}" if qualifier else name)
        return name, qualifier

    def _name(self, call: Call) -> str:
        return self._qualified(call)[0]

    def _unqualified(self, call: Call, version: str | None = None) -> str:
        """The name of a function that exists; `version` is what the answer names of one that does not (recorded)."""
        name, qualifier = self._parsed(call)
        if qualifier is not None:  # (recorded)
            raise ServiceError(
                "InvalidParameterValueException",
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this "
                "operation. Please specify either a function name or an unqualified function ARN.",
                fields={"Type": "User"},
            )
        self._service.config(f"{name}:{version}" if version else name)
        return name


def _payload(request: HttpRequest) -> bytes:
    """The body, which must be JSON; an empty object for none."""
    payload = request.body or b"{}"
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        message = f"Could not parse request body into json: {error}"
        raise ServiceError("InvalidRequestContentException", message, status=400, fields={"Type": "User"}) from error
    return payload


def _client_context(header: str) -> str | None:
    """The JSON text of X-Amz-Client-Context."""
    if not header:
        return None
    try:
        text = base64.b64decode(header, validate=True).decode()
        orjson.loads(text)
    except ValueError as error:
        raise ServiceError("InvalidRequestContentException", "Client context must be base64-encoded JSON.") from error
    return text


def _error(error: ServiceError, request_id: str) -> HttpResponse:
    # AWS capitalizes the member for exceptions that are answered by 404.
    member = "Message" if error.status == 404 else "message"
    body = orjson.dumps({**error.fields, member: error.message})
    headers = (_JSON, ("x-amzn-errortype", error.code), (_REQUEST_ID, request_id))
    return HttpResponse(error.status, headers, body)


# What a path that leads nowhere asks for, in the words of its user.
_NAMED = {
    "url": "Function URLs do not work here; call the function through Invoke.",
    "urls": "Function URLs do not work here; call the function through Invoke.",
    "response-streaming-invocations": "Response streaming does not work here; use Invoke.",
    "provisioned-concurrency": "Provisioned concurrency does not change what a function sees here; leave it out.",
}


def _unknown(request: HttpRequest) -> ServiceError:
    reason = _NAMED.get(request.raw_path.rstrip("/").rsplit("/", 1)[-1], "")
    return ServiceError(
        "UnknownOperationException",
        f"{request.method} {request.raw_path} is not an operation of the Lambda API that works here. {reason}".rstrip(),
        status=404,
    )
