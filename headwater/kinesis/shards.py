"""The operations on shards: split, merge, scale, list; a closed shard keeps its records until they expire."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headwater.errors import ServiceError
from headwater.kinesis.sequence import shard_id_of, shard_index_of
from headwater.kinesis.stream import HASH_SPACE, Shard, Stream, StreamCatalog
from headwater.kinesis.streams import check_shard_limit, stream_name, stream_of
from headwater.values.transaction import ReadTransaction, WriteTransaction

Request = Mapping[str, Any]


def split_shard(transaction: WriteTransaction, catalog: StreamCatalog, request: Request, now_ms: int) -> dict[str, Any]:
    """Raises: ServiceError for an unknown or closed shard, or a hash key outside its range."""
    name = stream_name(catalog, request)
    index = _index_of(catalog, name, request["ShardToSplit"])
    stream = catalog.get(transaction, name).without_expired(now_ms)
    shard = _require(catalog, stream, index)
    _require_provisioned(catalog, stream)
    check_shard_limit(transaction, catalog, 1)
    start = int(request["NewStartingHashKey"])
    if not int(shard.start_hash) + 1 < start < int(shard.end_hash):
        raise _invalid(
            f"NewStartingHashKey {start} used in SplitShard() on shard {shard.shard_id} in stream {name} under account "
            f"{catalog.account_id} is not both greater than one plus the shard's StartingHashKey {shard.start_hash} "
            f"and less than the shard's EndingHashKey {shard.end_hash}."
        )
    _require_open(catalog, stream, shard)
    catalog.put(transaction, split(stream, shard, start, now_ms=now_ms))
    return {}


def merge_shards(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    """Raises: ServiceError for an unknown or closed shard, or two that are no neighbours in rising order."""
    name = stream_name(catalog, request)
    indices = [_index_of(catalog, name, request[member]) for member in ("ShardToMerge", "AdjacentShardToMerge")]
    stream = catalog.get(transaction, name).without_expired(now_ms)
    first, second = (_require(catalog, stream, index) for index in indices)
    _require_provisioned(catalog, stream)
    if int(first.end_hash) + 1 != int(second.start_hash):
        raise _invalid(
            f"Shards {first.shard_id} and {second.shard_id} in stream {name} under account {catalog.account_id} "
            "are not an adjacent pair of shards eligible for merging"
        )
    for shard in (first, second):
        _require_open(catalog, stream, shard)
    catalog.put(transaction, merge(stream, first, second, now_ms=now_ms))
    return {}


def update_shard_count(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Request, now_ms: int
) -> dict[str, Any]:
    """Scale to equal shards by splits and merges, so that every key's lineage can be followed.

    Raises: ServiceError `LimitExceededException` above double or below half of the open shards.
    """
    stream = stream_of(transaction, catalog, request).without_expired(now_ms)
    _require_provisioned(catalog, stream)
    target = request["TargetShardCount"]
    current = len(stream.open_shards)
    if target > 2 * current or 2 * target < current:
        raise ServiceError(
            "LimitExceededException",
            f"UpdateShardCount cannot scale stream {stream.name} under account {catalog.account_id} from {current} to "
            f"{target} shards: the target must be at least half and at most double of the current count.",
        )
    if target > current:
        check_shard_limit(transaction, catalog, target - current)
    catalog.put(transaction, rescale(stream, target, now_ms=now_ms))
    return {
        "StreamName": stream.name,
        "StreamARN": catalog.arn(stream.name),
        "CurrentShardCount": current,
        "TargetShardCount": target,
    }


def split(stream: Stream, shard: Shard, start: int, *, now_ms: int) -> Stream:
    """Close a shard; its children begin one second later, as on the service."""
    closed_ms = max(now_ms, shard.created_s * 1000)
    child = Shard(
        stream.next_index, shard.start_hash, str(start - 1), created_s=closed_ms // 1000 + 1, parent=shard.index
    )
    other = replace(child, index=child.index + 1, start_hash=str(start), end_hash=shard.end_hash)
    return stream.with_shards([replace(shard, closed_ms=closed_ms), child, other])


def merge(stream: Stream, first: Shard, second: Shard, *, now_ms: int) -> Stream:
    """Close two neighbours, the lower one first, and open their child."""
    closed_ms = max(now_ms, first.created_s * 1000, second.created_s * 1000)
    child = Shard(
        stream.next_index,
        start_hash=first.start_hash,
        end_hash=second.end_hash,
        created_s=closed_ms // 1000 + 1,
        parent=first.index,
        adjacent_parent=second.index,
    )
    return stream.with_shards([replace(first, closed_ms=closed_ms), replace(second, closed_ms=closed_ms), child])


def rescale(stream: Stream, target: int, *, now_ms: int) -> Stream:
    """Split at every wanted border inside an open shard, then merge what lies between two wanted borders."""
    borders = {HASH_SPACE // target * i for i in range(1, target)}
    for shard in sorted(stream.open_shards, key=lambda s: int(s.start_hash)):
        rest = shard
        for border in sorted(b for b in borders if int(shard.start_hash) < b <= int(shard.end_hash)):
            stream = split(stream, rest, border, now_ms=now_ms)
            rest = stream.shards[-1]
    ordered = sorted(stream.open_shards, key=lambda s: int(s.start_hash))
    merged = ordered[0]
    for shard in ordered[1:]:
        if int(shard.start_hash) in borders:
            merged = shard
            continue
        stream = merge(stream, merged, shard, now_ms=now_ms)
        merged = stream.shards[-1]
    return stream


def list_shards(transaction: ReadTransaction, catalog: StreamCatalog, request: Request, now_ms: int) -> dict[str, Any]:
    """Source: API Reference, ListShards; a token stands for the stream, the filter and the last shard returned."""
    token = request.get("NextToken")
    named = [m for m in ("StreamName", "StreamARN") if m in request]
    if token is None and not named:
        raise _invalid("Either NextToken or StreamName should be provided.")
    if token is not None and named:
        raise _invalid("NextToken and StreamName cannot be provided together.")
    limit = request.get("MaxResults", 1000)
    asked = dict(request) if token is None else _decode_token(token)
    stream = stream_of(transaction, catalog, asked)
    created = asked.get("StreamCreationTimestamp")
    if created is not None and int(created) != stream.created_ms // 1000:
        raise catalog.not_found(f"Stream {stream.name} under account {catalog.account_id} not found.")
    shards = _filtered(stream, asked.get("ShardFilter"), now_ms)
    after = asked.get("ExclusiveStartShardId", "")
    shards = [s for s in shards if s.shard_id > after]
    answer: dict[str, Any] = {"Shards": [s.describe() for s in shards[:limit]]}
    if len(shards) > limit:
        kept = {"StreamName": stream.name, "ShardFilter": asked.get("ShardFilter")}
        answer["NextToken"] = _encode_token({**kept, "ExclusiveStartShardId": shards[limit - 1].shard_id})
    return answer


def _filtered(stream: Stream, wanted: Mapping[str, Any] | None, now_ms: int) -> list[Shard]:
    kept = list(stream.without_expired(now_ms).shards)
    if wanted is None:
        return kept
    kind = wanted["Type"]
    if kind == "AFTER_SHARD_ID":
        if "ShardId" not in wanted:
            raise _invalid("ShardId must be specified for the shard filter type AFTER_SHARD_ID.")
        return [s for s in kept if s.shard_id > wanted["ShardId"]]
    if kind == "AT_LATEST":
        return [s for s in kept if not s.is_closed]
    at_ms = now_ms - stream.retention_ms
    if kind.endswith("TIMESTAMP"):
        if "Timestamp" not in wanted:
            raise _invalid(f"Timestamp must be specified for the shard filter type {kind}.")
        at_ms = int(wanted["Timestamp"] * 1000)
    kept = [s for s in kept if s.closed_ms is None or s.closed_ms >= at_ms]
    if kind.startswith("AT_"):
        # A child does not exist yet at a time when one of its parents was open.
        indices = {s.index for s in kept}
        kept = [s for s in kept if not indices.intersection(s.parents)]
    return kept


def _encode_token(members: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).decode()


def _decode_token(token: str) -> dict[str, Any]:
    try:
        members = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error) as error:
        raise _invalid("NextToken is not valid.") from error
    if not isinstance(members, dict) or not isinstance(members.get("StreamName"), str):
        raise _invalid("NextToken is not valid.")
    return {key: value for key, value in members.items() if value is not None}


def _index_of(catalog: StreamCatalog, name: str, shard_id: str) -> int:
    try:
        return shard_index_of(shard_id)
    except ValueError as error:
        message = f"Could not find shard {shard_id} in stream {name} under account {catalog.account_id}."
        raise catalog.not_found(message) from error


def _require(catalog: StreamCatalog, stream: Stream, index: int) -> Shard:
    shard = stream.shard(index)
    if shard is None:
        raise catalog.not_found(
            f"Could not find shard {shard_id_of(index)} in stream {stream.name} under account {catalog.account_id}."
        )
    return shard


def _require_open(catalog: StreamCatalog, stream: Stream, shard: Shard) -> None:
    if shard.is_closed:
        raise _invalid(
            f"Shard {shard.shard_id} in stream {stream.name} under account {catalog.account_id} has already been "
            "merged or split, and thus is not eligible for merging or splitting."
        )


def _require_provisioned(catalog: StreamCatalog, stream: Stream) -> None:
    if stream.mode == "ON_DEMAND":
        raise ServiceError(
            "ValidationException",
            f"Request is invalid. Stream {stream.name} under account {catalog.account_id} is in On-Demand mode.",
        )


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidArgumentException", message)
