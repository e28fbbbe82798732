"""Lambda events of stream records, byte for byte in the members that Lambda sends."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from headwater.eventsource.ports import SourceKind
from headwater.values.records import SourceRecord


@dataclass(frozen=True, slots=True)
class EventWindow:
    """The tumbling window part of an event; `start_s` and `end_s` are epoch seconds."""

    start_s: int
    end_s: int
    state: Any
    shard_id: str
    source_arn: str
    is_final: bool
    is_terminated_early: bool


def encode_record(record: SourceRecord, *, kind: SourceKind, arn: str, shard_id: str, role_arn: str) -> bytes:
    """One element of `Records`, as JSON.

    Source: recorded events of Powertools for AWS Lambda, kinesisStreamEvent.json and dynamoStreamEvent.json.
    """
    if kind == "dynamodb":
        return orjson.dumps({**record.body, "eventSourceARN": arn})
    return orjson.dumps(
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record.body["partitionKey"],
                "sequenceNumber": record.sequence_number,
                "data": b64encode(record.body["data"]).decode(),
                "approximateArrivalTimestamp": round(record.arrival_s, 3),
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard_id}:{record.sequence_number}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": role_arn,
            "awsRegion": arn.split(":")[3],
            "eventSourceARN": arn,
        }
    )


def build_event(encoded_records: Sequence[bytes], window: EventWindow | None = None) -> bytes:
    """The whole event; `encoded_records` are JSON texts."""
    records = b",".join(encoded_records)
    if window is None:
        return b'{"Records":[' + records + b"]}"
    tail = orjson.dumps(
        {
            "window": {"start": _iso_seconds(window.start_s), "end": _iso_seconds(window.end_s)},
            "state": window.state,
            "shardId": window.shard_id,
            "eventSourceARN": window.source_arn,
            "isFinalInvokeForWindow": window.is_final,
            "isWindowTerminatedEarly": window.is_terminated_early,
        }
    )
    return b'{"Records":[' + records + b"]," + tail[1:]


def _iso_seconds(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
