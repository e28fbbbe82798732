"""Beside the path: every few minutes, be a device and its subscriber, and measure what lies between.

It publishes telemetry of a device of its own through IoT Core and waits for that very message on a subscription of its
own, signed with its role. So it passes all eight steps; what fails is named by the step it did not get to.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from streams.aws.connection import KeptAliveConnection
from streams.aws.environment import credentials, required, service
from streams.aws.signing import signed_headers
from streams.aws.websocket import WebSocketClient
from streams.metrics import NAMESPACE

DEVICE_ID = TENANT_ID = "canary"
TIMEOUT_S = 20.0
_REGISTER = (
    "mutation($device: ID!, $tenant: ID) { registerDevice(input: {deviceId: $device, tenantId: $tenant}) "
    "{ device { deviceId } } }"
)
_SUBSCRIBE = (
    "subscription($device: ID, $tenant: ID) "
    "{ onDeviceState(deviceId: $device, tenantId: $tenant) { deviceId eventId } }"
)
_VARIABLES = {"device": DEVICE_ID, "tenant": TENANT_ID}
_JSON = {"content-type": "application/json"}
# What a subscription is signed with, and how AppSync writes the signature's own headers.
# Source: AppSync Developer Guide, "Building a real-time WebSocket client", "AWS Identity and Access Management".
_REALTIME = {
    "accept": "application/json, text/javascript",
    "content-encoding": "amz-1.0",
    "content-type": "application/json; charset=UTF-8",
}
_SPELLED = {"authorization": "Authorization", "x-amz-security-token": "X-Amz-Security-Token"}


class CanaryFailed(Exception):
    """A message did not come through; says which step was the last."""


class Publisher(Protocol):
    """IoT Core's data plane."""

    def post(self, path: str, body: bytes, *, query: str = "") -> dict[str, Any]: ...


class Messages(Protocol):
    """One WebSocket connection."""

    def send(self, text: str) -> None: ...

    def receive(self) -> str: ...

    def close(self) -> None: ...


Signed = Callable[[str, Mapping[str, str], bytes], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Canary:
    """`signed` adds a signature to the headers of a POST to a path; `post` sends one; `connect` opens a WebSocket."""

    iot_data: Publisher
    signed: Signed
    post: Callable[[Mapping[str, str], bytes], tuple[int, bytes]]
    connect: Callable[[list[str]], Messages]
    graphql_path: str
    clock: Callable[[], float]

    def sing(self) -> float:
        """Send one message through everything; returns how many seconds it took from publish to event.

        Raises: CanaryFailed; OSError and AwsError of what could not be reached.
        """
        self._register()
        header = base64.urlsafe_b64encode(json.dumps(self._credentials("/connect", b"{}")).encode()).decode()
        with closing(self.connect(["graphql-ws", f"header-{header.rstrip('=')}"])) as messages:
            self._subscribe(messages)
            return self._publish_and_wait(messages)

    def _register(self) -> None:
        body = json.dumps({"query": _REGISTER, "variables": _VARIABLES}).encode()
        status, answer = self.post(self.signed(self.graphql_path, _JSON, body), body)
        errors = _object(answer).get("errors") or []
        # Registered once, it is there for ever.
        if status != 200 or any(error.get("errorType") != "DeviceExists" for error in errors):
            raise CanaryFailed(f"registering its device: HTTP {status}: {answer[:300].decode('utf-8', 'replace')}")

    def _subscribe(self, messages: Messages) -> None:
        messages.send('{"type":"connection_init"}')
        self._wait_for(messages, "connection_ack")
        data = json.dumps({"query": _SUBSCRIBE, "variables": _VARIABLES})
        extensions = {"authorization": self._credentials("", data.encode())}
        payload = {"data": data, "extensions": extensions}
        messages.send(json.dumps({"id": "canary", "type": "start", "payload": payload}))
        self._wait_for(messages, "start_ack")

    def _publish_and_wait(self, messages: Messages) -> float:
        published_at = self.clock()
        ts = int(published_at * 1000)
        telemetry = json.dumps({"ts": ts, "seq": ts, "probe": 1}).encode()
        topic = quote(f"devices/{DEVICE_ID}/telemetry", safe="")
        self.iot_data.post(f"/topics/{topic}", telemetry, query="qos=1")
        wanted = f"{DEVICE_ID}#{ts}#{ts}"
        while self.clock() < published_at + TIMEOUT_S:
            frame = self._wait_for(messages, "data")
            event = ((frame.get("payload") or {}).get("data") or {}).get("onDeviceState") or {}
            if event.get("eventId") == wanted:
                return self.clock() - published_at
        raise CanaryFailed(f"waiting for {wanted}: other events came, but not this one in {TIMEOUT_S:g} s")

    def _wait_for(self, messages: Messages, kind: str) -> dict[str, Any]:
        ends_at = self.clock() + TIMEOUT_S
        while True:
            try:
                frame = _object(messages.receive())
            except OSError as error:
                raise CanaryFailed(f"waiting for {kind}: {type(error).__name__}: {error}") from error
            if frame.get("type") == kind:
                return frame
            # Keep-alives come for ever.
            if frame.get("type") not in ("ka", "data") or self.clock() > ends_at:
                raise CanaryFailed(f"waiting for {kind}: {str(frame)[:300]}")

    def _credentials(self, suffix: str, body: bytes) -> dict[str, str]:
        signed = self.signed(self.graphql_path + suffix, _REALTIME, body)
        return {_SPELLED.get(name, name): value for name, value in signed.items()}


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _canary() -> Canary:
    url, region = required("GRAPHQL_URL"), required("AWS_REGION")
    parts = urlsplit(url)

    def signed(path: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        return signed_headers(
            credentials(),
            region=region,
            service="appsync",
            host=parts.netloc,
            path=path,
            headers=headers,
            body=body,
            now_s=time.time(),
        )

    return Canary(
        iot_data=service("iotdata", endpoint_name="iot_data_plane", host="data-ats.iot"),
        signed=signed,
        post=KeptAliveConnection(url).post,
        connect=lambda protocols: WebSocketClient(required("REALTIME_URL"), protocols, timeout_s=TIMEOUT_S),
        graphql_path=parts.path,
        clock=time.time,
    )


logger = Logger(service="canary")


def handler(event: Mapping[str, Any], context: object) -> dict[str, float]:
    """Sing once (a schedule's event); a failure is an error of the function, which has an alarm."""
    seconds = _canary().sing()
    with single_metric(
        name="CanaryLatency", unit=MetricUnit.Milliseconds, value=round(seconds * 1000), namespace=NAMESPACE
    ) as metric:
        metric.add_dimension(name="FunctionName", value=required("AWS_LAMBDA_FUNCTION_NAME"))
    logger.info("a message came through", extra={"seconds": round(seconds, 3)})
    return {"seconds": seconds}
