"""Turn items into what schema.graphql shows of them."""

from collections.abc import Mapping
from typing import Any

from streams.items import iso_time, plain_item
from streams.json_values import stored_json
from streams.record import event_id

Fields = dict[str, Any]
Image = Mapping[str, Mapping[str, Any]]


def device(item: Image) -> Fields:
    fields = plain_item(item)
    return {
        **{name: fields.get(name) for name in ("deviceId", "tenantId", "siteId", "name", "model")},
        "registeredAt": iso_time(fields["registeredAt"]),
    }


def device_state(item: Image) -> Fields | None:
    """Show the latest state; None before the first telemetry and after removal. Spans belong to events alone."""
    if "ts" not in item or "removedAt" in item:
        return None
    fields = plain_item(item)
    return {
        **{name: fields.get(name) for name in ("deviceId", "tenantId", "siteId", "version", "seq", "readings")},
        "eventId": event_id(fields["deviceId"], fields["ts"], fields["seq"]),
        "time": iso_time(fields["ts"]),
        "sampleCount": fields["sampleCount"],
        "spans": None,
        "summary": fields["spans"] if fields["sampleCount"] > 1 else None,
    }


def presence(item: Image) -> Fields | None:
    """Show presence; None for a client that is nobody's device."""
    if "tenantId" not in item:
        return None
    fields = plain_item(item)
    copied = ("deviceId", "tenantId", "siteId", "isConnected", "disconnectReason", "version")
    return {**{name: fields.get(name) for name in copied}, "since": iso_time(fields["since"])}


def command(item: Image) -> Fields:
    fields = plain_item(item)
    copied = ("commandId", "deviceId", "tenantId", "name", "status", "version")
    closed_at = fields.get("closedAt")
    return {
        **{name: fields.get(name) for name in copied},
        **{name: stored_json(fields, name) for name in ("parameters", "reply")},
        "sentAt": iso_time(fields["sentAt"]),
        "timeoutAt": iso_time(fields["timeoutAt"]),
        "closedAt": None if closed_at is None else iso_time(closed_at),
    }
