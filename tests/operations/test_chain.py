"""The whole chain without the runtime: Kinesis event, ingestion, moto's stream, fan-out, Strawberry's subscribers."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from iot import handlers as iot
from streams import ingest
from streams.fanout import Wanted, publish_batch
from tests.strawberry_api.backend import LAMBDA_CONTEXT, Backend
from tests.strawberry_api.callers import API_KEY, SERVICE, Caller, person
from tests.strawberry_api.moto_aws import stream_event

NOW_MS = 1_732_489_762_123
STATE = """
subscription S($deviceId: ID, $deviceIds: [ID!], $siteId: ID, $threshold: ThresholdInput, $tenantId: ID) {
  onDeviceState(
    deviceId: $deviceId, deviceIds: $deviceIds, siteId: $siteId, threshold: $threshold, tenantId: $tenantId
  ) {
    deviceId version seq readings sampleCount spans { temperature { min max count } }
  }
}"""
ALERTS = """subscription OnAlert($severities: [AlertSeverity!]) {
  onAlert(severities: $severities) { deviceId name status value severity }
}"""
PRESENCE = "subscription { onPresence { deviceId isConnected disconnectReason } }"
COMMANDS = "subscription { onCommand { commandId name status reply version } }"
REMOVALS = "subscription { onDeviceRemoval { deviceId version } }"


def ingest_batch(*payloads: tuple[str, dict[str, Any]]) -> None:
    records = [
        {
            "eventID": f"shardId-000000000000:{place}",
            "kinesis": {
                "partitionKey": device_id,
                "sequenceNumber": str(place),
                "data": base64.b64encode(json.dumps(payload).encode()).decode(),
                "approximateArrivalTimestamp": NOW_MS / 1000,
            },
        }
        for place, (device_id, payload) in enumerate(payloads)
    ]
    assert ingest.handler({"Records": records}, LAMBDA_CONTEXT) == {"batchItemFailures": []}


class Fanout:
    """Publishes what the table's stream has got since the last time."""

    def __init__(self, backend: Backend, wanted: Wanted | None = None) -> None:
        self._backend = backend
        self._wanted = wanted
        self._seen = 0
        self.requests: list[dict[str, Any]] = []

    def run(self) -> None:
        records = stream_event(self._backend.table)["Records"]
        fresh, self._seen = records[self._seen :], len(records)

        def send(body: bytes) -> tuple[int, bytes]:
            document = json.loads(body)
            self.requests.append(document)
            answer = self._backend.execute_sync(document["query"], document["variables"], SERVICE)
            return 200, json.dumps(answer).encode()

        report, failures = publish_batch({"Records": fresh}, send, self._wanted)
        assert (report, failures) == ({"batchItemFailures": []}, [])


@pytest.fixture
def fanout(backend: Backend) -> Fanout:
    return Fanout(backend)


class Watcher:
    """One subscriber, and what it got."""

    def __init__(self, backend: Backend, query: str, variables: dict[str, Any], caller: Caller) -> None:
        self.got: list[Any] = []
        self._stream = backend.subscribe(query, variables, caller)
        self._task = asyncio.create_task(self._watch(self._stream))

    async def _watch(self, stream: AsyncGenerator[Any, None]) -> None:
        async for body in stream:
            assert "errors" not in body, body
            self.got.append(next(iter(body["data"].values())))

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Watchers:
    """Subscribers of one test."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._all: list[Watcher] = []

    async def add(self, query: str, caller: Caller, **variables: Any) -> list[Any]:
        watcher = Watcher(self._backend, query, variables, caller)
        self._all.append(watcher)
        while len(self._backend.subscribers) < len(self._all):
            await asyncio.sleep(0)
        return watcher.got

    async def settle(self) -> None:
        """Let every subscriber take what waits for it."""
        while any(subscriber.events.qsize() for subscriber in self._backend.subscribers):
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)

    async def close(self) -> None:
        for watcher in self._all:
            await watcher.close()


@pytest.fixture
async def watchers(backend: Backend) -> Any:
    made = Watchers(backend)
    yield made
    await made.close()


async def test_telemetry_reaches_the_subscribers_of_its_tenant_alone(watchers: Any, fanout: Fanout) -> None:
    demo = await watchers.add(STATE, API_KEY)
    stranger = await watchers.add(STATE, person("acme"), tenantId="demo", deviceId="dev-1")

    ingest_batch(("dev-1", {"ts": NOW_MS - 2, "seq": 1, "temperature": 20.5, "status": "ok"}))
    fanout.run()
    await watchers.settle()

    assert demo == [
        {
            "deviceId": "dev-1",
            "version": 1,
            "seq": 1,
            "readings": '{"temperature":20.5,"status":"ok"}',
            "sampleCount": 1,
            "spans": {"temperature": {"min": 20.5, "max": 20.5, "count": 1}},
        }
    ]
    assert stranger == []


async def test_a_peak_between_two_publishes_passes_the_threshold(watchers: Any, fanout: Fanout) -> None:
    above = await watchers.add(STATE, API_KEY, threshold={"reading": "temperature", "above": 80})
    below = await watchers.add(STATE, API_KEY, threshold={"reading": "temperature", "below": 10})
    either = await watchers.add(STATE, API_KEY, threshold={"reading": "temperature", "above": 80, "below": 10})

    ingest_batch(("dev-1", {"ts": NOW_MS - 9, "seq": 1, "temperature": 20}))
    fanout.run()
    ingest_batch(
        ("dev-1", {"ts": NOW_MS - 8, "seq": 2, "temperature": 81}),
        ("dev-1", {"ts": NOW_MS - 7, "seq": 3, "temperature": 20}),
    )
    ingest_batch(("dev-1", {"ts": NOW_MS - 6, "seq": 4, "temperature": 21}))
    fanout.run()
    await watchers.settle()

    assert [event["seq"] for event in above] == [4]
    assert above[0]["spans"]["temperature"] == {"min": 20.0, "max": 81.0, "count": 3}
    assert below == []
    assert [event["seq"] for event in either] == [4]


async def test_arguments_narrow_by_device_list_and_site(backend: Backend, watchers: Any, fanout: Fanout) -> None:
    register = "mutation R($input: RegisterDeviceInput!) { registerDevice(input: $input) { telemetryTopic } }"
    for device_id, site_id in (("a", "north"), ("b", "south"), ("c", "south")):
        device = {"input": {"deviceId": device_id, "siteId": site_id, "tenantId": "acme"}}
        assert "errors" not in await backend.execute(register, device, SERVICE)
    one = await watchers.add(STATE, person("acme"), deviceId="a")
    listed = await watchers.add(STATE, person("acme"), deviceIds=["a", "c"])
    site = await watchers.add(STATE, person("acme"), siteId="south")
    service = await watchers.add(STATE, SERVICE)

    ingest_batch(*[(device_id, {"ts": NOW_MS, "seq": 1, "t": 1}) for device_id in "abc"])
    fanout.run()
    await watchers.settle()

    # Several devices of one batch are written at once: their events have no order among each other.
    assert [sorted(event["deviceId"] for event in got) for got in (one, listed, site, service)] == [
        ["a"],
        ["a", "c"],
        ["b", "c"],
        ["a", "b", "c"],
    ]
    assert len(fanout.requests) == 1


async def test_an_alert_is_told_by_severity_when_it_opens_and_resolves(
    backend: Backend, watchers: Any, fanout: Fanout
) -> None:
    rule = {
        "name": "too hot",
        "reading": "temperature",
        "comparison": "ABOVE",
        "threshold": 80,
        "severity": "CRITICAL",
        "tenantId": "demo",
    }
    put = "mutation P($input: AlertRuleInput!) { putAlertRule(input: $input) { ruleId } }"
    ingest._ingestion.cache_clear()
    assert "errors" not in await backend.execute(put, {"input": rule}, SERVICE)
    critical = await watchers.add(ALERTS, API_KEY, severities=["CRITICAL"])
    info = await watchers.add(ALERTS, API_KEY, severities=["INFO"])

    ingest_batch(
        ("dev-1", {"ts": NOW_MS - 2, "seq": 1, "temperature": 81.5}),
        ("dev-1", {"ts": NOW_MS - 1, "seq": 2, "temperature": 60}),
    )
    fanout.run()
    await watchers.settle()

    assert [(event["status"], event["value"]) for event in critical] == [("OPEN", 81.5), ("RESOLVED", 81.5)]
    assert info == []


async def test_presence_seen_before_registration_is_told_after_it(watchers: Any, fanout: Fanout) -> None:
    presence = await watchers.add(PRESENCE, API_KEY)
    connect = {"clientId": "dev-1", "timestamp": NOW_MS, "eventType": "connected", "versionNumber": 0}

    iot.on_presence(connect, LAMBDA_CONTEXT)
    fanout.run()
    await watchers.settle()
    assert presence == []

    ingest_batch(("dev-1", {"ts": NOW_MS, "seq": 1}))
    gone = {
        **connect,
        "eventType": "disconnected",
        "timestamp": NOW_MS + 5,
        "disconnectReason": "MQTT_KEEP_ALIVE_TIMEOUT",
        "clientInitiatedDisconnect": False,
    }
    iot.on_presence(gone, LAMBDA_CONTEXT)
    fanout.run()
    await watchers.settle()

    assert presence == [
        {"deviceId": "dev-1", "isConnected": True, "disconnectReason": None},
        {"deviceId": "dev-1", "isConnected": False, "disconnectReason": "MQTT_KEEP_ALIVE_TIMEOUT"},
    ]


async def test_a_command_is_told_from_sending_to_the_devices_reply(
    backend: Backend, watchers: Any, fanout: Fanout
) -> None:
    ingest_batch(("dev-1", {"ts": NOW_MS, "seq": 1}))
    commands = await watchers.add(COMMANDS, API_KEY)
    send = "mutation S($input: SendCommandInput!) { sendCommand(input: $input) { commandId status } }"

    given = {"input": {"deviceId": "dev-1", "name": "reboot"}}
    answer = await backend.execute(send, given, person("demo", "operator"))
    command_id = answer["data"]["sendCommand"]["commandId"]
    payload = base64.b64encode(b'{"status": "SUCCEEDED", "result": {"took": 3}}').decode()
    reply = {"payload": payload, "deviceId": "dev-1", "commandId": command_id, "receivedAt": NOW_MS}
    iot.on_reply(reply, LAMBDA_CONTEXT)
    iot.on_timeout({"deviceId": "dev-1", "commandId": command_id}, LAMBDA_CONTEXT)
    fanout.run()
    await watchers.settle()

    assert [(event["status"], event["reply"], event["version"]) for event in commands] == [
        ("SENT", None, 1),
        ("SUCCEEDED", '{"took":3}', 2),
    ]


async def test_a_removal_is_told_and_ends_telemetry(backend: Backend, watchers: Any, fanout: Fanout) -> None:
    ingest_batch(("dev-1", {"ts": NOW_MS - 5, "seq": 1}))
    removals = await watchers.add(REMOVALS, API_KEY)
    states = await watchers.add(STATE, API_KEY)
    remove = 'mutation { removeDevice(deviceId: "dev-1") { version } }'

    assert "errors" not in await backend.execute(remove, {}, person("demo", "admin"))
    ingest_batch(("dev-1", {"ts": NOW_MS, "seq": 2}))
    fanout.run()
    await watchers.settle()

    assert removals == [{"deviceId": "dev-1", "version": 2}]
    assert [event["seq"] for event in states] == [1]
