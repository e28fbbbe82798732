"""Mutation.removeDevice: take a device out of its tenant and leave a tombstone that refuses late telemetry."""

import json
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import AppSyncResolver

from resolvers.caller import caller_identity, may_see
from resolvers.certificates import revoke_certificates
from resolvers.iot_data import delete_shadows, iot_data_service
from resolvers.leftovers import Leftovers
from streams import items
from streams.aws.calls import AwsError, ResourceService, Service
from streams.aws.environment import required, service
from streams.record import is_device_id

_ATTEMPTS = 8


def remove(
    device_id: str,
    identity: Mapping[str, Any] | None,
    *,
    table: Service,
    table_name: str,
    now_ms: int,
    retention_s: int,
    revoke_certificates: Callable[[str], int],
    delete_shadows: Callable[[str], int],
    tenant_id: str | None = None,
    leftovers: Leftovers | None = None,
) -> dict[str, Any]:
    """Remove a device; answers the removal, or `errorType` and `errorMessage` for the resolver's code to raise.

    History, alerts and commands end with their retention. The state item stays as the tombstone: it keeps `version`, so
    that a device registered again under this id never goes back. `revoke_certificates(device_id)` comes first, then
    `delete_shadows(device_id)`: when they fail the device is still there, and the caller can try again. With
    `tenant_id` a device that is another tenant's by now is not found.

    `leftovers` are handed over behind the removal. Until that has succeeded the same removal may be asked for again:
    it hands over, and answers what it would have answered before.
    """
    read = {"TableName": table_name, "Key": items.state_key(device_id), "ConsistentRead": True}
    is_ended = False
    if not is_device_id(device_id):
        return {"errorType": "NotFound", "errorMessage": f"there is no device {device_id[:140]!r}"}
    for _ in range(_ATTEMPTS):
        state = items.plain_item(table.call("GetItem", read).get("Item", {}))
        owner = state.get("tenantId")
        if owner is None or not may_see(identity, owner) or tenant_id not in (None, owner):
            return _not_found(device_id)
        if "removedAt" in state:
            if leftovers is None or not leftovers.hand_over(device_id, state["removedAt"]):
                return _not_found(device_id)
            return _removed(device_id, state, state["removedAt"], state["version"])
        if not is_ended:
            # In this order: without a certificate the device states nothing new.
            revoke_certificates(device_id)
            delete_shadows(device_id)
            is_ended = True
        try:
            kept = {"now_ms": now_ms, "retention_s": retention_s}
            writes = items.removal(table_name, device_id, state["version"], now_ms)
            writes.append(items.change_put(table_name, owner, device_id, "REMOVED", **kept))
            if leftovers is not None:
                writes.append(leftovers.note(device_id, owner, **kept))
            table.call("TransactWriteItems", {"TransactItems": writes})
        except AwsError as error:
            if error.code != "TransactionCanceledException":
                raise
            # Telemetry moved the version between the read and the write: once more with the new one.
            continue
        if leftovers is not None:
            leftovers.hand_over(device_id, now_ms)
        return _removed(device_id, state, now_ms, state["version"] + 1)
    return {"errorType": "Conflict", "errorMessage": f"device {device_id!r} changes too fast to be removed: try again"}


def _removed(device_id: str, state: Mapping[str, Any], removed_ms: int, version: int) -> dict[str, Any]:
    return {
        "deviceId": device_id,
        "tenantId": state["tenantId"],
        "siteId": state.get("siteId"),
        "removedAt": items.iso_time(removed_ms),
        "version": version,
    }


def _not_found(device_id: str) -> dict[str, Any]:
    return {"errorType": "NotFound", "errorMessage": f"there is no device {device_id!r}"}


app = AppSyncResolver()  # type: ignore[no-untyped-call]  # Powertools leaves it unannotated
logger = Logger(service="remove-device")


@cache
def _table() -> Service:
    return service("dynamodb")


@cache
def _iot_data() -> ResourceService:
    return iot_data_service()


@cache
def _queue() -> Service:
    return service("sqs")


def _send(message: Mapping[str, Any]) -> None:
    # Retained messages are found in the account's whole list alone, which is too long to wait for.
    _queue().call("SendMessage", {"QueueUrl": required("ERASURE_QUEUE_URL"), "MessageBody": json.dumps(message)})


@app.resolver(type_name="Mutation", field_name="removeDevice")
def remove_device(deviceId: str, eraseData: bool | None = None) -> dict[str, Any]:
    """Answer one Mutation.removeDevice."""
    return remove(
        deviceId,
        caller_identity(app),
        table=_table(),
        table_name=required("TABLE_NAME"),
        now_ms=int(time.time() * 1000),
        retention_s=int(required("RETENTION_DAYS")) * 86_400,
        revoke_certificates=revoke_certificates,
        delete_shadows=partial(delete_shadows, _iot_data()),
        leftovers=Leftovers(_table(), required("TABLE_NAME"), _send, bool(eraseData)),
    )


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """Resolve for AppSync; resolvers/Mutation.removeDevice.js makes the event and reads the answer."""
    return app.resolve(event, context)
