"""GetItem, PutItem, UpdateItem and DeleteItem, with AppSync's handling of failed conditions."""

from typing import Any

from headwater.datasource.ports import SourceCall, malformed, require
from headwater.datasource.tables.expressions import Parameters
from headwater.datasource.tables.table import Table, table_fault
from headwater.datasource.tables.typed_values import to_plain_item, to_wire_map
from headwater.errors import DataSourceError, ServiceError

Item = dict[str, Any]

CONDITION_FAILED = "ConditionalCheckFailedException"
# A Custom handler that keeps answering "retry" would never end.
MAX_RETRIES = 10
RETRIES = "headwater.retries"


def key_of(request: dict[str, Any]) -> Item:
    """The typed key of a request, in wire form. Raises: RequestError if there is none."""
    key: Item = require(request, "key", dict)
    return to_wire_map(key, "$[key]")


async def get_item(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """The item as plain JSON, or null."""
    parameters = Parameters(table.name)
    parameters.request["Key"] = key_of(request)
    if request.get("consistentRead"):
        parameters.request["ConsistentRead"] = True
    parameters.add("ProjectionExpression", request, "projection")
    reply = await table.request("GetItem", parameters.build(), call)
    return to_plain_item(reply.get("Item"))


async def put_item(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """The item as it was written."""
    item = written_item(request)
    parameters = Parameters(table.name)
    parameters.request["Item"] = item
    reply = await _write(table, "PutItem", parameters, request, call)
    return reply.value if reply.is_decided else to_plain_item(item)


def written_item(request: dict[str, Any]) -> Item:
    """Key and attribute values of a put, together, in wire form."""
    values = request.get("attributeValues")
    return {**to_wire_map({} if values is None else values, "$[attributeValues]"), **key_of(request)}


async def update_item(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """The item after the update."""
    parameters = Parameters(table.name)
    parameters.request["Key"] = key_of(request)
    parameters.request["ReturnValues"] = "ALL_NEW"
    if parameters.add("UpdateExpression", request, "update") is None:
        raise malformed("Value for field '$[update]' not found.")
    reply = await _write(table, "UpdateItem", parameters, request, call)
    return reply.value if reply.is_decided else to_plain_item(reply.value.get("Attributes"))


async def delete_item(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """The item as it was before, or null."""
    parameters = Parameters(table.name)
    parameters.request["Key"] = key_of(request)
    parameters.request["ReturnValues"] = "ALL_OLD"
    reply = await _write(table, "DeleteItem", parameters, request, call)
    return reply.value if reply.is_decided else to_plain_item(reply.value.get("Attributes"))


class _Reply:
    """DynamoDB's reply, or with `is_decided` the result that the condition handling decided on."""

    __slots__ = ("is_decided", "value")

    def __init__(self, value: Any, *, is_decided: bool = False) -> None:
        self.value = value
        self.is_decided = is_decided


async def _write(
    table: Table, operation: str, parameters: Parameters, request: dict[str, Any], call: SourceCall
) -> _Reply:
    condition = parameters.add("ConditionExpression", request, "condition")
    try:
        return _Reply(await table.call(operation, parameters.build()))
    except ServiceError as error:
        if error.code != CONDITION_FAILED or condition is None:
            raise table_fault(error, call) from error
        return _Reply(await _settle(table, operation, request, condition, error, call), is_decided=True)


async def _settle(
    table: Table,
    operation: str,
    request: dict[str, Any],
    condition: dict[str, Any],
    error: ServiceError,
    call: SourceCall,
) -> Any:
    """Success if the table already is as wanted, else what the strategy says.

    Source: AppSync Developer Guide, "Handling a condition check failure".
    """
    is_consistent = condition.get("consistentRead") is not False
    read = {"TableName": table.name, "Key": key_of(request), "ConsistentRead": is_consistent}
    current = (await table.request("GetItem", read, call)).get("Item")
    if operation == "DeleteItem" and current is None:
        return None
    if operation == "PutItem" and _is_equal(current, written_item(request), condition.get("equalsIgnore") or []):
        return to_plain_item(current)
    handler = condition.get("conditionalCheckFailedHandler") or {}
    if handler.get("strategy", "Reject") == "Custom":
        return await _ask_handler(table, handler, request, current, error, call)
    raise table_fault(error, call, to_plain_item(current)) from error


def _is_equal(current: Item | None, wanted: Item, ignored: list[str]) -> bool:
    if current is None:
        return False
    names = (current.keys() | wanted.keys()) - set(ignored)
    return all(to_plain_item(current).get(name) == to_plain_item(wanted).get(name) for name in names)  # type: ignore[union-attr]


async def _ask_handler(
    table: Table,
    handler: dict[str, Any],
    request: dict[str, Any],
    current: Item | None,
    error: ServiceError,
    call: SourceCall,
) -> Any:
    arn = require(handler, "lambdaArn", str, "$[condition][conditionalCheckFailedHandler]")
    if table.handle_condition is None:
        raise malformed("A Custom condition handler needs a Lambda function, and this data source has none.")
    payload = {
        "arguments": dict(call.arguments),
        "requestMapping": {name: value for name, value in request.items() if name != RETRIES},
        "currentValue": current,
        "resolver": {
            "tableName": table.name,
            "awsRegion": table.region,
            "parentType": call.parent_type,
            "field": call.field_name,
        },
        "identity": call.identity,
    }
    try:
        reply = await table.handle_condition(arn, payload)
    except ServiceError as fault:
        raise DataSourceError(fault.message, f"Lambda:{fault.code}", data=to_plain_item(current)) from fault
    action = reply.get("action") if isinstance(reply, dict) else None
    if action == "discard":
        return to_plain_item(current)
    if action == "reject":
        raise table_fault(error, call, to_plain_item(current)) from error
    if action != "retry":
        raise malformed(f"The condition handler answered action '{action}': expected reject, discard or retry.")
    return await _retry(table, request, reply, call)


async def _retry(table: Table, request: dict[str, Any], reply: dict[str, Any], call: SourceCall) -> Any:
    retries = request.get(RETRIES, 0) + 1
    if retries > MAX_RETRIES:
        raise malformed(f"The condition handler asked for more than {MAX_RETRIES} retries.")
    mapping: dict[str, Any] = require(reply, "retryMapping", dict)
    operations = {"PutItem": put_item, "UpdateItem": update_item, "DeleteItem": delete_item}
    run = operations.get(str(mapping.get("operation", request["operation"])))
    if run is None:
        raise malformed(f"A condition handler may retry {', '.join(operations)}, not {mapping.get('operation')}.")
    return await run(table, {**mapping, RETRIES: retries}, call)
