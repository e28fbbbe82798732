"""Tumbling windows on one lane, with time as an argument."""

from typing import Any

from headwater.eventsource.config import MAX_PAYLOAD_BYTES, StreamMappingConfig
from headwater.eventsource.stream.checkpoints import Checkpoint
from headwater.eventsource.stream.lane import Batch, Failure, InvokeBatch, Lane, PreparedRecord, WaitUntil
from headwater.eventsource.stream.windows import MAX_STATE_BYTES, OpenWindow, TumblingWindows
from headwater.values.records import SourceRecord


def record(sequence: int, at: float) -> PreparedRecord:
    return PreparedRecord(SourceRecord(str(sequence), "key", at, 10, {}), b"{}")


def windowed(*records: PreparedRecord, **parameters: Any) -> tuple[Lane, TumblingWindows]:
    config = StreamMappingConfig("mapping", "arn:s", "arn:f", tumbling_window_s=60, **parameters)
    windows = TumblingWindows(60)
    lane = Lane(config, backoff=lambda attempt: 1.0, windows=windows)
    for prepared in records:
        lane.add(prepared, prepared.record.arrival_s)
    return lane, windows


def invoked(lane: Lane, now: float, **how: bool) -> Batch:
    action = lane.next_action(now, **how)
    assert isinstance(action, InvokeBatch), action
    return action.batch


def test_state_goes_from_one_invocation_of_a_window_to_the_next() -> None:
    lane, windows = windowed(record(1, 0.0), record(2, 1.0), batch_size=1)

    first = invoked(lane, 2.0)
    windows.keep_state({"sum": 1})
    lane.succeeded(first)
    second = invoked(lane, 2.0)

    assert second.window is first.window
    assert second.window is not None
    assert (second.window.start_s, second.window.end_s, second.window.state) == (0, 60, {"sum": 1})


def test_state_of_the_window_counts_towards_six_megabytes() -> None:
    half = b"x" * (MAX_PAYLOAD_BYTES // 2 - 2000)
    records = [PreparedRecord(SourceRecord(str(number), "key", 0.0, len(half), {}), half) for number in (1, 2, 3)]
    lane, windows = windowed(records[0])
    lane.succeeded(invoked(lane, 1.0))

    windows.keep_state("x" * 10_000)
    for prepared in records[1:]:
        lane.add(prepared, 1.0)

    assert invoked(lane, 1.0).sequence_numbers == ["2"]


def test_window_is_closed_by_a_final_invocation_when_its_time_is_over() -> None:
    lane, windows = windowed(record(1, 0.0))
    lane.succeeded(invoked(lane, 1.0))
    windows.keep_state({"sum": 1})

    assert lane.next_action(59.0) == WaitUntil(60)
    final = invoked(lane, 60.0)
    lane.succeeded(final)

    assert final.is_final
    assert final.records == ()
    assert final.window is not None
    assert final.window.state == {"sum": 1}
    assert not final.window.is_terminated_early
    assert lane.next_action(61.0) is None


def test_window_stays_open_until_the_source_has_been_read_up() -> None:
    lane, _ = windowed(record(1, 0.0))
    lane.succeeded(invoked(lane, 1.0))

    assert isinstance(lane.next_action(60.0, is_caught_up=False), WaitUntil)


def test_record_of_the_next_window_closes_the_one_before() -> None:
    lane, _ = windowed(record(1, 0.0), record(2, 61.0))

    first = invoked(lane, 62.0)
    lane.succeeded(first)
    final = invoked(lane, 62.0)
    lane.succeeded(final)
    second = invoked(lane, 62.0)

    assert [first.sequence_numbers, final.is_final, second.sequence_numbers] == [["1"], True, ["2"]]
    assert second.window is not None
    assert second.window.start_s == 60
    assert second.window.state == {}


def test_batch_never_crosses_a_window_and_does_not_wait_for_the_batching_window() -> None:
    lane, _ = windowed(record(1, 59.0), record(2, 60.0), window_s=300)

    assert invoked(lane, 61.0).sequence_numbers == ["1"]


def test_failed_final_invocation_is_retried_with_its_state() -> None:
    lane, windows = windowed(record(1, 0.0))
    lane.succeeded(invoked(lane, 1.0))
    windows.keep_state({"sum": 1})
    lane.failed(invoked(lane, 60.0), Failure("function"), 60.0)

    again = invoked(lane, 61.0)

    assert again.is_final
    assert again.window is not None
    assert again.window.state == {"sum": 1}


def test_closed_shard_terminates_its_window_early() -> None:
    lane, _ = windowed(record(1, 0.0))
    lane.succeeded(invoked(lane, 1.0))

    final = invoked(lane, 2.0, is_draining=True)

    assert final.is_final
    assert final.window is not None
    assert final.window.is_terminated_early


def test_state_above_one_megabyte_terminates_the_window_early() -> None:
    lane, windows = windowed(record(1, 0.0), record(2, 1.0), batch_size=1)
    lane.succeeded(invoked(lane, 2.0))

    windows.keep_state("x" * MAX_STATE_BYTES)
    final = invoked(lane, 2.0)
    assert final.is_final
    assert final.window is not None
    assert final.window.is_terminated_early
    lane.succeeded(final)

    assert invoked(lane, 2.0).sequence_numbers == ["2"]


def test_checkpoint_keeps_the_open_windows_state() -> None:
    checkpoint = Checkpoint("7", window=OpenWindow(60, 120, {"sum": 3}))

    assert Checkpoint.decode(checkpoint.encode()) == checkpoint


def test_checkpoints_without_a_window_are_sequence_numbers() -> None:
    assert Checkpoint("7").encode() == "7"
    for checkpoint in (Checkpoint("7"), Checkpoint(), Checkpoint(is_ended=True)):
        assert Checkpoint.decode(checkpoint.encode()) == checkpoint
