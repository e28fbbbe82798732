"""S4: subscriptions started per second and memory for each, with 1 and 100 subscriptions on a connection.

`python -m bench.appsync_subscriptions [--subscriptions 2000]` starts this server (API key, validated subscriptions with
an argument filter of their own) in a process for each case and a bare uvloop server that only answers the handshake and
`start_ack`. Every subscription must be acknowledged under its id. Memory is the growth of the server's proportional set
size. Idle CPU is measured over two seconds afterwards.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop

from bench.appsync import client_frame, frame
from bench.appsync_requests import API_KEY, cpu_s, say_port, serve_headwater
from bench.bare_connection import BareConnection

HANDSHAKE = (
    b"GET /graphql/realtime HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: graphql-ws\r\nx-api-key: " + API_KEY.encode() + b"\r\n\r\n"
)


class BareProtocol(BareConnection):
    """Answers the handshake, and every start under its id; keeps what fan-out would need."""

    def __init__(self, subscribers: dict[bytes, asyncio.Transport]) -> None:
        self.subscribers = subscribers
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        if self.shakes_hands(data):
            return
        data = self.rest + data
        while len(data) >= 4:
            size = int.from_bytes(data[2:4], "big")  # the client's messages have 126 bytes and more
            if len(data) < 8 + size:
                break
            identifier = orjson.loads(data[8 : 8 + size])["id"]
            self.subscribers[b'{"id":"%s","type":"data","payload":' % identifier.encode()] = self.transport
            self.transport.write(frame(b'{"id":"%s","type":"start_ack"}' % identifier.encode()))
            data = data[8 + size :]
        self.rest = data


async def serve_bare() -> None:
    subscribers: dict[bytes, asyncio.Transport] = {}
    server = await asyncio.get_running_loop().create_server(lambda: BareProtocol(subscribers), "127.0.0.1", 0)
    say_port(server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


SERVERS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {"bare": serve_bare, "headwater": serve_headwater}


class Client(asyncio.Protocol):
    """Starts `count` subscriptions, each when the one before is acknowledged."""

    def __init__(self, number: int, count: int) -> None:
        self.number = number
        self.left = count
        self.expected = b"101 Switching"
        self.ready = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        if b'"ka"' in data:
            return
        if self.expected not in data:
            self.done.set_exception(RuntimeError(f"expected {self.expected!r}, found {data!r}"))
            self.ready.cancel()
            return
        if not self.ready.done():
            self.ready.set_result(None)
        elif self.left:
            self.start()
        elif not self.done.done():
            self.done.set_result(None)

    def start(self) -> None:
        self.left -= 1
        identifier = f"{self.number:06d}-{self.left:04d}"
        self.expected = b'"id":"%s"' % identifier.encode()
        query = {
            "query": "subscription On($id: ID) { onPut(id: $id) { id lastValue } }",
            "variables": {"id": identifier},
        }
        authorization = {"host": "bench", "x-api-key": API_KEY}
        payload = {"data": orjson.dumps(query).decode(), "extensions": {"authorization": authorization}}
        self.transport.write(client_frame(orjson.dumps({"id": identifier, "type": "start", "payload": payload})))


@dataclass(frozen=True)
class Measurement:
    per_s: float
    cpu_us: float
    connection_bytes: float
    subscription_bytes: float
    idle_cpu: float


async def measure(pid: int, port: int, subscriptions: int, per_connection: int) -> Measurement:
    loop = asyncio.get_running_loop()
    before = memory_bytes(pid)
    clients = [
        (await loop.create_connection(lambda number=number: Client(number, per_connection), "127.0.0.1", port))[1]  # type: ignore[misc]  # a bound loop variable
        for number in range(subscriptions // per_connection)
    ]
    await asyncio.gather(*(client.ready for client in clients))
    connected = memory_bytes(pid)
    cpu, began = cpu_s(pid), time.perf_counter()
    for client in clients:
        client.start()
    await asyncio.gather(*(client.done for client in clients))
    elapsed, used = time.perf_counter() - began, cpu_s(pid) - cpu
    after = memory_bytes(pid)
    idle = cpu_s(pid)
    await asyncio.sleep(2)
    found = Measurement(
        subscriptions / elapsed,
        used / subscriptions * 1e6,
        (connected - before) / len(clients),
        (after - connected) / subscriptions,
        (cpu_s(pid) - idle) / 2,
    )
    for client in clients:
        client.transport.abort()
    return found


def memory_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel tells no proportional set size")


def run(kind: str, subscriptions: int, per_connection: int) -> Measurement:
    command = [sys.executable, "-m", "bench.appsync_subscriptions", "--serve", kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        return uvloop.run(measure(process.pid, int(process.stdout.readline()), subscriptions, per_connection))
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=2000)
    parser.add_argument("--serve", choices=sorted(SERVERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(SERVERS[arguments.serve]())
        return
    for per_connection in (1, 100):
        for kind in SERVERS:
            found = run(kind, arguments.subscriptions, per_connection)
            sys.stdout.write(
                f"S4 {per_connection:3} a connection, {kind:9}: {found.per_s:7,.0f} starts/s, {found.cpu_us:5.1f} us "
                f"CPU, {found.connection_bytes / 1024:5.1f} KB a connection, {found.subscription_bytes / 1024:4.2f} KB "
                f"a subscription, {found.idle_cpu:.1%} CPU when idle\n"
            )


if __name__ == "__main__":
    main()
