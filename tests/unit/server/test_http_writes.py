"""When the answers of one connection are written."""

import asyncio
from typing import Any

import pytest
import uvloop

from headwater.server.http.answers import HttpLimits
from headwater.server.http.protocol import HttpProtocol
from headwater.server.http.shared import HttpShared
from headwater.server.http.websocket import WriteBatch
from headwater.values.http import HttpRequest, HttpResponse

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"


class RecordingTransport(asyncio.Transport):
    """Keeps each write; asks for a pause when `high_water` bytes were written, as a socket nobody reads does."""

    def __init__(self, protocol: HttpProtocol, high_water: int) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self._protocol = protocol
        self._high_water = high_water
        self._is_closing = False

    def write(self, data: Any) -> None:
        assert not self._is_closing
        self.writes.append(bytes(data))
        if sum(map(len, self.writes)) > self._high_water:
            self._protocol.pause_writing()

    def close(self) -> None:
        self._is_closing = True

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        """Nothing more is fed anyway."""


class Connection:
    """A protocol between a handler and a recording transport; must be made in the loop."""

    def __init__(self, body_bytes: int, high_water: int = 1 << 30) -> None:
        async def handler(request: HttpRequest) -> HttpResponse:
            self.handled += 1
            return HttpResponse(200, (), request.raw_path.encode().ljust(body_bytes))

        loop = asyncio.get_running_loop()
        shared = HttpShared(handler, {}, HttpLimits(), loop, lambda: 0.0, WriteBatch(loop))
        shared.update_time()
        self.handled = 0
        self.protocol = HttpProtocol(shared)
        self.transport = RecordingTransport(self.protocol, high_water)
        self.protocol.connection_made(self.transport)

    def receive(self, data: bytes) -> None:
        """Feed a read as the loop does, outside any task."""
        asyncio.get_running_loop().call_soon(self.protocol.data_received, data)


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_answers_of_one_turn_are_written_together_at_its_end(run: Any) -> None:
    async def main() -> tuple[int, int, list[bytes]]:
        connection = Connection(body_bytes=2)
        connection.receive(GET % 1)
        connection.receive(GET % 2)
        seen: list[tuple[int, int]] = []
        asyncio.get_running_loop().call_soon(
            lambda: seen.append((connection.handled, len(connection.transport.writes)))
        )
        await asyncio.sleep(0.01)
        return (*seen[0], connection.transport.writes)

    handled, written, writes = run(main())

    assert (handled, written) == (2, 0)
    assert [write.count(b"HTTP/1.1 200") for write in writes] == [2]
    assert writes[0].index(b"/1") < writes[0].index(b"/2")


def test_large_answers_are_written_at_once_so_that_a_peer_that_does_not_read_is_noticed(run: Any) -> None:
    async def main() -> int:
        connection = Connection(body_bytes=50_000, high_water=200_000)
        connection.receive(b"".join(GET % number for number in range(100)))
        await asyncio.sleep(0.01)
        return connection.handled

    # Four answers are above the mark, and a fifth may be waiting for the end of the turn.
    assert run(main()) in (4, 5)


def test_what_waits_is_written_before_the_connection_is_closed(run: Any) -> None:
    async def main() -> tuple[list[bytes], bool]:
        connection = Connection(body_bytes=2)
        connection.receive((GET % 1) + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % 2)
        asyncio.get_running_loop().call_soon(connection.protocol.drain)
        await asyncio.sleep(0.01)
        return connection.transport.writes, connection.transport.is_closing()

    writes, is_closing = run(main())

    assert b"".join(writes).count(b"HTTP/1.1 200") == 2
    assert is_closing


def test_an_answer_is_written_before_the_end_of_the_peer_s_data_closes_the_connection(run: Any) -> None:
    async def main() -> list[int]:
        connection = Connection(body_bytes=2)
        written: list[int] = []
        connection.receive(GET % 1)
        loop = asyncio.get_running_loop()
        loop.call_soon(connection.protocol.eof_received)
        loop.call_soon(lambda: written.append(len(connection.transport.writes)))
        await asyncio.sleep(0.01)
        return written

    assert run(main()) == [1]


def test_a_stopping_server_writes_what_waits_before_it_closes(run: Any) -> None:
    async def main() -> tuple[list[bytes], bool]:
        connection = Connection(body_bytes=2)
        connection.receive(GET % 1)
        asyncio.get_running_loop().call_soon(connection.protocol.drain)
        await asyncio.sleep(0.01)
        return connection.transport.writes, connection.transport.is_closing()

    writes, is_closing = run(main())

    assert b"".join(writes).count(b"HTTP/1.1 200") == 1
    assert is_closing
