"""The ordered key-value transactions that the services' rules are written against.

`database` names one ordered key space. Keys are 1..511 bytes and sort bytewise; values are any bytes.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol


class ReadTransaction(Protocol):
    """A snapshot."""

    def get(self, database: str, key: bytes) -> bytes | None: ...

    def scan(
        self,
        database: str,
        start: bytes = b"",
        stop: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop in order, from the far end if `reverse`."""
        ...


class WriteTransaction(ReadTransaction, Protocol):
    """A snapshot that sees its own changes."""

    def put(self, database: str, key: bytes, value: bytes) -> None: ...

    def insert(self, database: str, key: bytes, value: bytes) -> bool:
        """Put a key that is not there yet; false, and nothing is changed, if it is."""
        ...

    def put_many(self, database: str, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Put keys with their values, cheapest in the order of the keys."""
        ...

    def delete(self, database: str, key: bytes) -> bool:
        """Remove a key; true if it was there."""
        ...
