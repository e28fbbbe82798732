"""Slow peers, silent peers and stopping."""

import asyncio
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from headwater.errors import LocalProtocolError
from headwater.server.http.answers import HttpLimits
from headwater.server.http.server import HttpServer
from headwater.server.http.tls import CertificateAuthority
from headwater.values.http import HttpRequest, HttpResponse
from tests.integration.raw_http import connected, echo, on_both_loops, serving

SHORT = HttpLimits(head_timeout_s=0.1, body_timeout_s=0.1, idle_timeout_s=0.1, write_timeout_s=0.1, linger_s=0.1)
GET = b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\n\r\n"


@on_both_loops
async def test_a_head_that_does_not_end_in_time_is_refused_with_408() -> None:
    async with serving(limits=SHORT) as (_, port), connected(port) as client:
        client.write(b"GET / HTTP/1.1\r\nHost:")
        answer = await client.answer()
        closed = await client.is_closed()

    assert answer.status == 408
    assert closed


@on_both_loops
async def test_a_body_that_does_not_end_in_time_is_refused_with_408() -> None:
    async with serving(limits=SHORT) as (_, port), connected(port) as client:
        client.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        answer = await client.answer()

    assert answer.status == 408


@on_both_loops
async def test_a_silent_peer_is_dropped_without_an_answer() -> None:
    async with serving(limits=SHORT) as (_, port), connected(port) as client:
        assert await client.is_closed()


@on_both_loops
async def test_a_silent_peer_is_dropped_before_its_protocol_is_known() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with serving(limits=SHORT, ssl_context=context) as (_, port), connected(port) as client:
        assert await client.is_closed()


@on_both_loops
async def test_half_tls_handshakes_make_room_for_one_that_goes_on() -> None:
    with TemporaryDirectory() as directory:
        ca = CertificateAuthority(Path(directory), datetime.now(UTC))
        server_context = ca.server_ssl_context()
        context = ssl.create_default_context(cafile=str(ca.ca_file))
    limits = replace(HttpLimits(), max_handshakes=3, handshake_grace_s=0.1)
    async with serving(limits=limits, ssl_context=server_context) as (_, port):
        half = [await asyncio.open_connection("127.0.0.1", port) for _ in range(9)]
        for _, writer in half:
            writer.write(b"\x16\x03\x01\x02\x00")
        _, client = await asyncio.wait_for(asyncio.open_connection("localhost", port, ssl=context), 5)
        first = await asyncio.wait_for(half[0][0].read(), 5)
        client.close()
        for _, writer in half:
            writer.close()

    assert first == b""


@on_both_loops
async def test_an_idle_connection_is_closed() -> None:
    async with serving(limits=SHORT) as (_, port), connected(port) as client:
        client.write(GET)
        answer = await client.answer()

        assert answer.status == 200
        assert await client.is_closed()


@on_both_loops
async def test_a_peer_that_does_not_read_its_answers_is_cut_off() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), b"x" * 1_000_000)

    async with serving(handler, limits=SHORT) as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(GET * 50)
        async with asyncio.timeout(20):
            await writer.drain()
            while server.connection_count == 0:
                await asyncio.sleep(0.01)
            while server.connection_count:
                await asyncio.sleep(0.01)
        writer.close()


@on_both_loops
async def test_stopping_finishes_the_request_under_way() -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def handler(request: HttpRequest) -> HttpResponse:
        started.set()
        await release.wait()
        return HttpResponse(200, (), b"done")

    server = HttpServer(handler)
    port = await server.start("127.0.0.1", 0)
    async with connected(port) as client, connected(port) as idle:
        client.write(GET)
        await started.wait()
        stopping = asyncio.create_task(server.stop(5))
        assert await idle.is_closed()
        release.set()
        answer = await client.answer()
        await stopping

    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"done", "close")
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


@on_both_loops
async def test_stopping_cuts_off_what_outlasts_the_grace() -> None:
    cancelled = asyncio.Event()

    async def handler(request: HttpRequest) -> HttpResponse:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return HttpResponse()

    server = HttpServer(handler)
    port = await server.start("127.0.0.1", 0)
    async with connected(port) as client:
        client.write(GET)
        await asyncio.sleep(0.05)
        await server.stop(0.05)

        assert cancelled.is_set()
        assert await client.is_closed()


@on_both_loops
async def test_a_request_goes_on_when_its_caller_leaves() -> None:
    finished = asyncio.Event()

    async def handler(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0.05)
        finished.set()
        return HttpResponse()

    async with serving(handler) as (_, port):
        async with connected(port) as client:
            client.write(GET)
            await asyncio.sleep(0.01)
        await asyncio.wait_for(finished.wait(), 10)


@on_both_loops
async def test_a_reset_during_the_request_harms_nobody() -> None:
    async with serving() as (_, port):
        for data in (b"", b"G", GET[:20], b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab", GET):
            with socket.create_connection(("127.0.0.1", port)) as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                peer.sendall(data)
                await asyncio.sleep(0.01)
        async with connected(port) as client:
            client.write(GET)
            assert (await client.answer()).status == 200


@on_both_loops
async def test_two_servers_share_one_handler() -> None:
    async with serving() as (_, first_port), serving() as (_, second_port):
        for port in (first_port, second_port):
            async with connected(port) as client:
                client.write(GET)
                assert (await client.answer()).status == 200


@on_both_loops
async def test_a_server_starts_once() -> None:
    async with serving() as (server, _):
        with pytest.raises(LocalProtocolError):
            await server.start("127.0.0.1", 0)


@on_both_loops
async def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    server = HttpServer(echo)
    await server.stop(1)
    await server.start("127.0.0.1", 0)
    await server.stop(1)
    await server.stop(1)
