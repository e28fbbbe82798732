"""Mutation.eraseTenant, and the work behind it: a queue message is one piece of erasing, which sends the next."""

import json
import random
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import AppSyncResolver

from resolvers.caller import BadRequest, caller_identity, may_see
from resolvers.certificates import revoke_certificates
from resolvers.erasure import Erasure, OvertakenError, shown
from resolvers.iot_data import delete_shadows, iot_data_service
from resolvers.remove_device import remove
from streams.aws.calls import ResourceService, Service
from streams.aws.environment import required, service

# Pages take a second or so; what is left then is another message's.
WORK_S = 60.0


class NotFound(Exception):
    """The caller has no such tenant."""


def start(
    tenant_id: str, confirm: str, identity: Mapping[str, Any] | None, erasure: Erasure, send: Callable[[Any], None]
) -> dict[str, Any]:
    """Begin to erase a tenant, or resume. Raises: NotFound for another tenant's administrator; BadRequest."""
    if not may_see(identity, tenant_id):
        raise NotFound(f"there is no tenant {tenant_id!r}")
    if confirm != tenant_id:
        raise BadRequest(f"confirm is {confirm[:80]!r}, expected the tenant's id")
    report = erasure.start(tenant_id)
    send({"tenantId": tenant_id})
    return shown(report)


def work(
    message: Mapping[str, Any],
    erasure: Erasure,
    send: Callable[[Any], None],
    *,
    clock: Callable[[], float],
    days: int,
    months_back: int,
) -> None:
    """Do one message: `{tenantId}` for a piece of a tenant, with `deviceId` and `removedAt` for a removed device.

    With `before` its data in the table is meant too; `retainedFrom` is where the list of retained messages goes on.
    """
    tenant_id, until = message["tenantId"], clock() + WORK_S
    if "deviceId" in message:
        device_id, token, removed_ms = message["deviceId"], message.get("retainedFrom", ""), message["removedAt"]
        if "before" in message:
            erasure.erase_device(device_id, tenant_id, before_ms=message["before"], days=days, months_back=months_back)
        while token := erasure.clear_device(device_id, tenant_id, token, removed_ms=removed_ms):
            if clock() > until:
                rest = {name: value for name, value in message.items() if name != "before"}
                send({**rest, "retainedFrom": token})
                return
        return
    try:
        while erasure.advance(tenant_id):
            if clock() > until:
                send({"tenantId": tenant_id})
                return
    except OvertakenError:
        return


app = AppSyncResolver()  # type: ignore[no-untyped-call]  # Powertools leaves it unannotated
logger = Logger(service="erase-tenant")


@cache
def _table() -> Service:
    return service("dynamodb")


@cache
def _iot_data() -> ResourceService:
    return iot_data_service()


@cache
def _queue() -> Service:
    return service("sqs")


def _send(message: Any) -> None:
    _queue().call("SendMessage", {"QueueUrl": required("ERASURE_QUEUE_URL"), "MessageBody": json.dumps(message)})


def _now_ms() -> int:
    return int(time.time() * 1000)


def _erasure() -> Erasure:
    def remove_device(device_id: str, tenant_id: str) -> int:
        deleted: list[int] = []

        def delete(device_id: str) -> int:
            deleted.append(delete_shadows(_iot_data(), device_id))
            return deleted[-1]

        removed = remove(
            device_id,
            # As a service: that the caller may erase the tenant was checked when the erasure began.
            {"accountId": ""},
            table=_table(),
            table_name=required("TABLE_NAME"),
            now_ms=_now_ms(),
            retention_s=int(required("RETENTION_DAYS")) * 86_400,
            revoke_certificates=revoke_certificates,
            delete_shadows=delete,
            tenant_id=tenant_id,
        )
        if "errorType" in removed:
            # Found a moment ago, and removed or another tenant's since.
            return sum(deleted)
        # Once more behind the tombstone: a setDesiredState under way read the device before it.
        delete(device_id)
        return sum(deleted)

    return Erasure(
        _table(),
        required("TABLE_NAME"),
        remove_device,
        _iot_data(),
        pause=lambda attempt: time.sleep(random.uniform(0, 0.05 * 2**attempt)),
        now_ms=_now_ms,
    )


@app.resolver(type_name="Mutation", field_name="eraseTenant")
def erase_tenant(tenantId: str, confirm: str) -> dict[str, Any]:
    """Answer one Mutation.eraseTenant."""
    return start(tenantId, confirm, caller_identity(app), _erasure(), _send)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """Resolve for AppSync (direct Lambda resolver: the event is the whole context)."""
    return app.resolve(event, context)


def on_message(event: Mapping[str, Any], context: object) -> None:
    """Take one message of the erasure queue (event source mapping with a batch size of 1)."""
    for record in event["Records"]:
        work(
            json.loads(record["body"]),
            _erasure(),
            _send,
            clock=time.monotonic,
            days=int(required("RETENTION_DAYS")),
            months_back=int(required("AGGREGATE_RETENTION_DAYS")) // 30 + 1,
        )
