"""Mutation.registerDevice: put a device into a tenant, and give it a certificate when it brings a signing request."""

import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import AppSyncResolver

from resolvers import views
from resolvers.caller import BadRequest, caller_identity, required_tenant
from resolvers.certificates import is_thing_name, issue_certificate
from streams import items
from streams.aws.calls import AwsError, Service
from streams.aws.environment import required, service
from streams.record import is_device_id, is_encodable

MAX_REQUEST_CHARACTERS = 8192
_ATTEMPTS = 8
Issuer = Callable[[str, str], dict[str, str]]


class DeviceExists(Exception):
    """The id is taken, by a device of this tenant or another: both answer the same."""


def register(
    given: Mapping[str, Any],
    identity: Mapping[str, Any] | None,
    *,
    table: Service,
    table_name: str,
    now_ms: int,
    retention_s: int,
    issue_certificate: Issuer,
) -> dict[str, Any]:
    """Register a device; `issue_certificate(device_id, signing_request)` answers PEM, id and endpoint.

    Raises: DeviceExists; BadRequest with the value and what was expected.
    """
    tenant_id = required_tenant(identity, given.get("tenantId"))
    device_id = _id(given, "deviceId")
    signing_request = given.get("certificateSigningRequest")
    if signing_request is not None and not 0 < len(signing_request) <= MAX_REQUEST_CHARACTERS:
        raise BadRequest(
            f"certificateSigningRequest has {len(signing_request)} characters, expected 1 to {MAX_REQUEST_CHARACTERS}"
        )
    if signing_request is not None and not is_thing_name(device_id):
        raise BadRequest(
            f"deviceId is {device_id!r}, expected 1 to 128 of A-Z a-z 0-9 : _ - with a certificateSigningRequest: "
            "it becomes the name of an IoT thing, which has no dot"
        )
    request = items.registration(
        table_name,
        device_id,
        tenant_id,
        now_ms=now_ms,
        retention_s=retention_s,
        site_id=_id(given, "siteId") if given.get("siteId") is not None else None,
        name=_text(given, "name"),
        model=_text(given, "model"),
    )
    try:
        table.call("TransactWriteItems", request)
    except AwsError as error:
        if error.code == "TransactionCanceledException":
            raise DeviceExists(f"device {device_id!r} is already registered") from error
        raise
    adopt_presence(table, table_name, device_id, tenant_id, given.get("siteId"))
    certificate: dict[str, str] = {}
    if signing_request is not None:
        try:
            certificate = issue_certificate(device_id, signing_request)
        except Exception:
            # Without its certificate the device is of no use: the caller can try again with the same id.
            take_back(table, table_name, device_id, tenant_id, registered_at=now_ms, retention_s=retention_s)
            raise
    meta = request["TransactItems"][0]["Put"]["Item"]
    return {
        "device": views.device(meta),
        "certificatePem": certificate.get("certificatePem"),
        "certificateId": certificate.get("certificateId"),
        "endpoint": certificate.get("endpoint"),
        "telemetryTopic": f"devices/{device_id}/telemetry",
        "commandTopicFilter": f"devices/{device_id}/commands/+",
    }


def take_back(
    table: Service, table_name: str, device_id: str, tenant_id: str, *, registered_at: int, retention_s: int
) -> None:
    """Undo the registration of that moment, unless the device is gone by now or somebody else registered it anew."""
    read = {"TableName": table_name, "ConsistentRead": True}
    for _ in range(_ATTEMPTS):
        device = table.call("GetItem", {**read, "Key": items.device_key(device_id)}).get("Item", {})
        if device.get("tenantId") != {"S": tenant_id} or device["registeredAt"] != {"N": str(registered_at)}:
            return
        state = table.call("GetItem", {**read, "Key": items.state_key(device_id)})["Item"]
        withdrawal = items.withdrawal(
            table_name,
            device_id,
            tenant_id,
            version=int(state["version"]["N"]),
            registered_at=registered_at,
            retention_s=retention_s,
        )
        try:
            table.call("TransactWriteItems", withdrawal)
            return
        except AwsError as error:
            if error.code != "TransactionCanceledException":
                raise
            # Telemetry moved the version between the read and the write: once more with the new one.


def adopt_presence(table: Service, table_name: str, device_id: str, tenant_id: str, site_id: str | None) -> None:
    """Give presence seen before registration its tenant; a device often connects before anybody registered it."""
    try:
        table.call("UpdateItem", items.presence_adoption(table_name, device_id, tenant_id, site_id))
    except AwsError as error:
        if error.code != "ConditionalCheckFailedException":
            raise


def _id(given: Mapping[str, Any], name: str) -> str:
    value = str(given[name])
    if not is_device_id(value):
        raise BadRequest(f"{name} is {value[:140]!r}, expected 1 to 128 of A-Z a-z 0-9 : _ . -")
    return value


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and (not 0 < len(value) <= 256 or not is_encodable(value)):
        raise BadRequest(f"{name} has {len(value)} characters, expected 1 to 256 of Unicode text")
    return value


app = AppSyncResolver()  # type: ignore[no-untyped-call]  # Powertools leaves it unannotated
logger = Logger(service="register-device")


@cache
def _table() -> Service:
    return service("dynamodb")


@app.resolver(type_name="Mutation", field_name="registerDevice")
def register_device(input: dict[str, Any]) -> dict[str, Any]:
    """Answer one Mutation.registerDevice."""
    return register(
        input,
        caller_identity(app),
        table=_table(),
        table_name=required("TABLE_NAME"),
        now_ms=int(time.time() * 1000),
        retention_s=int(required("RETENTION_DAYS")) * 86_400,
        issue_certificate=issue_certificate,
    )


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """Resolve for AppSync (direct Lambda resolver: the event is the whole context)."""
    return app.resolve(event, context)
