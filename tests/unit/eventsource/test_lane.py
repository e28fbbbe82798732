"""The rules of one lane, with time as an argument."""

from typing import Any

from headwater.eventsource.config import MAX_PAYLOAD_BYTES, StreamMappingConfig
from headwater.eventsource.stream.lane import (
    Batch,
    DiscardBatch,
    Failure,
    InvokeBatch,
    Lane,
    PreparedRecord,
    WaitUntil,
)
from headwater.values.records import SourceRecord


def config(**parameters: Any) -> StreamMappingConfig:
    return StreamMappingConfig("mapping", "arn:aws:kinesis:us-east-1:123456789012:stream/s", "arn:f", **parameters)


def lane(**parameters: Any) -> Lane:
    return Lane(config(**parameters), backoff=lambda attempt: float(attempt))


def record(sequence: int, *, at: float = 0.0, size: int = 10) -> PreparedRecord:
    source = SourceRecord(str(sequence), "key", at, size, {"partitionKey": "key", "data": b""})
    return PreparedRecord(source, b"x" * size)


def filled(count: int, *, now: float = 0.0, **parameters: Any) -> Lane:
    subject = lane(**parameters)
    for sequence in range(1, count + 1):
        subject.add(record(sequence), now)
    return subject


def invoked(subject: Lane, now: float) -> Batch:
    action = subject.next_action(now)
    assert isinstance(action, InvokeBatch), action
    return action.batch


def numbers(batch: Batch) -> list[int]:
    return [int(number) for number in batch.sequence_numbers]


def test_batch_size_bounds_a_batch() -> None:
    subject = filled(5, batch_size=3)

    first = invoked(subject, 0.0)
    subject.succeeded(first)

    assert numbers(first) == [1, 2, 3]
    assert numbers(invoked(subject, 0.0)) == [4, 5]


def test_only_one_batch_is_in_flight() -> None:
    subject = filled(2, batch_size=1)

    invoked(subject, 0.0)

    assert subject.next_action(0.0) is None


def test_batching_window_holds_a_batch_that_is_not_full() -> None:
    subject = filled(1, now=10.0, window_s=5)

    assert subject.next_action(12.0) == WaitUntil(15.0)
    assert numbers(invoked(subject, 15.0)) == [1]


def test_full_batch_does_not_wait_for_the_batching_window() -> None:
    subject = filled(2, batch_size=2, window_s=300)

    assert numbers(invoked(subject, 0.0)) == [1, 2]


def test_closed_shard_does_not_wait_for_the_batching_window() -> None:
    subject = filled(1, window_s=300)

    action = subject.next_action(0.0, is_draining=True)

    assert isinstance(action, InvokeBatch)


def test_batch_is_cut_at_six_megabytes() -> None:
    subject = lane(batch_size=100)
    for sequence in (1, 2, 3):
        subject.add(record(sequence, size=MAX_PAYLOAD_BYTES // 2 - 1000), 0.0)

    assert numbers(invoked(subject, 0.0)) == [1, 2]


def test_record_above_six_megabytes_goes_alone() -> None:
    subject = lane()
    subject.add(record(1, size=MAX_PAYLOAD_BYTES + 1), 0.0)
    subject.add(record(2), 0.0)

    assert numbers(invoked(subject, 0.0)) == [1]


def test_failed_batch_is_retried_whole_after_the_backoff() -> None:
    subject = filled(2)

    subject.failed(invoked(subject, 0.0), Failure("function"), 0.0)

    assert subject.next_action(0.5) == WaitUntil(1.0)
    assert numbers(invoked(subject, 1.0)) == [1, 2]


def test_later_records_wait_behind_a_failed_batch() -> None:
    subject = filled(1)
    subject.failed(invoked(subject, 0.0), Failure("function"), 0.0)

    subject.add(record(2), 0.0)

    assert subject.is_blocked
    assert numbers(invoked(subject, 1.0)) == [1]


def test_batch_is_discarded_after_maximum_retry_attempts() -> None:
    subject = filled(1, max_retry_attempts=2)
    for now in (0.0, 1.0, 3.0):
        subject.failed(invoked(subject, now), Failure("function"), now)

    action = subject.next_action(3.0)

    assert isinstance(action, DiscardBatch)
    assert action.condition == "RetryAttemptsExhausted"
    assert action.batch.invocations == 3


def test_no_retry_attempts_means_one_invocation() -> None:
    subject = filled(1, max_retry_attempts=0)

    subject.failed(invoked(subject, 0.0), Failure("function"), 0.0)

    assert isinstance(subject.next_action(0.0), DiscardBatch)


def test_retries_are_endless_by_default() -> None:
    subject = filled(1)
    now = 0.0

    for attempt in range(1, 40):
        subject.failed(invoked(subject, now), Failure("function"), now)
        now += attempt

    assert isinstance(subject.next_action(now), InvokeBatch)


def test_throttles_use_up_no_retry() -> None:
    subject = filled(1, max_retry_attempts=0)

    for now in (0.0, 1.0, 3.0, 6.0):
        subject.failed(invoked(subject, now), Failure("throttle"), now)

    assert isinstance(subject.next_action(10.0), InvokeBatch)


def test_partial_response_retries_from_the_lowest_failed_record() -> None:
    subject = filled(4)

    done = subject.failed(invoked(subject, 0.0), Failure("partial", 2), 0.0)

    assert [prepared.record.sequence_number for prepared in done] == ["1", "2"]
    assert numbers(invoked(subject, 1.0)) == [3, 4]


def test_cut_batch_starts_its_retries_anew() -> None:
    """AWS was seen to call the failing record 5 times with 3 retries."""
    subject = filled(3, max_retry_attempts=3)
    now = 0.0
    calls = 0
    failure = Failure("partial", 2)

    while isinstance(action := subject.next_action(now), InvokeBatch):
        calls += 1
        subject.failed(action.batch, failure, now)
        failure = Failure("partial", 0)
        now += 10.0

    assert calls == 5
    assert isinstance(action, DiscardBatch)
    assert action.batch.invocations == 4


def test_bisect_halves_a_failed_batch() -> None:
    subject = filled(5, bisect_on_error=True)

    subject.failed(invoked(subject, 0.0), Failure("function"), 0.0)
    first = invoked(subject, 0.0)
    subject.succeeded(first)

    assert numbers(first) == [1, 2]
    assert numbers(invoked(subject, 0.0)) == [3, 4, 5]


def test_bisect_isolates_a_poison_record_and_splits_use_up_no_retry() -> None:
    subject = filled(8, bisect_on_error=True, max_retry_attempts=1)
    now = 0.0
    done: list[int] = []
    discarded: list[int] = []

    while (action := subject.next_action(now)) is not None:
        now += 10.0
        if isinstance(action, DiscardBatch):
            discarded += numbers(action.batch)
            assert action.batch.invocations == 2
            subject.discarded(action.batch)
        elif isinstance(action, InvokeBatch) and 6 in numbers(action.batch):
            subject.failed(action.batch, Failure("function"), now)
        elif isinstance(action, InvokeBatch):
            done += numbers(action.batch)
            subject.succeeded(action.batch)

    assert done == [1, 2, 3, 4, 5, 7, 8]
    assert discarded == [6]


def test_partial_response_bisects_at_the_reported_record() -> None:
    subject = filled(8, bisect_on_error=True)

    subject.failed(invoked(subject, 0.0), Failure("partial", 5), 0.0)

    assert numbers(invoked(subject, 1.0)) == [6, 7, 8]


def test_records_above_the_maximum_age_are_discarded_and_the_others_invoked() -> None:
    subject = lane(max_record_age_s=60)
    subject.add(record(1, at=0.0), 100.0)
    subject.add(record(2, at=90.0), 100.0)

    action = subject.next_action(100.0)
    assert isinstance(action, DiscardBatch)
    subject.discarded(action.batch)

    assert action.condition == "RecordAgeExceeded"
    assert numbers(action.batch) == [1]
    assert numbers(invoked(subject, 100.0)) == [2]


def test_retries_end_when_the_record_is_too_old() -> None:
    subject = filled(1, max_record_age_s=60)
    subject.failed(invoked(subject, 0.0), Failure("function"), 0.0)

    action = subject.next_action(61.0)

    assert isinstance(action, DiscardBatch)
    assert action.condition == "RecordAgeExceeded"


def test_record_is_discarded_the_moment_it_is_too_old() -> None:
    subject = Lane(config(max_record_age_s=60), backoff=lambda attempt: 1000.0)
    subject.add(record(1, at=0.0), 0.0)
    subject.failed(invoked(subject, 0.0), Failure("function"), 0.0)

    assert subject.next_action(1.0) == WaitUntil(60.0)
    assert isinstance(subject.next_action(60.0), DiscardBatch)


def test_only_the_old_head_of_a_retried_batch_is_discarded() -> None:
    subject = lane(max_record_age_s=60)
    subject.add(record(1, at=0.0), 0.0)
    subject.add(record(2, at=50.0), 50.0)
    subject.failed(invoked(subject, 55.0), Failure("function"), 55.0)

    action = subject.next_action(70.0)
    assert isinstance(action, DiscardBatch)
    subject.discarded(action.batch)

    assert numbers(action.batch) == [1]
    assert numbers(invoked(subject, 70.0)) == [2]
