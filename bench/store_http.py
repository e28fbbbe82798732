"""DynamoDB and Kinesis over HTTP: Headwater beside its peers in one run, through boto3 and without a client library.

Run: python bench/store_http.py headwater=http://127.0.0.1:8080@PID moto=http://127.0.0.1:5000 ministack=…
Every endpoint is started by hand and empty; `@PID` adds the server's CPU time a call. With boto3 one caller waits for
each answer and the endpoints take turns, call by call; raw HTTP keeps 32 connections of those with a PID busy.
Figures are orientation: compare within one run.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import boto3
import orjson
import uvloop
from botocore.config import Config

TABLE = "bench"
CONNECTIONS = 32
CREATE = {
    "TableName": TABLE,
    "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "PK", "AttributeType": "S"},
        {"AttributeName": "SK", "AttributeType": "S"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}
Request = tuple[str, dict[str, Any]]
_HEAD = (
    "POST / HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: DynamoDB_20120810.{operation}\r\n"
    "Content-Type: application/x-amz-json-1.0\r\nUser-Agent: bench\r\nX-Amz-Date: 20260101T000000Z\r\n"
    "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=" + "0" * 64 + "\r\n"
    "Content-Length: {length}\r\n\r\n"
)


@dataclass(frozen=True)
class Endpoint:
    """A server under measurement."""

    name: str
    url: str
    pid: int | None

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        name, _, rest = text.partition("=")
        url, _, pid = rest.partition("@")
        return cls(name, url, int(pid) if pid else None)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}),
        )

    def cpu_s(self) -> float:
        """CPU seconds of the server so far; 0 without a pid."""
        if self.pid is None:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def key(number: int) -> dict[str, Any]:
    return {"PK": {"S": f"DEV#{number % 100}"}, "SK": {"S": f"TS#{number:012d}"}}


def item(number: int) -> dict[str, Any]:
    reading = {"temperature": {"N": str(20 + number % 15)}, "humidity": {"N": "55.5"}}
    return {**key(number), **reading, "site": {"S": "s1"}, "ttl": {"N": "1800000000"}}


def put(number: int) -> Request:
    return "PutItem", {"TableName": TABLE, "Item": item(number)}


def get(number: int) -> Request:
    return "GetItem", {"TableName": TABLE, "Key": key(number % 1000)}


def update(number: int) -> Request:
    return "UpdateItem", {
        "TableName": TABLE,
        "Key": key(number % 1000),
        "UpdateExpression": "SET temperature = :t, #s = :s",
        "ConditionExpression": "attribute_exists(PK)",
        "ExpressionAttributeNames": {"#s": "site"},
        "ExpressionAttributeValues": {":t": {"N": str(number)}, ":s": {"S": "s2"}},
    }


def query(number: int) -> Request:
    return "Query", {
        "TableName": TABLE,
        "KeyConditionExpression": "PK = :p AND begins_with(SK, :s)",
        "ExpressionAttributeValues": {":p": {"S": f"DEV#{number % 100}"}, ":s": {"S": "TS#"}},
        "Limit": 10,
    }


def batch(number: int) -> Request:
    puts = [{"PutRequest": {"Item": item(1_000_000 + number * 25 + at)}} for at in range(25)]
    return "BatchWriteItem", {"RequestItems": {TABLE: puts}}


def transact(number: int) -> Request:
    puts = [{"Put": {"TableName": TABLE, "Item": item(90_000_000 + number * 2 + at)}} for at in range(2)]
    return "TransactWriteItems", {"TransactItems": puts}


# Name to what is asked, how many items a call moves, and how many calls boto3 and raw HTTP make.
OPERATIONS: dict[str, tuple[Callable[[int], Request], int, int, int]] = {
    "put": (put, 1, 300, 12_000),
    "get": (get, 1, 300, 12_000),
    "update": (update, 1, 300, 12_000),
    "query 10": (query, 10, 300, 8_000),
    "batch write 25": (batch, 25, 100, 2_000),
    "transact write 2": (transact, 2, 20, 4_000),
}
_METHODS = {
    "PutItem": "put_item",
    "GetItem": "get_item",
    "UpdateItem": "update_item",
    "Query": "query",
    "BatchWriteItem": "batch_write_item",
    "TransactWriteItems": "transact_write_items",
}


def prepare(endpoint: Endpoint, items: int) -> None:
    """A table with some items and a stream, on every endpoint alike."""
    client = endpoint.client("dynamodb")
    client.create_table(**CREATE)
    for start in range(0, items, 25):
        puts = [{"PutRequest": {"Item": item(start + at)}} for at in range(25)]
        client.batch_write_item(RequestItems={TABLE: puts})
    endpoint.client("kinesis").create_stream(StreamName=TABLE, ShardCount=4)
    time.sleep(2)  # peers answer before the stream is there


def with_boto3(endpoints: list[Endpoint]) -> Iterator[tuple[str, dict[str, float]]]:
    """Median milliseconds of each operation on each endpoint."""
    clients = {endpoint.name: endpoint.client("dynamodb") for endpoint in endpoints}
    for name, (make, _, count, _) in OPERATIONS.items():
        taken: dict[str, list[float]] = {endpoint: [] for endpoint in clients}
        for number in range(count):
            operation, request = make(number)
            for endpoint, client in clients.items():
                taken[endpoint].append(timed(getattr(client, _METHODS[operation]), request))
        yield name, {endpoint: statistics.median(times) * 1e3 for endpoint, times in taken.items()}
    streams = {endpoint.name: endpoint.client("kinesis") for endpoint in endpoints}
    records = [{"PartitionKey": str(at), "Data": b"x" * 200} for at in range(100)]
    taken = {endpoint: [] for endpoint in streams}
    for _ in range(60):
        for endpoint, client in streams.items():
            taken[endpoint].append(timed(client.put_records, {"StreamName": TABLE, "Records": records}))
    yield "put_records 100", {endpoint: statistics.median(times) * 1e3 for endpoint, times in taken.items()}


def timed(call: Callable[..., Any], request: dict[str, Any]) -> float:
    start = time.perf_counter()
    call(**request)
    return time.perf_counter() - start


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last is there; a failed call ends the run."""

    def __init__(self, requests: Iterator[bytes], done: "asyncio.Future[None]") -> None:
        self._requests = requests
        self._done = done
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return
        if b" 200 " not in head[:16]:
            self._done.set_exception(RuntimeError(self._buffer.decode()))
            return
        self._buffer = b""
        self._send()

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
        elif not self._done.done():
            self._transport.close()
            self._done.set_result(None)


async def raw(endpoint: Endpoint, requests: list[bytes]) -> tuple[float, float]:
    """Calls a second, and the server's CPU microseconds a call."""
    host, _, port = endpoint.url.rpartition("/")[2].partition(":")
    loop = asyncio.get_running_loop()
    pending = iter(requests)
    ends = [loop.create_future() for _ in range(CONNECTIONS)]
    start, cpu = time.perf_counter(), endpoint.cpu_s()
    for end in ends:
        await loop.create_connection(lambda end=end: Connection(pending, end), host, int(port))  # type: ignore[misc]
    await asyncio.gather(*ends)
    return len(requests) / (time.perf_counter() - start), (endpoint.cpu_s() - cpu) / len(requests) * 1e6


def encoded(endpoint: Endpoint, request: Request) -> bytes:
    body = orjson.dumps(request[1])
    host = endpoint.url.rpartition("/")[2]
    return _HEAD.format(host=host, operation=request[0], length=len(body)).encode() + body


def without_client(endpoint: Endpoint) -> Iterator[tuple[str, float, float, float]]:
    """Name, calls a second, items a second, CPU microseconds a call."""
    for name, (make, items, _, count) in OPERATIONS.items():
        # Behind what boto3 has written, so that every put is of a new item.
        requests = [encoded(endpoint, make(100_000 + number)) for number in range(count)]
        rate, cpu = uvloop.run(raw(endpoint, requests))
        yield name, rate, rate * items, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("endpoints", nargs="+", type=Endpoint.parse, metavar="NAME=URL[@PID]")
    parser.add_argument("--items", type=int, default=5000, help="items in the table before the measurement")
    arguments = parser.parse_args()
    endpoints: list[Endpoint] = arguments.endpoints
    for endpoint in endpoints:
        prepare(endpoint, arguments.items)
    write = sys.stdout.write
    write(f"boto3, median ms  {''.join(f'{endpoint.name:>12}' for endpoint in endpoints)}\n")
    for name, medians in with_boto3(endpoints):
        write(f"{name:18}{''.join(f'{medians[endpoint.name]:>12.2f}' for endpoint in endpoints)}\n")
    # The peers would take minutes each, and their order of size is that of boto3.
    for endpoint in [endpoint for endpoint in endpoints if endpoint.pid is not None]:
        write(f"\nraw HTTP, {endpoint.name:8}{'calls/s':>12}{'items/s':>12}{'CPU us/call':>14}\n")
        for name, calls, moved, cpu in without_client(endpoint):
            write(f"{name:18}{calls:>12,.0f}{moved:>12,.0f}{cpu:>14,.0f}\n")


if __name__ == "__main__":
    main()
