from typing import Any

import pytest

KEY = {"PK": {"S": "a"}, "SK": {"S": "b"}}


def put(table: Any, **attributes: Any) -> None:
    table("PutItem", TableName="tab", Item={**KEY, **attributes})


def get(table: Any, **more: Any) -> Any:
    return table("GetItem", TableName="tab", Key=KEY, **more)


def update(table: Any, expression: str, values: Any = None, **more: Any) -> Any:
    if values:
        more["ExpressionAttributeValues"] = values
    return table("UpdateItem", TableName="tab", Key=KEY, UpdateExpression=expression, **more)


def test_a_put_item_is_got_with_its_numbers_in_plain_notation(table: Any) -> None:
    put(table, n={"N": "1.50e2"}, s={"SS": ["x", "y"]}, m={"M": {"l": {"L": [{"NULL": True}]}}}, e={"S": ""})

    assert get(table) == {
        "Item": {
            **KEY,
            "n": {"N": "150"},
            "s": {"SS": ["x", "y"]},
            "m": {"M": {"l": {"L": [{"NULL": True}]}}},
            "e": {"S": ""},
        }
    }


def test_an_absent_item_is_an_answer_without_item(table: Any) -> None:
    assert get(table) == {}


def test_an_unknown_table_is_not_found(table: Any) -> None:
    error = table.error("GetItem", TableName="nothing", Key=KEY)

    assert (error.code, error.message) == ("ResourceNotFoundException", "Requested resource not found")


def test_put_returns_the_old_item_on_request(table: Any) -> None:
    put(table, n={"N": "1"})

    answer = table("PutItem", TableName="tab", Item={**KEY, "n": {"N": "2"}}, ReturnValues="ALL_OLD")

    assert answer == {"Attributes": {**KEY, "n": {"N": "1"}}}


def test_a_failed_condition_shows_the_old_item_on_request(table: Any) -> None:
    put(table, n={"N": "1"})

    error = table.error(
        "PutItem",
        TableName="tab",
        Item=KEY,
        ConditionExpression="attribute_not_exists(PK)",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )

    assert error.code == "ConditionalCheckFailedException"
    assert error.message == "The conditional request failed"
    assert error.fields == {"Item": {**KEY, "n": {"N": "1"}}}


def test_delete_removes_and_returns_the_old_item(table: Any) -> None:
    put(table, n={"N": "1"})

    answer = table("DeleteItem", TableName="tab", Key=KEY, ReturnValues="ALL_OLD")

    assert answer == {"Attributes": {**KEY, "n": {"N": "1"}}}
    assert get(table) == {}


def test_update_makes_the_item_when_it_is_absent(table: Any) -> None:
    update(table, "SET n = :n", {":n": {"N": "1"}})

    assert get(table)["Item"] == {**KEY, "n": {"N": "1"}}


@pytest.mark.parametrize(
    ("expression", "values", "expected"),
    [
        ("SET n = n + :v", {":v": {"N": "0.5"}}, {"n": {"N": "1.5"}}),
        ("SET n = :v - n", {":v": {"N": "0.5"}}, {"n": {"N": "-0.5"}}),
        ("SET x = if_not_exists(x, :v)", {":v": {"S": "d"}}, {"x": {"S": "d"}}),
        ("SET x = if_not_exists(n, :v)", {":v": {"S": "d"}}, {"x": {"N": "1"}}),
        ("SET l = list_append(l, :v)", {":v": {"L": [{"S": "z"}]}}, {"l": {"L": [{"N": "0"}, {"N": "1"}, {"S": "z"}]}}),
        ("SET l[5] = :v", {":v": {"S": "z"}}, {"l": {"L": [{"N": "0"}, {"N": "1"}, {"S": "z"}]}}),
        ("SET m.a = :v", {":v": {"S": "z"}}, {"m": {"M": {"a": {"S": "z"}}}}),
        ("REMOVE l[0], n", None, {"l": {"L": [{"N": "1"}]}, "n": None}),
        ("ADD n :v, c :v", {":v": {"N": "2"}}, {"n": {"N": "3"}, "c": {"N": "2"}}),
        ("ADD s :v", {":v": {"SS": ["b", "c"]}}, {"s": {"SS": ["a", "b", "c"]}}),
        ("DELETE s :v", {":v": {"SS": ["a", "b"]}}, {"s": None}),
        ("SET n = l[1], l[0] = n", None, {"n": {"N": "1"}, "l": {"L": [{"N": "1"}, {"N": "1"}]}}),
    ],
)
def test_an_update_expression_changes_exactly_its_paths(
    table: Any, expression: str, values: Any, expected: dict[str, Any]
) -> None:
    before = {
        "n": {"N": "1"},
        "l": {"L": [{"N": "0"}, {"N": "1"}]},
        "m": {"M": {}},
        "s": {"SS": ["a", "b"]},
    }
    put(table, **before)

    update(table, expression, values)

    after = {**before, **expected}
    assert get(table)["Item"] == {**KEY, **{name: value for name, value in after.items() if value is not None}}


def test_updated_values_are_returned_by_path(table: Any) -> None:
    put(table, m={"M": {"a": {"N": "1"}, "b": {"N": "2"}}})

    old = update(table, "SET m.a = :v", {":v": {"N": "5"}}, ReturnValues="UPDATED_OLD")
    new = update(table, "SET m.a = :v", {":v": {"N": "6"}}, ReturnValues="UPDATED_NEW")

    assert old == {"Attributes": {"m": {"M": {"a": {"N": "1"}}}}}
    assert new == {"Attributes": {"m": {"M": {"a": {"N": "6"}}}}}


def test_a_projection_gives_the_named_paths(table: Any) -> None:
    put(table, m={"M": {"a": {"N": "1"}, "b": {"N": "2"}}}, l={"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}]})

    answer = get(table, ProjectionExpression="m.b, l[2], l[0], absent")

    assert answer["Item"] == {"m": {"M": {"b": {"N": "2"}}}, "l": {"L": [{"N": "0"}, {"N": "2"}]}}


def test_an_item_of_400_kb_fits_and_one_byte_more_does_not(table: Any) -> None:
    room = 400 * 1024 - len("PKaSKbx")

    put(table, x={"S": "x" * room})
    message = table.message("PutItem", TableName="tab", Item={**KEY, "x": {"S": "x" * (room + 1)}})

    assert message == "Item size has exceeded the maximum allowed size"


def test_consumed_capacity_counts_the_larger_item(table: Any) -> None:
    put(table, x={"S": "x" * 2000})

    answer = table("PutItem", TableName="tab", Item=KEY, ReturnConsumedCapacity="TOTAL")

    assert answer == {"ConsumedCapacity": {"TableName": "tab", "CapacityUnits": 2.0}}


def test_capacity_counts_every_index_entry_a_write_changes(dynamodb: Any) -> None:
    index = {"KeySchema": [{"AttributeName": "colour", "KeyType": "HASH"}]}
    dynamodb.create(
        keys="PK:S",
        AttributeDefinitions=[{"AttributeName": "colour", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[
            {"IndexName": "whole", "Projection": {"ProjectionType": "ALL"}, **index},
            {"IndexName": "keys", "Projection": {"ProjectionType": "KEYS_ONLY"}, **index},
        ],
    )

    def units(operation: str, **more: Any) -> tuple[float, float, dict[str, float]]:
        answer = dynamodb(operation, TableName="tab", ReturnConsumedCapacity="INDEXES", **more)["ConsumedCapacity"]
        indexes = {name: one["CapacityUnits"] for name, one in answer.get("GlobalSecondaryIndexes", {}).items()}
        return answer["CapacityUnits"], answer["Table"]["CapacityUnits"], indexes

    def put(**attributes: dict[str, str]) -> tuple[float, float, dict[str, float]]:
        return units("PutItem", Item={"PK": {"S": "a"}, **attributes})

    assert put(note={"S": "x"}) == (1.0, 1.0, {})
    assert put(colour={"S": "red"}) == (3.0, 1.0, {"whole": 1.0, "keys": 1.0})
    assert put(colour={"S": "red"}) == (1.0, 1.0, {})
    assert put(colour={"S": "red"}, note={"S": "x" * 2000}) == (4.0, 2.0, {"whole": 2.0})
    assert put(colour={"S": "blue"}) == (7.0, 2.0, {"whole": 3.0, "keys": 2.0})
    assert units("DeleteItem", Key={"PK": {"S": "a"}}) == (3.0, 1.0, {"whole": 1.0, "keys": 1.0})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"SS": ["b", "", "é", "a"]}, {"SS": ["", "a", "b", "é"]}),
        ({"BS": ["/w==", "AA==", "AAE="]}, {"BS": ["AA==", "AAE=", "/w=="]}),
        ({"L": [{"SS": ["b", "a"]}]}, {"L": [{"SS": ["a", "b"]}]}),
    ],
)
def test_a_set_is_kept_in_the_order_of_its_bytes(table: Any, given: Any, kept: Any) -> None:
    put(table, set=given)

    assert get(table)["Item"]["set"] == kept


def test_what_is_added_to_a_set_takes_its_place_in_the_order(table: Any) -> None:
    put(table, tags={"SS": ["a", "c"]})

    answer = update(table, "ADD tags :more", {":more": {"SS": ["b", ""]}}, ReturnValues="ALL_NEW")

    assert answer["Attributes"]["tags"] == {"SS": ["", "a", "b", "c"]}
