"""Indexes and times to live that are younger than the items of their table."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headwater.dynamodb.tables.backfill import ITEMS_PER_PASS
from headwater.errors import ServiceError
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.store import Store

COUNT = 2 * ITEMS_PER_PASS + 100
CREATE = {
    "AttributeDefinitions": [{"AttributeName": "colour", "AttributeType": "S"}],
    "GlobalSecondaryIndexUpdates": [
        {
            "Create": {
                "IndexName": "by-colour",
                "KeySchema": [{"AttributeName": "colour", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        }
    ],
}
DELETE = {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by-colour"}}]}


def service(directory: Path) -> tuple[Store, DynamoDbService]:
    store = Store.open(directory)
    return store, DynamoDbService(store, region="us-east-1", account_id="123456789012", clock=lambda: 2_000.0)


async def fill(dynamodb: DynamoDbService, count: int) -> None:
    await dynamodb.call(
        "CreateTable",
        {
            "TableName": "tab",
            "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "PK", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )
    for start in range(0, count, 25):
        puts = [{"PutRequest": {"Item": item(number)}} for number in range(start, min(count, start + 25))]
        await dynamodb.call("BatchWriteItem", {"RequestItems": {"tab": puts}})


def item(number: int, colour: str = "red") -> dict[str, Any]:
    return {"PK": {"S": f"{number:06}"}, "colour": {"S": colour}, "expires": {"N": "1000"}}


async def index(dynamodb: DynamoDbService) -> dict[str, Any]:
    table = (await dynamodb.call("DescribeTable", {"TableName": "tab"}))["Table"]
    found: dict[str, Any] = table["GlobalSecondaryIndexes"][0]
    return found


async def keys_of(dynamodb: DynamoDbService, colour: str) -> set[str]:
    request = {
        "TableName": "tab",
        "IndexName": "by-colour",
        "KeyConditionExpression": "colour = :c",
        "ExpressionAttributeValues": {":c": {"S": colour}},
    }
    return {found["PK"]["S"] for found in (await dynamodb.call("Query", request))["Items"]}


async def message(dynamodb: DynamoDbService, operation: str, **request: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        await dynamodb.call(operation, request)
    return caught.value.message


async def test_an_index_of_a_small_table_is_active_at_once(tmp_path: Path) -> None:
    store, dynamodb = service(tmp_path)
    await fill(dynamodb, 30)

    await dynamodb.call("UpdateTable", {"TableName": "tab", **CREATE})

    assert (await index(dynamodb))["IndexStatus"] == "ACTIVE"
    assert len(await keys_of(dynamodb, "red")) == 30
    await store.close()


async def test_an_index_is_creating_until_its_passes_are_done_and_holds_every_write_between(tmp_path: Path) -> None:
    store, dynamodb = service(tmp_path)
    await fill(dynamodb, COUNT)

    await dynamodb.call("UpdateTable", {"TableName": "tab", **CREATE})
    described = await index(dynamodb)
    refusal = await message(
        dynamodb,
        "Query",
        TableName="tab",
        IndexName="by-colour",
        KeyConditionExpression="colour = :c",
        ExpressionAttributeValues={":c": {"S": "red"}},
    )
    for number in range(0, COUNT, 100):
        await dynamodb.call("PutItem", {"TableName": "tab", "Item": item(number, "blue")})
        await dynamodb.call("DeleteItem", {"TableName": "tab", "Key": {"PK": {"S": f"{number + 1:06}"}}})
    await dynamodb.backfill()

    assert (described["IndexStatus"], described["Backfilling"]) == ("CREATING", True)
    assert refusal == "Cannot read from backfilling global secondary index: by-colour"
    assert (await index(dynamodb))["IndexStatus"] == "ACTIVE"
    assert await keys_of(dynamodb, "blue") == {f"{number:06}" for number in range(0, COUNT, 100)}
    assert await keys_of(dynamodb, "red") == {f"{number:06}" for number in range(COUNT) if number % 100 > 1}
    await store.close()


async def test_a_backfill_goes_on_after_a_restart(tmp_path: Path) -> None:
    store, dynamodb = service(tmp_path)
    await fill(dynamodb, COUNT)
    await dynamodb.call("UpdateTable", {"TableName": "tab", **CREATE})
    await store.close()

    store, dynamodb = service(tmp_path)
    before = (await index(dynamodb))["IndexStatus"]
    await dynamodb.sweep()

    assert before == "CREATING"
    assert (await index(dynamodb))["IndexStatus"] == "ACTIVE"
    assert len(await keys_of(dynamodb, "red")) == COUNT
    await store.close()


async def test_only_one_index_is_built_at_a_time_and_it_may_be_deleted(tmp_path: Path) -> None:
    store, dynamodb = service(tmp_path)
    await fill(dynamodb, COUNT)
    await dynamodb.call("UpdateTable", {"TableName": "tab", **CREATE})

    second = await message(dynamodb, "UpdateTable", TableName="tab", **CREATE)
    await dynamodb.call("UpdateTable", {"TableName": "tab", **DELETE})
    await dynamodb.backfill()

    assert "Only 1 online index can be created" in second
    table = (await dynamodb.call("DescribeTable", {"TableName": "tab"}))["Table"]
    assert "GlobalSecondaryIndexes" not in table
    await store.close()


async def test_a_time_to_live_is_enabling_until_its_passes_are_done(tmp_path: Path) -> None:
    store, dynamodb = service(tmp_path)
    await fill(dynamodb, COUNT)
    specification = {"AttributeName": "expires", "Enabled": True}

    await dynamodb.call("UpdateTimeToLive", {"TableName": "tab", "TimeToLiveSpecification": specification})
    described = await dynamodb.call("DescribeTimeToLive", {"TableName": "tab"})
    await asyncio.gather(dynamodb.backfill(), dynamodb.backfill())
    removed = await dynamodb.sweep()

    assert described["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLING"
    assert removed >= COUNT
    assert (await dynamodb.call("Scan", {"TableName": "tab"}))["Count"] == 0
    await store.close()


async def test_writes_wait_no_longer_than_a_pass_while_a_table_is_filled(tmp_path: Path) -> None:
    store, dynamodb = service(tmp_path)
    await fill(dynamodb, 4 * ITEMS_PER_PASS)
    await dynamodb.call("UpdateTable", {"TableName": "tab", **CREATE})

    written = 0
    while (await index(dynamodb))["IndexStatus"] == "CREATING":
        await dynamodb.call("PutItem", {"TableName": "tab", "Item": item(900_000 + written)})
        written += 1

    assert written >= 3
    await store.close()
