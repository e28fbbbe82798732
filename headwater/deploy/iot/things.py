"""Things and thing types of the device registry.

Source: AWS IoT API Reference, CreateThing, UpdateThing, DeleteThing, CreateThingType.
"""

from collections.abc import Callable, Mapping
from typing import Any

from headwater.deploy.iot.database import Change, Changes, Document, Documents, IotDatabase, scanned_page
from headwater.deploy.iot.limits import (
    check_attributes,
    check_thing_name,
    check_type_properties,
    exists,
    invalid,
    not_found,
)
from headwater.errors import ServiceError
from headwater.server.aws.permissions import Account

THING, TYPE, PRINCIPAL_OF = "thing", "thing-type", "principal-of"
GROUP, GROUP_OF, MEMBER_OF = "thing-group", "group-of", "member-of"
_DEPRECATION_S = 300


class Things:
    """Documents are as DescribeThing and DescribeThingType give them. Every method raises ServiceError."""

    def __init__(
        self, database: IotDatabase, account: Account, *, clock: Callable[[], float], new_id: Callable[[], str]
    ) -> None:
        self._database = database
        self._account = account
        self._clock = clock
        self._new_id = new_id

    async def create(self, name: str, type_name: str | None = None, attributes: Mapping[str, Any] | None = None) -> Any:
        """A new thing; the same thing again is no error, one that differs is."""
        check_thing_name(name)
        kept = dict(attributes or {})
        check_attributes(kept, has_type=type_name is not None)
        thing_id = self._new_id()

        def write(changes: Changes) -> Document:
            existing = changes.get(THING, name)
            if existing is not None:
                if existing.get("thingTypeName") != type_name or existing["attributes"] != kept:
                    message = f"Thing {name} already exists in account with different attributes"
                    raise exists(message, existing["thingId"], existing["thingArn"])
                return existing
            if type_name is not None:
                _usable_type(changes, type_name)
            thing = self._document(name, thing_id, type_name, kept, 1)
            changes.put(THING, name, document=thing)
            return thing

        return await self._database.write(write, Change(thing_name=name))

    async def replace(self, name: str, type_name: str | None, attributes: Mapping[str, Any]) -> None:
        """A thing as the template has it, whatever it was before."""
        check_thing_name(name)
        kept = dict(attributes)
        check_attributes(kept, has_type=type_name is not None)
        thing_id = self._new_id()

        def write(changes: Changes) -> None:
            existing = changes.get(THING, name)
            if type_name is not None:
                _usable_type(changes, type_name)
            version = existing["version"] if existing else 1
            found_id = existing["thingId"] if existing else thing_id
            changes.put(THING, name, document=self._document(name, found_id, type_name, kept, version))

        await self._database.write(write, Change(thing_name=name))

    def describe(self, name: str) -> Document:
        check_thing_name(name)
        return self._database.read(lambda documents: thing_of(documents, name))

    def listed(
        self, *, type_name: str, attribute: str, value: str, is_prefix: bool, token: str, size: int | None
    ) -> tuple[list[Document], str]:
        """Things by name, with the type and the attribute asked for."""

        def fits(thing: Document) -> bool:
            found = thing["attributes"].get(attribute)
            has_type = not type_name or thing.get("thingTypeName") == type_name
            if not attribute:
                return has_type
            return has_type and found is not None and (found.startswith(value) if is_prefix else found == value)

        return self._database.read(lambda documents: scanned_page(documents, THING, fits, token, size))

    async def update(
        self,
        name: str,
        *,
        type_name: str | None,
        removes_type: bool,
        attributes: Mapping[str, Any] | None,
        merges: bool,
        expected_version: int | None,
    ) -> None:
        """Change a thing; an attribute with an empty value is removed."""
        check_thing_name(name)
        if removes_type and type_name is not None:
            raise invalid("removeThingType and thingTypeName exclude each other")

        def write(changes: Changes) -> None:
            thing = thing_of(changes, name)
            check_version(thing, expected_version, f"thing {name}")
            if type_name is not None and type_name != thing.get("thingTypeName"):
                _usable_type(changes, type_name)
            wanted_type = None if removes_type else type_name or thing.get("thingTypeName")
            kept = dict(thing["attributes"])
            if attributes is not None:
                merged = {**kept, **attributes} if merges else dict(attributes)
                kept = {key: value for key, value in merged.items() if value != ""}
            check_attributes(kept, has_type=wanted_type is not None)
            changed = self._document(name, thing["thingId"], wanted_type, kept, thing["version"] + 1)
            changes.put(THING, name, document=changed)

        await self._database.write(write, Change(thing_name=name))

    async def delete(self, name: str, expected_version: int | None = None) -> None:
        """A thing that does not exist is no error; one with principals is."""
        check_thing_name(name)

        def write(changes: Changes) -> None:
            thing = changes.get(THING, name)
            if thing is None:
                return
            check_version(thing, expected_version, f"thing {name}")
            if changes.names_below(PRINCIPAL_OF, name):
                raise invalid(f"Cannot delete. Thing {name} is still attached to one or more principals")
            for group in changes.names_below(GROUP_OF, name):
                changes.delete(GROUP_OF, name, group)
                changes.delete(MEMBER_OF, group, name)
            changes.delete(THING, name)

        await self._database.write(write, Change(thing_name=name))

    async def create_type(self, name: str, properties: Mapping[str, Any]) -> Document:
        """A new thing type; the same type again is no error."""
        check_thing_name(name, "thingTypeName")
        kept = check_type_properties(properties)
        type_id, now = self._new_id(), self._clock()

        def write(changes: Changes) -> Document:
            existing = changes.get(TYPE, name)
            if existing is not None:
                if existing["thingTypeProperties"] != kept:
                    message = f"ThingType {name} already exists in account with different properties"
                    raise exists(message, existing["thingTypeId"], existing["thingTypeArn"])
                return existing
            kind = self._type_document(name, type_id, kept, now)
            changes.put(TYPE, name, document=kind)
            return kind

        return await self._database.write(write, Change())

    async def replace_type(self, name: str, properties: Mapping[str, Any], *, is_deprecated: bool = False) -> None:
        """A thing type as the template has it, whatever it was before."""
        check_thing_name(name, "thingTypeName")
        kept = check_type_properties(properties)
        type_id, now = self._new_id(), self._clock()

        def write(changes: Changes) -> None:
            existing = changes.get(TYPE, name)
            found_id = existing["thingTypeId"] if existing else type_id
            created = existing["thingTypeMetadata"]["creationDate"] if existing else now
            kind = self._type_document(name, found_id, kept, created)
            if is_deprecated:
                kind["thingTypeMetadata"] |= {"deprecated": True, "deprecationDate": now}
            changes.put(TYPE, name, document=kind)

        await self._database.write(write, Change())

    def describe_type(self, name: str) -> Document:
        check_thing_name(name, "thingTypeName")
        return self._database.read(lambda documents: _type_of(documents, name))

    async def deprecate_type(self, name: str, *, is_deprecated: bool) -> None:
        """A deprecated type takes no more things."""
        check_thing_name(name, "thingTypeName")
        now = self._clock()

        def write(changes: Changes) -> None:
            kind = _type_of(changes, name)
            metadata = {"deprecated": is_deprecated, "creationDate": kind["thingTypeMetadata"]["creationDate"]}
            if is_deprecated:
                metadata["deprecationDate"] = now
            changes.put(TYPE, name, document={**kind, "thingTypeMetadata": metadata})

        await self._database.write(write, Change())

    async def delete_type(self, name: str) -> None:
        """Only a type that has been deprecated for five minutes, and that no thing has."""
        check_thing_name(name, "thingTypeName")
        now = self._clock()

        def write(changes: Changes) -> None:
            metadata = _type_of(changes, name)["thingTypeMetadata"]
            if not metadata["deprecated"]:
                raise invalid(f"Cannot delete thing type : {name}. Thing type must be deprecated first")
            if now - metadata["deprecationDate"] < _DEPRECATION_S:
                raise invalid(
                    f"Cannot delete thing type : {name}. Please wait for 5 minutes after deprecation and then retry"
                )
            if any(thing.get("thingTypeName") == name for _, thing in changes.below(THING)):
                raise invalid(f"Cannot delete thing type : {name} when there are still resources attached to it")
            changes.delete(TYPE, name)

        await self._database.write(write, Change())

    def list_types(self, *, name: str, token: str, size: int | None) -> tuple[list[Document], str]:

        def fits(kind: Document) -> bool:
            return not name or kind["thingTypeName"] == name

        return self._database.read(lambda documents: scanned_page(documents, TYPE, fits, token, size))

    def put(
        self,
        changes: Changes,
        name: str,
        *,
        thing_id: str,
        type_name: str | None,
        attributes: Mapping[str, Any],
        version: int,
    ) -> None:
        """Write a thing that has been checked against nothing but its type. Raises: ServiceError."""
        check_thing_name(name)
        check_attributes(attributes, has_type=type_name is not None)
        if type_name is not None:
            _usable_type(changes, type_name)
        changes.put(THING, name, document=self._document(name, thing_id, type_name, dict(attributes), version))

    def _document(
        self, name: str, thing_id: str, type_name: str | None, attributes: dict[str, Any], version: int
    ) -> Document:
        document: Document = {
            "thingName": name,
            "thingId": thing_id,
            "thingArn": self._account.arn("iot", f"thing/{name}"),
            "defaultClientId": name,
            "attributes": attributes,
            "version": version,
        }
        return document if type_name is None else {**document, "thingTypeName": type_name}

    def _type_document(self, name: str, type_id: str, properties: dict[str, Any], created: float) -> Document:
        return {
            "thingTypeName": name,
            "thingTypeId": type_id,
            "thingTypeArn": self._account.arn("iot", f"thingtype/{name}"),
            "thingTypeProperties": properties,
            "thingTypeMetadata": {"deprecated": False, "creationDate": created},
        }


def thing_of(documents: Documents, name: str) -> Document:
    """Raises: ServiceError ResourceNotFoundException."""
    thing = documents.get(THING, name)
    if thing is None:
        raise not_found(f"Thing {name} not found")
    return thing


def check_version(document: Document, expected: int | None, what: str) -> None:
    """Raises: ServiceError VersionConflictException."""
    if expected is not None and expected != document["version"]:
        message = f"Version {document['version']} of {what} does not match the expected {expected}"
        raise ServiceError("VersionConflictException", message, status=409)


def _usable_type(documents: Documents, name: str) -> None:
    check_thing_name(name, "thingTypeName")
    if _type_of(documents, name)["thingTypeMetadata"]["deprecated"]:
        raise invalid(f"Cannot create or update thing with deprecated thing type {name}")


def _type_of(documents: Documents, name: str) -> Document:
    found = documents.get(TYPE, name)
    if found is None:
        raise not_found(f"Thing type {name} not found")
    return found
