"""What a large table costs: queries of a partition of a million items beside one of a thousand, memory, and start-up.

Run: python bench/store_large.py [--items 1000000] [--directory DIR]. Filling takes a minute and 500 MB of disk. The two
partitions are in one table and take turns, so that their ratio is of one run. Start-up is that of `headwater up` until
its ready file, on the filled and on an empty data directory in turns.
"""

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.store import Store

SMALL = 1000
ROUNDS = 400
STARTS = 5
CREATE = {
    "TableName": "large",
    "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "PK", "AttributeType": "S"},
        {"AttributeName": "SK", "AttributeType": "S"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
TEMPLATE = """AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Queue:
    Type: AWS::SQS::Queue
"""
Call = Callable[[str, dict[str, Any]], Awaitable[Any]]


def key(partition: str, number: int) -> dict[str, Any]:
    return {"PK": {"S": partition}, "SK": {"S": f"TS#{number:012d}"}}


def item(partition: str, number: int) -> dict[str, Any]:
    reading = {"temperature": {"N": str(20 + number % 15)}, "humidity": {"N": "55.5"}}
    return {**key(partition, number), **reading, "site": {"S": "s1"}, "ttl": {"N": "1800000000"}}


def service(store: Store) -> DynamoDbService:
    return DynamoDbService(store, region="us-east-1", account_id="123456789012", clock=time.time)


def private_kb() -> int:
    """Memory that is this process's alone: what LMDB maps is the file's, and the system takes it back at will."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0])


async def fill(call: Call, partition: str, count: int) -> None:
    for start in range(0, count, 25 * 40):
        batches = [
            [
                {"PutRequest": {"Item": item(partition, number)}}
                for number in range(first, min(first + 25, start + 1000, count))
            ]
            for first in range(start, min(start + 1000, count), 25)
        ]
        await asyncio.gather(*(call("BatchWriteItem", {"RequestItems": {"large": puts}}) for puts in batches))


def read(kind: str, partition: str, number: int) -> tuple[str, dict[str, Any], int]:
    """An operation, its request, and how many items it has to answer."""
    if kind == "get":
        return "GetItem", {"TableName": "large", "Key": key(partition, number)}, 1
    request: dict[str, Any] = {
        "TableName": "large",
        "Limit": 100,
        "KeyConditionExpression": "PK = :p AND SK >= :s",
        "ExpressionAttributeValues": {":p": {"S": partition}, ":s": key(partition, number)["SK"]},
    }
    if kind == "query newest 100":
        request.update(KeyConditionExpression="PK = :p", ScanIndexForward=False)
        del request["ExpressionAttributeValues"][":s"]
    return "Query", request, 100


async def compare(call: Call, sizes: dict[str, int]) -> None:
    """Median microseconds of each read on each partition, call by call in turns."""
    places = random.Random(1)  # places in a table
    for kind in ("get", "query 100 from anywhere", "query newest 100"):
        taken: dict[str, list[float]] = {partition: [] for partition in sizes}
        for _ in range(ROUNDS):
            for partition, size in sizes.items():
                operation, request, expected = read(kind, partition, places.randrange(size - 100))
                start = time.perf_counter()
                answer = await call(operation, request)
                taken[partition].append(time.perf_counter() - start)
                assert len(answer.get("Items", ("one",))) == expected, answer
        medians = [statistics.median(times) * 1e6 for times in taken.values()]
        columns = "".join(f"{median:>12.0f}" for median in medians)
        sys.stdout.write(f"{kind:26}{columns}{medians[1] / medians[0]:>10.2f}\n")


def started_s(data_dir: Path, template: Path) -> float:
    """Seconds until `headwater up` is ready."""
    ready = data_dir / "bench-ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "headwater", "up", "--template", str(template), "--data-dir", str(data_dir)]
    ports = ["--port", "0", "--mqtt-port", "0", "--mqtt-tls-port", "0", "--ready-file", str(ready)]
    start = time.perf_counter()
    process = subprocess.Popen([*command, *ports], stdout=subprocess.DEVNULL)  # our own program
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError("headwater up ended")
            time.sleep(0.002)
        return time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


def compare_starts(filled: Path, empty: Path, template: Path) -> None:
    template.write_text(TEMPLATE, encoding="ascii")
    taken: dict[Path, list[float]] = {empty: [], filled: []}
    for _ in range(STARTS):
        for data_dir, times in taken.items():
            times.append(started_s(data_dir, template))
    of_empty, of_filled = (statistics.median(times) for times in taken.values())
    sys.stdout.write(f"start-up: empty {of_empty:.2f} s, filled {of_filled:.2f} s\n")


async def measure(directory: Path, items: int) -> None:
    store = Store.open(directory)
    call: Call = service(store).call
    await call("CreateTable", CREATE)
    await fill(call, "small", SMALL)
    before_kb = private_kb()
    start = time.perf_counter()
    await fill(call, "large", items)
    rate = items / (time.perf_counter() - start)
    size_mb = sum(path.stat().st_blocks * 512 for path in directory.rglob("*.mdb")) / 1e6
    sys.stdout.write(
        f"filled at {rate:,.0f} items/s, {size_mb:,.0f} MB on disk; "
        f"private memory {before_kb / 1024:.1f} MB before, {private_kb() / 1024:.1f} MB behind\n"
        f"{'median us':26}{SMALL:>12,}{items:>12,}{'ratio':>10}\n"
    )
    await compare(call, {"small": SMALL, "large": items})
    await store.close()
    start = time.perf_counter()
    store = Store.open(directory)
    await service(store).call("GetItem", {"TableName": "large", "Key": key("large", items // 2)})
    sys.stdout.write(f"open and first get: {(time.perf_counter() - start) * 1e3:.1f} ms\n")
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, help="where to work instead of a temporary directory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as temporary:
        root = Path(temporary)
        (root / "filled").mkdir()
        uvloop.run(measure(root / "filled", arguments.items))
        compare_starts(root / "filled", root / "empty", root / "template.yaml")


if __name__ == "__main__":
    main()
