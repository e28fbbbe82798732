"""The AWS endpoint: one address for every service, found by target header, signature scope and path."""

import asyncio
import itertools
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qs

from headwater.auth.sigv4 import SignableRequest, Signature, SigV4Verifier, find_signature
from headwater.errors import ServiceError
from headwater.server.aws import sqs_query
from headwater.server.aws.permissions import Account, Permission, permissions_of, rest_permissions_of
from headwater.server.aws.reset import RESET_PATH, MadeResources
from headwater.server.aws.wire import (
    CBOR_TYPE,
    JSON_TYPES,
    PLAIN_JSON,
    WireForm,
    decode_body,
    encode_answer,
    encode_error,
    encode_xml_error,
    form_of,
    media_type,
    xml_response,
)
from headwater.values.aws import Authorize, AwsService, PromptAwsService, principal_arn
from headwater.values.http import HttpHandler, HttpRequest, HttpResponse
from headwater.values.identity import AwsPrincipal
from headwater.values.loopback import is_loopback, is_own_host, is_own_origin

_log = logging.getLogger(__name__)
_REPORT_INTERVAL_S = 10.0

_SQS = "AmazonSQS"
_REST_JSON_SERVICES = ("iot", "iotdata", "iotdevicegateway", "lambda", "scheduler")

_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/\d{8}/[^/,\s]+/[^/,\s]+/aws4_request, ?SignedHeaders=[^,\s]+, ?"
    r"Signature=[0-9a-f]{64}\Z"
)


@dataclass(slots=True)
class _Call:
    """A call of the JSON protocols and how it is answered."""

    target_prefix: str
    operation: str
    form: WireForm
    content_type: str
    request_id: str
    body: dict[str, Any] = field(default_factory=dict)


FindSecret = Callable[[str], tuple[AwsPrincipal, str] | None]
RestPermissions = Callable[[HttpRequest, Account], list[Permission]]


class AwsApi:
    """Answers AWS API requests; `handle` is an `HttpHandler`.

    A key that `find_secret` knows is verified and held to `authorize`. On loopback any other key is the
    administrator's, unverified, so that tests may use whatever they like; from elsewhere it is refused.
    `rest_services` maps the service of a signature (`lambda`, `iotdata`, `s3`, `events`) to who answers the requests
    that are not for one of `services`; `rest_permissions` gives, for some of them, what a request needs.
    """

    def __init__(
        self,
        services: Iterable[AwsService],
        *,
        region: str,
        account_id: str,
        find_secret: FindSecret,
        authorize: Authorize,
        clock: Callable[[], float],
        rest_services: Mapping[str, HttpHandler] | None = None,
        rest_permissions: Mapping[str, RestPermissions] | None = None,
    ) -> None:
        self._services = {service.target_prefix: service for service in services}
        self._prompt = {
            prefix: service for prefix, service in self._services.items() if isinstance(service, PromptAwsService)
        }
        self._rest_services = dict(rest_services or {})
        self._rest_permissions = dict(rest_permissions or {})
        self._account = Account(region, account_id)
        self._find_secret = find_secret
        self._authorize = authorize
        self._clock = clock
        self._signatures = SigV4Verifier()
        self._made = MadeResources()
        self._failures = 0
        self._reported_at = float("-inf")
        # Unique without a random source a request: eight random bytes, then a counter.
        self._request_prefix = os.urandom(8).hex()
        self._request_numbers = itertools.count(1)
        # A program repeats these with every request, and to take a Host apart costs as much as to decode a small body.
        self._is_from_here = lru_cache(maxsize=64)(_is_from_here)

    def handle(self, request: HttpRequest) -> Awaitable[HttpResponse]:
        """Answer one request; every refusal is an error document of the service it was meant for."""
        target, _, operation = request.header("x-amz-target").partition(".")
        service = self._services.get(target)
        return self._handle_other(request) if service is None else self._json(service, operation, request)

    async def _handle_other(self, request: HttpRequest) -> HttpResponse:
        target = request.header("x-amz-target").partition(".")[0]
        request_id = self._request_id()
        try:
            if not request.header("authorization"):
                answer = await self._unsigned(request, request_id)
                if answer is not None:
                    return answer
            principal, signature = self._authenticate(request)
            return await self._other(request, request_id, principal, signature)
        except ServiceError as error:
            if _is_rest_json(request):
                status = 403 if error.code == "AccessDeniedException" else error.status
                error = ServiceError(error.code, error.message, status=status, fields=error.fields)
                return encode_error(error, form_of(target), JSON_TYPES[0], request_id)
            if media_type(request.header("content-type")) in (*JSON_TYPES, CBOR_TYPE):
                return encode_error(error, form_of(target), self._answer_type(request), request_id)
            return encode_xml_error(error, request_id)

    def _json(self, service: AwsService, operation: str, request: HttpRequest) -> Awaitable[HttpResponse]:
        """Answer a call of the JSON protocols, without a coroutine where the service does not need one."""
        prefix = service.target_prefix
        form = form_of(prefix)
        call = _Call(prefix, operation, form, self._answer_type(request), self._request_id(form.has_long_ids))
        try:
            call.body = decode_body(request.body, call.content_type)
            principal = self._unverified(request) or self._authenticate(request)[0]
            if not principal.is_administrator:
                self._check_rights(principal, prefix, operation, call.body)
            prompt = self._prompt.get(prefix)
            if prompt is None:
                if prefix == _SQS:
                    _take_trace_header(request, operation, call.body)
                return self._wait_for(service, call, principal)
            response: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
            answer = prompt.start(operation, call.body, partial(self._give, response, call))
        except ServiceError as error:
            return self._failed(call, error)
        return response if answer is None else self._answered(call, answer)

    async def _wait_for(self, service: AwsService, call: _Call, principal: AwsPrincipal) -> HttpResponse:
        try:
            return self._answered(call, await service.call(call.operation, call.body, principal))
        except ServiceError as error:
            return self._failed(call, error)

    def _give(self, response: asyncio.Future[HttpResponse], call: _Call, is_value: bool, outcome: Any) -> None:
        if response.done():
            return  # nobody waits any more
        try:
            if isinstance(outcome, ServiceError):
                response.set_result(self._failed(call, outcome))
            elif is_value:
                response.set_result(self._answered(call, outcome))
            else:
                response.set_exception(outcome)
        except Exception as error:  # as the server sees it of a coroutine
            response.set_exception(error)

    def _answered(self, call: _Call, answer: dict[str, Any]) -> HttpResponse:
        self._note_made(call.target_prefix, call.operation, call.body, answer)
        form = call.form
        is_bodiless = call.operation in form.bodiless_operations
        return encode_answer(answer, form, call.content_type, call.request_id, is_bodiless=is_bodiless)

    def _is_trusted(self, request: HttpRequest) -> bool:
        """Whether a program here sent it: no other machine, and no page of another site in a browser here."""
        header = request.header
        return self._is_from_here(request.peer, header("origin"), header("sec-fetch-site"), header("host"))

    def _check_rights(self, principal: AwsPrincipal, prefix: str, operation: str, body: dict[str, Any]) -> None:
        for needed in permissions_of(prefix, operation, body, self._account):
            self._authorize(principal, needed.action, needed.resources)

    def _note_made(self, prefix: str, operation: str, body: dict[str, Any], answer: dict[str, Any]) -> None:
        if operation.startswith(("Create", "Delete", "Restore")):
            self._made.note(prefix, operation, body, answer)

    def _failed(self, call: _Call, error: ServiceError) -> HttpResponse:
        if error.status >= 500:
            self._report(f"{call.target_prefix}.{call.operation}", error)
        return encode_error(error, call.form, call.content_type, call.request_id)

    def _report(self, call: str, error: ServiceError) -> None:
        """Log a failure of ours once in ten seconds: a full disk fails every write of every function."""
        self._failures += 1
        now = self._clock()
        if now - self._reported_at >= _REPORT_INTERVAL_S:
            _log.error("%s failed: %s (%d since the last report)", call, error, self._failures)
            self._failures, self._reported_at = 0, now

    async def _unsigned(self, request: HttpRequest, request_id: str) -> HttpResponse | None:
        """The health page of DynamoDB's endpoint, which test suites ask for, and their reset."""
        if request.method == "GET" and request.raw_path == "/" and not request.raw_query:
            text = f"healthy: dynamodb.{self._account.region}.amazonaws.com "
            headers = (("content-type", "text/plain"), ("x-amzn-requestid", request_id))
            return HttpResponse(200, headers, text.encode())
        if request.method != "POST" or request.raw_path != RESET_PATH:
            return None
        # A page in the user's browser may post here too; it cannot hide where it comes from.
        if not self._is_trusted(request):
            raise ServiceError("AccessDeniedException", "Only programs on this machine may reset it", status=403)
        await self._made.remove_all(self._services, AwsPrincipal("reset", self._account.account_id))
        return HttpResponse(200, (("content-type", "application/json"),), b'{"status": "ok"}')

    async def _other(
        self, request: HttpRequest, request_id: str, principal: AwsPrincipal, signature: Signature
    ) -> HttpResponse:
        if signature.service == "sts":
            return self._sts(request, request_id, principal)
        if signature.service == "sqs" and _SQS in self._services:
            return await self._sqs_query(request, request_id, principal)
        handler = self._rest_services.get(signature.service)
        if handler is None:
            known = sorted({*self._services, *self._rest_services, "sts"})
            raise ServiceError(
                "UnknownOperationException",
                f"There is no AWS service {signature.service!r} here; there are {', '.join(known)}",
                status=404,
            )
        if not principal.is_administrator:
            for needed in self._needed(signature.service, request):
                try:
                    self._authorize(principal, needed.action, needed.resources)
                except ServiceError as error:
                    raise _denial_of(signature.service, error) from error
        return await handler(request)

    async def _sqs_query(self, request: HttpRequest, request_id: str, principal: AwsPrincipal) -> HttpResponse:
        """One request of the older protocol of SQS."""
        operation = ""
        try:
            operation, body = sqs_query.parse_request(request)
            _take_trace_header(request, operation, body)
            if not principal.is_administrator:
                self._check_rights(principal, _SQS, operation, body)
            answer = await self._services[_SQS].call(operation, body, principal)
            self._note_made(_SQS, operation, body, answer)
        except ServiceError as error:
            return sqs_query.encode_error(error, request_id, operation)
        return sqs_query.encode_answer(operation, answer, request_id)

    def _needed(self, service: str, request: HttpRequest) -> list[Permission]:
        find = self._rest_permissions.get(service)
        if find is not None:
            return find(request, self._account)
        return rest_permissions_of(service, request.method, request.raw_path, self._account)

    def _unverified(self, request: HttpRequest) -> AwsPrincipal | None:
        """The caller with a well-formed signature of an unknown key from this machine, which needs no more than that.

        None for everybody else. Most requests of tests are such ones (bench/store.py, raw HTTP).
        """
        found = _SIGNED.match(request.header("authorization"))
        if found is None or self._find_secret(found[1]) is not None:
            return None
        access_key_id = found[1]
        if request.raw_query or not request.header("x-amz-date") or not self._is_trusted(request):
            return None
        return AwsPrincipal(access_key_id, self._account.account_id)

    def _authenticate(self, request: HttpRequest) -> tuple[AwsPrincipal, Signature]:
        """Raises: ServiceError, spelled as the service's front door spells it."""
        signable = SignableRequest.of(request)
        signature = find_signature(signable)
        if signature is None:
            raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token")
        found = self._find_secret(signature.access_key_id)
        if found is None:
            if not self._is_trusted(request):
                raise _unrecognized()
            return AwsPrincipal(signature.access_key_id, self._account.account_id), signature
        principal, secret = found
        self._signatures.verify(signable, signature, secret=secret, now=self._clock())
        return principal, signature

    def _sts(self, request: HttpRequest, request_id: str, principal: AwsPrincipal) -> HttpResponse:
        """Source: STS API Reference, GetCallerIdentity, which needs no permission."""
        form = parse_qs(request.body.decode("utf-8", "replace") or request.raw_query)
        action = form.get("Action", [""])[0]
        if action != "GetCallerIdentity":
            raise ServiceError("InvalidAction", f"STS {action!r} is not supported here, only GetCallerIdentity is")
        text = (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            f"<Arn>{principal_arn(principal)}</Arn><UserId>{_user_id(principal)}</UserId>"
            f"<Account>{principal.account_id}</Account></GetCallerIdentityResult>"
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
        )
        return xml_response(200, text, request_id)

    def _answer_type(self, request: HttpRequest) -> str:
        found = media_type(request.header("content-type"))
        return found if found in (CBOR_TYPE, PLAIN_JSON) else JSON_TYPES[0]

    def _request_id(self, is_long: bool = False) -> str:
        text = f"{self._request_prefix}{next(self._request_numbers):016x}"
        if is_long:
            return f"HEADWATER{text.upper():0>43}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _take_trace_header(request: HttpRequest, operation: str, body: dict[str, Any]) -> None:
    """A traced sender's header becomes the messages' AWSTraceHeader, unless they have one.

    Source: SQS Developer Guide, "Amazon SQS and AWS X-Ray".
    """
    header = request.header("x-amzn-trace-id")
    if not header or operation not in ("SendMessage", "SendMessageBatch"):
        return
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": header}}
    entries = body.get("Entries") if operation == "SendMessageBatch" else [body]
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            entry.setdefault("MessageSystemAttributes", system)


def _is_rest_json(request: HttpRequest) -> bool:
    """Whether a request is signed for a service of the REST-JSON protocol, whose GET has no content type to tell."""
    authorization = request.header("authorization")
    return any(f"/{service}/aws4_request" in authorization for service in _REST_JSON_SERVICES)


def _is_from_here(peer: str, origin: str, fetch_site: str, host: str) -> bool:
    return (
        is_loopback(peer) and is_own_origin(origin) and fetch_site in ("", "same-origin", "none") and is_own_host(host)
    )


def _denial_of(service: str, error: ServiceError) -> ServiceError:
    """A refusal as REST and query services give it; the data plane of IoT Core has one word for it."""
    if service in ("iotdata", "iotdevicegateway"):
        return ServiceError("ForbiddenException", "Forbidden", status=403)
    return ServiceError("AuthorizationError" if service == "sns" else error.code, error.message, status=403)


def _user_id(principal: AwsPrincipal) -> str:
    name = principal.session_name or principal.role_name
    return principal.access_key_id if principal.is_administrator else f"{principal.access_key_id}:{name}"


def _unrecognized() -> ServiceError:
    return ServiceError("UnrecognizedClientException", "The security token included in the request is invalid.")
