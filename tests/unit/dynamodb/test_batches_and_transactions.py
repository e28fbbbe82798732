from typing import Any

import pytest

KEY = {"PK": {"S": "a"}, "SK": {"S": "s"}}


def key(name: str) -> dict[str, Any]:
    return {"PK": {"S": name}, "SK": {"S": "s"}}


def put(name: str, **attributes: Any) -> dict[str, Any]:
    return {"Put": {"TableName": "tab", "Item": {**key(name), **attributes}}}


def names(table: Any) -> list[str]:
    return sorted(item["PK"]["S"] for item in table("Scan", TableName="tab")["Items"])


def test_a_batch_puts_and_deletes(table: Any) -> None:
    table("PutItem", TableName="tab", Item=key("old"))

    answer = table(
        "BatchWriteItem",
        RequestItems={"tab": [{"PutRequest": {"Item": key("new")}}, {"DeleteRequest": {"Key": key("old")}}]},
    )

    assert answer == {"UnprocessedItems": {}}
    assert names(table) == ["new"]


def test_a_batch_read_gives_what_there_is(table: Any) -> None:
    table("PutItem", TableName="tab", Item={**key("a"), "x": {"N": "1"}})

    answer = table("BatchGetItem", RequestItems={"tab": {"Keys": [key("a"), key("b")], "ProjectionExpression": "x"}})

    assert answer == {"Responses": {"tab": [{"x": {"N": "1"}}]}, "UnprocessedKeys": {}}


def test_a_transaction_writes_everything(table: Any) -> None:
    table("PutItem", TableName="tab", Item={**key("c"), "n": {"N": "1"}})
    table("PutItem", TableName="tab", Item=key("d"))

    update = {
        "TableName": "tab",
        "Key": key("c"),
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    table(
        "TransactWriteItems",
        TransactItems=[put("a"), {"Update": update}, {"Delete": {"TableName": "tab", "Key": key("d")}}],
    )

    assert names(table) == ["a", "c"]
    got = table("TransactGetItems", TransactItems=[{"Get": {"TableName": "tab", "Key": key("c")}}])
    assert got == {"Responses": [{"Item": {**key("c"), "n": {"N": "2"}}}]}


def test_one_false_condition_cancels_all_with_a_reason_for_each(table: Any) -> None:
    table("PutItem", TableName="tab", Item={**key("b"), "n": {"N": "1"}})
    guarded = put("b")
    guarded["Put"].update(ConditionExpression="attribute_not_exists(PK)", ReturnValuesOnConditionCheckFailure="ALL_OLD")

    error = table.error("TransactWriteItems", TransactItems=[put("a"), guarded])

    assert error.code == "TransactionCanceledException"
    assert error.message == (
        "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed]"
    )
    assert error.fields["CancellationReasons"] == [
        {"Code": "None"},
        {
            "Code": "ConditionalCheckFailed",
            "Message": "The conditional request failed",
            "Item": {**key("b"), "n": {"N": "1"}},
        },
    ]
    assert names(table) == ["b"]


def test_an_update_that_does_not_fit_cancels_all(table: Any) -> None:
    table("PutItem", TableName="tab", Item={**key("b"), "n": {"S": "text"}})
    update = {
        "TableName": "tab",
        "Key": key("b"),
        "UpdateExpression": "SET n = n + :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }

    error = table.error("TransactWriteItems", TransactItems=[put("a"), {"Update": update}])

    assert error.fields["CancellationReasons"] == [
        {"Code": "None"},
        {"Code": "ValidationError", "Message": "An operand in the update expression has an incorrect data type"},
    ]
    assert names(table) == ["b"]


def test_a_token_makes_a_repetition_harmless_for_ten_minutes(table: Any) -> None:
    add = {
        "Update": {
            "TableName": "tab",
            "Key": key("a"),
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }

    def count() -> str:
        return str(table("GetItem", TableName="tab", Key=key("a"))["Item"]["n"]["N"])

    table("TransactWriteItems", TransactItems=[add], ClientRequestToken="t")
    table("TransactWriteItems", TransactItems=[add], ClientRequestToken="t")
    assert count() == "1"
    assert (
        table.error("TransactWriteItems", TransactItems=[put("x")], ClientRequestToken="t").code
        == "IdempotentParameterMismatchException"
    )
    table.now += 601
    table("TransactWriteItems", TransactItems=[add], ClientRequestToken="t")
    assert count() == "2"


def test_two_actions_on_one_item_are_refused(table: Any) -> None:
    message = table.message("TransactWriteItems", TransactItems=[put("a"), put("a")])

    assert message == "Transaction request cannot include multiple operations on one item"


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"Put": {"Item": {**KEY, "PK": {"N": "5"}}}}, "Type mismatch for key PK expected: S actual: N"),
        ({"Delete": {"Key": {"PK": {"S": "x"}}}}, "The provided key element does not match the schema"),
        (
            {"ConditionCheck": {"Key": {**KEY, "PK": {"L": []}}, "ConditionExpression": "a = b"}},
            "The provided key element does not match the schema",
        ),
    ],
)
def test_a_wrong_key_cancels_the_transaction_with_its_reason(table: Any, action: Any, message: str) -> None:
    good = put("good")
    ((kind, members),) = action.items()
    action = {kind: {"TableName": "tab", **members}}

    error = table.error("TransactWriteItems", TransactItems=[good, action])

    assert error.code == "TransactionCanceledException"
    assert [reason["Code"] for reason in error.fields["CancellationReasons"]] == ["None", "ValidationError"]
    assert error.fields["CancellationReasons"][1]["Message"].endswith(message)
    assert names(table) == []


def test_a_wrong_key_cancels_a_transaction_of_reads(table: Any) -> None:
    error = table.error("TransactGetItems", TransactItems=[{"Get": {"TableName": "tab", "Key": {}}}])

    assert error.code == "TransactionCanceledException"
    assert [reason["Code"] for reason in error.fields["CancellationReasons"]] == ["ValidationError"]


def test_an_empty_key_refuses_the_whole_transaction(table: Any) -> None:
    action = {"Delete": {"TableName": "tab", "Key": {**KEY, "PK": {"S": ""}}}}

    message = table.message("TransactWriteItems", TransactItems=[action])

    assert message.endswith("The AttributeValue for a key attribute cannot contain an empty string value. Key: PK")


def test_a_transaction_holds_four_megabytes(table: Any) -> None:
    def puts(count: int) -> list[dict[str, Any]]:
        items = [{"PK": {"S": "big"}, "SK": {"S": str(at)}, "a": {"S": "x" * 350_000}} for at in range(count)]
        return [{"Put": {"TableName": "tab", "Item": item}} for item in items]

    table("TransactWriteItems", TransactItems=puts(11))

    assert "4 MB" in table.message("TransactWriteItems", TransactItems=puts(12))
    gets = [{"Get": {"TableName": "tab", "Key": {"PK": {"S": "big"}, "SK": {"S": str(at)}}}} for at in range(12)]
    assert len(table("TransactGetItems", TransactItems=gets)["Responses"]) == 12
    table("PutItem", TableName="tab", Item=puts(12)[11]["Put"]["Item"])
    assert "4 MB" in table.message("TransactGetItems", TransactItems=gets)


def big(name: str, sort: str, size: int) -> dict[str, Any]:
    return {"PK": {"S": name}, "SK": {"S": sort}, "a": {"S": "x" * size}}


def read_batch(table: Any, keys: list[dict[str, Any]]) -> tuple[int, int]:
    """How many items a batch gave and how many keys it left."""
    answer = table("BatchGetItem", RequestItems={"tab": {"Keys": keys}})
    return len(answer["Responses"]["tab"]), len(answer["UnprocessedKeys"].get("tab", {"Keys": []})["Keys"])


def test_a_batch_read_answers_sixteen_megabytes(table: Any) -> None:
    for at in range(60):
        table("PutItem", TableName="tab", Item=big(f"p{at}", "s", 300_000))

    assert read_batch(table, [key(f"p{at}") for at in range(60)]) == (55, 5)


def test_a_batch_read_leaves_what_exceeds_a_megabyte_of_one_partition(table: Any) -> None:
    for at in range(6):
        table("PutItem", TableName="tab", Item=big("one", f"s{at}", 390_000))
    keys = [{"PK": {"S": "one"}, "SK": {"S": f"s{at}"}} for at in range(6)]

    assert read_batch(table, [*keys, key("none")]) == (3, 3)


@pytest.mark.parametrize(("reads", "is_one_partition"), [(5, True), (6000, False)])
def test_a_provisioned_table_has_the_partitions_of_its_throughput(
    dynamodb: Any, reads: int, is_one_partition: bool
) -> None:
    dynamodb(
        "CreateTable",
        TableName="tab",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK")],
        ProvisionedThroughput={"ReadCapacityUnits": reads, "WriteCapacityUnits": 1},
    )
    for at in range(16):
        dynamodb("PutItem", TableName="tab", Item=big(f"p{at}", "s", 300_000))

    given, left = read_batch(dynamodb, [key(f"p{at}") for at in range(16)])

    assert (given == 4) is is_one_partition
    assert given + left == 16
    assert given >= 4 < left


@pytest.fixture
def indexed(dynamodb: Any) -> Any:
    """A table `tab` with a local and a global index, and one `plain` without."""
    projection = {"ProjectionType": "ALL"}
    dynamodb.create(
        AttributeDefinitions=[{"AttributeName": "n", "AttributeType": "N"}],
        LocalSecondaryIndexes=[
            {
                "IndexName": "local",
                "KeySchema": [
                    {"AttributeName": "PK", "KeyType": "HASH"},
                    {"AttributeName": "n", "KeyType": "RANGE"},
                ],
                "Projection": projection,
            }
        ],
        GlobalSecondaryIndexes=[
            {"IndexName": "global", "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}], "Projection": projection}
        ],
    )
    dynamodb.create("plain")
    return dynamodb


def _of(partition: str, sort: str, **more: Any) -> dict[str, Any]:
    return {"PK": {"S": partition}, "SK": {"S": sort}, **more}


def _metrics(partition: str) -> dict[str, Any]:
    return {"ItemCollectionKey": {"PK": {"S": partition}}, "SizeEstimateRangeGB": [0.0, 1.0]}


def test_a_batch_tells_the_collections_it_wrote_to_once_each(indexed: Any) -> None:
    puts = [{"PutRequest": {"Item": _of(partition, sort)}} for partition, sort in ("ax", "ay", "bx")]
    deletes = [{"DeleteRequest": {"Key": _of("c", "x")}}]

    answer = indexed(
        "BatchWriteItem",
        RequestItems={"tab": [*puts, *deletes], "plain": puts},
        ReturnItemCollectionMetrics="SIZE",
    )

    assert answer["ItemCollectionMetrics"] == {"tab": [_metrics("a"), _metrics("b"), _metrics("c")]}


def test_a_transaction_tells_collections_and_the_units_of_indexes(indexed: Any) -> None:
    answer = indexed(
        "TransactWriteItems",
        TransactItems=[
            {"Put": {"TableName": "tab", "Item": _of("a", "x", n={"N": "1"})}},
            {
                "ConditionCheck": {
                    "TableName": "tab",
                    "Key": _of("z", "x"),
                    "ConditionExpression": "attribute_not_exists(PK)",
                }
            },
            {"Put": {"TableName": "plain", "Item": _of("a", "x")}},
        ],
        ReturnItemCollectionMetrics="SIZE",
        ReturnConsumedCapacity="INDEXES",
    )

    assert answer["ItemCollectionMetrics"] == {"tab": [_metrics("a")]}
    two = {"CapacityUnits": 2.0, "WriteCapacityUnits": 2.0}
    assert answer["ConsumedCapacity"] == [
        {
            "TableName": "tab",
            "CapacityUnits": 8.0,
            "WriteCapacityUnits": 8.0,
            "Table": {"CapacityUnits": 4.0, "WriteCapacityUnits": 4.0},
            "GlobalSecondaryIndexes": {"global": two},
            "LocalSecondaryIndexes": {"local": two},
        },
        {"TableName": "plain", **two, "Table": two},
    ]


def test_two_equal_deletes_are_duplicates_before_their_keys_are_wrong(table: Any) -> None:
    delete = {"DeleteRequest": {"Key": {"PK": {"S": "a"}}}}

    once = table.message("BatchWriteItem", RequestItems={"tab": [delete]})
    twice = table.message("BatchWriteItem", RequestItems={"tab": [delete, delete]})

    assert once == "The provided key element does not match the schema"
    assert twice == "Provided list of item keys contains duplicates"
