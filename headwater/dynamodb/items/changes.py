"""One change of one item: the item, its index entries, the table's counters and its stream record together."""

import struct

import orjson

from headwater.dynamodb.items.attributes import Item, items_equal, keys_of_item
from headwater.dynamodb.items.keys import hash_bytes, item_key
from headwater.dynamodb.items.numbers import encode_number
from headwater.dynamodb.items.schema import index_entry, primary_bytes
from headwater.dynamodb.session import Session
from headwater.dynamodb.tables.model import DATABASE, STREAMS_DATABASE, Keys, Table
from headwater.values.transaction import ReadTransaction, WriteTransaction

_SIZE = struct.Struct("<I")
_COUNTERS = struct.Struct(">QQQ")
RECORD_PREFIX = b"\x01"
# Is in the JSON of every item with a set.
_SET = b'S":['


def pack_item(item: Item, size: int) -> bytes:
    """A stored item: its size in the service's count, then its typed JSON (numbers stay text, so they stay exact)."""
    return _SIZE.pack(size) + orjson.dumps(item)


def unpack_item(raw: bytes) -> Item:
    """The item of a stored value."""
    item: Item = orjson.loads(raw[4:])
    return item


def size_of_stored(raw: bytes) -> int:
    """The size of a stored item."""
    size: int = _SIZE.unpack_from(raw)[0]
    return size


def counters(transaction: ReadTransaction, table: Table) -> tuple[int, int, int]:
    """The last stream sequence number, the number of items and their total size."""
    raw = transaction.get(DATABASE, table.counter_key)
    return (0, 0, 0) if raw is None else _COUNTERS.unpack(raw)


def record_key(stream_space: bytes, sequence: int) -> bytes:
    """The key of a stream record."""
    return RECORD_PREFIX + stream_space + sequence.to_bytes(8, "big")


def put_item(
    session: Session, table: Table, key: bytes, old_raw: bytes | None, new: Item, size: int, old: Item | None = None
) -> None:
    """Write a canonical item over whatever `old_raw` is (None: nothing); `old` is its item, if that is known."""
    raw = pack_item(new, size)
    if raw != old_raw:  # else nothing changes, and the service writes no stream record either
        session.transaction.put(DATABASE, key, raw)
        _follow_put(session, table, key, old_raw, old, raw, new, size)


def replace_item(session: Session, table: Table, key: bytes, new: Item, size: int) -> bytes | None:
    """Write a canonical item over whatever is there, which is returned."""
    transaction = session.transaction
    raw = pack_item(new, size)
    # Most items are new, and one that is need not be looked for twice.
    if transaction.insert(DATABASE, key, raw):
        _follow_put(session, table, key, None, None, raw, new, size)
        return None
    old_raw = transaction.get(DATABASE, key)
    if raw != old_raw:
        transaction.put(DATABASE, key, raw)
        _follow_put(session, table, key, old_raw, None, raw, new, size)
    return old_raw


def _follow_put(
    session: Session,
    table: Table,
    key: bytes,
    old_raw: bytes | None,
    old: Item | None,
    raw: bytes,
    new: Item,
    size: int,
) -> None:
    """Write what follows from a put: index entries, counters, the stream record."""
    old_size = 0 if old_raw is None else size_of_stored(old_raw)
    has_record = False
    if table.indexes or table.stream is not None or table.ttl_attribute is not None:
        if old is None and old_raw is not None:
            old = unpack_item(old_raw)
        if table.indexes or table.ttl_attribute is not None:
            _move_entries(session.transaction, table, key, old, new)
        has_record = table.stream is not None and (old is None or _differs(old, new, raw))
    if has_record:
        _record(session, table, new, old_raw, old_size, raw, size)
    _count(session, table, 0 if old_raw else 1, size - old_size)


def _differs(old: Item, new: Item, new_raw: bytes) -> bool:
    """Whether two items differ in more than spelling, which only sets can, and most items have none."""
    return old != new and (_SET not in new_raw or not items_equal(old, new))


def delete_item(
    session: Session, table: Table, key: bytes, old_raw: bytes, identity: dict[str, str] | None = None
) -> None:
    """Remove an item; `identity` names the service when it is TTL that removes it."""
    transaction = session.transaction
    transaction.delete(DATABASE, key)
    old = unpack_item(old_raw)
    _move_entries(transaction, table, key, old, None)
    old_size = size_of_stored(old_raw)
    if table.stream is not None:
        _record(session, table, old, old_raw, old_size, None, 0, identity)
    _count(session, table, -1, -old_size)


def _counters(session: Session, table: Table) -> list[int]:
    """As `counters`, with what the operation has changed so far; what is changed here is stored when it ends."""
    known = session.counters.get(table.counter_key)
    if known is None:
        known = session.counters[table.counter_key] = list(counters(session.transaction, table))
    return known


def _count(session: Session, table: Table, items: int, size: int) -> None:
    if items or size:
        known = _counters(session, table)
        known[1] += items
        known[2] += size


def count_copies(session: Session, table: Table, items: int, size: int) -> None:
    """Give a table that was filled with copies its counters."""
    session.transaction.put(DATABASE, table.counter_key, _COUNTERS.pack(0, items, size))


def conclude(session: Session) -> None:
    """Write an operation's stream records and its tables' counters; all that may change items end with it."""
    if session.records:
        session.transaction.put_many(STREAMS_DATABASE, session.records)
    for key, values in session.counters.items():
        session.transaction.put(DATABASE, key, _COUNTERS.pack(*values))


def _record(
    session: Session,
    table: Table,
    source: Item,
    old_raw: bytes | None,
    old_size: int,
    new_raw: bytes | None,
    new_size: int,
    identity: dict[str, str] | None = None,
) -> None:
    """Make the stream record of a change; `source` has the item's keys."""
    stream = table.stream
    assert stream is not None
    keys, size = keys_of_item(table.keys.types, source)
    size += table.keys.names_size
    view_type = stream.view_type
    name = b"REMOVE" if new_raw is None else b"INSERT" if old_raw is None else b"MODIFY"
    new_image = old_image = by = b""
    if new_raw is not None and view_type in {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"}:
        new_image = b',"new":' + new_raw[4:]
        size += new_size
    if old_raw is not None and view_type in {"OLD_IMAGE", "NEW_AND_OLD_IMAGES"}:
        old_image = b',"old":' + old_raw[4:]
        size += old_size
    if identity is not None:
        by = b',"identity":' + orjson.dumps(identity)
    # The images are JSON already, and bytes put together cost half of encoding the whole (bench/store.py, put).
    parts = (name, session.now_json, orjson.dumps(keys), new_image, old_image, by, size)
    record = b'{"name":"%b","time":%b,"keys":%b%b%b%b,"size":%d}' % parts
    known = _counters(session, table)
    known[0] += 1
    session.records.append((record_key(stream.space, known[0]), record))
    session.changed_streams.add(stream.arn)


def _move_entries(transaction: WriteTransaction, table: Table, key: bytes, old: Item | None, new: Item | None) -> None:
    base_hash = b""
    for index in table.indexes:
        if _stays(index.keys, old, new):
            continue
        base_hash = base_hash or hash_bytes(primary_bytes(table, new or old or {}))
        before = None if old is None else index_entry(index, old, base_hash)
        after = None if new is None else index_entry(index, new, base_hash)
        if before == after:
            continue
        if before is not None:
            transaction.delete(DATABASE, before)
        if after is not None:
            transaction.put(DATABASE, after, key)
    if table.ttl_attribute is not None:
        before = None if old is None else expiry_key(table, old, key)
        after = None if new is None else expiry_key(table, new, key)
        if before != after:
            if before is not None:
                transaction.delete(DATABASE, before)
            if after is not None:
                transaction.put(DATABASE, after, key)


def _stays(keys: Keys, old: Item | None, new: Item | None) -> bool:
    """Whether an index with these keys has nothing to do for a change."""
    if old is None or new is None:
        return keys.partition not in (new or old or ())
    for name in keys.names:  # noqa: SIM110  # `all` would make a generator for each index of each write
        if old.get(name) != new.get(name):
            return False
    return True


def expiry_key(table: Table, item: Item, key: bytes) -> bytes | None:
    """Where an item with a time to live stands in the order of expiry; None if it never expires."""
    value = item.get(table.ttl_attribute or "")
    if value is None or "N" not in value:
        return None
    return item_key(table.ttl_space, encode_number(value["N"])) + b"\x00" + hash_bytes(key)
