"""Warm invocation, cold start and PutRecord-to-handler figures: `python bench/functions.py [--client NAME]`."""

import argparse
import asyncio
import json
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
from headwater.functions.worker.process import Client, available_client, environment_variables, spawn
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
    """The least Runtime API there can be: the limit that a warm invocation is held against."""

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


async def bare(client: Client, folder: str) -> dict[str, object]:
    """A round trip to the same runtime client with nothing around it, until it asks for more."""
    asked: asyncio.Queue[_Bare] = asyncio.Queue()
    server = await asyncio.get_running_loop().create_server(lambda: _Bare(asked), "127.0.0.1", 0)
    address = "{}:{}".format(*server.sockets[0].getsockname())
    config = FunctionConfig("bare", "arn:bare", "app.handler", Path(folder))
    variables = environment_variables(config, region="us-east-1", api_address=address, log_stream="s")
    worker = spawn(client, config, variables)
    connection = await asked.get()
    seconds = []
    for _ in range(2000):
        begun = time.perf_counter()
        connection.send(EVENT)
        connection = await asked.get()
        seconds.append(time.perf_counter() - begun)
    worker.kill()
    worker.release()
    server.close()
    return summary("bare round trip, 10 records", seconds[200:])


def summary(name: str, seconds: list[float]) -> dict[str, object]:
    ordered = sorted(seconds)
    return {
        "name": name,
        "count": len(ordered),
        "p50_us": round(statistics.median(ordered) * 1e6),
        "p99_us": round(ordered[int(len(ordered) * 0.99)] * 1e6),
    }


async def run(client: Client) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "app.py").write_text(HANDLER)
        service = FunctionService(account_id="123456789012", region="us-east-1", client=client)
        await service.start()
        for handler in ("handler", "stamp"):
            arn = f"arn:aws:lambda:us-east-1:123456789012:function:{handler}"
            service.register(FunctionConfig(handler, arn, f"app.{handler}", Path(folder)))
        figures = [await bare(client, folder), await cold(service), *await warm(service)]
        figures.append(await delivery(service, folder))
        await service.close()
    return [{"client": client, **figure} for figure in figures]


async def cold(service: FunctionService) -> dict[str, object]:
    seconds = []
    for _ in range(10):
        begun = time.perf_counter()
        await service.invoke("handler", b"{}")
        seconds.append(time.perf_counter() - begun)
        service.reload("handler")
    return summary("cold start, empty handler", seconds)


async def warm(service: FunctionService) -> list[dict[str, object]]:
    figures = []
    for name, event in (("warm invocation, 2 B", b"{}"), ("warm invocation, 10 records", EVENT)):
        seconds = []
        for _ in range(2000):
            begun = time.perf_counter()
            await service.invoke("handler", event)
            seconds.append(time.perf_counter() - begun)
        figures.append(summary(name, seconds[200:]))
    return figures


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
