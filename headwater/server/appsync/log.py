"""Requests of an API as AppSync counts and logs them.

Source: AppSync Developer Guide, "Using CloudWatch to monitor and log GraphQL API data". The lines that begin and end a
request, a field's execution and the traces are inferred from what users show of their logs.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from headwater.engine import FieldCall, FieldResolver, GraphQLRequest, RequestContext
from headwater.server.appsync.api_log import ApiLog


class Statistic:
    """A CloudWatch metric that is no plain count, in its unit."""

    __slots__ = ("count", "maximum", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.maximum = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        if value > self.maximum:
            self.maximum = value

    def snapshot(self) -> dict[str, float]:
        """As CloudWatch's statistic sets name it."""
        return {"SampleCount": self.count, "Sum": round(self.total, 3), "Maximum": round(self.maximum, 3)}


class RequestLog:
    """Counts the requests of one API and logs them where its LogConfig asks for it; `clock` gives epoch seconds."""

    def __init__(self, api_id: str, clock: Callable[[], float], log: ApiLog | None = None) -> None:
        self._api_id = api_id
        self._clock = clock
        self._log = log
        self._requests = 0
        self._client_errors = 0
        self._server_errors = 0
        self._tokens = 0
        self._latency_ms = Statistic()
        self.is_verbose = log is not None and log.settings.is_verbose

    def metrics(self) -> dict[str, Any]:
        return {
            "Requests": self._requests,
            "4XXError": self._client_errors,
            "5XXError": self._server_errors,
            "TokensConsumed": self._tokens,
            "Latency": self._latency_ms.snapshot(),
        }

    def request(self, request_id: str, status: int, started_at: float) -> None:
        """A request is answered."""
        now = self._clock()
        self._requests += 1
        if status >= 500:
            self._server_errors += 1
        elif status >= 400:
            self._client_errors += 1
        self._latency_ms.add((now - started_at) * 1000)
        if self._log is not None:
            line = {"logType": "RequestSummary", "requestId": request_id, "graphQLAPIId": self._api_id}
            latency_ns = round((now - started_at) * 1e9)
            self._log.write(now, request_id, {**line, "statusCode": status, "latency": latency_ns})

    def execution(self, context: RequestContext) -> None:
        """An operation was executed."""
        self._tokens += context.tokens
        if self._log is not None:
            now = self._clock()
            self._write_traces(self._log, context, now)
            line = {"logType": "ExecutionSummary", "requestId": context.request_id, "graphQLAPIId": self._api_id}
            times = {
                "startTime": _iso(context.now),
                "endTime": _iso(now),
                "duration": round((now - context.now) * 1e9),
            }
            self._log.write(now, context.request_id, {**line, **times, "version": 1})

    def _write_traces(self, log: ApiLog, context: RequestContext, now: float) -> None:
        if not context.traces:
            return
        log.write(now, context.request_id, "Begin Tracing")
        for trace in context.traces:
            log.write(now, context.request_id, trace)
        log.write(now, context.request_id, "End Tracing")

    def asked(self, request: GraphQLRequest, context: RequestContext) -> None:
        """What a verbose log says of a request before it is executed."""
        assert self._log is not None, "only a verbose log asks"
        name = request.operation_name or "null"
        self._log.write(context.now, context.request_id, "Begin Request")
        variables = orjson.dumps(request.variables or {}).decode()
        text = f"GraphQL Query: {request.query}, Operation: {name}, Variables: {variables}"
        self._log.write(context.now, context.request_id, text)
        self._log.write_headers(context.now, context.request_id, "Request", context.headers)

    def answered(self, headers: Mapping[str, str], context: RequestContext) -> None:
        """What a verbose log says of a response."""
        assert self._log is not None, "only a verbose log asks"
        now = self._clock()
        self._log.write_headers(now, context.request_id, "Response", headers)
        self._log.write(now, context.request_id, f"Tokens Consumed: {context.tokens}")
        self._log.write(now, context.request_id, "End Request")


class TracedResolver:
    """A resolver whose calls are logged with their times; put in front of it only where all fields are logged."""

    def __init__(
        self,
        resolver: FieldResolver,
        *,
        api_id: str,
        resolver_arn: str,
        return_type: str,
        log: ApiLog,
        clock: Callable[[], float],
    ) -> None:
        self._resolver = resolver
        self._api_id = api_id
        self._resolver_arn = resolver_arn
        self._return_type = return_type
        self._log = log
        self._clock = clock

    @property
    def max_batch_size(self) -> int:
        return self._resolver.max_batch_size

    async def resolve(self, call: FieldCall) -> Any:
        """See FieldResolver.resolve."""
        began = self._begin([call])
        try:
            return await self._resolver.resolve(call)
        finally:
            self._trace([call], began)

    async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
        """See FieldResolver.resolve_batch."""
        began = self._begin(calls)
        try:
            return await self._resolver.resolve_batch(calls)
        finally:
            self._trace(calls, began)

    async def run_subscription(self, call: FieldCall) -> Any:
        """See UnitResolver.run_subscription."""
        began = self._begin([call])
        try:
            return await self._resolver.run_subscription(call)  # type: ignore[attr-defined]  # resolvers of the datasource package
        finally:
            self._trace([call], began)

    def _begin(self, calls: Sequence[FieldCall]) -> float:
        began = self._clock()
        for call in calls:
            text = f"Begin Execution - Type Name: {call.parent_type} and Field Name: {call.field_name}"
            self._log.write(began, call.request.request_id, text)
        return began

    def _trace(self, calls: Sequence[FieldCall], began: float) -> None:
        ended = self._clock()
        for call in calls:
            self._log.write(ended, call.request.request_id, "End Field Execution")
            line = {
                "logType": "Tracing",
                "requestId": call.request.request_id,
                "graphQLAPIId": self._api_id,
                "path": call.path_list,
                "parentType": call.parent_type,
                "returnType": self._return_type,
                "fieldName": call.field_name,
                "resolverArn": self._resolver_arn,
                "startOffset": round((began - call.request.now) * 1e9),
                "duration": round((ended - began) * 1e9),
            }
            if call.request.traces is None:
                call.request.traces = []
            call.request.traces.append(line)


def _iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
