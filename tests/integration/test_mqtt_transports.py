"""MQTT over TLS with client certificates, and over WebSocket through the HTTP server."""

import asyncio
import contextlib
import datetime
import hashlib
import queue
import ssl
from pathlib import Path
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from paho.mqtt.enums import CallbackAPIVersion
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import (
    V5,
    V311,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    ReasonCode,
)
from headwater.mqtt.ports import ClientContext, Refusal, TransportInfo
from headwater.server.handshakes import HandshakeLimits
from headwater.server.http.server import HttpServer
from headwater.server.http.tls import CertificateAuthority
from headwater.server.mqtt.server import MqttServer
from headwater.server.mqtt.websocket import MqttWebSocketAcceptor
from headwater.values.http import HttpRequest, HttpResponse
from tests.integration.mqtt_serving import serving, until


async def not_found(request: HttpRequest) -> HttpResponse:
    return HttpResponse(404)


def authority(directory: Path) -> CertificateAuthority:
    return CertificateAuthority(directory, datetime.datetime.now(datetime.UTC))


async def test_a_device_is_known_by_its_certificate(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    issued = ca.issue_client()
    (tmp_path / "d.pem").write_text(issued.certificate_pem)
    (tmp_path / "d.key").write_text(issued.private_key_pem or "")
    seen: list[TransportInfo] = []

    def known(connect: Connect, transport: TransportInfo) -> ClientContext | Refusal:
        seen.append(transport)
        digest = hashlib.sha256(transport.certificate_der or b"").hexdigest()
        return ClientContext(connect.client_id, digest) if digest == issued.certificate_id else Refusal()

    context = ca.server_ssl_context(asks_for_client=True)
    async with serving(authenticate=known, ssl_context=context) as (_, port):
        tls = aiomqtt.TLSParameters(str(ca.ca_file), str(tmp_path / "d.pem"), str(tmp_path / "d.key"))
        async with aiomqtt.Client("localhost", port, identifier="d", tls_params=tls) as client:
            await client.subscribe("a", qos=1)
            await client.publish("a", b"secret", qos=1)
            message = await anext(client.messages)

    assert message.payload == b"secret"
    assert (seen[0].kind, seen[0].server_name) == ("tls", "localhost")
    assert seen[0].certificate_der == x509.load_pem_x509_certificate(issued.certificate_pem.encode()).public_bytes(
        Encoding.DER
    )


async def test_a_tls_client_without_a_certificate_may_connect_where_none_is_asked_for(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    async with serving(ssl_context=ca.server_ssl_context()) as (server, port):
        tls = aiomqtt.TLSParameters(str(ca.ca_file))
        async with aiomqtt.Client("localhost", port, identifier="d", tls_params=tls):
            session = server.broker.session("d")
            assert session is not None
            assert session.connection is not None
            assert session.connection.transport.certificate_der is None


class Served:
    """An HTTP server with MQTT on `/mqtt`."""

    def __init__(self, **options: Any) -> None:
        self.mqtt = MqttServer(**options)
        self._http = HttpServer(not_found, websocket_acceptors={"/mqtt": MqttWebSocketAcceptor(self.mqtt)})
        self.port = 0

    async def __aenter__(self) -> "Served":
        self.port = await self._http.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.mqtt.stop(1.0)
        await self._http.stop(1.0)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/mqtt"


async def end(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whatever the other side did with it."""
    writer.close()
    with contextlib.suppress(OSError):
        await asyncio.wait_for(writer.wait_closed(), 5)


async def test_half_tls_handshakes_make_room_for_a_device_that_goes_on(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    context = ssl.create_default_context(cafile=str(ca.ca_file))
    server = MqttServer()
    limits = HandshakeLimits(limit=3, grace_s=0.1, timeout_s=3.0)
    port = await server.start("localhost", 0, ssl_context=ca.server_ssl_context(), handshakes=limits)
    half = [await asyncio.open_connection("localhost", port) for _ in range(9)]
    for _, writer in half:
        writer.write(b"\x16\x03\x01\x02\x00")

    reader, device = await asyncio.wait_for(asyncio.open_connection("localhost", port, ssl=context), 5)

    device.write(encode_packet(Connect("late"), V311))
    assert await asyncio.wait_for(reader.readexactly(4), 5) == b"\x20\x02\x00\x00"
    for half_reader, _ in half:
        assert await asyncio.wait_for(half_reader.read(), 5) == b"", "who never goes on is closed"
    for writer in (device, *(writer for _, writer in half)):
        await end(writer)
    await server.stop(1.0)


async def test_a_tls_client_without_a_certificate_is_cut_off_where_it_is_not_admitted(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    asked: list[TransportInfo] = []

    def admits(transport: TransportInfo) -> bool:
        asked.append(transport)
        return transport.alpn == "mqtt"

    async with serving(ssl_context=ca.server_ssl_context(asks_for_client=True), admits=admits) as (_, port):
        for protocols, expected in (([], b""), (["h2"], b""), (["mqtt"], b"\x20\x02\x00\x00")):
            context = ssl.create_default_context(cafile=str(ca.ca_file))
            if protocols:
                context.set_alpn_protocols(protocols)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(encode_packet(Connect("c"), V311))
            try:
                answer = await asyncio.wait_for(reader.read(4), 5)
            except ConnectionError:
                answer = b""
            assert answer == expected
            await end(writer)

    assert [transport.alpn for transport in asked] == [None, None, "mqtt"]


def paho_over_websocket(port: int, path: str) -> bytes:
    got: queue.Queue[Any] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="ws", transport="websockets")
    client.ws_set_options(path=path)
    client.on_connect = lambda client, data, flags, reason, properties: got.put(reason)
    client.on_subscribe = lambda client, data, mid, reasons, properties: got.put(reasons)
    client.on_message = lambda client, data, message: got.put(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        got.get(timeout=10)
        client.subscribe("a", qos=1)
        got.get(timeout=10)
        client.publish("a", b"x" * 100_000, qos=1)
        message = got.get(timeout=10)
        client.disconnect()
    finally:
        client.loop_stop()
    payload: bytes = message.payload
    return payload


async def test_paho_publishes_to_itself_over_websocket() -> None:
    seen: list[TransportInfo] = []

    def note(connect: Connect, transport: TransportInfo) -> ClientContext | Refusal:
        seen.append(transport)
        return ClientContext(connect.client_id)

    async with Served(authenticate=note) as served:
        payload = await asyncio.to_thread(paho_over_websocket, served.port, "/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256")

    assert payload == b"x" * 100_000
    assert (seen[0].kind, seen[0].raw_query) == ("websocket", "X-Amz-Algorithm=AWS4-HMAC-SHA256")


async def test_packets_may_be_cut_and_joined_over_websocket_messages() -> None:
    async with (
        Served() as served,
        websocket_connect(served.url, subprotocols=[Subprotocol("mqtt")], proxy=None) as client,
    ):
        data = encode_packet(Connect("c1"), V311)
        await client.send(data[:5])
        await client.send(data[5:] + encode_packet(Pingreq(), V311))

        received = b""
        while len(received) < 6:
            message = await client.recv()
            assert isinstance(message, bytes)
            received += message

    assert received == encode_packet(Connack(), V311) + b"\xd0\x00"


async def test_a_websocket_without_the_mqtt_subprotocol_is_refused() -> None:
    async with Served() as served:
        with pytest.raises(InvalidStatus) as refused:
            await websocket_connect(served.url, proxy=None)

    assert refused.value.response.status_code == 400


async def test_a_text_message_ends_the_websocket_and_the_client_is_lost() -> None:
    async with Served() as served:
        client = await websocket_connect(served.url, subprotocols=[Subprotocol("mqtt")], proxy=None)
        await client.send("text")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        await until(lambda: not served.mqtt.links)

    assert client.close_code == 1003


async def test_a_refused_client_gets_its_connack_before_the_websocket_closes() -> None:
    async with Served(authenticate=lambda connect, transport: Refusal(ReasonCode.NOT_AUTHORIZED)) as served:
        client = await websocket_connect(served.url, subprotocols=[Subprotocol("mqtt")], proxy=None)
        await client.send(encode_packet(Connect("c1"), V311))
        answer = await client.recv()
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert answer == encode_packet(Connack(False, 7), V311)


async def test_stopping_says_goodbye_over_websocket() -> None:
    async with Served() as served:
        client = await websocket_connect(served.url, subprotocols=[Subprotocol("mqtt")], proxy=None)
        await client.send(encode_packet(Connect("c1", V5), V5))
        await client.recv()
        await served.mqtt.stop(1.0)
        goodbye = await client.recv()
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert goodbye == encode_packet(Disconnect(ReasonCode.SERVER_SHUTTING_DOWN), V5)
