"""Thing groups and thing types in the `iot` API."""

from collections.abc import Mapping

from headwater.deploy.iot.limits import invalid
from headwater.deploy.iot.members import (
    Answer,
    Handler,
    integer_of,
    names_of,
    number_in_query,
    object_of,
    page,
    size_of,
    text_of,
    token_of,
)
from headwater.deploy.iot.operations import Call
from headwater.deploy.iot.registry import DeviceRegistry


class GroupsApi:
    """What `handlers` gives answers one operation each. Every method raises ServiceError."""

    def __init__(self, registry: DeviceRegistry) -> None:
        self._groups = registry.groups
        self._things = registry.things

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ListThingGroups": self.list_all,
            "CreateThingGroup": self.create,
            "DescribeThingGroup": self.describe,
            "UpdateThingGroup": self.update,
            "DeleteThingGroup": self.delete,
            "AddThingToThingGroup": self.add_thing,
            "RemoveThingFromThingGroup": self.remove_thing,
            "UpdateThingGroupsForThing": self.update_thing,
            "ListThingsInThingGroup": self.list_things,
            "ListThingGroupsForThing": self.list_of_thing,
            "ListThingTypes": self.list_types,
            "CreateThingType": self.create_type,
            "DescribeThingType": self.describe_type,
            "DeprecateThingType": self.deprecate_type,
            "DeleteThingType": self.delete_type,
        }

    async def list_all(self, call: Call) -> Answer:
        rows, token = self._groups.listed(
            parent=call.query.get("parentGroup", ""),
            prefix=call.query.get("namePrefixFilter", ""),
            is_recursive=call.query.get("recursive", "true").lower() == "true",
            token=token_of(call),
            size=size_of(call, "maxResults"),
        )
        return page("thingGroups", rows, "nextToken", token)

    async def create(self, call: Call) -> Answer:
        group = await self._groups.create(
            call.path["thingGroupName"],
            text_of(call.body, "parentGroupName"),
            object_of(call.body, "thingGroupProperties"),
        )
        return {name: group[name] for name in ("thingGroupName", "thingGroupArn", "thingGroupId")}

    async def describe(self, call: Call) -> Answer:
        return self._groups.describe(call.path["thingGroupName"])

    async def update(self, call: Call) -> Answer:
        version = await self._groups.update(
            call.path["thingGroupName"],
            object_of(call.body, "thingGroupProperties"),
            integer_of(call.body.get("expectedVersion"), "expectedVersion"),
        )
        return {"version": version}

    async def delete(self, call: Call) -> Answer:
        await self._groups.delete(call.path["thingGroupName"], number_in_query(call, "expectedVersion"))
        return {}

    async def add_thing(self, call: Call) -> Answer:
        await self._groups.change_thing(_name(call, "thing"), add=[_name(call, "thingGroup")])
        return {}

    async def remove_thing(self, call: Call) -> Answer:
        await self._groups.change_thing(_name(call, "thing"), remove=[_name(call, "thingGroup")])
        return {}

    async def update_thing(self, call: Call) -> Answer:
        await self._groups.change_thing(
            _name(call, "thing"),
            add=names_of(call.body, "thingGroupsToAdd"),
            remove=names_of(call.body, "thingGroupsToRemove"),
        )
        return {}

    async def list_things(self, call: Call) -> Answer:
        rows, token = self._groups.things_in(
            call.path["thingGroupName"],
            is_recursive=call.flag("recursive"),
            token=token_of(call),
            size=size_of(call, "maxResults"),
        )
        return page("things", rows, "nextToken", token)

    async def list_of_thing(self, call: Call) -> Answer:
        rows, token = self._groups.of_thing(
            call.path["thingName"], token=token_of(call), size=size_of(call, "maxResults")
        )
        return page("thingGroups", rows, "nextToken", token)

    async def list_types(self, call: Call) -> Answer:
        rows, token = self._things.list_types(
            name=call.query.get("thingTypeName", ""), token=token_of(call), size=size_of(call, "maxResults")
        )
        return page("thingTypes", rows, "nextToken", token)

    async def create_type(self, call: Call) -> Answer:
        properties = object_of(call.body, "thingTypeProperties")
        kind = await self._things.create_type(call.path["thingTypeName"], properties)
        return {name: kind[name] for name in ("thingTypeName", "thingTypeArn", "thingTypeId")}

    async def describe_type(self, call: Call) -> Answer:
        return self._things.describe_type(call.path["thingTypeName"])

    async def deprecate_type(self, call: Call) -> Answer:
        is_deprecated = call.body.get("undoDeprecate") is not True
        await self._things.deprecate_type(call.path["thingTypeName"], is_deprecated=is_deprecated)
        return {}

    async def delete_type(self, call: Call) -> Answer:
        await self._things.delete_type(call.path["thingTypeName"])
        return {}


def _name(call: Call, kind: str) -> str:
    """A thing's or group's name, or the one in its ARN. Raises: ServiceError InvalidRequestException."""
    name, arn = text_of(call.body, f"{kind}Name"), text_of(call.body, f"{kind}Arn")
    if name is None and arn is None:
        raise invalid(f"{kind}Name or {kind}Arn is needed")
    return name if name is not None else str(arn).rpartition("/")[2]
