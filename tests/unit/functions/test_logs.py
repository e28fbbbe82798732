"""Log lines of an execution environment."""

import os
from collections.abc import Iterator

import pytest

from headwater.functions.config import LogEvent
from headwater.functions.worker.logs import EnvironmentLog, report_line


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield read, write
    os.close(read)
    os.close(write)


def log_into(events: list[LogEvent]) -> EnvironmentLog:
    return EnvironmentLog("work", "stream", clock=lambda: 12.5, sink=events.append)


def test_lines_are_events_and_an_unfinished_line_ends_with_the_invocation(pipe: tuple[int, int]) -> None:
    events: list[LogEvent] = []
    log = log_into(events)
    log.begin("r-1")

    os.write(pipe[1], b"one\ntw")
    log.read_from(pipe[0])
    os.write(pipe[1], b"o\nthree")
    log.read_from(pipe[0])
    tail = log.end("REPORT")

    messages = [event.message for event in events]
    assert messages == ["START RequestId: r-1 Version: $LATEST", "one", "two", "three", "END RequestId: r-1", "REPORT"]
    assert tail.splitlines() == messages
    assert {(event.request_id, event.epoch_ms, event.log_stream) for event in events} == {("r-1", 12500, "stream")}


def test_tail_keeps_the_last_four_kilobytes(pipe: tuple[int, int]) -> None:
    log = log_into([])
    log.begin("r-1")

    for _ in range(10):
        os.write(pipe[1], b"x" * 1000 + b"\n")
        log.read_from(pipe[0])
    tail = log.end("REPORT of the end")

    assert len(tail) == 4096
    assert tail.endswith("REPORT of the end\n")


def test_joined_lines_of_a_traceback_are_one_event(pipe: tuple[int, int]) -> None:
    events: list[LogEvent] = []
    log = log_into(events)

    os.write(pipe[1], b"[ERROR] ValueError: x\rTraceback\r  line\n")
    log.read_from(pipe[0])

    assert [event.message for event in events] == ["[ERROR] ValueError: x\nTraceback\n  line"]
    assert events[0].request_id == ""


def test_report_bills_whole_milliseconds() -> None:
    line = report_line("r-1", duration_ms=1.2, memory_mb=128, used_bytes=31_457_280, init_ms=100.0, status="Status: x")

    assert line == (
        "REPORT RequestId: r-1\tDuration: 1.20 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 30 MB\tInit Duration: 100.00 ms\tStatus: x\t"
    )
