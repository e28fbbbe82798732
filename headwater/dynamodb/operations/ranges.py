"""Key ranges: which entries a query or scan meets, in which order, and where it goes on."""

from collections.abc import Callable, Iterator, Mapping
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
    joined,
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


@dataclass(frozen=True, slots=True)
class SortCondition:
    """A condition on the bytes of the sort key; RANGE is from `low` up to `high` without it."""

    operator: str
    low: bytes
    high: bytes


def query_range(space: bytes, partition: bytes, condition: SortCondition | None, *, is_index: bool) -> KeyRange:
    """The range of one partition that meets a condition on the sort key."""
    prefix = partition_prefix(space, partition)
    if condition is None:
        return KeyRange(prefix, after_prefix(prefix))
    low, high = condition.low, condition.high
    start, stop = prefix, after_prefix(prefix)
    if condition.operator in {"=", ">=", "BETWEEN", "RANGE"}:
        start = _lowest(prefix, low, is_index=is_index)
    elif condition.operator == ">":
        start = _above(prefix, low, is_index=is_index, is_start=True)
    elif condition.operator == "begins_with":
        begin = prefix + (low.replace(b"\x00", b"\x00\xff") if is_index else low)[:MAX_INLINE_SORT_BYTES]
        start, stop = begin, after_prefix(begin)
    if condition.operator in {"=", "<=", "BETWEEN"}:
        stop = _above(prefix, high, is_index=is_index, is_start=False)
    elif condition.operator in {"<", "RANGE"}:
        is_long = _is_long(high, is_index=is_index)
        stop = (
            _above(prefix, high, is_index=is_index, is_start=False)
            if is_long
            else _lowest(prefix, high, is_index=is_index)
        )
    if _is_long(low, is_index=is_index) or _is_long(high, is_index=is_index):
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


def sort_condition(keys: Keys, conditions: Mapping[str, KeyCondition]) -> SortCondition | None:
    """The conditions on the sort key's attributes as one on its bytes; None if there are none.

    All attributes but the last that has a condition are held to one value, which the caller has checked.
    """
    chosen = [(kind, conditions[name]) for name, kind in keys.sorts if name in conditions]
    if not chosen:
        return None
    kind, last = chosen[-1]
    values = [scalar_bytes(kind, value[kind]) for value in last.values]
    if len(keys.sorts) == 1:
        return SortCondition(last.operator, values[0], values[-1])
    before = b"".join(escape(scalar_bytes(kind, held.values[0][kind])) for kind, held in chosen[:-1])
    is_final = len(chosen) == len(keys.sorts)
    if is_final and last.operator == "=":
        return SortCondition("=", before + values[0], before + values[0])
    return _part_of_sort(before, last.operator, values[0], values[-1], is_final=is_final)


def _part_of_sort(before: bytes, operator: str, low: bytes, high: bytes, *, is_final: bool) -> SortCondition:
    """A condition on one attribute behind the bytes of those before it, whatever the ones behind it are."""
    if operator == "begins_with":
        text = before + (low if is_final else low.replace(b"\x00", b"\x00\xff"))
        return SortCondition("begins_with", text, text)
    first = before + (low if is_final else escape(low))
    last = before + (high if is_final else escape(high))
    behind_first, behind_last = (first + b"\x00", last + b"\x00") if is_final else (_behind(first), _behind(last))
    end = after_prefix(before)
    if operator in {"<", "<="}:
        return SortCondition("RANGE", before, first if operator == "<" else behind_first)
    if operator in {">", ">="}:
        start = behind_first if operator == ">" else first
        return SortCondition(">=", start, start) if end is None else SortCondition("RANGE", start, end)
    return SortCondition("RANGE", first, behind_last)


def _behind(escaped: bytes) -> bytes:
    return escaped[:-1] + b"\x02"


def sort_test(condition: SortCondition) -> Callable[[bytes], bool]:
    """A condition on the sort key as a test of its bytes."""
    return _exact_test(condition.operator, condition.low, condition.high)


def _exact_test(operator: str, low: bytes, high: bytes) -> Callable[[bytes], bool]:
    if operator == "=":
        return lambda sort: sort == low
    if operator == "BETWEEN":
        return lambda sort: low <= sort <= high
    if operator == "RANGE":
        return lambda sort: low <= sort < high
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
    return joined(keys.sorts, item)


def partition_bytes(keys: Keys, item: Item) -> bytes:
    """The partition key bytes of an item."""
    return joined(keys.partitions, item)


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
