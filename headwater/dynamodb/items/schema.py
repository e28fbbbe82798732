"""Items and keys checked against a table's key schema."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from headwater.dynamodb.faults import NO_SCHEMA_MATCH, NOT_VALID, invalid, validation
from headwater.dynamodb.items.attributes import Item, type_of
from headwater.dynamodb.items.keys import index_key, item_key, joined, partition_prefix, scalar_bytes
from headwater.dynamodb.tables.model import Index, Keys, Table

MAX_PARTITION_KEY_BYTES = 2048
MAX_SORT_KEY_BYTES = 1024


def key_of_item(table: Table, item: Item) -> bytes:
    """The LMDB key of a canonical item.

    Raises: ServiceError `ValidationException` if a key attribute is missing, empty, too long or of the wrong type.
    """
    for name, kind in table.keys.types:
        value = item.get(name)
        if value is None or kind not in value:
            raise _wrong_key(name, kind, value)
    key = _key(table.keys, table.space, item)
    for name, kind, index_name in table.index_key_types:
        value = item.get(name)
        if value is not None:
            check_index_key(table, name, kind, index_name, value)
    for name, kind in table.demoted_keys:
        _check_index_key_size(table, name, kind, item[name])
    return key


def _wrong_key(name: str, kind: str, value: dict[str, Any] | None) -> Exception:
    if value is None:
        return invalid(f"Missing the key {name} in the item")
    return invalid(f"Type mismatch for key {name} expected: {kind} actual: {type_of(value)}")


def check_index_key(table: Table, name: str, kind: str, index_name: str, value: dict[str, Any]) -> None:
    """An index key attribute may be absent, but not of another type, and not empty."""
    if kind not in value:
        raise invalid(
            f"Type mismatch for Index Key {name} Expected: {kind} Actual: {type_of(value)} IndexName: {index_name}"
        )
    if kind != "N" and len(value[kind]) > MAX_SORT_KEY_BYTES:
        _check_index_key_size(table, name, kind, value)
    if value[kind] == "":
        raise validation(
            f"{NOT_VALID}A value specified for a secondary index key is not supported. The AttributeValue for a key "
            f"attribute cannot contain an empty {'string' if kind == 'S' else 'binary'} value. "
            f"IndexName: {index_name}, IndexKey: {name}"
        )


def _check_index_key_size(table: Table, name: str, kind: str, value: dict[str, Any]) -> None:
    size = len(scalar_bytes(kind, value[kind]))
    for index in table.indexes:
        is_sort = (name, kind) in index.keys.sorts
        longest = MAX_SORT_KEY_BYTES if is_sort else MAX_PARTITION_KEY_BYTES
        if name in index.keys.names and size > longest:
            role = "Aggregated size of all range keys" if is_sort else "Size of hashkey"
            raise invalid(
                f"{role} has exceeded the maximum size limit of {longest} bytes. IndexName: {index.name}, "
                f"IndexKey: {name}"
            )


def key_of(table: Table, key: Item) -> bytes:
    """The LMDB key of a canonical `Key`.

    Raises: ServiceError `ValidationException` unless it has exactly the key attributes, of their types.
    """
    if key.keys() != table.key_names:
        raise validation(NO_SCHEMA_MATCH)
    for name, kind in table.keys.types:
        if kind not in key[name]:
            raise validation(NO_SCHEMA_MATCH)
    return _key(table.keys, table.space, key)


def check_scalar(name: str, kind: str, data: bytes, *, is_sort: bool) -> None:
    """The limits of a key attribute's size. Raises: ServiceError `ValidationException`."""
    if not data:
        raise validation(
            f"{NOT_VALID}The AttributeValue for a key attribute cannot contain an empty "
            f"{'string' if kind == 'S' else 'binary'} value. Key: {name}"
        )
    if is_sort and len(data) > MAX_SORT_KEY_BYTES:
        raise invalid("Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
    if not is_sort and len(data) > MAX_PARTITION_KEY_BYTES:
        raise invalid("Size of hashkey has exceeded the maximum size limit of2048 bytes")


# A batch has few partitions, and a fleet's devices write to theirs again and again.
_known_prefix = lru_cache(maxsize=4096)(partition_prefix)


def _key(keys: Keys, space: bytes, item: Item) -> bytes:
    kind = keys.partition_type
    partition = scalar_bytes(kind, item[keys.partition][kind])
    if not 0 < len(partition) <= MAX_PARTITION_KEY_BYTES:
        check_scalar(keys.partition, kind, partition, is_sort=False)
    prefix = _known_prefix(space, partition)
    if keys.sort is None or keys.sort_type is None:
        return prefix
    kind = keys.sort_type
    sort = scalar_bytes(kind, item[keys.sort][kind])
    if not 0 < len(sort) <= MAX_SORT_KEY_BYTES:
        check_scalar(keys.sort, kind, sort, is_sort=True)
    return item_key(prefix, sort)


def index_entry(index: Index, item: Item, base_hash: bytes) -> bytes | None:
    """The LMDB key of an item's entry in an index; None if the item is not in it.

    An empty text is possible where the index is younger than the item; it keeps the item out, too.
    """
    keys = index.keys
    if keys.is_multiple:
        if not all((item.get(name) or {}).get(kind) for name, kind in keys.types):
            return None
        return index_key(
            partition_prefix(index.space, joined(keys.partitions, item)), joined(keys.sorts, item), base_hash
        )
    value = item.get(keys.partition)
    if value is None or not value.get(keys.partition_type):
        return None
    partition = scalar_bytes(keys.partition_type, value[keys.partition_type])
    sort = b""
    if keys.sort is not None and keys.sort_type is not None:
        value = item.get(keys.sort)
        if value is None or not value.get(keys.sort_type):
            return None
        sort = scalar_bytes(keys.sort_type, value[keys.sort_type])
    return index_key(partition_prefix(index.space, partition), sort, base_hash)


def primary_bytes(table: Table, item: Item) -> bytes:
    """Partition and sort key bytes one after the other, as the service hashes them."""
    return b"".join(scalar_bytes(kind, item[name][kind]) for name, kind in table.keys.types)


def check_nested_keys(table: Table, nested_heads: Iterable[str]) -> None:
    """Refuse a path into a key attribute. Raises: ServiceError `ValidationException`."""
    for name in nested_heads:
        if name in table.key_names:
            kind = "Key"
        elif any(name == key for key, _, _ in table.index_key_types):
            kind = "IndexKey"
        else:
            continue
        raise validation(
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "
            f"{kind}: {name}"
        )
