"""Turn an alarm a device raises itself into an alert."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.items import SCHEMA_VERSION, Item, alert_key, number, tenant_partition
from streams.record import MAX_SEQ, MAX_TS_MS, PermanentRecordError, check_time, is_device_id, is_encodable

SEVERITIES = ("INFO", "WARNING", "CRITICAL")
RULE_ID = "device"


@dataclass(frozen=True, slots=True)
class DeviceAlarm:
    """What the device said, by its own clock (`ts`, epoch milliseconds)."""

    device_id: str
    ts: int
    seq: int
    name: str
    severity: str
    reading: str | None
    value: float | None

    @property
    def alert_id(self) -> str:
        return f"{self.ts:013d}-{self.seq}-{RULE_ID}"


def parse_alarm(event: Mapping[str, Any], *, retention_s: int | None = None) -> DeviceAlarm:
    """Read the rule's event: the device's `{ts, seq, name, severity?, reading?, value?}` with deviceId from the topic.

    Raises: PermanentRecordError when the device did not keep to that, or its clock is more than 5 minutes ahead or as
    far behind as alerts are kept.
    """
    device_id = event.get("deviceId")
    if not isinstance(device_id, str) or not is_device_id(device_id):
        raise PermanentRecordError("InvalidDeviceId", f"topic of device {str(device_id)[:140]!r}")
    ts = _whole(event, "ts", MAX_TS_MS)
    seq = _whole(event, "seq", MAX_SEQ)
    check_time(ts, int(event["receivedAt"]), retention_s)
    name = event.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= 128 or not is_encodable(name):
        raise PermanentRecordError("WrongType", f"name is {str(name)[:140]!r}, expected 1 to 128 characters")
    severity = event.get("severity", "WARNING")
    if severity not in SEVERITIES:
        raise PermanentRecordError("WrongType", f"severity is {str(severity)[:40]!r}, expected one of {SEVERITIES}")
    reading, value = event.get("reading"), event.get("value")
    if reading is not None and (
        not isinstance(reading, str) or not 0 < len(reading) <= 128 or not is_encodable(reading)
    ):
        raise PermanentRecordError("WrongType", f"reading is {str(reading)[:140]!r}, expected 1 to 128 characters")
    if value is not None and not _is_storable(value):
        raise PermanentRecordError("WrongType", f"value is {str(value)[:40]!r}, expected a number the table can hold")
    return DeviceAlarm(device_id, ts, seq, name, severity, reading, value)


def alarm_put(
    table: str, alarm: DeviceAlarm, tenant_id: str, *, site_id: str | None, retention_s: int
) -> dict[str, Any]:
    """Build the PutItem request of the alert; a message that comes twice meets its own alert."""
    item: Item = {
        **alert_key(alarm.device_id, alarm.alert_id),
        "alertId": {"S": alarm.alert_id},
        "deviceId": {"S": alarm.device_id},
        "tenantId": {"S": tenant_id},
        "ruleId": {"S": RULE_ID},
        "name": {"S": alarm.name},
        "severity": {"S": alarm.severity},
        "status": {"S": "OPEN"},
        "openedAt": {"N": str(alarm.ts)},
        "version": {"N": "1"},
        "GSI2PK": {"S": f"{tenant_partition(tenant_id)}#OPEN"},
        "GSI2SK": {"S": f"{alarm.ts:013d}#{alarm.device_id}#{RULE_ID}#{alarm.seq}"},
        "ttl": {"N": str(alarm.ts // 1000 + retention_s)},
        "schemaVersion": SCHEMA_VERSION,
    }
    if site_id is not None:
        item["siteId"] = {"S": site_id}
    if alarm.reading is not None:
        item["reading"] = {"S": alarm.reading}
    if alarm.value is not None:
        item["value"] = number(alarm.value)
    return {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(PK)"}


def _is_storable(value: Any) -> bool:
    if type(value) is int:
        return -(10**38) < value < 10**38
    return type(value) is float and (value == 0 or 1e-130 <= abs(value) < 1e125)


def _whole(event: Mapping[str, Any], name: str, maximum: int) -> int:
    value = event.get(name)
    if type(value) is not int or not 0 <= value <= maximum:
        raise PermanentRecordError(
            "WrongType", f"{name} is {str(value)[:40]!r}, expected a whole number from 0 to {maximum}"
        )
    return value
