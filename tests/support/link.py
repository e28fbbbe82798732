"""The network between a client and the product, which a test can cut."""

import asyncio
import contextlib
from urllib.parse import urlsplit


class Link:
    """A TCP proxy in front of the product: the network a client has, which can go and come back."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._is_up = True
        self.url = ""

    async def __aenter__(self) -> "Link":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{self._target.path}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()
        await self._server.wait_closed()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def cut(self) -> None:
        self._is_up = False
        for writer in self._writers:
            writer.transport.abort()

    def restore(self) -> None:
        self._is_up = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_up:
            writer.transport.abort()
            return
        connection = asyncio.current_task()
        assert connection is not None, "a server's callback is a task"
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        other_reader, other_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        both = {writer, other_writer}
        self._writers |= both
        if not self._is_up:
            self.cut()
        await asyncio.gather(self._copy(reader, other_writer), self._copy(other_reader, writer))
        self._writers -= both
        for one in both:
            with contextlib.suppress(OSError):
                await one.wait_closed()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
