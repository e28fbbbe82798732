"""Where items live: LMDB keys that keep a partition together and its sort keys in order.

An item's key is space (4 bytes) + hash of the partition key (16) + sort key bytes. A sort key above 400 bytes does not
fit LMDB's 511; its key is the first 400 bytes and a hash of all of them, and whoever scans sorts such a group by the
full sort key (`is_long_key`). An index entry escapes its sort key and ends with a hash of the item's key, since
several items may have equal index keys.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from hashlib import md5

from headwater.dynamodb.items.numbers import encode_number

SPACE_BYTES = 4
HASH_BYTES = 16
PREFIX_BYTES = SPACE_BYTES + HASH_BYTES
MAX_INLINE_SORT_BYTES = 400
# An inline key ends below this length, a long one has exactly it: 20 + 400 + 2 * 16.
LONG_KEY_BYTES = PREFIX_BYTES + MAX_INLINE_SORT_BYTES + 2 * HASH_BYTES


def scalar_bytes(kind: str, value: str) -> bytes:
    """The bytes of a key attribute (S, N, or B as base64), in the order the service sorts them."""
    if kind == "S":
        return value.encode()
    if kind == "N":
        return encode_number(value)
    return b64decode(value)


def hash_bytes(data: bytes) -> bytes:
    """16 bytes that stand for any length, and the order in which a scan meets partitions.

    The service places partitions by this very hash, which is visible in the order of a scan and in its segments.
    """
    return md5(b"Outliers" + data, usedforsecurity=False).digest()


def partition_prefix(space: bytes, partition: bytes) -> bytes:
    """The prefix of all keys of one partition."""
    return space + md5(b"Outliers" + partition, usedforsecurity=False).digest()


def item_key(prefix: bytes, sort: bytes) -> bytes:
    """The key of an item in its partition; `sort` is empty if the table has no sort key."""
    if len(sort) <= MAX_INLINE_SORT_BYTES:
        return prefix + sort
    return prefix + sort[:MAX_INLINE_SORT_BYTES] + b"\x00" * HASH_BYTES + hash_bytes(sort)


def escape(sort: bytes) -> bytes:
    """Sort bytes that may be followed by others: zero bytes are escaped and a terminator is added."""
    return sort.replace(b"\x00", b"\x00\xff") + b"\x00\x01"


def joined(attributes: Sequence[tuple[str, str]], item: Mapping[str, Mapping[str, str]]) -> bytes:
    """The bytes of a key of several attributes (name, type), in the order of the first, then the second, and so on."""
    parts = [scalar_bytes(kind, item[name][kind]) for name, kind in attributes]
    return b"".join([*map(escape, parts[:-1]), *parts[-1:]])


def index_key(prefix: bytes, sort: bytes, base_hash: bytes) -> bytes:
    """The key of an index entry; `base_hash` is the hash of the item's whole primary key."""
    escaped = escape(sort)
    if len(escaped) <= MAX_INLINE_SORT_BYTES:
        return prefix + escaped + base_hash
    return prefix + escaped[:MAX_INLINE_SORT_BYTES] + hash_bytes(sort) + base_hash


def is_long_key(key: bytes) -> bool:
    """Whether the key holds only the beginning of its sort key."""
    return len(key) == LONG_KEY_BYTES


def group_of(key: bytes) -> bytes:
    """The shared beginning of the long keys that only their full sort keys can order."""
    return key[: PREFIX_BYTES + MAX_INLINE_SORT_BYTES]


def after_prefix(prefix: bytes) -> bytes | None:
    """The smallest key above every key that starts with `prefix`; None if there is none."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        return None
    return stripped[:-1] + bytes([stripped[-1] + 1])
