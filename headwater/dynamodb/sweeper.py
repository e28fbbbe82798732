"""What time removes: expired items, records past their retention, tokens, and the keys of deleted tables."""

import orjson

from headwater.dynamodb.items.changes import conclude, delete_item, record_key
from headwater.dynamodb.items.keys import after_prefix, item_key
from headwater.dynamodb.items.numbers import encode_number
from headwater.dynamodb.operations.transactions import TOKEN_LIFE_S
from headwater.dynamodb.session import Session
from headwater.dynamodb.streams import RETENTION_S, retired_streams, streams
from headwater.dynamodb.tables.model import DATABASE, GARBAGE_PREFIX, STREAMS_DATABASE, TOKEN_PREFIX, Table

# One pass holds the writer for a few milliseconds at most.
MAX_PER_PASS = 1000
# The service leaves items alone whose time to live is further back than five years.
MAX_AGE_S = 5 * 365 * 24 * 3600
TTL_IDENTITY = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def expire(session: Session) -> int:
    """One bounded pass at `session.now`; the number of removed keys, so that a caller repeats while it is large."""
    removed = 0
    for name in session.catalog.names(session.transaction):
        table = session.table(name)
        if table.ttl_attribute is not None and removed < MAX_PER_PASS:
            removed += _expire_items(session, table, MAX_PER_PASS - removed)
    if removed < MAX_PER_PASS:
        removed += _trim_streams(session, MAX_PER_PASS - removed)
    if removed < MAX_PER_PASS:
        removed += _drop_tokens(session, MAX_PER_PASS - removed)
    if removed < MAX_PER_PASS:
        removed += _collect_garbage(session, MAX_PER_PASS - removed)
    conclude(session)
    return removed


def _expire_items(session: Session, table: Table, limit: int) -> int:
    oldest = item_key(table.ttl_space, encode_number(str(max(0, int(session.now) - MAX_AGE_S))))
    stop = item_key(table.ttl_space, encode_number(str(int(session.now))))
    removed = 0
    for _, key in session.transaction.scan(DATABASE, oldest, stop):
        raw = session.transaction.get(DATABASE, key)
        assert raw is not None, "an expiry without its item"
        delete_item(session, table, key, raw, TTL_IDENTITY)
        removed += 1
        if removed >= limit:
            break
    return removed


def _trim_streams(session: Session, limit: int) -> int:
    transaction = session.transaction
    removed = 0
    for view in streams(transaction, session.catalog):
        span = transaction.scan(STREAMS_DATABASE, record_key(view.space, 0), record_key(view.space, 2**64 - 1))
        for key, raw in span:
            if session.now - orjson.loads(raw)["time"] <= RETENTION_S or removed >= limit:
                break
            transaction.delete(STREAMS_DATABASE, key)
            removed += 1
    for key, retired_s in retired_streams(transaction):
        if session.now - retired_s > RETENTION_S and removed < limit:
            transaction.delete(STREAMS_DATABASE, key)
            removed += 1
    return removed


def _drop_tokens(session: Session, limit: int) -> int:
    removed = 0
    for key, raw in session.transaction.scan(DATABASE, TOKEN_PREFIX, after_prefix(TOKEN_PREFIX)):
        if session.now - orjson.loads(raw)[0] > TOKEN_LIFE_S and removed < limit:
            session.transaction.delete(DATABASE, key)
            removed += 1
    return removed


def _collect_garbage(session: Session, limit: int) -> int:
    transaction = session.transaction
    removed = 0
    for marker, _ in transaction.scan(DATABASE, GARBAGE_PREFIX, after_prefix(GARBAGE_PREFIX)):
        space = marker[len(GARBAGE_PREFIX) :]
        for key, _ in transaction.scan(DATABASE, space, after_prefix(space)):
            if removed >= limit:
                return removed
            transaction.delete(DATABASE, key)
            removed += 1
        transaction.delete(DATABASE, marker)
    return removed
