"""Requests as AppSync logs and counts them: RequestSummary at INFO, ExecutionSummary and Tracing at DEBUG.

Source: AppSync Developer Guide, "Using CloudWatch to monitor and log GraphQL API data".
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from headwater.engine import FieldCall, FieldResolver, RequestContext

logger = logging.getLogger("headwater.appsync")


class RequestLog:
    """Counts the requests of one API and logs them, one JSON object a line; `clock` gives epoch seconds."""

    def __init__(self, api_id: str, clock: Callable[[], float]) -> None:
        self._api_id = api_id
        self._clock = clock
        self._requests = 0
        self._client_errors = 0
        self._server_errors = 0
        self._tokens = 0

    def metrics(self) -> dict[str, int]:
        return {
            "Requests": self._requests,
            "4XXError": self._client_errors,
            "5XXError": self._server_errors,
            "TokensConsumed": self._tokens,
        }

    def request(self, request_id: str, status: int, started_at: float) -> None:
        """A request is answered."""
        self._requests += 1
        if status >= 500:
            self._server_errors += 1
        elif status >= 400:
            self._client_errors += 1
        if logger.isEnabledFor(logging.INFO):
            latency_ns = round((self._clock() - started_at) * 1e9)
            line = {"logType": "RequestSummary", "requestId": request_id, "graphQLAPIId": self._api_id}
            _write(logging.INFO, {**line, "statusCode": status, "latency": latency_ns})

    def execution(self, context: RequestContext) -> None:
        """An operation was executed."""
        self._tokens += context.tokens
        if logger.isEnabledFor(logging.DEBUG):
            ended_at = self._clock()
            line = {"logType": "ExecutionSummary", "requestId": context.request_id, "graphQLAPIId": self._api_id}
            times = {
                "startTime": _iso(context.now),
                "endTime": _iso(ended_at),
                "duration": round((ended_at - context.now) * 1e9),
            }
            _write(logging.DEBUG, {**line, **times, "version": 1})


class TracedResolver:
    """A resolver whose calls are logged with their times; put in front of it only where DEBUG is logged."""

    def __init__(
        self,
        resolver: FieldResolver,
        *,
        api_id: str,
        resolver_arn: str,
        return_type: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._resolver = resolver
        self._api_id = api_id
        self._resolver_arn = resolver_arn
        self._return_type = return_type
        self._clock = clock

    @property
    def max_batch_size(self) -> int:
        return self._resolver.max_batch_size

    async def resolve(self, call: FieldCall) -> Any:
        """See FieldResolver.resolve."""
        began = self._clock()
        try:
            return await self._resolver.resolve(call)
        finally:
            self._trace([call], began)

    async def resolve_batch(self, calls: list[FieldCall]) -> list[Any]:
        """See FieldResolver.resolve_batch."""
        began = self._clock()
        try:
            return await self._resolver.resolve_batch(calls)
        finally:
            self._trace(calls, began)

    async def run_subscription(self, call: FieldCall) -> Any:
        """See UnitResolver.run_subscription."""
        began = self._clock()
        try:
            return await self._resolver.run_subscription(call)  # type: ignore[attr-defined]  # resolvers of the datasource package
        finally:
            self._trace([call], began)

    def _trace(self, calls: Sequence[FieldCall], began: float) -> None:
        ended = self._clock()
        for call in calls:
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
            _write(logging.DEBUG, line)


def _write(level: int, line: dict[str, Any]) -> None:
    logger.log(level, "%s", orjson.dumps(line).decode())


def _iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
