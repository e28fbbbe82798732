"""The table's keys, its attribute values, and the items a device starts and ends with."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal

SCHEMA_VERSION = {"N": "1"}
DAY_MS = 86_400_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

# What lifecycle events store in the presence item of a client (#ttl: `ttl`), and whose it is.
_PRESENCE = "tenantId, siteId, deviceId, isConnected, since, eventRank, disconnectReason, #ttl"

# What ingestion stores in the state item of a device (#ts: `ts`); the rest says whose it is.
_TELEMETRY = "#ts, seq, eventId, readings, sampleCount, spans, alerting, pending"

Attribute = dict[str, Any]
Item = dict[str, Attribute]
ChangeKind = Literal["REGISTERED", "UPDATED", "REMOVED"]


def device_partition(device_id: str) -> str:
    return f"DEV#{device_id}"


def key(partition: str, sort: str) -> Item:
    return {"PK": {"S": partition}, "SK": {"S": sort}}


def device_key(device_id: str) -> Item:
    return key(device_partition(device_id), "META")


def state_key(device_id: str) -> Item:
    return key(device_partition(device_id), "STATE")


def presence_key(device_id: str) -> Item:
    return key(device_partition(device_id), "PRESENCE")


def command_key(device_id: str, command_id: str) -> Item:
    return key(device_partition(device_id), f"COMMAND#{command_id}")


def removal_key(device_id: str, removed_ms: int) -> Item:
    return key(device_partition(device_id), f"REMOVAL#{removed_ms:013d}")


def alert_key(device_id: str, alert_id: str) -> Item:
    return key(device_partition(device_id), f"ALERT#{alert_id}")


def site_sort(site_id: str | None, device_id: str) -> str:
    """Sort a tenant's devices by site; those without one come first."""
    return f"SITE#{site_id or ''}#DEV#{device_id}"


def tenant_partition(tenant_id: str) -> str:
    return f"TENANT#{tenant_id}"


def history_key(device_id: str, ts: int, seq: int) -> tuple[str, str]:
    """Partition by UTC day and sort by payload order: a redelivered payload meets its own item."""
    day = date.fromordinal(_EPOCH_ORDINAL + ts // DAY_MS).isoformat()
    return f"DEV#{device_id}#{day}", f"TS#{ts:013d}#{seq:016d}"


def change_put(
    table: str, tenant_id: str, device_id: str, kind: ChangeKind, *, now_ms: int, retention_s: int
) -> dict[str, Any]:
    """Build the put of one entry of the tenant's change log, to be part of the transaction that changes the device."""
    item = {
        **key(tenant_partition(tenant_id), f"CHANGE#{now_ms:013d}#{device_id}"),
        "deviceId": {"S": device_id},
        "tenantId": {"S": tenant_id},
        "kind": {"S": kind},
        "changedAt": {"N": str(now_ms)},
        "ttl": {"N": str(now_ms // 1000 + retention_s)},
        "schemaVersion": SCHEMA_VERSION,
    }
    return {"Put": {"TableName": table, "Item": item}}


def scalar(value: str | int | float | bool | None) -> Attribute:
    """Type one reading; a float keeps its shortest decimal, which reads back as the same double."""
    kind = type(value)
    if kind is float or kind is int:
        return {"N": repr(value)}
    if kind is str:
        return {"S": value}
    if value is None:
        return {"NULL": True}
    return {"BOOL": value}


def number(value: float) -> Attribute:
    return {"N": repr(value)}


def plain(attribute: Mapping[str, Any]) -> Any:
    """Undo the table's typing: numbers without a fraction become int, sets and lists become lists."""
    ((kind, value),) = attribute.items()
    if kind == "N":
        return int(value) if value.lstrip("-").isdigit() else float(value)
    if kind == "M":
        return {name: plain(member) for name, member in value.items()}
    if kind == "L":
        return [plain(member) for member in value]
    if kind == "NULL":
        return None
    return value


def plain_item(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: plain(attribute) for name, attribute in item.items()}


def iso_time(epoch_ms: int) -> str:
    """Write epoch milliseconds as AWSDateTime, always with three digits and Z, so that text order is time order."""
    moment = datetime.fromtimestamp(epoch_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{epoch_ms % 1000:03d}Z"


def registration(
    table: str,
    device_id: str,
    tenant_id: str,
    *,
    now_ms: int,
    retention_s: int,
    site_id: str | None = None,
    name: str | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    """Build the TransactWriteItems request that registers a device: all of its items or none.

    The state item gets the tenant here, so that the conditional update of ingestion both checks that the device exists
    and learns whose it is. A removed device's state item is taken over and keeps its `version`, so that clients never
    see it fall, and nothing else: it may have been another tenant's.
    """
    meta = {
        **device_key(device_id),
        "deviceId": {"S": device_id},
        "tenantId": {"S": tenant_id},
        "registeredAt": {"N": str(now_ms)},
        "GSI1PK": {"S": tenant_partition(tenant_id)},
        "GSI1SK": {"S": site_sort(site_id, device_id)},
        "schemaVersion": SCHEMA_VERSION,
    }
    for attribute, value in (("siteId", site_id), ("name", name), ("model", model)):
        if value is not None:
            meta[attribute] = {"S": value}
    values: Item = {
        ":device": {"S": device_id},
        ":tenant": {"S": tenant_id},
        ":none": {"N": "0"},
        ":schema": SCHEMA_VERSION,
    }
    site_part, site_gone = "", ", siteId"
    if site_id is not None:
        values[":site"] = {"S": site_id}
        site_part, site_gone = ", siteId = :site", ""
    state = {
        "TableName": table,
        "Key": state_key(device_id),
        "UpdateExpression": "SET deviceId = :device, tenantId = :tenant, schemaVersion = :schema, "
        f"#version = if_not_exists(#version, :none){site_part} REMOVE {_TELEMETRY}, removedAt, #ttl{site_gone}",
        "ConditionExpression": "attribute_not_exists(tenantId) OR attribute_exists(removedAt)",
        "ExpressionAttributeNames": {"#version": "version", "#ttl": "ttl", "#ts": "ts"},
        "ExpressionAttributeValues": values,
    }
    put = {"TableName": table, "Item": meta, "ConditionExpression": "attribute_not_exists(PK)"}
    change = change_put(table, tenant_id, device_id, "REGISTERED", now_ms=now_ms, retention_s=retention_s)
    return {"TransactItems": [{"Put": put}, {"Update": state}, change]}


def removal(table: str, device_id: str, version: int, now_ms: int) -> list[dict[str, Any]]:
    """Build the transaction's writes that remove a device whose state has `version`, and leave its tombstone.

    Of presence the version stays too: a device registered again goes on counting where clients saw it end.
    """
    tombstone = {
        "TableName": table,
        "Key": state_key(device_id),
        "UpdateExpression": f"SET removedAt = :now, #version = #version + :one REMOVE {_TELEMETRY}",
        "ConditionExpression": "#version = :version AND attribute_not_exists(removedAt)",
        "ExpressionAttributeNames": {"#version": "version", "#ts": "ts"},
        "ExpressionAttributeValues": {
            ":now": {"N": str(now_ms)},
            ":one": {"N": "1"},
            ":version": {"N": str(version)},
        },
    }
    return [
        {"Delete": {"TableName": table, "Key": device_key(device_id)}},
        {"Update": tombstone},
        {"Update": _presence_end(table, device_id)},
    ]


def _presence_end(table: str, device_id: str) -> dict[str, Any]:
    return {
        "TableName": table,
        "Key": presence_key(device_id),
        "UpdateExpression": "SET #version = if_not_exists(#version, :none), schemaVersion = :schema "
        f"REMOVE {_PRESENCE}",
        "ExpressionAttributeNames": {"#version": "version", "#ttl": "ttl"},
        "ExpressionAttributeValues": {":none": {"N": "0"}, ":schema": SCHEMA_VERSION},
    }


def withdrawal(
    table: str, device_id: str, tenant_id: str, *, version: int, registered_at: int, retention_s: int
) -> dict[str, Any]:
    """Build the TransactWriteItems request that takes a registration back, of a device whose state has `version`.

    Version 0 is a state that this registration made and that nobody was told of: it goes. Any other stays as a
    tombstone, because a version that clients saw never comes again. The change log says REMOVED in place of REGISTERED.
    """
    device, state, presence = removal(table, device_id, version, registered_at)
    device["Delete"] |= {
        "ConditionExpression": "tenantId = :tenant AND registeredAt = :registered",
        "ExpressionAttributeValues": {":tenant": {"S": tenant_id}, ":registered": {"N": str(registered_at)}},
    }
    if version == 0:
        state = {
            "Delete": {
                "TableName": table,
                "Key": state_key(device_id),
                "ConditionExpression": "#version = :version",
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": {":version": {"N": "0"}},
            }
        }
    change = change_put(table, tenant_id, device_id, "REMOVED", now_ms=registered_at, retention_s=retention_s)
    return {"TransactItems": [device, state, presence, change]}


def presence_adoption(table: str, device_id: str, tenant_id: str, site_id: str | None) -> dict[str, Any]:
    """Build the UpdateItem request that gives presence of no owner, or of a former one, its tenant, if there is any."""
    values: Item = {":tenant": {"S": tenant_id}, ":one": {"N": "1"}}
    site_part, site_gone = "", ", siteId"
    if site_id is not None:
        values[":site"] = {"S": site_id}
        site_part, site_gone = ", siteId = :site", ""
    return {
        "TableName": table,
        "Key": presence_key(device_id),
        "UpdateExpression": f"SET tenantId = :tenant, #version = #version + :one{site_part} REMOVE #ttl{site_gone}",
        "ConditionExpression": "attribute_exists(isConnected) "
        "AND (attribute_not_exists(tenantId) OR tenantId <> :tenant)",
        "ExpressionAttributeNames": {"#version": "version", "#ttl": "ttl"},
        "ExpressionAttributeValues": values,
    }
