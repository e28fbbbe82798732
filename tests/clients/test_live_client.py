"""docs/examples/python/live_fleet.py: nothing lost, repeated or turned back, whatever the network does."""

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
import websockets
from websockets.asyncio.server import ServerConnection, serve

from docs.examples.python.live_fleet import AccessEnded, DeviceView, LiveFleet, with_removal, with_state
from tests.support.link import Link
from tests.support.product import Device, Product, eventually, now_ms, telemetry

REGISTER = "mutation($id: ID!) { registerDevice(input: {deviceId: $id}) { device { deviceId } } }"
REMOVE = "mutation($id: ID!) { removeDevice(deviceId: $id) { deviceId } }"
PATIENCE_S = 20


class Following:
    """A fleet that is followed in the background; `seen` is what the consumer got."""

    def __init__(self, fleet: LiveFleet) -> None:
        self.fleet = fleet
        self.seen: list[DeviceView] = []

    async def __aenter__(self) -> "Following":
        self.task = asyncio.create_task(self._consume())
        live = asyncio.create_task(self.fleet.is_live.wait())
        await asyncio.wait((live, self.task), timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        assert self.fleet.is_live.is_set(), self.task
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def _consume(self) -> None:
        async for view in self.fleet.changes():
            self.seen.append(view)

    async def until(self, condition: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(eventually, condition, PATIENCE_S)

    def versions(self, device_id: str) -> list[int]:
        return [view.version for view in self.seen if view.device_id == device_id]


def by_token(token: str) -> Callable[[bool], Awaitable[Mapping[str, str]]]:
    async def credentials(needs_new: bool) -> Mapping[str, str]:
        return {"authorization": token}

    return credentials


@pytest.fixture
def admin(product: Product) -> dict[str, str]:
    return {"authorization": product.token("admin")}


@pytest.fixture
async def link(product: Product) -> AsyncIterator[Link]:
    async with Link(product.ready["graphqlUrl"]) as running:
        yield running


async def send(device: Device, device_id: str, *seqs: int) -> None:
    for seq in seqs:
        await asyncio.to_thread(
            device.publish, f"devices/{device_id}/telemetry", telemetry(now_ms(), seq, temperature=float(seq))
        )


async def test_what_was_there_and_what_comes_is_merged_without_a_step_back(
    product: Product, admin: dict[str, str]
) -> None:
    device = await asyncio.to_thread(Device, product, "live-1")
    await send(device, "live-1", 1, 2, 3)
    read = '{ getDeviceState(deviceId: "live-1") { seq } }'
    assert await asyncio.to_thread(eventually, lambda: (product.data(read)["getDeviceState"] or {}).get("seq") == 3)

    async with Following(LiveFleet(product.ready["graphqlUrl"], by_token(admin["authorization"]))) as following:
        assert following.fleet.devices["live-1"].readings == {"temperature": 3.0}
        await send(device, "live-1", *range(4, 24))
        fleet = following.fleet
        assert await following.until(lambda: fleet.devices["live-1"].readings == {"temperature": 23.0})

    versions = following.versions("live-1")
    assert versions == sorted(versions)
    assert fleet.connections == 1
    device.close()


async def test_what_happened_offline_is_there_after_the_reconnect(
    product: Product, link: Link, admin: dict[str, str]
) -> None:
    device = await asyncio.to_thread(Device, product, "away-1")
    for device_id in ("away-1", "away-gone"):
        await asyncio.to_thread(product.data, REGISTER, {"id": device_id}, admin)
    await send(device, "away-1", 1)

    async with Following(LiveFleet(link.url, by_token(admin["authorization"]))) as following:
        fleet = following.fleet
        assert await following.until(lambda: fleet.devices["away-1"].readings == {"temperature": 1.0})
        assert "away-gone" in fleet.devices
        link.cut()
        assert await following.until(lambda: not fleet.is_live.is_set())
        await send(device, "away-1", 2)
        await asyncio.to_thread(product.data, REMOVE, {"id": "away-gone"}, admin)
        await asyncio.to_thread(product.data, REGISTER, {"id": "away-new"}, admin)
        read = '{ getDeviceState(deviceId: "away-1") { seq } }'
        assert await following.until(lambda: product.data(read)["getDeviceState"]["seq"] == 2)
        link.restore()

        assert await following.until(fleet.is_live.is_set)
        assert fleet.devices["away-1"].readings == {"temperature": 2.0}
        assert "away-gone" not in fleet.devices
        assert "away-new" in fleet.devices
        await send(device, "away-1", 3)
        assert await following.until(lambda: fleet.devices["away-1"].readings == {"temperature": 3.0})

    assert fleet.connections == 2
    assert following.versions("away-1") == sorted(following.versions("away-1"))
    assert [view.is_removed for view in following.seen if view.device_id == "away-gone"][-1]
    device.close()


def forget_changes(product: Product, tenant_id: str) -> None:
    """Empty a tenant's change log, as time does: it tells of the last minute again and again."""
    table = product.boto3("dynamodb")
    query = {
        "KeyConditionExpression": "PK = :pk AND begins_with(SK, :sk)",
        "ExpressionAttributeValues": {":pk": {"S": f"TENANT#{tenant_id}"}, ":sk": {"S": "CHANGE#"}},
    }
    for item in table.query(TableName="headwater-Table", **query)["Items"]:
        table.delete_item(TableName="headwater-Table", Key={"PK": item["PK"], "SK": item["SK"]})


async def test_a_state_that_moved_offline_is_read_although_the_device_did_not_change(
    product: Product, link: Link, admin: dict[str, str]
) -> None:
    device = await asyncio.to_thread(Device, product, "moved-1")
    await send(device, "moved-1", 1)

    async with Following(LiveFleet(link.url, by_token(admin["authorization"]))) as following:
        fleet = following.fleet
        assert await following.until(lambda: fleet.devices["moved-1"].readings == {"temperature": 1.0})
        link.cut()
        assert await following.until(lambda: not fleet.is_live.is_set())
        await send(device, "moved-1", 2)
        read = '{ getDeviceState(deviceId: "moved-1") { seq } }'
        assert await following.until(lambda: product.data(read)["getDeviceState"]["seq"] == 2)
        await asyncio.to_thread(forget_changes, product, "demo")
        link.restore()

        assert await following.until(fleet.is_live.is_set)
        assert fleet.devices["moved-1"].readings == {"temperature": 2.0}
    device.close()


async def test_a_device_that_is_removed_goes_and_comes_back_when_it_is_registered_again(
    product: Product, admin: dict[str, str]
) -> None:
    device = await asyncio.to_thread(Device, product, "phoenix-1")
    await asyncio.to_thread(product.data, REGISTER, {"id": "phoenix-1"}, admin)
    await send(device, "phoenix-1", 1)

    async with Following(LiveFleet(product.ready["graphqlUrl"], by_token(admin["authorization"]))) as following:
        fleet = following.fleet
        assert await following.until(lambda: fleet.devices["phoenix-1"].version >= 1)
        await asyncio.to_thread(product.data, REMOVE, {"id": "phoenix-1"}, admin)
        assert await following.until(lambda: "phoenix-1" not in fleet.devices)
        await asyncio.to_thread(product.data, REGISTER, {"id": "phoenix-1"}, admin)
        await send(device, "phoenix-1", 2)
        assert await following.until(lambda: "phoenix-1" in fleet.devices)

    assert following.versions("phoenix-1") == sorted(following.versions("phoenix-1"))
    device.close()


def expired_token(product: Product) -> str:
    """A token of this pool that was valid for a second, once it is refused."""
    body = {"username": "late", "groups": [], "claims": {"custom:tenantId": "demo"}, "seconds": 1}
    headers = {"authorization": f"Bearer {product.ready['secretAccessKey']}", "content-type": "application/json"}
    request = urllib.request.Request(
        f"{product.ready['awsEndpointUrl']}/_headwater/token", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request) as answer:
        token: str = json.loads(answer.read())["idToken"]

    def is_refused() -> bool:
        try:
            product.graphql("{ __typename }", headers={"authorization": token})
        except urllib.error.HTTPError as error:
            with error:
                return error.code == 401
        return False

    assert eventually(is_refused)
    return token


async def test_an_expired_token_is_refreshed_once_and_a_second_refusal_ends_it(
    product: Product, admin: dict[str, str]
) -> None:
    expired = await asyncio.to_thread(expired_token, product)
    asked: list[bool] = []

    async def credentials(needs_new: bool) -> Mapping[str, str]:
        asked.append(needs_new)
        return {"authorization": admin["authorization"] if needs_new else expired}

    async with Following(LiveFleet(product.ready["graphqlUrl"], credentials)):
        assert asked == [False, True]

    never = LiveFleet(product.ready["graphqlUrl"], by_token(expired)).changes()
    with pytest.raises(AccessEnded):
        await anext(never)


async def test_some_devices_alone_are_followed(product: Product, admin: dict[str, str]) -> None:
    devices = {name: await asyncio.to_thread(Device, product, name) for name in ("some-1", "some-2")}
    fleet = LiveFleet(product.ready["graphqlUrl"], by_token(admin["authorization"]), device_ids=["some-1"])

    async with Following(fleet) as following:
        for name in ("some-2", "some-1"):
            await send(devices[name], name, 1)
        assert await following.until(lambda: "some-1" in fleet.devices)

    assert set(fleet.devices) == {"some-1"}
    for device in devices.values():
        device.close()


@pytest.mark.parametrize(
    "frame",
    [
        "no json",
        "[]",
        b"\xff\xfe",
        '{"type":"surprise"}',
        '{"type":"data","id":"onDeviceState"}',
        '{"type":"data","id":"onDeviceState","payload":{"data":{"onDeviceState":{"deviceId":"x"}}}}',
        '{"type":"data","payload":{"data":{"onDeviceState":{"deviceId":"x","version":1,"time":"","readings":"{"}}}}',
        '{"type":"error","payload":{"errors":[{"errorType":"LimitExceededError"}]}}',
        '{"type":"complete","id":"onDeviceState"}',
        "x" * 2_000_000,
    ],
)
async def test_a_server_that_says_nonsense_is_left_and_tried_again(frame: str | bytes) -> None:
    connections: list[int] = []
    came_again = asyncio.Event()

    async def speak(socket: ServerConnection) -> None:
        connections.append(1)
        if len(connections) == 3:
            came_again.set()
        await socket.recv()
        await socket.send('{"type":"connection_ack","payload":{"connectionTimeoutMs":300000}}')
        with contextlib.suppress(websockets.ConnectionClosed):
            await socket.send(frame)
            await socket.wait_closed()

    async with serve(speak, "127.0.0.1", 0, subprotocols=["graphql-ws"]) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        fleet = LiveFleet(f"http://127.0.0.1:{port}/graphql", by_token("t"), uniform=lambda low, high: 0.0)
        changes = fleet.changes()
        consuming = asyncio.ensure_future(anext(changes))
        await asyncio.wait_for(came_again.wait(), PATIENCE_S)
        consuming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await consuming

    assert fleet.devices == {}


def test_what_is_not_newer_changes_nothing() -> None:
    state = {"deviceId": "d", "version": 5, "time": "t5", "readings": '{"a": 5}'}
    known = with_state(DeviceView("d"), state)

    assert with_state(known, {**state, "time": "again"}) == known
    assert with_state(known, {**state, "version": 4, "readings": '{"a": 4}'}) == known
    assert with_removal(known, 5) == known
    removed = with_removal(known, 6)
    assert removed.is_removed
    assert with_state(removed, {**state, "version": 6}) == removed
    assert not with_state(removed, {**state, "version": 7}).is_removed
