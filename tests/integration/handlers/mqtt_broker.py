"""A broker process on an LMDB store, to be killed: `python mqtt_broker.py DIRECTORY`; prints its port."""

import asyncio
import sys
from collections.abc import Awaitable, Iterable, Mapping
from pathlib import Path

from headwater.mqtt.ports import Publish
from headwater.server.mqtt.server import MqttServer
from headwater.storage.store import Store
from headwater.values.transaction import ReadTransaction, WriteTransaction


class StoredSessions:
    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        def read(transaction: ReadTransaction) -> list[tuple[bytes, bytes]]:
            return list(transaction.scan("mqtt"))

        return self._store.read(read)

    def save(self, changes: Mapping[bytes, bytes | None]) -> Awaitable[None]:
        def write(transaction: WriteTransaction) -> None:
            for key, value in changes.items():
                if value is None:
                    transaction.delete("mqtt", key)
                else:
                    transaction.put("mqtt", key, value)

        return self._store.write(write)


async def serve(directory: Path) -> None:
    store = Store.open(directory)

    def on_publish(publishes: list[Publish]) -> Awaitable[None]:
        def write(transaction: WriteTransaction) -> None:
            for publish in publishes:
                transaction.put("handed-on", publish.topic.encode() + b"|" + publish.payload[:200], b"1")

        return store.write(write)

    server = MqttServer(on_publish=on_publish, store=StoredSessions(store))
    sys.stdout.write(f"{await server.start('127.0.0.1', 0)}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
