"""The DynamoDB data source: the requests it sends, the results it gives, and its errors."""

from typing import Any

import pytest

from headwater.datasource import DynamoDbSource, PageTokens, SourceCall
from headwater.errors import DataSourceError, RequestError, ServiceError

TOKENS = PageTokens(b"k" * 64)
CALL = SourceCall("Query.getThing", "request-1", "Query", "getThing", {"id": "1"}, {"sub": "me"})
CONDITION_FAILED = ServiceError("ConditionalCheckFailedException", "The conditional request failed")


class Backend:
    """DynamoDB as far as these tests go: remembers requests, answers each with the next prepared reply."""

    def __init__(self, *replies: Any) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._replies = list(replies)

    async def __call__(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append((operation, request))
        reply = self._replies.pop(0) if self._replies else {}
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def run(self, request: dict[str, Any], call: SourceCall = CALL, **options: Any) -> Any:
        source = DynamoDbSource(self, "Things", region="us-east-1", tokens=TOKENS, **options)
        return await source.execute(request, call)


async def test_get_item_gives_plain_json() -> None:
    item = {
        "id": {"S": "1"},
        "n": {"N": "10"},
        "f": {"N": "1.5"},
        "b": {"B": "aGk="},
        "yes": {"BOOL": True},
        "none": {"NULL": True},
        "ss": {"SS": ["a"]},
        "ns": {"NS": ["1", "2.5"]},
        "l": {"L": [{"N": "1"}, {"M": {"x": {"S": "y"}}}]},
    }
    backend = Backend({"Item": item})

    result = await backend.run({"operation": "GetItem", "key": {"id": {"S": "1"}}, "consistentRead": True})

    assert result == {
        "id": "1",
        "n": 10,
        "f": 1.5,
        "b": "aGk=",
        "yes": True,
        "none": None,
        "ss": ["a"],
        "ns": [1, 2.5],
        "l": [1, {"x": "y"}],
    }
    assert backend.requests == [
        ("GetItem", {"TableName": "Things", "Key": {"id": {"S": "1"}}, "ConsistentRead": True}),
    ]


async def test_a_missing_item_is_null() -> None:
    assert await Backend({}).run({"operation": "GetItem", "key": {"id": {"S": "1"}}}) is None


async def test_put_item_writes_key_and_values_and_gives_the_item() -> None:
    backend = Backend({})

    result = await backend.run(
        {
            "operation": "PutItem",
            "key": {"id": {"S": "1"}},
            "attributeValues": {"n": {"N": 10}, "gone": {"NULL": None}, "ns": {"NS": [1, 2.5]}},
        }
    )

    assert result == {"id": "1", "n": 10, "gone": None, "ns": [1, 2.5]}
    assert backend.requests[0][1]["Item"] == {
        "id": {"S": "1"},
        "n": {"N": "10"},
        "gone": {"NULL": True},
        "ns": {"NS": ["1", "2.5"]},
    }


async def test_update_item_joins_update_and_condition() -> None:
    backend = Backend({"Attributes": {"id": {"S": "1"}, "n": {"N": "2"}}})

    result = await backend.run(
        {
            "operation": "UpdateItem",
            "key": {"id": {"S": "1"}},
            "update": {
                "expression": "SET #expName_1 = :expValue_1",
                "expressionNames": {"#expName_1": "n"},
                "expressionValues": {":expValue_1": {"N": 2}},
            },
            "condition": '{"expression":"(attribute_exists(#id))","expressionNames":{"#id":"id"}}',
        }
    )

    assert result == {"id": "1", "n": 2}
    assert backend.requests == [
        (
            "UpdateItem",
            {
                "TableName": "Things",
                "Key": {"id": {"S": "1"}},
                "ReturnValues": "ALL_NEW",
                "UpdateExpression": "SET #expName_1 = :expValue_1",
                "ConditionExpression": "(attribute_exists(#id))",
                "ExpressionAttributeNames": {"#expName_1": "n", "#id": "id"},
                "ExpressionAttributeValues": {":expValue_1": {"N": "2"}},
            },
        )
    ]


async def test_a_placeholder_with_two_meanings_is_refused() -> None:
    with pytest.raises(RequestError, match="#a stands for two different values"):
        await Backend().run(
            {
                "operation": "UpdateItem",
                "key": {},
                "update": {"expression": "REMOVE #a", "expressionNames": {"#a": "x"}},
                "condition": {"expression": "attribute_exists(#a)", "expressionNames": {"#a": "y"}},
            }
        )


async def test_delete_item_gives_the_item_as_it_was() -> None:
    backend = Backend({"Attributes": {"id": {"S": "1"}}})

    assert await backend.run({"operation": "DeleteItem", "key": {"id": {"S": "1"}}}) == {"id": "1"}
    assert backend.requests[0][1]["ReturnValues"] == "ALL_OLD"


PUT_IF_NEW = {
    "operation": "PutItem",
    "key": {"id": {"S": "1"}},
    "attributeValues": {"name": {"S": "Steve"}, "version": {"N": 2}},
    "condition": {"expression": "attribute_not_exists(id)", "equalsIgnore": ["version"]},
}


async def test_a_failed_condition_is_an_error_with_the_current_item() -> None:
    backend = Backend(CONDITION_FAILED, {"Item": {"id": {"S": "1"}, "name": {"S": "Bob"}}})

    with pytest.raises(DataSourceError) as failure:
        await backend.run(PUT_IF_NEW)

    assert failure.value.error_type == "DynamoDB:ConditionalCheckFailedException"
    assert failure.value.message == (
        "The conditional request failed (Service: DynamoDb, Status Code: 400, Request ID: request-1)"
    )
    assert failure.value.data == {"id": "1", "name": "Bob"}
    assert backend.requests[1] == (
        "GetItem",
        {"TableName": "Things", "Key": {"id": {"S": "1"}}, "ConsistentRead": True},
    )


async def test_a_put_of_an_equal_item_succeeds_in_spite_of_its_condition() -> None:
    backend = Backend(CONDITION_FAILED, {"Item": {"id": {"S": "1"}, "name": {"S": "Steve"}, "version": {"N": "8"}}})

    assert await backend.run(PUT_IF_NEW) == {"id": "1", "name": "Steve", "version": 8}


async def test_deleting_what_is_gone_succeeds_in_spite_of_its_condition() -> None:
    request = {"operation": "DeleteItem", "key": {"id": {"S": "1"}}, "condition": {"expression": "x = y"}}

    assert await Backend(CONDITION_FAILED, {}).run(request) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"action": "discard"}, {"id": "1", "n": 5}),
        ({"action": "retry", "retryMapping": {"operation": "DeleteItem", "key": {"id": {"S": "1"}}}}, {"id": "gone"}),
    ],
)
async def test_a_custom_condition_handler_decides(reply: dict[str, Any], expected: dict[str, Any]) -> None:
    asked: list[Any] = []

    async def handle(arn: str, payload: dict[str, Any]) -> Any:
        asked.append((arn, payload))
        return reply

    current = {"id": {"S": "1"}, "n": {"N": "5"}}
    backend = Backend(CONDITION_FAILED, {"Item": current}, {"Attributes": {"id": {"S": "gone"}}})
    condition = {"expression": "a = b", "conditionalCheckFailedHandler": {"strategy": "Custom", "lambdaArn": "arn:f"}}
    request = {**PUT_IF_NEW, "condition": condition}

    assert await backend.run(request, handle_condition=handle) == expected
    arn, payload = asked[0]
    assert arn == "arn:f"
    assert payload == {
        "arguments": {"id": "1"},
        "requestMapping": request,
        "currentValue": current,
        "resolver": {
            "tableName": "Things",
            "awsRegion": "us-east-1",
            "parentType": "Query",
            "field": "getThing",
        },
        "identity": {"sub": "me"},
    }


async def test_a_custom_condition_handler_may_reject() -> None:
    async def handle(arn: str, payload: dict[str, Any]) -> Any:
        return {"action": "reject"}

    condition = {"expression": "a = b", "conditionalCheckFailedHandler": {"strategy": "Custom", "lambdaArn": "arn:f"}}

    with pytest.raises(DataSourceError, match="The conditional request failed"):
        await Backend(CONDITION_FAILED, {}).run({**PUT_IF_NEW, "condition": condition}, handle_condition=handle)


async def test_a_condition_handler_that_fails_is_a_lambda_error() -> None:
    async def handle(arn: str, payload: dict[str, Any]) -> Any:
        raise ServiceError("TooManyRequestsException", "slow down")

    condition = {"expression": "a = b", "conditionalCheckFailedHandler": {"strategy": "Custom", "lambdaArn": "arn:f"}}

    with pytest.raises(DataSourceError, match="slow down") as failure:
        await Backend(CONDITION_FAILED, {}).run({**PUT_IF_NEW, "condition": condition}, handle_condition=handle)

    assert failure.value.error_type == "Lambda:TooManyRequestsException"


QUERY = {
    "operation": "Query",
    "query": {
        "expression": "#id = :id",
        "expressionNames": {"#id": "id"},
        "expressionValues": {":id": {"S": "1"}},
    },
}


async def test_a_query_gives_items_count_and_an_opaque_token() -> None:
    last_key = {"id": {"S": "1"}, "sk": {"S": "secret-sort-key"}}
    backend = Backend({"Items": [{"id": {"S": "1"}}], "ScannedCount": 3, "LastEvaluatedKey": last_key}, {})

    page = await backend.run({**QUERY, "index": "byId", "limit": 1.0, "scanIndexForward": False})
    await backend.run({**QUERY, "index": "byId", "nextToken": page["nextToken"]})

    assert (page["items"], page["scannedCount"]) == ([{"id": "1"}], 3)
    assert "secret" not in page["nextToken"]
    assert backend.requests[0][1] == {
        "TableName": "Things",
        "KeyConditionExpression": "#id = :id",
        "ExpressionAttributeNames": {"#id": "id"},
        "ExpressionAttributeValues": {":id": {"S": "1"}},
        "ScanIndexForward": False,
        "IndexName": "byId",
        "Limit": 1,
    }
    assert backend.requests[1][1]["ExclusiveStartKey"] == last_key


async def test_the_last_page_has_no_token() -> None:
    assert await Backend({"Items": [], "ScannedCount": 0}).run(QUERY) == {
        "items": [],
        "nextToken": None,
        "scannedCount": 0,
    }


@pytest.mark.parametrize("token", ["nonsense", "", "AAAA", 5])
async def test_a_token_that_is_none_is_refused(token: object) -> None:
    with pytest.raises(DataSourceError, match="Invalid pagination token"):
        await Backend().run({**QUERY, "nextToken": token})


async def test_a_token_of_another_resolver_is_refused() -> None:
    page = await Backend({"Items": [], "LastEvaluatedKey": {"id": {"S": "1"}}}).run(QUERY)

    with pytest.raises(DataSourceError, match="Invalid pagination token"):
        await Backend().run({**QUERY, "nextToken": page["nextToken"]}, SourceCall("Query.other"))


async def test_a_scan_takes_a_segment_and_a_filter() -> None:
    backend = Backend({})

    await backend.run(
        {
            "operation": "Scan",
            "totalSegments": 4,
            "segment": 1,
            "filter": '{"expression":"(#a = :a_eq)","expressionNames":{"#a":"a"},"expressionValues":{":a_eq":{"N":1}}}',
        }
    )

    assert backend.requests[0] == (
        "Scan",
        {
            "TableName": "Things",
            "TotalSegments": 4,
            "Segment": 1,
            "FilterExpression": "(#a = :a_eq)",
            "ExpressionAttributeNames": {"#a": "a"},
            "ExpressionAttributeValues": {":a_eq": {"N": "1"}},
        },
    )


async def test_batch_get_puts_items_in_the_order_of_their_keys() -> None:
    backend = Backend({"Responses": {"A": [{"id": {"S": "2"}, "x": {"N": "1"}}]}, "UnprocessedKeys": {}})

    result = await backend.run(
        {"operation": "BatchGetItem", "tables": {"A": {"keys": [{"id": {"S": "1"}}, {"id": {"S": "2"}}]}}}
    )

    assert result == {"data": {"A": [None, {"id": "2", "x": 1}]}, "unprocessedKeys": {"A": []}}


async def test_batch_get_reads_the_key_beside_a_projection_without_showing_it() -> None:
    backend = Backend({"Responses": {"A": [{"id": {"S": "1"}, "x": {"N": "1"}}]}})
    projection = {"expression": "#expName_1", "expressionNames": {"#expName_1": "x"}}

    result = await backend.run(
        {"operation": "BatchGetItem", "tables": {"A": {"keys": [{"id": {"S": "1"}}], "projection": projection}}}
    )

    assert result["data"] == {"A": [{"x": 1}]}
    assert backend.requests[0][1]["RequestItems"]["A"] == {
        "Keys": [{"id": {"S": "1"}}],
        "ProjectionExpression": "#expName_1, #hwKey0",
        "ExpressionAttributeNames": {"#expName_1": "x", "#hwKey0": "id"},
    }


async def test_batch_put_reports_what_was_not_written() -> None:
    left = {"A": [{"PutRequest": {"Item": {"id": {"S": "2"}}}}]}
    backend = Backend({"UnprocessedItems": left})

    result = await backend.run({"operation": "BatchPutItem", "tables": {"A": [{"id": {"S": "1"}}, {"id": {"S": "2"}}]}})

    assert result == {"data": {"A": [{"id": "1"}, None]}, "unprocessedItems": {"A": [{"id": "2"}]}}
    assert backend.requests[0][0] == "BatchWriteItem"


async def test_batch_delete_gives_the_keys() -> None:
    backend = Backend({})

    result = await backend.run({"operation": "BatchDeleteItem", "tables": {"A": [{"id": {"S": "1"}}]}})

    assert result == {"data": {"A": [{"id": "1"}]}, "unprocessedKeys": {"A": []}}
    assert backend.requests[0][1] == {"RequestItems": {"A": [{"DeleteRequest": {"Key": {"id": {"S": "1"}}}}]}}


async def test_a_batch_above_its_limit_is_refused() -> None:
    with pytest.raises(RequestError, match="1 to 25 items, not 26"):
        await Backend().run({"operation": "BatchPutItem", "tables": {"A": [{}] * 26}})


async def test_transact_get_gives_items_in_order() -> None:
    backend = Backend({"Responses": [{"Item": {"id": {"S": "1"}}}, {}]})
    items = [{"table": "A", "key": {"id": {"S": "1"}}}, {"table": "B", "key": {"id": {"S": "2"}}}]

    result = await backend.run({"operation": "TransactGetItems", "transactItems": items})

    assert result == {"items": [{"id": "1"}, None], "cancellationReasons": None}
    assert [entry["Get"]["TableName"] for entry in backend.requests[0][1]["TransactItems"]] == ["A", "B"]


TRANSACTION = {
    "operation": "TransactWriteItems",
    "transactItems": [
        {
            "table": "A",
            "operation": "PutItem",
            "key": {"id": {"S": "1"}},
            "attributeValues": {"n": {"N": 1}},
            "condition": {"expression": "attribute_not_exists(id)"},
        },
        {"table": "B", "operation": "UpdateItem", "key": {"id": {"S": "2"}}, "update": {"expression": "REMOVE x"}},
        {"table": "B", "operation": "DeleteItem", "key": {"id": {"S": "3"}}},
        {
            "table": "B",
            "operation": "ConditionCheck",
            "key": {"id": {"S": "4"}},
            "condition": {"expression": "a = b", "returnValuesOnConditionCheckFailure": False},
        },
    ],
}


async def test_transact_write_gives_the_keys() -> None:
    backend = Backend({})

    result = await backend.run(TRANSACTION)

    assert result == {"keys": [{"id": "1"}, {"id": "2"}, {"id": "3"}, {"id": "4"}], "cancellationReasons": None}
    assert backend.requests[0][1]["TransactItems"] == [
        {
            "Put": {
                "TableName": "A",
                "Item": {"n": {"N": "1"}, "id": {"S": "1"}},
                "ConditionExpression": "attribute_not_exists(id)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        },
        {"Update": {"TableName": "B", "Key": {"id": {"S": "2"}}, "UpdateExpression": "REMOVE x"}},
        {"Delete": {"TableName": "B", "Key": {"id": {"S": "3"}}}},
        {"ConditionCheck": {"TableName": "B", "Key": {"id": {"S": "4"}}, "ConditionExpression": "a = b"}},
    ]


async def test_a_cancelled_transaction_gives_its_reasons() -> None:
    reasons = [
        {"Code": "ConditionalCheckFailed", "Message": "m", "Item": {"id": {"S": "1"}}},
        {"Code": "None"},
    ]
    error = ServiceError("TransactionCanceledException", "cancelled", fields={"CancellationReasons": reasons})

    with pytest.raises(DataSourceError) as failure:
        await Backend(error).run(TRANSACTION)

    assert failure.value.error_type == "DynamoDB:TransactionCanceledException"
    assert failure.value.data == {
        "keys": None,
        "cancellationReasons": [
            {"type": "ConditionCheckFailed", "message": "The condition check failed.", "item": {"id": "1"}},
            {"type": "None", "message": "None"},
        ],
    }


@pytest.mark.parametrize(
    ("request_object", "message"),
    [
        ({}, r"Value for field '\$\[operation\]' not found\."),
        (None, r"Expected JSON object for field '\$' but got 'NULL' instead\."),
        ({"operation": "Sync"}, "Unsupported operation 'Sync'"),
        ({"operation": "GetItem"}, r"Value for field '\$\[key\]' not found\."),
        ({"operation": "Query"}, r"Value for field '\$\[query\]' not found\."),
        ({"operation": "Query", "query": "x"}, r"Expected JSON object for field '\$\[query\]'"),
        ({"operation": "UpdateItem", "key": {}}, r"Value for field '\$\[update\]' not found\."),
        ({"operation": "Scan", "limit": "ten"}, r"Expected JSON number for field '\$\[limit\]' but got 'STRING'"),
        ([], r"Expected JSON object for field '\$' but got 'ARRAY' instead"),
        ({"operation": "GetItem", "key": "x"}, r"Expected JSON object for field '\$\[key\]' but got 'STRING'"),
        (
            {"operation": "GetItem", "key": {"id": "x"}},
            r"Expected JSON object for attribute value '\$\[key\]\[id\]' but got 'STRING' instead\.",
        ),
        (
            {
                "operation": "PutItem",
                "key": {"id": {"S": "1"}},
                "attributeValues": {"m": {"M": {"l": {"L": [{"S": "a"}, 5]}}}},
            },
            r"attribute value '\$\[attributeValues\]\[m\]\[M\]\[l\]\[L\]\[1\]' but got 'NUMBER' instead",
        ),
        (
            {"operation": "PutItem", "key": {"id": {"S": "1"}}, "attributeValues": [1]},
            r"attributeValues\]' but got 'ARRAY'",
        ),
        (
            {"operation": "Query", "query": {"expression": "a = :a", "expressionValues": {":a": None}}},
            r"attribute value '\$\[query\]\[expressionValues\]\[:a\]' but got 'NULL' instead",
        ),
        (
            {"operation": "Query", "query": {"expression": "a", "expressionNames": []}},
            "expressionNames.' but got 'ARRAY'",
        ),
        (
            {"operation": "Query", "query": {"expression": "a", "expressionValues": 5}},
            "expressionValues.' but got 'NUMBER'",
        ),
        ({"operation": "BatchGetItem", "tables": {"t": [1]}}, r"tables\]\[t\]' but got 'ARRAY'"),
        ({"operation": "BatchGetItem", "tables": {"t": {"keys": [5]}}}, r"\[keys\]\[0\]' but got 'NUMBER'"),
        ({"operation": "BatchGetItem", "tables": {"t": {"keys": "x"}}}, r"JSON array for field '\$\[tables\]\[t\]'"),
        (
            {"operation": "BatchPutItem", "tables": {"t": [{"id": "x"}]}},
            r"\[tables\]\[t\]\[0\]\[id\]' but got 'STRING'",
        ),
        ({"operation": "BatchDeleteItem", "tables": {"t": True}}, "JSON array .* but got 'BOOLEAN'"),
        ({"operation": "TransactGetItems", "transactItems": [5]}, r"transactItems\]\[0\]' but got 'NUMBER'"),
        ({"operation": "TransactWriteItems", "transactItems": {}}, "Expected JSON array .* but got 'OBJECT'"),
        ({"operation": "Scan", "select": "SOME"}, "Unsupported select 'SOME'"),
    ],
)
async def test_a_request_that_cannot_be_read_is_a_mapping_template_error(request_object: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message) as failure:
        await Backend().run(request_object)

    assert failure.value.error_type == "MappingTemplate"
    assert not isinstance(failure.value, DataSourceError)


async def test_other_errors_of_dynamodb_keep_their_code() -> None:
    with pytest.raises(DataSourceError) as failure:
        await Backend(ServiceError("ResourceNotFoundException", "no table")).run(QUERY)

    assert failure.value.error_type == "DynamoDB:ResourceNotFoundException"
