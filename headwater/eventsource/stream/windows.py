"""Tumbling windows: which window a record belongs to, its state between invocations, and when it closes.

Source: Lambda developer guide, "Configuring Lambda for stream processing with tumbling windows".
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from headwater.values.records import SourceRecord

MAX_STATE_BYTES = 1024 * 1024
# The window's times, two truths, and the names of stream and shard.
_MEMBERS_BYTES = 1024


@dataclass(slots=True)
class OpenWindow:
    """A window with what its invocations have aggregated; times in epoch seconds, the end is exclusive."""

    start_s: int
    end_s: int
    state: Any = field(default_factory=dict)
    is_terminated_early: bool = False


class TumblingWindows:
    """The windows of one shard, one open at a time; records belong to windows by arrival time."""

    def __init__(self, size_s: int, current: OpenWindow | None = None) -> None:
        self._size_s = size_s
        self.current = current

    @property
    def event_bytes(self) -> int:
        """What the open window adds to an event: its state, and the members around it."""
        return _MEMBERS_BYTES + (len(orjson.dumps(self.current.state)) if self.current is not None else 0)

    def start_of(self, record: SourceRecord) -> int:
        return int(record.arrival_s // self._size_s) * self._size_s

    def open_for(self, record: SourceRecord) -> OpenWindow:
        """The window of the next batch; the one before it must have been closed."""
        start_s = self.start_of(record)
        if self.current is None or self.current.start_s < start_s:
            self.current = OpenWindow(start_s, start_s + self._size_s)
        return self.current

    def due(self, head: SourceRecord | None, now: float, *, is_caught_up: bool, is_draining: bool) -> OpenWindow | None:
        """The open window if it must get its final invocation now; `head` is the next record to process."""
        window = self.current
        if window is None:
            return None
        if window.is_terminated_early:
            return window
        if head is not None:
            return window if self.start_of(head) > window.start_s else None
        if is_draining:
            window.is_terminated_early = now < window.end_s
            return window
        return window if is_caught_up and now >= window.end_s else None

    def keep_state(self, state: Any) -> None:
        """Carry a response's state to the next invocation; over 1 MB it ends the window early."""
        if self.current is None:
            return
        self.current.state = state
        if len(orjson.dumps(state)) > MAX_STATE_BYTES:
            self.current.is_terminated_early = True

    def close(self) -> None:
        self.current = None
