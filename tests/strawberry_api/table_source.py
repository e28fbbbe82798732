"""AppSync's DynamoDB data source on boto3: what a unit resolver's request does, independent of the runtime's."""

import base64
import json
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError


class SourceError(Exception):
    """A data source refused; becomes `ctx.error`."""

    def __init__(self, message: str, error_type: str) -> None:
        super().__init__(message)
        self.message = message
        self.error_type = error_type


def run_request(client: Any, table: str, request: dict[str, Any]) -> Any:
    """Do one request object; answers what the response handler sees as `ctx.result`."""
    operation = request["operation"]
    request = _wire(request)
    arguments: dict[str, Any] = {"TableName": table}
    if "key" in request:
        arguments["Key"] = request["key"]
    condition = request.get("condition")
    if condition:
        arguments["ConditionExpression"] = condition["expression"]
        _add_placeholders(arguments, condition)
    try:
        return _OPERATIONS[operation](client, arguments, request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise SourceError(str(error), f"DynamoDB:{code}") from error


def _wire(value: Any) -> Any:
    """Write numbers as DynamoDB's text: AppSync's requests hold them as JSON numbers."""
    if isinstance(value, dict):
        return {
            name: json.dumps(member) if name == "N" and isinstance(member, int | float) else _wire(member)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_wire(member) for member in value]
    return value


def _get(client: Any, arguments: dict[str, Any], request: dict[str, Any]) -> Any:
    item = client.get_item(**arguments, ConsistentRead=bool(request.get("consistentRead"))).get("Item")
    return None if item is None else _plain(item)


def _put(client: Any, arguments: dict[str, Any], request: dict[str, Any]) -> Any:
    item = {**arguments.pop("Key"), **request["attributeValues"]}
    client.put_item(**arguments, Item=item)
    return _plain(item)


def _update(client: Any, arguments: dict[str, Any], request: dict[str, Any]) -> Any:
    update = request["update"]
    arguments["UpdateExpression"] = update["expression"]
    _add_placeholders(arguments, update)
    return _plain(client.update_item(**arguments, ReturnValues="ALL_NEW")["Attributes"])


def _delete(client: Any, arguments: dict[str, Any], request: dict[str, Any]) -> Any:
    old = client.delete_item(**arguments, ReturnValues="ALL_OLD").get("Attributes")
    return None if old is None else _plain(old)


def _query(client: Any, arguments: dict[str, Any], request: dict[str, Any]) -> Any:
    arguments["KeyConditionExpression"] = request["query"]["expression"]
    _add_placeholders(arguments, request["query"])
    if request.get("filter"):
        arguments["FilterExpression"] = request["filter"]["expression"]
        _add_placeholders(arguments, request["filter"])
    for name, wire in (("index", "IndexName"), ("limit", "Limit"), ("scanIndexForward", "ScanIndexForward")):
        if request.get(name) is not None:
            arguments[wire] = request[name]
    if request.get("nextToken"):
        arguments["ExclusiveStartKey"] = json.loads(base64.b64decode(request["nextToken"]))
    answer = client.query(**arguments)
    last = answer.get("LastEvaluatedKey")
    token = None if last is None else base64.b64encode(json.dumps(last).encode()).decode()
    return {
        "items": [_plain(item) for item in answer["Items"]],
        "nextToken": token,
        "scannedCount": answer["ScannedCount"],
    }


_OPERATIONS = {"GetItem": _get, "PutItem": _put, "UpdateItem": _update, "DeleteItem": _delete, "Query": _query}


def _add_placeholders(arguments: dict[str, Any], expression: dict[str, Any]) -> None:
    for name, wire in (
        ("expressionNames", "ExpressionAttributeNames"),
        ("expressionValues", "ExpressionAttributeValues"),
    ):
        if expression.get(name):
            arguments.setdefault(wire, {}).update(expression[name])


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    deserializer = TypeDeserializer()
    return {name: _number(deserializer.deserialize(value)) for name, value in item.items()}


def _number(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _number(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_number(member) for member in value]
    if hasattr(value, "as_tuple"):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
