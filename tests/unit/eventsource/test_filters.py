"""Filter criteria: the pairings of data and pattern that Lambda's guide tabulates."""

from typing import Any

import pytest

from headwater.eventsource.filters import queue_filter, stream_filter
from headwater.values.event_patterns import EventPatternError
from headwater.values.records import SourceRecord


def kinesis(data: bytes, key: str = "1") -> SourceRecord:
    return SourceRecord("7", key, 1000.0, len(data), {"partitionKey": key, "data": data})


def passes(pattern: str, record: SourceRecord) -> bool:
    check = stream_filter("kinesis", [pattern])
    assert check is not None
    return check(record)


@pytest.mark.parametrize(
    ("data", "pattern", "expected"),
    [
        (b'{"City":"Seattle"}', '{"data":{"City":["Seattle"]}}', True),
        (b'{"City":"Boston"}', '{"data":{"City":["Seattle"]}}', False),
        (b'{"City":"Seattle"}', '{"partitionKey":["1"]}', True),
        (b'{"City":"Seattle"}', '{"data":["Seattle"]}', False),
        (b"Seattle", '{"data":["Seattle"]}', True),
        (b"Seattle", '{"data":[{"prefix":"Sea"}]}', True),
        (b"Seattle", '{"data":{"City":["Seattle"]}}', False),
        (b"Seattle", '{"partitionKey":["1"]}', True),
        (b"\xff\xfe", '{"partitionKey":["1"]}', True),
        (b"\xff\xfe", '{"data":["x"]}', False),
        (b'{"City":"Seattle"}', '{"partitionKey":["2"],"data":{"City":["Seattle"]}}', False),
        (b'{"a":1}', '{"$or":[{"data":{"a":[1]}},{"partitionKey":["9"]}]}', True),
    ],
)
def test_kinesis_data(data: bytes, pattern: str, expected: bool) -> None:
    assert passes(pattern, kinesis(data)) is expected


def test_any_of_several_filters_is_enough() -> None:
    check = stream_filter("kinesis", ['{"data":{"a":[1]}}', '{"data":{"b":[2]}}'])

    assert check is not None
    assert check(kinesis(b'{"b":2}'))
    assert not check(kinesis(b'{"a":2,"b":1}'))


def test_dynamodb_records_are_matched_by_name_and_image() -> None:
    body: dict[str, Any] = {"eventName": "INSERT", "dynamodb": {"Keys": {"PK": {"S": "DEV#1"}}}}
    record = SourceRecord("7", "k", 0.0, 1, body)
    check = stream_filter(
        "dynamodb", ['{"eventName":["INSERT","MODIFY"],"dynamodb":{"Keys":{"PK":{"S":[{"prefix":"DEV#"}]}}}}']
    )

    assert check is not None
    assert check(record)
    assert not check(SourceRecord("8", "k", 0.0, 1, {**body, "eventName": "REMOVE"}))


@pytest.mark.parametrize(
    ("body", "pattern", "expected"),
    [
        ('{"a":1}', '{"body":{"a":[1]}}', True),
        ("text", '{"body":["text"]}', True),
        ("text", '{"body":{"a":[1]}}', False),
        ('{"a":1}', '{"messageAttributes":{"k":{"stringValue":["v"]}}}', True),
    ],
)
def test_sqs_bodies(body: str, pattern: str, expected: bool) -> None:
    check = queue_filter([pattern])

    assert check is not None
    assert check({"body": body, "messageAttributes": {"k": {"stringValue": "v"}}}) is expected


def test_no_filters_mean_no_check() -> None:
    assert stream_filter("kinesis", []) is None
    assert queue_filter([]) is None


def test_text_that_is_no_pattern_is_refused() -> None:
    with pytest.raises(EventPatternError):
        stream_filter("kinesis", ["simple-string"])
