"""Events have the members and types of events recorded on AWS."""

import json
from typing import Any

import pytest

from headwater.eventsource.events import EventWindow, build_event, encode_record
from headwater.values.records import SourceRecord

STREAM = "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
ROLE = "arn:aws:iam::123456789012:role/lambda-role"


def kinesis_record() -> SourceRecord:
    body = {"partitionKey": "1", "data": b"Hello, this is a test."}
    number = "49590338271490256608559692538361571095921575989136588898"
    return SourceRecord(number, "1", 1545084650.9871, 23, body)


def encoded() -> bytes:
    return encode_record(kinesis_record(), kind="kinesis", arn=STREAM, shard_id="shardId-000000000006", role_arn=ROLE)


def test_kinesis_record_is_what_lambda_sends() -> None:
    assert json.loads(encoded()) == {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
            "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
            "approximateArrivalTimestamp": 1545084650.987,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": ROLE,
        "awsRegion": "us-east-2",
        "eventSourceARN": STREAM,
    }


def test_dynamodb_record_gets_the_arn_of_its_stream() -> None:
    body = {"eventID": "1", "eventName": "INSERT", "dynamodb": {"SequenceNumber": "111"}}
    record = SourceRecord("111", "k", 0.0, 10, body)

    text = encode_record(record, kind="dynamodb", arn="arn:table", shard_id="shard", role_arn=ROLE)

    assert json.loads(text) == {**body, "eventSourceARN": "arn:table"}


def test_event_of_a_tumbling_window_has_the_window_members() -> None:
    window = EventWindow(1607497440, 1607497560, {"1": 282}, "shardId-000000000006", STREAM, False, False)

    event: dict[str, Any] = json.loads(build_event([encoded()], window))

    assert len(event.pop("Records")) == 1
    assert event == {
        "window": {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"},
        "state": {"1": 282},
        "shardId": "shardId-000000000006",
        "eventSourceARN": STREAM,
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }


@pytest.mark.parametrize("count", [0, 1, 3])
def test_records_are_joined_in_order(count: int) -> None:
    event = json.loads(build_event([b"%d" % index for index in range(count)]))

    assert event == {"Records": list(range(count))}
