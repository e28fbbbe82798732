"""The same operations on moto and on our service, with equal answers."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from headwater.errors import ServiceError


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("dynamodb", region_name="us-east-1")


def key(partition: str, sort: str) -> dict[str, Any]:
    return {"PK": {"S": partition}, "SK": {"S": sort}}


TABLE = {
    "TableName": "tab",
    "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "PK", "AttributeType": "S"},
        {"AttributeName": "SK", "AttributeType": "S"},
        {"AttributeName": "g", "AttributeType": "S"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "byG",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"]},
        }
    ],
}

Step = tuple[str, dict[str, Any]]
ITEMS: list[Step] = [
    (
        "PutItem",
        {
            "Item": {
                **key(f"p{number % 3}", f"s{number:02d}"),
                "n": {"N": str(number)},
                "tags": {"SS": ["a", f"t{number % 4}"]},
                "doc": {"M": {"l": {"L": [{"N": str(number)}, {"S": "x"}]}, "deep": {"M": {"k": {"BOOL": True}}}}},
                **({"g": {"S": f"g{number % 2}"}} if number % 5 else {}),
            }
        },
    )
    for number in range(24)
]


def step(operation: str, **request: Any) -> Step:
    return operation, request


def values(**given: Any) -> dict[str, Any]:
    return {f":{name}": value for name, value in given.items()}


SCENARIO: list[Step] = [
    *ITEMS,
    step("GetItem", Key=key("p1", "s01")),
    step("GetItem", Key=key("p1", "s01"), ProjectionExpression="doc.deep.k, n, doc.l[1]"),
    step("GetItem", Key=key("p1", "absent")),
    step("PutItem", Item=key("p1", "s01"), ConditionExpression="attribute_not_exists(PK)"),
    step("PutItem", Item={**key("p9", "s"), "n": {"N": "1"}}, ConditionExpression="attribute_not_exists(PK)"),
    step(
        "UpdateItem",
        Key=key("p0", "s00"),
        UpdateExpression=(
            "SET n = n + :one, doc.#d.k = :s, fresh = if_not_exists(fresh, :one) ADD tags :t REMOVE doc.l[0]"
        ),
        ExpressionAttributeNames={"#d": "deep"},
        ExpressionAttributeValues=values(one={"N": "1"}, s={"S": "new"}, t={"SS": ["zz"]}),
        ReturnValues="ALL_NEW",
    ),
    step(
        "UpdateItem",
        Key=key("p0", "s00"),
        UpdateExpression="SET n = :n",
        ConditionExpression="n < :n AND contains(tags, :t)",
        ExpressionAttributeValues=values(n={"N": "0"}, t={"S": "zz"}),
    ),
    step(
        "UpdateItem",
        Key=key("p0", "s03"),
        UpdateExpression="SET doc.l = list_append(doc.l, :l) DELETE tags :t",
        ExpressionAttributeValues=values(l={"L": [{"NULL": True}]}, t={"SS": ["a"]}),
        ReturnValues="UPDATED_NEW",
    ),
    step("UpdateItem", Key=key("p0", "s03"), UpdateExpression="REMOVE absent", ReturnValues="ALL_OLD"),
    step("DeleteItem", Key=key("p0", "s06"), ReturnValues="ALL_OLD"),
    step(
        "DeleteItem",
        Key=key("p0", "s09"),
        ConditionExpression="n = :n",
        ExpressionAttributeValues=values(n={"N": "8"}),
    ),
    step("Query", KeyConditionExpression="PK = :p", ExpressionAttributeValues=values(p={"S": "p1"})),
    step(
        "Query",
        KeyConditionExpression="PK = :p AND SK BETWEEN :l AND :h",
        FilterExpression="n IN (:a, :b) OR attribute_not_exists(g)",
        ExpressionAttributeValues=values(p={"S": "p1"}, l={"S": "s02"}, h={"S": "s14"}, a={"N": "4"}, b={"N": "7"}),
        ScanIndexForward=False,
    ),
    step(
        "Query",
        KeyConditionExpression="PK = :p",
        ExpressionAttributeValues=values(p={"S": "p1"}),
        Limit=3,
        Select="COUNT",
    ),
    step(
        "Query",
        IndexName="byG",
        KeyConditionExpression="g = :g AND SK > :s",
        ExpressionAttributeValues=values(g={"S": "g1"}, s={"S": "s05"}),
    ),
    step(
        "Query",
        IndexName="byG",
        KeyConditionExpression="g = :g",
        ExpressionAttributeValues=values(g={"S": "g1"}),
        Limit=2,
    ),
    step(
        "BatchWriteItem",
        RequestItems={
            "tab": [
                {"PutRequest": {"Item": {**key("b", "1"), "n": {"N": "1"}}}},
                {"DeleteRequest": {"Key": key("p2", "s02")}},
            ]
        },
    ),
    step(
        "TransactWriteItems",
        TransactItems=[
            {"Put": {"TableName": "tab", "Item": key("t", "1")}},
            {
                "ConditionCheck": {
                    "TableName": "tab",
                    "Key": key("b", "1"),
                    "ConditionExpression": "attribute_exists(PK)",
                }
            },
        ],
    ),
    step("GetItem", Key=key("t", "1")),
    step(
        "TransactWriteItems",
        TransactItems=[
            {"Put": {"TableName": "tab", "Item": key("t", "2")}},
            {
                "Delete": {
                    "TableName": "tab",
                    "Key": key("b", "1"),
                    "ConditionExpression": "attribute_not_exists(PK)",
                }
            },
        ],
    ),
    step("GetItem", Key=key("t", "2")),
    step("GetItem", Key={"PK": {"S": "p"}}),
    step(
        "UpdateItem",
        Key=key("p0", "s00"),
        UpdateExpression="SET temp = :v",
        ExpressionAttributeValues=values(v={"N": "1"}),
    ),
]


# What moto sends without being asked, which the service does not.
_UNASKED = frozenset({"ResponseMetadata", "ConsumedCapacity", "ItemCollectionMetrics"})


def normal(answer: Any) -> Any:
    """An answer without what is free to differ: metadata, capacity that nobody asked for, the order of sets."""
    if isinstance(answer, dict):
        return {
            name: sorted(value) if name in {"SS", "NS", "BS"} else normal(value)
            for name, value in answer.items()
            if name not in _UNASKED
        }
    return [normal(value) for value in answer] if isinstance(answer, list) else answer


def snake(operation: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in operation).strip("_")


def test_a_scenario_gives_the_answers_of_moto(moto: Any, dynamodb: Any) -> None:
    moto.create_table(**TABLE)
    dynamodb("CreateTable", **TABLE)

    for operation, request in SCENARIO:
        if operation not in {"BatchWriteItem", "TransactWriteItems"}:
            request = {"TableName": "tab", **request}
        try:
            theirs = normal(getattr(moto, snake(operation))(**request))
        except ClientError as error:
            theirs = error.response["Error"]["Code"]
        try:
            ours = normal(dynamodb(operation, **request))
        except ServiceError as error:
            ours = error.code

        assert ours == theirs, (operation, request)
