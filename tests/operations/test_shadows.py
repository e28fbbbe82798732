"""A device's shadow through the API: what people want of it, what it says, and who may know."""

import json
from typing import Any

import boto3
import pytest

from tests.resolvers.test_certificates import signing_request
from tests.strawberry_api.backend import Backend
from tests.strawberry_api.callers import API_KEY, Caller, person
from tests.strawberry_api.moto_aws import REGION

OPERATOR = person("acme", "operator")
FIELDS = "deviceId tenantId desired reported delta version changedAt"
READ = f"query R($id: ID!) {{ getDeviceShadow(deviceId: $id) {{ {FIELDS} }} }}"
SET = f"""mutation S($id: ID!, $desired: AWSJSON!, $version: Int) {{
  setDesiredState(deviceId: $id, desired: $desired, version: $version) {{ {FIELDS} }} }}"""
REGISTER = "mutation G($input: RegisterDeviceInput!) { registerDevice(input: $input) { certificateId } }"


@pytest.fixture
async def api(backend: Backend) -> Backend:
    """The device `dev-1` of `acme`; it is a thing, which moto wants before it keeps shadows."""
    given = {"deviceId": "dev-1", "certificateSigningRequest": signing_request()}
    assert "errors" not in await backend.execute(REGISTER, {"input": given}, person("acme", "admin"))
    assert "errors" not in await backend.execute(REGISTER, {"input": {"deviceId": "a.b"}}, person("acme", "admin"))
    return backend


async def read(api: Backend, device_id: str = "dev-1", caller: Caller = OPERATOR) -> Any:
    answer = await api.execute(READ, {"id": device_id}, caller)
    assert "errors" not in answer, answer
    return answer["data"]["getDeviceShadow"]


async def wish(api: Backend, desired: Any, version: int | None = None, **other: Any) -> Any:
    """The shadow after setDesiredState, or its error's type and message."""
    given = {"id": other.get("device_id", "dev-1"), "desired": json.dumps(desired), "version": version}
    answer = await api.execute(SET, given, other.get("caller", OPERATOR))
    if "errors" in answer:
        (error,) = answer["errors"]
        return error["errorType"], error["message"]
    return answer["data"]["setDesiredState"]


def report(reported: Any) -> None:
    payload = json.dumps({"state": {"reported": reported}})
    boto3.client("iot-data", region_name=REGION).update_thing_shadow(thingName="dev-1", payload=payload)


async def test_what_is_wanted_and_not_reported_is_the_delta(api: Backend) -> None:
    assert await read(api) is None

    first = await wish(api, {"interval": 5, "lamp": {"on": True}})
    report({"interval": 5})
    second = await read(api)
    report({"lamp": {"on": True}})
    third = await read(api)

    assert (first["deviceId"], first["tenantId"], first["version"]) == ("dev-1", "acme", 1)
    assert json.loads(first["desired"]) == json.loads(first["delta"]) == {"interval": 5, "lamp": {"on": True}}
    assert (first["reported"], first["changedAt"][:2]) == (None, "20")
    assert json.loads(second["reported"]) == {"interval": 5}
    assert json.loads(second["delta"])["lamp"] == {"on": True}
    assert third["version"] == 3
    assert third["delta"] in (None, '{"lamp":{}}')  # moto leaves the empty object


async def test_what_is_absent_stays_and_null_takes_a_key_away(api: Backend) -> None:
    await wish(api, {"a": 1, "b": {"c": 2, "d": 3}})

    merged = await wish(api, {"a": None, "b": {"c": 4}})
    again = await wish(api, {"a": None, "b": {"c": 4}})

    assert json.loads(merged["desired"]) == json.loads(again["desired"]) == {"b": {"c": 4, "d": 3}}


async def test_a_version_that_is_over_is_a_conflict_and_changes_nothing(api: Backend) -> None:
    await wish(api, {"a": 1})

    accepted = await wish(api, {"a": 2}, version=1)
    refused = await wish(api, {"a": 3}, version=1)

    assert (accepted["version"], json.loads(accepted["desired"])) == (2, {"a": 2})
    assert refused == ("Conflict", "the shadow is not at version 1: read it and decide again")
    assert json.loads((await read(api))["desired"]) == {"a": 2}


def nested(levels: int) -> Any:
    value: Any = {"x": 1}
    for _ in range(levels - 1):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("desired", "version", "message"),
    [
        ("{}", None, 'desired is "{}", expected a JSON object'),
        ([1], None, "desired is [1], expected a JSON object"),
        ({"x": "y" * 8185}, None, "desired has 8193 bytes, expected at most 8192"),
        ({"x": "ü" * 5000}, None, "desired has 10008 bytes, expected at most 8192"),
        ({"x": "y" * 200_000}, None, "desired: 200008 bytes, expected at most 49152"),
        ({"x": "\ud800"}, None, "desired: half a surrogate pair, expected Unicode text"),
        (nested(9), None, "desired is nested 9 levels deep, expected at most 8"),
        ({"x": 1}, 0, "version is 0, expected 1 or more"),
        ({"x": 1}, -1, "version is -1, expected 1 or more"),
    ],
)
async def test_what_no_shadow_can_hold_is_a_bad_request(
    api: Backend, desired: Any, version: int | None, message: str
) -> None:
    assert await wish(api, desired, version) == ("BadRequest", message)
    assert await read(api) is None


async def test_as_much_as_a_shadow_holds_is_taken(api: Backend) -> None:
    assert (await wish(api, {"x": "y" * 8184}))["version"] == 1
    assert (await wish(api, nested(8)))["version"] == 2


async def test_devices_of_others_removed_ones_and_none_at_all_are_not_found(api: Backend) -> None:
    await wish(api, {"a": 1})
    stranger = person("other", "operator")

    foreign = await wish(api, {"a": 2}, caller=stranger)
    unknown = [await wish(api, {"a": 2}, device_id=name) for name in ("dev-2", "a/b", "../dev-1", "x" * 200)]

    assert foreign == ("NotFound", "there is no device 'dev-1'")
    assert {error for error, _ in unknown} == {"NotFound"}
    assert [await read(api, caller=caller) for caller in (stranger, API_KEY)] == [None, None]
    assert await read(api, "a/b") is None
    assert json.loads((await read(api))["desired"]) == {"a": 1}


async def test_a_device_whose_id_no_thing_can_have_has_no_shadow(api: Backend) -> None:
    assert await read(api, "a.b") is None
    assert await wish(api, {"a": 1}, device_id="a.b") == (
        "BadRequest",
        "deviceId is 'a.b': an id with a dot can be no thing's and has no shadow",
    )
