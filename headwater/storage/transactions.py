"""LMDB transactions behind the protocols of `headwater.values.transaction`."""

from collections.abc import Iterator, Sequence
from typing import Any

import lmdb

from headwater.errors import LocalProtocolError


class DatabaseNotOpen(LookupError):
    """A database name seen for the first time: the store opens it and runs the operation again."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class LmdbTransaction:
    """One LMDB transaction, for reading and writing; valid only while the operation it was given to runs."""

    __slots__ = ("_cursors", "_databases", "_transaction", "is_open", "write_count")

    def __init__(self, databases: dict[str, Any], transaction: lmdb.Transaction | None = None) -> None:
        self._databases = databases
        self._transaction: Any = transaction
        self._cursors: set[Any] = set()
        self.is_open = transaction is not None
        self.write_count = 0

    def begin(self, transaction: lmdb.Transaction) -> None:
        """Use the wrapper for a new transaction."""
        self._transaction = transaction
        self.is_open = True

    def finish(self) -> None:
        """Close every cursor: one that outlives its transaction reads freed pages."""
        self.is_open = False
        if self._cursors:
            for cursor in self._cursors:
                cursor.close()
            self._cursors.clear()

    def get(self, database: str, key: bytes) -> bytes | None:
        try:
            handle = self._databases[database]
        except KeyError:
            raise DatabaseNotOpen(database) from None
        value: bytes | None = self._transaction.get(key, None, handle)
        return value

    def put(self, database: str, key: bytes, value: bytes) -> None:
        try:
            handle = self._databases[database]
        except KeyError:
            raise DatabaseNotOpen(database) from None
        self.write_count += 1
        self._transaction.put(key, value, True, True, False, handle)

    def insert(self, database: str, key: bytes, value: bytes) -> bool:
        try:
            handle = self._databases[database]
        except KeyError:
            raise DatabaseNotOpen(database) from None
        self.write_count += 1
        inserted: bool = self._transaction.put(key, value, True, False, False, handle)
        return inserted

    def put_many(self, database: str, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        try:
            handle = self._databases[database]
        except KeyError:
            raise DatabaseNotOpen(database) from None
        self.write_count += len(pairs)
        with self._transaction.cursor(handle) as cursor:
            cursor.putmulti(pairs)

    def delete(self, database: str, key: bytes) -> bool:
        try:
            handle = self._databases[database]
        except KeyError:
            raise DatabaseNotOpen(database) from None
        self.write_count += 1
        deleted: bool = self._transaction.delete(key, b"", handle)
        return deleted

    def scan(
        self,
        database: str,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        try:
            handle = self._databases[database]
        except KeyError:
            raise DatabaseNotOpen(database) from None
        cursor = self._transaction.cursor(handle)
        self._cursors.add(cursor)
        return self._scan_backward(cursor, start, stop) if reverse else self._scan_forward(cursor, start, stop)

    # Both generators step by key, not by cursor position, when the operation has written in between: a put or
    # delete through the transaction may move or invalidate an LMDB cursor.
    def _scan_forward(self, cursor: Any, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        try:
            is_found = cursor.set_range(start) if start else cursor.first()
            while is_found:
                pair: tuple[bytes, bytes] = cursor.item()
                if stop is not None and pair[0] >= stop:
                    return
                writes = self.write_count
                yield pair
                self._require_open()
                is_found = cursor.next() if writes == self.write_count else cursor.set_range(pair[0] + b"\x00")
        finally:
            self._close(cursor)

    def _scan_backward(self, cursor: Any, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        try:
            is_found = _seek_before(cursor, stop)
            while is_found:
                pair: tuple[bytes, bytes] = cursor.item()
                if pair[0] < start:
                    return
                writes = self.write_count
                yield pair
                self._require_open()
                is_found = cursor.prev() if writes == self.write_count else _seek_before(cursor, pair[0])
        finally:
            self._close(cursor)

    def _close(self, cursor: Any) -> None:
        # Each put looks at every open cursor, so scans left open until the commit made a large group quadratic.
        if cursor in self._cursors:
            self._cursors.discard(cursor)
            cursor.close()

    def _require_open(self) -> None:
        if not self.is_open:
            raise LocalProtocolError("a scan was read after its transaction ended")


def _seek_before(cursor: Any, stop: bytes | None) -> bool:
    if stop is None or not cursor.set_range(stop):
        is_found: bool = cursor.last()
        return is_found
    is_before: bool = cursor.prev()
    return is_before
