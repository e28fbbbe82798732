"""ConsumedCapacity and ItemCollectionMetrics: what an operation would have used, and of which collections."""

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

from headwater.dynamodb.items.attributes import Item, item_size
from headwater.dynamodb.items.schema import index_entry
from headwater.dynamodb.tables.model import Index, Table

READ_UNIT_BYTES = 4096
WRITE_UNIT_BYTES = 1024


def is_wanted(request: Mapping[str, Any]) -> bool:
    """Whether the request asks for ConsumedCapacity."""
    return request.get("ReturnConsumedCapacity") in {"TOTAL", "INDEXES"}


def read_units(size_bytes: int, *, is_consistent: bool, is_transaction: bool = False) -> float:
    """Read capacity units of one read of that size."""
    units = float(max(1, ceil(size_bytes / READ_UNIT_BYTES)))
    if is_transaction:
        return units * 2
    return units if is_consistent else units / 2


def write_units(*sizes_bytes: int, is_transaction: bool = False) -> float:
    """Write capacity units of a change: the larger of the item before and after counts."""
    units = float(max(1, ceil(max(sizes_bytes, default=0) / WRITE_UNIT_BYTES)))
    return units * 2 if is_transaction else units


def index_write_units(table: Table, old: Item | None, new: Item | None) -> dict[str, float]:
    """Write capacity units of a change by index: an entry that moves is deleted and put, one that stays may change.

    Source: DynamoDB Developer Guide, "Provisioned throughput considerations for Global Secondary Indexes".
    """
    units: dict[str, float] = {}
    for index in table.indexes:
        before = None if old is None else index_entry(index, old, b"")
        after = None if new is None else index_entry(index, new, b"")
        held = [_as_held(index, item) for item, entry in ((old, before), (new, after)) if item and entry is not None]
        if not held or (before == after and held[0] == held[1]):
            continue
        sizes = [item_size(item) for item in held]
        units[index.name] = write_units(*sizes) if before == after else sum(map(write_units, sizes))
    return units


def _as_held(index: Index, item: Item) -> Item:
    projected = index.projected
    return item if projected is None else {name: value for name, value in item.items() if name in projected}


def consumed(
    request: Mapping[str, Any],
    table: Table,
    table_units: float,
    index_units: Mapping[str, float] | None = None,
    *,
    read_or_write: str = "",
) -> dict[str, Any]:
    """The ConsumedCapacity document; `read_or_write` is ReadCapacityUnits or WriteCapacityUnits in transactions."""
    index_units = index_units or {}
    total = table_units + sum(index_units.values())
    document: dict[str, Any] = {"TableName": table.name, "CapacityUnits": total}
    if read_or_write:
        document[read_or_write] = total
    if request.get("ReturnConsumedCapacity") != "INDEXES":
        return document
    document["Table"] = _units(table_units, read_or_write)
    for member, is_global in (("GlobalSecondaryIndexes", True), ("LocalSecondaryIndexes", False)):
        entries = {
            index.name: _units(index_units[index.name], read_or_write)
            for index in table.indexes
            if index.is_global is is_global and index.name in index_units
        }
        if entries:
            document[member] = entries
    return document


def collection_metrics(request: Mapping[str, Any], table: Table, keys: Item) -> dict[str, Any] | None:
    """The ItemCollectionMetrics of one write; None unless they are asked for and the table has a local index."""
    if request.get("ReturnItemCollectionMetrics") != "SIZE" or all(index.is_global for index in table.indexes):
        return None
    # The service tells whole gigabytes: a collection of a few items is between 0 and 1 of them.
    return {
        "ItemCollectionKey": {table.keys.partition: keys[table.keys.partition]},
        "SizeEstimateRangeGB": [0.0, 1.0],
    }


def metrics_by_table(request: Mapping[str, Any], writes: Iterable[tuple[Table, Item]]) -> dict[str, Any]:
    """The ItemCollectionMetrics member of several writes, each collection once; nothing if there are none."""
    found: dict[str, list[dict[str, Any]]] = {}
    if request.get("ReturnItemCollectionMetrics") == "SIZE":
        for table, keys in writes:
            metrics = collection_metrics(request, table, keys)
            if metrics is not None and metrics not in found.setdefault(table.name, []):
                found[table.name].append(metrics)
    return {"ItemCollectionMetrics": found} if found else {}


def _units(units: float, read_or_write: str) -> dict[str, float]:
    entry = {"CapacityUnits": units}
    if read_or_write:
        entry[read_or_write] = units
    return entry
