"""Operations a second of the DynamoDB service in this process, one caller after the other and 50 at once.

Run: python bench/store.py [--sync normal|full] [--directory DIR]. Figures are orientation: compare within one run.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.store import Store, SyncPolicy

TABLE = {
    "TableName": "bench",
    "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "PK", "AttributeType": "S"},
        {"AttributeName": "SK", "AttributeType": "S"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}
Run = Callable[[int], Awaitable[Any]]


def key(number: int) -> dict[str, Any]:
    return {"PK": {"S": f"DEV#{number % 100}"}, "SK": {"S": f"TS#{number:012d}"}}


def item(number: int) -> dict[str, Any]:
    return {
        **key(number),
        "temperature": {"N": str(20 + number % 15)},
        "humidity": {"N": "55.5"},
        "site": {"S": "s1"},
        "ttl": {"N": "1800000000"},
    }


def operations(call: Callable[[str, dict[str, Any]], Awaitable[Any]]) -> dict[str, tuple[int, Run]]:
    """Name to the number of items an operation moves, and the operation."""

    def put(number: int) -> Awaitable[Any]:
        return call("PutItem", {"TableName": "bench", "Item": item(number)})

    def get(number: int) -> Awaitable[Any]:
        return call("GetItem", {"TableName": "bench", "Key": key(number)})

    def update(number: int) -> Awaitable[Any]:
        request = {
            "TableName": "bench",
            "Key": key(number),
            "UpdateExpression": "SET temperature = :t, #s = :s",
            "ConditionExpression": "attribute_exists(PK)",
            "ExpressionAttributeNames": {"#s": "site"},
            "ExpressionAttributeValues": {":t": {"N": str(number)}, ":s": {"S": "s2"}},
        }
        return call("UpdateItem", request)

    def query(number: int) -> Awaitable[Any]:
        request = {
            "TableName": "bench",
            "KeyConditionExpression": "PK = :p AND begins_with(SK, :s)",
            "ExpressionAttributeValues": {":p": {"S": f"DEV#{number % 100}"}, ":s": {"S": "TS#"}},
            "Limit": 10,
        }
        return call("Query", request)

    def batch(number: int) -> Awaitable[Any]:
        puts = [{"PutRequest": {"Item": item(1_000_000 + number * 25 + at)}} for at in range(25)]
        return call("BatchWriteItem", {"RequestItems": {"bench": puts}})

    def transact(number: int) -> Awaitable[Any]:
        puts = [{"Put": {"TableName": "bench", "Item": item(9_000_000 + number * 2 + at)}} for at in range(2)]
        return call("TransactWriteItems", {"TransactItems": puts})

    return {
        "put": (1, put),
        "get": (1, get),
        "update (condition)": (1, update),
        "query 10": (10, query),
        "batch write 25": (25, batch),
        "transact write 2": (2, transact),
    }


async def one_by_one(run: Run, count: int) -> float:
    """Median microseconds of a call."""
    taken = []
    for number in range(count):
        start = time.perf_counter()
        await run(number)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e6


async def at_once(run: Run, count: int, width: int = 50) -> float:
    """Calls a second with `width` of them waiting at any time."""
    start = time.perf_counter()
    for number in range(0, count, width):
        await asyncio.gather(*(run(number + at) for at in range(width)))
    return count / (time.perf_counter() - start)


async def measure(directory: Path, sync: SyncPolicy) -> None:
    store = Store.open(directory, sync=sync)
    service = DynamoDbService(store, region="us-east-1", account_id="123456789012", clock=time.time)
    await service.call("CreateTable", TABLE)
    sys.stdout.write(f"sync={sync} {directory}\n{'':20}{'median us':>10}{'calls/s x50':>14}{'items/s x50':>14}\n")
    for name, (items, run) in operations(service.call).items():
        count = 5000 if items < 25 else 400
        median = await one_by_one(run, count)
        rate = await at_once(run, count)
        sys.stdout.write(f"{name:20}{median:>10.1f}{rate:>14,.0f}{rate * items:>14,.0f}\n")
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sync", choices=["normal", "full"], default="normal")
    parser.add_argument("--directory", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        uvloop.run(measure(arguments.directory or Path(temporary), arguments.sync))


if __name__ == "__main__":
    main()
