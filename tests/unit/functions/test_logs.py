"""Log lines of an execution environment."""

import json
import os
from collections.abc import Iterator

import pytest

from headwater.functions.config import LogEvent
from headwater.functions.worker.logs import EnvironmentLog
from headwater.functions.worker.platform_lines import JsonLines, Report, TextLines

REPORT = Report("r-1", 1.2, 128, 31_457_280)
TEXT = "REPORT RequestId: r-1\tDuration: 1.20 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\t"


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
    tail = log.end(REPORT)

    messages = [event.message for event in events]
    assert messages == ["START RequestId: r-1 Version: $LATEST", "one", "two", "three", "END RequestId: r-1", TEXT]
    assert tail.splitlines() == messages
    assert {(event.request_id, event.epoch_ms, event.log_stream) for event in events} == {("r-1", 12500, "stream")}


def test_tail_keeps_the_last_four_kilobytes(pipe: tuple[int, int]) -> None:
    log = log_into([])
    log.begin("r-1")

    for _ in range(10):
        os.write(pipe[1], b"x" * 1000 + b"\n")
        log.read_from(pipe[0])
    tail = log.end(REPORT)

    assert len(tail) == 4096
    assert tail.endswith(TEXT + "\n")


def test_joined_lines_of_a_traceback_are_one_event(pipe: tuple[int, int]) -> None:
    events: list[LogEvent] = []
    log = log_into(events)

    os.write(pipe[1], b"[ERROR] ValueError: x\rTraceback\r  line\n")
    log.read_from(pipe[0])

    assert [event.message for event in events] == ["[ERROR] ValueError: x\nTraceback\n  line"]
    assert events[0].request_id == ""


def test_report_tells_start_and_failure() -> None:
    line = TextLines().report(Report("r-1", 1.2, 128, 31_457_280, 100.0, "error", "Runtime.ExitError"))

    assert line == f"{TEXT}Init Duration: 100.00 ms\tStatus: error\tError Type: Runtime.ExitError\t"


def test_json_format_writes_platform_events() -> None:
    lines = JsonLines(lambda: 12.5, None)

    start, end, report = lines.start("r-1", "7"), lines.end(REPORT), lines.report(REPORT)

    assert json.loads(start or "") == {
        "time": "1970-01-01T00:00:12.500Z",
        "type": "platform.start",
        "record": {"requestId": "r-1", "version": "7"},
    }
    assert end is None
    assert json.loads(report or "")["record"] == {
        "requestId": "r-1",
        "metrics": {"durationMs": 1.2, "billedDurationMs": 2, "memorySizeMB": 128, "maxMemoryUsedMB": 30},
        "status": "success",
    }


def test_system_log_level_leaves_out_what_succeeded() -> None:
    lines = JsonLines(lambda: 12.5, "WARN")
    failed = Report("r-1", 1.2, 128, 0, None, "timeout")

    assert (lines.start("r-1", "7"), lines.report(REPORT)) == (None, None)
    assert json.loads(lines.end(failed) or "")["record"] == {"requestId": "r-1", "status": "timeout"}
    assert json.loads(lines.report(failed) or "")["record"]["status"] == "timeout"
    assert json.loads(lines.init_report(5.0, "error", "X") or "")["type"] == "platform.initReport"
