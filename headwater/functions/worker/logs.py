"""The log of an execution environment: lines per invocation, START, END and REPORT, and the 4 KB tail."""

import os
from collections.abc import Callable

from headwater.functions.config import LATEST, LogEvent, LogSink

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
    ) -> None:
        self._function_name = function_name
        self._version = version
        self._log_stream = log_stream
        self._clock = clock
        self._sink = sink
        self._partial = b""
        self._tail = bytearray()
        self._request_id = ""

    def begin(self, request_id: str) -> None:
        self._tail.clear()
        self._start(request_id)

    def fail(self, request_id: str, report: str) -> str:
        """The log of an invocation whose environment did not start: what that has printed, and the frame around it."""
        self._start(request_id)
        return self.end(report)

    def _start(self, request_id: str) -> None:
        self._request_id = request_id
        self._emit(f"START RequestId: {request_id} Version: {self._version}")

    def end(self, report: str) -> str:
        """Close the invocation's log and give its last 4 KB."""
        if self._partial:
            partial, self._partial = self._partial, b""
            self._emit(partial.decode("utf-8", "replace"))
        self._emit(f"END RequestId: {self._request_id}")
        self._emit(report)
        self._request_id = ""
        return self._tail.decode("utf-8", "ignore")

    def note(self, message: str) -> None:
        """Add a line of the platform itself."""
        self._emit(message)

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


def report_line(
    request_id: str,
    *,
    duration_ms: float,
    memory_mb: int,
    used_bytes: int,
    init_ms: float | None,
    status: str = "",
) -> str:
    """The REPORT line, fields tab-separated as Lambda writes them."""
    fields = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_ms:.2f} ms",
        f"Billed Duration: {max(1, -int(-duration_ms // 1))} ms",
        f"Memory Size: {memory_mb} MB",
        f"Max Memory Used: {used_bytes // 1_048_576} MB",
    ]
    if init_ms is not None:
        fields.append(f"Init Duration: {init_ms:.2f} ms")
    if status:
        fields.append(status)
    return "\t".join(fields) + "\t"
