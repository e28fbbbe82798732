"""What every operation needs: a transaction, the time, and the caches."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from headwater.dynamodb.expressions.cache import ExpressionCache
from headwater.dynamodb.tables.model import Catalog, Table
from headwater.values.transaction import WriteTransaction

Request = dict[str, Any]
Response = dict[str, Any]


@dataclass(slots=True)
class Session:
    """One run of one operation. A read operation gets a transaction that only reads.

    `now` is in epoch seconds; `fresh_id` is a UUID for whatever the operation makes. `changed_streams` collects the
    ARNs of streams that got records, for those who wait for them.
    """

    transaction: WriteTransaction
    catalog: Catalog
    expressions: ExpressionCache
    now: float
    fresh_id: str = ""
    changed_streams: set[str] = field(default_factory=set)
    # Whether the operation left a backfill to be continued.
    has_backfill: bool = False
    # `now` as the stream records of the operation have it.
    now_json: bytes = b""
    # Counters of the tables changed so far, by their keys, and stream records with theirs; `conclude` writes them.
    counters: dict[bytes, list[int]] = field(default_factory=dict)
    records: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now_json = orjson.dumps(self.now)

    def begin(self, transaction: WriteTransaction) -> None:
        """Use the session for a run of its operation, which may be its second."""
        self.transaction = transaction
        self.counters.clear()
        self.records.clear()
        self.has_backfill = False

    def table(self, name: str) -> Table:
        """A table by name. Raises: ServiceError `ResourceNotFoundException`."""
        return self.catalog.table(self.transaction, name)
