"""Flow 7/8: know what somebody is subscribed to, so that changes nobody waits for need not be published.

`resolvers/recordInterest.js` writes a row for each scope before a subscription begins; it holds for as long as a
connection can live. Whoever has its start_ack when a change is committed has its row before the change is read here,
so reading rows consistently, after the changes, skips nothing that anybody would get.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.coalesce import Publish
from streams.items import plain_item

# What makes the volume. The rest is always published: it is rare, and some of it is queried by an index, which is read
# behind time.
SKIPPED = frozenset({"publishDeviceState", "publishPresence"})
# Of a tenant with more rows everything is published: reading them would cost more than it saves.
MAX_ROWS = 1000
ALL_TENANTS = ""


@dataclass(frozen=True, slots=True)
class Interest:
    """One scope of subscriptions to one field; whatever is None is not narrowed."""

    field: str
    devices: tuple[str, ...] | None = None
    site_id: str | None = None
    reading: str | None = None
    above: float | None = None
    below: float | None = None

    def covers(self, publish: Publish) -> bool:
        """Say whether the filter of such a subscription can let the event through."""
        if self.field != field_of(publish):
            return False
        if self.devices is not None and publish.device_id not in self.devices:
            return False
        if self.site_id is not None and publish.input.get("siteId") != self.site_id:
            return False
        return self.reading is None or self._is_crossed(publish.input.get("spans", {}).get(self.reading))

    def _is_crossed(self, span: Mapping[str, float] | None) -> bool:
        if span is None:
            return False
        is_above = self.above is not None and span["max"] > self.above
        return is_above or (self.below is not None and span["min"] < self.below)


class Interests:
    """What one tenant's subscribers (or services, for all tenants) wait for."""

    def __init__(self, interests: Iterable[Interest]) -> None:
        self._of_devices: dict[str, list[Interest]] = {}
        self._others: list[Interest] = []
        for interest in interests:
            if interest.devices is None:
                self._others.append(interest)
            for device_id in interest.devices or ():
                self._of_devices.setdefault(device_id, []).append(interest)

    def cover(self, publish: Publish) -> bool:
        of_device = self._of_devices.get(publish.device_id, ())
        return any(interest.covers(publish) for each in (of_device, self._others) for interest in each)


def field_of(publish: Publish) -> str:
    """Name the subscription field that a publish mutation feeds (`publishAlert` → `onAlert`)."""
    return f"on{publish.mutation.removeprefix('publish')}"


def interest_query(table: str, tenant_id: str) -> dict[str, Any]:
    """Build the Query request for a tenant's rows, or for those of services (ALL_TENANTS)."""
    return {
        "TableName": table,
        # An old answer may lack the row of a subscription that has begun.
        "ConsistentRead": True,
        "Limit": MAX_ROWS,
        "KeyConditionExpression": "PK = :pk",
        "ExpressionAttributeValues": {":pk": {"S": f"INTEREST#{tenant_id}"}},
    }


def read_interests(answer: Mapping[str, Any], now_s: float) -> Interests:
    """Take the rows that still hold; TTL removes the others some day.

    Raises: ValueError when the answer does not tell, because there are more rows than one page or it is no such answer.
    """
    if "LastEvaluatedKey" in answer:
        raise ValueError(f"there are more than {MAX_ROWS} rows or 1 MB of them")
    try:
        rows = [plain_item(item) for item in answer["Items"]]
        return Interests(_interest(row) for row in rows if row["validUntil"] > now_s)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the rows cannot be read: {type(error).__name__}: {error}") from error


def _interest(row: Mapping[str, Any]) -> Interest:
    devices: Sequence[str] | None = row.get("devices")
    return Interest(
        field=row["field"],
        devices=None if devices is None else tuple(devices),
        site_id=row.get("siteId"),
        reading=row.get("reading"),
        above=None if "above" not in row else float(row["above"]),
        below=None if "below" not in row else float(row["below"]),
    )
