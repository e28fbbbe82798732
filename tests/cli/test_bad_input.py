"""Bad input on every socket of the running product: a clear refusal, no traceback, and nobody else notices."""

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.product import Device, Product, now_ms, telemetry
from tests.support.subscriber import Subscriber

STATE = "subscription($id: ID) { onDeviceState(deviceId: $id) { deviceId seq } }"


@pytest.fixture(autouse=True)
def bystander(product: Product, request: pytest.FixtureRequest) -> Iterator[None]:
    """A subscriber and a device that are connected before the bad input and must work after it."""
    device_id = f"bystander-{abs(hash(request.node.name)) % 10**9}"
    subscriber, device = Subscriber(product, STATE, {"id": device_id}), Device(product, device_id)
    yield
    device.publish(f"devices/{device_id}/telemetry", telemetry(now_ms(), 1, temperature=20))
    assert subscriber.next_where(deviceId=device_id)["seq"] == 1
    subscriber.close()
    device.close()
    assert "Traceback" not in product.log()


def posted(product: Product, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Status and JSON document of a POST to the GraphQL endpoint."""
    host = product.ready["graphqlUrl"].split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=20)
    sent = {"content-type": "application/json", "x-api-key": product.ready["apiKey"], **(headers or {})}
    try:
        connection.request("POST", "/graphql", body, sent)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def operation(query: Any, variables: Any = None) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()


@pytest.mark.parametrize(
    ("body", "status", "error_type"),
    [
        (b"", 400, "MalformedHttpRequestException"),
        (b"{", 400, "MalformedHttpRequestException"),
        (b"[]", 400, "MalformedHttpRequestException"),
        (b"\xff", 400, "MalformedHttpRequestException"),
        (b'{"query": 3}', 400, "MalformedHttpRequestException"),
        (b'{"variables": {}}', 400, "MalformedHttpRequestException"),
        # AppSync answers 200 when the document can be read.
        (operation("{ nope }"), 200, ""),
        (operation("{ listDevices { items { deviceId }"), 400, ""),
        (operation("query($id: ID!) { getDevice(deviceId: $id) { deviceId } }", []), 400, ""),
        (operation("query($id: ID!) { getDevice(deviceId: $id) { deviceId } }", "x"), 400, ""),
        (operation("subscription { onAlert { alertId } }"), 400, "UnsupportedOperation"),
        (operation("{" * 100_000), 400, ""),
    ],
)
def test_a_malformed_request_is_an_error_document(body: bytes, status: int, error_type: str, product: Product) -> None:
    found, document = posted(product, body)

    assert found == status, document
    (first, *_) = document["errors"]
    assert first["message"]
    assert first.get("errorType", "") == error_type or not error_type


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("query($id: ID!) { getDevice(deviceId: $id) { deviceId } }", {}),
        ("query($id: ID!) { getDevice(deviceId: $id) { deviceId } }", {"id": {"a": 1}}),
        ("query($n: Int) { listDevices(limit: $n) { items { deviceId } } }", {"n": "many"}),
        ('{ listTelemetry(deviceId: "a", from: "yesterday") { nextToken } }', {}),
        ('{ listDevices(nextToken: "made up") { nextToken } }', {}),
        ("{ listDevices(limit: -1) { nextToken } }", {}),
    ],
)
def test_wrong_values_are_errors_with_a_message(query: str, variables: dict[str, Any], product: Product) -> None:
    status, document = posted(product, operation(query, variables))

    assert status in (200, 400)
    assert document["errors"][0]["message"]


def test_a_huge_body_is_refused(product: Product) -> None:
    status, document = posted(product, operation("{ listDevices { nextToken } }", {"a": "x" * 12_000_000}))

    assert status == 413
    assert document["errors"][0]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "da2-nobody"},
        {"x-api-key": "", "authorization": "not.a.token"},
        {"x-api-key": "", "authorization": "Bearer " + "x" * 5000},
        {
            "x-api-key": "",
            "authorization": "AWS4-HMAC-SHA256 Credential=AKIANOBODY/20260101/us-east-1/appsync/aws4_request, "
            "SignedHeaders=host, Signature=00",
        },
        {"x-api-key": "", "authorization": "AWS4-HMAC-SHA256 nonsense"},
    ],
)
def test_wrong_credentials_are_401(headers: dict[str, str], product: Product) -> None:
    sent = {name: value for name, value in headers.items() if value}
    host = product.ready["graphqlUrl"].split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("POST", "/graphql", operation("{ __typename }"), {"content-type": "application/json", **sent})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()

    assert answer.status in (401, 403), document
    assert document["errors"][0]["errorType"]


RAW_REQUESTS = [
    b"NONSENSE\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x00\x01\x02\x03\x04" * 10,
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nshort",
    b"POST /graphql HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 10_000 + b"\r\n",
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    b"\x16",
]


def said_to(address: tuple[str, int], data: bytes) -> bytes:
    """What a socket answers until it closes; nothing when it waits for more."""
    with socket.create_connection(address, timeout=1) as opened:
        answer = b""
        try:
            opened.sendall(data)
            while received := opened.recv(65536):
                answer += received
        except (TimeoutError, ConnectionError):
            pass
        return answer


@pytest.mark.parametrize("data", RAW_REQUESTS, ids=range(len(RAW_REQUESTS)))
def test_bytes_that_are_no_request_are_refused(data: bytes, product: Product) -> None:
    host, port = product.ready["graphqlUrl"].split("/")[2].split(":")

    answer = said_to((host, int(port)), data)

    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5", b"\x15\x03")), answer[:80]


def realtime(product: Product, header: dict[str, str] | None = None) -> Any:
    host = product.ready["graphqlUrl"].split("/")[2]
    credentials = {"host": host, "x-api-key": product.ready["apiKey"]} if header is None else header
    encoded = base64.urlsafe_b64encode(json.dumps(credentials).encode()).decode().rstrip("=")
    offered: Any = ["graphql-ws", f"header-{encoded}"]
    return connect(product.ready["realtimeUrl"], subprotocols=offered)


START = {"id": "1", "type": "start", "payload": {"data": '{"query": "subscription { onAlert { alertId } }"}'}}
FRAMES: list[str | bytes] = [
    "not JSON",
    "[]",
    "3",
    "{}",
    '{"type": "frobnicate"}',
    '{"type": ["start"]}',
    '{"type": "start"}',
    '{"type": "start", "id": 3, "payload": 3}',
    '{"type": "start", "id": "1", "payload": {"data": 3}}',
    '{"type": "start", "id": "1", "payload": {"data": "not JSON"}}',
    json.dumps(START),
    json.dumps(START | {"payload": START["payload"] | {"extensions": {"authorization": {"x-api-key": "da2-no"}}}}),  # type: ignore[operator]  # a dictionary
    '{"type": "stop", "id": "nobody"}',
    '{"type": "start", "id": "' + "x" * 300_000 + '"}',
    b"\x00\x01",
    "[" * 10_000,
]


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
def test_a_broken_frame_is_answered_or_ends_its_connection_only(frame: str | bytes, product: Product) -> None:
    with realtime(product) as opened:
        opened.send('{"type": "connection_init"}')
        assert json.loads(opened.recv(timeout=10))["type"] == "connection_ack"
        opened.send(frame)
        try:
            answers = [json.loads(opened.recv(timeout=2))]
            answers = [answer for answer in answers if answer["type"] != "ka"] or [json.loads(opened.recv(timeout=2))]
            assert answers[0]["type"] in ("error", "connection_error", "complete"), answers
            assert answers[0]["type"] == "complete" or answers[0]["payload"]["errors"][0]["message"]
        except (TimeoutError, ConnectionClosed):
            pass


@pytest.mark.parametrize("header", [{}, {"x-api-key": "da2-nobody"}, {"host": "elsewhere", "authorization": "x"}])
def test_a_connection_without_credentials_is_refused(header: dict[str, str], product: Product) -> None:
    with realtime(product, header) as opened:
        opened.send('{"type": "connection_init"}')
        answer = json.loads(opened.recv(timeout=10))

    (error,) = answer["payload"]["errors"]
    assert answer["type"] == "connection_error"
    assert error["errorCode"] in (400, 401)
    assert error["message"] in ("Required headers are missing.", "You are not authorized to make this call.")


CONNECT = bytes.fromhex("101200044d5154540402003c0006") + b"broken"
PACKETS = [
    b"\x00\x00",
    b"\xff" * 64,
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x10\xff\xff\xff\xff\x7f",
    b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x3c\x00\x00",
    CONNECT + CONNECT,
    CONNECT + b"\x32\x02\x00\x00",
    CONNECT + b"\x36\x05\x00\x01aXX",
    CONNECT + b"\x30\x05\x00\x03a/#",
    CONNECT + b"\x30\xff\xff\xff\x7f",
    CONNECT + b"\x82\x05\x00\x00\x00\x01a",
    CONNECT + b"\x82\x02\x00\x01",
    CONNECT + b"\x40\x02\x00\x63",
    CONNECT + b"\xf0\x00",
    CONNECT[:9],
]


@pytest.mark.parametrize("data", PACKETS, ids=range(len(PACKETS)))
def test_a_broken_packet_ends_its_connection_only(data: bytes, product: Product) -> None:
    address = (product.ready["mqttHost"], product.ready["mqttPort"])

    answer = said_to(address, data)

    # At most a CONNACK, or what the packets before the broken one are owed.
    assert not answer or answer[0] in (0x20, 0xE0), answer[:40]


def test_a_payload_that_is_no_telemetry_is_a_dead_letter_with_its_reason(product: Product) -> None:
    device = Device(product, "wrong-1")
    device.publish("devices/wrong-1/telemetry", "not JSON")
    device.publish("devices/wrong-1/telemetry", {"ts": "soon", "seq": 1})
    device.publish("devices/wrong-1/telemetry", {"ts": now_ms() + 3_600_000, "seq": 1})
    device.close()

    def reasons() -> list[str]:
        return sorted(one["reason"] for one in product.messages("IngestDeadLetters") if one["deviceId"] == "wrong-1")

    wanted = ["ClockAhead", "MalformedJson", "WrongType"]
    assert _becomes(reasons, wanted)


def _becomes(read: Callable[[], Any], wanted: Any, timeout_s: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if read() == wanted:
            return True
        time.sleep(0.1)
    assert read() == wanted
    return True


def test_clients_that_leave_in_the_middle_disturb_nobody(product: Product) -> None:
    host, port = product.ready["graphqlUrl"].split("/")[2].split(":")
    head = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"

    def leave() -> None:
        with socket.create_connection((host, int(port)), timeout=5) as opened:
            opened.sendall(head)

    threads = [threading.Thread(target=leave) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert posted(product, operation("{ listDevices { nextToken } }"))[0] == 200
