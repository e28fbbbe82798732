"""GetItem, PutItem, UpdateItem and DeleteItem."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from headwater.dynamodb.expressions.paths import project
from headwater.dynamodb.expressions.updates import CompiledUpdate
from headwater.dynamodb.faults import NOT_VALID, RequestFault, condition_failed, in_current_words, invalid, validation
from headwater.dynamodb.items.attributes import MAX_ITEM_BYTES, Item, item_size, normalise_item
from headwater.dynamodb.items.changes import delete_item as remove
from headwater.dynamodb.items.changes import put_item as store
from headwater.dynamodb.items.changes import replace_item, size_of_stored, unpack_item
from headwater.dynamodb.items.schema import check_index_key, check_nested_keys, key_of, key_of_item
from headwater.dynamodb.operations.capacity import (
    collection_metrics,
    consumed,
    index_write_units,
    is_wanted,
    read_units,
    write_units,
)
from headwater.dynamodb.operations.legacy import attribute_updates, attributes_to_get, expected
from headwater.dynamodb.operations.parameters import ExpressionParameters, Matches
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.tables.model import DATABASE, Table
from headwater.errors import ServiceError

T = TypeVar("T")
_TOO_LARGE = "Item size has exceeded the maximum allowed size"
_TOO_LARGE_UPDATE = "Item size to update has exceeded the maximum allowed size"


# Not frozen, like the plans below: one or two are made for each write, and freezing costs 1 us each. Nothing changes
# them afterwards.
@dataclass(slots=True)
class Change:
    """What a write did: enough for ReturnValues and for ConsumedCapacity."""

    old: Item | None
    new: Item | None
    old_size: int
    new_size: int


def get_item(session: Session, request: Request) -> Response:
    """GetItem."""
    parameters = ExpressionParameters(session.expressions, request, ("ProjectionExpression",), ("AttributesToGet",))
    raw_key, _ = normalise_item(request["Key"])
    tree = attributes_to_get(request)
    parameters.read_placeholders()
    projection = parameters.projection()
    parameters.finish()
    table = session.table(request["TableName"])
    key = key_of(table, raw_key)
    if projection is not None:
        check_nested_keys(table, parameters.nested_heads)
        tree = projection.tree
    raw = session.transaction.get(DATABASE, key)
    response: Response = {}
    if raw is not None:
        item = unpack_item(raw)
        response["Item"] = item if tree is None else project(item, tree)
    if is_wanted(request):
        size = 0 if raw is None else size_of_stored(raw)
        units = read_units(size, is_consistent=bool(request.get("ConsistentRead")))
        response["ConsumedCapacity"] = consumed(request, table, units)
    return response


def _checked(plan: Callable[[Session, Request], T], session: Session, request: Request) -> T:
    """What can be said of a write before its table is looked up, faults in the words of that part of the service."""
    try:
        return plan(session, request)
    except ServiceError as error:
        raise in_current_words(error) from None


@dataclass(slots=True)
class _Plan:
    """A checked PutItem or DeleteItem: its item or key with its size."""

    item: Item
    size: int
    condition: Matches | None
    nested_heads: set[str]
    returned: str | None


def _plan(member: str, session: Session, request: Request) -> _Plan:
    parameters = ExpressionParameters(
        session.expressions, request, ("ConditionExpression",), ("Expected", "ConditionalOperator")
    )
    item, size = normalise_item(request[member])
    returned = request.get("ReturnValues")
    if returned is not None and returned not in {"ALL_OLD", "NONE"}:
        raise RequestFault("ReturnValues can only be ALL_OLD or NONE")
    if size > MAX_ITEM_BYTES and member == "Item":
        raise validation(_TOO_LARGE)
    return _Plan(item, size, _condition(parameters, request), parameters.nested_heads, returned)


_plan_put = partial(_plan, "Item")
_plan_delete = partial(_plan, "Key")


def put_item(session: Session, request: Request) -> Response:
    """PutItem."""
    plan = _checked(_plan_put, session, request)
    item, size, condition, returned = plan.item, plan.size, plan.condition, plan.returned
    table = session.table(request["TableName"])
    check_nested_keys(table, plan.nested_heads)
    key = key_of_item(table, item)
    old = None
    if condition is None and returned != "ALL_OLD":
        old_raw = replace_item(session, table, key, item, size)
    else:
        old_raw = session.transaction.get(DATABASE, key)
        old = unpack_item(old_raw) if old_raw else None
        _require(condition, old, request)
        store(session, table, key, old_raw, item, size, old)
    response: Response = {}
    if old is not None and returned == "ALL_OLD":
        response["Attributes"] = old
    if is_wanted(request):
        change = Change(
            unpack_item(old_raw) if old_raw else None, item, size_of_stored(old_raw) if old_raw else 0, size
        )
        response["ConsumedCapacity"] = _write_capacity(request, table, change)
    return _with_metrics(response, request, table, item)


def delete_item(session: Session, request: Request) -> Response:
    """DeleteItem; deleting nothing succeeds."""
    plan = _checked(_plan_delete, session, request)
    raw_key, returned = plan.item, plan.returned
    table = session.table(request["TableName"])
    check_nested_keys(table, plan.nested_heads)
    key = key_of(table, raw_key)
    old_raw = session.transaction.get(DATABASE, key)
    old = unpack_item(old_raw) if old_raw else None
    _require(plan.condition, old, request)
    if old_raw is not None:
        remove(session, table, key, old_raw)
    response: Response = {}
    if old is not None and returned == "ALL_OLD":
        response["Attributes"] = old
    if is_wanted(request):
        change = Change(old, None, size_of_stored(old_raw) if old_raw else 0, 0)
        response["ConsumedCapacity"] = _write_capacity(request, table, change)
    return _with_metrics(response, request, table, raw_key)


@dataclass(slots=True)
class _UpdatePlan:
    """A checked UpdateItem."""

    key: Item
    update: CompiledUpdate | None
    condition: Matches | None
    parameters: ExpressionParameters


def _plan_update(session: Session, request: Request) -> _UpdatePlan:
    parameters = ExpressionParameters(
        session.expressions,
        request,
        ("UpdateExpression", "ConditionExpression"),
        ("AttributeUpdates", "Expected", "ConditionalOperator"),
    )
    raw_key, _ = normalise_item(request["Key"])
    legacy_update = attribute_updates(request)
    legacy_condition = expected(request)
    parameters.read_placeholders()
    update = parameters.update() or legacy_update
    condition = parameters.condition("ConditionExpression") or legacy_condition
    parameters.finish()
    return _UpdatePlan(raw_key, update, condition, parameters)


def update_item(session: Session, request: Request) -> Response:
    """UpdateItem."""
    plan = _checked(_plan_update, session, request)
    raw_key, update, parameters = plan.key, plan.update, plan.parameters
    table = session.table(request["TableName"])
    key = key_of(table, raw_key)
    check_update(table, update, parameters)
    old_raw = session.transaction.get(DATABASE, key)
    old = unpack_item(old_raw) if old_raw else None
    _require(plan.condition, old, request)
    if old is None and update is not None and update.only_removes:
        # Removing from an item that is not there makes none, while an update of nothing at all does.
        change = Change(None, None, 0, 0)
    else:
        change = apply_update(session, table, key, raw_key, old_raw, old, update, parameters.values)
    response: Response = {}
    attributes = _update_attributes(request.get("ReturnValues"), update, change)
    if attributes:
        response["Attributes"] = attributes
    if is_wanted(request):
        response["ConsumedCapacity"] = _write_capacity(request, table, change)
    return _with_metrics(response, request, table, raw_key)


def check_update(table: Table, update: CompiledUpdate | None, parameters: ExpressionParameters) -> None:
    """Refuse changes of key attributes, and values an index key cannot have."""
    if update is None:
        return
    for name in table.keys.names:
        if name in update.touched:
            raise invalid(f"Cannot update attribute {name}. This attribute is part of the key")
    touched = [entry for entry in table.index_key_types if entry[0] in update.touched]
    if touched:
        types = update.static_types(parameters.values)
        for name, kind, index_name in touched:
            actual = types.get(name)
            if actual is not None and actual != kind:
                raise invalid(
                    f"Type mismatch for Index Key {name} Expected: {kind} Actual: {actual} IndexName: {index_name}"
                )
    check_nested_keys(table, parameters.nested_heads)


def apply_update(
    session: Session,
    table: Table,
    key: bytes,
    key_item: Item,
    old_raw: bytes | None,
    old: Item | None,
    update: CompiledUpdate | None,
    values: Mapping[str, Any],
) -> Change:
    """Write the item after the update; without one, an absent item is made of its key alone."""
    base = key_item if old is None else old
    new = base if update is None else update.apply(base, values)
    size = item_size(new)
    if size > MAX_ITEM_BYTES:
        raise validation(_TOO_LARGE_UPDATE)
    for name, kind, index_name in table.index_key_types:
        if name in new:
            if kind not in new[name] and (update is None or name in update.touched):
                raise validation(
                    "The update expression attempted to update the secondary index key to unsupported type"
                )
            if new[name].get(kind) == "":
                raise validation(
                    f"{NOT_VALID}The update expression attempted to update a secondary index key to a value that is "
                    "not supported. The AttributeValue for a key attribute cannot contain an empty "
                    f"{'string' if kind == 'S' else 'binary'} value."
                )
            check_index_key(table, name, kind, index_name, new[name])
    store(session, table, key, old_raw, new, size, old)
    return Change(old, new, size_of_stored(old_raw) if old_raw else 0, size)


def _condition(parameters: ExpressionParameters, request: Request) -> Matches | None:
    legacy = expected(request)
    parameters.read_placeholders()
    condition = parameters.condition("ConditionExpression")
    parameters.finish()
    return condition or legacy


def _require(condition: Matches | None, old: Item | None, request: Mapping[str, Any]) -> None:
    if condition is None or condition(old or {}):
        return
    wants_old = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    raise condition_failed(old if wants_old else None)


def _update_attributes(returned: str | None, update: CompiledUpdate | None, change: Change) -> Item | None:
    if returned == "ALL_OLD":
        return change.old
    if returned == "ALL_NEW":
        return change.new
    source = change.old if returned == "UPDATED_OLD" else change.new if returned == "UPDATED_NEW" else None
    if source is None or update is None:
        return None
    return project(source, update.touched)


def _write_capacity(request: Request, table: Table, change: Change) -> dict[str, Any]:
    units = write_units(change.old_size, change.new_size)
    return consumed(request, table, units, index_write_units(table, change.old, change.new))


def _with_metrics(response: Response, request: Request, table: Table, key: Item) -> Response:
    metrics = collection_metrics(request, table, key)
    if metrics is not None:
        response["ItemCollectionMetrics"] = metrics
    return response
