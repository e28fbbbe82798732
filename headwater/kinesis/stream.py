"""A stream as it is stored: its shards with their hash ranges and lineage, and its settings."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from headwater.errors import ServiceError
from headwater.kinesis.sequence import LAST_INDEX, SequenceNumber, shard_id_of
from headwater.values.transaction import ReadTransaction, WriteTransaction

DATABASE = "kinesis"
HASH_SPACE = 1 << 128
MAX_NAME = 128
DEFAULT_RETENTION_HOURS = 24
DEFAULT_MAX_RECORD_KIB = 1024


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard; both ends of its hash range are inclusive, `closed_ms` is None while it takes records."""

    index: int
    start_hash: str
    end_hash: str
    created_s: int
    closed_ms: int | None = None
    parent: int | None = None
    adjacent_parent: int | None = None

    @property
    def shard_id(self) -> str:
        return shard_id_of(self.index)

    @property
    def is_closed(self) -> bool:
        return self.closed_ms is not None

    @property
    def parents(self) -> tuple[int, ...]:
        return tuple(p for p in (self.parent, self.adjacent_parent) if p is not None)

    @property
    def first_sequence(self) -> SequenceNumber:
        return SequenceNumber(self.created_s, self.index, 0, self.created_s)

    @property
    def last_sequence(self) -> SequenceNumber | None:
        """Above every record of a closed shard; None for an open one."""
        if self.closed_ms is None:
            return None
        return SequenceNumber(self.created_s, self.index, LAST_INDEX, self.closed_ms // 1000)

    def describe(self) -> dict[str, object]:
        """The shard in the service's shape."""
        numbers = {"StartingSequenceNumber": str(self.first_sequence)}
        if self.last_sequence is not None:
            numbers["EndingSequenceNumber"] = str(self.last_sequence)
        described: dict[str, object] = {"ShardId": self.shard_id}
        if self.parent is not None:
            described["ParentShardId"] = shard_id_of(self.parent)
        if self.adjacent_parent is not None:
            described["AdjacentParentShardId"] = shard_id_of(self.adjacent_parent)
        described["HashKeyRange"] = {"StartingHashKey": self.start_hash, "EndingHashKey": self.end_hash}
        described["SequenceNumberRange"] = numbers
        return described


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream's metadata; `number` is unique among all streams that ever were, so a name can be used again."""

    name: str
    number: int
    created_ms: int
    shards: tuple[Shard, ...]
    mode: str = "PROVISIONED"
    retention_hours: int = DEFAULT_RETENTION_HOURS
    max_record_kib: int = DEFAULT_MAX_RECORD_KIB
    encryption: str = "NONE"
    key_id: str | None = None
    metrics: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    policy: str | None = None

    def shard(self, index: int) -> Shard | None:
        """The shard of an index; indices are never used again, so a long-closed one may be gone."""
        # Shards are kept in the order of their indices; the common case is that none is gone.
        if index < len(self.shards) and self.shards[index].index == index:
            return self.shards[index]
        return next((s for s in self.shards if s.index == index), None)

    @property
    def open_shards(self) -> tuple[Shard, ...]:
        return tuple(s for s in self.shards if not s.is_closed)

    @property
    def next_index(self) -> int:
        return self.shards[-1].index + 1

    @property
    def retention_ms(self) -> int:
        return self.retention_hours * 3_600_000

    def with_shards(self, changed: Sequence[Shard]) -> "Stream":
        """The stream with shards replaced by index or added."""
        by_index = {s.index: s for s in (*self.shards, *changed)}
        return replace(self, shards=tuple(by_index[i] for i in sorted(by_index)))

    def without_expired(self, now_ms: int) -> "Stream":
        """Closed shards are forgotten once every record they can hold has expired."""
        kept = tuple(s for s in self.shards if s.closed_ms is None or s.closed_ms > now_ms - self.retention_ms)
        return self if len(kept) == len(self.shards) else replace(self, shards=kept)


class ShardRouter:
    """Finds the open shard of a hash; made once for each version of a stream."""

    __slots__ = ("_shards", "_starts", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._shards = sorted(stream.open_shards, key=lambda s: int(s.start_hash))
        self._starts = [int(s.start_hash) for s in self._shards]

    def route(self, hash_key: int) -> Shard:
        """The open shard whose range holds a 128-bit unsigned integer; the ranges cover the space."""
        return self._shards[bisect_right(self._starts, hash_key) - 1]


def hash_of(partition_key: str) -> int:
    """MD5 of the UTF-8 bytes as a 128-bit unsigned integer. Source: API Reference, PutRecord, "PartitionKey"."""
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest(), "big")


def even_shards(count: int, *, first_index: int, created_s: int) -> list[Shard]:
    """Shards that split the hash space evenly, the last one taking what is left over."""
    width = HASH_SPACE // count
    ends = [*(width * (i + 1) - 1 for i in range(count - 1)), HASH_SPACE - 1]
    return [
        Shard(first_index + i, start_hash=str(width * i), end_hash=str(end), created_s=created_s)
        for i, end in enumerate(ends)
    ]


class StreamCatalog:
    """Reads streams; a stream that did not change since is not decoded again."""

    def __init__(self, *, region: str, account_id: str) -> None:
        self.region = region
        self.account_id = account_id
        self._decoder = msgspec.json.Decoder(Stream)
        self._encoder = msgspec.json.Encoder()
        self._routers: dict[str, tuple[bytes, ShardRouter]] = {}

    def arn(self, name: str) -> str:
        return f"arn:aws:kinesis:{self.region}:{self.account_id}:stream/{name}"

    def find(self, transaction: ReadTransaction, name: str) -> ShardRouter | None:
        if len(name) > MAX_NAME:
            return None  # above what a key may be long
        raw = transaction.get(DATABASE, stream_key(name))
        if raw is None:
            self._routers.pop(name, None)
            return None
        cached = self._routers.get(name)
        if cached is None or cached[0] != raw:
            cached = self._routers[name] = (raw, ShardRouter(self._decoder.decode(raw)))
        return cached[1]

    def get(self, transaction: ReadTransaction, name: str) -> Stream:
        """Raises: ServiceError `ResourceNotFoundException`."""
        return self.router(transaction, name).stream

    def router(self, transaction: ReadTransaction, name: str) -> ShardRouter:
        """Raises: ServiceError `ResourceNotFoundException`."""
        found = self.find(transaction, name)
        if found is None:
            raise self.not_found(f"Stream {name} under account {self.account_id} not found.")
        return found

    def put(self, transaction: WriteTransaction, stream: Stream) -> None:
        transaction.put(DATABASE, stream_key(stream.name), self._encoder.encode(stream))

    def names(self, transaction: ReadTransaction, *, after: str = "") -> list[str]:
        """All names above `after`, sorted."""
        start = stream_key(after[:MAX_NAME]) + b"\x00" if after else b"s/"
        return [key[2:].decode() for key, _ in transaction.scan(DATABASE, start, b"s0")]

    def not_found(self, message: str) -> ServiceError:
        return ServiceError("ResourceNotFoundException", message)


def stream_key(name: str) -> bytes:
    return b"s/" + name.encode()
