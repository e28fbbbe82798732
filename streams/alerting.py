"""Flow 5/8: raise and resolve alerts, reading by reading, before anything is coalesced."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from streams.items import SCHEMA_VERSION, Item, alert_key, number, tenant_partition
from streams.record import Telemetry

Comparison = Literal["ABOVE", "BELOW"]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A threshold on one reading; `device_id` and `site_id` narrow it when given."""

    rule_id: str
    name: str
    reading: str
    comparison: Comparison
    threshold: float
    severity: str
    device_id: str | None = None
    site_id: str | None = None
    hysteresis: float = 0.0
    duration_s: int = 0

    def covers(self, device_id: str, site_id: str | None) -> bool:
        return self.device_id in (None, device_id) and self.site_id in (None, site_id)

    def is_breached_by(self, value: float) -> bool:
        return value > self.threshold if self.comparison == "ABOVE" else value < self.threshold

    def is_over_at(self, value: float) -> bool:
        """Say whether a reading ends an alert: back within the threshold by the hysteresis."""
        if self.comparison == "ABOVE":
            return value <= self.threshold - self.hysteresis
        return value >= self.threshold + self.hysteresis


@dataclass(frozen=True, slots=True)
class AlertOpened:
    """A reading went past its threshold. The id comes from rule and payload, so that a redelivery finds the same
    alert.
    """

    alert_id: str
    rule: AlertRule
    device_id: str
    ts: int
    value: float


@dataclass(frozen=True, slots=True)
class AlertResolved:
    """A reading came back within its threshold."""

    alert_id: str
    device_id: str
    ts: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What happened, oldest first; which rules are in alert afterwards (rule id → alert id), and which wait for their
    duration (rule id → epoch milliseconds of the first reading past the threshold).
    """

    changes: tuple[AlertOpened | AlertResolved, ...]
    alerting: dict[str, str]
    pending: dict[str, int] = field(default_factory=dict)


def alert_rule(item: Mapping[str, Any]) -> AlertRule:
    """Read a rule item, as DynamoDB types it."""
    return AlertRule(
        rule_id=item["ruleId"]["S"],
        name=item["name"]["S"],
        reading=item["reading"]["S"],
        comparison=item["comparison"]["S"],
        threshold=float(item["threshold"]["N"]),
        severity=item["severity"]["S"],
        device_id=item.get("deviceId", {}).get("S"),
        site_id=item.get("siteId", {}).get("S"),
        hysteresis=float(item["hysteresis"]["N"]) if "hysteresis" in item else 0.0,
        duration_s=int(item["durationSeconds"]["N"]) if "durationSeconds" in item else 0,
    )


def decide(
    rules: Iterable[AlertRule],
    fresh: Sequence[Telemetry],
    alerting: Mapping[str, str],
    *,
    site_id: str | None,
    pending: Mapping[str, int] | None = None,
) -> Decision:
    """Follow each rule through a device's new telemetry.

    `fresh` is in the device's own order; `alerting` and `pending` are what the state item holds from before. A message
    without the rule's reading, or with one that is no number, changes nothing. Rules that are gone drop out of both;
    their alerts stay as they are.
    """
    if not fresh:
        return Decision((), dict(alerting), dict(pending or {}))
    changes: list[AlertOpened | AlertResolved] = []
    after: dict[str, str] = {}
    waiting: dict[str, int] = {}
    for rule in rules:
        if not rule.covers(fresh[0].device_id, site_id):
            continue
        current, since = alerting.get(rule.rule_id), (pending or {}).get(rule.rule_id)
        for record in fresh:
            current, since = _follow(rule, record, current, since, changes)
        if current is not None:
            after[rule.rule_id] = current
        elif since is not None:
            waiting[rule.rule_id] = since
    changes.sort(key=lambda change: change.ts)
    return Decision(tuple(changes), after, waiting)


def _follow(
    rule: AlertRule,
    record: Telemetry,
    current: str | None,
    since: int | None,
    changes: list[AlertOpened | AlertResolved],
) -> tuple[str | None, int | None]:
    """Take one message: the rule's alert and the time it waits since, before and after."""
    value = record.readings.get(rule.reading)
    if type(value) is not float and type(value) is not int:
        return current, since
    if current is not None:
        if not rule.is_over_at(value):
            return current, None
        changes.append(AlertResolved(current, record.device_id, record.ts))
        return None, None
    if not rule.is_breached_by(value):
        return None, None
    # By the device's own clock: readings that come in one batch after an outage count as they were taken.
    since = record.ts if since is None else since
    if record.ts - since < rule.duration_s * 1000:
        return None, since
    opened = AlertOpened(f"{record.ts:013d}-{record.seq}-{rule.rule_id}", rule, record.device_id, record.ts, value)
    changes.append(opened)
    return opened.alert_id, None


def opening_put(
    table: str, opened: AlertOpened, tenant_id: str, *, site_id: str | None, retention_s: int
) -> dict[str, Any]:
    """Build the PutItem request of a new alert.

    The condition keeps a redelivery from undoing an acknowledgement. GSI2 is sparse: it holds open alerts alone.
    """
    rule = opened.rule
    item: Item = {
        **alert_key(opened.device_id, opened.alert_id),
        "alertId": {"S": opened.alert_id},
        "deviceId": {"S": opened.device_id},
        "tenantId": {"S": tenant_id},
        "ruleId": {"S": rule.rule_id},
        "name": {"S": rule.name},
        "severity": {"S": rule.severity},
        "status": {"S": "OPEN"},
        "reading": {"S": rule.reading},
        "value": number(opened.value),
        "threshold": number(rule.threshold),
        "openedAt": {"N": str(opened.ts)},
        "version": {"N": "1"},
        "GSI2PK": {"S": f"{tenant_partition(tenant_id)}#OPEN"},
        "GSI2SK": {"S": f"{opened.ts:013d}#{opened.device_id}#{rule.rule_id}"},
        "ttl": {"N": str(opened.ts // 1000 + retention_s)},
        "schemaVersion": SCHEMA_VERSION,
    }
    if site_id is not None:
        item["siteId"] = {"S": site_id}
    return {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(PK)"}


def resolving_update(table: str, resolved: AlertResolved) -> dict[str, Any]:
    """Build the UpdateItem request that ends an alert, acknowledged or not, once."""
    return {
        "TableName": table,
        "Key": alert_key(resolved.device_id, resolved.alert_id),
        "UpdateExpression": "SET #status = :resolved, resolvedAt = :at, #version = #version + :one "
        "REMOVE GSI2PK, GSI2SK",
        "ConditionExpression": "attribute_exists(PK) AND #status <> :resolved",
        "ExpressionAttributeNames": {"#status": "status", "#version": "version"},
        "ExpressionAttributeValues": {
            ":resolved": {"S": "RESOLVED"},
            ":at": {"N": str(resolved.ts)},
            ":one": {"N": "1"},
        },
    }
