"""Invocation records for on-failure destinations of stream mappings, member for member as AWS writes them.

Source: Lambda developer guide, "Capturing discarded batches for a Kinesis stream" and "… for a DynamoDB stream";
`functionError` null after a partial response and the missing `responseContext` after an expiry were seen on AWS.
"""

from datetime import UTC, datetime
from typing import Any

from headwater.eventsource.events import EventWindow, build_event
from headwater.eventsource.ports import SourceKind
from headwater.eventsource.stream.lane import Batch, Condition


def invocation_record(
    batch: Batch,
    condition: Condition,
    *,
    kind: SourceKind,
    function_arn: str,
    stream_arn: str,
    shard_id: str,
    request_id: str,
    now: float,
) -> dict[str, Any]:
    """The metadata document for SQS and SNS; `request_id` stands in for a batch that was never invoked."""
    first, last = batch.records[0].record, batch.records[-1].record
    document: dict[str, Any] = {
        "requestContext": {
            "requestId": batch.last_request_id or request_id,
            "functionArn": function_arn,
            "condition": condition,
            "approximateInvokeCount": max(1, batch.invocations),
        },
    }
    if condition == "RetryAttemptsExhausted":
        document["responseContext"] = {
            "statusCode": 200,
            "executedVersion": batch.last_version,
            "functionError": batch.last_function_error,
        }
    # DynamoDB arrival times have whole seconds.
    precision = "milliseconds" if kind == "kinesis" else "seconds"
    document |= {
        "version": "1.0",
        "timestamp": iso(now, "milliseconds"),
        "KinesisBatchInfo" if kind == "kinesis" else "DDBStreamBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": first.sequence_number,
            "endSequenceNumber": last.sequence_number,
            "approximateArrivalOfFirstRecord": iso(first.arrival_s, precision),
            "approximateArrivalOfLastRecord": iso(last.arrival_s, precision),
            "batchSize": len(batch.records),
            "streamArn": stream_arn,
        },
    }
    return document


def with_payload(document: dict[str, Any], batch: Batch, window: EventWindow | None) -> dict[str, Any]:
    """The document for S3, which holds the whole event as well, as a JSON string in the JSON.

    A recording of such an object shows the event itself there, but its recorder parses texts that look like JSON.
    Source: Lambda developer guide, "Retain discarded batch records", "escaped JSON string".
    """
    event = build_event([prepared.encoded for prepared in batch.records], window)
    return {**document, "payload": event.decode()}


def object_key(mapping_id: str, shard_id: str, now: float, unique: str) -> str:
    """The S3 key of an invocation record: `aws/lambda/<mapping>/<shard>/YYYY/MM/DD/<time>-<unique>`."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"aws/lambda/{mapping_id}/{shard_id}/{moment:%Y/%m/%d}/{moment:%Y-%m-%dT%H.%M.%S}-{unique}"


def iso(epoch_s: float, precision: str) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
