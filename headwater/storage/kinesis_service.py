"""Kinesis Data Streams on the store: the wire operations, typed puts, and streams as event sources."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from headwater.errors import ServiceError
from headwater.kinesis import consumers, iterators, records, shards, streams, tags
from headwater.kinesis.records import NewRecord, WriteQuota
from headwater.kinesis.sequence import SequenceNumber, shard_id_of, shard_index_of
from headwater.kinesis.shapes import (
    DRY_RUNS,
    MAX_RECORD_BYTES,
    SHAPES,
    UNSUPPORTED_MEMBERS,
    put_record_shape,
    put_records_shape,
)
from headwater.kinesis.stream import Shard, Stream, StreamCatalog
from headwater.kinesis.validation import check_request
from headwater.storage.store import Store
from headwater.values.arn import is_arn
from headwater.values.identity import AwsPrincipal
from headwater.values.records import SourceRecord, SourceShard
from headwater.values.transaction import ReadTransaction, WriteTransaction

Request = Mapping[str, Any]
Reading = Callable[[ReadTransaction, StreamCatalog, Request, int], dict[str, Any]]
Writing = Callable[[WriteTransaction, StreamCatalog, Request, int], dict[str, Any]]

_SWEEP_AT_MOST = 2000
_LAST_MS = 9_999_999_999_999


def _is_of_consumer(request: Request) -> bool:
    return "/consumer/" in request["ResourceARN"]


_READS: Mapping[str, Reading] = {
    # No commitment was made, and none can be: there is no bill here.
    "DescribeAccountSettings": lambda t, c, r, n: {"MinimumThroughputBillingCommitment": {"Status": "DISABLED"}},
    "DescribeLimits": streams.describe_limits,
    "DescribeStream": streams.describe_stream,
    "DescribeStreamConsumer": consumers.describe_consumer,
    "DescribeStreamSummary": streams.describe_stream_summary,
    "GetRecords": iterators.get_records,
    "GetResourcePolicy": streams.resource_policy,
    "GetShardIterator": iterators.get_shard_iterator,
    "ListShards": shards.list_shards,
    "ListStreamConsumers": consumers.list_consumers,
    "ListStreams": streams.list_streams,
    "ListTagsForResource": lambda t, c, r, n: (
        consumers.consumer_tags(t, c, r, n) if _is_of_consumer(r) else {"Tags": streams.list_tags(t, c, r, n)["Tags"]}
    ),
    "ListTagsForStream": streams.list_tags,
}


def _changing(change: Callable[[StreamCatalog, Stream, Request], Stream]) -> Writing:
    """An operation that answers nothing and stores what `change` makes of the stream."""
    return lambda t, c, r, n: streams.change_stream(t, c, r, lambda stream: change(c, stream, r))


def _of_either(of_stream: Writing) -> Writing:
    """An operation on a resource that may be a consumer, too."""
    return lambda t, c, r, n: (consumers.change_consumer_tags if _is_of_consumer(r) else of_stream)(t, c, r, n)


_WRITES: Mapping[str, Writing] = {
    "AddTagsToStream": _changing(lambda c, s, r: tags.add_tags(c, s, r["Tags"])),
    "CreateStream": streams.create_stream,
    "DecreaseStreamRetentionPeriod": _changing(
        lambda c, s, r: streams.change_retention(s, r["RetentionPeriodHours"], is_increase=False)
    ),
    "DeleteResourcePolicy": streams.delete_resource_policy,
    "DeleteStream": streams.delete_stream,
    "DeregisterStreamConsumer": consumers.deregister_consumer,
    "DisableEnhancedMonitoring": lambda t, c, r, n: streams.change_metrics(t, c, r, is_enabling=False),
    "EnableEnhancedMonitoring": lambda t, c, r, n: streams.change_metrics(t, c, r, is_enabling=True),
    "IncreaseStreamRetentionPeriod": _changing(
        lambda c, s, r: streams.change_retention(s, r["RetentionPeriodHours"], is_increase=True)
    ),
    "MergeShards": shards.merge_shards,
    "PutRecord": records.put_record,
    "PutRecords": records.put_records,
    "PutResourcePolicy": streams.put_resource_policy,
    "RegisterStreamConsumer": consumers.register_consumer,
    "RemoveTagsFromStream": _changing(lambda c, s, r: tags.remove_tags(c, s, r["TagKeys"])),
    "SplitShard": shards.split_shard,
    "StartStreamEncryption": _changing(lambda c, s, r: streams.change_encryption(s, r, is_starting=True)),
    "StopStreamEncryption": _changing(lambda c, s, r: streams.change_encryption(s, r, is_starting=False)),
    "TagResource": _of_either(_changing(lambda c, s, r: tags.add_tags(c, s, r["Tags"]))),
    "UntagResource": _of_either(_changing(lambda c, s, r: tags.remove_tags(c, s, r["TagKeys"]))),
    "UpdateMaxRecordSize": _changing(lambda c, s, r: replace(s, max_record_kib=r["MaxRecordSizeInKiB"])),
    "UpdateShardCount": shards.update_shard_count,
    "UpdateStreamMode": _changing(lambda c, s, r: replace(s, mode=r["StreamModeDetails"]["StreamMode"])),
}
# After these a reader of the stream may find something new.
_WAKING = frozenset({"PutRecord", "PutRecords", "SplitShard", "MergeShards", "UpdateShardCount"})


class KinesisService:
    """Every answered put is committed; `clock` gives epoch seconds and may stand still or go back.

    With `enforces_quotas` the wire operations hold each shard to what it takes in a second.
    """

    target_prefix = "Kinesis_20131202"

    def __init__(
        self,
        store: Store,
        *,
        region: str,
        account_id: str,
        clock: Callable[[], float] = time.time,
        enforces_quotas: bool = False,
    ) -> None:
        self._store = store
        self._catalog = StreamCatalog(region=region, account_id=account_id)
        self._clock = clock
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._quota = WriteQuota() if enforces_quotas else None

    async def call(self, operation: str, request: Request, principal: AwsPrincipal | None = None) -> dict[str, Any]:
        """One operation of the API; `Data` is base64 text or bytes in the request and bytes in the answer.

        Raises: ServiceError.
        """
        _refuse_unsupported(operation, request)
        checked = self._check(operation, request)
        now_ms = self._now_ms()
        reading = _READS.get(operation)
        is_dry = request.get("DryRun") is True
        if reading is not None:
            answer = self._store.read(lambda t: reading(t, self._catalog, checked, now_ms))
            if is_dry:
                raise _dry_run()
            return answer
        if is_dry:
            await self._store.write(partial(self._try, operation=operation, checked=checked, now_ms=now_ms))
        if self._quota is not None and operation in ("PutRecord", "PutRecords"):
            return await self._put_within_quota(self._quota, operation, checked, now_ms)
        writing = _WRITES[operation]
        answer = await self._store.write(lambda t: writing(t, self._catalog, checked, now_ms))
        if operation in _WAKING:
            self._wake(streams.stream_name(self._catalog, checked))
        elif operation == "DeleteStream":
            await self._sweep_deleted()
        return answer

    def _try(self, transaction: WriteTransaction, operation: str, checked: Request, now_ms: int) -> None:
        """Run an operation for its errors only: what it wrote goes with the transaction."""
        _WRITES[operation](transaction, self._catalog, checked, now_ms)
        raise _dry_run()

    async def _put_within_quota(
        self, quota: WriteQuota, operation: str, checked: Request, now_ms: int
    ) -> dict[str, Any]:
        """Put what the shards' quotas admit; PutRecords answers the rest as failed, PutRecord raises.

        Decided before the write, which the store may run more than once.
        """
        name = streams.stream_name(self._catalog, checked)
        router = self._store.read(lambda t: self._catalog.router(t, name))
        entries = checked["Records"] if operation == "PutRecords" else [checked]
        admitted: list[dict[str, Any]] = []
        refused: dict[int, ServiceError] = {}
        for position, entry in enumerate(entries):
            record = NewRecord(entry["PartitionKey"], entry["Data"], entry.get("ExplicitHashKey"))
            shard = records.route(router, record)
            if quota.admits(router.stream, shard, len(record.data) + len(record.partition_key.encode()), now_ms=now_ms):
                admitted.append(entry)
            else:
                refused[position] = records.rate_exceeded(self._catalog, router.stream, shard)
        if operation == "PutRecord":
            if refused:
                raise refused[0]
            answer = await self._store.write(lambda t: records.put_record(t, self._catalog, checked, now_ms))
            self._wake(name)
            return answer
        put: dict[str, Any] = {"Records": []}
        if admitted:
            kept = {**checked, "Records": admitted}
            put = await self._store.write(lambda t: records.put_records(t, self._catalog, kept, now_ms))
            self._wake(name)
        return {**put, "FailedRecordCount": len(refused), "Records": _merged(put["Records"], refused)}

    async def put_record(
        self, stream_name: str, partition_key: str, data: bytes, explicit_hash_key: str | None = None
    ) -> tuple[str, str]:
        """Append one record to a stream given by name or ARN; returns (shard id, sequence number) after the commit.

        Raises: ServiceError as PutRecord does.
        """
        answers = await self._append(stream_name, [NewRecord(partition_key, data, explicit_hash_key)])
        return answers[0]

    async def put_records(self, stream_name: str, entries: Sequence[tuple[str, bytes]]) -> list[tuple[str, str]]:
        """Append (partition key, data) pairs in one commit, in their order and without a limit on their number.

        Raises: ServiceError as PutRecord does, before anything is written.
        """
        return await self._append(stream_name, [NewRecord(key, data) for key, data in entries])

    def stream_source(self, stream_arn_or_name: str) -> "KinesisSource":
        """A stream for event source mappings, by its name, its ARN or the ARN of a registered consumer.

        Raises: ServiceError `ResourceNotFoundException`.
        """
        return KinesisSource(self, self._store, self._catalog, stream_arn_or_name, self._now_ms)

    async def sweep(self) -> None:
        """Delete what has expired and what belonged to deleted streams, in small commits; call it now and then."""
        await self._sweep_deleted()
        for name in self._store.read(self._catalog.names):
            more = True
            while more:
                more = await self._store.write(partial(self._trim, name=name))

    def listen(self, stream_name: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after every commit that added records or shards; returns the way to stop."""
        self._listeners.setdefault(stream_name, []).append(wake)

        def unlisten() -> None:
            listeners = self._listeners.get(stream_name, [])
            if wake in listeners:
                listeners.remove(wake)

        return unlisten

    async def _append(self, name: str, new: list[NewRecord]) -> list[tuple[str, str]]:
        if not new:
            return []
        now_ms = self._now_ms()
        name = _named(self._catalog, name)

        def append(transaction: WriteTransaction) -> list[tuple[str, str]]:
            router = self._catalog.router(transaction, name)
            limit = router.stream.max_record_kib << 10
            for record in new:
                if not 1 <= len(record.partition_key) <= 256 or len(record.data) > limit:
                    raise ServiceError(
                        "ValidationException",
                        f"1 validation error detected: a partition key of {len(record.partition_key)} characters with "
                        f"{len(record.data)} bytes of data failed to satisfy constraint: 1 to 256 characters and at "
                        f"most {limit} bytes",
                    )
            return records.append_records(transaction, router, new, now_ms=now_ms)

        answers = await self._store.write(append)
        self._wake(name)
        return answers

    def _check(self, operation: str, request: Request) -> dict[str, Any]:
        shape = SHAPES.get(operation)
        if shape is None:
            raise ServiceError("UnknownOperationException", f"Kinesis has no operation {operation} here")
        if operation == "SubscribeToShard":
            raise ServiceError(
                "InvalidArgumentException",
                "SubscribeToShard is not supported here: read with GetShardIterator and GetRecords, "
                "or through an event source mapping on the consumer's ARN",
            )
        if operation in ("PutRecord", "PutRecords"):
            limit = self._max_record_bytes(request)
            if limit > MAX_RECORD_BYTES:
                shape = put_record_shape(limit) if operation == "PutRecord" else put_records_shape(limit)
        return check_request(request, shape)

    def _max_record_bytes(self, request: Request) -> int:
        """The limit of the stream that a request names, which decides what its shape allows."""
        try:
            name = streams.stream_name(self._catalog, request)
            return self._store.read(lambda t: self._catalog.get(t, name)).max_record_kib << 10
        except (ServiceError, ValueError, TypeError, KeyError, AttributeError):
            return MAX_RECORD_BYTES  # the request is refused with its own message in a moment

    async def _sweep_deleted(self) -> None:
        for number in self._store.read(streams.doomed_streams):
            is_done = False
            while not is_done:
                is_done = await self._store.write(partial(_sweep_stream, number=number))

    def _trim(self, transaction: WriteTransaction, name: str) -> bool:
        """Trim one stream a little; true if there is more."""
        router = self._catalog.find(transaction, name)
        if router is None:
            return False
        now_ms = self._now_ms()
        trimmed = [
            records.trim_shard(transaction, router.stream, shard, now_ms=now_ms, at_most=_SWEEP_AT_MOST)
            for shard in router.stream.shards
        ]
        return _SWEEP_AT_MOST in trimmed

    def _wake(self, name: str) -> None:
        for wake in tuple(self._listeners.get(name, ())):
            wake()

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _dry_run() -> ServiceError:
    return ServiceError("DryRunOperationException", "Request would have succeeded, but DryRun flag is set.")


def _refuse_unsupported(operation: str, request: Request) -> None:
    """Members that would change what a request does and do not work here, and values that are no more than a default.

    Raises: ServiceError `InvalidArgumentException`, `SerializationException`.
    """
    for member, reason in UNSUPPORTED_MEMBERS.get(operation, {}).items():
        if request.get(member) is not None:
            raise ServiceError("InvalidArgumentException", f"{member} is not supported here: {reason}")
    dry = request.get("DryRun")
    if dry is not None and (operation not in DRY_RUNS or not isinstance(dry, bool)):
        raise ServiceError("SerializationException", f"DryRun of {operation} is a boolean where it is known")
    strategy = request.get("RecordDistributionStrategy")
    if strategy not in (None, "USER_PARTITION_KEY"):
        raise ServiceError(
            "InvalidArgumentException",
            f"RecordDistributionStrategy {strategy} is not supported here: records go where their partition key says",
        )


def _merged(answers: list[dict[str, Any]], refused: Mapping[int, ServiceError]) -> list[dict[str, Any]]:
    """The answers of a partly refused request, in the request's order."""
    left = iter(answers)
    return [
        {"ErrorCode": refused[n].code, "ErrorMessage": refused[n].message} if n in refused else next(left)
        for n in range(len(answers) + len(refused))
    ]


def _named(catalog: StreamCatalog, name_or_arn: str) -> str:
    return streams.stream_name(catalog, {"StreamARN" if is_arn(name_or_arn) else "StreamName": name_or_arn})


def _sweep_stream(transaction: WriteTransaction, number: int) -> bool:
    gone = Stream(name="", number=number, created_ms=0, shards=())
    is_done = records.delete_all_records(transaction, gone, at_most=_SWEEP_AT_MOST)
    if is_done:
        transaction.delete("kinesis", streams.doomed_key(number))
    return is_done


class KinesisSource:
    """One stream as a record source; the methods read the store at once."""

    kind: Literal["kinesis"] = "kinesis"

    def __init__(
        self,
        service: KinesisService,
        store: Store,
        catalog: StreamCatalog,
        stream: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._service = service
        self._store = store
        self._catalog = catalog
        self._now_ms = now_ms
        if "/consumer/" in stream:
            found, _ = store.read(lambda t: consumers.find_consumer(t, catalog, {"ConsumerARN": stream}))
            self._name = found.name
        else:
            self._name = streams.stream_name(
                catalog, {"StreamARN": stream} if is_arn(stream) else {"StreamName": stream}
            )
            store.read(lambda t: catalog.get(t, self._name))
        self.arn = stream if is_arn(stream) else catalog.arn(stream)

    def shards(self) -> list[SourceShard]:
        """All shards whose records may not have expired, with the parents that are still there."""
        stream = self._store.read(lambda t: self._catalog.get(t, self._name)).without_expired(self._now_ms())
        known = {s.index for s in stream.shards}
        return [
            SourceShard(s.shard_id, tuple(shard_id_of(p) for p in s.parents if p in known), s.is_closed)
            for s in stream.shards
        ]

    def read(self, shard_id: str, after: str | None, *, limit: int, max_bytes: int) -> list[SourceRecord]:
        """Up to `limit` records strictly after a sequence number (None: from the trim horizon).

        At least one record if there is any, however large.
        Raises: ServiceError `ResourceNotFoundException`.
        """
        now_ms = self._now_ms()

        def read(transaction: ReadTransaction) -> list[SourceRecord]:
            stream, shard = self._shard(transaction, shard_id)
            start = 0 if after is None else SequenceNumber.parse(after).to_int() + 1
            found: list[SourceRecord] = []
            size_bytes = 0
            for record in records.read_records(transaction, stream, shard.index, start=start, now_ms=now_ms):
                size_bytes += record.size_bytes
                if len(found) == limit or (found and size_bytes > max_bytes):
                    break
                found.append(_source_record(record))
            return found

        return self._store.read(read)

    def latest(self, shard_id: str) -> str | None:
        """The last sequence number of a shard; None if it is empty, where the trim horizon is the same place."""

        def last(transaction: ReadTransaction) -> int | None:
            stream, shard = self._shard(transaction, shard_id)
            return records.last_number(transaction, stream, shard.index)

        number = self._store.read(last)
        return None if number is None else str(number)

    def at_timestamp(self, shard_id: str, epoch_s: float) -> str | None:
        """The last sequence number that arrived before a time; None if the shard has none."""

        def before(transaction: ReadTransaction) -> int | None:
            stream, shard = self._shard(transaction, shard_id)
            arrival_ms = max(0, min(int(epoch_s * 1000), _LAST_MS))
            first = records.first_number_at(transaction, stream, shard.index, arrival_ms=arrival_ms)
            return records.last_number(transaction, stream, shard.index, before=first)

        number = self._store.read(before)
        return None if number is None else str(number)

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after every commit that added records or shards; returns the way to stop."""
        return self._service.listen(self._name, wake)

    def _shard(self, transaction: ReadTransaction, shard_id: str) -> tuple[Stream, Shard]:
        stream = self._catalog.get(transaction, self._name)
        shard = stream.shard(shard_index_of(shard_id))
        if shard is None:
            raise self._catalog.not_found(f"Shard {shard_id} in stream {self._name} does not exist")
        return stream, shard


def _source_record(record: records.StoredRecord) -> SourceRecord:
    body: dict[str, Any] = {"partitionKey": record.partition_key, "data": record.data}
    if record.explicit_hash_key is not None:
        body["explicitHashKey"] = record.explicit_hash_key
    return SourceRecord(
        sequence_number=str(record.number),
        ordering_key=record.partition_key,
        arrival_s=record.arrival_ms / 1000,
        size_bytes=record.size_bytes,
        body=body,
    )
