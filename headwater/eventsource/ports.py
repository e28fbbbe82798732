"""What event source mappings need from the rest: sources, the function, checkpoints, destinations."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from headwater.values.records import SourceRecord, SourceShard

SourceKind = Literal["kinesis", "dynamodb"]


class RecordSource(Protocol):
    """A stream of records in shards."""

    @property
    def arn(self) -> str: ...

    @property
    def kind(self) -> SourceKind: ...

    def shards(self) -> list[SourceShard]: ...

    def read(self, shard_id: str, after: str | None, *, limit: int, max_bytes: int) -> list[SourceRecord]:
        """Records strictly after a sequence number, in order; None reads from the trim horizon.

        At least one record if there is any, however large.
        """
        ...

    def latest(self, shard_id: str) -> str | None:
        """The sequence number that LATEST starts after, None for an empty shard."""
        ...

    def at_timestamp(self, shard_id: str, epoch_s: float) -> str | None:
        """The sequence number after which records arrived at or later than `epoch_s`."""
        ...

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called on the loop after every commit that added records or shards; gives the undo."""
        ...


class QueueSource(Protocol):
    """An SQS queue as its poller sees it."""

    @property
    def arn(self) -> str: ...

    @property
    def visibility_timeout_s(self) -> int: ...

    async def receive(self, max_messages: int, visibility_timeout_s: int | None) -> list[dict[str, Any]]:
        """Up to `max_messages` as records of a Lambda event, hidden for the queue's own timeout if None."""
        ...

    async def delete(self, receipt_handles: list[str]) -> None: ...

    async def change_visibility(self, receipt_handles: list[str], timeout_s: int) -> None: ...

    def next_visible_s(self) -> float | None:
        """Epoch seconds at which the next message can be received; None for an empty queue."""
        ...

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]: ...


class Invocation(Protocol):
    """The end of a function call, as far as an event source mapping looks at it."""

    @property
    def payload(self) -> bytes: ...

    @property
    def function_error(self) -> str | None: ...

    @property
    def request_id(self) -> str: ...

    @property
    def executed_version(self) -> str: ...


Invoke = Callable[[str, bytes], Awaitable[Invocation]]


class Checkpoints(Protocol):
    """Where positions are kept; values are opaque strings to the keeper."""

    def load(self, mapping_id: str) -> Mapping[str, str]:
        """What was saved for each shard."""
        ...

    async def save(self, mapping_id: str, shard: str, sequence: str) -> None:
        """Return when the position is durable."""
        ...


@dataclass(frozen=True, slots=True)
class FailedBatch:
    """What leaves for an on-failure destination.

    `document` is the invocation record for SQS and SNS; for S3 it has `payload` beside it and goes to `object_key`.
    """

    destination: str
    document: dict[str, Any]
    object_key: str
    mapping_id: str


OnFailure = Callable[[FailedBatch], Awaitable[None]]
