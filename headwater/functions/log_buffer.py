"""The newest log lines of every function, for `headwater logs`."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from headwater.functions.config import LogEvent

# About 20 MB when every line is of usual length; CloudWatch cuts lines at 256 KB, so the bytes are bounded as well.
_MAX_EVENTS = 20_000
_MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """A log event with its place in the order of arrival, from 1."""

    number: int
    event: LogEvent


class LogBuffer:
    """A ring: the oldest lines go when there are too many lines or bytes. `append` is a LogSink."""

    def __init__(self, *, max_events: int = _MAX_EVENTS, max_bytes: int = _MAX_BYTES) -> None:
        self._events: deque[NumberedEvent] = deque()
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._bytes = 0
        self._number = 0
        self._arrived: asyncio.Event | None = None

    @property
    def last_number(self) -> int:
        """The number of the newest event, 0 before the first."""
        return self._number

    def append(self, event: LogEvent) -> None:
        """Keep one line."""
        self._number += 1
        self._events.append(NumberedEvent(self._number, event))
        self._bytes += len(event.message)
        while len(self._events) > self._max_events or self._bytes > self._max_bytes:
            self._bytes -= len(self._events.popleft().event.message)
        if self._arrived is not None:
            self._arrived.set()

    def after(self, function_name: str, number: int) -> list[NumberedEvent]:
        """A function's events that came after a number, oldest first."""
        found = list(self._newest_first(function_name, number))
        found.reverse()
        return found

    def _newest_first(self, function_name: str, number: int) -> Iterator[NumberedEvent]:
        for entry in reversed(self._events):
            if entry.number <= number:
                return
            if entry.event.function_name == function_name:
                yield entry

    async def wait_after(self, function_name: str, number: int, timeout_s: float) -> list[NumberedEvent]:
        """Like `after`, but waits for the first event up to `timeout_s`."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not (found := self.after(function_name, number)):
            if self._arrived is None or self._arrived.is_set():
                self._arrived = asyncio.Event()
            remaining_s = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._arrived.wait(), max(0.0, remaining_s))
            except TimeoutError:
                return []
        return found
