"""DynamoDB Streams: one shard a stream, its records in the order of their commits, kept for 24 hours.

A sequence number is 21 digits and rises with every record of the table, across all its streams. A shard iterator is
text that says where to read on; it needs no state here and is refused once 15 minutes old.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.dynamodb.faults import validation
from headwater.dynamodb.items.changes import counters, record_key
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.tables.model import STREAMS_DATABASE, Catalog, Table, space_bytes
from headwater.errors import ServiceError
from headwater.values.transaction import ReadTransaction

RETENTION_S = 24 * 3600.0
ITERATOR_LIFE_S = 15 * 60.0
MAX_RECORDS = 1000
MAX_PAGE_BYTES = 1024 * 1024
_STREAM_PREFIX = b"\x00stream:"
_FIRST_SEQUENCE = 10**20
_STREAM_ARN = re.compile(r"arn:aws:dynamodb:[^:]*:[0-9]*:table/([a-zA-Z0-9_.-]+)/stream/[^/]+\Z")
# The parts of a shard iterator: stream ARN, next sequence number, time it was made.
_Position = tuple[str, int, float]


@dataclass(frozen=True, slots=True)
class StreamView:
    """A stream that can be read, enabled or retired. `last` is the sequence number of its newest record so far."""

    arn: str
    label: str
    table_name: str
    space: bytes
    shard_id: str
    view_type: str
    key_schema: list[dict[str, str]]
    created_s: float
    first: int
    closed_at: int | None


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A stored record: its number, its time, its size, and the record as the service gives it."""

    sequence: int
    time_s: float
    size_bytes: int
    body: dict[str, Any]

    @property
    def creation_s(self) -> float:
        """ApproximateCreationDateTime."""
        moment: float = self.body["dynamodb"]["ApproximateCreationDateTime"]
        return moment


def sequence_text(sequence: int) -> str:
    """A sequence number as the service spells it; texts of equal length sort as the numbers."""
    return str(_FIRST_SEQUENCE + sequence)


def parse_sequence(text: str) -> int:
    """The number of `sequence_text`.

    Raises: ServiceError `ValidationException` for anything else.
    """
    if not text.isdecimal() or len(text) > 40:
        raise validation(f"Invalid SequenceNumber: {text}")
    return max(0, int(text) - _FIRST_SEQUENCE)


def retire_stream(session: Session, table: Table) -> None:
    """Keep a stream readable after it was switched off or its table deleted."""
    stream = table.stream
    assert stream is not None
    last = counters(session.transaction, table)[0]
    document = {
        **table.document["stream"],
        "table": table.name,
        "keySchema": table.document["description"]["KeySchema"],
        "created": _created(table.document["stream"]),
        "closedAt": last,
        "retired": session.now,
    }
    session.transaction.put(STREAMS_DATABASE, _STREAM_PREFIX + stream.arn.encode(), orjson.dumps(document))


def _created(document: dict[str, Any]) -> float:
    return int(document["shardId"].split("-")[1]) / 1000


def streams(transaction: ReadTransaction, catalog: Catalog, table_name: str | None = None) -> list[StreamView]:
    """All streams in the order of their ARNs."""
    found = [
        _enabled_view(table)
        for name in catalog.names(transaction)
        if (table_name is None or name == table_name)
        and (table := catalog.find(transaction, name)) is not None
        and table.stream is not None
    ]
    stop = _STREAM_PREFIX[:-1] + b";"
    for _, raw in transaction.scan(STREAMS_DATABASE, _STREAM_PREFIX, stop):
        document = orjson.loads(raw)
        if table_name is None or document["table"] == table_name:
            found.append(_retired_view(document))
    return sorted(found, key=lambda view: view.arn)


def retired_streams(transaction: ReadTransaction) -> list[tuple[bytes, float]]:
    """Key and time of retirement of every stream that is kept for its records only."""
    stop = _STREAM_PREFIX[:-1] + b";"
    return [
        (key, orjson.loads(raw)["retired"]) for key, raw in transaction.scan(STREAMS_DATABASE, _STREAM_PREFIX, stop)
    ]


def find_stream(transaction: ReadTransaction, catalog: Catalog, arn: str) -> StreamView:
    """The stream of that ARN.

    Raises: ServiceError `ResourceNotFoundException`.
    """
    match = _STREAM_ARN.match(arn)
    if match is None:
        raise validation(f"Invalid StreamArn: {arn}")
    table = catalog.find(transaction, match.group(1))
    if table is not None and table.stream is not None and table.stream.arn == arn:
        return _enabled_view(table)
    raw = transaction.get(STREAMS_DATABASE, _STREAM_PREFIX + arn.encode()[:480])
    if raw is None:
        raise ServiceError("ResourceNotFoundException", f"Requested resource not found: Stream: {arn} not found")
    return _retired_view(orjson.loads(raw))


def _enabled_view(table: Table) -> StreamView:
    stream, document = table.stream, table.document
    assert stream is not None
    schema = document["description"]["KeySchema"]
    created = _created(document["stream"])
    return StreamView(
        stream.arn, stream.label, table.name, stream.space, stream.shard_id, stream.view_type, schema, created, 1, None
    )


def _retired_view(document: dict[str, Any]) -> StreamView:
    return StreamView(
        document["arn"],
        document["label"],
        document["table"],
        space_bytes(document["space"]),
        document["shardId"],
        document["viewType"],
        document["keySchema"],
        document["created"],
        1,
        document["closedAt"],
    )


def records_after(transaction: ReadTransaction, view: StreamView, region: str, sequence: int) -> Iterator[StreamRecord]:
    """The records above a sequence number, oldest first."""
    for number, raw in stored_after(transaction, view, sequence):
        yield decode_record(view, region, number, raw)


def stored_after(transaction: ReadTransaction, view: StreamView, sequence: int) -> Iterator[tuple[int, bytes]]:
    """Sequence numbers above a number with what is stored there, for `decode_record`."""
    start = record_key(view.space, sequence + 1)
    for key, raw in transaction.scan(STREAMS_DATABASE, start, record_key(view.space, 2**64 - 1)):
        yield int.from_bytes(key[-8:], "big"), raw


def last_sequence(transaction: ReadTransaction, view: StreamView) -> int | None:
    """The newest record's sequence number."""
    span = transaction.scan(
        STREAMS_DATABASE, record_key(view.space, 0), record_key(view.space, 2**64 - 1), reverse=True
    )
    for key, _ in span:
        return int.from_bytes(key[-8:], "big")
    return None


def decode_record(view: StreamView, region: str, sequence: int, raw: bytes) -> StreamRecord:
    """A stored record as the service gives it."""
    stored: dict[str, Any] = orjson.loads(raw)
    # The order of the members is the service's.
    change: dict[str, Any] = {
        # The service gives whole seconds here.
        "ApproximateCreationDateTime": float(int(stored["time"])),
        "Keys": stored["keys"],
        **({"NewImage": stored["new"]} if "new" in stored else {}),
        **({"OldImage": stored["old"]} if "old" in stored else {}),
        "SequenceNumber": sequence_text(sequence),
        "SizeBytes": stored["size"],
        "StreamViewType": view.view_type,
    }
    body = {
        "eventID": hashlib.md5(f"{view.arn}:{sequence}".encode(), usedforsecurity=False).hexdigest(),
        "eventName": stored["name"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": region,
        "dynamodb": change,
    }
    if "identity" in stored:
        body["userIdentity"] = stored["identity"]
    return StreamRecord(sequence, stored["time"], stored["size"], body)


def list_streams(session: Session, request: Request) -> Response:
    """ListStreams."""
    found = streams(session.transaction, session.catalog, request.get("TableName"))
    start = request.get("ExclusiveStartStreamArn")
    if start is not None:
        if _STREAM_ARN.match(start) is None:
            raise validation(f"Invalid StreamArn: {start}")
        found = [view for view in found if view.arn > start]
    limit = request.get("Limit") or 100
    response: Response = {
        "Streams": [
            {"StreamArn": view.arn, "StreamLabel": view.label, "TableName": view.table_name} for view in found[:limit]
        ]
    }
    if len(found) > limit:
        response["LastEvaluatedStreamArn"] = found[limit - 1].arn
    return response


def describe_stream(session: Session, request: Request) -> Response:
    """DescribeStream: the one shard, with its range of sequence numbers."""
    view = find_stream(session.transaction, session.catalog, request["StreamArn"])
    sequences = {"StartingSequenceNumber": sequence_text(view.first)}
    if view.closed_at is not None:
        sequences["EndingSequenceNumber"] = sequence_text(view.closed_at)
    # One shard a stream, which never splits: asked for the children of a shard, there are none.
    has_shards = _is_for_all_shards(request.get("ShardFilter"))
    shards = [{"ShardId": view.shard_id, "SequenceNumberRange": sequences}] if has_shards else []
    after = request.get("ExclusiveStartShardId")
    description = {
        "StreamArn": view.arn,
        "StreamLabel": view.label,
        "StreamStatus": "ENABLED" if view.closed_at is None else "DISABLED",
        "StreamViewType": view.view_type,
        "CreationRequestDateTime": view.created_s,
        "TableName": view.table_name,
        "KeySchema": view.key_schema,
        "Shards": [shard for shard in shards if after is None or shard["ShardId"] > after],
    }
    return {"StreamDescription": description}


def _is_for_all_shards(shard_filter: dict[str, Any] | None) -> bool:
    if shard_filter is None:
        return True
    for member in ("Type", "ShardId"):
        if shard_filter.get(member) is None:
            raise validation(f"{member} must be provided in ShardFilter")
    return False


def get_shard_iterator(session: Session, request: Request) -> Response:
    """GetShardIterator."""
    view = find_stream(session.transaction, session.catalog, request["StreamArn"])
    if request["ShardId"] != view.shard_id:
        raise ServiceError(
            "ResourceNotFoundException",
            f"Requested resource not found: Shard: {request['ShardId']} in Stream: {view.arn} not found",
        )
    kind = request["ShardIteratorType"]
    given, moment = request.get("SequenceNumber"), request.get("Timestamp")
    if given is not None and kind in {"TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"}:
        raise validation(f"SequenceNumber may not be provided when ShardIteratorType is {kind}")
    if moment is not None and kind != "AT_TIMESTAMP":
        raise validation(f"Timestamp may not be provided when ShardIteratorType is {kind}")
    if kind == "TRIM_HORIZON":
        position = 0
    elif kind == "LATEST":
        position = _last_of_stream(session, view) + 1
    elif kind in {"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"}:
        if given is None:
            raise validation(f"SequenceNumber must be provided when ShardIteratorType is {kind}")
        position = parse_sequence(given) + (kind == "AFTER_SEQUENCE_NUMBER")
    else:
        if moment is None:
            raise validation(f"Timestamp must be provided when ShardIteratorType is {kind}")
        if moment > session.now:
            raise validation(f"Timestamp may not be in the future: {moment}")
        position = _sequence_at(session, view, moment)
    return {"ShardIterator": _iterator(view, position, session.now)}


def _sequence_at(session: Session, view: StreamView, moment: float) -> int:
    """The sequence number of the first record made at that time or later, by halves: times rise with the numbers."""
    low, high = 1, _last_of_stream(session, view) + 1
    while low < high:
        middle = (low + high) // 2
        number, raw = next(stored_after(session.transaction, view, middle - 1), (high, b""))
        if number >= high or decode_record(view, "", number, raw).creation_s >= moment:
            high = middle
        else:
            low = number + 1
    return low


def _last_of_stream(session: Session, view: StreamView) -> int:
    last = last_sequence(session.transaction, view)
    if last:
        return last
    table = session.catalog.find(session.transaction, view.table_name)
    return 0 if table is None else counters(session.transaction, table)[0]


def get_records(session: Session, request: Request) -> Response:
    """GetRecords: up to 1,000 records or 1 MB; no NextShardIterator once a closed shard is drained."""
    arn, position, made_s = _parse_iterator(request["ShardIterator"])
    if session.now - made_s > ITERATOR_LIFE_S:
        raise ServiceError("ExpiredIteratorException", "Iterator expired")
    view = find_stream(session.transaction, session.catalog, arn)
    limit = request.get("Limit") or MAX_RECORDS
    records: list[dict[str, Any]] = []
    total = 0
    for record in records_after(session.transaction, view, session.catalog.region, position - 1):
        if session.now - record.time_s > RETENTION_S:
            continue
        records.append(record.body)
        position = record.sequence + 1
        total += record.size_bytes
        if len(records) >= limit or total >= MAX_PAGE_BYTES:
            break
    response: Response = {"Records": records}
    if view.closed_at is None or position <= view.closed_at:
        response["NextShardIterator"] = _iterator(view, position, session.now)
    return response


def _iterator(view: StreamView, position: int, now: float) -> str:
    token = base64.urlsafe_b64encode(orjson.dumps([view.arn, position, now])).decode()
    return f"{view.arn}|1|{token}"


def _parse_iterator(text: str) -> _Position:
    try:
        arn, position, made_s = orjson.loads(base64.urlsafe_b64decode(text.rpartition("|")[2]))
        return str(arn), int(position), float(made_s)
    except (ValueError, TypeError) as error:
        raise validation("Invalid ShardIterator") from error
