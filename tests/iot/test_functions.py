"""Device event functions as IoT rules and the scheduler call them."""

import base64
import os
from collections.abc import Iterator
from typing import Any

import pytest

from iot import handlers
from iot.commands import NewCommand, command_put
from streams.items import registration
from tests.strawberry_api.moto_http import CONTEXT, MotoEndpoint, deployed

NOW = 1_732_489_762_123
ALARM: dict[str, Any] = {"deviceId": "dev-1", "ts": NOW, "seq": 1, "name": "door", "receivedAt": NOW, "payload": "e30="}


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoEndpoint]:
    with deployed(monkeypatch) as made:
        registered = registration("headwater", "dev-1", "acme", now_ms=NOW, retention_s=10**9)
        made.clients["dynamodb"].transact_write_items(**registered)
        for name in ("reply", "timeout"):
            command = NewCommand("dev-1", name, "acme", "reboot", None, NOW, NOW + 30_000)
            made.clients["dynamodb"].put_item(**command_put("headwater", command, retention_s=10**9))
        yield made


def letters(endpoint: MotoEndpoint) -> list[str]:
    return [letter["reason"] for letter in endpoint.messages(os.environ["DEAD_LETTER_QUEUE_URL"])]


def test_a_lifecycle_event_is_presence(endpoint: MotoEndpoint) -> None:
    connected = {"clientId": "dev-1", "eventType": "connected", "timestamp": NOW, "versionNumber": 1}

    for _ in range(2):
        handlers.on_presence(connected, CONTEXT)
    handlers.on_presence({**connected, "eventType": "?"}, CONTEXT)

    presence = endpoint.item("DEV#dev-1", "PRESENCE")
    assert (presence["isConnected"], presence["version"]) == ({"BOOL": True}, {"N": "1"})
    assert letters(endpoint) == ["WrongType"]


def test_an_alarm_is_an_alert(endpoint: MotoEndpoint) -> None:
    for alarm in (ALARM, ALARM, {**ALARM, "ts": "x"}, {**ALARM, "deviceId": "ghost"}):
        handlers.on_alarm(alarm, CONTEXT)

    assert endpoint.item("DEV#dev-1", f"ALERT#{NOW:013d}-1-device")["status"] == {"S": "OPEN"}
    assert sorted(letters(endpoint)) == ["UnknownDevice", "WrongType"]


def test_a_reply_and_a_timeout_each_close_a_command(endpoint: MotoEndpoint) -> None:
    payload = base64.b64encode(b'{"status":"SUCCEEDED"}').decode()
    reply = {"deviceId": "dev-1", "commandId": "reply", "payload": payload, "receivedAt": NOW + 5}

    handlers.on_reply(reply, CONTEXT)
    handlers.on_timeout({"deviceId": "dev-1", "commandId": "reply"}, CONTEXT)
    handlers.on_timeout({"deviceId": "dev-1", "commandId": "timeout"}, CONTEXT)
    handlers.on_reply({**reply, "payload": ""}, CONTEXT)

    closed = {name: endpoint.item("DEV#dev-1", f"COMMAND#{name}")["status"]["S"] for name in ("reply", "timeout")}
    assert closed == {"reply": "SUCCEEDED", "timeout": "TIMED_OUT"}
    assert letters(endpoint) == ["MalformedJson"]


def test_an_event_whose_write_fails_is_lambdas_to_repeat(endpoint: MotoEndpoint, monkeypatch: Any) -> None:
    endpoint.clients["dynamodb"].delete_table(TableName="headwater")

    with pytest.raises(Exception, match="ResourceNotFound"):
        handlers.on_timeout({"deviceId": "dev-1", "commandId": "timeout"}, CONTEXT)
