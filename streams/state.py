"""Flow 5/8: decide a device's latest state, under the rule that the larger (ts, seq) wins."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.items import SCHEMA_VERSION, number, scalar, state_key
from streams.record import Telemetry, event_id


@dataclass(frozen=True, slots=True)
class StoredState:
    """What ingestion needs of a device's state item; `ts` and `seq` are -1 before the first telemetry."""

    tenant_id: str
    site_id: str | None = None
    ts: int = -1
    seq: int = -1
    is_removed: bool = False
    alerting: dict[str, str] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, int]:
        return (self.ts, self.seq)


@dataclass(frozen=True, slots=True)
class Span:
    """Smallest and largest value of one reading, and how many there were."""

    min: float
    max: float
    count: int

    def including(self, other: "Span") -> "Span":
        return Span(min(self.min, other.min), max(self.max, other.max), self.count + other.count)


# Of a state item the readings are most; ingestion needs the rest.
STATE_PROJECTION = {
    "ProjectionExpression": "PK, tenantId, siteId, #ts, seq, removedAt, alerting, pending",
    "ExpressionAttributeNames": {"#ts": "ts"},
}


def stored_state(item: Mapping[str, Any]) -> StoredState:
    """Read the state item, as DynamoDB types it."""
    alerting = item.get("alerting", {}).get("M", {})
    pending = item.get("pending", {}).get("M", {})
    return StoredState(
        tenant_id=item["tenantId"]["S"],
        site_id=item.get("siteId", {}).get("S"),
        ts=int(item["ts"]["N"]) if "ts" in item else -1,
        seq=int(item["seq"]["N"]) if "seq" in item else -1,
        is_removed="removedAt" in item,
        alerting={rule_id: alert["S"] for rule_id, alert in alerting.items()},
        pending={rule_id: int(since["N"]) for rule_id, since in pending.items()},
    )


def newer_than(stored: StoredState, records: Iterable[Telemetry]) -> list[Telemetry]:
    """Pick what the stored state has not seen, in the device's own order and once each.

    Telemetry that comes after a newer one was stored goes to history alone: it changes no state, raises no alert and
    counts in no span, because it cannot be told from a redelivery.
    """
    fresh = {record.order: record for record in records if record.order > stored.order}
    return [fresh[order] for order in sorted(fresh)]


def spans_of(records: Iterable[Telemetry]) -> dict[str, Span]:
    """Sum up every numeric reading over `records`."""
    spans: dict[str, Span] = {}
    for record in records:
        for name, value in record.readings.items():
            if type(value) is float or type(value) is int:
                one = Span(value, value, 1)
                spans[name] = spans[name].including(one) if name in spans else one
    return spans


# Constant text: names and values alone change, so that every reader of the expression may keep it parsed.
_UPDATE = (
    "SET #ts = :ts, #seq = :seq, eventId = :event, readings = :readings, sampleCount = :count, spans = :spans, "
    "alerting = :alerting, pending = :pending, schemaVersion = :schema, #version = #version + :one"
)
_CONDITION = (
    "tenantId = :tenant AND attribute_not_exists(removedAt) AND "
    "(attribute_not_exists(#ts) OR #ts < :ts OR (#ts = :ts AND #seq < :seq))"
)


def state_update(
    table: str,
    tenant_id: str,
    fresh: Sequence[Telemetry],
    alerting: Mapping[str, str],
    pending: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Build the UpdateItem request that moves the state to the last of `fresh`, unless the table has a newer one by
    then, or the device has become another tenant's.
    """
    newest = fresh[-1]
    spans = spans_of(fresh) if len(fresh) > 1 else {}
    return {
        "TableName": table,
        "Key": state_key(newest.device_id),
        "UpdateExpression": _UPDATE,
        "ConditionExpression": _CONDITION,
        "ExpressionAttributeNames": {"#ts": "ts", "#seq": "seq", "#version": "version"},
        "ExpressionAttributeValues": {
            ":tenant": {"S": tenant_id},
            ":ts": {"N": str(newest.ts)},
            ":seq": {"N": str(newest.seq)},
            ":event": {"S": event_id(newest.device_id, newest.ts, newest.seq)},
            ":readings": {"M": {name: scalar(value) for name, value in newest.readings.items()}},
            ":count": {"N": str(len(fresh))},
            ":spans": {"M": {name: _span_attribute(span) for name, span in spans.items()}},
            ":alerting": {"M": {rule_id: {"S": alert_id} for rule_id, alert_id in alerting.items()}},
            ":pending": {"M": {rule_id: {"N": str(since)} for rule_id, since in (pending or {}).items()}},
            ":schema": SCHEMA_VERSION,
            ":one": {"N": "1"},
        },
    }


def _span_attribute(span: Span) -> dict[str, Any]:
    return {"M": {"min": number(span.min), "max": number(span.max), "count": {"N": str(span.count)}}}
