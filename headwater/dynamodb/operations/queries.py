"""Query and Scan of a table or an index."""

from collections.abc import Mapping

from headwater.dynamodb.expressions.key_conditions import KeyCondition, key_conditions
from headwater.dynamodb.faults import NO_SCHEMA_MATCH, in_current_words, invalid, validation
from headwater.dynamodb.items.attributes import Item, normalise_item, normalise_value
from headwater.dynamodb.items.keys import hash_bytes, scalar_bytes
from headwater.dynamodb.items.schema import check_nested_keys, check_scalar, index_entry, key_of, primary_bytes
from headwater.dynamodb.operations.legacy import attributes_to_get, filter_conditions
from headwater.dynamodb.operations.legacy import key_conditions as legacy_key_conditions
from headwater.dynamodb.operations.pages import (
    Target,
    answer,
    answered_part,
    check_select,
    collect,
    refuse_all_attributes,
)
from headwater.dynamodb.operations.parameters import ExpressionParameters
from headwater.dynamodb.operations.ranges import (
    SortCondition,
    entries,
    partition_bytes,
    query_range,
    scan_entries,
    segment_range,
    sort_bytes,
    sort_condition,
    sort_test,
)
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.tables.model import Keys
from headwater.errors import ServiceError

_BAD_START = "The provided starting key is invalid"
_INDEXABLE = frozenset({"=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"})


def query(session: Session, request: Request) -> Response:
    """Query."""
    parameters = ExpressionParameters(
        session.expressions,
        request,
        ("ProjectionExpression", "FilterExpression", "KeyConditionExpression"),
        ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"),
    )
    old_filter, filter_names = filter_conditions(request, "QueryFilter")
    tree = attributes_to_get(request)
    start_item = _start_item(request)
    if request.get("KeyConditions") is None and request.get("KeyConditionExpression") is None:
        raise validation(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
        )
    parameters.read_placeholders()
    key_condition = parameters.compiled_condition("KeyConditionExpression")
    # The nested paths of the key condition have errors of their own.
    parameters.nested_heads.clear()
    filtered = parameters.compiled_condition("FilterExpression")
    projection = parameters.projection()
    parameters.finish()
    conditions = legacy_key_conditions(request)
    if key_condition is not None:
        conditions = key_conditions(key_condition.tree, parameters.values)
    assert conditions is not None
    tree = tree if projection is None else projection.tree
    try:
        check_select(request, tree)
    except ServiceError as error:
        raise in_current_words(error) from None
    target = _target(session, request)
    partition, sort_condition = _checked_keys(target, conditions, start_item)
    after, after_sort = _query_start(target, start_item, partition, sort_condition)
    if projection is not None:
        check_nested_keys(target.table, projection.nested_heads)
    _refuse_key_filter(target, filter_names if filtered is None else filtered.path_heads, is_old=filtered is None)
    refuse_all_attributes(target, request)
    check_nested_keys(target.table, parameters.nested_heads)
    answered = answered_part(target, request, tree)
    is_index = target.index is not None
    found = entries(
        session.transaction,
        target.keys,
        query_range(target.space, partition, sort_condition, is_index=is_index),
        is_index=is_index,
        reverse=request.get("ScanIndexForward") is False,
        after=after,
        after_sort=after_sort,
    )
    test = old_filter if filtered is None else parameters.bound(filtered)
    return answer(request, target, collect(target, found, request, test, answered), answered)


def scan(session: Session, request: Request) -> Response:
    """Scan, also one segment of a parallel scan."""
    parameters = ExpressionParameters(
        session.expressions,
        request,
        ("ProjectionExpression", "FilterExpression"),
        ("AttributesToGet", "ScanFilter", "ConditionalOperator"),
    )
    tree = attributes_to_get(request)
    old_filter, _ = filter_conditions(request, "ScanFilter")
    start_item = _start_item(request)
    segment, total = _segment(request)
    parameters.read_placeholders()
    test = parameters.condition("FilterExpression") or old_filter
    projection = parameters.projection()
    parameters.finish()
    tree = tree if projection is None else projection.tree
    check_select(request, tree)
    target = _target(session, request)
    span = segment_range(target.space, segment, total)
    after = None
    if start_item is not None:
        _check_scan_start(target, start_item)
        refuse_all_attributes(target, request)
        after = _start_key(target, start_item)
        if after < span.start or (span.stop is not None and after >= span.stop):
            raise validation(
                f"{_BAD_START}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. "
                f"TotalSegments: {total} Segment: {segment}"
            )
    refuse_all_attributes(target, request)
    check_nested_keys(target.table, parameters.nested_heads)
    answered = answered_part(target, request, tree)
    found = scan_entries(session.transaction, span, is_index=target.index is not None, after=after)
    return answer(request, target, collect(target, found, request, test, answered), answered)


def _target(session: Session, request: Request) -> Target:
    table = session.table(request["TableName"])
    name = request.get("IndexName")
    if name is None:
        return Target(table, None)
    index = table.index(name)
    if index is None:
        raise validation(f"The table does not have the specified index: {name}")
    if index.is_building:
        raise validation(f"Cannot read from backfilling global secondary index: {name}")
    if index.is_global and request.get("ConsistentRead"):
        raise validation("Consistent reads are not supported on global secondary indexes")
    return Target(table, index)


def _checked_keys(
    target: Target, conditions: Mapping[str, KeyCondition], start_item: Item | None
) -> tuple[bytes, SortCondition | None]:
    """The partition key's bytes and the condition on the sort key, checked attribute by attribute with the start."""
    keys = target.keys
    last_sort = _last_sort(keys, conditions) if keys.is_multiple else ""
    if len(conditions) > max(2, len(keys.types)):
        raise validation(
            f"The number of query conditions ({len(conditions)}) exceeds the number of key attributes defined in the "
            f"schema ({len(keys.types)})"
        )
    if start_item is not None and len(start_item) != len(target.start_names):
        raise validation(_BAD_START)
    for position, (name, kind) in enumerate(keys.types):
        if start_item is not None:
            _check_start_part(start_item, name, kind, is_sort=(name, kind) in keys.sorts)
        is_partition = position < len(keys.partitions)
        if position == 0 and keys.sort is None and len(conditions) > 1:
            raise validation("Query key condition not supported")
        condition = conditions.get(name)
        if condition is None:
            if is_partition or (len(conditions) > 1 and not keys.is_multiple):
                raise validation(f"Query condition missed key schema element: {name}")
            continue
        is_held = is_partition or (last_sort != "" and name != last_sort)
        _check_condition(name, kind, condition, is_held=is_held, is_sort=not is_partition)
    held = {name: conditions[name].values[0] for name, _ in keys.partitions}
    return partition_bytes(keys, held), sort_condition(keys, conditions)


def _check_condition(name: str, kind: str, condition: KeyCondition, *, is_held: bool, is_sort: bool) -> None:
    """One key attribute's condition; `is_held` says that only one value may meet it."""
    if condition.operator not in _INDEXABLE:
        raise validation("Attempted conditional constraint is not an indexable operation")
    if any(kind not in value for value in condition.values):
        raise invalid("Condition parameter type does not match schema type")
    if is_held and condition.operator != "=":
        raise validation("Query key condition not supported")
    if condition.operator != "begins_with":
        for value in condition.values:
            check_scalar(name, kind, scalar_bytes(kind, value[kind]), is_sort=is_sort)


def _last_sort(keys: Keys, conditions: Mapping[str, KeyCondition]) -> str:
    """The last sort key attribute with a condition: none before it may be left out."""
    names = [name for name, _ in keys.sorts]
    given = [name for name in names if name in conditions]
    if given != names[: len(given)]:
        missed = next(name for name in names if name not in conditions)
        raise _no_equality(missed, given[-1])
    for name in given[:-1]:
        if conditions[name].operator != "=":
            raise _no_equality(name, given[-1])
    if len(given) + len(keys.partitions) < len(conditions):
        raise validation("Query key condition not supported")
    return given[-1] if given else ""


def _no_equality(name: str, after: str) -> ServiceError:
    """Of an index with several sort key attributes: one before the last with a condition is not held to a value."""
    return validation(
        f"RANGE key attributes {name} must have equality conditions specified in the query because a condition is "
        f"present on key attribute {after}"
    )


def _check_start_part(start_item: Item, name: str, kind: str, *, is_sort: bool) -> None:
    value = start_item.get(name)
    if value is None:
        raise validation(_BAD_START)
    if kind not in value:
        raise validation(NO_SCHEMA_MATCH)
    check_scalar(name, kind, scalar_bytes(kind, value[kind]), is_sort=is_sort)


def _refuse_key_filter(target: Target, names: frozenset[str], *, is_old: bool) -> None:
    for name in target.keys.names:
        if name in names:
            parameter = "QueryFilter" if is_old else "Filter Expression"
            raise validation(f"{parameter} can only contain non-primary key attributes: Primary key attribute: {name}")


def _start_item(request: Request) -> Item | None:
    raw = request.get("ExclusiveStartKey")
    if raw is None:
        return None
    if not isinstance(raw, dict):
        return normalise_item(raw)[0]
    result: Item = {}
    for name, value in raw.items():
        try:
            result[name] = normalise_value(value)[0]
        except ServiceError as error:
            # The service puts this opening before some of the messages only.
            bare = ("contains duplicates", "number set", "numeric value", "significant digits", "with magnitude")
            if error.code != "ValidationException" or any(part in error.message for part in bare):
                raise
            raise validation(f"{_BAD_START}: {error.message}") from None
    return result


def _query_start(
    target: Target, start_item: Item | None, partition: bytes, condition: SortCondition | None
) -> tuple[bytes | None, bytes]:
    """The LMDB key to go on behind, and the sort key bytes it stands for."""
    if start_item is None:
        return None, b""
    after = _start_key(target, start_item)
    keys = target.keys
    sort = sort_bytes(keys, start_item)
    is_same_partition = partition_bytes(keys, start_item) == partition
    if condition is None:
        if not is_same_partition:
            raise validation("The provided starting key is outside query boundaries based on provided conditions")
    else:
        if not sort_test(condition)(sort):
            raise validation("The provided starting key does not match the range key predicate")
        if not is_same_partition:
            raise validation("The query can return at most one row and cannot be restarted")
    return after, sort


def _check_scan_start(target: Target, start_item: Item) -> None:
    if len(start_item) != len(target.start_names):
        detail = f": {NO_SCHEMA_MATCH}" if target.index is None else ""
        raise validation(_BAD_START + detail)
    if target.index is not None:
        for name, kind in target.index.keys.types:
            _check_start_part(start_item, name, kind, is_sort=(name, kind) in target.index.keys.sorts)


def _start_key(target: Target, start_item: Item) -> bytes:
    """The LMDB key of ExclusiveStartKey. Raises: ServiceError `ValidationException` if it is not one."""
    table, index = target.table, target.index
    try:
        base_key = key_of(table, {name: start_item[name] for name in table.keys.names if name in start_item})
    except ServiceError as error:
        raise validation(f"{_BAD_START}: {error.message}") from None
    if index is None:
        return base_key
    key = index_entry(index, start_item, hash_bytes(primary_bytes(table, start_item)))
    assert key is not None
    return key


def _segment(request: Request) -> tuple[int, int]:
    segment, total = request.get("Segment"), request.get("TotalSegments")
    if segment is not None and total is None:
        raise validation(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is "
            "present"
        )
    if total is None:
        return 0, 1
    if segment is None:
        raise validation(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is "
            "present"
        )
    if segment >= total:
        raise validation(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}"
        )
    return segment, total
