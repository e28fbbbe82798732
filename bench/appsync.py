"""Fan-out of AppSync subscriptions against a bare uvloop server that writes the same frames without GraphQL.

`python -m bench.appsync [--subscribers 1000] [--events 100] [--rounds 3]` runs both servers in turn, each in its own
process, under the same client, which keeps every byte and afterwards checks that no event was lost, repeated or
misrouted. It prints deliveries per second (burst, and one event in flight) and the server's CPU time per delivery.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, cast

import orjson
import uvloop

from bench.bare_connection import BareConnection
from headwater.cli.memory import settle_memory
from headwater.realtime.websocket_frames import Opcode, frame_header, unmask
from headwater.server.appsync.realtime import AppSyncRealtime
from headwater.server.http.server import HttpServer
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.identity import GraphQLCaller

TEXT = "x" * 180
SELECTED: Mapping[str, Any] = {"id": {}, "seq": {}, "text": {}}
HANDSHAKE = (
    b"GET /graphql/realtime HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: graphql-ws\r\nx-api-key: da2-bench\r\n\r\n"
)


def payload_of(number: int) -> bytes:
    return orjson.dumps({"data": {"onThing": {"id": "thing-1", "seq": number, "text": TEXT}}})


# The servers


class PreparedThing:
    """`subscription { onThing { id seq text } }`."""

    field_name = "onThing"
    arguments: Mapping[str, Any] = {"id": "thing-1"}
    mutation_fields = ("putThing",)
    group_key = "onThing { id seq text }"
    has_resolver = False

    @property
    def projection(self) -> "PreparedThing":
        return self

    def project(self, response: Any) -> bytes:
        return orjson.dumps({"data": {"onThing": response}})

    def unselected_fields(self, selected: Mapping[str, Any]) -> list[str]:
        return []

    def refused_fields(self) -> list[str]:
        return []

    def filter_fault(self, path: Sequence[str], values: Iterable[Any]) -> str | None:
        return None


@dataclass(frozen=True)
class PublishedThing:
    mutation_field: str
    response: dict[str, Any]
    selected: Mapping[str, Any]


async def serve_headwater(control: Connection) -> None:
    """The product's server; a POST publishes one event."""

    async def authenticate(header: Any, kind: str, body: str, source_ip: tuple[str, ...]) -> GraphQLCaller:
        return GraphQLCaller("API_KEY")

    def prepare(query: str, variables: Any, name: str | None, caller: GraphQLCaller) -> PreparedThing:
        return PreparedThing()

    async def run_resolver(prepared: Any, caller: GraphQLCaller, headers: Any, request_id: str) -> None:
        raise AssertionError("PreparedThing has no resolver")

    realtime = AppSyncRealtime(
        authenticate=authenticate, prepare=prepare, run_resolver=run_resolver, following={"putThing": ("onThing",)}
    )

    async def handler(request: HttpRequest) -> HttpResponse:
        response = {"id": "thing-1", "seq": int(request.body), "text": TEXT}
        realtime.publish(PublishedThing("putThing", response, SELECTED))
        return HttpResponse(200, (), b"ok")

    server = HttpServer(handler, websocket_acceptors={"/graphql/realtime": realtime})
    control.send(await server.start("127.0.0.1", 0))
    settle_memory()
    await answer_cpu(control)
    await server.stop(1.0)


class BareProtocol(BareConnection):
    """Knows the handshake, one start per connection, and a POST that writes a frame to every subscriber."""

    def __init__(self, subscribers: dict[asyncio.Transport, bytes]) -> None:
        self.subscribers = subscribers

    def data_received(self, data: bytes) -> None:
        if self.shakes_hands(data):
            return
        if data.startswith(b"POST"):
            for request in data.split(b"POST")[1:]:
                self.publish(int(request.rpartition(b"\r\n\r\n")[2]))
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" * data.count(b"POST"))
        else:
            identifier = orjson.loads(data[8:])["id"]  # the mask of this client is zero
            self.subscribers[self.transport] = b'{"id":"%s","type":"data","payload":' % identifier.encode()
            self.transport.write(frame(b'{"id":"%s","type":"start_ack"}' % identifier.encode()))

    def publish(self, number: int) -> None:
        tail = payload_of(number) + b"}"
        for transport, head in self.subscribers.items():
            transport.write(b"".join((frame_header(Opcode.TEXT, len(head) + len(tail)), head, tail)))


async def serve_bare(control: Connection) -> None:
    subscribers: dict[asyncio.Transport, bytes] = {}
    server = await asyncio.get_running_loop().create_server(lambda: BareProtocol(subscribers), "127.0.0.1", 0)
    control.send(server.sockets[0].getsockname()[1])
    await answer_cpu(control)
    server.close()


async def answer_cpu(control: Connection) -> None:
    """Answer each question with the CPU seconds used so far, until the client is done."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def on_question() -> None:
        if control.recv() == "stop":
            done.set()
        else:
            control.send(time.process_time())

    loop.add_reader(control.fileno(), on_question)
    await done.wait()


def run_server(kind: str, control: Connection) -> None:
    uvloop.run(serve_headwater(control) if kind == "headwater" else serve_bare(control))


# The client


def frame(text: bytes) -> bytes:
    return frame_header(Opcode.TEXT, len(text)) + text


def client_frame(text: bytes, mask: bytes = bytes(4)) -> bytes:
    """A masked frame."""
    head = frame_header(Opcode.TEXT, len(text))
    return bytes([head[0], head[1] | 0x80]) + head[2:] + mask + unmask(text, mask)


class Subscriber(asyncio.Protocol):
    """Keeps what it is sent; `expected_bytes` completes `done`."""

    def __init__(self, identifier: str, progress: "Progress") -> None:
        self.identifier = identifier
        self.progress = progress
        self.transport: asyncio.Transport
        self.chunks: list[bytes] = []
        self.size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)
        self.size += len(data)
        self.progress.add(len(data))

    def start(self) -> None:
        operation = json.dumps({"query": "subscription { onThing { id seq text } }"})
        payload = {"data": operation, "extensions": {"authorization": {"host": "bench", "x-api-key": "da2-bench"}}}
        text = orjson.dumps({"id": self.identifier, "type": "start", "payload": payload})
        self.transport.write(client_frame(text))

    def reset(self) -> None:
        self.chunks = []
        self.size = 0


class Progress:
    """Counts bytes over all subscribers."""

    def __init__(self) -> None:
        self.count = 0
        self.goal = 0
        self.reached = asyncio.Event()

    def expect(self, count: int) -> None:
        self.count, self.goal = 0, count
        self.reached.clear()

    def add(self, count: int) -> None:
        self.count += count
        if self.count >= self.goal:
            self.reached.set()


@dataclass(frozen=True)
class Measurement:
    deliveries_per_s: float
    cpu_us: float


async def subscribe(port: int, count: int) -> tuple[list[Subscriber], Progress]:
    loop = asyncio.get_running_loop()
    progress = Progress()
    subscribers: list[Subscriber] = []
    for number in range(count):
        _, subscriber = await loop.create_connection(
            lambda number=number: Subscriber(f"id-{number:06d}", progress),  # type: ignore[misc]  # a bound loop variable
            "127.0.0.1",
            port,
        )
        subscribers.append(subscriber)
    while any(subscriber.size == 0 for subscriber in subscribers):
        await asyncio.sleep(0.01)
    for subscriber in subscribers:
        subscriber.reset()
        subscriber.start()
    while any(b"start_ack" not in b"".join(subscriber.chunks) for subscriber in subscribers):
        await asyncio.sleep(0.01)
    return subscribers, progress


async def measure(
    port: int, control: Connection, subscribers: list[Subscriber], progress: Progress, numbers: range, window: int
) -> Measurement:
    """Publish `numbers`, at most `window` events under way."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    for subscriber in subscribers:
        subscriber.reset()
    control.send("cpu")
    cpu, began = control.recv(), time.perf_counter()
    for first in range(0, len(numbers), window):
        batch = numbers[first : first + window]
        progress.expect(sum(event_bytes(number) for number in batch) * len(subscribers))
        for number in batch:
            body = str(number).encode()
            writer.write(b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await asyncio.wait_for(progress.reached.wait(), 60)
    elapsed = time.perf_counter() - began
    control.send("cpu")
    cpu = control.recv() - cpu
    writer.close()
    for subscriber in subscribers:
        check(subscriber, numbers)
    deliveries = len(numbers) * len(subscribers)
    return Measurement(deliveries / elapsed, cpu / deliveries * 1e6)


def event_bytes(number: int) -> int:
    return len(frame(b'{"id":"id-000000","type":"data","payload":' + payload_of(number) + b"}"))


def check(subscriber: Subscriber, numbers: range) -> None:
    """Every event once, in order, under the subscriber's own id. Raises: SystemExit."""
    head = b'{"id":"%s","type":"data","payload":' % subscriber.identifier.encode()
    expected = b"".join(frame(head + payload_of(number) + b"}") for number in numbers)
    if b"".join(subscriber.chunks) != expected:
        sys.exit(f"{subscriber.identifier}: events were lost, repeated or misrouted")


async def run_client(port: int, control: Connection, subscribers: int, events: int) -> dict[str, Measurement]:
    connected, progress = await subscribe(port, subscribers)
    burst = await measure(port, control, connected, progress, range(events), events)
    single = await measure(port, control, connected, progress, range(events), 1)
    for subscriber in connected:
        subscriber.transport.abort()
    return {"burst": burst, "one in flight": single}


def run_peer(kind: str, subscribers: int, events: int) -> dict[str, Measurement]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=run_server, args=(kind, theirs))
    process.start()
    try:
        return uvloop.run(run_client(ours.recv(), ours, subscribers, events))
    finally:
        ours.send("stop")
        process.join(10)
        process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    write = sys.stdout.write
    write(f"S1: {arguments.subscribers} subscribers of one thing, {arguments.events} events, {os.cpu_count()} cores\n")
    best: dict[tuple[str, str], Measurement] = {}
    for _ in range(arguments.rounds):
        for kind in ("bare", "headwater"):
            for name, found in run_peer(kind, arguments.subscribers, arguments.events).items():
                key = (name, kind)
                if key not in best or found.deliveries_per_s > best[key].deliveries_per_s:
                    best[key] = found
    for name in ("burst", "one in flight"):
        bare, ours = best[name, "bare"], best[name, "headwater"]
        write(
            f"{name}: bare {bare.deliveries_per_s:,.0f}/s {bare.cpu_us:.2f} us, "
            f"headwater {ours.deliveries_per_s:,.0f}/s {ours.cpu_us:.2f} us, "
            f"ratio {ours.deliveries_per_s / bare.deliveries_per_s:.2f}\n"
        )


if __name__ == "__main__":
    main()
