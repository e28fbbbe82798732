"""WebSockets over a socket: a foreign client, raw frames, slow readers and stopping."""

import asyncio
import base64
import contextlib
import datetime
import os
import ssl
from pathlib import Path

import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from headwater.realtime.websocket_frames import CloseCode, Opcode, encode_frame
from headwater.server.http.server import HttpServer
from headwater.server.http.tls import CertificateAuthority
from headwater.server.http.websocket import WebSocketEndpoint, WebSocketLimits, WebSocketSender, offered_subprotocols
from headwater.values.http import HttpRequest, HttpResponse
from tests.integration.raw_http import connected, echo, on_both_loops, serving


class Echo:
    """Sends back what it gets; remembers how it ended."""

    def __init__(self, subprotocol: str | None, limits: WebSocketLimits) -> None:
        self.subprotocol = subprotocol
        self.limits = limits
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.sender: WebSocketSender | None = None

    def on_open(self, sender: WebSocketSender) -> None:
        self.sender = sender
        sender.send_text("welcome")

    def on_text(self, text: str) -> None:
        assert self.sender is not None
        if text == "fail":
            raise RuntimeError("the endpoint is broken")
        if text.startswith("flood "):
            for _ in range(int(text.split()[1])):
                self.sender.send_binary(b"x" * 1000)
        elif text.startswith("close "):
            self.sender.close(int(text.split()[1]), "as asked")
        else:
            self.sender.send_text(text)

    def on_binary(self, data: bytes) -> None:
        assert self.sender is not None
        self.sender.send_binary(data)

    def on_close(self, code: int, reason: str) -> None:
        self.closed.set_result((code, reason))


class EchoAcceptor:
    """Accepts with the first offered subprotocol; refuses `?refuse`."""

    def __init__(self, limits: WebSocketLimits | None = None) -> None:
        self.limits = limits or WebSocketLimits()
        self.endpoints: list[Echo] = []

    async def accept(self, request: HttpRequest) -> WebSocketEndpoint | HttpResponse:
        await asyncio.sleep(0)
        if request.raw_query == "refuse":
            return HttpResponse(401, (), b"no")
        if request.raw_query == "fail":
            raise RuntimeError("the acceptor is broken")
        offered = offered_subprotocols(request)
        endpoint = Echo(offered[0] if offered else None, self.limits)
        self.endpoints.append(endpoint)
        return endpoint


def upgrade(path: str = "/ws", *, version: str = "13", key: str | None = None, method: str = "GET") -> bytes:
    key = key if key is not None else base64.b64encode(os.urandom(16)).decode()
    return (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
        f"Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()


def masked(opcode: int, payload: bytes) -> bytes:
    """A short client frame whose mask is zero."""
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


async def received(websocket: ClientConnection) -> str | bytes:
    return await asyncio.wait_for(websocket.recv(), 10)


@on_both_loops
async def test_text_and_binary_of_every_size_come_back() -> None:
    async with serving(acceptors={"/ws": EchoAcceptor()}) as (_, port), connect(f"ws://127.0.0.1:{port}/ws") as client:
        assert await received(client) == "welcome"
        for size in (0, 1, 125, 126, 65_535, 65_536, 900_000):
            await client.send("ä" * (size // 2))
            assert await received(client) == "ä" * (size // 2)
            await client.send(b"b" * size)
            assert await received(client) == b"b" * size


@on_both_loops
async def test_the_subprotocol_is_the_acceptors_choice() -> None:
    async with serving(acceptors={"/ws": EchoAcceptor()}) as (_, port):
        url = f"ws://127.0.0.1:{port}/ws"
        async with connect(url, subprotocols=["mqtt", "other"]) as client:  # type: ignore[list-item]  # a NewType of str
            assert client.subprotocol == "mqtt"
        async with connect(url) as client:
            assert client.subprotocol is None


@on_both_loops
async def test_pings_are_answered() -> None:
    async with serving(acceptors={"/ws": EchoAcceptor()}) as (_, port), connect(f"ws://127.0.0.1:{port}/ws") as client:
        await asyncio.wait_for(await client.ping(b"are you there"), 10)


@on_both_loops
async def test_the_clients_close_reaches_the_endpoint_and_is_echoed() -> None:
    acceptor = EchoAcceptor()
    async with serving(acceptors={"/ws": acceptor}) as (_, port), connect(f"ws://127.0.0.1:{port}/ws") as client:
        await client.close(3001, "handshake failed")
        closed = await asyncio.wait_for(acceptor.endpoints[0].closed, 10)

    assert closed == (3001, "handshake failed")
    assert client.close_code == 3001


@on_both_loops
async def test_the_endpoint_closes_with_its_code_after_what_it_sent() -> None:
    acceptor = EchoAcceptor()
    async with serving(acceptors={"/ws": acceptor}) as (_, port), connect(f"ws://127.0.0.1:{port}/ws") as client:
        await client.send("close 4400")
        assert await received(client) == "welcome"
        with pytest.raises(websockets.ConnectionClosed):
            await received(client)
        closed = await asyncio.wait_for(acceptor.endpoints[0].closed, 10)

    assert (client.close_code, client.close_reason) == (4400, "as asked")
    assert closed == (4400, "as asked")


@on_both_loops
async def test_an_endpoint_that_fails_closes_with_1011() -> None:
    acceptor = EchoAcceptor()
    async with serving(acceptors={"/ws": acceptor}) as (_, port), connect(f"ws://127.0.0.1:{port}/ws") as client:
        await received(client)
        await client.send("fail")
        with pytest.raises(websockets.ConnectionClosed):
            await received(client)

    assert client.close_code == CloseCode.INTERNAL_ERROR


@on_both_loops
async def test_a_lost_connection_is_1006() -> None:
    acceptor = EchoAcceptor()
    async with serving(acceptors={"/ws": acceptor}) as (server, port):
        async with connected(port) as client:
            client.write(upgrade())
            await client.answer()
        closed = await asyncio.wait_for(acceptor.endpoints[0].closed, 10)

        assert closed[0] == CloseCode.ABNORMAL
        assert server.connection_count == 0


@on_both_loops
async def test_frames_sent_with_the_upgrade_request_are_read() -> None:
    async with serving(acceptors={"/ws": EchoAcceptor()}) as (_, port), connected(port) as client:
        for byte in upgrade() + masked(Opcode.TEXT, b"early") + masked(Opcode.CLOSE, b"\x03\xe8"):
            client.write(bytes([byte]))
            await asyncio.sleep(0)
        answer = await client.answer()
        rest = await asyncio.wait_for(client.reader.read(), 10)

    assert answer.status == 101
    assert rest == encode_frame(1, b"welcome") + encode_frame(1, b"early") + encode_frame(8, b"\x03\xe8")


@on_both_loops
async def test_malformed_frames_close_with_their_code() -> None:
    async with serving(acceptors={"/ws": EchoAcceptor(WebSocketLimits(max_message_bytes=100))}) as (_, port):
        for frame, code in (
            (b"\x81\x05hello", 1002),
            (masked(Opcode.TEXT, b"\xff\xfe"), 1007),
            (bytes([0x82, 0xFE, 0x00, 0xFF]), 1009),
            (bytes([0x83, 0x80]), 1002),
        ):
            async with connected(port) as client:
                client.write(upgrade() + frame)
                await client.answer()
                rest = await asyncio.wait_for(client.reader.read(), 10)
                assert rest.startswith(encode_frame(1, b"welcome") + b"\x88")
                assert int.from_bytes(rest[11:13], "big") == code


@on_both_loops
async def test_upgrades_are_refused_as_the_rfc_says() -> None:
    async with serving(acceptors={"/ws": EchoAcceptor()}) as (_, port):
        for request, status in (
            (upgrade(version="8"), 426),
            (upgrade(key="short"), 400),
            (upgrade(method="POST"), 405),
            (upgrade("/ws?refuse"), 401),
            (upgrade("/ws?fail"), 500),
            (upgrade("/elsewhere"), 200),
        ):
            async with connected(port) as client:
                client.write(request)
                assert (await client.answer()).status == status


@on_both_loops
async def test_a_slow_reader_is_dropped_and_its_queue_freed() -> None:
    acceptor = EchoAcceptor(WebSocketLimits(max_queued_bytes=500_000, close_timeout_s=0.1))
    async with serving(acceptors={"/ws": acceptor}) as (server, port), connected(port) as client:
        client.write(upgrade())
        await client.answer()
        while not acceptor.endpoints[0].closed.done():
            with contextlib.suppress(ConnectionError):
                client.write(masked(Opcode.TEXT, b"flood 400"))
            await asyncio.sleep(0.01)
        code, reason = acceptor.endpoints[0].closed.result()

        assert code == CloseCode.TRY_AGAIN_LATER
        assert "does not read" in reason
        assert acceptor.endpoints[0].sender is not None
        assert acceptor.endpoints[0].sender.queued_bytes == 0
        assert server.connection_count == 0


@on_both_loops
async def test_a_reader_that_keeps_up_gets_a_flood_whole() -> None:
    async with serving(acceptors={"/ws": EchoAcceptor()}) as (_, port), connect(f"ws://127.0.0.1:{port}/ws") as client:
        await client.send("flood 5000")
        assert await received(client) == "welcome"
        sizes = [len(await received(client)) for _ in range(5000)]

    assert sizes == [1000] * 5000


@on_both_loops
async def test_a_peer_that_ignores_the_close_is_cut_off() -> None:
    acceptor = EchoAcceptor(WebSocketLimits(close_timeout_s=0.05))
    async with serving(acceptors={"/ws": acceptor}) as (_, port), connected(port) as client:
        client.write(upgrade() + masked(Opcode.TEXT, b"close 1000"))
        closed = await asyncio.wait_for(acceptor_endpoint_closed(acceptor), 10)

    assert closed == (1000, "as asked")


async def acceptor_endpoint_closed(acceptor: EchoAcceptor) -> tuple[int, str]:
    while not acceptor.endpoints:
        await asyncio.sleep(0.01)
    return await acceptor.endpoints[0].closed


@on_both_loops
async def test_stopping_closes_with_1001() -> None:
    acceptor = EchoAcceptor()
    server = HttpServer(echo, websocket_acceptors={"/ws": acceptor})
    port = await server.start("127.0.0.1", 0)
    async with connect(f"ws://127.0.0.1:{port}/ws") as client:
        await received(client)
        stopping = asyncio.create_task(server.stop(5))
        with pytest.raises(websockets.ConnectionClosed):
            await received(client)
        await stopping

    assert client.close_code == CloseCode.GOING_AWAY
    assert acceptor.endpoints[0].closed.done()


@on_both_loops
async def test_a_peer_that_leaves_while_the_upgrade_is_decided_is_closed_once() -> None:
    acceptor = EchoAcceptor()
    async with serving(acceptors={"/ws": acceptor}) as (server, port):
        async with connected(port) as client:
            client.write(upgrade())
        for _ in range(100):
            await asyncio.sleep(0.002)
            if server.connection_count == 0:
                break

        assert server.connection_count == 0
        assert all(endpoint.closed.done() for endpoint in acceptor.endpoints)


async def test_websockets_work_over_tls(tmp_path: Path) -> None:
    ca = CertificateAuthority(tmp_path, datetime.datetime.now(datetime.UTC))
    context = ssl.create_default_context(cafile=str(ca.ca_file))
    acceptors = {"/ws": EchoAcceptor()}
    async with (
        serving(acceptors=acceptors, ssl_context=ca.server_ssl_context()) as (_, port),
        connect(f"wss://localhost:{port}/ws", ssl=context) as client,
    ):
        assert await received(client) == "welcome"
        await client.send(b"x" * 500_000)
        assert await received(client) == b"x" * 500_000
