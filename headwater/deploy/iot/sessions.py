"""MQTT sessions and retained messages in the durable store, so that they survive `kill -9`."""

from collections.abc import Awaitable, Iterable, Mapping

from headwater.storage.store import Store
from headwater.values.transaction import WriteTransaction

_DATABASE = "mqtt"


class StoredSessions:
    """The broker's `SessionStore` on the store all other services share."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """Everything that was saved."""
        return self._store.read(lambda transaction: list(transaction.scan(_DATABASE)))

    def save(self, changes: Mapping[bytes, bytes | None]) -> Awaitable[None] | None:
        """Write the changes; None as a value deletes."""

        def write(transaction: WriteTransaction) -> None:
            for key, value in changes.items():
                if value is None:
                    transaction.delete(_DATABASE, key)
                else:
                    transaction.put(_DATABASE, key, value)

        return self._store.write(write)
