"""A stream kept in lists: the record source of these tests, and the other ports beside it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from headwater.eventsource.ports import FailedBatch
from headwater.values.records import SourceRecord, SourceShard


@dataclass
class Answer:
    """The end of an invocation."""

    payload: bytes = b"null"
    function_error: str | None = None
    request_id: str = "request-1"
    executed_version: str = "$LATEST"


@dataclass
class ListSource:
    arn: str = "arn:aws:kinesis:us-east-1:123456789012:stream/telemetry"
    kind: Literal["kinesis", "dynamodb"] = "kinesis"
    records: dict[str, list[SourceRecord]] = field(default_factory=lambda: {"shardId-000000000000": []})
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    listeners: list[Callable[[], None]] = field(default_factory=list)
    reads: int = 0

    def shards(self) -> list[SourceShard]:
        return [SourceShard(shard, self.parents.get(shard, ()), shard in self.closed) for shard in self.records]

    def read(self, shard_id: str, after: str | None, *, limit: int, max_bytes: int) -> list[SourceRecord]:
        self.reads += 1
        records = self.records[shard_id]
        start = next((i for i, r in enumerate(records) if after is None or int(r.sequence_number) > int(after)), None)
        return [] if start is None else records[start : start + limit]

    def latest(self, shard_id: str) -> str | None:
        return self.records[shard_id][-1].sequence_number if self.records[shard_id] else None

    def at_timestamp(self, shard_id: str, epoch_s: float) -> str | None:
        before = [r.sequence_number for r in self.records[shard_id] if r.arrival_s < epoch_s]
        return before[-1] if before else None

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(wake)
        return lambda: self.listeners.remove(wake)

    def put(
        self,
        data: bytes,
        *,
        key: str = "device-1",
        at: float = 1000.0,
        shard: str = "shardId-000000000000",
    ) -> str:
        sequence_number = str(sum(len(records) for records in self.records.values()) + 1)
        body: dict[str, Any] = {"partitionKey": key, "data": data}
        self.records[shard].append(SourceRecord(sequence_number, key, at, len(data), body))
        for wake in list(self.listeners):
            wake()
        return sequence_number

    def split(self, parent: str, *children: str) -> None:
        self.closed.add(parent)
        for child in children:
            self.records[child] = []
            self.parents[child] = (parent,)
        for wake in list(self.listeners):
            wake()


@dataclass
class KeptCheckpoints:
    saved: dict[str, dict[str, str]] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def load(self, mapping_id: str) -> Mapping[str, str]:
        return dict(self.saved.get(mapping_id, {}))

    async def save(self, mapping_id: str, shard: str, sequence: str) -> None:
        self.events.append(f"checkpoint {shard} {sequence}")
        self.saved.setdefault(mapping_id, {})[shard] = sequence


@dataclass
class KeptFailures:
    batches: list[FailedBatch] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    async def __call__(self, failed: FailedBatch) -> None:
        self.events.append("on-failure")
        self.batches.append(failed)


Function = Callable[[str, bytes], Awaitable[Answer]]
