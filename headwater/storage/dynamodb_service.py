"""Flow 6/8: the DynamoDB service on the store; a committed change wakes who reads the table's stream."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from headwater.dynamodb.api import OPERATIONS, TARGET_PREFIX, Operation, check
from headwater.dynamodb.expressions.cache import ExpressionCache
from headwater.dynamodb.items.changes import conclude
from headwater.dynamodb.session import Session
from headwater.dynamodb.streams import find_stream
from headwater.dynamodb.sweeper import MAX_PER_PASS, expire
from headwater.dynamodb.tables.backfill import continue_backfill
from headwater.dynamodb.tables.model import Catalog
from headwater.errors import ServiceError
from headwater.storage.dynamodb_streams_service import DynamoDbStreamSource, RecentRecords
from headwater.storage.store import Done, Store, settle
from headwater.values.identity import AwsPrincipal
from headwater.values.transaction import WriteTransaction

Wake = Callable[[], None]


def _checked(operation: str, request: dict[str, Any]) -> Operation:
    known = OPERATIONS.get(operation)
    if known is None:
        raise ServiceError("UnknownOperationException", f"DynamoDB operation {operation} is not supported here")
    check(operation, request)
    return known


class DynamoDbService:
    """DynamoDB for in-process callers and the wire: requests and answers are the service's JSON as Python values."""

    target_prefix = TARGET_PREFIX

    def __init__(self, store: Store, *, region: str, account_id: str, clock: Callable[[], float]) -> None:
        self.region = region
        self.account_id = account_id
        self._store = store
        self._clock = clock
        # With `sync=full` writes run on the store's thread, so each side has caches of its own.
        self._read_caches = (Catalog(region, account_id), ExpressionCache())
        self._write_caches = (Catalog(region, account_id), ExpressionCache())
        self._backfilling: asyncio.Task[None] | None = None
        self._listeners: dict[str, list[Wake]] = {}
        self._recent: WeakValueDictionary[str, RecentRecords] = WeakValueDictionary()

    async def call(
        self, operation: str, request: dict[str, Any], principal: AwsPrincipal | None = None
    ) -> dict[str, Any]:
        """Run one operation; a write is answered after the commit that holds it.

        Raises: ServiceError.
        """
        known = _checked(operation, request)
        if not known.is_write:
            return self._read(known, request)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._write(known, request, partial(settle, answer))
        return await answer

    def start(self, operation: str, request: dict[str, Any], done: Done) -> dict[str, Any] | None:
        """As `call`, without a coroutine: the answer, or None and `done` gets it after the commit.

        Raises: ServiceError, for what is known at once.
        """
        known = _checked(operation, request)
        if not known.is_write:
            return self._read(known, request)
        self._write(known, request, done)
        return None

    def _read(self, known: Operation, request: dict[str, Any]) -> dict[str, Any]:
        catalog, expressions = self._read_caches
        run, now = known.run, self._clock()
        # A read never calls the writing half of its transaction.
        return self._store.read(lambda transaction: run(Session(transaction, catalog, expressions, now), request))  # type: ignore[arg-type]

    def _write(self, known: Operation, request: dict[str, Any], done: Done) -> None:
        catalog, expressions = self._write_caches
        session = Session(None, catalog, expressions, self._clock(), str(uuid4()) if known.needs_id else "")  # type: ignore[arg-type]

        def write(transaction: WriteTransaction) -> dict[str, Any]:
            session.begin(transaction)
            response = known.run(session, request)
            conclude(session)
            return response

        def written(is_value: bool, outcome: Any) -> None:
            done(is_value, outcome)
            if is_value:
                self._follow(session)

        self._store.submit(write, written)

    def _follow(self, session: Session) -> None:
        """Do what a commit asks for."""
        if session.changed_streams:
            self._wake(session.changed_streams)
        if session.has_backfill and (self._backfilling is None or self._backfilling.done()):
            self._backfilling = asyncio.get_running_loop().create_task(self.backfill())

    async def backfill(self) -> None:
        """Fill the indexes and times to live of tables that had items before them, in small commits."""
        catalog, expressions = self._write_caches
        session = Session(None, catalog, expressions, self._clock())  # type: ignore[arg-type]

        def run(transaction: WriteTransaction) -> bool:
            session.begin(transaction)
            return continue_backfill(session)

        while not self._store.is_closed and await self._store.write(run):
            await asyncio.sleep(0)

    async def sweep(self) -> int:
        """Remove what has expired by now, in bounded transactions; the number of removed keys.

        It goes on with backfills that an earlier process left, too.
        """
        if self._backfilling is None or self._backfilling.done():
            await self.backfill()
        total = 0
        while True:
            catalog, expressions = self._write_caches
            session = Session(None, catalog, expressions, self._clock())  # type: ignore[arg-type]

            def run(transaction: WriteTransaction, session: Session = session) -> int:
                session.begin(transaction)
                return expire(session)

            removed = await self._store.write(run)
            self._wake(session.changed_streams)
            total += removed
            if removed < MAX_PER_PASS:
                return total

    async def sweep_forever(self, interval_s: float = 5.0) -> None:
        """Sweep now and then until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(interval_s)

    def stream_source(self, stream_arn: str) -> DynamoDbStreamSource:
        """The table stream for an event source mapping.

        Raises: ServiceError `ResourceNotFoundException`.
        """
        catalog, _ = self._read_caches
        self._store.read(lambda transaction: find_stream(transaction, catalog, stream_arn))
        recent = self._recent.get(stream_arn)
        if recent is None:
            recent = self._recent[stream_arn] = RecentRecords()
        return DynamoDbStreamSource(self._store, catalog, stream_arn, self._clock, self._listen, recent)

    def _listen(self, stream_arn: str, wake: Wake) -> Callable[[], None]:
        listeners = self._listeners.setdefault(stream_arn, [])
        listeners.append(wake)

        def unlisten() -> None:
            if wake in listeners:
                listeners.remove(wake)

        return unlisten

    def _wake(self, stream_arns: set[str]) -> None:
        for arn in stream_arns:
            for wake in tuple(self._listeners.get(arn, ())):
                wake()
