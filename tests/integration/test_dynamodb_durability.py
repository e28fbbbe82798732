"""What was answered is there after the process was killed, at any point and under load."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.store import Store, SyncPolicy

WRITER = """
import asyncio, sys, time
from pathlib import Path
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.store import Store

async def write(service, worker, start):
    for number in range(start, start + 1_000_000):
        name = f"{worker}-{number:09d}"
        both = [
            {"Put": {"TableName": "tab", "Item": {"PK": {"S": side + name}, "g": {"S": "G"}}}}
            for side in ("left", "right")
        ]
        await service.call("TransactWriteItems", {"TransactItems": both})
        sys.stdout.write(name + "\\n")
        sys.stdout.flush()

async def main():
    store = Store.open(Path(sys.argv[1]), sync=sys.argv[2])
    service = DynamoDbService(store, region="us-east-1", account_id="123456789012", clock=time.time)
    start = int(sys.argv[3])
    if start == 0:
        await service.call("CreateTable", {
            "TableName": "tab", "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
            "AttributeDefinitions": [
                {"AttributeName": "PK", "AttributeType": "S"}, {"AttributeName": "g", "AttributeType": "S"}],
            "GlobalSecondaryIndexes": [{
                "IndexName": "byG", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"}}],
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
        })
    await asyncio.gather(*(write(service, worker, start) for worker in range(4)))

asyncio.run(main())
"""


def write_until_killed(directory: Path, sync: str, start: int, answers: int) -> set[str]:
    """Run the writer, kill it after so many answers, and give all it had answered."""
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), sync, str(start)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    answered = {child.stdout.readline().strip() for _ in range(answers)}
    os.kill(child.pid, signal.SIGKILL)
    answered |= {line.strip() for line in child.stdout if line.endswith("\n")}
    child.stdout.close()
    child.wait()
    return answered


async def stored(directory: Path) -> tuple[set[str], set[str], set[str], int]:
    """The left and right names in the table, the names in the index, and the number of stream records."""
    store = Store.open(directory)
    service = DynamoDbService(store, region="us-east-1", account_id="123456789012", clock=time.time)
    items = await everything(service, "Scan", {"TableName": "tab"})
    indexed = await everything(service, "Scan", {"TableName": "tab", "IndexName": "byG"})
    arn = (await service.call("DescribeTable", {"TableName": "tab"}))["Table"]["LatestStreamArn"]
    source = service.stream_source(arn)
    records = source.read(source.shards()[0].shard_id, None, limit=10_000_000, max_bytes=1 << 40)
    await store.close()
    left = {name.removeprefix("left") for name in items if name.startswith("left")}
    right = {name.removeprefix("right") for name in items if name.startswith("right")}
    assert items == indexed
    return left, right, items, len(records)


async def everything(service: DynamoDbService, operation: str, request: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    start: dict[str, Any] = {}
    while True:
        page = await service.call(operation, {**request, **start})
        found |= {item["PK"]["S"] for item in page["Items"]}
        if "LastEvaluatedKey" not in page:
            return found
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


@pytest.mark.parametrize("sync", ["normal", "full"])
def test_every_answered_transaction_survives_kill_9_whole(tmp_path: Path, sync: SyncPolicy) -> None:
    answered: set[str] = set()

    for turn in range(3):
        answered |= write_until_killed(tmp_path, sync, turn * 1_000_000, 100)

        left, right, items, records = asyncio.run(stored(tmp_path))
        assert answered <= left
        assert left == right
        assert records == len(items)
