"""An event source mapping of an SQS queue: receives, batches, invokes, deletes what succeeded."""

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from headwater.errors import ServiceError
from headwater.eventsource.config import MAX_PAYLOAD_BYTES, Backoff, QueueMappingConfig, exponential_backoff
from headwater.eventsource.counts import MappingCounts
from headwater.eventsource.events import build_event
from headwater.eventsource.filters import queue_filter
from headwater.eventsource.ports import Invoke, QueueSource
from headwater.eventsource.responses import read_response

_LOGGER = logging.getLogger(__name__)
_RECEIVE_LIMIT = 10
# A receive that found nothing is not repeated sooner, whatever the queue says about its next message.
_LOOK_AGAIN_S = 0.02
# Lambda starts with five concurrent batches and adds up to 300 a minute while messages wait. Source: Lambda developer
# guide, "Configuring scaling behavior for SQS event source mappings".
_FIRST_CONCURRENCY = 5
_ADDED_PER_S = 5
# Its 1,250 are worker processes here.
_MOST_CONCURRENCY = max(_FIRST_CONCURRENCY, 2 * (os.cpu_count() or 1))
# A throttled batch is tried again this often, then left to its visibility timeout.
_THROTTLED_ATTEMPTS = 6


@dataclass(frozen=True, slots=True)
class _Message:
    record: dict[str, Any]
    encoded: bytes

    @property
    def message_id(self) -> str:
        return str(self.record["messageId"])

    @property
    def receipt_handle(self) -> str:
        return str(self.record["receiptHandle"])


@dataclass(slots=True)
class _Gathered:
    """Messages that wait for their batch to close; `since` is when the first came, in epoch seconds."""

    messages: list[_Message] = field(default_factory=list)
    size_bytes: int = 0
    since: float = 0.0

    def add(self, message: _Message, now: float) -> None:
        if not self.messages:
            self.since = now
        self.messages.append(message)
        self.size_bytes += len(message.encoded) + 1

    def take(self, count: int) -> list[_Message]:
        """The first `count` messages, fewer if they exceed 6 MB together, at least one."""
        taken: list[_Message] = []
        size_bytes = 0
        for message in self.messages[:count]:
            size_bytes += len(message.encoded) + 1
            if taken and size_bytes > MAX_PAYLOAD_BYTES:
                break
            taken.append(message)
        del self.messages[: len(taken)]
        self.size_bytes = sum(len(message.encoded) + 1 for message in self.messages)
        return taken


@dataclass(slots=True)
class _Scaling:
    """How many batches may run at once: `limit` grows to `most` for as long as messages wait."""

    limit: int
    most: int
    waiting_since: float | None = None

    def next_step(self, now: float, *, waits: bool) -> float | None:
        """When every batch is busy: grow if messages have waited for a second, and give the time to look again."""
        if not waits or self.limit >= self.most:
            self.waiting_since = None
            return None
        if self.waiting_since is None:
            self.waiting_since = now
        elif now >= self.waiting_since + 1.0:
            self.limit = min(self.most, self.limit + _ADDED_PER_S)
            self.waiting_since = now
        return self.waiting_since + 1.0


class QueueMapping:
    """One mapping of a queue to a function.

    Failed messages are left to their visibility timeout and the queue's redrive policy. Messages that the filter
    refuses are deleted. In a FIFO queue the queue itself holds back a group with messages in flight.
    Source: Lambda developer guide, "Using Lambda with Amazon SQS".
    """

    def __init__(
        self,
        config: QueueMappingConfig,
        source: QueueSource,
        invoke: Invoke,
        *,
        clock: Callable[[], float] = time.time,
        backoff: Backoff | None = None,
        counts: MappingCounts | None = None,
        most_concurrency: int = _MOST_CONCURRENCY,
    ) -> None:
        self.config = config
        self.counts = counts or MappingCounts()
        self._source = source
        self._invoke = invoke
        self._clock = clock
        self._backoff = backoff or exponential_backoff(random.random)
        self._passes = queue_filter(config.filters)
        self._most_concurrency = most_concurrency
        self._scaling = self._first_scaling()
        self._gathered = _Gathered()
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._unlisten: Callable[[], None] | None = None
        self._is_stopping = False

    @property
    def is_running(self) -> bool:
        return self._loop_task is not None

    async def start(self) -> None:
        if self._loop_task is not None:
            return
        self._is_stopping = False
        self._wake = asyncio.Event()
        self._unlisten = self._source.listen(self._wake.set)
        self._loop_task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Drain: running invocations end and their messages are deleted; gathered ones are given back."""
        if self._loop_task is None:
            return
        self._is_stopping = True
        self._wake.set()
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        await asyncio.gather(self._loop_task, return_exceptions=True)
        await asyncio.gather(*self._running, return_exceptions=True)
        self._loop_task = None
        if self._gathered.messages:
            handles = [message.receipt_handle for message in self._gathered.take(len(self._gathered.messages))]
            await self._source.change_visibility(handles, 0)

    async def _run(self) -> None:
        while not self._is_stopping:
            self._wake.clear()
            try:
                wait_until = await self._advance()
            except ServiceError as error:
                # The queue may be gone for good; look again rarely, as its owner may make it anew.
                _LOGGER.error("queue %s: %s", self.config.source_arn, error)
                self.counts.last_result = f"PROBLEM: {error.code}"
                wait_until = self._clock() + 1.0
            await self._sleep(wait_until)

    def _first_scaling(self) -> _Scaling:
        fixed = self.config.maximum_concurrency
        return _Scaling(fixed, fixed) if fixed else _Scaling(_FIRST_CONCURRENCY, self._most_concurrency)

    async def _advance(self) -> float | None:
        """Receive and start what can start; gives the time to look again."""
        if not self._running:
            self._scaling = self._first_scaling()
        while not self._is_stopping:
            if len(self._running) >= self._scaling.limit:
                grows_at = self._grow()
                if len(self._running) >= self._scaling.limit:
                    return grows_at  # the end of a batch wakes, too
            wanted = self.config.batch_size - len(self._gathered.messages)
            received = 0
            if wanted > 0 and self._gathered.size_bytes < MAX_PAYLOAD_BYTES:
                received = await self._receive(min(wanted, _RECEIVE_LIMIT))
            if self._gathered.messages and self._is_due():
                self._spawn(self._gathered.take(self.config.batch_size))
            elif received == 0:
                break
        closes_at = self._gathered.since + self.config.window_s if self._gathered.messages else None
        visible_at = self._source.next_visible_s()
        if visible_at is not None:
            visible_at = max(visible_at, self._clock() + _LOOK_AGAIN_S)
        return min((at for at in (closes_at, visible_at) if at is not None), default=None)

    def _grow(self) -> float | None:
        now, visible_at = self._clock(), self._source.next_visible_s()
        return self._scaling.next_step(now, waits=visible_at is not None and visible_at <= now)

    def _is_due(self) -> bool:
        is_full = len(self._gathered.messages) >= self.config.batch_size
        is_large = self._gathered.size_bytes >= MAX_PAYLOAD_BYTES
        return is_full or is_large or self._clock() >= self._gathered.since + self.config.window_s

    async def _receive(self, count: int) -> int:
        records = await self._source.receive(count, None)
        now = self._clock()
        self.counts.polled += len(records)
        refused = []
        for record in records:
            if self._passes is not None and not self._passes(record):
                refused.append(record["receiptHandle"])
            else:
                if self.config.window_s > 0:
                    # Recorded on AWS: events of mappings with a batching window name the digest of no attributes.
                    record.setdefault("md5OfMessageAttributes", None)
                self._gathered.add(_Message(record, orjson.dumps(record)), now)
        if refused:
            self.counts.filtered += len(refused)
            await self._source.delete(refused)
        return len(records)

    def _spawn(self, messages: list[_Message]) -> None:
        task = asyncio.get_running_loop().create_task(self._process(messages))
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _LOGGER.error("queue %s: a batch ended by a fault", self.config.source_arn, exc_info=task.exception())
        self._wake.set()

    async def _process(self, messages: list[_Message]) -> None:
        self.counts.invoked += len(messages)
        payload = build_event([message.encoded for message in messages])
        failed = await self._failed_messages(messages, payload)
        self.counts.failed += len(failed)
        self.counts.last_result = "PROBLEM: Function call failed" if failed else "OK"
        done = [message.receipt_handle for message in messages if message.message_id not in failed]
        if done:
            await self._source.delete(done)

    async def _failed_messages(self, messages: list[_Message], payload: bytes) -> frozenset[str]:
        """The ids of the messages that stay in the queue."""
        everything = frozenset(message.message_id for message in messages)
        hidden_until = self._clock() + self._source.visibility_timeout_s
        for attempt in range(1, _THROTTLED_ATTEMPTS + 1):
            try:
                result = await self._invoke(self.config.function_arn, payload)
            except ServiceError as error:
                _LOGGER.warning("invoking %s: %s", self.config.function_arn, error)
                self._scaling = self._first_scaling()  # more batches would only be throttled, too
                if error.code != "TooManyRequestsException" or self._is_stopping or attempt == _THROTTLED_ATTEMPTS:
                    return everything
                delay_s = self._backoff(attempt)
                if self._clock() + delay_s >= hidden_until:
                    return everything  # others receive them then, so that a try would only repeat their work
                await asyncio.sleep(delay_s)
                continue
            if result.function_error is not None:
                return everything
            if not self.config.report_batch_item_failures:
                return frozenset()
            outcome = read_response(result.payload, everything)
            return everything if outcome.is_malformed else outcome.failed
        return everything

    async def _sleep(self, wait_until: float | None) -> None:
        if self._wake.is_set():
            await asyncio.sleep(0)
            return
        if wait_until is None:
            await self._wake.wait()
            return
        delay_s = max(0.0, wait_until - self._clock())
        timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
