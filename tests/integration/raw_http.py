"""A server on a free port and a client that writes bytes as they are, for both event loops."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import pytest
import uvloop

from headwater.server.http.answers import HttpLimits
from headwater.server.http.server import HttpServer
from headwater.server.http.websocket import WebSocketAcceptor
from headwater.values.http import HttpHandler, HttpRequest, HttpResponse


def on_both_loops(test: Callable[[], Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on asyncio's own loop and on uvloop."""

    @pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
    def synchronous(run: Callable[[Awaitable[None]], None]) -> None:
        run(test())

    synchronous.__name__ = test.__name__
    synchronous.__doc__ = test.__doc__
    return synchronous


async def echo(request: HttpRequest) -> HttpResponse:
    """Answers method, path, query and body; paths that begin with /wait suspend first."""
    if request.raw_path.startswith("/wait"):
        await asyncio.sleep(0)
    if request.raw_path == "/fail":
        raise RuntimeError("the handler is broken")
    text = f"{request.method} {request.raw_path}?{request.raw_query} ".encode()
    return HttpResponse(200, (("content-type", "text/plain"),), text + request.body)


@contextlib.asynccontextmanager
async def serving(
    handler: HttpHandler = echo,
    *,
    limits: HttpLimits | None = None,
    acceptors: Mapping[str, WebSocketAcceptor] | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[HttpServer, int]]:
    server = HttpServer(handler, limits=limits, websocket_acceptors=acceptors, ssl_context=ssl_context)
    port = await server.start("127.0.0.1", 0)
    try:
        yield server, port
    finally:
        await server.stop(1.0)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, is_head: bool = False) -> Answer:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        status = int(first.split(" ")[1])
        size = 0 if is_head or status < 200 else int(headers.get("content-length", "0"))
        return Answer(status, headers, await asyncio.wait_for(self.reader.readexactly(size), 10))

    async def is_closed(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), 10) == b""
        except ConnectionError:
            return True


@contextlib.asynccontextmanager
async def connected(port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[RawClient]:
    server_hostname = "localhost" if context else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=server_hostname)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
