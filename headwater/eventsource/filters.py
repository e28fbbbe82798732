"""Filter criteria: which records an event source mapping hands to its function.

Source: Lambda developer guide, "Control which events Lambda sends to your function".
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import orjson

from headwater.values.event_patterns import compile_pattern
from headwater.values.records import SourceRecord

RecordFilter = Callable[[SourceRecord], bool]
MessageFilter = Callable[[dict[str, Any]], bool]
_Matcher = Callable[[dict[str, Any]], bool]


def stream_filter(kind: Literal["kinesis", "dynamodb"], patterns: Sequence[str]) -> RecordFilter | None:
    """A predicate that any of the pattern texts fulfils; None without patterns.

    Raises: EventPatternError for a text that is no pattern.
    """
    if not patterns:
        return None
    matchers = [_data_matcher(pattern, "data") for pattern in patterns]
    if kind == "dynamodb":
        return lambda record: any(matches(record.body, None) for matches in matchers)

    def passes(record: SourceRecord) -> bool:
        event = {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.body["partitionKey"],
            "sequenceNumber": record.sequence_number,
            "approximateArrivalTimestamp": round(record.arrival_s, 3),
        }
        return any(matches(event, record.body["data"]) for matches in matchers)

    return passes


def queue_filter(patterns: Sequence[str]) -> MessageFilter | None:
    """Like `stream_filter`, for SQS records of a Lambda event: the pattern's `body` sees the parsed JSON."""
    if not patterns:
        return None
    matchers = [_data_matcher(pattern, "body") for pattern in patterns]
    return lambda record: any(matches(record, record["body"].encode()) for matches in matchers)


def _data_matcher(pattern: str, field: Literal["data", "body"]) -> Callable[[dict[str, Any], bytes | None], bool]:
    """Match an event whose `field` comes as bytes; None leaves the event as it is.

    A pattern with members below the field needs JSON data, a pattern with values at the field needs plain text; any
    other data does not match. A pattern that does not name the field looks at the metadata only.
    """
    matches = compile_pattern(pattern, scope="lambda")
    below = _below(pattern, field)

    def matches_event(event: dict[str, Any], data: bytes | None) -> bool:
        if data is None or below == "absent":
            return matches(event)
        value = _decode(data)
        if value is None or isinstance(value, str) != (below == "values"):
            return False
        return matches({**event, field: value})

    return matches_event


def _below(pattern: str, field: str) -> Literal["absent", "members", "values"]:
    document = orjson.loads(pattern)
    branches = [document, *(branch for branch in document.get("$or", []) if isinstance(branch, dict))]
    for branch in branches:
        if field in branch:
            return "members" if isinstance(branch[field], dict) else "values"
    return "absent"


def _decode(data: bytes) -> Any:
    """JSON objects and arrays parsed, any other text as it is, None for bytes that are no text."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict | list):
        return value
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
