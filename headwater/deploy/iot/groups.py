"""Static thing groups of the registry: a hierarchy whose policies its things inherit.

Source: AWS IoT Core Developer Guide, "Static thing groups"; AWS IoT API Reference, CreateThingGroup and the following.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from headwater.deploy.iot.certificates import POLICY_OF, TARGET_OF
from headwater.deploy.iot.database import Change, Changes, Document, Documents, IotDatabase, named_page
from headwater.deploy.iot.limits import check_group_properties, check_thing_name, exists, invalid, not_found
from headwater.deploy.iot.policies import group_target
from headwater.deploy.iot.things import GROUP, GROUP_OF, MEMBER_OF, check_version, thing_of
from headwater.server.aws.permissions import Account

CHILD_OF = "child-of"
_MAX_DEPTH = 7
_MAX_CHILDREN = 100
_MAX_GROUPS_OF_A_THING = 10


class ThingGroups:
    """Groups by name, as DescribeThingGroup gives them. Every method raises ServiceError."""

    def __init__(
        self, database: IotDatabase, account: Account, *, clock: Callable[[], float], new_id: Callable[[], str]
    ) -> None:
        self._database = database
        self._account = account
        self._clock = clock
        self._new_id = new_id

    async def create(self, name: str, parent: str | None, properties: Mapping[str, Any]) -> Document:
        """A new group; the same group again is no error, one that differs is."""
        check_thing_name(name, "thingGroupName")
        kept = check_group_properties(properties)
        group_id, now = self._new_id(), self._clock()

        def write(changes: Changes) -> Document:
            existing = changes.get(GROUP, name)
            if existing is not None:
                if existing.get("parentGroupName") != parent or existing["thingGroupProperties"] != kept:
                    message = f"Thing Group {name} already exists in current account with different properties"
                    raise exists(message, existing["thingGroupId"], existing["thingGroupArn"])
                return existing
            group = self._document(name, group_id, parent, kept, now)
            self._adopt(changes, name, parent)
            changes.put(GROUP, name, document=group)
            return group

        return await self._database.write(write, Change())

    async def replace(self, name: str, parent: str | None, properties: Mapping[str, Any]) -> None:
        """A group as the template has it; its things stay. Raises also for another parent than before."""
        check_thing_name(name, "thingGroupName")
        kept = check_group_properties(properties)
        group_id, now = self._new_id(), self._clock()

        def write(changes: Changes) -> None:
            existing = changes.get(GROUP, name)
            if existing is None:
                self._adopt(changes, name, parent)
                changes.put(GROUP, name, document=self._document(name, group_id, parent, kept, now))
                return
            if existing.get("parentGroupName") != parent:
                was = existing.get("parentGroupName")
                raise invalid(f"Thing group {name} has the parent {was}, which cannot be changed to {parent}")
            changes.put(GROUP, name, document={**existing, "thingGroupProperties": kept})

        await self._database.write(write, Change())

    def describe(self, name: str) -> Document:
        check_thing_name(name, "thingGroupName")

        def read(documents: Documents) -> Document:
            group = group_of(documents, name)
            above = list(ancestors(documents, name))[1:]
            metadata: Document = {"creationDate": group["creationDate"]}
            if above:
                metadata["parentGroupName"] = above[0]
                metadata["rootToParentThingGroups"] = [self._named(one) for one in reversed(above)]
            members = ("thingGroupName", "thingGroupId", "thingGroupArn", "version", "thingGroupProperties")
            return {**{member: group[member] for member in members}, "thingGroupMetadata": metadata}

        return self._database.read(read)

    async def update(self, name: str, properties: Mapping[str, Any], expected_version: int | None) -> int:
        """Change description and attributes; the new version. `attributePayload.merge` keeps other attributes."""
        check_thing_name(name, "thingGroupName")
        given = check_group_properties(properties)
        merges = (properties.get("attributePayload") or {}).get("merge") is True

        def write(changes: Changes) -> int:
            group = group_of(changes, name)
            check_version(group, expected_version, f"thing group {name}")
            kept = {**group["thingGroupProperties"], **given}
            if merges:
                before = group["thingGroupProperties"].get("attributePayload", {}).get("attributes", {})
                merged = {**before, **given["attributePayload"]["attributes"]}
                kept["attributePayload"] = {"attributes": {key: value for key, value in merged.items() if value}}
            check_group_properties(kept)
            version: int = group["version"] + 1
            changes.put(GROUP, name, document={**group, "thingGroupProperties": kept, "version": version})
            return version

        return await self._database.write(write, Change())

    async def delete(self, name: str, expected_version: int | None) -> None:
        """A group that does not exist is no error; one with child groups is. Its things lose what it granted."""
        check_thing_name(name, "thingGroupName")

        def write(changes: Changes) -> None:
            group = changes.get(GROUP, name)
            if group is None:
                return
            check_version(group, expected_version, f"thing group {name}")
            if changes.names_below(CHILD_OF, name):
                raise invalid(f"Cannot delete thing group : {name} when there are still child groups attached to it")
            for thing in changes.names_below(MEMBER_OF, name):
                changes.delete(MEMBER_OF, name, thing)
                changes.delete(GROUP_OF, thing, name)
            target = group_target(name)
            for policy in changes.names_below(POLICY_OF, target):
                changes.delete(POLICY_OF, target, policy)
                changes.delete(TARGET_OF, policy, target)
            if group.get("parentGroupName"):
                changes.delete(CHILD_OF, group["parentGroupName"], name)
            changes.delete(GROUP, name)

        await self._database.write(write, Change(is_for_everybody=True))

    def listed(
        self, *, parent: str, prefix: str, is_recursive: bool, token: str, size: int | None
    ) -> tuple[list[Document], str]:
        """Groups by name: all of them, or those below a parent."""

        def read(documents: Documents) -> list[str]:
            if not parent:
                return documents.names_below(GROUP)
            group_of(documents, parent)
            found = descendants(documents, parent) if is_recursive else documents.names_below(CHILD_OF, parent)
            return sorted(found)

        names = [name for name in self._database.read(read) if name.startswith(prefix)]
        shown, following = named_page(names, token, size)
        return [self._named(name) for name in shown], following

    # -- things of groups -----------------------------------------------------------------------------------------

    async def change_thing(self, thing_name: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Put a thing into groups and take it out of others, all or nothing."""
        check_thing_name(thing_name)
        added, removed = list(add), list(remove)
        for name in (*added, *removed):
            check_thing_name(name, "thingGroupName")
        await self._database.write(
            lambda changes: regroup(changes, thing_name, added, removed), Change(thing_name=thing_name)
        )

    def things_in(self, name: str, *, is_recursive: bool, token: str, size: int | None) -> tuple[list[str], str]:
        check_thing_name(name, "thingGroupName")

        def read(documents: Documents) -> list[str]:
            group_of(documents, name)
            groups = [name, *(descendants(documents, name) if is_recursive else ())]
            return sorted({thing for one in groups for thing in documents.names_below(MEMBER_OF, one)})

        return named_page(self._database.read(read), token, size)

    def of_thing(self, thing_name: str, *, token: str, size: int | None) -> tuple[list[Document], str]:
        """The groups a thing is in."""
        check_thing_name(thing_name)

        def read(documents: Documents) -> list[str]:
            thing_of(documents, thing_name)
            return documents.names_below(GROUP_OF, thing_name)

        shown, following = named_page(self._database.read(read), token, size)
        return [self._named(name) for name in shown], following

    # -- documents ------------------------------------------------------------------------------------------------

    def _adopt(self, changes: Changes, name: str, parent: str | None) -> None:
        if parent is None:
            return
        check_thing_name(parent, "parentGroupName")
        if not changes.has(GROUP, parent):
            raise not_found(f"Parent thing group {parent} does not exist")
        if len(list(ancestors(changes, parent))) >= _MAX_DEPTH:
            raise invalid(f"Thing group {name} would be more than {_MAX_DEPTH} levels deep")
        if len(changes.names_below(CHILD_OF, parent)) >= _MAX_CHILDREN:
            raise invalid(f"Thing group {parent} has {_MAX_CHILDREN} child groups already")
        changes.put(CHILD_OF, parent, name, document={})

    def _document(self, name: str, group_id: str, parent: str | None, properties: Document, now: float) -> Document:
        document: Document = {
            **self._described(name),
            "thingGroupId": group_id,
            "version": 1,
            "thingGroupProperties": properties,
            "creationDate": now,
        }
        return document if parent is None else {**document, "parentGroupName": parent}

    def _described(self, name: str) -> Document:
        return {"thingGroupName": name, "thingGroupArn": self._account.arn("iot", f"thinggroup/{name}")}

    def _named(self, name: str) -> Document:
        return {"groupName": name, "groupArn": self._account.arn("iot", f"thinggroup/{name}")}


def group_of(documents: Documents, name: str) -> Document:
    """Raises: ServiceError ResourceNotFoundException."""
    found = documents.get(GROUP, name)
    if found is None:
        raise not_found(f"Thing group {name} not found")
    return found


def ancestors(documents: Documents, name: str) -> Iterable[str]:
    """A group and what is above it, to the root."""
    while name:
        group = documents.get(GROUP, name)
        if group is None:
            return
        yield name
        name = group.get("parentGroupName", "")


def descendants(documents: Documents, name: str) -> Iterable[str]:
    """Everything below a group."""
    for child in documents.names_below(CHILD_OF, name):
        yield child
        yield from descendants(documents, child)


def inherited_groups(documents: Documents, thing_name: str) -> set[str]:
    """The groups of a thing and all above them."""
    return {one for name in documents.names_below(GROUP_OF, thing_name) for one in ancestors(documents, name)}


def regroup(changes: Changes, thing_name: str, add: Iterable[str], remove: Iterable[str]) -> None:
    """What `change_thing` writes. Raises: ServiceError; also for two groups of one hierarchy."""
    thing_of(changes, thing_name)
    added, removed = list(add), list(remove)
    for name in (*added, *removed):
        group_of(changes, name)
    kept = [name for name in changes.names_below(GROUP_OF, thing_name) if name not in removed]
    wanted = list(dict.fromkeys([*kept, *added]))
    if len(wanted) > _MAX_GROUPS_OF_A_THING:
        raise invalid(f"Thing {thing_name} would be in {len(wanted)} groups; the limit is {_MAX_GROUPS_OF_A_THING}")
    roots: dict[str, str] = {}
    for name in wanted:
        root = list(ancestors(changes, name))[-1]
        other = roots.setdefault(root, name)
        if other != name:
            raise invalid(f"Thing {thing_name} cannot be in {other} and in {name}: both are in the hierarchy of {root}")
    for name in removed:
        changes.delete(GROUP_OF, thing_name, name)
        changes.delete(MEMBER_OF, name, thing_name)
    for name in added:
        changes.put(GROUP_OF, thing_name, name, document={})
        changes.put(MEMBER_OF, name, thing_name, document={})
