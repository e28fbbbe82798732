"""An ordered key space in memory, enough for the rules of one service."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headwater.kinesis.shapes import SHAPES
from headwater.kinesis.stream import StreamCatalog
from headwater.kinesis.streams import create_stream
from headwater.kinesis.validation import check_request


class MemoryTransaction:
    """A write transaction that commits as it goes."""

    def __init__(self) -> None:
        self._databases: dict[str, dict[bytes, bytes]] = {}

    def get(self, database: str, key: bytes) -> bytes | None:
        return self._database(database).get(key)

    def put(self, database: str, key: bytes, value: bytes) -> None:
        self._database(database)[key] = value

    def delete(self, database: str, key: bytes) -> bool:
        return self._database(database).pop(key, None) is not None

    def scan(
        self, database: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        items = self._database(database)
        for key in sorted((k for k in items if k >= start and (stop is None or k < stop)), reverse=reverse):
            yield key, items[key]

    def _database(self, name: str) -> dict[bytes, bytes]:
        return self._databases.setdefault(name, {})


class Kinesis:
    """The rules of Kinesis with a store and a clock in hand."""

    def __init__(self) -> None:
        self.transaction = MemoryTransaction()
        self.catalog = StreamCatalog(region="us-east-1", account_id="123456789012")
        self.now_ms = 1_800_000_000_000

    def run(self, rule: Any, operation: str, **request: Any) -> dict[str, Any]:
        checked = check_request(request, SHAPES[operation])
        answer: dict[str, Any] = rule(self.transaction, self.catalog, checked, self.now_ms)
        return answer


@pytest.fixture(scope="session")
def make_kinesis() -> Callable[[], Kinesis]:
    """Kinesis without a stream."""
    return Kinesis


@pytest.fixture
def kinesis() -> Kinesis:
    """Kinesis with one stream `s` of two shards."""
    subject = Kinesis()
    subject.run(create_stream, "CreateStream", StreamName="s", ShardCount=2)
    return subject
