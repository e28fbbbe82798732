"""A table as the item operations see it, and the catalog that finds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.dynamodb.faults import table_not_found
from headwater.values.transaction import ReadTransaction, WriteTransaction

DATABASE = "dynamodb"
STREAMS_DATABASE = "dynamodb-streams"
TABLE_PREFIX = b"\x00table:"
COUNTER_PREFIX = b"\x00count:"
GARBAGE_PREFIX = b"\x00garbage:"
BACKFILL_PREFIX = b"\x00backfill:"
TOKEN_PREFIX = b"\x00token:"
NEXT_SPACE_KEY = b"\x00space"
# Spaces begin above every key that starts with a zero byte.
FIRST_SPACE = 1 << 24

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Keys:
    """A key schema with the attributes' types.

    A global index may have up to four attributes in each of its keys; `partitions` and `sorts` hold all of them as
    (name, type), the other members are the first of each.
    """

    partition: str
    partition_type: str
    sort: str | None
    sort_type: str | None
    partitions: tuple[tuple[str, str], ...]
    sorts: tuple[tuple[str, str], ...]
    # Name and type of each key attribute, the partition key first.
    types: tuple[tuple[str, str], ...]
    names: tuple[str, ...]
    names_size: int
    is_multiple: bool


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index; `projected` is None when it holds whole items.

    `is_building` says that entries of items older than the index are still missing.
    """

    name: str
    is_global: bool
    keys: Keys
    space: bytes
    projected: frozenset[str] | None
    is_building: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """An enabled stream of a table."""

    arn: str
    label: str
    space: bytes
    shard_id: str
    view_type: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `document` is what is stored and must not be changed in place."""

    name: str
    space: bytes
    counter_key: bytes
    keys: Keys
    key_names: frozenset[str]
    indexes: tuple[Index, ...]
    # (attribute, type, index name) for every index key attribute that is no key of the table
    index_key_types: tuple[tuple[str, str, str], ...]
    # (attribute, type) of a table's partition key that is an index's sort key, where it has to be shorter
    demoted_keys: tuple[tuple[str, str], ...]
    stream: Stream | None
    ttl_attribute: str | None
    ttl_space: bytes
    is_ttl_building: bool
    document: Document

    def index(self, name: str) -> Index | None:
        """The index of that name."""
        for index in self.indexes:
            if index.name == name:
                return index
        return None


def space_bytes(number: int) -> bytes:
    """The key prefix of a space."""
    return number.to_bytes(4, "big")


def table_from_document(document: Document) -> Table:
    """Read a stored document."""
    description = document["description"]
    types = {entry["AttributeName"]: entry["AttributeType"] for entry in description["AttributeDefinitions"]}
    keys = keys_of(description["KeySchema"], types)
    building = document.get("building") or ()
    indexes = tuple(
        _index(
            entry, types, document["indexSpaces"][entry["IndexName"]], building, is_global=is_global, table_keys=keys
        )
        for member, is_global in (("GlobalSecondaryIndexes", True), ("LocalSecondaryIndexes", False))
        for entry in description.get(member, ())
    )
    index_key_types = tuple(
        (name, kind, index.name) for index in indexes for name, kind in index.keys.types if name not in keys.names
    )
    stream = document.get("stream")
    ttl = document.get("ttl")
    space = space_bytes(document["space"])
    return Table(
        name=description["TableName"],
        space=space,
        counter_key=COUNTER_PREFIX + space,
        keys=keys,
        key_names=frozenset(keys.names),
        indexes=indexes,
        index_key_types=index_key_types,
        demoted_keys=tuple(key for key in keys.partitions if any(key in index.keys.sorts for index in indexes)),
        stream=None
        if stream is None
        else Stream(
            stream["arn"], stream["label"], space_bytes(stream["space"]), stream["shardId"], stream["viewType"]
        ),
        ttl_attribute=None if ttl is None else ttl["attribute"],
        ttl_space=b"" if ttl is None else space_bytes(ttl["space"]),
        is_ttl_building=None in building,
        document=document,
    )


def keys_of(schema: list[Mapping[str, str]], types: Mapping[str, str]) -> Keys:
    """A KeySchema with its types."""
    of_type = {
        kind: tuple((e["AttributeName"], types[e["AttributeName"]]) for e in schema if e["KeyType"] == kind)
        for kind in ("HASH", "RANGE")
    }
    partitions, sorts = of_type["HASH"], of_type["RANGE"]
    both = (*partitions, *sorts)
    sort, sort_type = sorts[0] if sorts else (None, None)
    return Keys(
        *partitions[0],
        sort,
        sort_type,
        partitions=partitions,
        sorts=sorts,
        types=both,
        names=tuple(name for name, _ in both),
        names_size=sum(len(name.encode()) for name, _ in both),
        is_multiple=len(partitions) > 1 or len(sorts) > 1,
    )


def _index(
    entry: Mapping[str, Any],
    types: Mapping[str, str],
    space: int,
    building: Sequence[str | None],
    *,
    is_global: bool,
    table_keys: Keys,
) -> Index:
    keys = keys_of(entry["KeySchema"], types)
    kind = entry["Projection"]["ProjectionType"]
    projected = None
    if kind != "ALL":
        projected = frozenset({*table_keys.names, *keys.names, *entry["Projection"].get("NonKeyAttributes", ())})
    name = entry["IndexName"]
    return Index(name, is_global, keys, space_bytes(space), projected, name in building)


class Catalog:
    """Finds tables. A parsed table is kept by its stored bytes, so it can never be stale."""

    def __init__(self, region: str, account_id: str) -> None:
        self.region = region
        self.account_id = account_id
        self._parsed: dict[str, tuple[bytes, Table]] = {}

    def find(self, transaction: ReadTransaction, name: str) -> Table | None:
        """The table of that name or ARN."""
        if name.startswith("arn:"):
            name = name.rpartition(":table/")[2]
        raw = transaction.get(DATABASE, TABLE_PREFIX + name.encode("utf-8", "surrogatepass")[:255])
        if raw is None:
            self._parsed.pop(name, None)
            return None
        known = self._parsed.get(name)
        if known is not None and known[0] == raw:
            return known[1]
        table = table_from_document(orjson.loads(raw))
        self._parsed[name] = (raw, table)
        return table

    def table(self, transaction: ReadTransaction, name: str) -> Table:
        """The table of that name or ARN.

        Raises: ServiceError `ResourceNotFoundException`.
        """
        found = self.find(transaction, name)
        if found is None:
            raise table_not_found()
        return found

    def names(self, transaction: ReadTransaction) -> list[str]:
        """All table names, in order."""
        stop = TABLE_PREFIX[:-1] + b";"
        return [key[len(TABLE_PREFIX) :].decode() for key, _ in transaction.scan(DATABASE, TABLE_PREFIX, stop)]

    def table_arn(self, name: str) -> str:
        """The table's ARN."""
        return f"arn:aws:dynamodb:{self.region}:{self.account_id}:table/{name}"


def store_table(transaction: WriteTransaction, document: Document) -> Table:
    """Write a table's document."""
    name = document["description"]["TableName"]
    transaction.put(DATABASE, TABLE_PREFIX + name.encode(), orjson.dumps(document))
    return table_from_document(document)


def new_space(transaction: WriteTransaction) -> int:
    """A number no other space ever had."""
    raw = transaction.get(DATABASE, NEXT_SPACE_KEY)
    number = FIRST_SPACE if raw is None else int.from_bytes(raw, "big")
    transaction.put(DATABASE, NEXT_SPACE_KEY, space_bytes(number + 1))
    return number


def discard_space(transaction: WriteTransaction, space: bytes) -> None:
    """Leave a space's keys to the sweeper: a million deletes do not belong into one transaction."""
    transaction.put(DATABASE, GARBAGE_PREFIX + space, b"")
    transaction.delete(DATABASE, BACKFILL_PREFIX + space)
