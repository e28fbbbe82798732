"""Entries for items older than their index or time to live, made in passes, so that no write waits long."""

from typing import Any

import orjson

from headwater.dynamodb.items.changes import counters, expiry_key, unpack_item
from headwater.dynamodb.items.keys import after_prefix, hash_bytes
from headwater.dynamodb.items.schema import index_entry, primary_bytes
from headwater.dynamodb.session import Session
from headwater.dynamodb.tables.model import (
    BACKFILL_PREFIX,
    DATABASE,
    Document,
    Index,
    Table,
    store_table,
    table_from_document,
)

# About 4 ms of the writer. A table of no more is filled in the very commit that makes its index.
ITEMS_PER_PASS = 500


def begin_backfill(session: Session, document: Document, index_name: str | None) -> None:
    """Fill a new index (None: the time to live), or leave it to `continue_backfill` if the table is not small.

    The entries of what is written from now on are kept by the writes themselves, wherever the passes have come to.
    """
    table = table_from_document(document)
    _, count, _ = counters(session.transaction, table)
    if count <= ITEMS_PER_PASS:
        _fill(session, table, index_name, None, ITEMS_PER_PASS + 1)
        return
    document.setdefault("building", []).append(index_name)
    space = _space(table, index_name)
    assert space is not None
    session.transaction.put(DATABASE, BACKFILL_PREFIX + space, _job(table.name, index_name, None))
    session.has_backfill = True


def continue_backfill(session: Session) -> bool:
    """One pass over the first backfill there is; false if there is none."""
    transaction = session.transaction
    found = next(transaction.scan(DATABASE, BACKFILL_PREFIX, after_prefix(BACKFILL_PREFIX)), None)
    if found is None:
        return False
    key, raw = found
    job = orjson.loads(raw)
    table = session.catalog.find(transaction, job["table"])
    index_name = job["index"]
    if table is None or _space(table, index_name) != key[len(BACKFILL_PREFIX) :]:
        transaction.delete(DATABASE, key)  # the index or the table has gone meanwhile
        return True
    after = _fill(session, table, index_name, job["after"], ITEMS_PER_PASS)
    if after is not None:
        transaction.put(DATABASE, key, _job(table.name, index_name, after))
        return True
    transaction.delete(DATABASE, key)
    document = {**table.document, "building": [name for name in table.document["building"] if name != index_name]}
    store_table(transaction, document)
    return True


def _fill(session: Session, table: Table, index_name: str | None, after: str | None, limit: int) -> str | None:
    """Make the entries of up to `limit` items behind a key; the last one's key if there may be more, as hex."""
    index = None if index_name is None else table.index(index_name)
    start = table.space if after is None else bytes.fromhex(after) + b"\x00"
    found = session.transaction.scan(DATABASE, start, after_prefix(table.space))
    for visited, (key, raw) in enumerate(found, 1):
        entry = _entry(table, index, key, unpack_item(raw))
        if entry is not None:
            session.transaction.put(DATABASE, entry, key)
        if visited == limit:
            return key.hex()
    return None


def _entry(table: Table, index: Index | None, key: bytes, item: dict[str, Any]) -> bytes | None:
    if index is None:
        return expiry_key(table, item, key)
    return index_entry(index, item, hash_bytes(primary_bytes(table, item)))


def _space(table: Table, index_name: str | None) -> bytes | None:
    if index_name is None:
        return table.ttl_space if table.ttl_attribute is not None else None
    index = table.index(index_name)
    return None if index is None else index.space


def _job(table: str, index: str | None, after: str | None) -> bytes:
    return orjson.dumps({"table": table, "index": index, "after": after})
