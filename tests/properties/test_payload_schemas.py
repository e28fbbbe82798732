"""docs/payloads: the JSON schemas say what the code accepts, both versions of telemetry at once."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types

from iot.alarms import parse_alarm
from iot.commands import parse_reply
from streams.record import PermanentRecordError, parse_telemetry
from tests.template.template_file import ROOT

PAYLOADS = ROOT / "docs" / "payloads"
ARRIVAL_MS = 10**13


def schema(name: str) -> Draft202012Validator:
    document = json.loads((PAYLOADS / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


TELEMETRY = [schema("telemetry-1"), schema("telemetry-2")]
ALARM = schema("alarm-1")
REPLY = schema("command-reply-1")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(-1e50, 1e50),
    st.text("ab é", max_size=5),
)
values = st.one_of(
    scalars, st.dictionaries(st.text("abv", max_size=2), scalars, max_size=3), st.lists(scalars, max_size=2)
)
payloads = st.fixed_dictionaries(
    {},
    optional={
        "ts": st.one_of(st.integers(-1, 10**13), values),
        "seq": st.one_of(st.integers(-1, 2**53), values),
        "v": st.one_of(st.sampled_from([1, 2, 3, True, "2"]), values),
        "readings": values,
        "temperature": values,
        "": values,
        "n" * 129: values,
    },
)


def accepts_telemetry(payload: Any) -> bool:
    try:
        parse_telemetry("dev-1", json.dumps(payload).encode(), ARRIVAL_MS)
    except PermanentRecordError:
        return False
    return True


def is_whole_float(payload: Any) -> bool:
    """JSON Schema takes 1.0 for an integer; the code does not, because JSON writers that mean integers write none."""
    return any(type(payload.get(name)) is float for name in ("ts", "seq", "v")) if isinstance(payload, dict) else False


def is_tiny(payload: Any) -> bool:
    readings = [*payload.values(), *(payload["readings"].values() if isinstance(payload.get("readings"), dict) else ())]
    return any(type(value) is float and 0 < abs(value) < 1e-30 for value in readings)


@settings(max_examples=150, deadline=None)
@given(payloads.filter(lambda payload: not is_whole_float(payload) and not is_tiny(payload)))
def test_telemetry_is_accepted_if_one_of_its_versions_is_valid(payload: dict[str, Any]) -> None:
    assert accepts_telemetry(payload) == any(version.is_valid(payload) for version in TELEMETRY)


@pytest.mark.parametrize(
    ("payload", "accepted_by"),
    [
        ({"ts": 1, "seq": 1, "temperature": 20.5, "ok": True}, [True, False]),
        ({"v": 2, "ts": 1, "seq": 1, "readings": {"ts": 5, "temperature": 20.5}}, [False, True]),
        ({"v": 2, "ts": 1, "seq": 1}, [True, False]),
        ({"v": 3, "ts": 1, "seq": 1, "readings": {}}, [False, False]),
        ({"v": 2, "ts": 1, "seq": 1, "readings": {}, "extra": 1}, [False, False]),
    ],
)
def test_no_payload_is_of_two_versions(payload: dict[str, Any], accepted_by: list[bool]) -> None:
    assert [version.is_valid(payload) for version in TELEMETRY] == accepted_by
    assert accepts_telemetry(payload) == any(accepted_by)


def test_version_2_keeps_readings_of_any_name() -> None:
    payload = {"v": 2, "ts": 7, "seq": 1, "readings": {"ts": 5, "v": 1, "temperature": 20.5}}

    telemetry = parse_telemetry("dev-1", json.dumps(payload).encode(), ARRIVAL_MS)

    assert (telemetry.ts, telemetry.readings) == (7, {"ts": 5, "v": 1, "temperature": 20.5})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"v": 3, "ts": 1, "seq": 1, "readings": {}}, "UnknownVersion"),
        ({"ts": 1, "seq": 1, "readings": {}}, "UnknownVersion"),
        ({"v": 2, "ts": 1, "seq": 1, "readings": {"a": {}}}, "WrongType"),
        ({"v": 2, "ts": 1, "seq": 1, "readings": {str(n): n for n in range(201)}}, "TooManyReadings"),
    ],
)
def test_a_payload_of_no_version_says_why(payload: dict[str, Any], reason: str) -> None:
    with pytest.raises(PermanentRecordError) as error:
        parse_telemetry("dev-1", json.dumps(payload).encode(), ARRIVAL_MS)

    assert error.value.reason == reason


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        {"ts": st.integers(-1, 9), "seq": st.integers(0, 9)},
        optional={"name": values, "severity": st.one_of(st.just("INFO"), values), "reading": values, "value": values},
    )
)
def test_an_alarm_is_accepted_if_it_is_valid(payload: dict[str, Any]) -> None:
    try:
        parse_alarm({**payload, "deviceId": "dev-1", "receivedAt": ARRIVAL_MS})
        is_accepted = True
    except PermanentRecordError:
        is_accepted = False

    assert is_accepted == ALARM.is_valid(payload)


@pytest.mark.parametrize(
    "payload", [{"status": "SUCCEEDED"}, {"status": "FAILED", "result": [1]}, {"status": "OK"}, {}]
)
def test_a_reply_is_accepted_if_it_is_valid(payload: dict[str, Any]) -> None:
    try:
        data = base64.b64encode(json.dumps(payload).encode()).decode()
        parse_reply({"payload": data, "deviceId": "dev-1", "commandId": "c", "receivedAt": 1})
        is_accepted = True
    except PermanentRecordError:
        is_accepted = False

    assert is_accepted == REPLY.is_valid(payload)
