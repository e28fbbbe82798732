"""Shard iterators and GetRecords: an iterator is a position that is good for five minutes."""

import base64
import binascii
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headwater.errors import ServiceError
from headwater.kinesis.records import StoredRecord, first_number_at, next_number, read_records
from headwater.kinesis.sequence import KEY_BYTES, SequenceNumber, sequence_key, shard_id_of, shard_index_of
from headwater.kinesis.stream import Shard, Stream, StreamCatalog
from headwater.kinesis.streams import stream_name
from headwater.values.transaction import ReadTransaction

LIFETIME_MS = 300_000
MAX_RECORDS = 10_000
MAX_BYTES = 10 * 1024 * 1024
_LEAD = b"\x00\x00\x00\x00\x00\x00\x00\x01"
_FIELDS = struct.Struct(f">QQI{KEY_BYTES}sB")
_LEAST_BYTES, _STEP_BYTES, _MOST_BYTES = 152, 16, 280


@dataclass(frozen=True, slots=True)
class ShardIterator:
    """The first sequence number to read from a shard of a stream; `made_ms` dates it."""

    made_ms: int
    stream_name: str
    stream_number: int
    shard_index: int
    start: int

    def encode(self) -> str:
        """Opaque text of the service's length and lead; the checksum catches what was cut or mistyped."""
        name = self.stream_name.encode()
        body = _FIELDS.pack(self.made_ms, self.stream_number, self.shard_index, sequence_key(self.start), len(name))
        body += name
        total = _LEAST_BYTES
        while total < len(_LEAD) + len(body) + 4:
            total += _STEP_BYTES
        padded = _LEAD + body.ljust(total - len(_LEAD) - 4, b"\x00")
        return base64.b64encode(padded + zlib.crc32(padded).to_bytes(4, "big")).decode()

    @classmethod
    def decode(cls, text: str) -> "ShardIterator":
        """Raises: ServiceError `InvalidArgumentException`."""
        # The service takes an iterator in quotes, too.
        if len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1]
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _invalid("Invalid ShardIterator.") from error
        is_framed = _LEAST_BYTES <= len(raw) <= _MOST_BYTES and raw.startswith(_LEAD)
        if not is_framed or zlib.crc32(raw[:-4]) != int.from_bytes(raw[-4:], "big"):
            raise _invalid("Invalid ShardIterator.")
        made_ms, number, index, start, name_bytes = _FIELDS.unpack_from(raw, len(_LEAD))
        begin = len(_LEAD) + _FIELDS.size
        try:
            name = raw[begin : begin + name_bytes].decode()
        except UnicodeDecodeError as error:
            raise _invalid("Invalid ShardIterator.") from error
        return cls(made_ms, name, number, index, int.from_bytes(start, "big"))


def get_shard_iterator(
    transaction: ReadTransaction, catalog: StreamCatalog, request: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    """Source: API Reference, GetShardIterator."""
    name = stream_name(catalog, request)
    try:
        index = shard_index_of(request["ShardId"])
    except ValueError as error:
        raise catalog.not_found(
            f"Could not find shard {request['ShardId']} in stream {name} under account {catalog.account_id}."
        ) from error
    stream, shard = _find(transaction, catalog, name, index, now_ms)
    start = _starting_number(transaction, catalog, stream, shard, request, now_ms)
    return {"ShardIterator": ShardIterator(now_ms, name, stream.number, index, start).encode()}


def _find(
    transaction: ReadTransaction, catalog: StreamCatalog, name: str, index: int, now_ms: int
) -> tuple[Stream, Shard]:
    router = catalog.find(transaction, name)
    stream = router.stream.without_expired(now_ms) if router is not None else None
    shard = stream.shard(index) if stream is not None else None
    if stream is None or shard is None:
        raise catalog.not_found(
            f"Shard {shard_id_of(index)} in stream {name} under account {catalog.account_id} does not exist"
        )
    return stream, shard


def _starting_number(
    transaction: ReadTransaction,
    catalog: StreamCatalog,
    stream: Stream,
    shard: Shard,
    request: Mapping[str, Any],
    now_ms: int,
) -> int:
    kind = request["ShardIteratorType"]
    number = request.get("StartingSequenceNumber")
    is_by_number = kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER")
    if is_by_number is (number is None) and kind != "AT_TIMESTAMP":
        also = "and no StartingSequenceNumber" if number is None else "and also a StartingSequenceNumber"
        raise _invalid(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or "
            f"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {kind} {also}."
        )
    if kind == "TRIM_HORIZON":
        return shard.first_sequence.to_int()
    if kind == "LATEST":
        return next_number(transaction, stream, shard)
    if kind == "AT_TIMESTAMP":
        at_ms = _timestamp_ms(request.get("Timestamp"), now_ms)
        first = first_number_at(transaction, stream, shard.index, arrival_ms=at_ms)
        return next_number(transaction, stream, shard) if first is None else first
    parsed = _parse_number(catalog, stream, shard, str(number))
    return parsed.to_int() + (1 if kind == "AFTER_SEQUENCE_NUMBER" else 0)


def _timestamp_ms(timestamp: float | None, now_ms: int) -> int:
    if timestamp is None:
        raise _invalid(
            "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. "
            "Current request has no timestamp parameter."
        )
    at_ms = int(timestamp * 1000)
    if at_ms > now_ms:
        raise _invalid(
            "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "
            f"timestampInMillis: {at_ms}, currentTimestampInMillis: {now_ms}"
        )
    return max(at_ms, 0)


def _parse_number(catalog: StreamCatalog, stream: Stream, shard: Shard, text: str) -> SequenceNumber:
    used = (
        f"StartingSequenceNumber {text} used in GetShardIterator on shard {shard.shard_id} in stream {stream.name} "
        f"under account {catalog.account_id} is invalid"
    )
    try:
        parsed = SequenceNumber.parse(text)
    except ValueError as error:
        raise _invalid(f"{used}.") from error
    if parsed.shard_index != shard.index:
        raise _invalid(
            f"Invalid StartingSequenceNumber. It encodes {shard_id_of(parsed.shard_index)}, "
            f"while it was used in a call to a shard with {shard.shard_id}"
        )
    if parsed.version != 2 or parsed.created_s != shard.created_s:
        raise _invalid(f"{used} because it did not come from this stream.")
    return parsed


def get_records(
    transaction: ReadTransaction, catalog: StreamCatalog, request: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    """At most 10,000 records or 10 MiB; a closed shard's last answer has no next iterator and names the children.

    Source: API Reference, GetRecords.
    """
    iterator = ShardIterator.decode(request["ShardIterator"])
    if now_ms - iterator.made_ms > LIFETIME_MS:
        raise ServiceError(
            "ExpiredIteratorException",
            f"Iterator expired. The iterator was created at time {_utc(iterator.made_ms)} while right now it is "
            f"{_utc(now_ms)} which is further in the future than the tolerated delay of {LIFETIME_MS} milliseconds.",
        )
    stream, shard = _find(transaction, catalog, iterator.stream_name, iterator.shard_index, now_ms)
    if stream.number != iterator.stream_number:
        raise catalog.not_found(
            f"Shard {shard.shard_id} in stream {stream.name} under account {catalog.account_id} does not exist"
        )
    limit = min(request.get("Limit", MAX_RECORDS), MAX_RECORDS)
    records: list[StoredRecord] = []
    size_bytes = 0
    has_more = False
    for record in read_records(transaction, stream, shard.index, start=iterator.start, now_ms=now_ms):
        size_bytes += record.size_bytes
        if len(records) == limit or (records and size_bytes > MAX_BYTES):
            has_more = True
            break
        records.append(record)
    answer: dict[str, Any] = {
        "Records": [_described(record, stream) for record in records],
        "MillisBehindLatest": max(0, now_ms - records[-1].arrival_ms) if has_more else 0,
    }
    if not records and shard.is_closed:
        answer["MillisBehindLatest"] = max(0, now_ms - (shard.closed_ms or now_ms))
        answer["ChildShards"] = _children(stream, shard)
        return answer
    start = records[-1].number + 1 if records else iterator.start
    following = ShardIterator(now_ms, stream.name, stream.number, shard.index, start)
    answer["NextShardIterator"] = following.encode()
    return answer


def _described(record: StoredRecord, stream: Stream) -> dict[str, Any]:
    described = {
        "SequenceNumber": str(record.number),
        "ApproximateArrivalTimestamp": record.arrival_ms / 1000,
        "Data": record.data,
        "PartitionKey": record.partition_key,
    }
    if stream.encryption != "NONE":
        described["EncryptionType"] = stream.encryption
    return described


def _children(stream: Stream, shard: Shard) -> list[dict[str, Any]]:
    return [
        {
            "ShardId": child.shard_id,
            "ParentShards": [shard_id_of(p) for p in child.parents],
            "HashKeyRange": {"StartingHashKey": child.start_hash, "EndingHashKey": child.end_hash},
        }
        for child in stream.shards
        if shard.index in child.parents
    ]


def _utc(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidArgumentException", message)
