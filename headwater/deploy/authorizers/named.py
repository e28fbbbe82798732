"""Documents of one kind, each under its name: what authorizers and domain configurations have in common."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from headwater.deploy.iot.database import Change, Changes, Document, Documents, IotDatabase
from headwater.deploy.iot.limits import exists, not_found


@dataclass(frozen=True, slots=True)
class NamedDocuments:
    """`what` is how messages call one, `arn_member` the member with its ARN. Every method raises ServiceError."""

    database: IotDatabase
    kind: str
    what: str
    arn_member: str
    name: re.Pattern[str]

    def of(self, documents: Documents, name: str) -> Document:
        """Raises: ServiceError ResourceNotFoundException."""
        found = documents.get(self.kind, name) if self.name.match(name) is not None else None
        if found is None:
            raise not_found(f"There is no {self.what} {name[:128]!r}")
        return found

    def describe(self, name: str) -> Document:
        return self.database.read(lambda documents: self.of(documents, name))

    async def create(self, name: str, document: Document) -> Document:
        """Raises: ServiceError ResourceAlreadyExistsException."""

        def write(changes: Changes) -> Document:
            if changes.has(self.kind, name):
                article = "An" if self.what[0] in "aeiou" else "A"
                raise exists(f"{article} {self.what} named {name} exists", name, document[self.arn_member])
            changes.put(self.kind, name, document=document)
            return document

        return await self.database.write(write, Change())

    async def replace(self, name: str, document: Document) -> None:
        """Keep a document as the template has it, whatever was under its name before."""
        await self.database.write(lambda changes: changes.put(self.kind, name, document=document), Change())

    async def change(self, name: str, changed: Callable[[Document], Document]) -> Document:
        """Put what `changed` makes of the document, which may refuse it."""

        def write(changes: Changes) -> Document:
            document = changed(self.of(changes, name))
            changes.put(self.kind, name, document=document)
            return document

        return await self.database.write(write, Change())

    async def delete(self, name: str, check: Callable[[Document], None]) -> None:
        """Delete a document unless `check` refuses it."""

        def write(changes: Changes) -> None:
            check(self.of(changes, name))
            changes.delete(self.kind, name)

        await self.database.write(write, Change())
