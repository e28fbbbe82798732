"""Requests of an API as AppSync counts and logs them.

Source: AppSync Developer Guide, "Using CloudWatch to monitor and log GraphQL API data". The lines that begin and end a
request, a field's execution and the traces are inferred from what users show of their logs.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from headwater.engine import FieldCall, FieldResolver, GraphQLRequest, RequestContext
from headwater.engine.json_text import encode_json
from headwater.realtime.connection import StartRequested
from headwater.server.appsync.api_log import ApiLog, FieldLogLevel


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
        self.is_kept = log is not None
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
            self._log.write(now, request_id, _request_summary(self._api_id, request_id, status, now - started_at))

    def execution(self, context: RequestContext, errors: Sequence[Mapping[str, Any]] | None = None) -> None:
        """An operation was executed; from level ERROR on a log has the errors of the response."""
        self._tokens += context.tokens
        if self._log is not None:
            now = self._clock()
            if errors and self._log.settings.level >= FieldLogLevel.ERROR:
                self._log.write(now, context.request_id, f"Errors: {encode_json(errors).decode()}")
            write_traces(self._log, context, now)
            summary = _execution_summary(self._api_id, context.request_id, context.now, now)
            self._log.write(now, context.request_id, summary | _phases(context))

    def asked(self, request: GraphQLRequest, context: RequestContext) -> None:
        """What a verbose log says of a request before it is executed."""
        assert self._log is not None, "only a verbose log asks"
        _write_asked(self._log, context.now, context.request_id, request, context.headers)

    def answered(self, headers: Mapping[str, str], context: RequestContext) -> None:
        """What a verbose log says of a response."""
        assert self._log is not None, "only a verbose log asks"
        now = self._clock()
        self._log.write_headers(now, context.request_id, "Response", headers)
        self._log.write(now, context.request_id, f"Tokens Consumed: {context.tokens}")
        self._log.write(now, context.request_id, "End Request")


class SubscriptionLog:
    """Logs the starts of subscriptions as the requests they are; the guide's verbose log has "new and existing GraphQL
    subscriptions that are registered", whose line is inferred."""

    def __init__(
        self, api_id: str, log: ApiLog, *, clock: Callable[[], float], new_request_id: Callable[[], str]
    ) -> None:
        self._api_id = api_id
        self._log = log
        self._clock = clock
        self._new_request_id = new_request_id

    def began(self, start: StartRequested, custom_headers: Mapping[str, str]) -> None:
        """A client subscribes; gives the start the id that all lines on it have."""
        start.request_id, start.began_at = self._new_request_id(), self._clock()
        if self._log.settings.is_verbose:
            asked = GraphQLRequest(start.query, dict(start.variables), start.operation_name)
            headers = {**custom_headers, **start.authorization}
            _write_asked(self._log, start.began_at, start.request_id, asked, headers)

    def registered(self, start: StartRequested, field_name: str, existing: Iterable[str]) -> None:
        """It is subscribed; `existing` are the fields of its connection's other subscriptions."""
        now = self._clock()
        if self._log.settings.is_verbose:
            others = orjson.dumps(Counter(existing)).decode()
            text = f'New Subscriptions: {{"{field_name}":1}}, Existing Subscriptions: {others}'
            self._log.write(now, start.request_id, text)
        summary = _execution_summary(self._api_id, start.request_id, start.began_at, now)
        self._log.write(now, start.request_id, summary)
        self._end(start, 200, now)

    def refused(self, start: StartRequested, status: int) -> None:
        """It is refused, with the status a request over HTTP would have."""
        self._end(start, status, self._clock())

    def _end(self, start: StartRequested, status: int, now: float) -> None:
        if self._log.settings.is_verbose:
            self._log.write(now, start.request_id, "End Request")
        summary = _request_summary(self._api_id, start.request_id, status, now - start.began_at)
        self._log.write(now, start.request_id, summary)


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


def write_traces(log: ApiLog, context: RequestContext, now: float) -> None:
    """The traces that resolvers left with a request."""
    if not context.traces:
        return
    log.write(now, context.request_id, "Begin Tracing")
    for trace in context.traces:
        log.write(now, context.request_id, trace)
    log.write(now, context.request_id, "End Tracing")


def _write_asked(
    log: ApiLog, now: float, request_id: str, request: GraphQLRequest, headers: Mapping[str, str | list[str]]
) -> None:
    log.write(now, request_id, "Begin Request")
    name, variables = request.operation_name or "null", orjson.dumps(request.variables or {}).decode()
    log.write(now, request_id, f"GraphQL Query: {request.query}, Operation: {name}, Variables: {variables}")
    log.write_headers(now, request_id, "Request", headers)


def _request_summary(api_id: str, request_id: str, status: int, lasted_s: float) -> dict[str, Any]:
    return {
        "logType": "RequestSummary",
        "requestId": request_id,
        "graphQLAPIId": api_id,
        "statusCode": status,
        "latency": round(lasted_s * 1e9),
    }


def _execution_summary(api_id: str, request_id: str, began: float, ended: float) -> dict[str, Any]:
    return {
        "logType": "ExecutionSummary",
        "requestId": request_id,
        "graphQLAPIId": api_id,
        "startTime": _iso(began),
        "endTime": _iso(ended),
        "duration": round((ended - began) * 1e9),
        "version": 1,
    }


def _phases(context: RequestContext) -> dict[str, Any]:
    """What parsing and validation took: nothing where the document was known."""
    began, parsed, validated = context.document_times or (context.now,) * 3
    return {"parsing": _phase(context, began, parsed), "validation": _phase(context, parsed, validated)}


def _phase(context: RequestContext, began: float, ended: float) -> dict[str, int]:
    return {"startOffset": round((began - context.now) * 1e9), "duration": round((ended - began) * 1e9)}


def _iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
