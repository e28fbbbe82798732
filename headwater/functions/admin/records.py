"""What the Lambda API keeps of a function beside its configuration, in one file a function.

A function of the template has a record as well, for what was set beside the template outlives a restart as it outlives
a deployment: an event source mapping made on an alias finds it. What the template states is the template's again.
"""

import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headwater.functions.admin.code_store import CodeStore, StoredCode


def new_revision() -> str:
    return str(uuid.uuid4())


@dataclass(slots=True)
class PublishedVersion:
    """A numbered version: the create request and the code as they were."""

    number: str
    request: dict[str, Any]
    code: StoredCode | None
    published_s: float
    revision_id: str


@dataclass(slots=True)
class FunctionRecord:
    """`request` is the create request with later changes, None for a function of the template."""

    name: str
    modified_s: float
    request: dict[str, Any] | None = None
    code: StoredCode | None = None
    revision_id: str = field(default_factory=new_revision)
    last_number: int = 0
    versions: dict[str, PublishedVersion] = field(default_factory=dict)
    # In the API's shapes, by name, by qualifier, and by qualifier and statement id.
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    event_invokes: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    reserved_concurrency: int | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def is_of_template(self) -> bool:
        return self.request is None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was set through the API."""
        kept = (self.versions, self.aliases, self.event_invokes, any(self.policies.values()), self.tags)
        return self.is_of_template and not any(kept) and self.reserved_concurrency is None

    def revision_of(self, qualifier: str | None) -> str:
        """The revision of the function, of one of its versions or of an alias."""
        if qualifier in self.versions:
            return self.versions[str(qualifier)].revision_id
        if qualifier in self.aliases:
            return str(self.aliases[str(qualifier)]["RevisionId"])
        return self.revision_id

    def renew(self, qualifier: str | None) -> None:
        """Give what the qualifier means a new revision."""
        if qualifier in self.versions:
            self.versions[str(qualifier)].revision_id = new_revision()
        elif qualifier in self.aliases:
            self.aliases[str(qualifier)]["RevisionId"] = new_revision()
        else:
            self.revision_id = new_revision()


class FunctionRecords:
    """The records by function name; `save` writes one through to the store."""

    def __init__(self, store: CodeStore, *, clock: Callable[[], float]) -> None:
        self.store = store
        self._clock = clock
        self._records: dict[str, FunctionRecord] = {}

    def load(self) -> list[FunctionRecord]:
        """What earlier runs kept."""
        for document in self.store.load():
            record = _decode(document)
            self._records[record.name] = record
        return list(self._records.values())

    def of(self, name: str) -> FunctionRecord:
        """The record of a function that exists, made on first use."""
        if name not in self._records:
            self._records[name] = FunctionRecord(name, self._clock())
        return self._records[name]

    def add(self, record: FunctionRecord) -> None:
        self._records[record.name] = record
        self.save(record)

    def save(self, record: FunctionRecord) -> None:
        if record.is_empty:
            self.store.remove(record.name)
        else:
            self.store.save(record.name, _encode(record))

    def forget(self, name: str) -> None:
        """Leave a record out of this run; it stays in the store."""
        self._records.pop(name, None)

    def remove(self, name: str) -> None:
        self.forget(name)
        self.store.remove(name)


def _encode(record: FunctionRecord) -> dict[str, Any]:
    document = asdict(record)
    for part in (document, *document["versions"].values()):
        if part["code"] is not None:
            part["code"]["directory"] = str(part["code"]["directory"])
    return document


def _decode(document: dict[str, Any]) -> FunctionRecord:
    if "name" not in document:  # written before there were versions
        request, code = document["request"], document["code"]
        stored = StoredCode(Path(code["directory"]), code["sha256"], code["size"])
        return FunctionRecord(request["FunctionName"], document["modified"], request, stored)
    versions = {number: PublishedVersion(**_with_code(given)) for number, given in document["versions"].items()}
    return FunctionRecord(**{**_with_code(document), "versions": versions})


def _with_code(document: dict[str, Any]) -> dict[str, Any]:
    code = document["code"]
    return {**document, "code": StoredCode(**{**code, "directory": Path(code["directory"])}) if code else None}
