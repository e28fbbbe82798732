"""Flow 7/8: turn a batch of table changes into what subscribers are told, newest state per device."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from streams.items import iso_time, plain_item
from streams.json_values import stored_json
from streams.record import event_id

WATCHED_READINGS = ("temperature", "humidity", "pressure", "battery", "power")

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Publish:
    """One publish mutation: its field, its input, and the batch positions of the stream records it tells about."""

    mutation: str
    device_id: str
    input: Fields
    positions: tuple[int, ...]


def publishes(records: Iterable[Mapping[str, Any]]) -> list[Publish]:
    """Decide what to publish for a batch of DynamoDB stream records, in the order of the table.

    States of one device become one publish, at the place of the last one: its minima, maxima and counts are over all
    of them, so that a threshold subscription misses no crossing. Everything else is published change by change. A
    change that concerns no subscriber (a registration, an attribute clients do not see) gives none.
    """
    ordered: dict[tuple[str, int], Publish] = {}
    for position, record in enumerate(records):
        image = record["dynamodb"].get("NewImage")
        if image is None or "tenantId" not in image:
            # Removed items are TTL's work; an item without a tenant is nobody's to see.
            continue
        change = _publish(plain_item(image), record["dynamodb"].get("OldImage", {}), position)
        if change is None:
            continue
        if change.mutation == "publishDeviceState":
            # Taken out and put in again, so that it stands at the place of its newest record.
            earlier = ordered.pop((change.device_id, -1), None)
            ordered[change.device_id, -1] = change if earlier is None else _merged(earlier, change)
        else:
            ordered[change.device_id, position] = change
    return list(ordered.values())


def _publish(item: Fields, old_image: Mapping[str, Any], position: int) -> Publish | None:
    sort = item["SK"]
    device_id = item["deviceId"]
    if old_image.get("version", {}).get("N") == str(item.get("version")):
        # Every change clients are told about raises the version.
        return None
    if sort == "STATE":
        if "removedAt" in item:
            return Publish("publishDeviceRemoval", device_id, _removal_input(item), (position,))
        return None if "ts" not in item else Publish("publishDeviceState", device_id, _state_input(item), (position,))
    if sort == "PRESENCE":
        return Publish("publishPresence", device_id, _presence_input(item), (position,))
    if sort.startswith("ALERT#"):
        return Publish("publishAlert", device_id, _alert_input(item), (position,))
    if sort.startswith("COMMAND#"):
        return Publish("publishCommand", device_id, _command_input(item), (position,))
    return None


def _merged(earlier: Publish, later: Publish) -> Publish:
    """Let the later state stand for both: its readings, the spans and counts of the two."""
    spans = dict(earlier.input["spans"])
    for name, span in later.input["spans"].items():
        known = spans.get(name)
        spans[name] = span if known is None else _joined(known, span)
    count = earlier.input["sampleCount"] + later.input["sampleCount"]
    fields = {**later.input, "spans": spans, "sampleCount": count}
    return Publish(later.mutation, later.device_id, fields, earlier.positions + later.positions)


def _joined(one: Fields, other: Fields) -> Fields:
    return {
        "min": min(one["min"], other["min"]),
        "max": max(one["max"], other["max"]),
        "count": one["count"] + other["count"],
    }


def _owner(item: Fields) -> Fields:
    return {
        "deviceId": item["deviceId"],
        "tenantId": item["tenantId"],
        "siteId": item.get("siteId"),
        "version": item["version"],
    }


def _state_input(item: Fields) -> Fields:
    """The state as the table has it; `spans` is complete and by reading, `readings` still an object."""
    # A state that stands for one payload carries no spans of its own: its readings say the same in half the item.
    spans = item.get("spans") or {
        name: {"min": value, "max": value, "count": 1}
        for name, value in item["readings"].items()
        if type(value) is int or type(value) is float
    }
    return {
        **_owner(item),
        "eventId": event_id(item["deviceId"], item["ts"], item["seq"]),
        "time": iso_time(item["ts"]),
        "seq": item["seq"],
        "readings": item["readings"],
        "sampleCount": item["sampleCount"],
        "spans": spans,
    }


def _removal_input(item: Fields) -> Fields:
    return {**_owner(item), "removedAt": iso_time(item["removedAt"])}


def _presence_input(item: Fields) -> Fields:
    return {
        **_owner(item),
        "isConnected": item["isConnected"],
        "since": iso_time(item["since"]),
        "disconnectReason": item.get("disconnectReason"),
    }


def _alert_input(item: Fields) -> Fields:
    copied = (
        "alertId",
        "ruleId",
        "name",
        "severity",
        "status",
        "reading",
        "value",
        "threshold",
        "acknowledgedBy",
        "note",
    )
    times = ("openedAt", "acknowledgedAt", "resolvedAt")
    return {**_owner(item), **{name: item.get(name) for name in copied}, **_times(item, times)}


def _command_input(item: Fields) -> Fields:
    return {
        **_owner_without_site(item),
        **{name: item.get(name) for name in ("commandId", "name", "status")},
        **{name: stored_json(item, name) for name in ("parameters", "reply")},
        **_times(item, ("sentAt", "timeoutAt", "closedAt")),
    }


def _owner_without_site(item: Fields) -> Fields:
    owner = _owner(item)
    del owner["siteId"]
    return owner


def _times(item: Fields, names: Iterable[str]) -> Fields:
    return {name: iso_time(item[name]) if item.get(name) is not None else None for name in names}
