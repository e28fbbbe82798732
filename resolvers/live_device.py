"""Find a device for a caller: there is none that was removed or is another tenant's."""

from collections.abc import Mapping
from typing import Any

from resolvers.caller import may_see
from streams import items
from streams.aws.calls import Service
from streams.record import is_device_id


class NotFound(Exception):
    """The tenant has no such device. Its name is the error type clients see."""


def live_state(
    device_id: str, identity: Mapping[str, Any] | None, *, table: Service, table_name: str
) -> Mapping[str, Any]:
    """Return the state item of a device that the caller may see; there from its registration on. Raises: NotFound."""
    if not is_device_id(device_id):
        raise NotFound(f"there is no device {device_id[:140]!r}")
    read = {"TableName": table_name, "Key": items.state_key(device_id), "ConsistentRead": True}
    state: Mapping[str, Any] = table.call("GetItem", read).get("Item", {})
    if "tenantId" not in state or "removedAt" in state or not may_see(identity, state["tenantId"]["S"]):
        raise NotFound(f"there is no device {device_id!r}")
    return state
