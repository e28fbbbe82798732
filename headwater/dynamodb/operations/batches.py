"""BatchGetItem and BatchWriteItem."""

from dataclasses import dataclass, field
from math import ceil
from typing import Any

import orjson

from headwater.dynamodb.expressions.paths import project
from headwater.dynamodb.faults import NO_SCHEMA_MATCH, validation
from headwater.dynamodb.items.attributes import MAX_ITEM_BYTES, Item, normalise_item
from headwater.dynamodb.items.changes import delete_item, replace_item, size_of_stored, unpack_item
from headwater.dynamodb.items.schema import check_nested_keys, key_of, key_of_item
from headwater.dynamodb.operations.capacity import (
    consumed,
    index_write_units,
    is_wanted,
    metrics_by_table,
    read_units,
    write_units,
)
from headwater.dynamodb.operations.legacy import attributes_to_get
from headwater.dynamodb.operations.parameters import ExpressionParameters, mixture
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.tables.model import DATABASE, Table
from headwater.errors import ServiceError

MAX_BATCH_WRITES = 25
MAX_BATCH_READS = 100
MAX_ANSWER_BYTES = 16 * 1024 * 1024
# The service documents 1 MB of a partition, and measurably gives this (dynalite's tests, recorded on it).
MAX_PARTITION_BYTES = 1024 * 1024 + MAX_ITEM_BYTES - 3
# What one partition serves.
_READS_A_PARTITION = 3000
_WRITES_A_PARTITION = 1000
_DUPLICATES = "Provided list of item keys contains duplicates"
_NO_TYPE = (
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
)

# A key, and the item to put there with its size, or None to delete.
_Write = tuple[Table, bytes, tuple[Item, int] | None]


def batch_write_item(session: Session, request: Request) -> Response:
    """BatchWriteItem: up to 25 puts and deletes; here all of them succeed together.

    Raises: ServiceError `ValidationException` before anything is written.
    """
    requests = request["RequestItems"]
    if not requests:
        raise validation("The requestItems parameter is required for BatchWriteItem")
    if sum(map(len, requests.values())) > MAX_BATCH_WRITES:
        raise validation("Too many items requested for the BatchWriteItem call")
    prepared = [(name, _prepare(entry)) for name, writes in requests.items() for entry in writes]
    seen: set[bytes] = set()
    writes: list[_Write] = []
    tables = {name: session.table(name) for name in requests}
    for name, (item, size, is_put) in prepared:
        table = tables[name]
        try:
            key = _write_key(table, item, is_put=is_put)
        except ServiceError:
            if sum(other == name and change[0] == item for other, change in prepared) > 1:
                raise validation(_DUPLICATES) from None
            raise
        if key in seen:
            raise validation(_DUPLICATES)
        seen.add(key)
        writes.append((table, key, (item, size) if is_put else None))
    wants_capacity = is_wanted(request)
    used = {table.name: (table, _Used()) for table in tables.values()}
    for table, key, change in writes:
        if change is not None:
            old_raw = replace_item(session, table, key, *change)
        else:
            old_raw = session.transaction.get(DATABASE, key)
            if old_raw is not None:
                delete_item(session, table, key, old_raw)
        if wants_capacity:
            used[table.name][1].add(table, old_raw, change)
    response: Response = {"UnprocessedItems": {}}
    response |= metrics_by_table(request, ((tables[name], change[0]) for name, change in prepared))
    if wants_capacity:
        response["ConsumedCapacity"] = [
            consumed(request, table, units.table, units.indexes) for table, units in used.values()
        ]
    return response


@dataclass(slots=True)
class _Used:
    """Write capacity units of one table's part of a batch."""

    table: float = 0.0
    indexes: dict[str, float] = field(default_factory=dict)

    def add(self, table: Table, old_raw: bytes | None, change: tuple[Item, int] | None) -> None:
        self.table += write_units(size_of_stored(old_raw) if old_raw else 0, change[1] if change else 0)
        if table.indexes:
            old = unpack_item(old_raw) if old_raw else None
            for name, units in index_write_units(table, old, change[0] if change else None).items():
                self.indexes[name] = self.indexes.get(name, 0.0) + units


def _prepare(entry: dict[str, Any]) -> tuple[Item, int, bool]:
    """The canonical item or key, its size, and whether it is a put."""
    put, delete = entry.get("PutRequest"), entry.get("DeleteRequest")
    if (put is None) == (delete is None):
        raise validation(_NO_TYPE)
    if put is not None:
        item, size = normalise_item(put["Item"])
        if size > MAX_ITEM_BYTES:
            raise validation("Item size has exceeded the maximum allowed size")
        return item, size, True
    assert delete is not None
    key, size = normalise_item(delete["Key"])
    return key, size, False


def _write_key(table: Table, item: Item, *, is_put: bool) -> bytes:
    if not is_put:
        return key_of(table, item)
    try:
        return key_of_item(table, item)
    except ServiceError as error:
        if "Missing the key" in error.message or "Type mismatch for key" in error.message:
            raise validation(NO_SCHEMA_MATCH) from None
        raise


def batch_get_item(session: Session, request: Request) -> Response:
    """BatchGetItem: up to 100 keys; what exceeds 16 MB, or 1 MB of a partition, is left in UnprocessedKeys."""
    requests = request["RequestItems"]
    if sum(len(entry.get("Keys") or ()) for entry in requests.values()) > MAX_BATCH_READS:
        raise validation("Too many items requested for the BatchGetItem call")
    responses: dict[str, list[Item]] = {}
    unprocessed: dict[str, Any] = {}
    capacities = []
    _check_mixture(requests)
    prepared = [(name, entry, *_read_plan(session, entry)) for name, entry in requests.items()]
    room = MAX_ANSWER_BYTES
    for name, entry, raw_keys, parameters, tree in prepared:
        table = session.table(name)
        check_nested_keys(table, parameters.nested_heads)
        found, left, units, room = _read_table(session, table, entry, raw_keys, room)
        responses[name] = found if tree is None else [project(item, tree) for item in found]
        if left:
            unprocessed[name] = {**entry, "Keys": left}
        capacities.append(consumed(request, table, units))
    response: Response = {"Responses": responses, "UnprocessedKeys": unprocessed}
    if is_wanted(request):
        response["ConsumedCapacity"] = capacities
    return response


def _check_mixture(requests: dict[str, Any]) -> None:
    """Refuse expressions for one table beside what came before them for another."""
    old, new = "AttributesToGet", "ProjectionExpression"
    if all(any(entry.get(member) is not None for entry in requests.values()) for member in (old, new)):
        raise mixture(old, new)


def _read_table(
    session: Session, table: Table, entry: dict[str, Any], keys: list[Item], room: int
) -> tuple[list[Item], list[Item], float, int]:
    """The items found, the keys left over, the capacity used, and the bytes the answer still has room for."""
    found: list[Item] = []
    left: list[Item] = []
    units = 0.0
    totals: dict[object, int] = {}
    is_consistent = bool(entry.get("ConsistentRead"))
    partitions = _provisioned_partitions(table)
    for key, stored in [(item, key_of(table, item)) for item in keys]:
        raw = session.transaction.get(DATABASE, stored)
        if raw is None:
            units += read_units(0, is_consistent=is_consistent)
            continue
        size = size_of_stored(raw)
        partition = _partition_of(table, key, stored, partitions)
        total = totals.get(partition, 0) + size
        if total > MAX_PARTITION_BYTES or size > room:
            left.append(key)
            units += read_units(0, is_consistent=is_consistent)
            continue
        totals[partition] = total
        room -= size
        units += read_units(size, is_consistent=is_consistent)
        found.append(unpack_item(raw))
    return found, left, units, room


def _provisioned_partitions(table: Table) -> int:
    """How many partitions the service makes a new table of for its throughput; 0 for one on demand.

    Source: DynamoDB Developer Guide, "Partitions and data distribution".
    """
    units = table.document["description"]["ProvisionedThroughput"]
    reads: int = units["ReadCapacityUnits"]
    writes: int = units["WriteCapacityUnits"]
    return ceil(reads / _READS_A_PARTITION + writes / _WRITES_A_PARTITION)


def _partition_of(table: Table, key: Item, stored: bytes, partitions: int) -> object:
    """Which partition an item is in. On demand the service splits as it likes, down to one key's items."""
    if partitions == 0:
        return key[table.keys.partition][table.keys.partition_type]
    start = len(table.space)
    return int.from_bytes(stored[start : start + 2], "big") * partitions >> 16


def _read_plan(session: Session, entry: dict[str, Any]) -> tuple[list[Item], ExpressionParameters, Any]:
    parameters = ExpressionParameters(session.expressions, entry, ("ProjectionExpression",), ("AttributesToGet",))
    tree = attributes_to_get(entry)
    parameters.read_placeholders()
    projection = parameters.projection()
    parameters.finish()
    keys = [normalise_item(key)[0] for key in entry["Keys"]]
    spellings = {orjson.dumps(key, option=orjson.OPT_SORT_KEYS) for key in keys}
    if len(spellings) != len(keys):
        raise validation(_DUPLICATES)
    return keys, parameters, tree if projection is None else projection.tree
