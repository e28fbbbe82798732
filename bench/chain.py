"""The whole chain: MQTT publish to subscriber frame, messages per second and CPU per message.

    python -m bench.chain [--devices 20] [--rate 2000] [--seconds 30] [--subscribers 1]

A message counts as delivered when its subscriber sees an event of its device with its sequence number or a later one
(fan-out coalesces). Clients are this process; its CPU is not counted, but it shares the machine's cores.
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
import websockets

from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import V311, Connect, PublishPacket
from tests.support.product import Product

QUERY = "subscription { onDeviceState { deviceId seq version } }"
HERTZ = os.sysconf("SC_CLK_TCK")


@dataclass
class Device:
    """One MQTT connection with its unacknowledged publishes and undelivered messages."""

    device_id: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    seq: int = 0
    acknowledged: int = 0
    waiting: dict[int, float] = field(default_factory=dict)

    @classmethod
    async def connect(cls, product: Product, device_id: str) -> "Device":
        reader, writer = await asyncio.open_connection(product.ready["mqttHost"], product.ready["mqttPort"])
        writer.write(encode_packet(Connect(device_id, keep_alive_s=60), V311))
        assert (await reader.readexactly(4))[3] == 0
        return cls(device_id, reader, writer)

    def publish(self) -> None:
        self.seq += 1
        body = b'{"ts":%d,"seq":%d,"temperature":21.5,"humidity":40.2,"battery":93.1,"status":"ok"}' % (
            time.time_ns() // 1_000_000,
            self.seq,
        )
        packet = PublishPacket(f"devices/{self.device_id}/telemetry", body, qos=1, packet_id=self.seq % 65535 + 1)
        self.waiting[self.seq] = time.perf_counter()
        self.writer.write(encode_packet(packet, V311))

    async def read_acks(self) -> None:
        while data := await self.reader.read(65536):
            self.acknowledged += len(data) // 4

    def delivered(self, seq: int, latencies: list[float]) -> None:
        now = time.perf_counter()
        for one in [waiting for waiting in self.waiting if waiting <= seq]:
            latencies.append(now - self.waiting.pop(one))


async def subscribe(product: Product, devices: dict[str, Device], latencies: list[float]) -> Any:
    """Start one subscription on everything; the task that reads it."""
    credentials = {"host": product.ready["graphqlUrl"].split("/")[2], "x-api-key": product.ready["apiKey"]}
    header = base64.urlsafe_b64encode(json.dumps(credentials).encode()).decode().rstrip("=")
    offered: Any = ["graphql-ws", f"header-{header}"]
    socket = await websockets.connect(
        product.ready["realtimeUrl"], subprotocols=offered, max_queue=None, compression=None
    )
    await socket.send('{"type":"connection_init"}')
    data = json.dumps({"query": QUERY, "variables": {}})
    start = {"id": "1", "type": "start", "payload": {"data": data, "extensions": {"authorization": credentials}}}
    await socket.send(json.dumps(start))
    while json.loads(await socket.recv())["type"] != "start_ack":
        pass

    async def read() -> None:
        async for text in socket:
            frame = json.loads(text)
            if frame["type"] == "data":
                event = frame["payload"]["data"]["onDeviceState"]
                device = devices.get(event["deviceId"])
                if device is not None:
                    device.delivered(int(event["seq"]), latencies)

    return asyncio.get_running_loop().create_task(read())


def cpu_seconds(pid: int) -> dict[str, float]:
    """User and system time of a process (`runtime`) and of its children, by the name of the function they run."""
    seconds: dict[str, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if int(entry.name) != pid and int(fields[1]) != pid:
                continue
            name = "runtime" if int(entry.name) == pid else _function_of((entry / "environ").read_bytes())
        except OSError:
            continue
        seconds[name] = seconds.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / HERTZ
    return seconds


def _function_of(environment: bytes) -> str:
    found = [line for line in environment.split(b"\0") if line.startswith(b"AWS_LAMBDA_FUNCTION_NAME=")]
    return found[0].partition(b"=")[2].decode() if found else "other"


async def measure(product: Product, options: argparse.Namespace) -> dict[str, Any]:
    """One load; the figures."""
    names = [f"bench-{number}" for number in range(options.devices)]
    devices = {name: await Device.connect(product, name) for name in names}
    latencies: list[float] = []
    acks = [asyncio.ensure_future(device.read_acks()) for device in devices.values()]
    for device in devices.values():
        device.publish()
    await asyncio.sleep(2)
    readers = [await subscribe(product, devices, latencies) for _ in range(options.subscribers)]
    latencies.clear()
    for device in devices.values():
        device.waiting.clear()
    assert product.process is not None
    cpu_before, started = cpu_seconds(product.process.pid), time.perf_counter()
    sent, everybody = 0, list(devices.values())
    while (elapsed := time.perf_counter() - started) < options.seconds:
        for _ in range(int(elapsed * options.rate) - sent):
            everybody[sent % len(everybody)].publish()
            sent += 1
        await asyncio.sleep(0.001)
    drained_from = time.perf_counter()
    while any(device.waiting for device in everybody) and time.perf_counter() - drained_from < 30:
        await asyncio.sleep(0.005)
    drain_s = time.perf_counter() - drained_from
    after = cpu_seconds(product.process.pid)
    used = {name: seconds - cpu_before.get(name, 0.0) for name, seconds in after.items()}
    for task in (*acks, *readers):
        task.cancel()
    latencies.sort()
    return {
        "devices": options.devices,
        "sent": sent,
        "rate": round(sent / options.seconds),
        "undelivered": sum(len(device.waiting) for device in everybody),
        "unacknowledged": sum(device.seq - device.acknowledged for device in everybody),
        "p50_ms": round(statistics.median(latencies) * 1000, 1) if latencies else None,
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 1) if latencies else None,
        "drain_s": round(drain_s, 2),
        "cpu_us_per_message": round(sum(used.values()) / sent * 1e6) if sent else None,
        "cpu_us_by_process": {name: round(s / sent * 1e6) for name, s in used.items() if sent and s > 0},
    }


def main() -> None:
    """Run one load, or the standard set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=0, help="0 runs the standard set")
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--subscribers", type=int, default=1)
    options = parser.parse_args()
    loads = [(options.devices, options.rate)] if options.devices else [(1, 5), (20, 2000), (500, 2000)]
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder) / "data").start()
        try:
            for devices, rate in loads:
                options.devices, options.rate = devices, rate
                print(json.dumps(uvloop.run(measure(product, options))))  # noqa: T201  # the benchmark's output
        finally:
            product.terminate()


if __name__ == "__main__":
    main()
