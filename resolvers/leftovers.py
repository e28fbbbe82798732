"""What a removed device left to be erased: noted in the transaction that removes it, handed to a queue behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streams import items
from streams.aws.calls import Service


@dataclass(frozen=True, slots=True)
class Leftovers:
    """`send` takes the message of one removal; with `erases_data` the device's items are meant, too.

    While the note is there the message may not have been sent. It may be sent twice, and each of its pieces repeated.
    """

    table: Service
    table_name: str
    send: Callable[[Mapping[str, Any]], object]
    erases_data: bool

    def note(self, device_id: str, tenant_id: str, *, now_ms: int, retention_s: int) -> dict[str, Any]:
        """Build the put of the note, to be part of the removal's transaction."""
        item = {
            **items.removal_key(device_id, now_ms),
            "tenantId": {"S": tenant_id},
            "erasesData": {"BOOL": self.erases_data},
            "ttl": {"N": str(now_ms // 1000 + retention_s)},
            "schemaVersion": items.SCHEMA_VERSION,
        }
        return {"Put": {"TableName": self.table_name, "Item": item}}

    def hand_over(self, device_id: str, removed_ms: int) -> bool:
        """Send what is noted of a removal, and drop the note; False when there is none."""
        note = {"TableName": self.table_name, "Key": items.removal_key(device_id, removed_ms)}
        noted = items.plain_item(self.table.call("GetItem", {**note, "ConsistentRead": True}).get("Item", {}))
        if not noted:
            return False
        message = {"tenantId": noted["tenantId"], "deviceId": device_id, "removedAt": removed_ms}
        if self.erases_data or noted["erasesData"]:
            message["before"] = removed_ms
        self.send(message)
        self.table.call("DeleteItem", note)
        return True
