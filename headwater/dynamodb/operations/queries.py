"""Query and Scan: pages of a table or an index."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.dynamodb.expressions.key_conditions import KeyCondition, key_conditions
from headwater.dynamodb.expressions.paths import PathTree, project
from headwater.dynamodb.faults import invalid, validation
from headwater.dynamodb.items.attributes import Item, normalise_item, normalise_value
from headwater.dynamodb.items.changes import size_of_stored, unpack_item
from headwater.dynamodb.items.keys import hash_bytes, scalar_bytes
from headwater.dynamodb.items.schema import check_nested_keys, check_scalar, index_entry, key_of, primary_bytes
from headwater.dynamodb.operations.capacity import consumed, is_wanted, read_units
from headwater.dynamodb.operations.legacy import attributes_to_get, filter_conditions
from headwater.dynamodb.operations.legacy import key_conditions as legacy_key_conditions
from headwater.dynamodb.operations.parameters import ExpressionParameters, Matches
from headwater.dynamodb.operations.ranges import (
    Entry,
    KeyRange,
    entries,
    query_range,
    scan_entries,
    segment_range,
    sort_bytes,
)
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.tables.model import Index, Keys, Table
from headwater.errors import ServiceError

MAX_PAGE_BYTES = 1024 * 1024
_BAD_START = "The provided starting key is invalid"


@dataclass(frozen=True, slots=True)
class _Target:
    """What is read: a table, or one of its indexes."""

    table: Table
    index: Index | None

    @property
    def keys(self) -> Keys:
        return self.table.keys if self.index is None else self.index.keys

    @property
    def space(self) -> bytes:
        return self.table.space if self.index is None else self.index.space

    @property
    def start_names(self) -> tuple[str, ...]:
        """The members of LastEvaluatedKey."""
        extra = () if self.index is None else self.index.keys.names
        return tuple(dict.fromkeys((*self.table.keys.names, *extra)))


@dataclass(slots=True)
class _Page:
    """What one page gathers."""

    items: list[Item]
    scanned: int = 0
    matched: int = 0
    size_bytes: int = 0
    last: Item | None = None


def query(session: Session, request: Request) -> Response:
    """Query."""
    parameters = ExpressionParameters(
        session.expressions,
        request,
        ("ProjectionExpression", "FilterExpression", "KeyConditionExpression"),
        ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"),
    )
    old_filter, old_filter_names = filter_conditions(request, "QueryFilter")
    tree = attributes_to_get(request)
    start_item = _start_item(request)
    if request.get("KeyConditions") is None and request.get("KeyConditionExpression") is None:
        raise validation(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
        )
    parameters.read_placeholders()
    key_condition = parameters.compiled_condition("KeyConditionExpression")
    filtered = parameters.compiled_condition("FilterExpression")
    projection = parameters.projection()
    parameters.finish()
    conditions = legacy_key_conditions(request)
    if key_condition is not None:
        conditions = key_conditions(key_condition.tree, parameters.values)
    assert conditions is not None
    target = _target(session, request)
    partition, sort_condition = _key_condition(target, conditions)
    filter_names = old_filter_names if filtered is None else filtered.path_heads
    _refuse_key_filter(target, filter_names, "QueryFilter" if filtered is None else "Filter Expression")
    tree = tree if projection is None else projection.tree
    check_nested_keys(target.table, parameters.nested_heads)
    chosen = _selection(target, request, tree)
    reverse = request.get("ScanIndexForward") is False
    span = query_range(target.space, target.keys, partition, sort_condition, is_index=target.index is not None)
    after, after_sort = _start_of_query(target, start_item, partition, span, sort_condition)
    found = entries(
        session.transaction,
        target.keys,
        span,
        is_index=target.index is not None,
        reverse=reverse,
        after=after,
        after_sort=after_sort,
    )
    test = parameters.condition("FilterExpression") or old_filter
    return _answer(request, target, _collect(found, request, test, chosen))


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
    target = _target(session, request)
    tree = tree if projection is None else projection.tree
    check_nested_keys(target.table, parameters.nested_heads)
    chosen = _selection(target, request, tree)
    span = segment_range(target.space, segment, total)
    after = None
    if start_item is not None:
        after = _start_key(target, start_item, is_scan=True)
        if after < span.start or (span.stop is not None and after >= span.stop):
            raise validation(
                f"{_BAD_START}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. "
                f"TotalSegments: {total} Segment: {segment}"
            )
    found = scan_entries(session.transaction, span, is_index=target.index is not None, after=after)
    return _answer(request, target, _collect(found, request, test, chosen))


def _target(session: Session, request: Request) -> _Target:
    table = session.table(request["TableName"])
    name = request.get("IndexName")
    if name is None:
        return _Target(table, None)
    index = table.index(name)
    if index is None:
        raise validation(f"The table does not have the specified index: {name}")
    if index.is_global and request.get("ConsistentRead"):
        raise validation("Consistent reads are not supported on global secondary indexes")
    return _Target(table, index)


def _key_condition(target: _Target, conditions: Mapping[str, KeyCondition]) -> tuple[bytes, KeyCondition | None]:
    """The partition key's bytes and the condition on the sort key."""
    keys = target.keys
    if keys.sort is None and len(conditions) > 1:
        raise validation("Query key condition not supported")
    for position, (name, kind) in enumerate(keys.types):
        condition = conditions.get(name)
        if condition is None:
            if position == 0 or len(conditions) > 1:
                raise validation(f"Query condition missed key schema element: {name}")
            continue
        if any(kind not in value for value in condition.values):
            raise invalid("Condition parameter type does not match schema type")
        if position == 0 and condition.operator != "=":
            raise validation("Query key condition not supported")
        if condition.operator != "begins_with":
            for value in condition.values:
                check_scalar(name, kind, scalar_bytes(kind, value[kind]), is_sort=position == 1)
    partition_value = conditions[keys.partition].values[0]
    partition = scalar_bytes(keys.partition_type, partition_value[keys.partition_type])
    return partition, conditions.get(keys.sort) if keys.sort is not None else None


def _refuse_key_filter(target: _Target, names: frozenset[str], parameter: str) -> None:
    for name in target.keys.names:
        if name in names:
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


def _start_of_query(
    target: _Target,
    start_item: Item | None,
    partition: bytes,
    span: KeyRange,
    condition: KeyCondition | None,
) -> tuple[bytes | None, bytes]:
    if start_item is None:
        return None, b""
    after = _start_key(target, start_item, is_scan=False)
    keys = target.keys
    own_partition = scalar_bytes(keys.partition_type, start_item[keys.partition][keys.partition_type])
    sort = sort_bytes(keys, start_item)
    if condition is None:
        if own_partition != partition:
            raise validation("The provided starting key is outside query boundaries based on provided conditions")
    else:
        is_inside = own_partition != partition or (span.start <= after and (span.stop is None or after < span.stop))
        if not is_inside or (span.accepts is not None and not span.accepts(sort)):
            raise validation("The provided starting key does not match the range key predicate")
        if own_partition != partition:
            raise validation("The query can return at most one row and cannot be restarted")
    return after, sort


def _start_key(target: _Target, start_item: Item, *, is_scan: bool) -> bytes:
    """The LMDB key of ExclusiveStartKey. Raises: ServiceError `ValidationException` if it is not one."""
    table, index = target.table, target.index
    if start_item.keys() != set(target.start_names):
        raise validation(
            f"{_BAD_START}: The provided key element does not match the schema"
            if is_scan and index is None
            else _BAD_START
        )
    if index is not None:
        for name, kind in index.keys.types:
            if kind not in start_item[name]:
                raise validation("The provided key element does not match the schema")
    try:
        base_key = key_of(table, {name: start_item[name] for name in table.keys.names})
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


def _selection(target: _Target, request: Request, tree: PathTree | None) -> Callable[[Item], Item] | None:
    """What of an item is answered; None when only the count is."""
    select = request.get("Select")
    index = target.index
    if select is not None and select != "SPECIFIC_ATTRIBUTES" and tree is not None:
        member = "AttributesToGet" if request.get("AttributesToGet") is not None else "ProjectionExpression"
        chosen = "only the Count" if select == "COUNT" else select
        raise validation(f"Cannot specify the {member} when choosing to get {chosen}")
    if select == "SPECIFIC_ATTRIBUTES" and tree is None:
        raise validation(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
        )
    if select == "ALL_PROJECTED_ATTRIBUTES" and index is None:
        raise invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
    if select == "COUNT":
        return None
    if index is None or index.projected is None:
        return (lambda item: item) if tree is None else (lambda item: project(item, tree))
    projected = index.projected
    if select == "ALL_ATTRIBUTES" and index.is_global:
        raise invalid(
            "Select type ALL_ATTRIBUTES is not supported for global secondary index "
            f"{index.name} because its projection type is not ALL"
        )
    if tree is not None:
        missing = [str(name) for name in tree if name not in projected]
        if missing and index.is_global:
            raise invalid(f"Global secondary index {index.name} does not project {', '.join(missing)}")
        return lambda item: project(item, tree)
    if select == "ALL_ATTRIBUTES":
        return lambda item: item
    return lambda item: {name: value for name, value in item.items() if name in projected}


def _collect(
    found: Iterator[Entry],
    request: Request,
    test: Matches | None,
    chosen: Callable[[Item], Item] | None,
) -> _Page:
    page = _Page([])
    limit = request.get("Limit")
    for entry in found:
        item = unpack_item(entry.raw)
        page.scanned += 1
        page.size_bytes += size_of_stored(entry.raw)
        if test is None or test(item):
            page.matched += 1
            if chosen is not None:
                page.items.append(chosen(item))
        # The service stops at the limit without looking whether more would come.
        if page.scanned == limit or page.size_bytes >= MAX_PAGE_BYTES:
            page.last = item
            break
    return page


def _answer(request: Request, target: _Target, page: _Page) -> Response:
    response: Response = {"Count": page.matched, "ScannedCount": page.scanned}
    if request.get("Select") != "COUNT":
        response["Items"] = page.items
    if page.last is not None:
        response["LastEvaluatedKey"] = {name: page.last[name] for name in target.start_names}
    if is_wanted(request):
        units = read_units(page.size_bytes, is_consistent=bool(request.get("ConsistentRead")))
        index = target.index
        table_units = units if index is None else 0.0
        by_index: dict[str, Any] = {} if index is None else {index.name: units}
        response["ConsumedCapacity"] = consumed(request, target.table, table_units, by_index)
    return response
