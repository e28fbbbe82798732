"""S2 and S1 with peers: N subscribers with a connection each, of a device of their own or all of the same one.

`python -m bench.appsync_targeted [--shared] [--peers DIR] [--strawberry PYTHON] [--subscribers 1000] [--rounds 3]`
publishes with one request in flight: to devices of their own with mutations of 25 aliases, as fan-out does, to a shared
one with one. This server (API key, APPSYNC_JS handlers, argument filters) runs beside a bare uvloop server that only
looks the device up and writes, and peers that are given as for bench.appsync_requests: Mercurius with a topic for each
device and Strawberry with a queue for each subscriber; Amplify's simulator with `--shared` only, because it sends every
event to every subscriber, whatever their arguments. Afterwards every subscriber must have got the events of its device,
each once and in order, and no others. Printed: deliveries per second and the server's CPU time for each, its share of
the mutations included.
"""

import argparse
import asyncio
import base64
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop

from bench.appsync import client_frame, frame
from bench.appsync_requests import API_KEY, PEERS, cpu_s, has_amplify, say_port, serve_headwater
from bench.bare_connection import BareConnection

ALIASES = 25
SUBSCRIPTION = "subscription On($id: ID) { onPut(id: $id) { id lastValue status } }"
HANDSHAKE = (
    b"GET /%s HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: graphql-ws\r\nx-api-key: "
    + API_KEY.encode()
    + b"\r\n\r\n"
)
# All numbers have as many digits, so that all events of a server have as many bytes.
FIRST_NUMBER = 100_000


def name_of(number: int) -> str:
    return f"device-{number:06d}"


def publishing(states: list[dict[str, Any]]) -> bytes:
    """A request body that publishes some states."""
    parameters = ", ".join(f"$s{place}: State!" for place in range(len(states)))
    fields = " ".join(f"m{place}: put(input: $s{place}) {{ id lastValue status }}" for place in range(len(states)))
    variables = {f"s{place}": state for place, state in enumerate(states)}
    return orjson.dumps({"query": f"mutation Publish({parameters}) {{ {fields} }}", "variables": variables})


# The limit


class BareProtocol(BareConnection):
    """Answers the handshake and a start, and writes each state of a POST to the subscriber of its device."""

    def __init__(self, subscribers: dict[str, list[tuple[bytes, asyncio.Transport]]]) -> None:
        self.subscribers = subscribers
        self.received = b""

    def data_received(self, data: bytes) -> None:
        if self.shakes_hands(data):
            return
        if data[0] == 0x81:
            start = orjson.loads(data[8:])  # the mask of this client is zero
            identifier = start["id"].encode()
            device = orjson.loads(start["payload"]["data"])["variables"]["id"]
            head = b'{"id":"%s","type":"data","payload":' % identifier
            self.subscribers.setdefault(device, []).append((head, self.transport))
            self.transport.write(frame(b'{"id":"%s","type":"start_ack"}' % identifier))
        else:
            self.received += data
            head, _, body = self.received.partition(b"\r\n\r\n")
            if len(body) == content_length(head):
                self.received = b""
                self.publish(orjson.loads(body)["variables"])

    def publish(self, variables: dict[str, Any]) -> None:
        for state in variables.values():
            tail = orjson.dumps({"data": {"onPut": state}}) + b"}"
            for head, transport in self.subscribers[state["id"]]:
                transport.write(frame(head + tail))
        answer = orjson.dumps({"data": {f"m{name[1:]}": state for name, state in variables.items()}})
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))


def content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.index(b"content-length:") + 15
    return int(lowered[start : start + 10].split(b"\r\n")[0])


async def serve_bare() -> None:
    subscribers: dict[str, list[tuple[bytes, asyncio.Transport]]] = {}
    server = await asyncio.get_running_loop().create_server(lambda: BareProtocol(subscribers), "127.0.0.1", 0)
    say_port(server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


SERVERS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {"bare": serve_bare, "headwater": serve_headwater}
_CREDENTIALS = base64.b64encode(orjson.dumps({"host": "bench", "x-api-key": API_KEY})).decode()
# Amplify's simulator knows only the oldest of the three places for credentials.
APPSYNC = {*SERVERS, "amplify"}
PATHS = {"amplify": f"graphql/realtime?header={_CREDENTIALS}&payload=e30="}


# The client


class Progress:
    """Counts bytes over all subscribers, and the answer to the request in flight."""

    def __init__(self) -> None:
        self.missing = 0
        self.is_answered = True
        self.changed = asyncio.Event()

    def look(self) -> None:
        if self.missing <= 0 and self.is_answered:
            self.changed.set()


class Subscriber(asyncio.Protocol):
    """Keeps what it is sent."""

    def __init__(self, kind: str, number: int, device: str, progress: Progress) -> None:
        self.identifier = name_of(number)
        self.device = device
        self.is_appsync = kind in APPSYNC
        self.path = PATHS.get(kind, "graphql/realtime" if self.is_appsync else "graphql")
        self.progress = progress
        self.received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(HANDSHAKE % self.path.encode())

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.progress.missing -= len(data)
        self.progress.look()

    def start(self) -> None:
        operation = {"query": SUBSCRIPTION, "variables": {"id": self.device}}
        payload: dict[str, Any] = operation
        if self.is_appsync:
            authorization = {"host": "bench", "x-api-key": API_KEY}
            payload = {"data": orjson.dumps(operation).decode(), "extensions": {"authorization": authorization}}
        else:
            self.transport.write(client_frame(b'{"type":"connection_init","payload":{}}'.ljust(126)))
        self.transport.write(client_frame(orjson.dumps({"id": self.identifier, "type": "start", "payload": payload})))

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Id and state of each data frame."""
        messages = (orjson.loads(text) for text in frames(self.received))
        return [(one["id"], one["payload"]["data"]["onPut"]) for one in messages if one["type"] == "data"]


def frames(data: bytes) -> Iterator[bytes]:
    """The texts of whole server frames of less than 64 KB."""
    position = 0
    while position < len(data):
        size, head = data[position + 1], 2
        if size == 126:
            size, head = int.from_bytes(data[position + 2 : position + 4], "big"), 4
        yield data[position + head : position + head + size]
        position += head + size


class Publisher(asyncio.Protocol):
    """Sends requests one after the other."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.received = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, body: bytes) -> None:
        self.progress.is_answered = False
        head = f"POST /graphql HTTP/1.1\r\nhost: bench\r\nx-api-key: {API_KEY}\r\ncontent-type: application/json\r\n"
        self.transport.write(head.encode() + b"content-length: %d\r\n\r\n%b" % (len(body), body))

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if separator and len(body) == content_length(head):
            if b'"errors"' in body:
                sys.exit(f"a publish failed: {body!r}")
            self.received = b""
            self.progress.is_answered = True
            self.progress.look()


@dataclass(frozen=True)
class Measurement:
    deliveries_per_s: float
    cpu_us: float


class Fleet:
    """Subscribers of one server, of `devices` in turn; `event_bytes` is the size of each event's frame."""

    def __init__(self, kind: str, process: "subprocess.Popen[str]", port: int, devices: int) -> None:
        self.kind = kind
        self.devices = devices
        self.process = process
        self.port = port
        self.progress = Progress()
        self.subscribers: list[Subscriber] = []
        self.publisher = Publisher(self.progress)
        self.event_bytes = 0
        self.number = FIRST_NUMBER

    async def connect(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for number in range(count):
            device = name_of(number % self.devices)
            subscriber = Subscriber(self.kind, number, device, self.progress)
            await loop.create_connection(lambda made=subscriber: made, "127.0.0.1", self.port)  # type: ignore[misc]  # a bound loop variable
            self.subscribers.append(subscriber)
        await self._until(lambda one: b"\r\n\r\n" in one.received)
        for subscriber in self.subscribers:
            subscriber.received = b""
            subscriber.start()
        await self._until(lambda one: b"_ack" in one.received)
        if self.kind not in APPSYNC:
            # They do not say when a subscription has started.
            await asyncio.sleep(3)
        await loop.create_connection(lambda: self.publisher, "127.0.0.1", self.port)
        await self._learn_size()

    async def _until(self, holds: Callable[[Subscriber], bool]) -> None:
        deadline = time.perf_counter() + 60
        while not all(map(holds, self.subscribers)):
            if time.perf_counter() > deadline:
                sys.exit(f"{self.kind}: subscribers are not ready")
            await asyncio.sleep(0.02)

    async def _learn_size(self) -> None:
        for subscriber in self.subscribers:
            subscriber.received = b""
        self.publisher.send(publishing([self._state(0)]))
        await self._until(lambda one: one is not self.subscribers[0] or bool(one.received))
        await asyncio.wait_for(self.progress.changed.wait(), 10)
        self.event_bytes = len(self.subscribers[0].received)

    def _state(self, place: int) -> dict[str, Any]:
        return {"id": name_of(place), "lastValue": self.number + 0.5, "status": "up"}

    async def measure(self, rounds: int) -> Measurement:
        """Publish to every device `rounds` times."""
        bodies = []
        followers = len(self.subscribers) // self.devices
        for _ in range(rounds):
            self.number += 1
            for first in range(0, self.devices, ALIASES):
                places = range(first, min(first + ALIASES, self.devices))
                bodies.append((len(places) * followers, publishing([self._state(place) for place in places])))
        for subscriber in self.subscribers:
            subscriber.received = b""
        cpu, began = cpu_s(self.process.pid), time.perf_counter()
        for count, body in bodies:
            self.progress.missing = count * self.event_bytes
            self.progress.changed.clear()
            self.publisher.send(body)
            await asyncio.wait_for(self.progress.changed.wait(), 60)
        elapsed, used = time.perf_counter() - began, cpu_s(self.process.pid) - cpu
        # A keep-alive message counts as bytes too, so that the last event may still be on its way.
        await asyncio.sleep(0.2)
        self._check(range(self.number - rounds + 1, self.number + 1))
        deliveries = rounds * len(self.subscribers)
        return Measurement(deliveries / elapsed, used / deliveries * 1e6)

    def _check(self, numbers: range) -> None:
        for subscriber in self.subscribers:
            states = [{"id": subscriber.device, "lastValue": number + 0.5, "status": "up"} for number in numbers]
            if subscriber.events() != [(subscriber.identifier, state) for state in states]:
                sys.exit(f"{self.kind}, {subscriber.identifier}: events were lost, repeated or misrouted")


def start(kind: str, peers: Path | None, strawberry: Path | None) -> tuple["subprocess.Popen[str]", int]:
    if kind in SERVERS:
        command = [sys.executable, "-m", "bench.appsync_targeted", "--serve", kind]
    elif kind == "strawberry":
        command = [str(strawberry), str(PEERS / "strawberry_server.py")]
    else:
        file = "amplify/amplify.mjs" if kind == "amplify" else "mercurius_subscriptions.mjs"
        command = ["node", str(cast(Path, peers) / file)]
    environment = {**os.environ, "NODE_ENV": "production"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


async def run(fleets: list[Fleet], subscribers: int, rounds: int, events: int) -> None:
    """Servers take turns; the round with the least CPU time counts. The first round only warms up."""
    best: dict[str, Measurement] = {}
    for fleet in fleets:
        await fleet.connect(subscribers)
    for number in range(rounds + 1):
        for fleet in fleets:
            found = await fleet.measure(events if number else 2)
            if number and (fleet.kind not in best or found.cpu_us < best[fleet.kind].cpu_us):
                best[fleet.kind] = found
    for kind, found in best.items():
        sys.stdout.write(
            f"{subscribers} subscribers of {fleets[0].devices} devices, {kind:10}: "
            f"{found.deliveries_per_s:8,.0f} deliveries/s, {found.cpu_us:6.1f} us CPU each, "
            f"{found.deliveries_per_s / best['bare'].deliveries_per_s:.2f} of bare\n"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="A copy of bench/appsync_peers after `npm install`.")
    parser.add_argument("--strawberry", type=Path, help="An interpreter with Strawberry and uvicorn.")
    parser.add_argument("--shared", action="store_true", help="One device for all.")
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=sorted(SERVERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(SERVERS[arguments.serve]())
        return
    kinds = [*SERVERS, *(("mercurius",) if arguments.peers else ())]
    kinds += ["amplify"] if arguments.shared and has_amplify(arguments.peers) else []
    kinds += ["strawberry"] if arguments.strawberry else []
    running = {kind: start(kind, arguments.peers, arguments.strawberry) for kind in kinds}
    devices = 1 if arguments.shared else arguments.subscribers
    try:

        async def work() -> None:
            fleets = [Fleet(kind, process, port, devices) for kind, (process, port) in running.items()]
            await run(fleets, arguments.subscribers, arguments.rounds, 20 if arguments.shared else 5)

        uvloop.run(work())
    finally:
        for process, _ in running.values():
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
