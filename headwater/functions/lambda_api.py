"""The Lambda REST API as one HTTP handler: invoke, functions, event source mappings.

Source: Lambda API Reference (2015-03-31); error bodies as recorded on AWS.
"""

import base64
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

import orjson

from headwater.errors import ServiceError
from headwater.functions.admin.functions import FunctionAdmin
from headwater.functions.config import LATEST, parse_function_name
from headwater.functions.service import FunctionService
from headwater.values.http import HttpRequest, HttpResponse

_JSON = ("content-type", "application/json")


class Mappings(Protocol):
    """Event source mappings, in the API's JSON shapes."""

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]: ...
    async def update(self, mapping_id: str, request: Mapping[str, Any]) -> dict[str, Any]: ...
    async def delete(self, mapping_id: str) -> dict[str, Any]: ...
    def get(self, mapping_id: str) -> dict[str, Any]: ...
    def list(self, *, source_arn: str | None, function_name: str | None) -> list[dict[str, Any]]: ...


class _Call:
    """A request taken apart: `parts` are the path's decoded segments after the API version."""

    def __init__(self, request: HttpRequest) -> None:
        segments = [unquote(segment) for segment in request.raw_path.split("/") if segment]
        self.request = request
        self.parts = segments[1:]
        self.query = {name: values[0] for name, values in parse_qs(request.raw_query, keep_blank_values=True).items()}

    def document(self) -> dict[str, Any]:
        if not self.request.body:
            return {}
        try:
            document = orjson.loads(self.request.body)
        except orjson.JSONDecodeError as error:
            raise ServiceError("SerializationException", f"the body is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ServiceError("SerializationException", "the body must be a JSON object")
        return document


class LambdaApi:
    """An `HttpHandler`; who may call is decided before it."""

    def __init__(self, service: FunctionService, admin: FunctionAdmin, mappings: Mappings) -> None:
        self._service = service
        self._admin = admin
        self._mappings = mappings

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(uuid.uuid4())
        try:
            return await self._route(_Call(request))
        except ServiceError as error:
            return _error(error, request_id)

    async def _route(self, call: _Call) -> HttpResponse:
        match (call.request.method, call.parts):
            case ("POST", ["functions", name, "invocations"]):
                return await self._invoke(call, name)
            case (_, ["event-source-mappings", *rest]):
                return await self._mapping(call, rest)
            case ("GET", ["functions"]):
                return _answer(self._admin.list_functions())
            case ("POST", ["functions"]):
                return _answer(self._admin.create(call.document()), status=201)
            case (method, ["functions", name, *rest]):
                return self._function(call, method, self._name(call, name), rest)
        raise _unknown(call.request)

    # Invoke

    async def _invoke(self, call: _Call, reference: str) -> HttpResponse:
        request = call.request
        name = self._name(call, reference)
        qualifier = call.query.get("Qualifier") or parse_function_name(reference).qualifier
        target = f"{self._service.config(name).arn}:{qualifier}" if qualifier else name
        payload = request.body or b"{}"
        try:
            orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            message = f"Could not parse request body into json: {error}"
            raise ServiceError(
                "InvalidRequestContentException", message, status=400, fields={"Type": "User"}
            ) from error
        trace_header = request.header("x-amzn-trace-id") or None
        client_context = _client_context(request.header("x-amz-client-context"))
        self._service.config(target)
        match request.header("x-amz-invocation-type", "RequestResponse"):
            case "DryRun":
                return HttpResponse(204)
            case "Event":
                request_id = await self._service.invoke_event(
                    target, payload, trace_header=trace_header, client_context=client_context
                )
                return HttpResponse(202, (("x-amzn-requestid", request_id),))
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
            ("x-amzn-requestid", result.request_id),
            ("x-amz-executed-version", self._version(name, qualifier)),
        ]
        if result.function_error is not None:
            headers.append(("x-amz-function-error", result.function_error))
        if request.header("x-amz-log-type") == "Tail":
            headers.append(("x-amz-log-result", base64.b64encode(result.log_tail.encode()).decode()))
        return HttpResponse(200, tuple(headers), result.payload)

    def _version(self, name: str, qualifier: str | None) -> str:
        """The version that an alias names; code is the same for all of them here."""
        return self._service.config(name).aliases.get(qualifier or LATEST, qualifier or LATEST)

    def _name(self, call: _Call, reference: str) -> str:
        """The plain name of a function in this account and region.

        Raises: ServiceError, also when a qualifier in the name contradicts the one in the query.
        """
        parsed = parse_function_name(reference)
        service = self._service
        if parsed.region not in (None, service.region):
            message = f"Functions from '{parsed.region}' are not reachable in this region ('{service.region}')"
            raise ServiceError("ResourceNotFoundException", message, status=404, fields={"Type": "User"})
        if parsed.account_id not in (None, service.account_id):
            raise ServiceError("AccessDeniedException", "the function belongs to another account", status=403)
        wanted = call.query.get("Qualifier")
        if parsed.qualifier is not None and wanted is not None and parsed.qualifier != wanted:
            message = "The derived qualifier from the function name does not match the specified qualifier."
            raise ServiceError("InvalidParameterValueException", message, fields={"Type": "User"})
        qualifier = wanted or parsed.qualifier
        service.config(f"{parsed.name}:{qualifier}" if qualifier else parsed.name)
        return parsed.name

    # Functions

    def _function(self, call: _Call, method: str, name: str, rest: list[str]) -> HttpResponse:
        admin = self._admin
        operations: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", ""): lambda: admin.get(name),
            ("DELETE", ""): lambda: admin.delete(name),
            ("GET", "configuration"): lambda: admin.describe(name),
            ("PUT", "configuration"): lambda: admin.update_configuration(name, call.document()),
            ("PUT", "code"): lambda: admin.update_code(name, call.document()),
            ("GET", "concurrency"): lambda: admin.concurrency(name),
            ("PUT", "concurrency"): lambda: admin.put_concurrency(
                name, call.document().get("ReservedConcurrentExecutions")
            ),
            ("DELETE", "concurrency"): lambda: admin.put_concurrency(name, None),
            ("GET", "event-invoke-config"): lambda: admin.event_invoke(name),
            ("PUT", "event-invoke-config"): lambda: admin.put_event_invoke(name, call.document(), is_update=False),
            ("POST", "event-invoke-config"): lambda: admin.put_event_invoke(name, call.document(), is_update=True),
            ("DELETE", "event-invoke-config"): lambda: admin.delete_event_invoke(name),
            ("GET", "aliases"): lambda: {"Aliases": admin.aliases(name)},
            ("GET", "versions"): lambda: admin.versions(name),
            ("GET", "policy"): lambda: admin.policy(name),
        }
        if rest[:1] == ["policy"] and method in ("POST", "DELETE"):
            return self._permission(call, method, name, rest[1:])
        if method == "GET" and rest[:1] == ["aliases"] and len(rest) == 2:
            return _answer(self._alias(name, rest[1]))
        operation = operations.get((method, "/".join(rest)))
        if operation is None:
            raise _unknown(call.request)
        answer = operation()
        return _answer(answer) if method != "DELETE" else HttpResponse(204)

    def _permission(self, call: _Call, method: str, name: str, rest: list[str]) -> HttpResponse:
        if method == "POST" and not rest:
            return _answer(self._admin.add_permission(name, call.document()), status=201)
        if method == "DELETE" and len(rest) == 1:
            self._admin.remove_permission(name, rest[0])
            return HttpResponse(204)
        raise _unknown(call.request)

    def _alias(self, name: str, alias: str) -> dict[str, Any]:
        for entry in self._admin.aliases(name):
            if entry["Name"] == alias:
                return entry
        message = f"Cannot find alias arn: {self._service.config(name).arn}:{alias}"
        raise ServiceError("ResourceNotFoundException", message, status=404, fields={"Type": "User"})

    # Event source mappings

    async def _mapping(self, call: _Call, rest: list[str]) -> HttpResponse:
        operations: dict[tuple[str, int], Callable[[], Awaitable[dict[str, Any]]]] = {
            ("POST", 0): lambda: self._mappings.create(call.document()),
            ("PUT", 1): lambda: self._mappings.update(rest[0], call.document()),
            ("DELETE", 1): lambda: self._mappings.delete(rest[0]),
        }
        method = call.request.method
        if method == "GET" and len(rest) == 1:
            return _answer(self._mappings.get(rest[0]))
        if method == "GET" and not rest:
            listed = self._mappings.list(
                source_arn=call.query.get("EventSourceArn"), function_name=call.query.get("FunctionName")
            )
            return _answer({"EventSourceMappings": listed})
        operation = operations.get((method, len(rest)))
        if operation is None:
            raise _unknown(call.request)
        return _answer(await operation(), status=202)


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


def _answer(document: Any, *, status: int = 200) -> HttpResponse:
    return HttpResponse(status, (_JSON,), orjson.dumps(document))


def _error(error: ServiceError, request_id: str) -> HttpResponse:
    # AWS capitalizes the member for exceptions that are answered by 404.
    member = "Message" if error.status == 404 else "message"
    body = orjson.dumps({**error.fields, member: error.message})
    headers = (_JSON, ("x-amzn-errortype", error.code), ("x-amzn-requestid", request_id))
    return HttpResponse(error.status, headers, body)


def _unknown(request: HttpRequest) -> ServiceError:
    return ServiceError(
        "UnknownOperationException",
        f"{request.method} {request.raw_path} is not an operation of the Lambda API that works here.",
        status=404,
    )
