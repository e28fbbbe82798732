"""Flow 3/8: append records to the shards of a stream and read them back in order."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.errors import ServiceError
from headwater.kinesis.sequence import KEY_BYTES, SequenceNumber, sequence_key, shard_base
from headwater.kinesis.stream import (
    DATABASE,
    DEFAULT_MAX_RECORD_KIB,
    HASH_SPACE,
    Shard,
    ShardRouter,
    Stream,
    StreamCatalog,
    hash_of,
)
from headwater.kinesis.streams import stream_name
from headwater.values.transaction import ReadTransaction, WriteTransaction

_HEADER = struct.Struct(">QHB")  # arrival in epoch milliseconds, bytes of the partition key, of the explicit hash key
# Index of the next record, arrival of the last record, no record that is left arrived before the third.
_COUNTER = struct.Struct(">QQQ")
_PREFIX_BYTES = 1 + 8 + 4
_TRIM_AT_LEAST = 64
MAX_SHARD_RECORDS_PER_S = 1000
MAX_SHARD_BYTES_PER_S = 1 << 20


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to append; the caller has checked its limits."""

    partition_key: str
    data: bytes
    explicit_hash_key: str | None = None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record of a shard; `arrival_ms` never falls within a shard, even where the clock does."""

    number: int
    arrival_ms: int
    partition_key: str
    data: bytes
    explicit_hash_key: str | None

    @property
    def size_bytes(self) -> int:
        return len(self.data) + len(self.partition_key.encode())


def explicit_hash(text: str) -> int:
    """Raises: ServiceError `InvalidArgumentException` outside the hash space."""
    value = int(text)
    if not 0 <= value < HASH_SPACE:
        raise ServiceError(
            "InvalidArgumentException",
            f"Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}",
        )
    return value


def put_record(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    """Source: API Reference, PutRecord. Numbers rise anyway, so SequenceNumberForOrdering is only checked."""
    router = catalog.router(transaction, stream_name(catalog, request))
    record = NewRecord(request["PartitionKey"], request["Data"], request.get("ExplicitHashKey"))
    ordering = request.get("SequenceNumberForOrdering")
    if ordering is not None and not _is_from_the_past(ordering, now_ms):
        raise ServiceError(
            "InvalidArgumentException",
            f"ExclusiveMinimumSequenceNumber {ordering} used in PutRecord on stream {router.stream.name} under account "
            f"{catalog.account_id} is invalid.",
        )
    shard_id, number = append_records(transaction, router, [record], now_ms=now_ms)[0]
    return {"ShardId": shard_id, "SequenceNumber": number, **_encryption(router.stream)}


def put_records(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    """Source: API Reference, PutRecords. Raises: ServiceError `InvalidArgumentException` above 5 (or 10) MiB."""
    router = catalog.router(transaction, stream_name(catalog, request))
    records = [NewRecord(r["PartitionKey"], r["Data"], r.get("ExplicitHashKey")) for r in request["Records"]]
    limit_mib = 5 if router.stream.max_record_kib <= DEFAULT_MAX_RECORD_KIB else 10
    if sum(len(r.data) + len(r.partition_key.encode()) for r in records) > limit_mib << 20:
        raise ServiceError("InvalidArgumentException", f"Records size exceeds {limit_mib} MB limit")
    answers = append_records(transaction, router, records, now_ms=now_ms)
    return {
        "FailedRecordCount": 0,
        "Records": [{"SequenceNumber": number, "ShardId": shard_id} for shard_id, number in answers],
        **_encryption(router.stream),
    }


def _encryption(stream: Stream) -> dict[str, str]:
    return {"EncryptionType": stream.encryption} if stream.encryption != "NONE" else {}


def _is_from_the_past(number: str, now_ms: int) -> bool:
    try:
        return SequenceNumber.parse(number).time_s * 1000 <= now_ms
    except ValueError:
        return False


class WriteQuota:
    """What a shard takes in one second: 1,000 records and 1 MiB; what is above is refused and counts for nothing.

    Source: Kinesis Data Streams Developer Guide, "Quotas and limits". On-demand streams are not limited here.
    """

    def __init__(self) -> None:
        self._taken: dict[tuple[int, int], tuple[int, int, int]] = {}

    def admits(self, stream: Stream, shard: Shard, size_bytes: int, *, now_ms: int) -> bool:
        """Count one record into its shard's current second, if there is room."""
        if stream.mode != "PROVISIONED":
            return True
        key, second = (stream.number, shard.index), now_ms // 1000
        counted, records, taken_bytes = self._taken.get(key, (second, 0, 0))
        if counted != second:
            records = taken_bytes = 0
        if records + 1 > MAX_SHARD_RECORDS_PER_S or taken_bytes + size_bytes > MAX_SHARD_BYTES_PER_S:
            return False
        self._taken[key] = (second, records + 1, taken_bytes + size_bytes)
        return True


def rate_exceeded(catalog: StreamCatalog, stream: Stream, shard: Shard) -> ServiceError:
    """The refusal of a record that is above its shard's quota."""
    return ServiceError(
        "ProvisionedThroughputExceededException",
        f"Rate exceeded for shard {shard.shard_id} in stream {stream.name} under account {catalog.account_id}.",
    )


def route(router: ShardRouter, record: NewRecord) -> Shard:
    """The shard a record goes to. Raises: ServiceError `InvalidArgumentException` for an explicit hash key."""
    explicit = record.explicit_hash_key
    return router.route(hash_of(record.partition_key) if explicit is None else explicit_hash(explicit))


def append_records(
    transaction: WriteTransaction, router: ShardRouter, records: Sequence[NewRecord], *, now_ms: int
) -> list[tuple[str, str]]:
    """Append all records and return (shard id, sequence number) of each, in their order.

    Sequence numbers rise with the record's index in its shard, so that a clock that stands still or goes back does
    not disturb the order. Records that expired are trimmed as new ones arrive, about as many as are added.
    Raises: ServiceError `InvalidArgumentException` for an explicit hash key, before anything is written.
    """
    shards = [route(router, record) for record in records]
    stream = router.stream
    tails: dict[int, _Tail] = {}
    answers = []
    for record, shard in zip(records, shards, strict=True):
        tail = tails.get(shard.index)
        if tail is None:
            tail = tails[shard.index] = _Tail(transaction, stream, shard, now_ms)
        answers.append((tail.shard_id, tail.append(record)))
    for tail in tails.values():
        tail.finish()
        if tail.oldest_ms < now_ms - stream.retention_ms:
            trim_shard(transaction, stream, tail.shard, now_ms=now_ms, at_most=len(records) * 2 + _TRIM_AT_LEAST)
    return answers


class _Tail:
    """The end of one shard during one batch: its counter is read and written once."""

    __slots__ = (
        "_arrival",
        "_base",
        "_counter_key",
        "_index",
        "_prefix",
        "_transaction",
        "oldest_ms",
        "shard",
        "shard_id",
    )

    def __init__(self, transaction: WriteTransaction, stream: Stream, shard: Shard, now_ms: int) -> None:
        self._transaction = transaction
        self._prefix = record_prefix(stream, shard.index)
        self._counter_key = _counter_key(stream, shard.index)
        raw = transaction.get(DATABASE, self._counter_key)
        # Index 0 is the shard's own starting sequence number.
        self._index, last_ms, self.oldest_ms = _COUNTER.unpack(raw) if raw is not None else (1, 0, now_ms)
        self._arrival = max(now_ms, last_ms)
        self._base = shard_base(shard.created_s, shard.index) | max(self._arrival // 1000, shard.created_s) << 36
        self.shard = shard
        self.shard_id = shard.shard_id

    def append(self, record: NewRecord) -> str:
        number = self._base | self._index << 80
        self._index += 1
        key = record.partition_key.encode()
        explicit = (record.explicit_hash_key or "").encode()
        header = _HEADER.pack(self._arrival, len(key), len(explicit))
        value = b"".join((header, key, explicit, record.data))
        self._transaction.put(DATABASE, self._prefix + number.to_bytes(KEY_BYTES, "big"), value)
        return str(number)

    def finish(self) -> None:
        self._transaction.put(DATABASE, self._counter_key, _COUNTER.pack(self._index, self._arrival, self.oldest_ms))


def read_records(
    transaction: ReadTransaction, stream: Stream, index: int, *, start: int, now_ms: int
) -> Iterator[StoredRecord]:
    """The records of a shard from a sequence number (inclusive) on, without those past the retention period."""
    oldest_ms = now_ms - stream.retention_ms
    prefix = record_prefix(stream, index)
    scan = transaction.scan(DATABASE, prefix + sequence_key(max(start, 0)), _after(prefix))
    for key, value in scan:
        if oldest_ms > _arrival_of(value):
            # Only the head can be this old: jump over all of it at once.
            first = _first_at(transaction, prefix, oldest_ms)
            if first is None:
                return
            yield from _decoded(transaction.scan(DATABASE, max(first, key), _after(prefix)))
            return
        yield decode_record(key, value)


def first_number_at(transaction: ReadTransaction, stream: Stream, index: int, *, arrival_ms: int) -> int | None:
    """The first record that arrived at or after a time; None if there is none."""
    prefix = record_prefix(stream, index)
    key = _first_at(transaction, prefix, arrival_ms)
    return None if key is None else int.from_bytes(key[_PREFIX_BYTES:], "big")


def last_number(transaction: ReadTransaction, stream: Stream, index: int, *, before: int | None = None) -> int | None:
    """The last record, or the last one below a number; None if there is none."""
    prefix = record_prefix(stream, index)
    stop = _after(prefix) if before is None else prefix + sequence_key(before)
    for key, _ in transaction.scan(DATABASE, prefix, stop, reverse=True):
        return int.from_bytes(key[_PREFIX_BYTES:], "big")
    return None


def next_number(transaction: ReadTransaction, stream: Stream, shard: Shard) -> int:
    """Above every record the shard has ever had, and at or below the next one: where LATEST starts."""
    raw = transaction.get(DATABASE, _counter_key(stream, shard.index))
    index = _COUNTER.unpack(raw)[0] if raw is not None else 1
    return 2 << 184 | shard.created_s << 148 | (shard.index & 0xF) << 144 | index << 80


def trim_shard(transaction: WriteTransaction, stream: Stream, shard: Shard, *, now_ms: int, at_most: int) -> int:
    """Delete up to `at_most` records past the retention period; returns how many there were."""
    counter_key = _counter_key(stream, shard.index)
    raw = transaction.get(DATABASE, counter_key)
    oldest_ms = now_ms - stream.retention_ms
    if raw is None or _COUNTER.unpack(raw)[2] >= oldest_ms:
        return 0
    prefix = record_prefix(stream, shard.index)
    expired: list[bytes] = []
    next_index, last_ms, _ = _COUNTER.unpack(raw)
    left_ms = last_ms  # no later arrival is earlier
    for key, value in transaction.scan(DATABASE, prefix, _after(prefix)):
        if len(expired) == at_most or _arrival_of(value) >= oldest_ms:
            left_ms = _arrival_of(value)
            break
        expired.append(key)
    for key in expired:
        transaction.delete(DATABASE, key)
    transaction.put(DATABASE, counter_key, _COUNTER.pack(next_index, last_ms, left_ms))
    return len(expired)


def delete_all_records(transaction: WriteTransaction, stream: Stream, *, at_most: int) -> bool:
    """Delete up to `at_most` records and counters of a stream; true when nothing is left."""
    for kind in (b"r", b"n"):
        prefix = kind + stream.number.to_bytes(8, "big")
        keys: list[bytes] = []
        for key, _ in transaction.scan(DATABASE, prefix, _after(prefix)):
            if len(keys) == at_most:
                break
            keys.append(key)
        for key in keys:
            transaction.delete(DATABASE, key)
        at_most -= len(keys)
        if at_most <= 0:
            return False
    return True


def record_prefix(stream: Stream, index: int) -> bytes:
    return b"r" + stream.number.to_bytes(8, "big") + index.to_bytes(4, "big")


def decode_record(key: bytes, value: bytes) -> StoredRecord:
    arrival_ms, key_bytes, explicit_bytes = _HEADER.unpack_from(value)
    middle = _HEADER.size + key_bytes
    end = middle + explicit_bytes
    return StoredRecord(
        number=int.from_bytes(key[_PREFIX_BYTES:], "big"),
        arrival_ms=arrival_ms,
        partition_key=value[_HEADER.size : middle].decode(),
        data=value[end:],
        explicit_hash_key=value[middle:end].decode() if explicit_bytes else None,
    )


def _decoded(pairs: Iterator[tuple[bytes, bytes]]) -> Iterator[StoredRecord]:
    for key, value in pairs:
        yield decode_record(key, value)


def _arrival_of(value: bytes) -> int:
    return int.from_bytes(value[:8], "big")


def _counter_key(stream: Stream, index: int) -> bytes:
    return b"n" + stream.number.to_bytes(8, "big") + index.to_bytes(4, "big")


def _after(prefix: bytes) -> bytes:
    """The first key above all that begin with a prefix."""
    return (int.from_bytes(prefix, "big") + 1).to_bytes(len(prefix), "big")


def _first_at(transaction: ReadTransaction, prefix: bytes, arrival_ms: int) -> bytes | None:
    """Bisect by arrival: it never falls along the keys, whose numbers are led by the record's index."""
    first = next(iter(transaction.scan(DATABASE, prefix, _after(prefix))), None)
    if first is None:
        return None
    if _arrival_of(first[1]) >= arrival_ms:
        return first[0]
    last = next(iter(transaction.scan(DATABASE, prefix, _after(prefix), reverse=True)))
    if _arrival_of(last[1]) < arrival_ms:
        return None
    low, high = _index_of(first[0]), _index_of(last[0])
    head = int.from_bytes(first[0][_PREFIX_BYTES:], "big") >> 144
    while high - low > 1:  # the record of `low` is too old, that of `high` is not
        middle = (low + high) // 2
        start = prefix + sequence_key(head << 144 | middle << 80)
        key, value = next(iter(transaction.scan(DATABASE, start, _after(prefix))))
        if _arrival_of(value) >= arrival_ms:
            high = middle
        else:
            low = _index_of(key)
    start = prefix + sequence_key(head << 144 | high << 80)
    return next(iter(transaction.scan(DATABASE, start, _after(prefix))))[0]


def _index_of(key: bytes) -> int:
    return int.from_bytes(key[_PREFIX_BYTES:], "big") >> 80 & 0xFFFF_FFFF_FFFF_FFFF
