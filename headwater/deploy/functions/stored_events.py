"""Accepted asynchronous invocations, kept until they ended, so that a restart does not lose them."""

from headwater.storage.store import Store
from headwater.values.transaction import ReadTransaction

_DATABASE = "lambda-events"


class StoredEvents:
    """The journal of the functions' event queue, by request id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> list[tuple[str, bytes]]:
        """What was accepted and has not ended."""

        def read(transaction: ReadTransaction) -> list[tuple[str, bytes]]:
            return [(key.decode(), value) for key, value in transaction.scan(_DATABASE)]

        return self._store.read(read)

    async def add(self, request_id: str, event: bytes) -> None:
        """Keep an event; returns after the commit."""
        await self._store.write(lambda transaction: transaction.put(_DATABASE, request_id.encode(), event))

    async def remove(self, request_id: str) -> None:
        """Forget an event that ended."""
        await self._store.write(lambda transaction: transaction.delete(_DATABASE, request_id.encode()))
