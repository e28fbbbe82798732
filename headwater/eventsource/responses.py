"""What a function's response says about a batch: nothing failed, some records failed, or all of it.

Source: Lambda developer guide, "Configuring partial batch response", and responses recorded on AWS.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """`failed` are identifiers the function reported; `is_malformed` counts as failure of the whole batch.

    `state` is the tumbling window's state; `has_state` tells null from absent.
    """

    failed: frozenset[str] = frozenset()
    is_malformed: bool = False
    state: Any = None
    has_state: bool = False


def read_response(payload: bytes, identifiers: Collection[str]) -> BatchOutcome:
    """Read a response with `batchItemFailures`; `identifiers` are those of the batch's records.

    An empty or null response, list or object means success. An identifier that is empty, null, under another key, or
    of no record in the batch means that the whole batch failed.
    """
    try:
        document = orjson.loads(payload) if payload.strip() else None
    except orjson.JSONDecodeError:
        return BatchOutcome(is_malformed=True)
    if document is None or document in ("", [], {}):
        return BatchOutcome()
    if not isinstance(document, dict):
        return BatchOutcome(is_malformed=True)
    state = document.get("state", _ABSENT)
    has_state = state is not _ABSENT
    failed = _failures(document.get("batchItemFailures"), identifiers)
    kept = state if has_state else None
    if failed is None:
        return BatchOutcome(is_malformed=True, state=kept, has_state=has_state)
    return BatchOutcome(failed, state=kept, has_state=has_state)


def _failures(listed: Any, identifiers: Collection[str]) -> frozenset[str] | None:
    """The reported identifiers, or None if any entry is unusable."""
    if listed is None:
        return frozenset()
    if not isinstance(listed, list):
        return None
    failed = set()
    for entry in listed:
        identifier = entry.get("itemIdentifier") if isinstance(entry, dict) else None
        if not isinstance(identifier, str) or identifier not in identifiers:
            return None
        failed.add(identifier)
    return frozenset(failed)


def first_failed(sequence_numbers: Sequence[str], failed: Collection[str]) -> int | None:
    """The index of the lowest reported record of a stream batch, which the next batch starts at."""
    for index, sequence_number in enumerate(sequence_numbers):
        if sequence_number in failed:
            return index
    return None
