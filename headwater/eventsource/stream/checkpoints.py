"""The text of a checkpoint: how far a shard is done, and what its open tumbling window has aggregated."""

from dataclasses import dataclass

import orjson

from headwater.eventsource.stream.windows import OpenWindow


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`sequence` None is the trim horizon; `is_ended` says that a closed shard was drained."""

    sequence: str | None = None
    is_ended: bool = False
    window: OpenWindow | None = None

    def encode(self) -> str:
        if self.is_ended:
            return "SHARD_END"
        if self.window is None:
            return self.sequence or "TRIM_HORIZON"
        window = {"start": self.window.start_s, "end": self.window.end_s, "state": self.window.state}
        return orjson.dumps({"sequence": self.sequence, "window": window}).decode()

    @classmethod
    def decode(cls, text: str) -> "Checkpoint":
        if text == "SHARD_END":
            return cls(is_ended=True)
        if text == "TRIM_HORIZON":
            return cls()
        if not text.startswith("{"):
            return cls(text)
        document = orjson.loads(text)
        window = document["window"]
        return cls(document["sequence"], window=OpenWindow(window["start"], window["end"], window["state"]))
