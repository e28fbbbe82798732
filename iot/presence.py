"""Decide presence from IoT Core's lifecycle events, which come late, twice and in any order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.items import SCHEMA_VERSION, Item, presence_key
from streams.record import PermanentRecordError, is_device_id

# IoT Core starts counting versions again after the client was away for about an hour.
VERSION_RESET_MS = 3_600_000
# How long presence of a client that nobody ever registered waits to be adopted at registration.
UNOWNED_RETENTION_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """A client came or went; `timestamp` in epoch milliseconds. A connect and its disconnect share `version_number`."""

    client_id: str
    is_connected: bool
    timestamp: int
    version_number: int
    disconnect_reason: str | None = None

    @property
    def rank(self) -> int:
        """Order both events of one session: it ends after it began."""
        return 2 * self.version_number + (0 if self.is_connected else 1)


def parse_lifecycle(event: Mapping[str, Any]) -> LifecycleEvent:
    """Read a message of `$aws/events/presence/{connected|disconnected}/<clientId>`.

    Raises: PermanentRecordError when it is none, or its client id cannot be a device's.
    Source: AWS IoT Developer Guide, "Lifecycle events".
    """
    kind, client_id = event.get("eventType"), event.get("clientId")
    if kind not in ("connected", "disconnected"):
        raise PermanentRecordError(
            "WrongType", f"eventType is {str(kind)[:80]!r}, expected 'connected' or 'disconnected'"
        )
    if not isinstance(client_id, str) or not is_device_id(client_id):
        raise PermanentRecordError("InvalidDeviceId", f"client id {str(client_id)[:140]!r} cannot be a device's")
    timestamp, version = event.get("timestamp"), event.get("versionNumber")
    if type(timestamp) is not int or type(version) is not int:
        raise PermanentRecordError(
            "WrongType", f"timestamp {timestamp!r} and versionNumber {version!r}, expected numbers"
        )
    reason = event.get("disconnectReason")
    return LifecycleEvent(client_id, kind == "connected", timestamp, version, None if reason is None else str(reason))


def presence_update(
    table: str, event: LifecycleEvent, *, tenant_id: str | None, site_id: str | None, expires_s: int | None
) -> dict[str, Any]:
    """Build the UpdateItem request that moves presence on, unless something later was stored.

    Without a tenant the item waits to be adopted at registration. It may expire (epoch seconds) if it never had one:
    what clients were told about keeps its `version`.
    """
    values: Item = {
        ":device": {"S": event.client_id},
        ":connected": {"BOOL": event.is_connected},
        ":at": {"N": str(event.timestamp)},
        ":rank": {"N": str(event.rank)},
        ":reset": {"N": str(event.timestamp - VERSION_RESET_MS)},
        ":none": {"N": "0"},
        ":one": {"N": "1"},
        ":schema": SCHEMA_VERSION,
    }
    sets = [
        "deviceId = :device",
        "isConnected = :connected",
        "since = :at",
        "eventRank = :rank",
        "schemaVersion = :schema",
        "#version = if_not_exists(#version, :none) + :one",
    ]
    names = {"#version": "version"}
    removes = []
    for name, value in (("tenantId", tenant_id), ("siteId", site_id), ("disconnectReason", event.disconnect_reason)):
        if value is not None:
            sets.append(f"{name} = :{name}")
            values[f":{name}"] = {"S": value}
        elif name == "disconnectReason" or tenant_id is not None:
            # An owner that named no site has none (any more).
            removes.append(name)
    names["#ttl"] = "ttl"
    if expires_s is None:
        removes.append("#ttl")
    else:
        sets.append("#ttl = :ttl")
        values[":ttl"] = {"N": str(expires_s)}
    return {
        "TableName": table,
        "Key": presence_key(event.client_id),
        "UpdateExpression": f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else ""),
        "ConditionExpression": "attribute_not_exists(eventRank) OR eventRank < :rank OR since < :reset",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
