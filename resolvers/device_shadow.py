"""Query.getDeviceShadow and Mutation.setDesiredState: what a device shall be like, kept by IoT Core until it is."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import AppSyncResolver

from resolvers.caller import BadRequest, caller_identity
from resolvers.certificates import is_thing_name
from resolvers.iot_data import delete_shadow, iot_data_service, shadow_path
from resolvers.live_device import NotFound, live_state
from streams.aws.calls import AwsError, ResourceService, Service
from streams.aws.environment import required, service
from streams.items import iso_time
from streams.json_values import JsonValueError, checked_json

# IoT Core's quotas of a shadow document; desired and reported share the bytes.
MAX_STATE_BYTES = 8 * 1024
MAX_DEPTH = 8


class Conflict(Exception):
    """The shadow is not at the version the caller named. Its name is the error type clients see."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What shadows need: the table, which says whose a device is, and the IoT data plane."""

    table: Service
    table_name: str
    iot_data: ResourceService


def read(device_id: str, identity: Mapping[str, Any] | None, backend: Backend) -> dict[str, Any] | None:
    """Show a device's classic shadow; None without one, and for a device that the caller has not."""
    try:
        state = live_state(device_id, identity, table=backend.table, table_name=backend.table_name)
    except NotFound:
        return None
    return _stored(device_id, state["tenantId"]["S"], backend)


def set_desired(
    device_id: str, desired: Any, version: int | None, identity: Mapping[str, Any] | None, backend: Backend
) -> dict[str, Any]:
    """Merge into the desired state and answer the shadow that results; null takes a key away.

    Without `version` a repeated call does no harm. With it, one whose answer was lost ends in Conflict.
    Raises: NotFound; BadRequest with the value and what was expected; Conflict.
    """
    state = live_state(device_id, identity, table=backend.table, table_name=backend.table_name)
    if not is_thing_name(device_id):
        raise BadRequest(f"deviceId is {device_id!r}: an id with a dot can be no thing's and has no shadow")
    if version is not None and version < 1:
        raise BadRequest(f"version is {version}, expected 1 or more")
    body = {"state": {"desired": _checked(desired)}, **({} if version is None else {"version": version})}
    try:
        backend.iot_data.post(shadow_path(device_id), _encoded(body))
    except AwsError as error:
        raise _refusal(error, version) from error
    try:
        live_state(device_id, identity, table=backend.table, table_name=backend.table_name)
    except NotFound:
        # Removed meanwhile: whoever registers this id next must not find it.
        delete_shadow(backend.iot_data, device_id)
        raise
    shown = _stored(device_id, state["tenantId"]["S"], backend)
    if shown is None:
        raise NotFound(f"there is no device {device_id!r} any more")
    return shown


def _stored(device_id: str, tenant_id: str, backend: Backend) -> dict[str, Any] | None:
    if not is_thing_name(device_id):
        return None
    try:
        document = backend.iot_data.get(shadow_path(device_id))
    except AwsError as error:
        if error.status == 404:
            return None
        raise
    state = document["state"]
    changed_s = max(_timestamps(document.get("metadata")), default=None)
    return {
        "deviceId": device_id,
        "tenantId": tenant_id,
        **{name: state.get(name) for name in ("desired", "reported", "delta")},
        "version": document["version"],
        "changedAt": None if changed_s is None else iso_time(changed_s * 1000),
    }


def _timestamps(metadata: Any) -> Iterator[int]:
    """Yield every whole number in a shadow's metadata: each is the second of some value's last change."""
    waiting = [metadata]
    while waiting:
        member = waiting.pop()
        if isinstance(member, dict):
            waiting += member.values()
        elif isinstance(member, list):
            waiting += member
        elif isinstance(member, int):
            yield member


def _checked(desired: Any) -> dict[str, Any]:
    if not isinstance(desired, dict):
        raise BadRequest(f"desired is {json.dumps(desired)[:80]}, expected a JSON object")
    try:
        # Escapes take up to six bytes for a character of one.
        checked_json(desired, 6 * MAX_STATE_BYTES)
    except JsonValueError as error:
        raise BadRequest(f"desired: {error}") from error
    size_bytes = len(_encoded(desired))
    if size_bytes > MAX_STATE_BYTES:
        raise BadRequest(f"desired has {size_bytes} bytes, expected at most {MAX_STATE_BYTES}")
    if _depth(desired) > MAX_DEPTH:
        raise BadRequest(f"desired is nested {_depth(desired)} levels deep, expected at most {MAX_DEPTH}")
    return desired


def _depth(value: Any) -> int:
    """Count the objects and lists around the innermost value; 1 for a flat object."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        member, depth = waiting.pop()
        if isinstance(member, dict | list):
            deepest = max(deepest, depth)
            waiting += [(each, depth + 1) for each in (member.values() if isinstance(member, dict) else member)]
    return deepest


def _refusal(error: AwsError, version: int | None) -> Exception:
    """Say what IoT Core's refusal means to the caller: its own rules count, and what `reported` takes of the bytes."""
    if error.status == 409:
        return Conflict(f"the shadow is not at version {version}: read it and decide again")
    if error.status == 413:
        return BadRequest(f"desired and reported together exceed the {MAX_STATE_BYTES} bytes of a shadow")
    if error.status == 400:
        return BadRequest(f"desired is refused by IoT Core: {error.document.get('message', error)}")
    return error


def _encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


app = AppSyncResolver()  # type: ignore[no-untyped-call]  # Powertools leaves it unannotated
logger = Logger(service="device-shadow")


@cache
def _backend() -> Backend:
    return Backend(
        table=service("dynamodb"),
        table_name=required("TABLE_NAME"),
        iot_data=iot_data_service(),
    )


@app.resolver(type_name="Query", field_name="getDeviceShadow")
def get_device_shadow(deviceId: str) -> dict[str, Any] | None:
    """Answer one Query.getDeviceShadow."""
    return read(deviceId, caller_identity(app), _backend())


@app.resolver(type_name="Mutation", field_name="setDesiredState")
def set_desired_state(deviceId: str, desired: Any, version: int | None = None) -> dict[str, Any]:
    """Answer one Mutation.setDesiredState."""
    return set_desired(deviceId, desired, version, caller_identity(app), _backend())


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """Resolve for AppSync (direct Lambda resolver: the event is the whole context)."""
    return app.resolve(event, context)
