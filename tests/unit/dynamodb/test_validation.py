"""The service's own words for wrong requests."""

# ruff: noqa: E501  # a message is one line, so that it can be searched for

from typing import Any

import pytest

KEY = {"PK": {"S": "a"}, "SK": {"S": "b"}}
PUT = {"TableName": "tab", "Item": KEY}
UPDATE = {"TableName": "tab", "Key": KEY}
GET = {"TableName": "tab", "Key": KEY}


def nested(levels: int) -> dict[str, Any]:
    """A text inside that many maps."""
    value: dict[str, Any] = {"S": "x"}
    for _ in range(levels):
        value = {"M": {"a": value}}
    return value


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("PutItem", {**PUT, "Item": {"SK": {"S": "b"}}}, "One or more parameter values were invalid: Missing the key PK in the item"),
        ("PutItem", {**PUT, "Item": {**KEY, "PK": {"N": "1"}}}, "One or more parameter values were invalid: Type mismatch for key PK expected: S actual: N"),
        ("PutItem", {**PUT, "Item": {**KEY, "PK": {"S": ""}}}, "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: PK"),
        ("GetItem", {**GET, "Key": {"PK": {"S": "a"}}}, "The provided key element does not match the schema"),
        ("GetItem", {**GET, "Key": {**KEY, "x": {"S": "a"}}}, "The provided key element does not match the schema"),
        ("GetItem", {"Key": KEY}, "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null"),
        ("PutItem", {"TableName": "a;", "Item": KEY, "ReturnValues": "x"}, "3 validation errors detected: Value 'a;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value 'a;' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3; Value 'x' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]"),
        ("PutItem", {**PUT, "ReturnValues": "ALL_NEW"}, "1 validation error detected: ReturnValues can only be ALL_OLD or NONE"),
        ("PutItem", {**PUT, "ConditionExpression": "temp = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}, "Invalid ConditionExpression: Attribute name is a reserved keyword; reserved keyword: temp"),
        ("PutItem", {**PUT, "ConditionExpression": "a = :b"}, "1 validation error detected: Invalid ConditionExpression: An expression attribute value used in expression is not defined; attribute value: :b"),
        ("PutItem", {**PUT, "ConditionExpression": "#a = :b", "ExpressionAttributeValues": {":b": {"S": "x"}}}, "Invalid ConditionExpression: An expression attribute name used in the document path is not defined; attribute name: #a"),
        ("PutItem", {**PUT, "ConditionExpression": "attribute_exists(#a.b, :b)"}, "Invalid ConditionExpression: An expression attribute name used in the document path is not defined; attribute name: #a"),
        ("PutItem", {**PUT, "ConditionExpression": "begins_with(:b, #a)"}, "1 validation error detected: Invalid ConditionExpression: An expression attribute value used in expression is not defined; attribute value: :b"),
        ("PutItem", {**PUT, "ConditionExpression": "attribute_type(b, :b) AND a = a", "ExpressionAttributeValues": {":b": {"N": "1"}}}, "Invalid ConditionExpression: Incorrect operand type for operator or function; operator or function: attribute_type, operand type: N"),
        ("PutItem", {**PUT, "ConditionExpression": "a = :b", "ExpressionAttributeValues": {":b": {"S": "x"}, ":x": {"S": "x"}}}, "1 validation error detected: Value provided in ExpressionAttributeValues unused in expressions: keys: {:x}"),
        ("PutItem", {**PUT, "ConditionExpression": "a = a"}, "Invalid ConditionExpression: The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]"),
        ("PutItem", {**PUT, "ConditionExpression": "((a = b))"}, "Invalid ConditionExpression: The expression has redundant parentheses;"),
        ("PutItem", {**PUT, "ConditionExpression": "size(a)"}, "Invalid ConditionExpression: The function is not allowed to be used this way in an expression; function: size"),
        ("PutItem", {**PUT, "ConditionExpression": "magic(a)"}, "Invalid ConditionExpression: Invalid function name; function: magic"),
        ("PutItem", {**PUT, "ConditionExpression": ""}, "1 validation error detected: Invalid ConditionExpression: The expression can not be empty;"),
        ("PutItem", {**PUT, "ConditionExpression": "a = "}, 'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "="'),
        ("PutItem", {**PUT, "ConditionExpression": "a BETWEEN :l AND :h", "ExpressionAttributeValues": {":l": {"N": "2"}, ":h": {"N": "1"}}}, "Invalid ConditionExpression: The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}"),
        ("PutItem", {**PUT, "Expected": {"a": {"Exists": False}}, "ConditionExpression": "a = b"}, "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}"),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "SET PK = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}}, "One or more parameter values were invalid: Cannot update attribute PK. This attribute is part of the key"),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "SET a = :v SET b = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}}, '1 validation error detected: Invalid UpdateExpression: The "SET" section can only be used once in an update expression;'),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "SET a.b = :v, a = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}}, "1 validation error detected: Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a]"),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "SET a = b"}, "The provided expression refers to an attribute that does not exist in the item"),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "SET a.b = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}}, "The document path provided in the update expression is invalid for update"),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "SET a ! :v"}, 'Invalid UpdateExpression: Syntax error; token: "!", near: "a ! :v"'),
        ("Query", {"TableName": "tab", "KeyConditionExpression": "PK = :a AND SK > :a AND SK < :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}, "KeyConditionExpressions must only contain one condition per key"),
        ("Query", {"TableName": "tab", "KeyConditionExpression": "PK = :a AND SK > :a AND x = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}, "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)"),
        ("Query", {"TableName": "tab", "KeyConditions": {key: {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "x"}]} for key in "abc"}}, "Conditions can be of length 1 or 2 only"),
        ("BatchWriteItem", {"RequestItems": {}}, "The requestItems parameter is required for BatchWriteItem"),
        ("BatchWriteItem", {"RequestItems": {"a!b": [{"PutRequest": {"Item": {"a": {"S": "x"}}}}]}}, "1 validation error detected: Value '{a!b=[WriteRequest(putRequest=PutRequest(item={a=AttributeValue(s=x, n=null, b=null, iNT=null, dECIMAL=null, dOUBLE=null, sS=null, nS=null, bS=null, iNTSET=null, dECIMALSET=null, dOUBLESET=null, m=null, l=null, nULL=null, bOOL=null)}), deleteRequest=null)]}' at 'requestItems' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 255, Member must have length greater than or equal to 3, Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+]"),
        ("BatchGetItem", {"RequestItems": {"a!b": {"Keys": [{"a": {"S": "x"}}]}}}, "1 validation error detected: Value '{\"a!b\":{\"Keys\":[{\"a\":{\"S\":\"x\"}}]}}' at 'requestItems' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 255, Member must have length greater than or equal to 3, Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+]"),
        ("BatchGetItem", {"RequestItems": {"tab": {"Keys": [KEY], "ProjectionExpression": "a"}, "tab2": {"Keys": [KEY], "AttributesToGet": ["a"]}}}, "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {AttributesToGet} Expression parameters: {ProjectionExpression}"),
        ("Query", {"TableName": "tab"}, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."),
        ("Query", {"TableName": "tab", "KeyConditionExpression": "SK = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}, "Query condition missed key schema element: PK"),
        ("Query", {"TableName": "tab", "KeyConditionExpression": "PK > :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}, "Query key condition not supported"),
        ("Query", {"TableName": "tab", "IndexName": "nix", "KeyConditionExpression": "PK = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}, "The table does not have the specified index: nix"),
        ("Query", {"TableName": "tab", "KeyConditionExpression": "PK = :a", "FilterExpression": "SK = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}}, "Filter Expression can only contain non-primary key attributes: Primary key attribute: SK"),
        ("BatchWriteItem", {"RequestItems": {"tab": [{"PutRequest": {"Item": KEY}}, {"DeleteRequest": {"Key": KEY}}]}}, "Provided list of item keys contains duplicates"),
        ("PutItem", {**PUT, "Item": {**KEY, "a": {"NULL": False}}}, "One or more parameter values were invalid: Null attribute value types must have the value of true"),
        ("BatchWriteItem", {"RequestItems": {"tab": [{"PutRequest": {"Item": {**KEY, "a": {"NULL": False}}}}]}}, "One or more parameter values were invalid: Null attribute value types must have the value of true"),
        ("PutItem", {**PUT, "Item": {**KEY, "a": nested(32)}}, "1 validation error detected: Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "SET a = :v", "ExpressionAttributeValues": {":v": nested(32)}}, "1 validation error detected: Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"),
        ("TransactWriteItems", {"TransactItems": [{"Put": {**PUT, "Item": {**KEY, "a": nested(32)}}}]}, "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"),
        ("TransactWriteItems", {"TransactItems": [{"Update": {**UPDATE, "UpdateExpression": "SET a = :v", "ExpressionAttributeValues": {":v": nested(32)}}}]}, "ExpressionAttributeValues contains invalid value: Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit for key :v"),
        ("PutItem", {**PUT, "Item": {**KEY, "a": {"SS": []}}}, "1 validation error detected: One or more parameter values were invalid: An string set  may not be empty"),
        ("PutItem", {**PUT, "Item": {**KEY, "a": {"SS": ["b", "a", "b"]}}}, '1 validation error detected: One or more parameter values were invalid: Input collection ["a", "b", "b"] contains duplicates.'),
        ("PutItem", {**PUT, "Item": {**KEY, "a": {"NS": ["2", "1", "2"]}}}, "1 validation error detected: One or more parameter values were invalid: Input collection contains duplicates."),
        ("PutItem", {**PUT, "Item": {**KEY, "a": {"BS": ["/w==", "AA==", "AA=="]}}}, '1 validation error detected: One or more parameter values were invalid: Input collection ["AA==","/w==","AA=="]of type BS contains duplicates.'),
        ("BatchWriteItem", {"RequestItems": {"tab": [{"PutRequest": {"Item": {**KEY, "a": {"SS": ["b", "a", "b"]}}}}]}}, "One or more parameter values were invalid: Input collection [b, a, b] contains duplicates."),
        ("PutItem", {**PUT, "TableName": ""}, "1 validation error detected: Value at 'TableName' failed to satisfy constraint: Member must have length greater than or equal to 1"),
        ("PutItem", {**PUT, "ExpressionAttributeValues": {":a": {"S": "x"}}}, "1 validation error detected: ExpressionAttributeValues can only be specified when using expressions"),
        ("UpdateItem", {**UPDATE, "UpdateExpression": ""}, "1 validation error detected: Invalid UpdateExpression: The expression can not be empty;"),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "SET a = :v", "ExpressionAttributeValues": {}}, "1 validation error detected: ExpressionAttributeValues must not be empty"),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "ADD a :v", "ExpressionAttributeValues": {":v": {"SS": []}}}, "1 validation error detected: One or more parameter values were invalid: An string set  may not be empty"),
        ("DeleteItem", {**GET, "ConditionExpression": "a = b", "ExpressionAttributeNames": {"#c": "c"}}, "1 validation error detected: Value provided in ExpressionAttributeNames unused in expressions: keys: {#c}"),
        ("GetItem", {**GET, "ProjectionExpression": "a", "ExpressionAttributeNames": {"#c": "c"}}, "Value provided in ExpressionAttributeNames unused in expressions: keys: {#c}"),
        ("GetItem", {**GET, "Key": {**KEY, "PK": {"S": ""}}}, "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: PK"),
        ("Query", {"TableName": "tab", "KeyConditionExpression": "PK = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}, "Select": "SPECIFIC_ATTRIBUTES"}, "1 validation error detected: Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"),
        ("Query", {"TableName": "tab", "KeyConditionExpression": "PK = :a", "ExpressionAttributeValues": {":a": {"S": "x"}}, "Limit": 0}, "1 validation error detected: Value at 'Limit' failed to satisfy constraint: Member must have value greater than or equal to 1"),
        ("Scan", {"TableName": "tab", "Select": "SPECIFIC_ATTRIBUTES"}, "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"),
        ("Scan", {"TableName": "tab", "Limit": 0}, "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"),
        ("BatchGetItem", {"RequestItems": {}}, "1 validation error detected: Value at 'RequestItems' failed to satisfy constraint: Member must have length greater than or equal to 1"),
        ("BatchGetItem", {"RequestItems": {"tab": {"Keys": [KEY] * 101}}}, "1 validation error detected: Value at 'RequestItems.tab.member.Keys' failed to satisfy constraint: Member must have length less than or equal to 100"),
        ("CreateTable", {"TableName": "three", "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [], "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}, {"AttributeName": "b", "KeyType": "RANGE"}, {"AttributeName": "c", "KeyType": "RANGE"}]}, "1 validation error detected: Value '[KeySchemaElement(attributeName=a, keyType=HASH), KeySchemaElement(attributeName=b, keyType=RANGE), KeySchemaElement(attributeName=c, keyType=RANGE)]' at 'keySchema' failed to satisfy constraint: Member must have length less than or equal to 2"),
        ("PutItem", {**PUT, "Item": {**KEY, "": {"S": "x"}}}, "1 validation error detected: Empty attribute name"),
        ("PutItem", {**PUT, "Item": {**KEY, "m": {"M": {"": {"S": "x"}}}}}, "1 validation error detected: Empty attribute name"),
        ("BatchWriteItem", {"RequestItems": {"tab": [{"PutRequest": {"Item": {**KEY, "": {"S": "x"}}}}]}}, "Empty attribute name"),
        ("GetItem", {**GET, "ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": ""}}, "ExpressionAttributeNames contains invalid value: Empty attribute name for key #a"),
        ("PutItem", {**PUT, "Item": {**KEY, "n": {"N": "1e9223372036854775808"}}}, "The parameter cannot be converted to a numeric value: 1e9223372036854775808"),
        ("PutItem", {**PUT, "Item": {**KEY, "n": {"N": "1e-9223372036854775807"}}}, "Number underflow. Attempting to store a number with magnitude smaller than supported range"),
        ("PutItem", {**PUT, "Item": {**KEY, "n": {"N": "1e" + "9" * 100_000}}}, "The parameter cannot be converted to a numeric value: 1e" + "9" * 100_000),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "SET " + "a" * 4096}, "1 validation error detected: Invalid UpdateExpression: Expression size has exceeded the maximum allowed size;"),
        ("Scan", {"TableName": "tab", "FilterExpression": "a" * 4097}, "Invalid FilterExpression: Expression size has exceeded the maximum allowed size; expression size: 4097"),
        ("BatchWriteItem", {"RequestItems": {"tab": []}}, "1 validation error detected: Value '{tab=[]}' at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]"),
        ("PutItem", {**PUT, "Item": {**KEY, "a": {"S": "x" * 410_000}}, "Expected": {"a": {}}}, "Item size has exceeded the maximum allowed size"),
        ("DeleteItem", {**GET, "Item": {"no": {"S": "member"}}, "Key": {"PK": {"S": "a"}}}, "The provided key element does not match the schema"),
        ("CreateTable", {"TableName": "x"}, "TableName must be at least 3 characters long and at most 255 characters long"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_in_the_services_words(
    table: Any, operation: str, request_: Any, message: str
) -> None:
    assert table.message(operation, **request_) == message


@pytest.mark.parametrize(
    "item",
    [
        {"a": {}},
        {"a": {"S": "x", "N": "1"}},
        {"a": {"NULL": False}},
        {"a": {"SS": []}},
        {"a": {"SS": ["x", "x"]}},
        {"a": {"NS": ["1", "1.0"]}},
        {"a": {"N": "one"}},
    ],
)
def test_a_wrong_attribute_value_is_refused(table: Any, item: Any) -> None:
    assert table.message("PutItem", TableName="tab", Item={**KEY, **item})


@pytest.mark.parametrize(
    "value", [1, "text", [], {"S": 1}, {"B": "x"}, {"L": {}}, {"M": []}, {"BOOL": "maybe"}, {"SS": "x"}]
)
def test_a_wrong_json_type_is_a_serialization_exception(table: Any, value: Any) -> None:
    assert table.error("PutItem", TableName="tab", Item={**KEY, "a": value}).code == "SerializationException"


def test_nesting_of_32_levels_is_stored_and_33_are_refused(table: Any) -> None:
    value: Any = {"S": "x"}
    for _ in range(31):
        value = {"L": [value]}

    table("PutItem", TableName="tab", Item={**KEY, "a": value})
    message = table.message("PutItem", TableName="tab", Item={**KEY, "a": {"L": [value]}})

    assert "Nesting Levels have exceeded supported limits" in message


@pytest.mark.parametrize("text", ["(" * 1500 + "a = b" + ")" * 1500, "size(" * 700 + "a" + ")" * 700 + " = b"])
def test_a_deeply_nested_expression_is_refused_and_not_a_crash(table: Any, text: str) -> None:
    assert table.message("PutItem", TableName="tab", Item=KEY, ConditionExpression=text)


def test_partiql_is_refused_by_name(table: Any) -> None:
    assert table.error("ExecuteStatement", Statement="select").code == "UnknownOperationException"


@pytest.mark.parametrize(
    "changed",
    [
        {":s": {"S": "text"}},
        {":limit": {"SS": ["a"]}},
        {":n": {"N": "one"}},
        {":n": {"N": "1", "S": "1"}},
        {":n": 1},
        {":more": {"N": "1"}},
        {":n": None},
    ],
)
def test_values_are_checked_alike_when_the_expressions_were_right_before(
    dynamodb: Any, changed: dict[str, Any]
) -> None:
    def request(**values: Any) -> dict[str, Any]:
        given = {":n": {"N": "1"}, ":s": {"SS": ["a"]}, ":limit": {"N": "5"}, **values}
        return {
            "TableName": "tab",
            "Key": {"PK": {"S": "a"}, "SK": {"S": "b"}},
            "UpdateExpression": "SET #n = :n ADD tags :s",
            "ConditionExpression": "attribute_not_exists(#n) OR #n < :limit",
            "ExpressionAttributeNames": {"#n": "n"},
            "ExpressionAttributeValues": {name: value for name, value in given.items() if value is not None},
        }

    dynamodb.create()
    first = dynamodb.error("UpdateItem", **request(**changed))
    dynamodb("UpdateItem", **request())
    dynamodb("UpdateItem", **request())

    again = dynamodb.error("UpdateItem", **request(**changed))

    assert (again.code, again.message) == (first.code, first.message)
    assert again.code in {"ValidationException", "SerializationException"}
