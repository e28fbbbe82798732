"""Order in a stream batch: a key stops at its first failure, and Lambda is told where to start again.

Powertools' BatchProcessor goes on after a failure; Lambda then repeats the failed record after its successors, out of
order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One stream record: its place in the batch, what Lambda calls it, the key whose order counts, and its content."""

    position: int
    sequence_number: str
    key: str
    content: T


BatchResponse = dict[str, list[dict[str, str]]]


def response(failed: Iterable[Entry[T]]) -> BatchResponse:
    """Report the first failed record of a batch.

    Lambda takes the lowest reported sequence number as the checkpoint and delivers everything after it again, so one
    is enough. A batch is in sequence order; its positions decide, because sequence numbers of two sources are written
    in two ways.
    """
    first = min(failed, key=lambda entry: entry.position, default=None)
    return {"batchItemFailures": [] if first is None else [{"itemIdentifier": first.sequence_number}]}


def by_key(entries: Iterable[Entry[T]]) -> dict[str, list[Entry[T]]]:
    """Group a batch by key: keys by first appearance, entries in order."""
    groups: dict[str, list[Entry[T]]] = {}
    for entry in entries:
        groups.setdefault(entry.key, []).append(entry)
    return groups


def through_first_failure(entries: Sequence[Entry[T]], failed_positions: frozenset[int]) -> list[Entry[T]]:
    """Keep the entries of one key that come before its first failure."""
    kept = []
    for entry in entries:
        if entry.position in failed_positions:
            break
        kept.append(entry)
    return kept
