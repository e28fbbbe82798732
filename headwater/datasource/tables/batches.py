"""BatchGetItem, BatchPutItem, BatchDeleteItem, TransactGetItems and TransactWriteItems."""

from typing import Any

import orjson

from headwater.datasource.ports import SourceCall, json_kind, malformed, not_an_object, require
from headwater.datasource.tables.expressions import Parameters
from headwater.datasource.tables.items import key_of, written_item
from headwater.datasource.tables.table import Table, table_fault
from headwater.datasource.tables.typed_values import to_plain_item, to_wire_map
from headwater.errors import ServiceError

MAX_GET_KEYS = 100
MAX_WRITE_ITEMS = 25
MAX_TRANSACTION_ITEMS = 100
TRANSACTION_CANCELED = "TransactionCanceledException"
REASONS = {"ConditionalCheckFailed": ("ConditionCheckFailed", "The condition check failed.")}


def _identity(item: dict[str, Any], names: list[str]) -> bytes:
    return orjson.dumps([item.get(name) for name in names], option=orjson.OPT_SORT_KEYS)


def _tables(request: dict[str, Any], limit: int) -> dict[str, Any]:
    tables: dict[str, Any] = require(request, "tables", dict)
    counts = [len(_keys_of(name, entry)) for name, entry in tables.items()]
    if not tables or sum(counts) > limit:
        raise malformed(f"{request['operation']} takes 1 to {limit} items, not {sum(counts)}.")
    return tables


def _keys_of(table_name: str, entry: Any) -> list[Any]:
    keys = entry.get("keys") if isinstance(entry, dict) else entry
    if not isinstance(keys, list):
        raise malformed(f"Expected JSON array for field '$[tables][{table_name}]' but got '{json_kind(keys)}' instead.")
    return keys


async def batch_get_item(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """`{"data": {table: [item or null]}, "unprocessedKeys": {table: [key]}}`, items in the order of the keys."""
    tables = _tables(request, MAX_GET_KEYS)
    body = {name: _table_request(name, entry) for name, entry in tables.items()}
    reply = await table.request(
        "BatchGetItem", {"RequestItems": {name: part for name, (part, _) in body.items()}}, call
    )
    data: dict[str, Any] = {}
    for name, (part, hidden) in body.items():
        keys = part["Keys"]
        names = sorted(keys[0]) if keys else []
        found = {_identity(item, names): item for item in reply.get("Responses", {}).get(name, ())}
        data[name] = [_shown(found.get(_identity(key, names)), hidden) for key in keys]
    unprocessed = reply.get("UnprocessedKeys", {})
    keys_left = {name: [to_plain_item(key) for key in unprocessed.get(name, {}).get("Keys", ())] for name in tables}
    return {"data": data, "unprocessedKeys": keys_left}


def _table_request(name: str, entry: Any) -> tuple[dict[str, Any], list[str]]:
    """DynamoDB's request for one table, and the key attributes read only to put the items in order."""
    path = f"$[tables][{name}]"
    if not isinstance(entry, dict):
        raise not_an_object(entry, path)
    keys = [to_wire_map(key, f"{path}[keys][{index}]") for index, key in enumerate(entry["keys"])]
    parameters = Parameters("")
    del parameters.request["TableName"]
    parameters.request["Keys"] = keys
    if entry.get("consistentRead"):
        parameters.request["ConsistentRead"] = True
    projection = parameters.add("ProjectionExpression", entry, "projection")
    hidden: list[str] = []
    if projection is not None and keys:
        names = projection.get("expressionNames") or {}
        shown = {names.get(path.strip(), path.strip()) for path in projection["expression"].split(",")}
        hidden = [attribute for attribute in keys[0] if attribute not in shown]
        for number, attribute in enumerate(hidden):
            parameters.add_name(f"#hwKey{number}", attribute)
            parameters.request["ProjectionExpression"] += f", #hwKey{number}"
    return parameters.build(), hidden


def _shown(item: dict[str, Any] | None, hidden: list[str]) -> dict[str, Any] | None:
    return None if item is None else to_plain_item({name: item[name] for name in item if name not in hidden})


async def batch_put_item(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """`{"data": {table: [item or null]}, "unprocessedItems": {table: [item]}}`."""
    return await _batch_write(table, request, call, "PutRequest", "Item", "unprocessedItems")


async def batch_delete_item(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """`{"data": {table: [key or null]}, "unprocessedKeys": {table: [key]}}`."""
    return await _batch_write(table, request, call, "DeleteRequest", "Key", "unprocessedKeys")


async def _batch_write(
    table: Table, request: dict[str, Any], call: SourceCall, kind: str, member: str, left_name: str
) -> dict[str, Any]:
    tables = {
        name: [to_wire_map(item, f"$[tables][{name}][{index}]") for index, item in enumerate(_keys_of(name, items))]
        for name, items in _tables(request, MAX_WRITE_ITEMS).items()
    }
    items = {name: [{kind: {member: item}} for item in written] for name, written in tables.items()}
    reply = await table.request("BatchWriteItem", {"RequestItems": items}, call)
    unprocessed = reply.get("UnprocessedItems", {})
    left = {name: [entry[kind][member] for entry in unprocessed.get(name, ())] for name in tables}
    return {
        "data": {
            name: [None if item in left[name] else to_plain_item(item) for item in written]
            for name, written in tables.items()
        },
        left_name: {name: [to_plain_item(item) for item in items_left] for name, items_left in left.items()},
    }


def _transact_items(request: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = require(request, "transactItems", list)
    if not 1 <= len(items) <= MAX_TRANSACTION_ITEMS:
        raise malformed(f"{request['operation']} takes 1 to {MAX_TRANSACTION_ITEMS} items, not {len(items)}.")
    return items


async def transact_get_items(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """`{"items": [item or null], "cancellationReasons": null}`."""
    gets = []
    for position, item in enumerate(_transact_items(request)):
        parameters = Parameters(require(item, "table", str, f"$[transactItems][{position}]"))
        parameters.request["Key"] = key_of(item)
        parameters.add("ProjectionExpression", item, "projection")
        gets.append({"Get": parameters.build()})
    try:
        reply = await table.call("TransactGetItems", {"TransactItems": gets})
    except ServiceError as error:
        raise table_fault(error, call, _cancellation("items", error)) from error
    items = [to_plain_item(entry.get("Item")) for entry in reply.get("Responses", ())]
    return {"items": items, "cancellationReasons": None}


async def transact_write_items(table: Table, request: dict[str, Any], call: SourceCall) -> Any:
    """`{"keys": [key], "cancellationReasons": null}`; a cancelled one gives the reasons beside `ctx.error`."""
    items = _transact_items(request)
    writes = [_transact_write(item, position) for position, item in enumerate(items)]
    try:
        await table.call("TransactWriteItems", {"TransactItems": writes})
    except ServiceError as error:
        raise table_fault(error, call, _cancellation("keys", error)) from error
    return {"keys": [to_plain_item(key_of(item)) for item in items], "cancellationReasons": None}


def _transact_write(item: dict[str, Any], position: int) -> dict[str, Any]:
    path = f"$[transactItems][{position}]"
    operation = require(item, "operation", str, path)
    parameters = Parameters(require(item, "table", str, path))
    body = parameters.request
    if operation == "PutItem":
        body["Item"] = written_item(item)
    else:
        body["Key"] = key_of(item)
    if operation == "UpdateItem":
        parameters.add("UpdateExpression", item, "update")
    condition = parameters.add("ConditionExpression", item, "condition")
    if condition is not None and condition.get("returnValuesOnConditionCheckFailure") is not False:
        body["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    kinds = {"PutItem": "Put", "UpdateItem": "Update", "DeleteItem": "Delete", "ConditionCheck": "ConditionCheck"}
    if operation not in kinds:
        raise malformed(f"Unsupported operation '{operation}'. Supported operations: {', '.join(kinds)}.")
    return {kinds[operation]: parameters.build()}


def _cancellation(name: str, error: ServiceError) -> dict[str, Any]:
    if error.code != TRANSACTION_CANCELED:
        return {name: None, "cancellationReasons": None}
    reasons = []
    for reason in error.fields.get("CancellationReasons", ()):
        code = reason.get("Code") or "None"
        kind, message = REASONS.get(code, (code, reason.get("Message") or code))
        entry: dict[str, Any] = {"type": kind, "message": message}
        if reason.get("Item"):
            entry["item"] = to_plain_item(reason["Item"])
        reasons.append(entry)
    return {name: None, "cancellationReasons": reasons}
