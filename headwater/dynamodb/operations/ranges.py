"""Key ranges: which entries a query or scan meets, in which order, and where it goes on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from headwater.dynamodb.expressions.key_conditions import KeyCondition
from headwater.dynamodb.items.attributes import Item
from headwater.dynamodb.items.changes import unpack_item
from headwater.dynamodb.items.keys import (
    MAX_INLINE_SORT_BYTES,
    after_prefix,
    escape,
    group_of,
    is_long_key,
    partition_prefix,
    scalar_bytes,
)
from headwater.dynamodb.tables.model import DATABASE, Keys
from headwater.values.transaction import ReadTransaction


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a table or index: its LMDB key and the stored item."""

    key: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class KeyRange:
    """LMDB keys from `start` up to `stop`; `accepts` is the exact test where long sort keys make the range wider."""

    start: bytes
    stop: bytes | None
    accepts: Callable[[bytes], bool] | None = None


def query_range(
    space: bytes, keys: Keys, partition: bytes, condition: KeyCondition | None, *, is_index: bool
) -> KeyRange:
    """The range of one partition that meets a condition on the sort key."""
    prefix = partition_prefix(space, partition)
    if condition is None or keys.sort_type is None:
        return KeyRange(prefix, after_prefix(prefix))
    kind = keys.sort_type
    values = [scalar_bytes(kind, value[kind]) for value in condition.values]
    low, high = values[0], values[-1]
    start, stop = prefix, after_prefix(prefix)
    if condition.operator in {"=", ">=", "BETWEEN"}:
        start = _lowest(prefix, low, is_index=is_index)
    elif condition.operator == ">":
        start = _above(prefix, low, is_index=is_index, is_start=True)
    elif condition.operator == "begins_with":
        begin = prefix + (low.replace(b"\x00", b"\x00\xff") if is_index else low)[:MAX_INLINE_SORT_BYTES]
        start, stop = begin, after_prefix(begin)
    if condition.operator in {"=", "<=", "BETWEEN"}:
        stop = _above(prefix, high, is_index=is_index, is_start=False)
    elif condition.operator == "<":
        is_long = _is_long(low, is_index=is_index)
        stop = (
            _above(prefix, low, is_index=is_index, is_start=False)
            if is_long
            else _lowest(prefix, low, is_index=is_index)
        )
    if any(_is_long(value, is_index=is_index) for value in values):
        return KeyRange(start, stop, _exact_test(condition.operator, low, high))
    return KeyRange(start, stop)


def _is_long(sort: bytes, *, is_index: bool) -> bool:
    return len(escape(sort) if is_index else sort) > MAX_INLINE_SORT_BYTES


def _lowest(prefix: bytes, sort: bytes, *, is_index: bool) -> bytes:
    """The lowest key an entry with this sort key can have."""
    return prefix + (escape(sort) if is_index else sort)[:MAX_INLINE_SORT_BYTES]


def _above(prefix: bytes, sort: bytes, *, is_index: bool, is_start: bool) -> bytes:
    """A key above every entry with this sort key; for a long one the group's begin (`is_start`) or end."""
    lowest = _lowest(prefix, sort, is_index=is_index)
    if _is_long(sort, is_index=is_index):
        return lowest if is_start else after_prefix(lowest) or lowest
    if is_index:
        return after_prefix(lowest) or lowest
    return lowest + b"\x00"


def sort_test(keys: Keys, condition: KeyCondition) -> Callable[[bytes], bool]:
    """A condition on the sort key as a test of its bytes."""
    kind = keys.sort_type or "S"
    values = [scalar_bytes(kind, value[kind]) for value in condition.values]
    return _exact_test(condition.operator, values[0], values[-1])


def _exact_test(operator: str, low: bytes, high: bytes) -> Callable[[bytes], bool]:
    if operator == "=":
        return lambda sort: sort == low
    if operator == "BETWEEN":
        return lambda sort: low <= sort <= high
    if operator == "begins_with":
        return lambda sort: sort.startswith(low)
    if operator == "<":
        return lambda sort: sort < low
    if operator == "<=":
        return lambda sort: sort <= low
    if operator == ">":
        return lambda sort: sort > low
    return lambda sort: sort >= low


def entries(
    transaction: ReadTransaction,
    keys: Keys,
    span: KeyRange,
    *,
    is_index: bool,
    reverse: bool = False,
    after: bytes | None = None,
    after_sort: bytes = b"",
) -> Iterator[Entry]:
    """The entries of a range in order, beginning behind the key `after` whose full sort key is `after_sort`."""
    start, stop = span.start, span.stop
    if after is not None:
        bound = group_of(after) if is_long_key(after) else after
        if reverse:
            edge = after_prefix(bound) if is_long_key(after) else bound
            stop = edge if stop is None or (edge is not None and edge < stop) else stop
        else:
            # Behind a short key, and behind the one short key that is the whole beginning of a group of long ones.
            start = max(start, bound + b"\x00")
    group: list[tuple[bytes, bytes, bytes]] = []
    for key, value in transaction.scan(DATABASE, start, stop, reverse=reverse):
        if group and (not is_long_key(key) or group_of(key) != group_of(group[0][1])):
            yield from _ordered_group(group, span, after, after_sort, reverse=reverse)
            group = []
        raw = transaction.get(DATABASE, value) if is_index else value
        assert raw is not None, "an index entry without its item"
        if is_long_key(key):
            group.append((sort_bytes(keys, unpack_item(raw)), key, raw))
            continue
        if span.accepts is None or span.accepts(sort_bytes(keys, unpack_item(raw))):
            yield Entry(key, raw)
    if group:
        yield from _ordered_group(group, span, after, after_sort, reverse=reverse)


def _ordered_group(
    group: list[tuple[bytes, bytes, bytes]],
    span: KeyRange,
    after: bytes | None,
    after_sort: bytes,
    *,
    reverse: bool,
) -> Iterator[Entry]:
    is_resumed = after is not None and is_long_key(after) and group_of(after) == group_of(group[0][1])
    for sort, key, raw in sorted(group, reverse=reverse):
        if span.accepts is not None and not span.accepts(sort):
            continue
        if is_resumed and after is not None:
            position, passed = (sort, key), (after_sort, after)
            if position == passed or (position > passed) is reverse:
                continue
        yield Entry(key, raw)


def sort_bytes(keys: Keys, item: Item) -> bytes:
    """The sort key bytes of an item."""
    if keys.sort is None or keys.sort_type is None:
        return b""
    return scalar_bytes(keys.sort_type, item[keys.sort][keys.sort_type])


def segment_range(space: bytes, segment: int, total: int) -> KeyRange:
    """The part of a space that one segment of a parallel scan covers: the service cuts at 4096ths of the hash."""
    bounds = [-(-4096 * part // total) for part in (segment, segment + 1)]
    start = space + (bounds[0] << 4).to_bytes(2, "big") if bounds[0] else space
    stop = after_prefix(space) if bounds[1] >= 4096 else space + (bounds[1] << 4).to_bytes(2, "big")
    return KeyRange(start, stop)


def scan_entries(
    transaction: ReadTransaction, span: KeyRange, *, is_index: bool, after: bytes | None
) -> Iterator[Entry]:
    """The entries of a whole space or segment in the order of their keys."""
    start = span.start if after is None else max(span.start, after + b"\x00")
    for key, value in transaction.scan(DATABASE, start, span.stop):
        raw = transaction.get(DATABASE, value) if is_index else value
        assert raw is not None, "an index entry without its item"
        yield Entry(key, raw)
