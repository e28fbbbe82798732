"""Asynchronous invocations: a bounded event queue, two retries, maximum age, destinations and the dead-letter queue.

Source: Lambda developer guide, "Invoking a function asynchronously" and
"Capturing records of Lambda asynchronous invocations".
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from headwater.errors import ServiceError
from headwater.functions.config import LATEST, EventInvokeConfig, FunctionConfig, InvokeResult

_LOGGER = logging.getLogger(__name__)
# Lambda waits one minute before the first retry of a function error and two before the second.
RETRY_DELAYS_S = (60.0, 120.0)
# Throttles and service errors are retried from one second up to five minutes until the event is too old.
_FIRST_THROTTLE_DELAY_S = 1.0
_LAST_THROTTLE_DELAY_S = 300.0

Sleep = Callable[[float], Awaitable[None]]
Invoke = Callable[[str, bytes, str, str | None, str | None], Awaitable[InvokeResult]]


@dataclass(frozen=True, slots=True)
class EventDelivery:
    """What leaves for a destination: `body` for the target `arn`, with message attributes if it is a dead letter.

    `trace_header` is the X-Ray header of the invocation, which a queue gives on with the message.
    """

    arn: str
    body: str
    attributes: dict[str, str]
    kind: Literal["destination", "dead-letter"]
    function_arn: str
    trace_header: str | None = None


Delivery = Callable[[EventDelivery], Awaitable[None]]


class EventJournal(Protocol):
    """Where accepted events are kept until they have ended, so that a killed runtime loses none."""

    def load(self) -> list[tuple[str, bytes]]: ...

    async def add(self, request_id: str, event: bytes) -> None:
        """Return when the event is durable."""
        ...

    async def remove(self, request_id: str) -> None: ...


@dataclass(slots=True)
class _Event:
    config: FunctionConfig
    function_arn: str
    payload: bytes
    request_id: str
    trace_header: str | None
    client_context: str | None
    submitted_at: float
    invoke_count: int = 0


class AsyncInvoker:
    """Runs queued events, `concurrency` of a function at a time; beyond `capacity` in all, `submit` throttles."""

    def __init__(
        self,
        invoke: Invoke,
        *,
        clock: Callable[[], float],
        sleep: Sleep,
        deliver: Delivery | None,
        capacity: int,
        concurrency: int = 4,
        journal: EventJournal | None = None,
    ) -> None:
        self._invoke = invoke
        self._clock = clock
        self._sleep = sleep
        self._deliver = deliver
        self._capacity = capacity
        self._concurrency = concurrency
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._journal = journal
        self._running: set[asyncio.Task[None]] = set()

    async def submit(
        self,
        config: FunctionConfig,
        function_arn: str,
        payload: bytes,
        *,
        trace_header: str | None,
        client_context: str | None,
    ) -> str:
        """Queue one event and give its request id, which all its attempts share; with a journal it is durable then."""
        if len(self._running) >= self._capacity:
            raise ServiceError("TooManyRequestsException", "Rate Exceeded.", status=429, fields={"Type": "User"})
        request_id = str(uuid.uuid4())
        event = _Event(config, function_arn, payload, request_id, trace_header, client_context, self._clock())
        if self._journal is not None:
            await self._journal.add(request_id, _encode_event(event))
        self._begin(event)
        return request_id

    def resume(self, find_config: Callable[[str], FunctionConfig]) -> int:
        """Queue the journal's events again, from their first attempt; gives their number.

        An event whose function is gone stays in the journal.
        """
        count = 0
        for request_id, text in self._journal.load() if self._journal is not None else ():
            try:
                event = _decode_event(request_id, text, find_config)
            except ServiceError as error:
                _LOGGER.warning("asynchronous invocation %s waits for its function: %s", request_id, error)
                continue
            self._begin(event)
            count += 1
        return count

    def _begin(self, event: _Event) -> None:
        task = asyncio.get_running_loop().create_task(self._run(event))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Stop what is still queued; only a journal keeps it."""
        tasks = list(self._running)
        if tasks and self._journal is None:
            _LOGGER.warning("%d asynchronous invocations were not finished", len(tasks))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, event: _Event) -> None:
        await self._run_to_the_end(event)
        if self._journal is not None:
            await self._journal.remove(event.request_id)

    async def _run_to_the_end(self, event: _Event) -> None:
        settings = event.config.event_invoke
        retries = 0
        throttle_delay_s = _FIRST_THROTTLE_DELAY_S
        while True:
            result = await self._attempt(event)
            if result is not None and result.function_error is None:
                await self._end(event, result, settings.on_success, condition="Success")
                return
            if result is None and event.config.reserved_concurrency != 0:
                delay_s = throttle_delay_s
                throttle_delay_s = min(throttle_delay_s * 2, _LAST_THROTTLE_DELAY_S)
            elif result is None:
                await self._fail(event, None, settings, condition="ZeroReservedConcurrency")  # (recorded on AWS)
                return
            elif retries >= settings.maximum_retry_attempts:
                await self._fail(event, result, settings, condition="RetriesExhausted")
                return
            else:
                delay_s = RETRY_DELAYS_S[min(retries, len(RETRY_DELAYS_S) - 1)]
                retries += 1
            if self._clock() + delay_s - event.submitted_at > settings.maximum_event_age_s:
                await self._fail(event, result, settings, condition="EventAgeExceeded")
                return
            await self._sleep(delay_s)

    async def _attempt(self, event: _Event) -> InvokeResult | None:
        """The result, or None for a throttle or a service error.

        A flood of events takes turns, so that it neither starts a hundred workers nor throttles synchronous callers.
        """
        turn = self._turns.setdefault(event.config.name, asyncio.Semaphore(self._concurrency))
        try:
            async with turn:
                result = await self._invoke(
                    event.function_arn, event.payload, event.request_id, event.trace_header, event.client_context
                )
        except ServiceError as error:
            _LOGGER.info("asynchronous invocation of %s: %s", event.config.name, error)
            return None
        event.invoke_count += 1
        return result

    async def _fail(
        self, event: _Event, result: InvokeResult | None, settings: EventInvokeConfig, *, condition: str
    ) -> None:
        _LOGGER.warning("asynchronous invocation %s of %s: %s", event.request_id, event.config.name, condition)
        if settings.dead_letter is not None:
            attributes = {"RequestID": event.request_id, "ErrorCode": "200", "ErrorMessage": _error_message(result)}
            body = event.payload.decode("utf-8", "replace")
            await self._send(EventDelivery(settings.dead_letter, body, attributes, "dead-letter", event.config.arn))
        await self._end(event, result, settings.on_failure, condition=condition)

    async def _end(self, event: _Event, result: InvokeResult | None, arn: str | None, *, condition: str) -> None:
        if arn is None:
            return
        document = destination_document(
            request_id=event.request_id,
            function_arn=_qualified(event.function_arn),
            condition=condition,
            invoke_count=event.invoke_count,
            payload=event.payload,
            result=result,
            now=self._clock(),
        )
        body = json.dumps(document)
        await self._send(EventDelivery(arn, body, {}, "destination", event.config.arn, event.trace_header))

    async def _send(self, delivery: EventDelivery) -> None:
        if self._deliver is None:
            _LOGGER.error("no way to deliver to %s", delivery.arn)
            return
        try:
            await self._deliver(delivery)
        except ServiceError as error:
            _LOGGER.error("delivery to %s failed: %s", delivery.arn, error)


def _encode_event(event: _Event) -> bytes:
    document = {
        "arn": event.function_arn,
        "payload": event.payload.decode("utf-8", "surrogateescape"),
        "trace": event.trace_header,
        "context": event.client_context,
        "submitted": event.submitted_at,
    }
    return json.dumps(document).encode()


def _decode_event(request_id: str, text: bytes, find_config: Callable[[str], FunctionConfig]) -> _Event:
    document = json.loads(text)
    return _Event(
        find_config(document["arn"]),
        document["arn"],
        document["payload"].encode("utf-8", "surrogateescape"),
        request_id,
        document["trace"],
        document["context"],
        document["submitted"],
    )


def destination_document(
    *,
    request_id: str,
    function_arn: str,
    condition: str,
    invoke_count: int,
    payload: bytes,
    result: InvokeResult | None,
    now: float,
) -> dict[str, Any]:
    """The invocation record that a destination gets; `function_arn` is qualified."""
    document: dict[str, Any] = {
        "version": "1.0",
        "timestamp": iso_milliseconds(now),
        "requestContext": {
            "requestId": request_id,
            "functionArn": function_arn,
            "condition": condition,
            "approximateInvokeCount": invoke_count,
        },
        "requestPayload": _json_or_text(payload),
    }
    if result is not None:
        context: dict[str, Any] = {"statusCode": result.status_code, "executedVersion": result.executed_version}
        if result.function_error is not None:
            context["functionError"] = result.function_error
        document["responseContext"] = context
        document["responsePayload"] = _json_or_text(result.payload)
    return document


def iso_milliseconds(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_or_text(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")


def _error_message(result: InvokeResult | None) -> str:
    document = _json_or_text(result.payload) if result is not None else None
    return str(document.get("errorMessage", ""))[:1024] if isinstance(document, dict) else ""


def _qualified(arn: str) -> str:
    return arn if arn.count(":") >= 7 else f"{arn}:{LATEST}"
