"""Device events on moto's table: late, twice and in any order."""

import base64
import itertools
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from iot.commands import NewCommand, command_put
from iot.handlers import DeviceEvents, bury
from streams.aws.calls import AwsError
from streams.items import device_partition, plain_item, presence_adoption, registration, removal, state_key
from streams.json_values import stored_json
from streams.record import PermanentRecordError
from tests.strawberry_api.moto_aws import REGION, BotoService, create_queue, create_table, in_moto

NOW = 1_732_489_762_123


class Devices:
    """Device events on a table with one registered device."""

    def __init__(self) -> None:
        self.table = create_table()
        self.service = BotoService(boto3.client("dynamodb", region_name=REGION))
        self.events = DeviceEvents(self.service, self.table, retention_s=86_400, clock=lambda: NOW / 1000)
        self.service.call(
            "TransactWriteItems", registration(self.table, "dev-1", "acme", now_ms=NOW, retention_s=60, site_id="north")
        )

    def item(self, device_id: str, sort: str) -> dict[str, Any]:
        query = {
            "TableName": self.table,
            "KeyConditionExpression": "PK = :pk AND begins_with(SK, :sk)",
            "ExpressionAttributeValues": {":pk": {"S": device_partition(device_id)}, ":sk": {"S": sort}},
        }
        (found,) = self.service.call("Query", query)["Items"]
        return plain_item(found)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[Devices]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with in_moto():
        yield Devices()


def lifecycle(kind: str, version: int, timestamp: int, client_id: str = "dev-1") -> dict[str, Any]:
    event = {"clientId": client_id, "timestamp": timestamp, "eventType": kind, "versionNumber": version}
    return {**event, "disconnectReason": "CONNECTION_LOST"} if kind == "disconnected" else event


def test_lifecycle_events_in_any_order_and_twice_end_at_the_last_one(devices: Devices) -> None:
    events = [
        lifecycle("connected", 1, NOW),
        lifecycle("disconnected", 1, NOW + 10),
        lifecycle("connected", 2, NOW + 20),
    ]

    for order in itertools.permutations(events):
        devices.service.call(
            "DeleteItem", {"TableName": devices.table, "Key": {"PK": {"S": "DEV#dev-1"}, "SK": {"S": "PRESENCE"}}}
        )
        for event in (*order, *order):
            devices.events.presence(event)
        presence = devices.item("dev-1", "PRESENCE")
        assert (presence["isConnected"], presence["since"], presence["tenantId"]) == (True, NOW + 20, "acme")
        assert "disconnectReason" not in presence


def test_versions_that_start_again_after_an_hour_count(devices: Devices) -> None:
    devices.events.presence(lifecycle("disconnected", 7, NOW))

    assert not devices.events.presence(lifecycle("connected", 0, NOW + 3_599_999))
    assert devices.events.presence(lifecycle("connected", 0, NOW + 3_600_001))
    assert devices.item("dev-1", "PRESENCE")["isConnected"] is True


def test_a_client_nobody_registered_waits_for_its_registration(devices: Devices) -> None:
    devices.events.presence(lifecycle("connected", 0, NOW, client_id="dev-2"))
    waiting = devices.item("dev-2", "PRESENCE")
    assert "tenantId" not in waiting
    assert waiting["ttl"] == int(devices.events.clock()) + 7 * 86_400

    devices.service.call("UpdateItem", presence_adoption(devices.table, "dev-2", "acme", None))

    presence = devices.item("dev-2", "PRESENCE")
    assert (presence["tenantId"], presence["version"], "ttl" in presence) == ("acme", 2, False)


def test_presence_goes_on_counting_when_a_device_was_removed_and_comes_back(devices: Devices) -> None:
    for event in (lifecycle("connected", 1, NOW), lifecycle("disconnected", 1, NOW + 1)):
        assert devices.events.presence(event)
    state = devices.service.call("GetItem", {"TableName": devices.table, "Key": state_key("dev-1")})["Item"]
    writes = removal(devices.table, "dev-1", int(state["version"]["N"]), NOW + 2)

    devices.service.call("TransactWriteItems", {"TransactItems": writes})
    ended = devices.item("dev-1", "PRESENCE")
    # Nobody's for now: it shows nothing of before, and nothing of it expires.
    assert set(ended) == {"PK", "SK", "version", "schemaVersion"}
    assert devices.events.presence(lifecycle("connected", 0, NOW + 3))
    assert {"tenantId", "ttl"}.isdisjoint(devices.item("dev-1", "PRESENCE"))
    again = registration(devices.table, "dev-1", "beta", now_ms=NOW + 4, retention_s=60)
    devices.service.call("TransactWriteItems", again)
    devices.service.call("UpdateItem", presence_adoption(devices.table, "dev-1", "beta", None))

    presence = devices.item("dev-1", "PRESENCE")
    assert (presence["tenantId"], presence["isConnected"], presence["version"]) == ("beta", True, 4)


def test_a_device_that_comes_back_has_no_presence_until_it_connects(devices: Devices) -> None:
    state = devices.service.call("GetItem", {"TableName": devices.table, "Key": state_key("dev-1")})["Item"]
    writes = removal(devices.table, "dev-1", int(state["version"]["N"]), NOW)

    devices.service.call("TransactWriteItems", {"TransactItems": writes})

    with pytest.raises(AwsError, match="ConditionalCheckFailed"):
        devices.service.call("UpdateItem", presence_adoption(devices.table, "dev-1", "beta", None))


def send(devices: Devices) -> None:
    command = NewCommand("dev-1", "c1", "acme", "reboot", None, NOW, NOW + 30_000)
    devices.service.call("PutItem", command_put(devices.table, command, retention_s=60))


def reply(status: str = "SUCCEEDED", command_id: str = "c1", result: str = '{"ok":1}') -> dict[str, Any]:
    payload = base64.b64encode(f'{{"status":"{status}","result":{result}}}'.encode()).decode()
    return {"payload": payload, "deviceId": "dev-1", "commandId": command_id, "receivedAt": NOW + 9}


def test_a_reply_closes_its_command_once(devices: Devices) -> None:
    send(devices)

    assert devices.events.reply(reply())
    assert not devices.events.reply(reply("FAILED"))
    assert not devices.events.timeout({"deviceId": "dev-1", "commandId": "c1"})
    command = devices.item("dev-1", "COMMAND#")
    assert (command["status"], command["reply"], command["closedAt"], command["version"]) == (
        "SUCCEEDED",
        {"ok": 1},
        NOW + 9,
        2,
    )


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ("1e200", 1e200),
        ("-1e-300", -1e-300),
        ("1" * 42, int("1" * 42)),
        ("[" * 40 + "]" * 40, None),
        ('{"":1,"a":[{"":{}}]}', {"": 1, "a": [{"": {}}]}),
        ('{"a":"\\ud800"}', {"a": "\ufffd"}),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ("null", None),
        ('{"a":[1.5,true,"x"]}', {"a": [1.5, True, "x"]}),
    ],
)
def test_any_json_a_device_may_answer_closes_its_command(devices: Devices, result: str, kept: Any) -> None:
    send(devices)

    assert devices.events.reply(reply(result=result))

    command = devices.item("dev-1", "COMMAND#")
    assert command["status"] == "SUCCEEDED"
    expected = json.loads(result) if kept is None else kept
    assert stored_json(command, "reply") == expected


@pytest.mark.parametrize(
    ("text", "reason", "status"),
    [
        ('{"status":"SUCCEEDED","result":"%s"}' % ("x" * 110_000), "Oversized", "SUCCEEDED"),
        ('{{"status":"SUCCEEDED","result":{}{}}}'.format("[" * 101, "]" * 101), "Oversized", "SUCCEEDED"),
        ('{{"status":"FAILED","result":{}{}}}'.format("[" * 5000, "]" * 5000), "MalformedJson", "FAILED"),
        ('{"status":"SUCCEEDED","result":', "MalformedJson", "FAILED"),
        ('{"status":"DONE"}', "WrongType", "FAILED"),
        ("", "MalformedJson", "FAILED"),
    ],
)
def test_a_reply_that_cannot_be_kept_closes_its_command_and_says_why(
    devices: Devices, text: str, reason: str, status: str
) -> None:
    send(devices)
    event = {**reply(), "payload": base64.b64encode(text.encode()).decode()}

    for _ in range(2):
        with pytest.raises(PermanentRecordError, match=reason):
            devices.events.reply(event)

    command = devices.item("dev-1", "COMMAND#")
    assert (command["status"], command["version"]) == (status, 2)
    assert command["reply"]["error"].startswith(f"not kept: {reason}: ")


def test_a_reply_after_the_timeout_is_too_late(devices: Devices) -> None:
    send(devices)

    assert devices.events.timeout({"deviceId": "dev-1", "commandId": "c1"})
    assert not devices.events.reply(reply())
    assert devices.item("dev-1", "COMMAND#")["status"] == "TIMED_OUT"


def test_a_reply_to_a_command_nobody_sent_makes_none(devices: Devices) -> None:
    assert not devices.events.reply(reply(command_id="other"))
    assert devices.service.call("Scan", {"TableName": devices.table})["Count"] == 3


ALARM: dict[str, Any] = {"deviceId": "dev-1", "receivedAt": NOW, "ts": NOW - 5, "seq": 8, "name": "door open"}


def test_an_alarm_becomes_one_open_alert_of_the_devices_tenant(devices: Devices) -> None:
    assert devices.events.alarm(ALARM)
    assert not devices.events.alarm(ALARM)

    alert = devices.item("dev-1", "ALERT#")
    assert (alert["status"], alert["tenantId"], alert["siteId"]) == ("OPEN", "acme", "north")
    assert (alert["severity"], alert["GSI2PK"]) == ("WARNING", "TENANT#acme#OPEN")


def test_an_alarm_of_an_unknown_device_never_can_succeed(devices: Devices) -> None:
    with pytest.raises(PermanentRecordError, match="UnknownDevice: device 'ghost' is not registered"):
        devices.events.alarm({**ALARM, "deviceId": "ghost"})


def test_an_alarm_from_before_the_retention_never_can_succeed(devices: Devices) -> None:
    old = ALARM["receivedAt"] - 86_400_000

    with pytest.raises(PermanentRecordError, match="TooOld"):
        devices.events.alarm({**ALARM, "ts": old})

    assert devices.events.alarm({**ALARM, "ts": old + 1})


def test_a_dead_letter_holds_the_event_and_the_reason(devices: Devices) -> None:
    url = create_queue("dead")
    queue = BotoService(boto3.client("sqs", region_name=REGION))

    bury(queue, url, ALARM, PermanentRecordError("WrongType", "why"))

    (message,) = boto3.client("sqs", region_name=REGION).receive_message(QueueUrl=url)["Messages"]
    assert json.loads(message["Body"]) == {"reason": "WrongType", "detail": "why", "deviceId": "dev-1", "event": ALARM}


def test_presence_of_a_device_that_left_its_site_has_none(devices: Devices) -> None:
    devices.events.presence(lifecycle("connected", 1, NOW))
    assert devices.item("dev-1", "PRESENCE")["siteId"] == "north"
    state = {"PK": {"S": "DEV#dev-1"}, "SK": {"S": "STATE"}}
    devices.service.call("UpdateItem", {"TableName": devices.table, "Key": state, "UpdateExpression": "REMOVE siteId"})

    devices.events.presence(lifecycle("disconnected", 1, NOW + 1))

    assert "siteId" not in devices.item("dev-1", "PRESENCE")
