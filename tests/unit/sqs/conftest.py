"""SQS rules with an ordered key space in memory and a clock in hand."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from headwater.sqs import messages, operations
from headwater.sqs.messages import Received
from headwater.sqs.operations import Sender
from headwater.sqs.queue import Queue, QueueCatalog

Pairs = Iterator[tuple[bytes, bytes]]


class MemoryTransaction:
    """A write transaction that commits as it goes."""

    def __init__(self) -> None:
        self.items: dict[bytes, bytes] = {}

    def get(self, database: str, key: bytes) -> bytes | None:
        return self.items.get(key)

    def put(self, database: str, key: bytes, value: bytes) -> None:
        self.items[key] = value

    def insert(self, database: str, key: bytes, value: bytes) -> bool:
        return self.items.setdefault(key, value) is value

    def put_many(self, database: str, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        self.items.update(pairs)

    def delete(self, database: str, key: bytes) -> bool:
        return self.items.pop(key, None) is not None

    def scan(self, database: str, start: bytes = b"", stop: bytes | None = None, *, reverse: bool = False) -> Pairs:
        for key in sorted((k for k in self.items if k >= start and (stop is None or k < stop)), reverse=reverse):
            if key in self.items:
                yield key, self.items[key]


class Sqs:
    """The rules of SQS with a store and a clock in hand."""

    def __init__(self) -> None:
        self.transaction = MemoryTransaction()
        self.catalog = QueueCatalog(region="us-east-1", account_id="123456789012")
        self.now_ms = 1_800_000_000_000
        self._ids = 0

    def create(self, name: str, **attributes: str) -> Queue:
        request = {"QueueName": name, "Attributes": attributes}
        return operations.create_queue(self.transaction, self.catalog, request, self.now_ms)

    def queue(self, name: str) -> Queue:
        return self.catalog.get(self.transaction, name)

    def sender(self, count: int = 1) -> Sender:
        ids = [f"{self._ids + n:08d}-0000-0000-0000-000000000000" for n in range(count)]
        self._ids += count
        return Sender("AIDA", self.now_ms, ids)

    def send(self, name: str, body: str, **more: Any) -> dict[str, Any]:
        request = {"QueueUrl": name, "MessageBody": body, **more}
        return operations.send_message(self.transaction, self.catalog, request, self.sender())

    def receive(self, name: str, at_most: int = 10, visibility_s: int = 30) -> list[Received]:
        received, _ = messages.receive(
            self.transaction,
            self.catalog,
            self.queue(name),
            at_most=at_most,
            visibility_s=visibility_s,
            now_ms=self.now_ms,
        )
        return received

    def bodies(self, name: str, at_most: int = 10, visibility_s: int = 30) -> list[str]:
        return [r.message.body for r in self.receive(name, at_most, visibility_s)]

    def delete(self, name: str, received: Received) -> None:
        messages.delete_received(self.transaction, self.queue(name), received.receipt_handle, now_ms=self.now_ms)

    def run(self, operation: Any, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = operation(self.transaction, self.catalog, request, self.now_ms)
        return answer


@pytest.fixture
def sqs() -> Sqs:
    """SQS with a standard queue `q` and a FIFO queue `f.fifo`."""
    subject = Sqs()
    subject.create("q")
    subject.create("f.fifo", FifoQueue="true")
    return subject
