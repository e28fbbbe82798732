"""Erase what a tenant or a removed device left, in the table and with the broker: page by page, until none is found."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from typing import Any

from resolvers.iot_data import clear_retained, delete_shadows
from streams import items
from streams.aws.calls import AwsError, ResourceService, Service

# How an item is named in the report, by the beginning of its sort key.
KINDS = (
    ("TS#", "history"),
    ("MIN#", "aggregates"),
    ("ALERT#", "alerts"),
    ("COMMAND#", "commands"),
    ("RULE#", "alertRules"),
    ("CHANGE#", "changes"),
    ("TOKEN", "partnerTokens"),
    ("PRESENCE", "presence"),
    ("META", "devices"),
    ("STATE", "states"),
)
_DELETE_BATCH = 25
_ATTEMPTS = 8
# A publisher that retains again and again, with rights of its own, must not keep an erasure from its end.
_RETAINED_PASSES = 3


class OvertakenError(Exception):
    """Another invocation took the same page: it goes on, this one stops."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What erasing needs.

    `remove_device(device_id, tenant_id)` ends a device that is still the tenant's, with its certificates and shadows,
    leaves its tombstone, and returns how many shadows there were.
    """

    table: Service
    table_name: str
    remove_device: Callable[[str, str], int]
    iot_data: ResourceService
    pause: Callable[[int], None]
    now_ms: Callable[[], int]

    def start(self, tenant_id: str) -> dict[str, Any]:
        """Begin, or take up again what runs; a finished erasure begins anew. Returns the report as it is stored."""
        fresh = {
            **erasure_key(tenant_id),
            "tenantId": {"S": tenant_id},
            "status": {"S": "RUNNING"},
            "startedAt": {"N": str(self.now_ms())},
            "step": {"N": "0"},
            "passes": {"N": "0"},
            "found": {"N": "0"},
            "erased": {"M": {}},
            "schemaVersion": items.SCHEMA_VERSION,
        }
        put = {
            "TableName": self.table_name,
            "Item": fresh,
            "ConditionExpression": "attribute_not_exists(PK) OR #status = :done",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {":done": {"S": "DONE"}},
        }
        try:
            self.table.call("PutItem", put)
        except AwsError as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            return self.progress(tenant_id)
        return items.plain_item(fresh)

    def progress(self, tenant_id: str) -> dict[str, Any]:
        read = {"TableName": self.table_name, "Key": erasure_key(tenant_id), "ConsistentRead": True}
        return items.plain_item(self.table.call("GetItem", read).get("Item", {}))

    def advance(self, tenant_id: str) -> bool:
        """Do one page; True when there is more. Doing the same page twice deletes and counts it once.

        The whole table is read until a pass finds nothing: an item of the tenant may lie under any day its device ever
        claimed, and an ingestion under way may write once more behind the reader. Then the account's retained messages
        are gone through for those of devices whose tombstones say that they were the tenant's.
        Raises: OvertakenError.
        """
        read = {"TableName": self.table_name, "Key": erasure_key(tenant_id), "ConsistentRead": True}
        stored = self.table.call("GetItem", read).get("Item", {})
        if stored.get("status") != {"S": "RUNNING"}:
            return False
        if "retainedFrom" in stored:
            return self._advance_retained(tenant_id, stored)
        page = self._page(tenant_id, stored.get("position", {}).get("M"))
        found = [item for item in page.get("Items", []) if not is_kept(item)]
        # A device ends as ever: certificates first, then its items in one transaction, with a tombstone.
        devices = sorted({item["PK"]["S"].partition("#")[2] for item in found if is_device(item)})
        counts = Counter({"shadows": sum(self.remove_device(device_id, tenant_id) for device_id in devices)})
        self._delete([items.key(item["PK"]["S"], item["SK"]["S"]) for item in found if not is_device(item)])
        counts += Counter(kind_of(item["SK"]["S"]) for item in found)
        position, total = page.get("LastEvaluatedKey"), int(stored["found"]["N"]) + len(found)
        after: items.Item = {"found": {"N": str(total)}}
        if position is not None:
            after["position"] = {"M": dict(position)}
        else:
            after = {"found": {"N": "0"}, "passes": {"N": str(int(stored["passes"]["N"]) + 1)}}
            if total == 0:
                after["retainedFrom"] = {"S": ""}
        self._record(tenant_id, stored, counts, after)
        return True

    def _advance_retained(self, tenant_id: str, stored: Mapping[str, Any]) -> bool:
        """Clear the tenant's retained messages in one page of the account's, until a pass finds none."""
        is_gone = cache(partial(self._is_gone, tenant_id))
        page = clear_retained(self.iot_data, lambda device_id, _: is_gone(device_id), stored["retainedFrom"]["S"])
        total = int(stored["found"]["N"]) + page.cleared
        passes = int(stored.get("retainedPasses", {"N": "0"})["N"]) + (not page.next_token)
        is_done = not page.next_token and (total == 0 or passes == _RETAINED_PASSES)
        after: items.Item = {
            "found": {"N": str(total if page.next_token else 0)},
            "retainedPasses": {"N": str(passes)},
        }
        if is_done:
            after |= {"status": {"S": "DONE"}, "finishedAt": {"N": str(self.now_ms())}}
        else:
            after["retainedFrom"] = {"S": page.next_token}
        self._record(tenant_id, stored, Counter({"retainedMessages": page.cleared}), after)
        return not is_done

    def clear_device(self, device_id: str, tenant_id: str, token: str, *, removed_ms: int) -> str:
        """Clear a removed device's retained messages in one page of the account's; returns where the next one begins.

        Its shadow goes once more: a write that read the device before its removal may have come after it. A device that
        is registered again meanwhile keeps its new shadow, and what was retained after `removed_ms`.
        """
        is_gone = self._is_gone(tenant_id, device_id)
        if is_gone and not token:
            delete_shadows(self.iot_data, device_id)

        def is_doomed(each: str, stored_ms: int) -> bool:
            return each == device_id and (is_gone or stored_ms <= removed_ms)

        return clear_retained(self.iot_data, is_doomed, token).next_token

    def _is_gone(self, tenant_id: str, device_id: str) -> bool:
        """Say whether a device was removed, and was the tenant's at the last."""
        read = {"TableName": self.table_name, "Key": items.state_key(device_id), "ConsistentRead": True}
        state = self.table.call("GetItem", read).get("Item", {})
        return state.get("tenantId") == {"S": tenant_id} and "removedAt" in state

    def erase_device(self, device_id: str, tenant_id: str, *, before_ms: int, days: int, months_back: int) -> int:
        """Delete a removed device's history, aggregates, alerts and commands of before `before_ms`; returns how many.

        Looks into the partitions of the last `days` and `months_back`: what a device claimed to be older ends by TTL.
        """
        count = 0
        for partition in device_partitions(device_id, before_ms, days=days, months_back=months_back):
            doomed = []
            for item in self._of_partition(partition, tenant_id):
                if not is_kept(item) and item_ms(item["SK"]["S"]) <= before_ms:
                    doomed.append(items.key(partition, item["SK"]["S"]))
            self._delete(doomed)
            count += len(doomed)
        return count

    def _page(self, tenant_id: str, position: Mapping[str, Any] | None) -> dict[str, Any]:
        scan = {
            "TableName": self.table_name,
            "ConsistentRead": True,
            "FilterExpression": "tenantId = :tenant",
            "ExpressionAttributeValues": {":tenant": {"S": tenant_id}},
            "ProjectionExpression": "PK, SK, removedAt",
        }
        return self.table.call("Scan", scan if position is None else {**scan, "ExclusiveStartKey": position})

    def _of_partition(self, partition: str, tenant_id: str) -> Iterator[Mapping[str, Any]]:
        query: dict[str, Any] = {
            "TableName": self.table_name,
            "KeyConditionExpression": "PK = :pk",
            "FilterExpression": "tenantId = :tenant",
            "ExpressionAttributeValues": {":pk": {"S": partition}, ":tenant": {"S": tenant_id}},
            "ProjectionExpression": "PK, SK, removedAt",
        }
        while True:
            page = self.table.call("Query", query)
            yield from page.get("Items", [])
            if "LastEvaluatedKey" not in page:
                return
            query = {**query, "ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _delete(self, keys: list[items.Item]) -> None:
        for start in range(0, len(keys), _DELETE_BATCH):
            requests = [{"DeleteRequest": {"Key": each}} for each in keys[start : start + _DELETE_BATCH]]
            for attempt in range(_ATTEMPTS):
                answer = self.table.call("BatchWriteItem", {"RequestItems": {self.table_name: requests}})
                requests = answer.get("UnprocessedItems", {}).get(self.table_name, [])
                if not requests:
                    break
                self.pause(attempt)
            if requests:
                raise AwsError("UnprocessedItems", f"{len(requests)} items left", status=200, document={})

    def _record(
        self, tenant_id: str, stored: Mapping[str, Any], counts: Mapping[str, int], after: Mapping[str, Any]
    ) -> None:
        """Note a page, with where the next begins, under the condition that nobody noted it before."""
        erased = Counter(items.plain_item({"erased": stored["erased"]})["erased"])
        erased.update(counts)
        kept = {name: value for name, value in stored.items() if name not in ("position", "retainedFrom")}
        put = {
            "TableName": self.table_name,
            "Item": {
                **kept,
                "step": {"N": str(int(stored["step"]["N"]) + 1)},
                "erased": {"M": {kind: {"N": str(count)} for kind, count in erased.items() if count}},
                **after,
            },
            "ConditionExpression": "step = :step",
            "ExpressionAttributeValues": {":step": stored["step"]},
        }
        try:
            self.table.call("PutItem", put)
        except AwsError as error:
            if error.code == "ConditionalCheckFailedException":
                raise OvertakenError(tenant_id) from error
            raise


def erasure_key(tenant_id: str) -> items.Item:
    return items.key(items.tenant_partition(tenant_id), "ERASURE")


def is_kept(item: Mapping[str, Any]) -> bool:
    """Keep the report, and the tombstone that refuses a device's late telemetry: it holds ids and times alone."""
    sort = item["SK"]["S"]
    return sort == "ERASURE" or (sort == "STATE" and "removedAt" in item)


def is_device(item: Mapping[str, Any]) -> bool:
    return item["SK"]["S"] in ("META", "STATE")


def kind_of(sort: str) -> str:
    return next((kind for prefix, kind in KINDS if sort.startswith(prefix)), "other")


def item_ms(sort: str) -> int:
    """Read the time in a sort key (`TS#<ms>#…`, `MIN#<ms>`, `ALERT#<ms>-…`, `COMMAND#<ms>-…`); 0 without one."""
    digits = sort.partition("#")[2][:13]
    return int(digits) if digits.isdigit() else 0


def device_partitions(device_id: str, before_ms: int, *, days: int, months_back: int) -> Iterator[str]:
    """Yield the device's own partition, those of its days and those of its months."""
    yield items.device_partition(device_id)
    # A device's clock may be five minutes ahead.
    today = datetime.fromtimestamp(before_ms // 1000, UTC).date() + timedelta(days=1)
    for back in range(days + 2):
        yield f"DEV#{device_id}#{(today - timedelta(days=back)).isoformat()}"
    year, month = today.year, today.month
    for _ in range(months_back + 1):
        yield f"DEV#{device_id}#{date(year, month, 1):%Y-%m}"
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)


def shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Show a report to clients."""
    finished_at = fields.get("finishedAt")
    return {
        "tenantId": fields["tenantId"],
        "status": fields["status"],
        "startedAt": items.iso_time(fields["startedAt"]),
        "finishedAt": None if finished_at is None else items.iso_time(finished_at),
        "passes": fields["passes"],
        "erased": fields["erased"],
    }
