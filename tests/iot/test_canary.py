"""The canary by its ports: what it says and signs, and the step it names when a message does not come through."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from iot.canary import Canary, CanaryFailed
from streams.aws.calls import AwsError

NOW_S = 1_732_489_740.5
EVENT_ID = "canary#1732489740500#1732489740500"
ACK, START = {"type": "connection_ack"}, {"type": "start_ack"}
KEEP_ALIVE = {"type": "ka"}


def data(event_id: str) -> dict[str, Any]:
    return {"type": "data", "payload": {"data": {"onDeviceState": {"deviceId": "canary", "eventId": event_id}}}}


class Script:
    """Everything around a canary: frames that will come, an answer of the API, and what was said."""

    def __init__(self, *frames: Any, answer: tuple[int, Any] = (200, {"data": {}})) -> None:
        self._frames = list(frames)
        self._answer = answer
        self.sent: list[dict[str, Any]] = []
        self.published: list[tuple[str, bytes, str]] = []
        self.signed: list[tuple[str, Mapping[str, str], bytes]] = []
        self.offered: list[str] = []
        self.is_closed = False
        self.now_s = NOW_S
        self.canary = Canary(self._Data(self), self._sign, self._post, self._connect, "/graphql", lambda: self.now_s)

    class _Data:
        def __init__(self, script: "Script") -> None:
            self._script = script

        def post(self, path: str, body: bytes, *, query: str = "") -> dict[str, Any]:
            self._script.published.append((path, body, query))
            return {}

    def _sign(self, path: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        self.signed.append((path, headers, body))
        return {**headers, "authorization": f"signed {path}", "host": "api"}

    def _post(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        status, document = self._answer
        return status, document if isinstance(document, bytes) else json.dumps(document).encode()

    def _connect(self, offered: list[str]) -> "Script":
        self.offered = offered
        return self

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    def receive(self) -> str:
        # Each frame takes a second.
        self.now_s += 1
        if not self._frames:
            raise TimeoutError("timed out")
        frame = self._frames.pop(0)
        return frame if isinstance(frame, str) else json.dumps(frame)

    def close(self) -> None:
        self.is_closed = True


def test_it_subscribes_before_it_publishes_and_times_its_own_message() -> None:
    script = Script(ACK, KEEP_ALIVE, START, KEEP_ALIVE, data("canary#1#1"), data("canary#1732489743500#1732489743500"))

    seconds = script.canary.sing()

    assert seconds == 3
    ((path, body, query),) = script.published
    assert (path, query) == ("/topics/devices%2Fcanary%2Ftelemetry", "qos=1")
    assert json.loads(body) == {"ts": 1_732_489_743_500, "seq": 1_732_489_743_500, "probe": 1}
    assert [frame["type"] for frame in script.sent] == ["connection_init", "start"]
    start = json.loads(script.sent[1]["payload"]["data"])
    assert start["variables"] == {"device": "canary", "tenant": "canary"}
    assert script.is_closed


def test_each_signature_is_of_the_path_and_body_it_is_for() -> None:
    script = Script(ACK, START, data("canary#1732489742500#1732489742500"))

    script.canary.sing()

    register, connect, subscribe = script.signed
    assert register[0] == "/graphql"
    assert (connect[0], connect[2]) == ("/graphql/connect", b"{}")
    assert (subscribe[0], subscribe[2]) == ("/graphql", script.sent[1]["payload"]["data"].encode())
    encoded = script.offered[1].removeprefix("header-")
    header = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    assert header["Authorization"] == "signed /graphql/connect"
    assert header["content-encoding"] == "amz-1.0"
    assert script.sent[1]["payload"]["extensions"]["authorization"]["Authorization"] == "signed /graphql"


def test_a_device_that_is_registered_already_is_no_failure() -> None:
    answer = {"data": None, "errors": [{"errorType": "DeviceExists", "message": "taken"}]}
    script = Script(ACK, START, data("canary#1732489742500#1732489742500"), answer=(200, answer))

    assert script.canary.sing() == 1


@pytest.mark.parametrize(
    ("script", "step"),
    [
        (
            Script(answer=(401, {"errors": [{"errorType": "UnauthorizedException"}]})),
            "registering its device: HTTP 401",
        ),
        (Script(answer=(200, {"errors": [{"errorType": "Throttled"}]})), "registering its device"),
        (Script(answer=(500, b"<html>")), "registering its device: HTTP 500: <html>"),
        (Script(), "waiting for connection_ack: TimeoutError"),
        (Script({"type": "connection_error", "payload": {"errors": []}}), "waiting for connection_ack: .*_error"),
        (Script(ACK, {"type": "error", "payload": {}}), "waiting for start_ack"),
        (Script(ACK, "no json"), "waiting for start_ack"),
        (Script(ACK, *[KEEP_ALIVE] * 60), "waiting for start_ack"),
        (Script(ACK, START), "waiting for data: TimeoutError"),
        (Script(ACK, START, {"type": "complete"}), "waiting for data: .*complete"),
        (Script(ACK, START, *[data("canary#1#1")] * 60), "waiting for canary#.*other events"),
        (Script(ACK, START, *[{"type": "data", "payload": None}] * 60), "waiting for canary#"),
    ],
)
def test_what_does_not_come_through_is_named_by_its_step(script: Script, step: str) -> None:
    with pytest.raises(CanaryFailed, match=step):
        script.canary.sing()


def test_a_refusal_of_iot_core_is_what_it_is() -> None:
    class Refusing:
        def post(self, path: str, body: bytes, *, query: str = "") -> dict[str, Any]:
            raise AwsError("ForbiddenException", "no", status=403, document={})

    script = Script(ACK, START)
    canary = Canary(Refusing(), script._sign, script._post, script._connect, "/graphql", lambda: NOW_S)

    with pytest.raises(AwsError, match="ForbiddenException"):
        canary.sing()
    assert script.is_closed
