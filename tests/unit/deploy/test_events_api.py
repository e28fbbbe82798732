"""The EventBridge API: buses and rules made through it, and requests of wrong shapes."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from headwater.deploy.events.api import EventsApi
from headwater.deploy.events.bus import EventBus, TargetInput
from headwater.errors import ServiceError
from headwater.storage.store import Store
from headwater.values.identity import AwsPrincipal

QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"
ADMINISTRATOR = AwsPrincipal("", "123456789012")
PATTERN = '{"source":["shop"]}'


class World:
    """An API over a store; `restart` makes another over the same."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.given: list[TargetInput] = []
        self.restart()

    def restart(self) -> None:
        bus = EventBus("us-east-1", "123456789012", self._deliver, self._dead_letter, lambda: 1_700_000_000.0)
        self.api = EventsApi(bus, self.store, lambda principal, action, resources: None)

    async def _deliver(self, given: TargetInput) -> None:
        self.given.append(given)

    async def _dead_letter(self, arn: str, text: str, attributes: Mapping[str, Any]) -> None: ...

    async def call(self, operation: str, **request: Any) -> dict[str, Any]:
        return await self.api.call(operation, request, ADMINISTRATOR)

    async def refusal(self, operation: str, **request: Any) -> ServiceError:
        with pytest.raises(ServiceError) as refused:
            await self.call(operation, **request)
        return refused.value


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store = Store.open(None)
    yield World(store)
    await store.close()


async def test_bus_and_its_rule_outlive_a_restart(world: World) -> None:
    made = await world.call("CreateEventBus", Name="shop")
    await world.call("PutRule", Name="r", EventBusName="shop", EventPattern=PATTERN)
    await world.call("PutTargets", Rule="r", EventBusName="shop", Targets=[{"Id": "1", "Arn": QUEUE}])

    world.restart()
    entry = {"Source": "shop", "DetailType": "d", "Detail": "{}", "EventBusName": "shop"}
    answer = await world.call("PutEvents", Entries=[entry])

    assert made == {"EventBusArn": "arn:aws:events:us-east-1:123456789012:event-bus/shop"}
    assert answer["FailedEntryCount"] == 0
    assert [given.target.arn for given in world.given] == [QUEUE]
    assert await world.call("ListRuleNamesByTarget", TargetArn=QUEUE, EventBusName="shop") == {"RuleNames": ["r"]}


async def test_bus_is_deleted_when_it_has_no_rules(world: World) -> None:
    await world.call("CreateEventBus", Name="shop")
    await world.call("PutRule", Name="r", EventBusName="shop", EventPattern=PATTERN)

    in_use = await world.refusal("DeleteEventBus", Name="shop")
    await world.call("DeleteRule", Name="r", EventBusName="shop")
    await world.call("DeleteEventBus", Name="shop")
    await world.call("DeleteEventBus", Name="shop")

    assert "since it has rules" in in_use.message
    assert (await world.refusal("DescribeEventBus", Name="shop")).code == "ResourceNotFoundException"
    assert (await world.refusal("DeleteEventBus", Name="default")).code == "ValidationException"


async def test_lists_come_in_pages(world: World) -> None:
    for name in ("c", "a", "b"):
        await world.call("PutRule", Name=name, EventPattern=PATTERN)

    first = await world.call("ListRules", Limit=2)
    rest = await world.call("ListRules", Limit=2, NextToken=first["NextToken"])

    assert [rule["Name"] for rule in (*first["Rules"], *rest["Rules"])] == ["a", "b", "c"]
    assert "NextToken" not in rest


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("PutEvents", {"Entries": 5}, "SerializationException"),
        ("PutEvents", {"Entries": [5]}, "SerializationException"),
        ("PutEvents", {"Entries": [None]}, "SerializationException"),
        ("PutEvents", {"Entries": [{"Source": 5}]}, "SerializationException"),
        ("PutEvents", {"Entries": [{"Resources": [{}]}]}, "SerializationException"),
        ("PutRule", {"Name": 5}, "SerializationException"),
        ("PutRule", {"Name": "x" * 3000, "EventPattern": PATTERN}, "ValidationException"),
        ("PutRule", {"Name": "r", "EventPattern": PATTERN, "State": "ON"}, "ValidationException"),
        ("PutRule", {"Name": "r", "EventPattern": "{}"}, "InvalidEventPatternException"),
        ("PutTargets", {"Rule": "r", "Targets": "x"}, "SerializationException"),
        ("PutTargets", {"Rule": "r", "Targets": [{"Id": "1", "InputTransformer": 5}]}, "SerializationException"),
        ("PutTargets", {"Rule": "absent", "Targets": []}, "ResourceNotFoundException"),
        ("RemoveTargets", {"Rule": "r", "Ids": [{"a": 1}]}, "SerializationException"),
        ("ListRules", {"Limit": 0}, "ValidationException"),
        ("ListRules", {"NextToken": "x"}, "ValidationException"),
        ("CreateEventBus", {"Name": "a b"}, "ValidationException"),
        ("StartReplay", {}, "UnknownOperationException"),
    ],
)
async def test_api_refuses(world: World, operation: str, request_: dict[str, Any], code: str) -> None:
    assert (await world.refusal(operation, **request_)).code == code


async def test_event_at_no_point_in_time_fails_alone(world: World) -> None:
    entries = [{"Source": "shop", "DetailType": "d", "Detail": "{}", "Time": time_s} for time_s in (1e300, 1.0)]

    answer = await world.call("PutEvents", Entries=entries)

    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][0]["ErrorCode"] == "InvalidArgument"
