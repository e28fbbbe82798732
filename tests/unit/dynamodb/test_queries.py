from typing import Any

import pytest


def fill(table: Any, partition: str, sorts: list[str], **attributes: Any) -> None:
    for sort in sorts:
        table("PutItem", TableName="tab", Item={"PK": {"S": partition}, "SK": {"S": sort}, **attributes})


def sorts(answer: Any) -> list[str]:
    return [item["SK"]["S"] for item in answer["Items"]]


def query(table: Any, condition: str, values: dict[str, str], **more: Any) -> Any:
    typed = {name: {"S": value} for name, value in values.items()}
    return table("Query", TableName="tab", KeyConditionExpression=condition, ExpressionAttributeValues=typed, **more)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("SK = :x", ["b"]),
        ("SK < :x", ["a", "aa"]),
        ("SK <= :x", ["a", "aa", "b"]),
        ("SK > :x", ["ba", "c"]),
        (":x < SK", ["ba", "c"]),
        ("SK >= :x", ["b", "ba", "c"]),
        ("SK BETWEEN :a AND :x", ["aa", "b"]),
        ("begins_with(SK, :x)", ["b", "ba"]),
    ],
)
def test_a_key_condition_gives_its_range_in_order(table: Any, condition: str, expected: list[str]) -> None:
    fill(table, "p", ["c", "b", "aa", "ba", "a"])
    fill(table, "q", ["b"])
    values = {":p": "p", **({":x": "b"}), **({":a": "aa"} if ":a" in condition else {})}

    forward = query(table, f"PK = :p AND {condition}", values)
    backward = query(table, f"PK = :p AND ({condition})", values, ScanIndexForward=False)

    assert sorts(forward) == expected
    assert sorts(backward) == expected[::-1]


@pytest.mark.parametrize("is_forward", [True, False])
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_of_a_query_join_to_the_whole_also_over_long_sort_keys(table: Any, is_forward: bool, limit: int) -> None:
    long = "m" * 600
    names = ["a", "m" * 400, long + "a", long + "b", long + "c", "m" * 401, "z"]
    fill(table, "p", names)
    found: list[str] = []
    start: dict[str, Any] = {}

    while True:
        page = query(table, "PK = :p", {":p": "p"}, Limit=limit, ScanIndexForward=is_forward, **start)
        found += sorts(page)
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    assert found == sorted(names, reverse=not is_forward)


def test_a_range_over_long_sort_keys_is_exact(table: Any) -> None:
    long = "m" * 600
    fill(table, "p", [long + "a", long + "b", long + "c"])

    between = query(table, "PK = :p AND SK BETWEEN :l AND :h", {":p": "p", ":l": long + "a", ":h": long + "b"})
    above = query(table, "PK = :p AND SK > :l", {":p": "p", ":l": long + "a"})
    equal = query(table, "PK = :p AND SK = :l", {":p": "p", ":l": long + "b"})

    assert [sort[-1] for sort in sorts(between)] == ["a", "b"]
    assert [sort[-1] for sort in sorts(above)] == ["b", "c"]
    assert [sort[-1] for sort in sorts(equal)] == ["b"]


def test_a_filter_drops_items_after_they_count_against_the_limit(table: Any) -> None:
    fill(table, "p", ["a", "b", "c"])

    answer = query(table, "PK = :p", {":p": "p", ":n": "no"}, FilterExpression="x = :n", Limit=2)

    assert answer == {
        "Count": 0,
        "ScannedCount": 2,
        "Items": [],
        "LastEvaluatedKey": {"PK": {"S": "p"}, "SK": {"S": "b"}},
    }


def test_a_page_ends_where_the_service_ends_it(table: Any) -> None:
    fill(table, "p", [f"{number:02d}" for number in range(30)], x={"S": "x" * 42000})

    first = query(table, "PK = :p", {":p": "p"}, Select="COUNT")

    assert first["Count"] == 25
    assert first["LastEvaluatedKey"]["SK"] == {"S": "24"}


def test_numbers_sort_as_numbers(dynamodb: Any) -> None:
    dynamodb.create(keys="PK:S SK:N")
    for number in ("10", "9", "-1", "0.5", "1e3", "-20"):
        dynamodb("PutItem", TableName="tab", Item={"PK": {"S": "p"}, "SK": {"N": number}})

    answer = dynamodb(
        "Query",
        TableName="tab",
        KeyConditionExpression="PK = :p AND SK > :n",
        ExpressionAttributeValues={":p": {"S": "p"}, ":n": {"N": "-1"}},
    )

    assert [item["SK"]["N"] for item in answer["Items"]] == ["0.5", "9", "10", "1000"]


def indexed(dynamodb: Any, projection: dict[str, Any]) -> None:
    dynamodb.create(
        AttributeDefinitions=[
            {"AttributeName": "g", "AttributeType": "S"},
            {"AttributeName": "n", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "byG",
                "KeySchema": [
                    {"AttributeName": "g", "KeyType": "HASH"},
                    {"AttributeName": "n", "KeyType": "RANGE"},
                ],
                "Projection": projection,
            }
        ],
    )


def by_g(dynamodb: Any, **more: Any) -> Any:
    return dynamodb(
        "Query",
        TableName="tab",
        IndexName="byG",
        KeyConditionExpression="g = :g",
        ExpressionAttributeValues={":g": {"S": "G"}},
        **more,
    )


def test_an_index_is_sparse_and_follows_changes(dynamodb: Any) -> None:
    indexed(dynamodb, {"ProjectionType": "ALL"})
    fill(dynamodb, "p", ["a"], g={"S": "G"}, n={"N": "2"})
    fill(dynamodb, "p", ["b"], g={"S": "G"}, n={"N": "1"})
    fill(dynamodb, "p", ["c"], g={"S": "G"})
    fill(dynamodb, "p", ["d"], g={"S": "G"}, n={"N": "3"})

    dynamodb("DeleteItem", TableName="tab", Key={"PK": {"S": "p"}, "SK": {"S": "d"}})
    dynamodb(
        "UpdateItem",
        TableName="tab",
        Key={"PK": {"S": "p"}, "SK": {"S": "b"}},
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "5"}},
    )

    assert sorts(by_g(dynamodb)) == ["a", "b"]
    assert by_g(dynamodb, Limit=1)["LastEvaluatedKey"] == {
        "PK": {"S": "p"},
        "SK": {"S": "a"},
        "g": {"S": "G"},
        "n": {"N": "2"},
    }


def test_equal_index_keys_are_paged_without_loss(dynamodb: Any) -> None:
    indexed(dynamodb, {"ProjectionType": "KEYS_ONLY"})
    names = [f"{number:02d}" for number in range(12)]
    fill(dynamodb, "p", names, g={"S": "G"}, n={"N": "1"}, x={"S": "hidden"})
    found: list[str] = []
    start: dict[str, Any] = {}

    while True:
        page = by_g(dynamodb, Limit=5, **start)
        found += sorts(page)
        assert all("x" not in item for item in page["Items"])
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    assert sorted(found) == names


def test_segments_of_a_scan_hold_every_item_once(table: Any) -> None:
    for number in range(100):
        fill(table, f"p{number}", ["a", "b"])

    segments = [table("Scan", TableName="tab", Segment=segment, TotalSegments=7) for segment in range(7)]

    found = [(item["PK"]["S"], item["SK"]["S"]) for answer in segments for item in answer["Items"]]
    assert sorted(found) == sorted((f"p{number}", sort) for number in range(100) for sort in "ab")
    assert len({len(answer["Items"]) for answer in segments}) > 1


def test_pages_of_a_scan_join_to_the_whole(table: Any) -> None:
    for number in range(20):
        fill(table, f"p{number}", ["a"])
    found: list[str] = []
    start: dict[str, Any] = {}

    while True:
        page = table("Scan", TableName="tab", Limit=3, **start)
        found += [item["PK"]["S"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    assert sorted(found) == sorted(f"p{number}" for number in range(20))


def test_an_index_made_later_holds_the_earlier_items(table: Any) -> None:
    fill(table, "p", ["a", "b"], g={"S": "G"})

    table(
        "UpdateTable",
        TableName="tab",
        AttributeDefinitions=[{"AttributeName": "g", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[
            {
                "Create": {
                    "IndexName": "byG",
                    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            }
        ],
    )

    assert sorted(sorts(by_g(table))) == ["a", "b"]
