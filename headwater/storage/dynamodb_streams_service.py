"""DynamoDB Streams on the store: the service, and the source that event source mappings read."""

from collections.abc import Callable
from typing import Any, Literal

import orjson

from headwater.dynamodb.api import STREAMS_OPERATIONS, STREAMS_TARGET_PREFIX, check
from headwater.dynamodb.expressions.cache import ExpressionCache
from headwater.dynamodb.session import Session
from headwater.dynamodb.streams import (
    RETENTION_S,
    StreamView,
    decode_record,
    find_stream,
    last_sequence,
    parse_sequence,
    records_after,
    sequence_text,
    stored_after,
)
from headwater.dynamodb.tables.model import Catalog
from headwater.errors import ServiceError
from headwater.storage.store import Store
from headwater.values.identity import AwsPrincipal
from headwater.values.records import SourceRecord, SourceShard
from headwater.values.transaction import ReadTransaction


class DynamoDbStreamsService:
    """DynamoDB Streams; all four operations only read."""

    target_prefix = STREAMS_TARGET_PREFIX

    def __init__(self, store: Store, *, region: str, account_id: str, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._catalog = Catalog(region, account_id)
        self._expressions = ExpressionCache()

    async def call(
        self, operation: str, request: dict[str, Any], principal: AwsPrincipal | None = None
    ) -> dict[str, Any]:
        """Run one operation. Raises: ServiceError."""
        known = STREAMS_OPERATIONS.get(operation)
        if known is None:
            raise ServiceError(
                "UnknownOperationException", f"DynamoDB Streams operation {operation} is not supported here"
            )
        check(operation, request)
        run, now = known.run, self._clock()
        return self._store.read(
            lambda transaction: run(Session(transaction, self._catalog, self._expressions, now), request)  # type: ignore[arg-type]  # reads only
        )


class RecentRecords:
    """The records of one stream that were read last, shared by its readers; nobody changes what they hold.

    Several mappings mostly read the same records within the same moments, and decoding one costs most of a read.
    """

    _MAX_BYTES = 4 * 1024 * 1024

    def __init__(self) -> None:
        self._records: dict[int, SourceRecord] = {}
        self._bytes = 0

    def get(self, sequence: int) -> SourceRecord | None:
        return self._records.get(sequence)

    def add(self, sequence: int, record: SourceRecord) -> None:
        """Keep one more; the oldest leave when all of them are above 4 MiB."""
        records = self._records
        records[sequence] = record
        self._bytes += record.size_bytes
        while self._bytes > self._MAX_BYTES:
            self._bytes -= records.pop(next(iter(records))).size_bytes


class DynamoDbStreamSource:
    """The RecordSource of one stream; it has one shard, closed once the stream is switched off."""

    kind: Literal["kinesis", "dynamodb"] = "dynamodb"

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        arn: str,
        clock: Callable[[], float],
        listen: Callable[[str, Callable[[], None]], Callable[[], None]],
        recent: RecentRecords,
    ) -> None:
        self.arn = arn
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._listen = listen
        self._recent = recent

    def shards(self) -> list[SourceShard]:
        """The one shard. Raises: ServiceError `ResourceNotFoundException` once the stream is gone."""
        view = self._store.read(lambda transaction: find_stream(transaction, self._catalog, self.arn))
        return [SourceShard(view.shard_id, (), view.closed_at is not None)]

    def read(self, shard_id: str, after: str | None, *, limit: int, max_bytes: int) -> list[SourceRecord]:
        """Up to `limit` records after a sequence number (None: from the trim horizon) within `max_bytes`.

        The first record is answered however large it is.
        """
        oldest_s = self._clock() - RETENTION_S
        start = 0 if after is None else parse_sequence(after)

        def run(transaction: ReadTransaction) -> list[SourceRecord]:
            view = find_stream(transaction, self._catalog, self.arn)
            found: list[SourceRecord] = []
            total = 0
            for sequence, raw in stored_after(transaction, view, start):
                record = self._recent.get(sequence) or self._decoded(view, sequence, raw)
                if record.arrival_s < oldest_s:
                    continue
                total += record.size_bytes
                if len(found) >= limit or (found and total > max_bytes):
                    break
                found.append(record)
            return found

        return self._store.read(run)

    def _decoded(self, view: StreamView, sequence: int, raw: bytes) -> SourceRecord:
        record = decode_record(view, self._catalog.region, sequence, raw)
        key = orjson.dumps(record.body["dynamodb"]["Keys"], option=orjson.OPT_SORT_KEYS).decode()
        decoded = SourceRecord(sequence_text(sequence), key, record.time_s, record.size_bytes, record.body)
        self._recent.add(sequence, decoded)
        return decoded

    def latest(self, shard_id: str) -> str | None:
        """The newest sequence number; None if there is no record."""

        def run(transaction: ReadTransaction) -> str | None:
            sequence = last_sequence(transaction, find_stream(transaction, self._catalog, self.arn))
            return None if sequence is None else sequence_text(sequence)

        return self._store.read(run)

    def at_timestamp(self, shard_id: str, epoch_s: float) -> str | None:
        """The sequence number after which the records from `epoch_s` on begin."""

        def run(transaction: ReadTransaction) -> str | None:
            view = find_stream(transaction, self._catalog, self.arn)
            before = None
            for record in records_after(transaction, view, self._catalog.region, 0):
                if record.time_s >= epoch_s:
                    break
                before = sequence_text(record.sequence)
            return before

        return self._store.read(run)

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after every commit that added records; the answer undoes it."""
        return self._listen(self.arn, wake)
