"""Flow 7/8 and 8/8: what the HTTP endpoint and the real-time side of an API ask for."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from headwater.auth.appsync import AppSyncAuthenticator
from headwater.engine import (
    GraphQLEngine,
    GraphQLRequest,
    PreparedSubscription,
    PublishedMutation,
    RequestContext,
)
from headwater.errors import RequestError
from headwater.server.appsync.api_log import ApiLog
from headwater.server.appsync.http import read_request
from headwater.server.appsync.log import write_traces
from headwater.server.appsync.realtime import AppSyncRealtime
from headwater.values.http import HttpRequest
from headwater.values.identity import GraphQLCaller
from headwater.values.json_text import parse_json


class ApiCalls:
    """The callables of one API. With `has_authorizer` an authorizer function is told what a caller asks for."""

    def __init__(
        self,
        engine: GraphQLEngine,
        authenticator: AppSyncAuthenticator,
        *,
        clock: Callable[[], float],
        new_request_id: Callable[[], str],
        has_authorizer: bool,
        log: ApiLog | None = None,
    ) -> None:
        self._engine = engine
        self._authenticator = authenticator
        self._clock = clock
        self._new_request_id = new_request_id
        self._has_authorizer = has_authorizer
        self._log = log
        self.realtime: AppSyncRealtime | None = None

    def authenticate_http(self, request: HttpRequest, request_id: str) -> GraphQLCaller | Awaitable[GraphQLCaller]:
        authenticator, now = self._authenticator, self._clock()
        known = authenticator.quick_caller(request, now)
        if known is not None:
            return known
        if self._has_authorizer:
            asked = _readable(request)
            attempt = authenticator.http_attempt(
                request,
                request_id=request_id,
                query=asked.query,
                operation_name=asked.operation_name,
                variables=asked.variables,
            )
        else:
            attempt = authenticator.http_attempt(request, request_id=request_id)
        return authenticator.authenticate(attempt, now=now)

    def authenticate_realtime(
        self, header: Mapping[str, str], kind: Literal["connect", "start"], body: str, source_ip: tuple[str, ...]
    ) -> GraphQLCaller | Awaitable[GraphQLCaller]:
        now = self._clock()
        known = self._authenticator.quick_start(header, source_ip, now)
        if known is not None:
            return known
        request_id = self._new_request_id()
        if kind == "connect":
            attempt = self._authenticator.connect_attempt(header, request_id=request_id, source_ip=source_ip)
        else:
            asked = _data(body) if self._has_authorizer else {}
            attempt = self._authenticator.start_attempt(
                header,
                body,
                request_id=request_id,
                source_ip=source_ip,
                query=str(asked.get("query", "")),
                variables=asked.get("variables"),
            )
        return self._authenticator.authenticate(attempt, now=now)

    def prepare(
        self, query: str, variables: dict[str, Any], operation_name: str | None, caller: GraphQLCaller
    ) -> PreparedSubscription:
        return self._engine.prepare_subscription(GraphQLRequest(query, variables, operation_name), caller)

    def run_resolver(
        self, prepared: Any, caller: GraphQLCaller, headers: Mapping[str, str | list[str]], request_id: str
    ) -> Any:
        """The coroutine of the subscription's resolver."""
        request_id = request_id or self._new_request_id()
        context = RequestContext(caller, headers=dict(headers), request_id=request_id, now=self._clock())
        return self._set_up(prepared, context)

    async def _set_up(self, prepared: PreparedSubscription, context: RequestContext) -> Any:
        """Raises: RequestError, which refuses the subscription."""
        call = prepared.field_call(context)
        try:
            setup = await prepared.projection.resolver.run_subscription(call)  # type: ignore[union-attr]  # resolvers of the datasource package
        finally:
            if self._log is not None:
                write_traces(self._log, context, self._clock())
        prepared.check_result(call, setup.result)
        return setup

    def publish(self, published: PublishedMutation, context: RequestContext) -> None:
        assert self.realtime is not None, "set when the API is built"
        self.realtime.publish(published)

    def invalidate(self, context: RequestContext) -> None:
        assert self.realtime is not None, "set when the API is built"
        for invalidation in context.invalidations:
            field = str(invalidation["subscriptionField"])
            if self._engine.schema.has_field("Subscription", field):
                self.realtime.invalidate(field, invalidation.get("payload") or {})
            else:
                self.realtime.refuse_invalidation(field)


def _readable(request: HttpRequest) -> GraphQLRequest:
    """What a request asks for; nothing if it cannot be read, which is answered after authentication."""
    try:
        return read_request(request)
    except RequestError:
        return GraphQLRequest("")


def _data(body: str) -> dict[str, Any]:
    try:
        found = parse_json(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
