"""Mutation.sendCommand: store a command, arm its timeout, publish it to the device."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import AppSyncResolver

from iot.commands import (
    DEFAULT_TIMEOUT_S,
    MAX_PARAMETERS_BYTES,
    MAX_TIMEOUT_S,
    NewCommand,
    command_close,
    command_id,
    command_publish,
    command_put,
    stored_command,
)
from iot.schedule import timeout_schedule
from resolvers import views
from resolvers.caller import BadRequest, caller_identity
from resolvers.iot_data import iot_data_service
from resolvers.live_device import live_state
from streams import items
from streams.aws.calls import AwsError, RestService, Service
from streams.aws.environment import required, service
from streams.json_values import JsonValueError, checked_json
from streams.record import is_device_id


@dataclass(frozen=True, slots=True)
class Backend:
    """What sending a command needs: the table, the IoT data plane, the scheduler, and what the timeout calls."""

    table: Service
    iot_data: RestService
    scheduler: RestService
    table_name: str
    timeout_function_arn: str
    schedule_role_arn: str
    retention_s: int


def send(
    given: Mapping[str, Any],
    identity: Mapping[str, Any] | None,
    backend: Backend,
    *,
    now_ms: int,
    random_hex: str,
) -> dict[str, Any]:
    """Send a command and answer it as stored; FAILED when it could not be handed to the broker.

    Order: item, schedule, publish. The fastest reply finds its command, and nothing published stays open for ever.
    With a `requestId` that was sent before, the command of then is answered; while it is open it is handed over once
    more under its own id, because what came between item and publish is not known.
    Raises: NotFound; BadRequest with the value and what was expected; AwsError and OSError before anything was sent.
    """
    command = _command(given, identity, backend, now_ms, random_hex)
    put = command_put(backend.table_name, command, retention_s=backend.retention_s)
    earlier = _store(put, given.get("requestId"), backend)
    if earlier is not None:
        command = stored_command(earlier)
        put = {"Item": earlier}
        if earlier["status"] != {"S": "SENT"} or command.timeout_at <= now_ms:
            return views.command(earlier)
    path, body = timeout_schedule(
        command, function_arn=backend.timeout_function_arn, role_arn=backend.schedule_role_arn
    )
    topic_path, payload = command_publish(command)
    try:
        _arm(backend, path, body)
        backend.iot_data.post(topic_path, payload, query="qos=1")
    except (AwsError, OSError, HTTPException) as error:
        close = command_close(
            backend.table_name,
            command.device_id,
            command.command_id,
            "FAILED",
            now_ms=now_ms,
            reply={"error": f"not sent: {error}"},
        )
        closed = backend.table.call("UpdateItem", {**close, "ReturnValues": "ALL_NEW"})
        return views.command(closed["Attributes"])
    return views.command(put["Item"])


def _store(put: Mapping[str, Any], request_id: str | None, backend: Backend) -> Mapping[str, Any] | None:
    """Put a command; the item of the one that the same request made before, if it did."""
    if request_id is None:
        backend.table.call("PutItem", put)
        return None
    if not is_device_id(request_id):
        raise BadRequest(f"requestId is {request_id[:140]!r}, expected 1 to 128 of A-Z a-z 0-9 : _ . -")
    item = put["Item"]
    marker = {
        "TableName": backend.table_name,
        "Item": {
            **items.key(item["PK"]["S"], f"REQUEST#{request_id}"),
            **{name: item[name] for name in ("commandId", "tenantId", "ttl", "schemaVersion")},
        },
        "ConditionExpression": "attribute_not_exists(PK)",
    }
    try:
        backend.table.call("TransactWriteItems", {"TransactItems": [{"Put": marker}, {"Put": put}]})
    except AwsError as error:
        if error.code != "TransactionCanceledException":
            raise
        known = _item(backend, items.key(item["PK"]["S"], f"REQUEST#{request_id}"))
        if not known:
            # Two attempts at one time: the caller's next one finds what the other made.
            raise
        earlier = _item(backend, items.key(item["PK"]["S"], f"COMMAND#{known['commandId']['S']}"))
        if earlier.get("tenantId") != item["tenantId"]:
            # The device changed hands: that request was another tenant's.
            raise BadRequest(f"requestId {request_id!r} was used before") from error
        return earlier
    return None


def _item(backend: Backend, key: items.Item) -> Mapping[str, Any]:
    read = {"TableName": backend.table_name, "Key": key, "ConsistentRead": True}
    found: Mapping[str, Any] = backend.table.call("GetItem", read).get("Item", {})
    return found


def _arm(backend: Backend, path: str, body: bytes) -> None:
    try:
        backend.scheduler.post(path, body)
    except AwsError as error:
        # Armed by the attempt before.
        if error.code != "ConflictException":
            raise


def _command(
    given: Mapping[str, Any], identity: Mapping[str, Any] | None, backend: Backend, now_ms: int, random_hex: str
) -> NewCommand:
    asked = given.get("timeoutSeconds")
    timeout_s = DEFAULT_TIMEOUT_S if asked is None else int(asked)
    if not 1 <= timeout_s <= MAX_TIMEOUT_S:
        raise BadRequest(f"timeoutSeconds is {timeout_s}, expected 1 to {MAX_TIMEOUT_S}")
    name = given["name"]
    if not 0 < len(name) <= 128:
        raise BadRequest(f"name has {len(name)} characters, expected 1 to 128")
    try:
        checked_json(name, MAX_PARAMETERS_BYTES)
        parameters = checked_json(given.get("parameters"), MAX_PARAMETERS_BYTES)
    except JsonValueError as error:
        raise BadRequest(f"name or parameters: {error}") from error
    device_id = given["deviceId"]
    state = live_state(device_id, identity, table=backend.table, table_name=backend.table_name)
    return NewCommand(
        device_id=device_id,
        command_id=command_id(now_ms, random_hex),
        tenant_id=state["tenantId"]["S"],
        name=name,
        parameters=parameters,
        sent_at=now_ms,
        timeout_at=now_ms + timeout_s * 1000,
    )


app = AppSyncResolver()  # type: ignore[no-untyped-call]  # Powertools leaves it unannotated
logger = Logger(service="send-command")


@cache
def _backend() -> Backend:
    return Backend(
        table=service("dynamodb"),
        iot_data=iot_data_service(),
        scheduler=service("scheduler"),
        table_name=required("TABLE_NAME"),
        timeout_function_arn=required("COMMAND_TIMEOUT_ARN"),
        schedule_role_arn=required("SCHEDULE_ROLE_ARN"),
        retention_s=int(required("RETENTION_DAYS")) * 86_400,
    )


@app.resolver(type_name="Mutation", field_name="sendCommand")
def send_command(input: dict[str, Any]) -> dict[str, Any]:
    """Answer one Mutation.sendCommand."""
    identity = caller_identity(app)
    return send(input, identity, _backend(), now_ms=int(time.time() * 1000), random_hex=secrets.token_hex(8))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """Resolve for AppSync (direct Lambda resolver: the event is the whole context)."""
    return app.resolve(event, context)
