"""Demand-aware fan-out with its subscribers: on the second implementation, and on a running backend."""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from iot import handlers as iot
from streams.fanout import Demand
from tests.operations.test_chain import PRESENCE, STATE, Fanout, Watchers, ingest_batch
from tests.strawberry_api.backend import LAMBDA_CONTEXT, Backend
from tests.strawberry_api.callers import API_KEY, SERVICE, person
from tests.strawberry_api.moto_aws import REGION, BotoService
from tests.support.product import Device, Product, eventually, now_ms, telemetry
from tests.support.subscriber import Subscriber

NOW_MS = 1_732_489_762_123
ONE = "subscription S($id: ID) { onDeviceState(deviceId: $id) { deviceId seq sampleCount } }"


@pytest.fixture
def demand_aware(backend: Backend) -> Backend:
    return Backend(backend.table, frozenset({"IsDemandAware"}))


@pytest.fixture
def fanout(demand_aware: Backend) -> Fanout:
    table = BotoService(boto3.client("dynamodb", region_name=REGION))

    def call_each(operation: str, requests: Any) -> list[Any]:
        return [table.call(operation, request) for request in requests]

    return Fanout(demand_aware, Demand(call_each, demand_aware.table, clock=time.time).wanted)


@pytest.fixture
async def watchers(demand_aware: Backend) -> Any:
    made = Watchers(demand_aware)
    yield made
    await made.close()


async def test_a_device_is_published_from_its_first_subscriber_on(watchers: Any, fanout: Fanout) -> None:
    ingest_batch(("a", {"ts": NOW_MS - 9, "seq": 1}), ("b", {"ts": NOW_MS - 9, "seq": 1}))
    fanout.run()
    assert fanout.requests == []

    got = await watchers.add(STATE, API_KEY, deviceId="a")
    ingest_batch(("a", {"ts": NOW_MS, "seq": 2}), ("b", {"ts": NOW_MS, "seq": 2}))
    fanout.run()
    await watchers.settle()

    assert [event["seq"] for event in got] == [2]
    assert [request["variables"]["i0"]["deviceId"] for request in fanout.requests] == ["a"]
    assert list(fanout.requests[0]["variables"]) == ["i0"]


async def test_a_threshold_publishes_only_what_goes_past_it(watchers: Any, fanout: Fanout) -> None:
    got = await watchers.add(STATE, API_KEY, threshold={"reading": "power", "above": 80})

    # Not of the temperature: ingestion remembers for a while that another test had a rule for it.
    for seq, power in enumerate((20, 81, 30), 1):
        ingest_batch(("a", {"ts": NOW_MS + seq, "seq": seq, "power": power}))
        fanout.run()
    await watchers.settle()

    assert [event["seq"] for event in got] == [2]
    assert len(fanout.requests) == 1


async def test_a_service_gets_the_changes_of_all_tenants(watchers: Any, fanout: Fanout) -> None:
    got = await watchers.add(STATE, SERVICE)

    ingest_batch(("a", {"ts": NOW_MS, "seq": 1}))
    fanout.run()
    await watchers.settle()

    assert [event["seq"] for event in got] == [1]


async def test_another_tenants_subscriber_or_one_to_something_else_causes_no_publish(
    watchers: Any, fanout: Fanout
) -> None:
    await watchers.add(STATE, person("acme"))
    presence = await watchers.add(PRESENCE, API_KEY)

    ingest_batch(("a", {"ts": NOW_MS, "seq": 1}))
    connected = {"clientId": "a", "timestamp": NOW_MS, "eventType": "connected", "versionNumber": 0}
    iot.on_presence(connected, LAMBDA_CONTEXT)
    fanout.run()
    await watchers.settle()

    assert [len(request["variables"]) for request in fanout.requests] == [1]
    assert [event["isConnected"] for event in presence] == [True]


async def test_arguments_that_are_refused_leave_no_interest(demand_aware: Backend, fanout: Fanout) -> None:
    errors = []
    for arguments in ('deviceIds: ["1", "2", "3", "4", "5", "6"]', "threshold: {reading: power}"):
        query = f"subscription {{ onDeviceState({arguments}) {{ seq }} }}"
        async for body in demand_aware.subscribe(query, {}, API_KEY):
            errors += body["errors"]

    assert [error["errorType"] for error in errors] == ["BadRequest", "BadRequest"]
    ingest_batch(("1", {"ts": NOW_MS, "seq": 1, "power": 3}))
    fanout.run()
    assert fanout.requests == []


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    data_dir = tmp_path_factory.mktemp("demand") / "data"
    running = Product(data_dir, ("--param", "DemandAwareFanout=true")).start()
    yield running
    assert running.terminate() == 0, running.log()
    assert "Traceback" not in running.log()


class Busy:
    """Devices that send one after the other without a pause; `seq` is the last round that all of them have sent."""

    def __init__(self, product: Product, device_ids: list[str]) -> None:
        self.seq = 0
        self._device_ids = device_ids
        self._device = Device(product, "gateway")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        while not self._is_over.is_set():
            for device_id in self._device_ids:
                self._device.publish(f"devices/{device_id}/telemetry", telemetry(now_ms(), self.seq + 1))
            self.seq += 1

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._device.close()


def test_on_a_running_backend_no_change_after_start_ack_is_skipped(product: Product) -> None:
    device_ids = [f"busy-{place}" for place in range(5)]
    # Fan-out is deciding about changes all the time, and nobody was ever interested in these devices.
    busy = Busy(product, device_ids)
    try:
        assert eventually(lambda: busy.seq > 5)
        for device_id in device_ids:
            subscriber = Subscriber(product, ONE, {"id": device_id})
            acknowledged = busy.seq
            events = [subscriber.next()["onDeviceState"] for _ in range(10)]
            subscriber.close()

            # Every message is in exactly one event; the one under way at the acknowledgement may be in none.
            assert events[0]["seq"] - events[0]["sampleCount"] <= acknowledged + 1
            for earlier, later in itertools.pairwise(events):
                assert later["seq"] - later["sampleCount"] == earlier["seq"]
    finally:
        busy.close()


def test_on_a_running_backend_a_device_nobody_watches_is_not_published(product: Product) -> None:
    quiet, watched = Device(product, "quiet"), Device(product, "watched")
    first = Subscriber(product, ONE, {"id": "watched"})

    quiet.publish("devices/quiet/telemetry", telemetry(now_ms(), 1))
    watched.publish("devices/watched/telemetry", telemetry(now_ms(), 1))

    assert first.next()["onDeviceState"]["seq"] == 1
    everything = Subscriber(product, "subscription { onDeviceState { deviceId seq } }")
    quiet.publish("devices/quiet/telemetry", telemetry(now_ms(), 2))
    assert everything.next_where(deviceId="quiet")["seq"] == 2
    for open_one in (first, everything, quiet, watched):
        open_one.close()
