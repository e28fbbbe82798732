"""Reads one shard of a stream, hands its batches to the function and keeps its checkpoint."""

import asyncio
import logging
import uuid
import zlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.errors import ServiceError
from headwater.eventsource.config import MAX_PAYLOAD_BYTES, Backoff, StreamMappingConfig
from headwater.eventsource.counts import MappingCounts
from headwater.eventsource.events import EventWindow, build_event, encode_record
from headwater.eventsource.filters import RecordFilter
from headwater.eventsource.ports import Checkpoints, FailedBatch, Invocation, Invoke, OnFailure, RecordSource
from headwater.eventsource.responses import BatchOutcome, first_failed, read_response
from headwater.eventsource.stream.checkpoints import Checkpoint
from headwater.eventsource.stream.failures import invocation_record, object_key, with_payload
from headwater.eventsource.stream.lane import (
    Batch,
    DiscardBatch,
    Failure,
    InvokeBatch,
    Lane,
    PreparedRecord,
    WaitUntil,
)
from headwater.eventsource.stream.progress import ShardProgress
from headwater.eventsource.stream.windows import TumblingWindows

_LOGGER = logging.getLogger(__name__)
_READ_BYTES = 10 * 1024 * 1024
# What is held in memory for one shard, so that one blocked lane can't make the others read the whole stream.
_MAX_OUTSTANDING = 20_000
_MAX_GATHERED_BYTES = 64 * 1024 * 1024
# Reads in a row before the loop gets its turn: a filter that refuses everything would hold it otherwise.
_READS_PER_TURN = 16
_DELIVERY_ATTEMPTS = 6
_SOURCE_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class ShardPorts:
    """What a shard runner works with, the same for all shards of a mapping."""

    source: RecordSource
    invoke: Invoke
    checkpoints: Checkpoints
    on_failure: OnFailure | None
    clock: Callable[[], float]
    backoff: Backoff
    passes: RecordFilter | None
    counts: MappingCounts


class ShardRunner:
    """One shard; `run` ends when it is stopped, or when the shard is closed and drained."""

    def __init__(self, config: StreamMappingConfig, ports: ShardPorts, shard_id: str, start: Checkpoint) -> None:
        self.shard_id = shard_id
        self.is_closed = False
        self._config = config
        self._ports = ports
        self._read_after = start.sequence
        self._progress = ShardProgress(start.sequence)
        self._windows = (
            TumblingWindows(config.tumbling_window_s, start.window) if config.tumbling_window_s > 0 else None
        )
        count = 1 if self._windows else config.parallelization_factor
        self._lanes = [Lane(config, backoff=ports.backoff, windows=self._windows) for _ in range(count)]
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._is_caught_up = False
        self._fault: BaseException | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._saved = start.encode()
        self._saving: asyncio.Task[None] | None = None

    @property
    def saved(self) -> Checkpoint:
        """The last checkpoint that is durable."""
        return Checkpoint.decode(self._saved)

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        """Start nothing more; `run` returns after the batches in flight."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> bool:
        """True if the shard is drained for good.

        Raises: whatever a port raised that is no ServiceError; the shard can be run again from `saved`.
        """
        try:
            while True:
                self._wake.clear()
                if self._fault is not None:
                    raise self._fault
                wait_until = None if self._is_stopping else self._try_to_advance()
                if self._is_stopping and not self._running:
                    return False
                if self._is_drained():
                    await self._save_now(Checkpoint(is_ended=True))
                    return True
                await self._sleep(wait_until)
        finally:
            await self._settle()

    def _try_to_advance(self) -> float | None:
        try:
            return self._advance()
        except ServiceError as error:
            # The stream may be gone; if it comes back under its ARN the shard is looked at again.
            self._ports.counts.last_result = f"PROBLEM: {error.message}"
            return self._ports.clock() + _SOURCE_RETRY_S

    def _advance(self) -> float | None:
        """Read, start what can start, and give the time at which to look again."""
        now = self._ports.clock()
        self._read(now)
        wait_until: float | None = None
        for lane in self._lanes:
            action = lane.next_action(
                now,
                is_caught_up=self._is_caught_up,
                is_draining=self.is_closed and self._is_caught_up,
            )
            match action:
                case InvokeBatch(batch):
                    self._spawn(self._invoke(lane, batch))
                case DiscardBatch():
                    self._spawn(self._discard(lane, action))
                case WaitUntil(epoch_s):
                    wait_until = epoch_s if wait_until is None else min(wait_until, epoch_s)
        return wait_until

    def _read(self, now: float) -> None:
        """Fill the lanes that can take a batch; records beyond that stay in the source, so that batches grow."""
        self._is_caught_up = False
        reads = 0
        while self._wants_records():
            reads += 1
            if reads > _READS_PER_TURN:
                self._wake.set()
                break
            limit = self._config.batch_size * len(self._lanes)
            records = self._ports.source.read(
                self.shard_id, self._read_after, limit=min(limit, 10_000), max_bytes=_READ_BYTES
            )
            if not records:
                self._is_caught_up = True
                break
            self._read_after = records[-1].sequence_number
            self._ports.counts.polled += len(records)
            for record in records:
                self._progress.began(record.sequence_number)
                if self._ports.passes is not None and not self._ports.passes(record):
                    self._ports.counts.filtered += 1
                    self._progress.ended(record.sequence_number)
                    continue
                encoded = encode_record(
                    record,
                    kind=self._ports.source.kind,
                    arn=self._config.source_arn,
                    shard_id=self.shard_id,
                    role_arn=self._config.role_arn,
                )
                self._lane_of(record.ordering_key).add(PreparedRecord(record, encoded), now)
        self._save_progress()

    def _wants_records(self) -> bool:
        if self._progress.outstanding >= _MAX_OUTSTANDING:
            return False
        if sum(lane.gathered_bytes for lane in self._lanes) >= _MAX_GATHERED_BYTES:
            return False
        return any(
            not lane.is_busy
            and not lane.is_blocked
            and lane.gathered < self._config.batch_size
            and lane.gathered_bytes < MAX_PAYLOAD_BYTES
            for lane in self._lanes
        )

    def _lane_of(self, ordering_key: str) -> Lane:
        if len(self._lanes) == 1:
            return self._lanes[0]
        return self._lanes[zlib.crc32(ordering_key.encode("utf-8", "surrogatepass")) % len(self._lanes)]

    def _is_drained(self) -> bool:
        if not (self.is_closed and self._is_caught_up and not self._running):
            return False
        return all(lane.is_empty and not lane.has_open_window for lane in self._lanes)

    async def _sleep(self, wait_until: float | None) -> None:
        if self._wake.is_set():
            await asyncio.sleep(0)  # waiting for a set event would not let the loop have its turn
            return
        if wait_until is None:
            await self._wake.wait()
            return
        delay_s = max(0.0, wait_until - self._ports.clock())
        # A timer may fire a moment early against another clock: the loop then only looks again.
        timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    # One batch

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fault = task.exception()
        self._wake.set()

    async def _invoke(self, lane: Lane, batch: Batch) -> None:
        payload = build_event([prepared.encoded for prepared in batch.records], self._event_window(batch))
        self._ports.counts.invoked += len(batch.records)
        try:
            result = await self._ports.invoke(self._config.function_arn, payload)
        except ServiceError as error:
            # Throttles and service errors use up no retry; a payload over the limit will never fit.
            kind: Failure = Failure("function" if error.code == "RequestTooLargeException" else "throttle")
            _LOGGER.warning("invoking %s: %s", self._config.function_arn, error)
            self._ports.counts.last_result = f"PROBLEM: {error.code}"
            self._finish(lane.failed(batch, kind, self._ports.clock()))
            return
        batch.last_request_id = result.request_id
        batch.last_function_error = result.function_error
        batch.last_version = result.executed_version
        failure = self._judge(batch, result)
        if failure is None:
            self._ports.counts.last_result = "OK"
            lane.succeeded(batch)
            self._finish(batch.records)
            return
        self._ports.counts.failed += len(batch.records)
        self._ports.counts.last_result = "PROBLEM: Function call failed"
        self._finish(lane.failed(batch, failure, self._ports.clock()))

    def _judge(self, batch: Batch, result: Invocation) -> Failure | None:
        if result.function_error is not None:
            return Failure("function")
        if not (self._config.report_batch_item_failures or self._windows):
            return None
        sequence_numbers = batch.sequence_numbers
        outcome = read_response(result.payload, frozenset(sequence_numbers))
        if not self._config.report_batch_item_failures:
            outcome = BatchOutcome(state=outcome.state, has_state=outcome.has_state)
        if outcome.is_malformed:
            return Failure("function")
        index = first_failed(sequence_numbers, outcome.failed)
        if batch.window is not None and not batch.is_final and self._windows is not None:
            if not outcome.has_state:
                return Failure("function")
            if index != 0:  # a batch that failed from its first record has aggregated nothing
                self._windows.keep_state(outcome.state)
        return None if index is None else Failure("partial", index)

    def _event_window(self, batch: Batch) -> EventWindow | None:
        if batch.window is None:
            return None
        return EventWindow(
            start_s=batch.window.start_s,
            end_s=batch.window.end_s,
            state=batch.window.state,
            shard_id=self.shard_id,
            source_arn=self._config.source_arn,
            is_final=batch.is_final,
            is_terminated_early=batch.is_final and batch.window.is_terminated_early,
        )

    async def _discard(self, lane: Lane, action: DiscardBatch) -> None:
        batch = action.batch
        self._ports.counts.dropped += len(batch.records)
        if batch.records and self._config.on_failure is not None:
            await self._deliver(action)
        else:
            _LOGGER.warning("shard %s: %d records discarded: %s", self.shard_id, len(batch.records), action.condition)
        lane.discarded(batch)
        self._finish(batch.records)

    async def _deliver(self, action: DiscardBatch) -> None:
        """Send the invocation record before the checkpoint passes the batch."""
        assert self._config.on_failure is not None
        now = self._ports.clock()
        unique = str(uuid.uuid4())
        document = invocation_record(
            action.batch,
            action.condition,
            kind=self._ports.source.kind,
            function_arn=self._config.function_arn,
            stream_arn=self._config.source_arn,
            shard_id=self.shard_id,
            request_id=unique,
            now=now,
        )
        if ":s3:" in self._config.on_failure:
            document = with_payload(document, action.batch, self._event_window(action.batch))
        key = object_key(self._config.mapping_id, self.shard_id, now, unique)
        failed = FailedBatch(self._config.on_failure, document, key, self._config.mapping_id)
        for attempt in range(1, _DELIVERY_ATTEMPTS + 1):
            try:
                if self._ports.on_failure is None:
                    raise ServiceError("ServiceException", "this runtime delivers to no destination", status=500)
                await self._ports.on_failure(failed)
            except ServiceError as error:
                _LOGGER.error("shard %s: on-failure destination %s: %s", self.shard_id, failed.destination, error)
                if attempt < _DELIVERY_ATTEMPTS:
                    await asyncio.sleep(self._ports.backoff(attempt))
                continue
            self._ports.counts.delivered += 1
            return
        # Lambda drops the record here too (metric DestinationDeliveryFailures); the log keeps what is lost.
        _LOGGER.error("shard %s: discarded without a destination: %s", self.shard_id, document)

    # Checkpoints

    def _finish(self, done: Sequence[PreparedRecord]) -> None:
        for prepared in done:
            self._progress.ended(prepared.record.sequence_number)
        self._save_progress()

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(self._progress.position, window=self._windows.current if self._windows else None)

    def _save_progress(self) -> None:
        """Save what is done; saves in a row are joined, so the function is never waited for by the disk."""
        if self._saving is None and self._checkpoint().encode() != self._saved:
            self._saving = asyncio.get_running_loop().create_task(self._save_until_current())
            self._saving.add_done_callback(self._saved_or_failed)

    def _saved_or_failed(self, task: "asyncio.Task[None]") -> None:
        self._saving = None
        if not task.cancelled() and task.exception() is not None:
            self._fault = task.exception()
        self._wake.set()

    async def _save_until_current(self) -> None:
        while (text := self._checkpoint().encode()) != self._saved:
            await self._ports.checkpoints.save(self._config.mapping_id, self.shard_id, text)
            self._saved = text

    async def _save_now(self, checkpoint: Checkpoint) -> None:
        if self._saving is not None:
            await self._saving
        await self._ports.checkpoints.save(self._config.mapping_id, self.shard_id, checkpoint.encode())
        self._saved = checkpoint.encode()

    async def _settle(self) -> None:
        """Bring the last checkpoint out, also when the run is cancelled; batches in flight are then given up."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._saving is not None:
            await asyncio.gather(self._saving, return_exceptions=True)
        if self._saved != "SHARD_END" and self._fault is None:
            await self._save_until_current()
