"""What the device registry stores: JSON documents by kind and name, and word of every change."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import orjson

from headwater.deploy.iot.limits import invalid
from headwater.storage.store import Store
from headwater.values.transaction import ReadTransaction, WriteTransaction

T = TypeVar("T")
Document = dict[str, Any]
_DATABASE = "iot"
_SEPARATOR = "\0"
_DEFAULT_PAGE = 25


@dataclass(frozen=True, slots=True)
class Change:
    """Whose permissions a commit may have changed: a certificate's, a thing's, or those of everybody."""

    certificate_id: str = ""
    thing_name: str = ""
    is_for_everybody: bool = False


Listener = Callable[[Change], None]


class Documents:
    """The documents inside one transaction. No name holds the character NUL."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: ReadTransaction) -> None:
        self._transaction = transaction

    def get(self, kind: str, *names: str) -> Document | None:
        raw = self._transaction.get(_DATABASE, _key(kind, *names))
        return None if raw is None else orjson.loads(raw)

    def has(self, kind: str, *names: str) -> bool:
        return self._transaction.get(_DATABASE, _key(kind, *names)) is not None

    def below(self, kind: str, *names: str, after: str = "") -> Iterator[tuple[str, Document]]:
        """The documents whose names begin with `names`, by the name that follows, in its order."""
        prefix = _key(kind, *names) + _SEPARATOR.encode()
        # No name holds the separator, so this is the first key behind that of `after`.
        start = prefix + after.encode() + _SEPARATOR.encode() if after else prefix
        for key, value in self._transaction.scan(_DATABASE, start, prefix[:-1] + b"\1"):
            yield key[len(prefix) :].decode(), orjson.loads(value)

    def names_below(self, kind: str, *names: str) -> list[str]:
        return [name for name, _ in self.below(kind, *names)]


class Changes(Documents):
    """The documents inside a transaction that may change them."""

    __slots__ = ("_writing",)

    def __init__(self, transaction: WriteTransaction) -> None:
        super().__init__(transaction)
        self._writing = transaction

    def put(self, kind: str, *names: str, document: Document) -> None:
        self._writing.put(_DATABASE, _key(kind, *names), orjson.dumps(document))

    def delete(self, kind: str, *names: str) -> bool:
        return self._writing.delete(_DATABASE, _key(kind, *names))


class IotDatabase:
    """`generation` rises with every change, so that what was derived from the documents can be told as stale."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: list[Listener] = []
        self.generation = 0

    def listen(self, listener: Listener) -> None:
        """Hear of every change after its commit."""
        self._listeners.append(listener)

    def read(self, operation: Callable[[Documents], T]) -> T:
        return self._store.read(lambda transaction: operation(Documents(transaction)))

    async def write(self, operation: Callable[[Changes], T], change: Change) -> T:
        """Commit an operation, which raises before its first change or not at all; then tell the listeners."""
        outcome = await self._store.write(lambda transaction: operation(Changes(transaction)))
        self.generation += 1
        for listener in self._listeners:
            listener(change)
        return outcome


def page_of(rows: list[tuple[str, Document]], token: str, size: int | None) -> tuple[list[Document], str]:
    """The rows of one page and the token of the next one; empty after the last.

    `rows` are sorted by their keys; a token is the key of the last row given, so that rows that come and go meanwhile
    neither repeat nor hide others.
    """
    after = key_of(token)
    if after:
        position = next((n for n, (key, _) in enumerate(rows, 1) if key == after), None)
        if position is None:
            falls = len(rows) > 1 and rows[0][0] > rows[-1][0]
            position = sum((key > after) if falls else (key < after) for key, _ in rows)
        rows = rows[position:]
    taken = rows[: size or _DEFAULT_PAGE]
    following = base64.b64encode(taken[-1][0].encode()).decode() if len(taken) < len(rows) else ""
    return [document for _, document in taken], following


def key_of(token: str) -> str:
    """The key a token stands for; empty for no token. Raises: ServiceError InvalidRequestException."""
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError as error:
        raise invalid(f"{token[:100]!r} is not a token this service gave") from error


def scanned_page(
    documents: Documents, kind: str, fits: Callable[[Document], bool], token: str, size: int | None
) -> tuple[list[Document], str]:
    """A page of the documents that fit, by name, without reading on behind it: a registry may hold many things."""
    wanted = size or _DEFAULT_PAGE
    rows = (row for row in documents.below(kind, after=key_of(token)) if fits(row[1]))
    return page_of(list(islice(rows, wanted + 1)), "", wanted)


def named_page(names: list[str], token: str, size: int | None) -> tuple[list[str], str]:
    """A page of names that are sorted."""
    shown, following = page_of([(name, {"name": name}) for name in names], token, size)
    return [row["name"] for row in shown], following


def age_of(document: Document) -> str:
    """A key that sorts certificates and policies by the time they were made."""
    name = document.get("certificateId") or document["policyName"]
    return f"{document['creationDate']:020.6f} {name}"


def _key(*parts: str) -> bytes:
    return _SEPARATOR.join(parts).encode()
