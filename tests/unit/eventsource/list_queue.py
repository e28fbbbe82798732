"""An SQS queue kept in a list: the queue source of these tests, with visibility by an injected clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class ListQueue:
    now: Callable[[], float]
    arn: str = "arn:aws:sqs:us-east-1:123456789012:work"
    visibility_timeout_s: int = 30
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    visible_at: dict[str, float] = field(default_factory=dict)
    listeners: list[Callable[[], None]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    receives: int = 0

    def send(self, body: str) -> str:
        message_id = f"message-{len(self.messages) + len(self.deleted) + 1}"
        self.messages[message_id] = {
            "messageId": message_id,
            "receiptHandle": f"handle:{message_id}",
            "body": body,
            "attributes": {"ApproximateReceiveCount": "0"},
            "messageAttributes": {},
            "md5OfBody": "0" * 32,
            "eventSource": "aws:sqs",
            "eventSourceARN": self.arn,
            "awsRegion": "us-east-1",
        }
        self.visible_at[message_id] = 0.0
        self.wake()
        return message_id

    def wake(self) -> None:
        for listener in list(self.listeners):
            listener()

    async def receive(self, max_messages: int, visibility_timeout_s: int | None) -> list[dict[str, Any]]:
        self.receives += 1
        assert 1 <= max_messages <= 10
        hidden_s = self.visibility_timeout_s if visibility_timeout_s is None else visibility_timeout_s
        ready = [name for name in self.messages if self.visible_at[name] <= self.now()][:max_messages]
        for name in ready:
            self.visible_at[name] = self.now() + hidden_s
            attributes = self.messages[name]["attributes"]
            count = str(int(attributes["ApproximateReceiveCount"]) + 1)
            self.messages[name] = {**self.messages[name], "attributes": {"ApproximateReceiveCount": count}}
        return [self.messages[name] for name in ready]

    async def delete(self, receipt_handles: list[str]) -> None:
        for handle in receipt_handles:
            name = handle.removeprefix("handle:")
            self.messages.pop(name, None)
            self.deleted.append(name)

    async def change_visibility(self, receipt_handles: list[str], timeout_s: int) -> None:
        for handle in receipt_handles:
            self.visible_at[handle.removeprefix("handle:")] = self.now() + timeout_s

    def next_visible_s(self) -> float | None:
        return min((self.visible_at[name] for name in self.messages), default=None)

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(wake)
        return lambda: self.listeners.remove(wake)
