"""The durable store: one LMDB environment, one writer, group commit."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import lmdb

from headwater.errors import LocalProtocolError, ServiceError
from headwater.storage.data_directory import DataDirectory, DataDirectoryError
from headwater.storage.transactions import DatabaseNotOpen, LmdbTransaction
from headwater.values.transaction import ReadTransaction, WriteTransaction

__all__ = ["DataDirectoryError", "Store", "SyncPolicy"]

SyncPolicy = Literal["normal", "full"]
T = TypeVar("T")
# Address space, not disk: the file grows with the data. Halved until the system grants it.
MAP_SIZE_BYTES = 1 << 38
_MIN_MAP_SIZE_BYTES = 1 << 30
_MAX_DATABASES = 256

_log = logging.getLogger(__name__)
_Outcome = tuple[bool, Any]


# Gets an operation's outcome after the commit: true and its value, or false and what it raised.
Done = Callable[[bool, Any], None]


class _Job:
    """One queued operation and who gets its outcome."""

    __slots__ = ("done", "operation")

    def __init__(self, operation: Callable[[WriteTransaction], Any], done: Done) -> None:
        self.operation = operation
        self.done = done


class Store:
    """Ordered key-value databases with atomic operations.

    All operations that are queued in one turn of the event loop share one commit. `normal` answers after a commit
    that the operating system holds (survives kill -9); `full` answers after the disk holds it (survives power loss).
    """

    def __init__(self, directory: DataDirectory, environment: lmdb.Environment, sync: SyncPolicy) -> None:
        self._directory = directory
        self._environment: Any = environment
        self._databases: dict[str, Any] = {}
        self._queue: list[_Job] = []
        self._is_scheduled = False
        self._is_closed = False
        self._writer = ThreadPoolExecutor(1, "headwater-store") if sync == "full" else None
        self._running: asyncio.Future[list[_Outcome]] | None = None
        self._reader = LmdbTransaction(self._databases)
        self._snapshot: Any = None
        self._is_reading = False
        self._is_failing = False

    @classmethod
    def open(
        cls,
        directory: Path | None,
        *,
        sync: SyncPolicy = "normal",
        map_size_bytes: int = MAP_SIZE_BYTES,
    ) -> "Store":
        """Open a data directory, or a temporary one that keeps nothing.

        Raises: DataDirectoryError if another process has it, its format is newer, or it is damaged.
        """
        acquired = DataDirectory.acquire(directory)
        try:
            environment = _open_environment(acquired.path, sync, map_size_bytes)
        except BaseException:
            acquired.release()
            raise
        return cls(acquired, environment, sync)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called; nothing can be written any more."""
        return self._is_closed

    @property
    def path(self) -> Path:
        """Where the data lives."""
        return self._directory.path

    async def write(self, operation: Callable[[WriteTransaction], T]) -> T:
        """Run an operation in a write transaction and return its value after the commit.

        An operation that raises after its first change costs the others of its group a second run, so it must be
        a function of the transaction and its arguments only.
        Raises: what the operation raises; ServiceError `InternalServerError` if the disk or the map is full.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.submit(operation, partial(settle, future))
        return await future

    def submit(self, operation: Callable[[WriteTransaction], Any], done: Done) -> None:
        """As `write`, without a coroutine: `done` is called on the event loop when the outcome is known."""
        if self._is_closed:
            raise LocalProtocolError("the store is closed")
        self._queue.append(_Job(operation, done))
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._commit_queue)

    def read(self, operation: Callable[[ReadTransaction], T]) -> T:
        """Run an operation on a snapshot of everything committed, at once; it must not keep the transaction."""
        if self._is_reading:
            return operation(self._reader)
        while True:
            self._begin_read()
            self._is_reading = True
            try:
                return operation(self._reader)
            except DatabaseNotOpen as unknown:
                missing = unknown.name
            finally:
                self._is_reading = False
                self._reader.finish()
            self._open_database(missing)

    async def close(self) -> None:
        """Finish what is queued, close the environment and give the directory back."""
        if self._is_closed:
            return
        self._is_closed = True
        while self._queue or self._running is not None:
            if self._running is not None:
                await asyncio.wait([self._running])
            await asyncio.sleep(0)
        if self._writer is not None:
            self._writer.shutdown()
        self._reader.finish()
        self._release_snapshot()
        # A clean stop is safe against power loss too.
        self._environment.sync(True)
        self._environment.close()
        self._directory.release()

    def _begin_read(self) -> None:
        if self._snapshot is None:
            if self._is_closed and not self._queue and self._running is None:
                raise LocalProtocolError("the store is closed")
            self._snapshot = self._environment.begin(write=False)
        self._reader.begin(self._snapshot)

    def _release_snapshot(self) -> None:
        # A snapshot that stays open keeps LMDB from reusing every page freed since, and the file would grow.
        # py-lmdb keeps the reader slot (max_spare_txns), so that the next `begin` only renews it.
        if self._snapshot is not None:
            self._snapshot.abort()
            self._snapshot = None

    def _open_database(self, name: str) -> None:
        self._release_snapshot()
        with self._environment.begin(write=True) as transaction:
            handle = self._environment.open_db(name.encode(), txn=transaction)
        self._databases[name] = handle

    def _commit_queue(self) -> None:
        self._is_scheduled = False
        if self._running is not None or not self._queue:
            return
        batch, self._queue = self._queue, []
        self._release_snapshot()
        if self._writer is None:
            _answer(batch, self._run(batch))
            return
        running = asyncio.get_running_loop().run_in_executor(self._writer, self._run, batch)
        self._running = running
        running.add_done_callback(lambda done: self._written(batch, done))

    def _written(self, batch: list[_Job], done: "asyncio.Future[list[_Outcome]]") -> None:
        self._running = None
        self._release_snapshot()
        _answer(batch, done.result())
        self._commit_queue()

    def _run(self, batch: list[_Job]) -> list[_Outcome]:
        """Commit a batch together; if that fails, each operation on its own."""
        try:
            outcomes = self._run_together(batch)
        except (lmdb.Error, OSError) as error:
            if len(batch) == 1:
                return [(False, self._storage_error(error))]
            outcomes = None
        if outcomes is not None:
            return outcomes
        return [self._run([job])[0] for job in batch]

    def _run_together(self, batch: list[_Job]) -> list[_Outcome] | None:
        """The outcomes in order, or None if one operation failed after a change and spoilt the transaction."""
        while True:
            transaction = self._environment.begin(write=True)
            wrapped = LmdbTransaction(self._databases, transaction)
            try:
                outcomes, is_spoilt = _run_operations(batch, wrapped)
                wrapped.finish()
                if not is_spoilt:
                    transaction.commit()
                    self._is_failing = False
                    return outcomes
                transaction.abort()
                return outcomes if len(batch) == 1 else None
            except DatabaseNotOpen as unknown:
                wrapped.finish()
                transaction.abort()
                missing = unknown.name
            except BaseException:
                wrapped.finish()
                transaction.abort()
                raise
            self._open_database(missing)

    def _storage_error(self, error: Exception) -> ServiceError:
        if not self._is_failing:  # once for a burst, which a full disk makes of every write
            _log.error("the store in %s could not commit: %s", self.path, error)
        self._is_failing = True
        failure = ServiceError("InternalServerError", f"The data directory cannot take the change: {error}", status=500)
        failure.__cause__ = error
        return failure


def _run_operations(batch: list[_Job], wrapped: LmdbTransaction) -> tuple[list[_Outcome], bool]:
    outcomes: list[_Outcome] = []
    for job in batch:
        writes = wrapped.write_count
        try:
            outcomes.append((True, job.operation(wrapped)))
        except (DatabaseNotOpen, lmdb.Error):
            raise
        except Exception as error:  # the operation's own answer, handed to its caller
            outcomes.append((False, error))
            if wrapped.write_count != writes:
                return outcomes, True
    return outcomes, False


def _answer(batch: list[_Job], outcomes: list[_Outcome]) -> None:
    for job, (is_value, outcome) in zip(batch, outcomes, strict=True):
        try:
            job.done(is_value, outcome)
        except Exception:  # whoever else wrote in this group has to hear of it
            _log.exception("the outcome of a write could not be handed on")


def settle(future: "asyncio.Future[Any]", is_value: bool, outcome: Any) -> None:
    """Give a future an outcome; a caller that was cancelled gets none, and its change stands."""
    if future.done():
        return
    if is_value:
        future.set_result(outcome)
    else:
        future.set_exception(outcome)


def _open_environment(path: Path, sync: SyncPolicy, map_size_bytes: int) -> lmdb.Environment:
    folder = path / "store"
    # LMDB would give the folder the mode of its files, which nobody but root can enter.
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    size = map_size_bytes
    while True:
        try:
            return lmdb.open(
                str(folder),
                map_size=size,
                max_dbs=_MAX_DATABASES,
                max_spare_txns=2,
                sync=sync == "full",
                # Without it LMDB writes through a shared map, where a full disk is a SIGBUS and not an error.
                writemap=False,
                readahead=False,
                meminit=False,
                mode=0o600,
            )
        except lmdb.MemoryError as error:
            size //= 2
            if size < _MIN_MAP_SIZE_BYTES:
                raise DataDirectoryError(f"no address space for the store in {path}: {error}") from error
        except lmdb.Error as error:
            raise DataDirectoryError(f"the store in {path} cannot be opened: {error}") from error
