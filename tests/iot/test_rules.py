"""Presence, replies, alarms and schedules, by values."""

import json
from base64 import b64encode
from typing import Any

import pytest

from iot.alarms import alarm_put, parse_alarm
from iot.commands import NewCommand, command_close, command_publish, command_put, parse_reply
from iot.presence import LifecycleEvent, parse_lifecycle, presence_update
from iot.schedule import timeout_schedule
from streams.record import PermanentRecordError

NOW = 1_732_489_762_123
CONNECTED = {
    "clientId": "dev-1",
    "timestamp": NOW,
    "eventType": "connected",
    "sessionIdentifier": "a4666d2a-7d84-4ab0-a5ac-56ae1f4b2d3f",
    "principalIdentifier": "12345678901234567890123456789012",
    "ipAddress": "127.0.0.1",
    "versionNumber": 4,
}
COMMAND = NewCommand(
    "dev-1", "1732489762123-ab", "acme", "reboot", {"delay": 5.5, "list": [1, None]}, NOW, NOW + 30_000
)
ALARM = {"deviceId": "dev-1", "receivedAt": NOW, "ts": NOW - 5, "seq": 8, "name": "door open", "severity": "CRITICAL"}


def test_a_lifecycle_event_is_read() -> None:
    event = parse_lifecycle({**CONNECTED, "eventType": "disconnected", "disconnectReason": "CLIENT_ERROR"})

    assert event == LifecycleEvent("dev-1", False, NOW, 4, "CLIENT_ERROR")


def test_a_session_ends_after_it_began_and_before_the_next_one() -> None:
    ranks = [
        LifecycleEvent("d", is_connected, NOW, version).rank
        for version, is_connected in ((4, True), (4, False), (5, True))
    ]

    assert ranks == sorted(set(ranks))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"eventType": "subscribed"}, "WrongType"),
        ({"clientId": "a#b"}, "InvalidDeviceId"),
        ({"clientId": None}, "InvalidDeviceId"),
        ({"timestamp": "now"}, "WrongType"),
        ({"versionNumber": None}, "WrongType"),
    ],
)
def test_what_is_no_lifecycle_event_says_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(PermanentRecordError) as caught:
        parse_lifecycle({**CONNECTED, **change})

    assert caught.value.reason == reason


def test_presence_without_an_owner_may_expire() -> None:
    event = parse_lifecycle(CONNECTED)

    unowned = presence_update("table", event, tenant_id=None, site_id=None, expires_s=1000)
    owned = presence_update("table", event, tenant_id="acme", site_id="north", expires_s=None)

    assert unowned["ExpressionAttributeValues"][":ttl"] == {"N": "1000"}
    assert "REMOVE disconnectReason, #ttl" in owned["UpdateExpression"]
    assert owned["ExpressionAttributeValues"][":tenantId"] == {"S": "acme"}


def test_a_command_is_published_to_its_own_topic() -> None:
    path, body = command_publish(COMMAND)

    assert path == "/topics/devices%2Fdev-1%2Fcommands%2F1732489762123-ab"
    assert json.loads(body) == {
        "commandId": "1732489762123-ab",
        "name": "reboot",
        "parameters": {"delay": 5.5, "list": [1, None]},
        "timeoutAt": NOW + 30_000,
    }


def test_a_command_is_stored_with_its_parameters_typed() -> None:
    item = command_put("table", COMMAND, retention_s=60)["Item"]

    assert item["parameters"] == {"M": {"delay": {"N": "5.5"}, "list": {"L": [{"N": "1"}, {"NULL": True}]}}}
    assert item["ttl"] == {"N": "1732489822"}


def test_a_timeout_is_a_schedule_that_fires_once_and_is_rounded_up() -> None:
    path, body = timeout_schedule(COMMAND, function_arn="arn:f", role_arn="arn:r")

    schedule = json.loads(body)
    assert path == "/schedules/command-1732489762123-ab"
    assert schedule["ScheduleExpression"] == "at(2024-11-24T23:09:53)"
    assert schedule["ActionAfterCompletion"] == "DELETE"
    assert json.loads(schedule["Target"]["Input"]) == {"deviceId": "dev-1", "commandId": "1732489762123-ab"}


def test_only_an_open_command_is_closed() -> None:
    close = command_close("table", "dev-1", "c", "TIMED_OUT", now_ms=NOW)

    assert close["ConditionExpression"] == "#status = :sent"


@pytest.mark.parametrize(
    ("payload", "change", "reason"),
    [
        (b'{"status":"DONE"}', {}, "WrongType"),
        (b'{"result":1}', {}, "WrongType"),
        (b"[]", {}, "WrongType"),
        (b'{"status":', {}, "MalformedJson"),
        (b'{"status":"FAILED","result":NaN}', {}, "MalformedJson"),
        (b"\xff", {}, "MalformedJson"),
        (b'{"status":"FAILED","result":' + b"[" * 50_000 + b"]" * 50_000 + b"}", {}, "MalformedJson"),
        (b'{"status":"FAILED"}', {"deviceId": "d#"}, "InvalidDeviceId"),
        (b'{"status":"FAILED"}', {"commandId": None}, "InvalidDeviceId"),
        (b'{"status":"FAILED","result":"' + b"x" * 200_000 + b'"}', {}, "Oversized"),
        (b'{"status":"FAILED","result":' + b"[" * 101 + b"]" * 101 + b"}", {}, "Oversized"),
    ],
)
def test_what_is_no_reply_says_why(payload: bytes, change: dict[str, Any], reason: str) -> None:
    event = {"payload": b64encode(payload).decode(), "deviceId": "d", "commandId": "c", "receivedAt": NOW}

    with pytest.raises(PermanentRecordError) as caught:
        parse_reply({**event, **change})

    assert caught.value.reason == reason


def test_an_alarm_is_an_alert_that_comes_once() -> None:
    alarm = parse_alarm({**ALARM, "reading": "door", "value": 1})

    put = alarm_put("table", alarm, "acme", site_id="north", retention_s=60)

    assert put["Item"]["SK"] == {"S": "ALERT#1732489762118-8-device"}
    assert put["Item"]["value"] == {"N": "1"}
    assert put["ConditionExpression"] == "attribute_not_exists(PK)"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"deviceId": 5}, "InvalidDeviceId"),
        ({"ts": None}, "WrongType"),
        ({"seq": 1.5}, "WrongType"),
        ({"ts": NOW + 300_001}, "ClockAhead"),
        ({"name": ""}, "WrongType"),
        ({"severity": "BAD"}, "WrongType"),
        ({"reading": 5}, "WrongType"),
        ({"value": "5"}, "WrongType"),
        ({"value": 10**38}, "WrongType"),
        ({"value": 1e-200}, "WrongType"),
        ({"value": 1e200}, "WrongType"),
        ({"name": "\ud800"}, "WrongType"),
        ({"reading": "\ud800"}, "WrongType"),
    ],
)
def test_what_is_no_alarm_says_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(PermanentRecordError) as caught:
        parse_alarm({**ALARM, **change})

    assert caught.value.reason == reason


def test_an_alarm_without_a_severity_is_a_warning() -> None:
    event = {name: value for name, value in ALARM.items() if name != "severity"}

    assert parse_alarm(event).severity == "WARNING"
