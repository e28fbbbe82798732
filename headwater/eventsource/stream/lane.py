"""Flow 4/8: batch the records of a shard, and retry, bisect or discard a batch as the event source mapping says.

A lane is the whole shard, or with ParallelizationFactor the part of it whose ordering keys hash alike. It has at most
one batch in flight. Its states: gathering (records wait for the batch to close) -> in flight -> gathering on success;
on failure -> waiting (backoff) -> in flight again, or -> discarding -> gathering.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from headwater.eventsource.config import MAX_PAYLOAD_BYTES, Backoff, StreamMappingConfig
from headwater.eventsource.stream.windows import OpenWindow, TumblingWindows
from headwater.values.records import SourceRecord

# The envelope around the records; what a tumbling window adds to it is asked for.
_ENVELOPE_BYTES = 64
Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]
FailureKind = Literal["function", "partial", "throttle"]


@dataclass(frozen=True, slots=True)
class PreparedRecord:
    """A record that passed the filter, with its part of the event already encoded."""

    record: SourceRecord
    encoded: bytes


@dataclass(slots=True, eq=False)
class Batch:
    """Records that go to the function together.

    `failures` counts those that use up retries, `invocations` every call with exactly this batch. A batch with
    `is_final` closes its tumbling window and has no records.
    """

    records: Sequence[PreparedRecord]
    window: OpenWindow | None = None
    is_final: bool = False
    failures: int = 0
    invocations: int = 0
    stumbles: int = 0
    not_before: float = 0.0
    discard_as: Condition | None = None
    last_request_id: str = ""
    last_function_error: str | None = None
    last_version: str = "$LATEST"

    @property
    def sequence_numbers(self) -> list[str]:
        return [prepared.record.sequence_number for prepared in self.records]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an invocation did not finish its batch; `first_failed` is the index of the lowest failed record."""

    kind: FailureKind
    first_failed: int = 0


@dataclass(frozen=True, slots=True)
class InvokeBatch:
    batch: Batch


@dataclass(frozen=True, slots=True)
class DiscardBatch:
    batch: Batch
    condition: Condition


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing to do before this time, unless records come."""

    epoch_s: float


Action = InvokeBatch | DiscardBatch | WaitUntil | None


class Lane:
    """The batches of one lane; `now` is in epoch seconds."""

    def __init__(
        self, config: StreamMappingConfig, *, backoff: Backoff, windows: TumblingWindows | None = None
    ) -> None:
        self._config = config
        self._backoff = backoff
        self._windows = windows
        self._gathered: deque[PreparedRecord] = deque()
        self._gathered_bytes = 0
        self._gathering_since = 0.0
        self._again: deque[Batch] = deque()
        self._busy: Batch | None = None

    @property
    def is_busy(self) -> bool:
        return self._busy is not None

    @property
    def is_blocked(self) -> bool:
        """Whether records wait behind a batch that failed."""
        return bool(self._again)

    @property
    def gathered(self) -> int:
        return len(self._gathered)

    @property
    def gathered_bytes(self) -> int:
        return self._gathered_bytes

    @property
    def is_empty(self) -> bool:
        return not (self._gathered or self._again or self._busy)

    @property
    def has_open_window(self) -> bool:
        return self._windows is not None and self._windows.current is not None

    def add(self, prepared: PreparedRecord, now: float) -> None:
        if not self._gathered:
            self._gathering_since = now
        self._gathered.append(prepared)
        self._gathered_bytes += len(prepared.encoded) + 1

    def next_action(self, now: float, *, is_caught_up: bool = True, is_draining: bool = False) -> Action:
        """What to do now; an invoke or a discard makes the lane busy until its end is told.

        `is_caught_up`: the source has no more records at this time, so a window that is over may be closed.
        `is_draining`: no more records will ever come, so nothing is waited for.
        """
        if self._busy is not None:
            return None
        if self._again:
            return self._next_again(now)
        expired = self._take_expired(now)
        if expired is not None:
            return self._start(DiscardBatch(expired, "RecordAgeExceeded"))
        final = self._window_to_close(now, is_caught_up=is_caught_up, is_draining=is_draining)
        if final is not None:
            return self._start(InvokeBatch(final))
        if not self._gathered:
            end_s = self._windows.current.end_s if self._windows and self._windows.current else None
            return None if end_s is None else WaitUntil(end_s)
        closes_at = self._gathering_since + self._config.window_s
        if now < closes_at and not is_draining and not self._is_full():
            return WaitUntil(closes_at)
        return self._start(InvokeBatch(self._close_batch(now)))

    # Endings of a batch

    def succeeded(self, batch: Batch) -> None:
        self._release(batch)
        if batch.is_final and self._windows is not None:
            self._windows.close()

    def discarded(self, batch: Batch) -> None:
        self.succeeded(batch)

    def failed(self, batch: Batch, failure: Failure, now: float) -> Sequence[PreparedRecord]:
        """Plan what follows a failure and give the records that are done despite it."""
        self._release(batch)
        if failure.kind == "throttle":
            batch.stumbles += 1
            batch.not_before = now + self._backoff(batch.stumbles)
            self._again.appendleft(batch)
            return ()
        if failure.kind == "partial" and failure.first_failed > 0:
            # On AWS the rest of a batch that was cut starts its retries anew.
            rest = Batch(batch.records[failure.first_failed :], batch.window, not_before=now + self._backoff(1))
            self._again.appendleft(rest)
            return batch.records[: failure.first_failed]
        if failure.kind == "function" and self._config.bisect_on_error and len(batch.records) > 1:
            self._split(batch, now)
            return ()
        batch.failures += 1
        if 0 <= self._config.max_retry_attempts < batch.failures:
            batch.discard_as = "RetryAttemptsExhausted"
        else:
            batch.not_before = now + self._backoff(batch.failures)
        self._again.appendleft(batch)
        return ()

    # Parts

    def _start(self, action: InvokeBatch | DiscardBatch) -> Action:
        self._busy = action.batch
        if isinstance(action, InvokeBatch):
            action.batch.invocations += 1
        return action

    def _release(self, batch: Batch) -> None:
        assert self._busy is batch
        self._busy = None

    def _next_again(self, now: float) -> Action:
        batch = self._again[0]
        if batch.discard_as is not None:
            self._again.popleft()
            return self._start(DiscardBatch(batch, batch.discard_as))
        count = self._expired_count(batch.records, now)
        if count == 0 and now < batch.not_before:
            return WaitUntil(min(batch.not_before, self._expires_at(batch)))
        self._again.popleft()
        if 0 < count < len(batch.records):
            self._again.appendleft(replace(batch, records=batch.records[count:]))
            batch = Batch(
                batch.records[:count],
                batch.window,
                invocations=batch.invocations,
                last_request_id=batch.last_request_id,
            )
        if count:
            return self._start(DiscardBatch(batch, "RecordAgeExceeded"))
        return self._start(InvokeBatch(batch))

    def _expires_at(self, batch: Batch) -> float:
        """When the first record will be too old."""
        if self._config.max_record_age_s < 0 or not batch.records:
            return math.inf
        return batch.records[0].record.arrival_s + self._config.max_record_age_s

    def _split(self, batch: Batch, now: float) -> None:
        """Halve a batch; the split itself uses up no retry, so both halves go on with the count so far."""
        middle = len(batch.records) // 2
        for half in (batch.records[middle:], batch.records[:middle]):
            self._again.appendleft(Batch(half, batch.window, failures=batch.failures, not_before=now))

    def _expired_count(self, records: Sequence[PreparedRecord], now: float) -> int:
        """How many records at the head are too old."""
        if self._config.max_record_age_s < 0:
            return 0
        oldest = now - self._config.max_record_age_s
        count = 0
        for prepared in records:
            if prepared.record.arrival_s > oldest:
                break
            count += 1
        return count

    def _take_expired(self, now: float) -> Batch | None:
        if self._config.max_record_age_s < 0 or not self._gathered:
            return None
        count = self._expired_count(self._gathered, now)
        if count == 0:
            return None
        return Batch(self._take(min(count, self._config.batch_size), now))

    def _window_to_close(self, now: float, *, is_caught_up: bool, is_draining: bool) -> Batch | None:
        if self._windows is None:
            return None
        head = self._gathered[0].record if self._gathered else None
        window = self._windows.due(head, now, is_caught_up=is_caught_up, is_draining=is_draining)
        return None if window is None else Batch((), window, is_final=True)

    def _is_full(self) -> bool:
        if len(self._gathered) >= self._config.batch_size or self._gathered_bytes >= MAX_PAYLOAD_BYTES:
            return True
        if self._windows is None:
            return False
        # The next window's records must not wait behind the batch window of this one.
        return self._windows.start_of(self._gathered[-1].record) != self._windows.start_of(self._gathered[0].record)

    def _close_batch(self, now: float) -> Batch:
        window = self._windows.open_for(self._gathered[0].record) if self._windows else None
        size_bytes = _ENVELOPE_BYTES + (self._windows.event_bytes if self._windows else 0)
        count = 0
        for prepared in self._gathered:
            size_bytes += len(prepared.encoded) + 1
            if count and (count >= self._config.batch_size or size_bytes > MAX_PAYLOAD_BYTES):
                break
            if self._windows and window and self._windows.start_of(prepared.record) != window.start_s:
                break
            count += 1
        return Batch(self._take(count, now), window)

    def _take(self, count: int, now: float) -> list[PreparedRecord]:
        taken = [self._gathered.popleft() for _ in range(count)]
        self._gathered_bytes -= sum(len(prepared.encoded) + 1 for prepared in taken)
        self._gathering_since = now
        return taken
