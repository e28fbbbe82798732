"""Warm invocation, cold start, PutRecord to handler, idle functions: `python bench/functions.py [--client NAME]`."""

import argparse
import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import httptools
import uvloop

from headwater.eventsource.config import StreamMappingConfig
from headwater.eventsource.stream.mapping import StreamMapping
from headwater.functions.config import FunctionConfig
from headwater.functions.service import FunctionService
from headwater.functions.worker.process import (
    Client,
    WorkerProcess,
    available_client,
    environment_variables,
    spawn,
)
from headwater.storage.kinesis_service import KinesisService
from headwater.storage.store import Store

HANDLER = """
import time
def handler(event, context):
    return time.time()
def stamp(event, context):
    with open(event["Records"][0]["kinesis"]["partitionKey"], "a") as out:
        out.write(f"{time.time()} {len(event['Records'])}\\n")
"""
EVENT = json.dumps({"Records": [{"data": "x" * 300, "sequenceNumber": str(index)} for index in range(10)]}).encode()


class _Nowhere:
    """Checkpoints that are forgotten."""

    def load(self, mapping_id: str) -> Mapping[str, str]:
        return {}

    async def save(self, mapping_id: str, shard: str, sequence: str) -> None:
        return None


class _Bare(asyncio.Protocol):
    """The least Runtime API there can be."""

    def __init__(self, asked: asyncio.Queue["_Bare"]) -> None:
        self._asked = asked
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        assert self._transport is not None
        if self._parser.get_method() == b"GET":
            self._asked.put_nowait(self)
        else:
            self._transport.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    def send(self, event: bytes) -> None:
        assert self._transport is not None
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: 1\r\n"
            b"Lambda-Runtime-Deadline-Ms: 99999999999999\r\nLambda-Runtime-Invoked-Function-Arn: arn:bare\r\n"
            b"Lambda-Runtime-Trace-Id: Root=1\r\nContent-Length: %d\r\n\r\n%b" % (len(event), event)
        )


class BareClient:
    """The same runtime client with nothing around it: what `FunctionService` is held against."""

    def __init__(self, client: Client, folder: str) -> None:
        self._client = client
        self._config = FunctionConfig("bare", "arn:bare", "app.handler", Path(folder))
        self._asked: asyncio.Queue[_Bare] = asyncio.Queue()
        self._workers: list[WorkerProcess] = []
        self._address = ""
        self._connection: _Bare | None = None

    async def listen(self) -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Bare(self._asked), "127.0.0.1", 0)
        self._address = "{}:{}".format(*server.sockets[0].getsockname())

    async def start(self) -> float:
        """Seconds from the spawn of a process to its first request for work."""
        self.stop()
        begun = time.perf_counter()
        variables = environment_variables(self._config, region="us-east-1", api_address=self._address, log_stream="s")
        self._workers.append(spawn(self._client, self._config, variables))
        self._connection = await self._asked.get()
        return time.perf_counter() - begun

    async def call(self, event: bytes) -> float:
        """Seconds of a round trip, until the client asks for more."""
        assert self._connection is not None
        begun = time.perf_counter()
        self._connection.send(event)
        self._connection = await self._asked.get()
        return time.perf_counter() - begun

    def stop(self) -> None:
        while self._workers:
            worker = self._workers.pop()
            worker.kill()
            worker.release()


def summary(name: str, seconds: list[float], peer: list[float] | None = None) -> dict[str, object]:
    """Medians; `ratio` and `more_us` are against a peer that was measured in turns with it, on the same machine."""
    ordered = sorted(seconds)
    median = statistics.median(ordered)
    figures: dict[str, object] = {
        "name": name,
        "count": len(ordered),
        "p50_us": round(median * 1e6),
        "p99_us": round(ordered[int(len(ordered) * 0.99)] * 1e6),
    }
    if peer is not None:
        base = statistics.median(peer)
        figures |= {"peer_p50_us": round(base * 1e6), "ratio": round(median / base, 2)}
        figures["more_us"] = round((median - base) * 1e6)
    return figures


async def run(client: Client) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "app.py").write_text(HANDLER)
        service = FunctionService(account_id="123456789012", region="us-east-1", client=client)
        await service.start()
        for handler in ("handler", "stamp"):
            arn = f"arn:aws:lambda:us-east-1:123456789012:function:{handler}"
            service.register(FunctionConfig(handler, arn, f"app.{handler}", Path(folder)))
        peer = BareClient(client, folder)
        await peer.listen()
        figures = [await cold(service, peer), *await warm(service, peer)]
        peer.stop()
        figures.append(await delivery(service, folder))
        figures.append(await idle(service, folder))
        await service.close()
    return [{"client": client, **figure} for figure in figures]


async def cold(service: FunctionService, peer: BareClient) -> dict[str, object]:
    """A first invocation against the bare start of the same client, which is its interpreter and its imports."""
    seconds, bare = [], []
    for _ in range(15):
        begun = time.perf_counter()
        await service.invoke("handler", b"{}")
        seconds.append(time.perf_counter() - begun)
        service.reload("handler")
        bare.append(await peer.start())
    return summary("cold start, empty handler; peer: start of the bare client", seconds, bare)


async def warm(service: FunctionService, peer: BareClient) -> list[dict[str, object]]:
    figures = []
    for name, event in (("2 B", b"{}"), ("10 records", EVENT)):
        seconds, bare = [], []
        for _ in range(3000):
            bare.append(await peer.call(event))
            begun = time.perf_counter()
            await service.invoke("handler", event)
            seconds.append(time.perf_counter() - begun)
        figures.append(summary(f"warm invocation, {name}; peer: bare round trip", seconds[300:], bare[300:]))
    return figures


async def idle(service: FunctionService, folder: str) -> dict[str, object]:
    """What 200 functions that nobody calls take: memory, processes, and processor time of a second."""
    before = _resident_kb()
    for index in range(200):
        arn = f"arn:aws:lambda:us-east-1:123456789012:function:idle-{index}"
        service.register(FunctionConfig(f"idle-{index}", arn, "app.handler", Path(folder)))
    grown_kb = _resident_kb() - before
    begun = time.process_time()
    await asyncio.sleep(1.0)
    used_s = time.process_time() - begun
    processes = sum(service.environment_counts(f"idle-{index}").total for index in range(200))
    return {
        "name": "200 idle functions",
        "processes": processes,
        "kb": grown_kb,
        "cpu_us_a_second": round(used_s * 1e6),
    }


def _resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


async def delivery(service: FunctionService, folder: str) -> dict[str, object]:
    """From before PutRecord to the first line of the handler, window 0, an idle stream."""
    store = Store.open(Path(folder, "data"))
    kinesis = KinesisService(store, region="us-east-1", account_id="123456789012")
    await kinesis.call("CreateStream", {"StreamName": "bench", "ShardCount": 1})
    source = kinesis.stream_source("bench")
    arn = service.config("stamp").arn
    mapping = StreamMapping(StreamMappingConfig("bench", source.arn, arn), source, service.invoke, _Nowhere())
    await mapping.start()
    out = Path(folder, "stamps")
    out.touch()
    seconds = []
    for count in range(1, 301):
        begun = time.time()
        await kinesis.put_record("bench", str(out), b'{"ts":1}')
        while len(lines := out.read_text().splitlines()) < count:
            await asyncio.sleep(0.001)
        seconds.append(float(lines[-1].split()[0]) - begun)
    await mapping.stop()
    await store.close()
    return summary("PutRecord to handler", seconds[20:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", choices=["awslambdaric", "bootstrap"], default=available_client())
    arguments = parser.parse_args()
    for figure in uvloop.run(run(arguments.client)):
        sys.stdout.write(json.dumps(figure) + "\n")


if __name__ == "__main__":
    main()
