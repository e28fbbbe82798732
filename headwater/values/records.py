"""Records as every event source hands them to event source mappings, whatever service stores them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SourceShard:
    """One shard of a stream; a closed one must be drained before its children are read."""

    shard_id: str
    parent_ids: tuple[str, ...] = ()
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One stream record.

    `ordering_key` is the partition key (Kinesis) or the serialized item key (DynamoDB): order holds within it.
    `arrival_s` is in epoch seconds. `body` is, for Kinesis, `{"partitionKey", "data": bytes, "explicitHashKey"?}`
    and, for DynamoDB, the record of the Lambda event without `eventSourceARN`.
    """

    sequence_number: str
    ordering_key: str
    arrival_s: float
    size_bytes: int
    body: dict[str, Any]
