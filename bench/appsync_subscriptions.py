"""S4: subscriptions started per second and memory for each, with 1 and 100 subscriptions on a connection.

`python -m bench.appsync_subscriptions [--subscriptions 2000] [--peers DIR]` starts this server (API key, validated
subscriptions with an argument filter of their own) in a process for each case, a bare uvloop server, and Amplify's
simulator where it is installed as for bench.appsync_requests. The bare server does what the wire asks of every server,
and no GraphQL: it unmasks the frame, reads both JSON texts in it, keeps the subscriber under the device it asks for and
answers `start_ack`. Frames are made before the clock starts, so that the client is not what is measured. Every
subscription must be acknowledged under its id. Memory is the growth of the server's proportional set size. Idle CPU is
measured over two seconds afterwards.
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
from bench.appsync_requests import API_KEY, cpu_s, has_amplify, say_port, serve_headwater
from bench.appsync_requests import start as start_peer
from bench.appsync_targeted import HANDSHAKE, PATHS
from bench.bare_connection import BareConnection
from headwater.realtime.websocket_frames import unmask

# Not zero, which would be easier to take off.
MASK = b"\x37\xfa\x21\x3d"


class BareProtocol(BareConnection):
    """Answers the handshake, and every start under its id; keeps what fan-out would need."""

    def __init__(self, subscribers: dict[str, tuple[bytes, asyncio.Transport]]) -> None:
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
            start = orjson.loads(unmask(data[8 : 8 + size], data[4:8]))
            identifier = orjson.dumps(start["id"])
            device = orjson.loads(start["payload"]["data"])["variables"]["id"]
            self.subscribers[device] = (b'{"id":%s,"type":"data","payload":' % identifier, self.transport)
            self.transport.write(frame(b'{"id":%s,"type":"start_ack"}' % identifier))
            data = data[8 + size :]
        self.rest = data


async def serve_bare() -> None:
    subscribers: dict[str, tuple[bytes, asyncio.Transport]] = {}
    server = await asyncio.get_running_loop().create_server(lambda: BareProtocol(subscribers), "127.0.0.1", 0)
    say_port(server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


SERVERS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {"bare": serve_bare, "headwater": serve_headwater}


class Client(asyncio.Protocol):
    """Starts `count` subscriptions, each when the one before is acknowledged."""

    def __init__(self, kind: str, number: int, count: int) -> None:
        self.path = PATHS.get(kind, "graphql/realtime")
        self.left = [start_of(f"{number:06d}-{place:04d}") for place in range(count)]
        self.expected = b"101 Switching"
        self.ready = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(HANDSHAKE % self.path.encode())

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
        self.expected, start = self.left.pop()
        self.transport.write(start)


def start_of(identifier: str) -> tuple[bytes, bytes]:
    """What the answer to a start must hold, and the frame of that start."""
    query = {"query": "subscription On($id: ID) { onPut(id: $id) { id lastValue } }", "variables": {"id": identifier}}
    authorization = {"host": "bench", "x-api-key": API_KEY}
    payload = {"data": orjson.dumps(query).decode(), "extensions": {"authorization": authorization}}
    text = orjson.dumps({"id": identifier, "type": "start", "payload": payload})
    return b'"id":"%s"' % identifier.encode(), client_frame(text, MASK)


@dataclass(frozen=True)
class Measurement:
    per_s: float
    cpu_us: float
    connection_bytes: float
    subscription_bytes: float
    idle_cpu: float


async def measure(kind: str, pid: int, port: int, subscriptions: int, per_connection: int) -> Measurement:
    loop = asyncio.get_running_loop()
    clients = [Client(kind, number, per_connection) for number in range(subscriptions // per_connection)]
    before = memory_bytes(pid)
    for client in clients:
        await loop.create_connection(lambda made=client: made, "127.0.0.1", port)  # type: ignore[misc]  # a bound loop variable
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


def run(kind: str, peers: Path | None, subscriptions: int, per_connection: int) -> Measurement:
    if kind in SERVERS:
        command = [sys.executable, "-m", "bench.appsync_subscriptions", "--serve", kind]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        port = int(process.stdout.readline())
    else:
        process, port = start_peer(kind, peers, None)
    try:
        return uvloop.run(measure(kind, process.pid, port, subscriptions, per_connection))
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3, help="Of which the one with the least CPU time counts.")
    parser.add_argument("--peers", type=Path, help="A copy of bench/appsync_peers after `npm install` in `amplify`.")
    parser.add_argument("--serve", choices=sorted(SERVERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(SERVERS[arguments.serve]())
        return
    kinds = [*SERVERS, *(("amplify",) if has_amplify(arguments.peers) else ())]
    for per_connection in (1, 100):
        best: dict[str, Measurement] = {}
        for _ in range(arguments.rounds):
            for kind in kinds:
                found = run(kind, arguments.peers, arguments.subscriptions, per_connection)
                if kind not in best or found.cpu_us < best[kind].cpu_us:
                    best[kind] = found
        for kind, found in best.items():
            sys.stdout.write(
                f"S4 {per_connection:3} a connection, {kind:9}: {found.per_s:7,.0f} starts/s, "
                f"{found.per_s / best['bare'].per_s:.2f} of bare, {found.cpu_us:5.1f} us CPU, "
                f"{found.connection_bytes / 1024:5.1f} KB a connection, {found.subscription_bytes / 1024:4.2f} KB "
                f"a subscription, {found.idle_cpu:.1%} CPU when idle\n"
            )


if __name__ == "__main__":
    main()
