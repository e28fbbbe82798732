"""Flow 7/8: serve GraphQL over HTTP with the service's statuses, headers and error documents."""

import gzip
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from headwater.auth.appsync import visible_headers
from headwater.engine import (
    GraphQLEngine,
    GraphQLRequest,
    GraphQLResult,
    PublishedMutation,
    RequestContext,
)
from headwater.engine.json_text import encode_json
from headwater.errors import RequestError
from headwater.server.appsync.api_log import ApiLog
from headwater.server.appsync.log import RequestLog
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.identity import GraphQLCaller
from headwater.values.json_text import NestedTooDeeply, parse_json

MAX_BODY_BYTES: Final = 1024 * 1024
# The service compresses responses of these sizes only.
_MIN_GZIP_BYTES: Final = 1_000
_MAX_GZIP_BYTES: Final = 10_000_000
_JSON: Final = "application/json; charset=utf-8"
_GRAPHQL_JSON: Final = "application/graphql-response+json; charset=utf-8"
_EXPOSED: Final = "x-amzn-RequestId, x-amzn-ErrorType, x-amzn-appsync-TokensConsumed"
_CORS: Final = (("access-control-allow-origin", "*"), ("access-control-expose-headers", _EXPOSED))
_JSON_HEADERS: Final = (("content-type", _JSON), *_CORS)
_GRAPHQL_JSON_HEADERS: Final = (("content-type", _GRAPHQL_JSON), *_CORS)
_MALFORMED: Final = "MalformedHttpRequestException"
_UNPARSABLE: Final = "Unable to parse GraphQL query."

# request, request id
Authenticate = Callable[[HttpRequest, str], GraphQLCaller | Awaitable[GraphQLCaller]]
Publish = Callable[[PublishedMutation, RequestContext], None]
Invalidate = Callable[[RequestContext], None]


class HttpFault(RequestError):
    """A request that is refused before GraphQL sees it; `status` is the HTTP status."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message, error_type)
        self.status = status


class AppSyncHttp:
    """The `/graphql` endpoint; an instance is an HttpHandler.

    `authenticate` gives the caller, or awaits it where that takes more than a look at the headers, and then raises
    RequestError for bad credentials, which is answered with 401. `publish` is called for each
    mutation field that subscriptions follow, and `invalidate` if handlers asked for invalidations, before the
    response goes out. `clock` gives epoch seconds; `log` is there where the API's LogConfig asks for one.
    """

    def __init__(
        self,
        engine: GraphQLEngine,
        authenticate: Authenticate,
        *,
        clock: Callable[[], float],
        new_request_id: Callable[[], str],
        publish: Publish,
        invalidate: Invalidate | None = None,
        api_id: str = "",
        log: ApiLog | None = None,
    ) -> None:
        self._engine = engine
        self._authenticate = authenticate
        self._clock = clock
        self._new_request_id = new_request_id
        self._publish = publish
        self._invalidate = invalidate
        self._log = RequestLog(api_id, clock, log)

    def metrics(self) -> dict[str, Any]:
        """Counters named as the CloudWatch metrics of the service; they only rise."""
        return self._log.metrics()

    def __call__(self, request: HttpRequest) -> Awaitable[HttpResponse]:
        """Answer one request, at once if nothing has to be waited for; faults of ours propagate."""
        request_id = self._new_request_id()
        if request.method == "OPTIONS":
            return _preflight(request, request_id)
        now = self._clock()
        try:
            _check(request)
            caller = self._authenticate(request, request_id)
            if isinstance(caller, GraphQLCaller):
                return self._execute(request, RequestContext(caller, request_id=request_id, now=now))
        except HttpFault as fault:
            return self._refuse(request, request_id, now, fault)
        return self._execute_for(caller, request, request_id, now)

    async def _execute_for(
        self, known: Awaitable[GraphQLCaller], request: HttpRequest, request_id: str, now: float
    ) -> HttpResponse:
        """Go on when it is known who calls."""
        try:
            try:
                caller = await known
            except RequestError as error:
                raise HttpFault(401, error.error_type or "UnauthorizedException", error.message) from error
            return await self._execute(request, RequestContext(caller, request_id=request_id, now=now))
        except HttpFault as fault:
            return self._refuse(request, request_id, now, fault)

    async def run(self, asked: GraphQLRequest, caller: GraphQLCaller) -> GraphQLResult:
        """Run an operation that comes from within this process: logged, published and counted as any other."""
        context = RequestContext(caller, request_id=self._new_request_id(), now=self._clock())
        if self._log.is_verbose:
            self._log.asked(asked, context)
        outcome = self._start(asked, context)
        result = outcome if isinstance(outcome, GraphQLResult) else await outcome
        self._settle(context, result)
        if self._log.is_verbose:
            self._log.answered({}, context)
        self._log.request(context.request_id, result.status, context.now)
        return result

    def _execute(self, request: HttpRequest, context: RequestContext) -> Awaitable[HttpResponse]:
        """Raises: HttpFault."""
        client = _client_of(request)
        context.headers = client.headers
        asked = read_request(request)
        if self._log.is_verbose:
            self._log.asked(asked, context)
        outcome = self._start(asked, context)
        if isinstance(outcome, GraphQLResult):
            return self._finish(client, context, outcome)
        return self._finish_later(client, context, outcome)

    def _start(
        self, asked: GraphQLRequest, context: RequestContext
    ) -> GraphQLResult | Coroutine[Any, Any, GraphQLResult]:
        if not self._log.is_kept:
            return self._engine.start(asked, context)
        self._engine.take_times()  # of a subscription
        outcome = self._engine.start(asked, context)
        context.document_times = self._engine.take_times()
        return outcome

    async def _finish_later(
        self, client: "_Client", context: RequestContext, work: Awaitable[GraphQLResult]
    ) -> HttpResponse:
        return self._finish(client, context, await work)

    def _finish(self, client: "_Client", context: RequestContext, result: GraphQLResult) -> HttpResponse:
        self._settle(context, result)
        response = _result_response(client, context, result)
        if self._log.is_verbose:
            self._log.answered(dict((*response.headers, *response.unique_headers)), context)
        self._log.request(context.request_id, response.status, context.now)
        return response

    def _settle(self, context: RequestContext, result: GraphQLResult) -> None:
        self._log.execution(context, result.body.get("errors"))
        for published in result.published:
            self._publish(published, context)
        if context.invalidations and self._invalidate is not None:
            self._invalidate(context)

    def _refuse(self, request: HttpRequest, request_id: str, started_at: float, fault: HttpFault) -> HttpResponse:
        self._log.request(request_id, fault.status, started_at)
        return _fault_response(request, request_id, fault)


def _check(request: HttpRequest) -> None:
    """Raises: HttpFault for a method or a size the service does not take."""
    if request.method not in ("GET", "POST"):
        raise HttpFault(405, "UnsupportedOperation", f"The method {request.method} is not supported.")
    if len(request.body) > MAX_BODY_BYTES:
        raise HttpFault(
            413,
            "RequestEntityTooLargeException",
            f"The request body has {len(request.body)} bytes; the limit is {MAX_BODY_BYTES}.",
        )


def read_request(request: HttpRequest) -> GraphQLRequest:
    """The operation in a POST body or a GET query. Raises: HttpFault (400)."""
    if request.method == "GET":
        return _from_query(request.raw_query)
    if not request.body:
        raise HttpFault(400, _MALFORMED, "Request body is empty.")
    content_type = _client_of(request).content_type
    text = _utf8_body(request.body, content_type) if "charset" in content_type else request.body
    try:
        document: Any = parse_json(text)
    except NestedTooDeeply as error:
        raise HttpFault(400, _MALFORMED, f"The request body cannot be read: {error}.") from error
    except ValueError as error:
        # With this type the body may also be the bare query.
        if content_type.partition(";")[0].strip() == "application/graphql":
            return GraphQLRequest(text.decode("utf-8", "replace"))
        raise HttpFault(400, _MALFORMED, _UNPARSABLE) from error
    if not isinstance(document, dict):
        raise HttpFault(400, _MALFORMED, _UNPARSABLE)
    return _checked(document)


def _checked(document: dict[str, Any]) -> GraphQLRequest:
    query = document.get("query")
    variables = document.get("variables")
    operation_name = document.get("operationName")
    extensions = document.get("extensions")
    if not isinstance(query, str):
        raise HttpFault(400, _MALFORMED, _UNPARSABLE)
    for name, value in (("variables", variables), ("extensions", extensions)):
        if value is not None and not isinstance(value, dict):
            raise HttpFault(400, _MALFORMED, f"{name} must be a JSON object, not {type(value).__name__}.")
    if operation_name is not None and not isinstance(operation_name, str):
        raise HttpFault(400, _MALFORMED, f"operationName must be a string, not {type(operation_name).__name__}.")
    return GraphQLRequest(query, variables, operation_name)


def _from_query(raw_query: str) -> GraphQLRequest:
    document: dict[str, Any] = {}
    for name, value in parse_qsl(raw_query, keep_blank_values=True):
        if name in ("variables", "extensions"):
            try:
                document[name] = parse_json(value) if value else None
            except NestedTooDeeply as error:
                raise HttpFault(400, _MALFORMED, f"The query parameter {name} cannot be read: {error}.") from error
            except ValueError as error:
                raise HttpFault(400, _MALFORMED, f"The query parameter {name} is not JSON.") from error
        else:
            document[name] = value
    return _checked(document)


def _utf8_body(body: bytes, content_type: str) -> bytes:
    """The body as UTF-8, which it is unless its `charset` says otherwise."""
    charset = ""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    if charset in ("", "utf-8", "utf8"):
        return body
    try:
        return body.decode(charset).encode()
    except LookupError as error:
        raise HttpFault(415, "UnsupportedMediaTypeException", f"The charset {charset} is not supported.") from error
    except ValueError as error:
        raise HttpFault(400, _MALFORMED, f"The request body is not {charset}.") from error


@dataclass(slots=True)
class _Client:
    """What a request's headers say, read once for all requests of a peer with the same headers.

    `headers` is `ctx.request.headers`.
    """

    headers: dict[str, str | list[str]]
    content_type: str
    prefers_graphql_json: bool
    accepts_gzip: bool


def _client_of(request: HttpRequest) -> _Client:
    client: _Client | None = request.derived.get(__name__)
    if client is None:
        client = request.derived[__name__] = _Client(
            visible_headers(request.headers),
            request.header("content-type").lower(),
            _prefers_graphql_json(request.header("accept")),
            _accepts_gzip(request.header("accept-encoding")),
        )
    return client


def _result_response(client: _Client, context: RequestContext, result: GraphQLResult) -> HttpResponse:
    status = result.status
    headers = _JSON_HEADERS
    if client.prefers_graphql_json:
        headers = _GRAPHQL_JSON_HEADERS
        # GraphQL over HTTP, 6.4.2: with this type a request that never ran is no success.
        if status == 200 and result.is_refused:
            status = 400
    unique: tuple[tuple[str, str], ...] = (
        ("x-amzn-RequestId", context.request_id),
        ("x-amzn-appsync-TokensConsumed", str(context.tokens)),
    )
    if context.response_headers:
        unique += tuple(context.response_headers.items())
    if status != 200:
        unique += (("x-amzn-ErrorType", str(result.body["errors"][0].get("errorType") or "BadRequestException")),)
    return _sized(client, status, headers, encode_json(result.body), unique)


def _fault_response(request: HttpRequest, request_id: str, fault: HttpFault) -> HttpResponse:
    body = {"errors": [{"errorType": fault.error_type, "message": fault.message}]}
    client = _client_of(request)
    headers: tuple[tuple[str, str], ...] = _GRAPHQL_JSON_HEADERS if client.prefers_graphql_json else _JSON_HEADERS
    unique = (("x-amzn-RequestId", request_id), ("x-amzn-ErrorType", fault.error_type or ""))
    if fault.status == 405:
        headers = (*headers, ("allow", "GET, POST, OPTIONS"))
    return _sized(client, fault.status, headers, encode_json(body), unique)


def _sized(
    client: _Client,
    status: int,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    unique: tuple[tuple[str, str], ...],
) -> HttpResponse:
    if client.accepts_gzip and _MIN_GZIP_BYTES <= len(body) <= _MAX_GZIP_BYTES:
        headers = (*headers, ("content-encoding", "gzip"), ("vary", "accept-encoding"))
        # mtime=0: equal responses have equal bytes. Level 1 costs a third of the default and saves nearly as much.
        body = gzip.compress(body, compresslevel=1, mtime=0)
    return HttpResponse(status, headers, body, unique)


def _preflight(request: HttpRequest, request_id: str) -> HttpResponse:
    asked = request.header("access-control-request-headers", "authorization, content-type, x-api-key, x-amz-date")
    headers = (
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, POST, OPTIONS"),
        ("access-control-allow-headers", asked),
        ("access-control-max-age", "86400"),
        ("x-amzn-RequestId", request_id),
    )
    return HttpResponse(200, headers)


def _prefers_graphql_json(accept: str) -> bool:
    """Whether `application/graphql-response+json` is named, and no later than `application/json`."""
    if "graphql-response+json" not in accept:
        return False
    for entry in accept.lower().split(","):
        media_type, _, parameters = entry.partition(";")
        if "q=0" in parameters.replace(" ", "").split(";") or media_type.strip() == "":
            continue
        if media_type.strip() == "application/graphql-response+json":
            return True
        if media_type.strip() == "application/json":
            return False
    return False


def _accepts_gzip(accept_encoding: str) -> bool:
    for entry in accept_encoding.lower().split(","):
        coding, _, parameters = entry.partition(";")
        if coding.strip() in ("gzip", "*"):
            quality = parameters.replace(" ", "").removeprefix("q=")
            return quality.strip("0.") != "" or quality == ""
    return False
