"""Registered stream consumers: names for enhanced fan-out, which event source mappings may read through."""

from collections.abc import Mapping
from typing import Any

import msgspec

from headwater.errors import ServiceError
from headwater.kinesis.stream import DATABASE, MAX_NAME, Stream, StreamCatalog
from headwater.kinesis.tags import merged_tags, tags_without
from headwater.values.arn import Arn
from headwater.values.transaction import ReadTransaction, WriteTransaction

MAX_CONSUMERS = 20
_TAGS = "Tags"

Consumer = dict[str, Any]


def register_consumer(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    """The consumer is ACTIVE at once. Raises: ServiceError for a name in use or more than 20 consumers."""
    stream = catalog.get(transaction, _stream_name(request["StreamARN"]))
    name = request["ConsumerName"]
    if transaction.get(DATABASE, _key(stream, name)) is not None:
        raise ServiceError(
            "ResourceInUseException",
            f"Consumer {name} under stream {stream.name}:{stream.created_ms // 1000} under account "
            f"{catalog.account_id} already exists.",
        )
    if consumer_count(transaction, stream) >= MAX_CONSUMERS:
        raise ServiceError(
            "LimitExceededException",
            f"Stream {stream.name} under account {catalog.account_id} has {MAX_CONSUMERS} registered consumers.",
        )
    consumer = {
        "ConsumerName": name,
        "ConsumerARN": f"{catalog.arn(stream.name)}/consumer/{name}:{now_ms // 1000}",
        "ConsumerStatus": "ACTIVE",
        "ConsumerCreationTimestamp": now_ms / 1000,
    }
    tags = merged_tags(catalog, stream.name, {}, request.get("Tags", {}))
    transaction.put(DATABASE, _key(stream, name), msgspec.json.encode({**consumer, _TAGS: tags}))
    return {"Consumer": consumer}


def deregister_consumer(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    """Raises: ServiceError `ResourceNotFoundException`."""
    stream, consumer = find_consumer(transaction, catalog, request)
    transaction.delete(DATABASE, _key(stream, consumer["ConsumerName"]))
    return {}


def describe_consumer(
    transaction: ReadTransaction, catalog: StreamCatalog, request: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    stream, consumer = find_consumer(transaction, catalog, request)
    return {"ConsumerDescription": {**_shown(consumer), "StreamARN": catalog.arn(stream.name)}}


def consumer_tags(
    transaction: ReadTransaction, catalog: StreamCatalog, request: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    """ListTagsForResource of a consumer."""
    _, consumer = find_consumer(transaction, catalog, {"ConsumerARN": request["ResourceARN"]})
    return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(consumer.get(_TAGS, {}).items())]}


def change_consumer_tags(
    transaction: WriteTransaction, catalog: StreamCatalog, request: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    """TagResource and UntagResource of a consumer: `Tags` are added, `TagKeys` removed. Raises: ServiceError."""
    stream, consumer = find_consumer(transaction, catalog, {"ConsumerARN": request["ResourceARN"]})
    tags = merged_tags(catalog, stream.name, consumer.get(_TAGS, {}), request.get("Tags", {}))
    changed = {**consumer, _TAGS: tags_without(catalog, stream.name, tags, request.get("TagKeys", []))}
    transaction.put(DATABASE, _key(stream, consumer["ConsumerName"]), msgspec.json.encode(changed))
    return {}


def list_consumers(
    transaction: ReadTransaction, catalog: StreamCatalog, request: Mapping[str, Any], now_ms: int
) -> dict[str, Any]:
    """The token of the next page is the last name of this one."""
    stream = catalog.get(transaction, _stream_name(request["StreamARN"]))
    limit = request.get("MaxResults", 100)
    consumers = _consumers(transaction, stream, after=request.get("NextToken", ""))
    answer: dict[str, Any] = {"Consumers": [_shown(consumer) for consumer in consumers[:limit]]}
    if len(consumers) > limit:
        answer["NextToken"] = consumers[limit - 1]["ConsumerName"]
    return answer


def find_consumer(
    transaction: ReadTransaction, catalog: StreamCatalog, request: Mapping[str, Any]
) -> tuple[Stream, Consumer]:
    """The consumer that a request names by its ARN, or by its stream and name.

    Raises: ServiceError `ResourceNotFoundException`, `InvalidArgumentException`.
    """
    arn = request.get("ConsumerARN")
    stream_arn, name = request.get("StreamARN"), request.get("ConsumerName")
    if arn is not None:
        stream_arn, name = split_consumer_arn(arn)
    if stream_arn is None or name is None:
        raise ServiceError(
            "InvalidArgumentException", "Either ConsumerARN or both StreamARN and ConsumerName must be given."
        )
    router = catalog.find(transaction, _stream_name(stream_arn))
    raw = transaction.get(DATABASE, _key(router.stream, name)) if router is not None else None
    consumer: Consumer | None = msgspec.json.decode(raw) if raw is not None else None
    if router is None or consumer is None or arn not in (None, consumer["ConsumerARN"]):
        raise catalog.not_found(f"Consumer {arn or name}, account {catalog.account_id} not found.")
    return router.stream, consumer


def split_consumer_arn(arn: str) -> tuple[str, str]:
    """The stream's ARN and the consumer's name of `…:stream/S/consumer/C:1700000000`."""
    stream_arn, _, consumer = arn.partition("/consumer/")
    return stream_arn, consumer.partition(":")[0]


def consumer_count(transaction: ReadTransaction, stream: Stream) -> int:
    return len(_consumers(transaction, stream))


def delete_consumers(transaction: WriteTransaction, stream: Stream) -> None:
    for consumer in _consumers(transaction, stream):
        transaction.delete(DATABASE, _key(stream, consumer["ConsumerName"]))


def _consumers(transaction: ReadTransaction, stream: Stream, *, after: str = "") -> list[Consumer]:
    prefix = _key(stream, "")
    start = _key(stream, after) + b"\x00" if after else prefix
    stop = prefix[:-1] + b"0"
    return [msgspec.json.decode(raw) for _, raw in transaction.scan(DATABASE, start, stop)]


def _shown(consumer: Consumer) -> Consumer:
    """Descriptions of consumers leave their tags out."""
    return {name: value for name, value in consumer.items() if name != _TAGS}


def _key(stream: Stream, name: str) -> bytes:
    # Names are checked to be shorter; a name out of an ARN or a token is not, and finds nothing.
    return b"c" + stream.number.to_bytes(8, "big") + b"/" + name[: MAX_NAME + 1].encode()


def _stream_name(arn: str) -> str:
    return Arn.parse(arn).name.split("/")[0]
