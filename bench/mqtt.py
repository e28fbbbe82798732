"""Messages per second from one publisher to one subscriber: this broker and mosquitto in one run.

    python bench/mqtt.py [--seconds 3] [--payload 200] [--rounds 3] [--idle 2000]

The client writes pre-encoded packets and counts bytes, so that it costs little beside the broker. With two cores or
more the broker has one to itself. Numbers are the best of the rounds, which alternate between the brokers.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headwater.mqtt.codec.decoder import PacketDecoder
from headwater.mqtt.codec.encoder import encode_ack, encode_packet
from headwater.mqtt.codec.packets import (
    V311,
    Ack,
    Connect,
    Packet,
    PacketType,
    PublishPacket,
    Suback,
    Subscribe,
    SubscriptionRequest,
)

TOPIC = "dt/device-1/telemetry"
WINDOW = 100
CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Result:
    published_per_s: float
    received_per_s: float


def open_client(port: int, client_id: str) -> socket.socket:
    """A connected MQTT 3.1.1 client whose CONNACK has been read."""
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.settimeout(10)
    client.sendall(encode_packet(Connect(client_id), V311))
    read_exactly(client, 4)
    return client


def read_exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            raise ConnectionError("the broker closed the connection")
        data += more
    return data


class Subscriber(threading.Thread):
    """Counts frames of one size; acknowledges them if they are QoS 1."""

    def __init__(self, port: int, frame_bytes: int, qos: int) -> None:
        super().__init__(daemon=True)
        self._client = open_client(port, f"sub-{qos}")
        self._frame_bytes = frame_bytes
        self._qos = qos
        self.received = 0
        self._client.sendall(encode_packet(Subscribe(1, (SubscriptionRequest("dt/+/telemetry", qos),)), V311))
        read_exactly(self._client, 5)

    def run(self) -> None:
        buffer = bytearray()
        size = self._frame_bytes
        id_at = 3 + 2 + len(TOPIC)
        with contextlib.suppress(OSError):
            while data := self._client.recv(1 << 18):
                buffer += data
                count = len(buffer) // size
                if self._qos and count:
                    acks = bytearray(b"\x40\x02\x00\x00" * count)
                    acks[2::4] = buffer[id_at : count * size : size]
                    acks[3::4] = buffer[id_at + 1 : count * size : size]
                    self._client.sendall(acks)
                del buffer[: count * size]
                self.received += count

    def close(self) -> None:
        self._client.shutdown(socket.SHUT_RDWR)
        self._client.close()


def measure(port: int, payload_bytes: int, seconds: float, publish_qos: int, subscribe_qos: int) -> Result:
    frame_bytes = len(encode_packet(PublishPacket(TOPIC, bytes(payload_bytes), subscribe_qos, packet_id=1), V311))
    subscriber = Subscriber(port, frame_bytes, subscribe_qos)
    subscriber.start()
    client = open_client(port, "pub")
    started = time.perf_counter()
    stop_at = started + seconds
    payload = b"x" * payload_bytes
    published = publish_qos1(client, payload, stop_at) if publish_qos else publish_qos0(client, payload, stop_at)
    published_s = time.perf_counter() - started
    client.sendall(b"\xc0\x00")
    read_exactly(client, 2)
    last = -1
    while subscriber.received < published and subscriber.received != last:
        last = subscriber.received
        time.sleep(0.2)
    received_s = time.perf_counter() - started - (0.2 if last == subscriber.received else 0.0)
    subscriber.close()
    client.close()
    return Result(published / published_s, subscriber.received / received_s)


def publish_qos0(client: socket.socket, payload: bytes, stop_at: float) -> int:
    frame = encode_packet(PublishPacket(TOPIC, payload), V311)
    per_chunk = max(1, CHUNK_BYTES // len(frame))
    chunk = frame * per_chunk
    published = 0
    while time.perf_counter() < stop_at:
        client.sendall(chunk)
        published += per_chunk
    return published


def publish_qos1(client: socket.socket, payload: bytes, stop_at: float) -> int:
    """Half a window at a time, so that the broker always has the other half to work on."""
    half = WINDOW // 2
    chunks = [
        b"".join(encode_packet(PublishPacket(TOPIC, payload, 1, packet_id=start + n), V311) for n in range(1, half + 1))
        for start in (0, half)
    ]
    client.sendall(chunks[0])
    published = half
    turn = 1
    while time.perf_counter() < stop_at:
        client.sendall(chunks[turn])
        turn = 1 - turn
        published += half
        read_exactly(client, 4 * half)
    read_exactly(client, 4 * half)
    return published


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def broker(name: str) -> Iterator[tuple[int, int]]:
    """Port and process id of a running broker."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        if name == "mosquitto":
            config = Path(directory, "mosquitto.conf")
            config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\n")
            command = ["mosquitto", "-c", str(config)]
        else:
            command = [sys.executable, __file__, "--serve", str(port)]
        process = subprocess.Popen(command)
        try:
            if (os.cpu_count() or 1) > 1:
                os.sched_setaffinity(process.pid, {0})
            wait_for(port)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def serve(port: int) -> None:
    import uvloop

    from headwater.server.mqtt.server import MqttServer

    async def run() -> None:
        server = MqttServer(on_publish=lambda publishes: None)
        await server.start("127.0.0.1", port)
        await asyncio.Event().wait()

    uvloop.run(run())


def idle_kb_per_connection(port: int, pid: int, count: int) -> float:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    before = resident_kb(pid)
    clients = [open_client(port, f"idle-{n}") for n in range(count)]
    grown = resident_kb(pid) - before
    for client in clients:
        client.close()
    return grown / count


def round_trip_ms(port: int, rounds: int = 200) -> float:
    """The median time a client needs that publishes to itself with QoS 1, one publish after the other.

    As most clients it leaves Nagle's algorithm on, and so waits for the broker's kernel to confirm its PUBACK.
    """
    client = open_client(port, "round-trip")
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    client.sendall(encode_packet(Subscribe(1, (SubscriptionRequest(TOPIC, 1),)), V311))
    decoder = PacketDecoder(version=V311)
    waiting: list[Packet] = []

    def until(kinds: set[type[Packet]]) -> list[Packet]:
        """Read on until there is a packet of each kind."""
        found: list[Packet] = []
        while not kinds <= {type(packet) for packet in found}:
            if not waiting:
                waiting.extend(decoder.feed(client.recv(4096)))
            found.append(waiting.pop(0))
        return found

    until({Suback})
    times: list[float] = []
    for _ in range(rounds):
        started = time.perf_counter()
        client.sendall(encode_packet(PublishPacket(TOPIC, b"x", qos=1, packet_id=1), V311))
        for packet in until({PublishPacket, Ack}):
            if isinstance(packet, PublishPacket):
                client.sendall(encode_ack(PacketType.PUBACK, packet.packet_id, 0, V311))
        times.append(time.perf_counter() - started)
    client.close()
    return sorted(times)[rounds // 2] * 1000


def resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise ValueError(f"process {pid} has no VmRSS")


def decode_rate(payload_bytes: int) -> float:
    data = encode_packet(PublishPacket(TOPIC, bytes(payload_bytes)), V311) * 280
    decoder = PacketDecoder()
    started = time.perf_counter()
    for _ in range(300):
        decoder.feed(data)
    return 280 * 300 / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=int)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--payload", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=2000)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 2)))
    names = ["headwater"] + (["mosquitto"] if shutil.which("mosquitto") else [])
    out = sys.stdout.write
    out(f"decode PUBLISH: {decode_rate(options.payload):,.0f}/s\n")
    for title, publish_qos, subscribe_qos in (
        ("QoS 0 -> QoS 0", 0, 0),
        ("QoS 1 -> QoS 0", 1, 0),
        ("QoS 1 -> QoS 1", 1, 1),
    ):
        best: dict[str, Result] = {}
        for _ in range(options.rounds):
            for name in names:
                with broker(name) as (port, _):
                    result = measure(port, options.payload, options.seconds, publish_qos, subscribe_qos)
                if name not in best or result.received_per_s > best[name].received_per_s:
                    best[name] = result
        for name, result in best.items():
            rates = f"{result.published_per_s:9,.0f} published/s {result.received_per_s:9,.0f} received/s"
            out(f"{title}  {name:10} {rates}\n")
        if len(best) == 2:
            ratio = best["headwater"].received_per_s / best["mosquitto"].received_per_s
            out(f"{title}  ratio      {ratio:.2f}\n")
    for name in names:
        with broker(name) as (port, pid):
            out(f"QoS 1 round trip {name:10} {round_trip_ms(port):.2f} ms\n")
            out(f"idle connection  {name:10} {idle_kb_per_connection(port, pid, options.idle):.1f} KB\n")


if __name__ == "__main__":
    main()
