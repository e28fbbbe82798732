"""The operations on whole streams: create, describe, list, configure, tag, delete."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from headwater.errors import ServiceError
from headwater.kinesis.consumers import consumer_count, delete_consumers
from headwater.kinesis.stream import DATABASE, Stream, StreamCatalog, even_shards
from headwater.values.arn import Arn
from headwater.values.transaction import ReadTransaction, WriteTransaction

Request = Mapping[str, Any]

SHARD_LIMIT = 500
ON_DEMAND_SHARDS = 4
MAX_RETENTION_HOURS = 8760
_ALL_METRICS = (
    "IncomingBytes",
    "IncomingRecords",
    "OutgoingBytes",
    "OutgoingRecords",
    "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded",
    "IteratorAgeMilliseconds",
)
_NUMBER_KEY = b"i"


def stream_name(catalog: StreamCatalog, request: Request) -> str:
    """The stream a request names by name or ARN.

    Raises: ServiceError `ResourceNotFoundException` for an ARN of another account or region.
    """
    text = request.get("StreamARN") or request.get("ResourceARN")
    if text is None:
        return str(request["StreamName"])
    arn = Arn.parse(text)
    name = arn.name.split("/")[0]
    if (arn.account_id, arn.region) != (catalog.account_id, catalog.region):
        raise catalog.not_found(f"Stream {name} under account {arn.account_id} not found.")
    return name


def stream_of(transaction: ReadTransaction, catalog: StreamCatalog, request: Request) -> Stream:
    """Raises: ServiceError `ResourceNotFoundException`."""
    return catalog.get(transaction, stream_name(catalog, request))


def create_stream(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    """The stream is ACTIVE at once; the service takes seconds, which no caller may rely on."""
    name = request["StreamName"]
    default = "PROVISIONED" if request.get("ShardCount") else "ON_DEMAND"
    mode = (request.get("StreamModeDetails") or {}).get("StreamMode", default)
    count = request.get("ShardCount") or ON_DEMAND_SHARDS
    if mode == "PROVISIONED" and not request.get("ShardCount"):
        raise ServiceError("ValidationException", "ShardCount is required for a stream in PROVISIONED mode")
    if catalog.find(transaction, name) is not None:
        raise ServiceError(
            "ResourceInUseException", f"Stream {name} under account {catalog.account_id} already exists."
        )
    check_shard_limit(transaction, catalog, count)
    raw = transaction.get(DATABASE, _NUMBER_KEY)
    number = int.from_bytes(raw, "big") + 1 if raw is not None else 1
    transaction.put(DATABASE, _NUMBER_KEY, number.to_bytes(8, "big"))
    stream = Stream(
        name=name,
        number=number,
        created_ms=now_ms,
        shards=tuple(even_shards(count, first_index=0, created_s=now_ms // 1000)),
        mode=mode,
        max_record_kib=request.get("MaxRecordSizeInKiB", 1024),
        tags=dict(request.get("Tags") or {}),
    )
    catalog.put(transaction, stream)
    return {}


def check_shard_limit(transaction: ReadTransaction, catalog: StreamCatalog, added: int) -> None:
    """Raises: ServiceError `LimitExceededException`."""
    current = sum(len(catalog.get(transaction, n).open_shards) for n in catalog.names(transaction))
    if current + added > SHARD_LIMIT:
        raise ServiceError(
            "LimitExceededException",
            f"This request would exceed the shard limit for the account {catalog.account_id} in {catalog.region}. "
            f"Current shard count for the account: {current}. Limit: {SHARD_LIMIT}. Number of additional shards that "
            f"would have resulted from this request: {added}. Refer to the AWS Service Limits page "
            "(http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to "
            "request higher limits.",
        )


def delete_stream(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    """The name is free at once; the records go later, see `doomed_streams`."""
    stream = stream_of(transaction, catalog, request)
    consumers = consumer_count(transaction, stream)
    if consumers and not request.get("EnforceConsumerDeletion"):
        raise ServiceError(
            "ResourceInUseException",
            f"Stream {stream.name} under account {catalog.account_id} has {consumers} registered consumers; "
            "deregister them or set EnforceConsumerDeletion",
        )
    delete_consumers(transaction, stream)
    transaction.delete(DATABASE, b"s/" + stream.name.encode())
    transaction.put(DATABASE, doomed_key(stream.number), b"")
    return {}


def doomed_key(number: int) -> bytes:
    """The mark of a deleted stream whose records are still there."""
    return b"d" + number.to_bytes(8, "big")


def doomed_streams(transaction: ReadTransaction) -> list[int]:
    """The numbers of the deleted streams whose records are still there."""
    return [int.from_bytes(key[1:], "big") for key, _ in transaction.scan(DATABASE, b"d", b"e")]


def describe_stream(
    transaction: ReadTransaction, catalog: StreamCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    stream = stream_of(transaction, catalog, request).without_expired(now_ms)
    after = request.get("ExclusiveStartShardId", "")
    limit = request.get("Limit", 100)
    shards = [s for s in stream.shards if s.shard_id > after]
    described = {
        **_common(catalog, stream),
        "Shards": [s.describe() for s in shards[:limit]],
        "HasMoreShards": len(shards) > limit,
    }
    return {"StreamDescription": described}


def describe_stream_summary(
    transaction: ReadTransaction, catalog: StreamCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    stream = stream_of(transaction, catalog, request)
    described = {
        **_common(catalog, stream),
        "OpenShardCount": len(stream.open_shards),
        "ConsumerCount": consumer_count(transaction, stream),
        "MaxRecordSizeInKiB": stream.max_record_kib,
    }
    return {"StreamDescriptionSummary": described}


def _common(catalog: StreamCatalog, stream: Stream) -> dict[str, Any]:
    described = {
        "StreamName": stream.name,
        "StreamARN": catalog.arn(stream.name),
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": stream.mode},
        "RetentionPeriodHours": stream.retention_hours,
        "StreamCreationTimestamp": stream.created_ms / 1000,
        "EnhancedMonitoring": [{"ShardLevelMetrics": list(stream.metrics)}],
        "EncryptionType": stream.encryption,
    }
    if stream.key_id is not None:
        described["KeyId"] = stream.key_id
    return described


def list_streams(transaction: ReadTransaction, catalog: StreamCatalog, request: Request, now_ms: int) -> dict[str, Any]:
    """The token of the next page is the last name of this one."""
    limit = request.get("Limit", 100)
    names = catalog.names(transaction, after=request.get("NextToken") or request.get("ExclusiveStartStreamName", ""))
    page = names[:limit]
    summaries = []
    for name in page:
        stream = catalog.get(transaction, name)
        common = _common(catalog, stream)
        wanted = ("StreamName", "StreamARN", "StreamStatus", "StreamModeDetails", "StreamCreationTimestamp")
        summaries.append({key: common[key] for key in wanted})
    answer: dict[str, Any] = {
        "StreamNames": page,
        "HasMoreStreams": len(names) > limit,
        "StreamSummaries": summaries,
    }
    if len(names) > limit:
        answer["NextToken"] = page[-1]
    return answer


def change_stream(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Request, change: Callable[[Stream], Stream]
) -> dict[str, Any]:
    """Store what `change` makes of the stream that a request names."""
    catalog.put(transaction, change(stream_of(transaction, catalog, request)))
    return {}


def change_retention(stream: Stream, hours: int, *, is_increase: bool) -> Stream:
    """Raises: ServiceError `InvalidArgumentException`."""
    if hours < 24:
        raise _invalid(
            f"Minimum allowed retention period is 24 hours. Requested retention period ({hours} hours) is too short."
        )
    if hours > MAX_RETENTION_HOURS:
        raise _invalid(
            f"Maximum allowed retention period is {MAX_RETENTION_HOURS} hours. "
            f"Requested retention period ({hours} hours) is too long."
        )
    is_wrong = hours < stream.retention_hours if is_increase else hours > stream.retention_hours
    if is_wrong:
        relation, other = ("shorter", "Decrease") if is_increase else ("longer", "Increase")
        raise _invalid(
            f"Requested retention period ({hours} hours) for stream {stream.name} can not be {relation} than existing "
            f"retention period ({stream.retention_hours} hours). Use {other}RetentionPeriod API."
        )
    return replace(stream, retention_hours=hours)


def change_metrics(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Request, *, is_enabling: bool
) -> dict[str, Any]:
    """Shard-level metrics are metadata: nothing here reads them."""
    stream = stream_of(transaction, catalog, request)
    named = request["ShardLevelMetrics"]
    chosen = set(_ALL_METRICS) if "ALL" in named else set(named)
    unknown = sorted(chosen - set(_ALL_METRICS))
    if unknown:
        raise _invalid(f"ShardLevelMetrics has {unknown[0]!r}, expected one of {', '.join(_ALL_METRICS)}, ALL")
    before = set(stream.metrics)
    after = before | chosen if is_enabling else before - chosen
    catalog.put(transaction, replace(stream, metrics=tuple(m for m in _ALL_METRICS if m in after)))
    return {
        "StreamName": stream.name,
        "StreamARN": catalog.arn(stream.name),
        "CurrentShardLevelMetrics": list(stream.metrics),
        "DesiredShardLevelMetrics": [m for m in _ALL_METRICS if m in after],
    }


def change_encryption(stream: Stream, request: Request, *, is_starting: bool) -> Stream:
    """Encryption is metadata: the data directory is not encrypted."""
    if is_starting:
        return replace(stream, encryption=request["EncryptionType"], key_id=request["KeyId"])
    return replace(stream, encryption="NONE", key_id=None)


def resource_policy(
    transaction: ReadTransaction, catalog: StreamCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    return {"Policy": _owner_of_policy(transaction, catalog, request).policy or "{}"}


def put_resource_policy(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    stream = _owner_of_policy(transaction, catalog, request)
    try:
        is_object = isinstance(json.loads(request["Policy"]), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise _invalid("The policy document is not valid JSON.")
    catalog.put(transaction, replace(stream, policy=request["Policy"]))
    return {}


def delete_resource_policy(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    """Raises: ServiceError `ResourceNotFoundException` for a stream without a policy."""
    stream = _owner_of_policy(transaction, catalog, request)
    if stream.policy is None:
        raise catalog.not_found(f"No resource policy found for resource ARN {request['ResourceARN']}.")
    catalog.put(transaction, replace(stream, policy=None))
    return {}


def _owner_of_policy(transaction: ReadTransaction, catalog: StreamCatalog, request: Request) -> Stream:
    arn = request["ResourceARN"]
    if "/consumer/" in arn:
        raise _invalid("Resource policies of stream consumers are not supported here, only those of streams")
    name = stream_name(catalog, request)
    found = catalog.find(transaction, name)
    if found is None:
        raise catalog.not_found(f"Stream {arn} under account {catalog.account_id} not found.")
    return found.stream


def list_tags(transaction: ReadTransaction, catalog: StreamCatalog, request: Request, now_ms: int) -> dict[str, Any]:
    stream = stream_of(transaction, catalog, request)
    limit = request.get("Limit", 50)
    keys = sorted(k for k in stream.tags if k > request.get("ExclusiveStartTagKey", ""))
    page = [{"Key": k, "Value": stream.tags[k]} for k in keys[:limit]]
    return {"Tags": page, "HasMoreTags": len(keys) > limit}


def describe_limits(
    transaction: ReadTransaction, catalog: StreamCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    streams = [catalog.get(transaction, name) for name in catalog.names(transaction)]
    return {
        "ShardLimit": SHARD_LIMIT,
        "OpenShardCount": sum(len(s.open_shards) for s in streams),
        "OnDemandStreamCount": sum(s.mode == "ON_DEMAND" for s in streams),
        "OnDemandStreamCountLimit": 50,
    }


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidArgumentException", message)
