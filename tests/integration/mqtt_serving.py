"""An MQTT server on a free port, and a client that writes bytes as they are."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

from headwater.mqtt.codec.decoder import PacketDecoder
from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import V311, Connack, Connect, Packet
from headwater.server.mqtt.server import MqttServer


@contextlib.asynccontextmanager
async def serving(
    *, host: str = "127.0.0.1", ssl_context: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[tuple[MqttServer, int]]:
    server = MqttServer(**options)
    port = await server.start(host, 0, ssl_context=ssl_context)
    try:
        yield server, port
    finally:
        await server.stop(1.0)


class RawClient:
    """Sends bytes or packets, reads packets; `closed` waits for the server's end of the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = PacketDecoder(version=version)
        self._packets: list[Packet] = []
        self.version = version

    @classmethod
    async def open(cls, port: int, version: int = V311) -> "RawClient":
        return cls(*await asyncio.open_connection("127.0.0.1", port), version)

    @classmethod
    async def connect(cls, port: int, client_id: str, version: int = V311, **options: Any) -> "RawClient":
        client = await cls.open(port, version)
        client.send(Connect(client_id, version, **options))
        connack = await client.receive()
        assert isinstance(connack, Connack)
        assert connack.reason_code == 0
        return client

    def send(self, *packets: Packet) -> None:
        self.send_bytes(b"".join(encode_packet(packet, self.version) for packet in packets))

    def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    async def receive(self) -> Packet:
        while not self._packets:
            data = await asyncio.wait_for(self._reader.read(65536), 10)
            assert data, "the server has closed the connection"
            self._packets += self._decoder.feed(data)
        return self._packets.pop(0)

    async def closed(self) -> list[Packet]:
        """Packets that still come until the server ends the connection."""
        with contextlib.suppress(ConnectionError):
            while data := await asyncio.wait_for(self._reader.read(65536), 10):
                self._packets += self._decoder.feed(data)
        self.close()
        return self._packets

    def close(self) -> None:
        self._writer.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until a condition holds; fails after ten seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
