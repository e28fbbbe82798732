"""Mutation.updateDevice: change what people say about a device."""

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import AppSyncResolver

from resolvers import views
from resolvers.caller import BadRequest, caller_identity, may_see
from streams import items
from streams.aws.calls import AwsError, Service
from streams.aws.environment import required, service
from streams.record import is_device_id, is_encodable

_CHANGEABLE = ("siteId", "name", "model")


class NotFound(Exception):
    """The tenant has no such device."""


def update(
    given: Mapping[str, Any],
    identity: Mapping[str, Any] | None,
    *,
    table: Service,
    table_name: str,
    now_ms: int,
    retention_s: int,
) -> dict[str, Any]:
    """Change a device; a member that is absent stays, one that is null is taken away.

    The state item holds the site too (ingestion and subscription filters go by it), so both change or none.
    Raises: NotFound; BadRequest with the value and what was expected.
    """
    device_id = given["deviceId"]
    changes = {name: given[name] for name in _CHANGEABLE if name in given}
    if not changes:
        raise BadRequest("there is nothing to change: give siteId, name or model")
    _check(changes)
    if not is_device_id(device_id):
        raise NotFound(f"there is no device {device_id[:140]!r}")
    read = {"TableName": table_name, "Key": items.device_key(device_id), "ConsistentRead": True}
    found = table.call("GetItem", read).get("Item", {})
    if not found or not may_see(identity, found["tenantId"]["S"]):
        raise NotFound(f"there is no device {device_id!r}")
    tenant_id = found["tenantId"]["S"]
    writes: list[dict[str, Any]] = [{"Update": _meta_update(table_name, device_id, tenant_id, changes)}]
    if "siteId" in changes:
        writes.append({"Update": _state_site(table_name, device_id, tenant_id, changes["siteId"])})
    writes.append(items.change_put(table_name, tenant_id, device_id, "UPDATED", now_ms=now_ms, retention_s=retention_s))
    try:
        table.call("TransactWriteItems", {"TransactItems": writes})
    except AwsError as error:
        if error.code == "TransactionCanceledException":
            raise NotFound(f"there is no device {device_id!r} any more") from error
        raise
    if "siteId" in changes:
        _move_presence(table, table_name, device_id, tenant_id, changes["siteId"])
    kept = {name: value for name, value in found.items() if name not in changes}
    return views.device(kept | {name: {"S": value} for name, value in changes.items() if value is not None})


def _meta_update(table_name: str, device_id: str, tenant_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Write the changed members alone, so that two people changing two of them both succeed."""
    members = dict(changes)
    if "siteId" in members:
        members["GSI1SK"] = items.site_sort(members["siteId"], device_id)
    given = {name: value for name, value in members.items() if value is not None}
    gone = [f"#{name}" for name, value in members.items() if value is None]
    parts = []
    if given:
        parts.append("SET " + ", ".join(f"#{name} = :{name}" for name in given))
    if gone:
        parts.append("REMOVE " + ", ".join(gone))
    return {
        "TableName": table_name,
        "Key": items.device_key(device_id),
        "UpdateExpression": " ".join(parts),
        "ConditionExpression": "tenantId = :tenant",
        "ExpressionAttributeNames": {f"#{name}": name for name in members},
        "ExpressionAttributeValues": {
            ":tenant": {"S": tenant_id},
            **{f":{name}": {"S": value} for name, value in given.items()},
        },
    }


def _state_site(table_name: str, device_id: str, tenant_id: str, site_id: str | None) -> dict[str, Any]:
    values: items.Item = {":tenant": {"S": tenant_id}}
    if site_id is not None:
        values[":site"] = {"S": site_id}
    return {
        "TableName": table_name,
        "Key": items.state_key(device_id),
        "UpdateExpression": "REMOVE siteId" if site_id is None else "SET siteId = :site",
        "ConditionExpression": "tenantId = :tenant AND attribute_not_exists(removedAt)",
        "ExpressionAttributeValues": values,
    }


def _move_presence(table: Service, table_name: str, device_id: str, tenant_id: str, site_id: str | None) -> None:
    """Take presence along to the new site, so that subscribers to it are told.

    Not in the transaction: most devices that were never connected have no such item, and its condition would refuse
    the whole change. The next lifecycle event brings the site as well.
    """
    update = {
        "TableName": table_name,
        "Key": items.presence_key(device_id),
        "UpdateExpression": "SET #version = #version + :one"
        + (" REMOVE siteId" if site_id is None else ", siteId = :site"),
        "ConditionExpression": "tenantId = :tenant",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {
            ":one": {"N": "1"},
            ":tenant": {"S": tenant_id},
            **({} if site_id is None else {":site": {"S": site_id}}),
        },
    }
    try:
        table.call("UpdateItem", update)
    except AwsError as error:
        if error.code != "ConditionalCheckFailedException":
            raise


def _check(changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if value is None:
            continue
        if name == "siteId" and not is_device_id(value):
            raise BadRequest(f"siteId is {value[:140]!r}, expected 1 to 128 of A-Z a-z 0-9 : _ . -")
        if not 0 < len(value) <= 256 or not is_encodable(value):
            raise BadRequest(f"{name} has {len(value)} characters, expected 1 to 256 of Unicode text")


app = AppSyncResolver()  # type: ignore[no-untyped-call]  # Powertools leaves it unannotated
logger = Logger(service="update-device")


@cache
def _table() -> Service:
    return service("dynamodb")


@app.resolver(type_name="Mutation", field_name="updateDevice")
def update_device(input: dict[str, Any]) -> dict[str, Any]:
    """Answer one Mutation.updateDevice."""
    return update(
        input,
        caller_identity(app),
        table=_table(),
        table_name=required("TABLE_NAME"),
        now_ms=int(time.time() * 1000),
        retention_s=int(required("RETENTION_DAYS")) * 86_400,
    )


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """Resolve for AppSync (direct Lambda resolver: the event is the whole context)."""
    return app.resolve(event, context)
