"""Publishes per second through topic rules: SQL alone, behind the broker, and into a stream.

    python bench/rules.py [--seconds 3] [--connections 200] [--engine-only]

The server has a core to itself where there are two; its rate is given by the clock and by the CPU time it used, since
clients on the same machine may hold it up. Figures are orientation: compare within one run.
"""

import argparse
import asyncio
import contextlib
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from headwater.deploy.rules.engine import RuleEngine
from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import V311, Connect, PublishPacket
from headwater.mqtt.ports import ClientContext, Publish
from headwater.rules.actions import ActionRequest

SQL = (
    "SELECT ts, seq, temperature, status.battery AS battery, topic(2) AS deviceId "
    "FROM 'dt/+/telemetry' WHERE temperature > 20 AND isUndefined(seq) = false"
)
PAYLOAD = orjson.dumps(
    {
        "ts": 1_700_000_000_123,
        "seq": 17,
        "temperature": 21.5,
        "humidity": 55.5,
        "pressure": 1013.25,
        "status": {"battery": 87, "rssi": -61},
        "firmware": "1.4.2",
        "note": "x" * 60,
    }
)
KINESIS = {"Kinesis": {"StreamName": "telemetry", "PartitionKey": "${topic(2)}", "RoleArn": "arn:aws:iam::1:role/r"}}


def rule(sql: str = SQL) -> dict[str, Any]:
    return {"Sql": sql, "AwsIotSqlVersion": "2016-03-23", "Actions": [KINESIS]}


class Counting:
    """Stands in for a stream: takes records and counts them."""

    def __init__(self) -> None:
        self.count = 0

    async def perform(self, requests: Sequence[ActionRequest]) -> list[None]:
        self.count += len(requests)
        return [None] * len(requests)


def engine_rate(seconds: float, others: int) -> float:
    """Publishes a second in this process, one call for each 50, with `others` rules that do not match."""
    counting = Counting()
    engine = RuleEngine({"Kinesis": counting.perform}, os.urandom, "123456789012")
    engine.add("telemetry", rule())
    for number in range(others):
        engine.add(f"other_{number}", rule(f"SELECT * FROM 'site/{number}/+/alarm' WHERE temperature > 20"))
    client = ClientContext("device-1", "certificate", "127.0.0.1")
    batch = [
        Publish(f"dt/device-{number}/telemetry", PAYLOAD, 1, client=client, received_at=1.7e9) for number in range(50)
    ]

    async def run() -> float:
        started = time.process_time()
        while time.process_time() - started < seconds:
            for _ in range(20):
                work = engine.on_publish(batch)
                if work is not None:
                    await work
        return counting.count / (time.process_time() - started)

    return asyncio.run(run())


def serve(port: int, into_stream: bool) -> None:
    import uvloop

    async def run() -> None:
        from headwater.server.mqtt.server import MqttServer

        counting = Counting()
        engine = RuleEngine({"Kinesis": counting.perform}, os.urandom, "123456789012")
        if into_stream:
            engine.performers = await stream_performers()
        engine.add("telemetry", rule())
        server = MqttServer(on_publish=engine.on_publish)
        await server.start("127.0.0.1", port)
        await asyncio.Event().wait()

    uvloop.run(run())


async def stream_performers() -> dict[str, Any]:
    from headwater.deploy.roles import Roles
    from headwater.deploy.rules.actions import RuleActions
    from headwater.deploy.rules.engine import LocalRecords
    from headwater.storage.kinesis_service import KinesisService
    from headwater.storage.store import Store

    region, account_id = "us-east-1", "123456789012"
    store = Store.open(Path(tempfile.mkdtemp()))
    kinesis = KinesisService(store, region=region, account_id=account_id)
    await kinesis.call("CreateStream", {"StreamName": "telemetry", "ShardCount": 4})
    roles = Roles(account_id)
    statement = {"Effect": "Allow", "Action": "kinesis:PutRecord", "Resource": "*"}
    roles.attach(["r"], {"Version": "2012-10-17", "Statement": [statement]})
    unused: Any = None
    actions = RuleActions(
        roles=roles,
        region=region,
        account_id=account_id,
        kinesis=kinesis,
        dynamodb=unused,
        sqs=unused,
        topics=unused,
        s3=unused,
        functions=unused,
        republish=unused,
        records=LocalRecords(),
        clock=time.time,
    )
    return dict(actions.performers())


@contextlib.contextmanager
def server(into_stream: bool) -> Iterator[tuple[int, int]]:
    """Port and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, __file__, "--serve", str(port), *(["--into-stream"] if into_stream else [])]
    process = subprocess.Popen(command)
    try:
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(process.pid, {0})
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_client(port: int, client_id: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(encode_packet(Connect(client_id), V311))
    client.recv(4)
    client.setblocking(False)
    return client


def publish_rate(port: int, pid: int, seconds: float, *, connections: int, per_chunk: int) -> str:
    """Each connection sends a chunk of QoS 1 publishes, and the next one when all of it is acknowledged."""
    selector = selectors.DefaultSelector()
    chunks: dict[socket.socket, bytes] = {}
    waiting: dict[socket.socket, int] = {}
    for number in range(connections):
        client = open_client(port, f"device-{number}")
        topic = f"dt/device-{number}/telemetry"
        chunks[client] = b"".join(
            encode_packet(PublishPacket(topic, PAYLOAD, 1, packet_id=one + 1), V311) for one in range(per_chunk)
        )
        selector.register(client, selectors.EVENT_READ)
    before, started = cpu_s(pid), time.perf_counter()
    acknowledged = 0
    for client, chunk in chunks.items():
        client.sendall(chunk)
        waiting[client] = 4 * per_chunk
    while time.perf_counter() - started < seconds:
        for key, _ in selector.select(0.1):
            client = key.fileobj  # type: ignore[assignment]  # only sockets are registered
            data = client.recv(65536)
            if not data:
                raise ConnectionError("the broker closed the connection")
            waiting[client] -= len(data)
            acknowledged += len(data) // 4
            if waiting[client] == 0:
                client.sendall(chunks[client])
                waiting[client] = 4 * per_chunk
    elapsed, used = time.perf_counter() - started, cpu_s(pid) - before
    for client in chunks:
        client.close()
    return f"{acknowledged / elapsed:9,.0f}/s by the clock {acknowledged / used:9,.0f}/s of one core"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", type=int)
    parser.add_argument("--into-stream", action="store_true")
    parser.add_argument("--engine-only", action="store_true")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=200)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.into_stream)
        return
    out = sys.stdout.write
    for others in (0, 1000):
        rate = engine_rate(options.seconds, others)
        out(f"rule with WHERE and five fields, {others:4} other rules: {rate:9,.0f}/s of one core\n")
    if options.engine_only:
        return
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 2)))
    for title, into_stream in (("MQTT -> rule", False), ("MQTT -> rule -> Kinesis", True)):
        for connections, per_chunk in ((4, 100), (options.connections, 1)):
            with server(into_stream) as (port, pid):
                rate_text = publish_rate(port, pid, options.seconds, connections=connections, per_chunk=per_chunk)
            out(f"{title:24} {connections:4} connections, {per_chunk:3} a chunk: {rate_text}\n")


if __name__ == "__main__":
    main()
