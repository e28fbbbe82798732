"""The log of an execution environment: what it prints, the platform's lines around it, and the 4 KB tail."""

import os
from collections.abc import Callable

from headwater.functions.config import LATEST, LogEvent, LogSink
from headwater.functions.worker.platform_lines import PlatformLines, Report, Status, TextLines

_TAIL_BYTES = 4096
_MAX_LINE_BYTES = 262_144
_READ_BYTES = 65_536
# One wake-up reads at most this many times a full pipe, so that a worker that prints without end can't hold the loop.
_READS_PER_WAKE = 8


class EnvironmentLog:
    """Turns what a worker prints into log events; lines over 256 KB are cut into several (CloudWatch's limit)."""

    def __init__(
        self,
        function_name: str,
        log_stream: str,
        *,
        clock: Callable[[], float],
        sink: LogSink | None,
        version: str = LATEST,
        lines: PlatformLines | None = None,
    ) -> None:
        self._function_name = function_name
        self._version = version
        self._lines = lines or TextLines()
        self._log_stream = log_stream
        self._clock = clock
        self._sink = sink
        self._partial = b""
        self._tail = bytearray()
        self._request_id = ""

    def begin(self, request_id: str) -> None:
        self._tail.clear()
        self._start(request_id)

    def fail(self, report: Report) -> str:
        """The log of an invocation whose environment did not start: what that has printed, and the frame around it."""
        self._start(report.request_id)
        return self.end(report)

    def _start(self, request_id: str) -> None:
        self._request_id = request_id
        self._write(self._lines.start(request_id, self._version))

    def end(self, report: Report) -> str:
        """Close the invocation's log and give its last 4 KB."""
        if self._partial:
            partial, self._partial = self._partial, b""
            self._emit(partial.decode("utf-8", "replace"))
        self._write(self._lines.end(report))
        self._write(self._lines.report(report))
        self._request_id = ""
        return self._tail.decode("utf-8", "ignore")

    def fault(self, text: str) -> None:
        """Say what the platform did to the process, or what became of it."""
        self._write(self._lines.fault(text))

    def init_failed(self, init_ms: float, status: Status, error_type: str) -> None:
        self._write(self._lines.init_report(init_ms, status, error_type))

    def _write(self, line: str | None) -> None:
        if line is not None:
            self._emit(line)

    def read_from(self, log_fd: int) -> None:
        """Take what the worker has printed so far; call it when readable and before an invocation ends."""
        for _ in range(_READS_PER_WAKE):
            try:
                data = os.read(log_fd, _READ_BYTES)
            except (BlockingIOError, OSError):
                return
            if not data:
                return
            self._split(data)

    def _split(self, data: bytes) -> None:
        *lines, partial = (self._partial + data).split(b"\n")
        while len(partial) > _MAX_LINE_BYTES:
            lines.append(partial[:_MAX_LINE_BYTES])
            partial = partial[_MAX_LINE_BYTES:]
        self._partial = partial
        for line in lines:
            for start in range(0, len(line) or 1, _MAX_LINE_BYTES):
                # The runtime client joins the lines of a traceback by \r, to keep it one event.
                self._emit(line[start : start + _MAX_LINE_BYTES].decode("utf-8", "replace").replace("\r", "\n"))

    def _emit(self, message: str) -> None:
        self._tail += message.encode("utf-8", "replace")[-_TAIL_BYTES:] + b"\n"
        if len(self._tail) > _TAIL_BYTES:
            del self._tail[:-_TAIL_BYTES]
        if self._sink is not None:
            epoch_ms = int(self._clock() * 1000)
            self._sink(LogEvent(self._function_name, self._log_stream, self._request_id, epoch_ms, message))
