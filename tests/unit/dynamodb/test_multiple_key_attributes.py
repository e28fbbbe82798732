"""Global indexes whose keys have several attributes, held against a filter over all items."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

TEXTS = ["a", "a\x00", "a\x00b", "b", "\x7f" * 390 + "x", "\x7f" * 450]
NUMBERS = [-1, 0, 2, 10]
TESTS: dict[str, Callable[[Any, Any, Any], bool]] = {
    "#k = :x": lambda value, x, y: value == x,
    "#k < :x": lambda value, x, y: value < x,
    "#k <= :x": lambda value, x, y: value <= x,
    "#k > :x": lambda value, x, y: value > x,
    "#k >= :x": lambda value, x, y: value >= x,
    "#k BETWEEN :x AND :y": lambda value, x, y: x <= value <= y,
    "begins_with(#k, :x)": lambda value, x, y: value.startswith(x),
}


def index(*elements: tuple[str, str]) -> dict[str, Any]:
    return {
        "IndexName": "wide",
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in elements],
        "Projection": {"ProjectionType": "ALL"},
    }


WIDE = index(("h", "HASH"), ("i", "HASH"), ("s", "RANGE"), ("n", "RANGE"))
DEFINITIONS = [
    {"AttributeName": name, "AttributeType": kind} for name, kind in (("h", "S"), ("i", "N"), ("s", "S"), ("n", "N"))
]


@pytest.fixture
def wide(dynamodb: Any) -> Any:
    dynamodb.create(keys="PK:S", AttributeDefinitions=DEFINITIONS, GlobalSecondaryIndexes=[WIDE])
    for number, (text, value) in enumerate(product(TEXTS, NUMBERS)):
        item = {"PK": {"S": str(number)}, "h": {"S": "h"}, "i": {"N": "1"}, "s": {"S": text}, "n": {"N": str(value)}}
        dynamodb("PutItem", TableName="tab", Item=item)
    for key, without in enumerate(("h", "i", "s", "n")):
        item = {"PK": {"S": f"sparse-{key}"}, "h": {"S": "h"}, "i": {"N": "1"}, "s": {"S": "a"}, "n": {"N": "0"}}
        del item[without]
        dynamodb("PutItem", TableName="tab", Item=item)
    return dynamodb


def query(wide: Any, condition: str, values: dict[str, Any], **more: Any) -> list[tuple[str, int]]:
    """All pages of two items each."""
    found: list[tuple[str, int]] = []
    start: dict[str, Any] = {}
    while True:
        answer = wide(
            "Query",
            TableName="tab",
            IndexName="wide",
            KeyConditionExpression=f"h = :h AND i = :i{condition}",
            ExpressionAttributeValues={":h": {"S": "h"}, ":i": {"N": "1"}, **values},
            Limit=2,
            **start,
            **more,
        )
        found += [(item["s"]["S"], int(item["n"]["N"])) for item in answer["Items"]]
        if "LastEvaluatedKey" not in answer:
            return found
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


@pytest.mark.parametrize("is_forward", [True, False], ids=["forward", "backward"])
@pytest.mark.parametrize("condition", TESTS)
def test_a_condition_on_the_first_sort_attribute_gives_its_range_in_order(
    wide: Any, condition: str, is_forward: bool
) -> None:
    for low, high in (("a", "b"), ("a\x00", "\x7f" * 400), ("\x7f" * 390, "\x7f" * 450), ("a\x00b", "a\x00b")):
        values = {":x": {"S": low}, **({":y": {"S": high}} if ":y" in condition else {})}
        expected = sorted(pair for pair in product(TEXTS, NUMBERS) if TESTS[condition](pair[0], low, high))

        found = query(wide, f" AND {condition.replace('#k', 's')}", values, ScanIndexForward=is_forward)

        assert found == (expected if is_forward else expected[::-1])


@pytest.mark.parametrize("condition", [name for name in TESTS if "begins" not in name])
@pytest.mark.parametrize("text", TEXTS)
def test_a_condition_on_the_last_sort_attribute_holds_the_first(wide: Any, condition: str, text: str) -> None:
    values = {":s": {"S": text}, ":x": {"N": "0"}, **({":y": {"N": "9"}} if ":y" in condition else {})}

    found = query(wide, f" AND s = :s AND {condition.replace('#k', 'n')}", values)

    assert found == [(text, number) for number in NUMBERS if TESTS[condition](number, 0, 9)]


def test_a_query_without_sort_conditions_is_sparse_and_in_order_of_all_attributes(wide: Any) -> None:
    assert query(wide, "", {}) == sorted(product(TEXTS, NUMBERS))


NOT_HELD = (
    "RANGE key attributes s must have equality conditions specified in the query because a condition is present on key "
    "attribute n"
)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("h = :h", "Query condition missed key schema element: i"),
        ("h = :h AND i = :i AND n = :n", NOT_HELD),
        ("h = :h AND i > :i", "Query key condition not supported"),
        ("h = :h AND i = :i AND s > :h AND n = :n", NOT_HELD),
        ("h = :h AND i = :i AND s = :h AND n = :n AND PK = :h", "Query key condition not supported"),
    ],
)
def test_conditions_that_a_wide_key_cannot_have(wide: Any, condition: str, message: str) -> None:
    used = {":h": {"S": "h"}, ":i": {"N": "1"}, ":n": {"N": "1"}}
    values = {name: value for name, value in used.items() if name in condition}

    found = wide.message(
        "Query",
        TableName="tab",
        IndexName="wide",
        KeyConditionExpression=condition,
        ExpressionAttributeValues=values,
    )

    assert found == message


def test_an_updated_item_moves_in_a_wide_index(wide: Any) -> None:
    wide(
        "UpdateItem",
        TableName="tab",
        Key={"PK": {"S": "0"}},
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "99"}},
    )

    found = query(wide, " AND s = :s", {":s": {"S": "a"}})

    assert found == [("a", 0), ("a", 2), ("a", 10), ("a", 99)]


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ([("h", "HASH"), ("s", "RANGE"), ("i", "HASH")], "HASH key elements must come before RANGE key elements"),
        ([("h", "HASH"), ("h", "HASH"), ("s", "RANGE")], "element in the KeySchema have the same name"),
        ([("h", "RANGE"), ("i", "RANGE"), ("s", "RANGE")], "The first KeySchemaElement is not a HASH key type"),
        ([("h", "HASH"), ("i", "HASH"), ("absent", "RANGE")], "Some index key attributes are not defined"),
    ],
)
def test_a_wide_schema_that_is_wrong_is_refused(dynamodb: Any, elements: list[tuple[str, str]], message: str) -> None:
    schema = [{"AttributeName": "PK", "KeyType": "HASH"}]
    definitions = [{"AttributeName": "PK", "AttributeType": "S"}, *DEFINITIONS]

    found = dynamodb.message(
        "CreateTable",
        TableName="tab",
        KeySchema=schema,
        AttributeDefinitions=definitions,
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[index(*elements)],
    )

    assert message in found
