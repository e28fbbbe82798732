"""The telemetry payload contract, value by value."""

import json
from typing import Any

import pytest

from streams.record import MAX_CLOCK_AHEAD_MS, PermanentRecordError, Telemetry, event_id, parse_telemetry

NOW = 1_732_489_762_000


def parse(payload: Any, *, device_id: str = "dev-1", arrival_ms: float = NOW) -> Telemetry:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return parse_telemetry(device_id, data, arrival_ms)


def test_every_other_scalar_is_a_reading_and_kept_as_sent() -> None:
    telemetry = parse({"ts": NOW, "seq": 7, "temperature": 21.50, "count": 3, "ok": True, "note": "", "gone": None})

    assert telemetry == Telemetry(
        "dev-1", NOW, 7, {"temperature": 21.5, "count": 3, "ok": True, "note": "", "gone": None}
    )
    assert type(telemetry.readings["ok"]) is bool


def test_an_event_is_named_by_device_time_and_sequence() -> None:
    assert event_id("dev-1", NOW, 7) == "dev-1#1732489762000#7"


@pytest.mark.parametrize(
    ("payload", "reason", "detail"),
    [
        (b"", "MalformedJson", "Expecting value"),
        (b"{", "MalformedJson", ""),
        (b"\xff", "MalformedJson", "not UTF-8 at byte 0"),
        (b"[" * 100_000, "MalformedJson", ""),
        (b'{"ts":1,"seq":1,"t":NaN}', "MalformedJson", "NaN is not JSON"),
        (b'{"ts":1,"seq":1,"t":1e999}', "WrongType", "outside what the table can hold"),
        (b'{"ts":1,"seq":1,"t":"\\ud800"}', "WrongType", "surrogate"),
        ([1], "WrongType", "the payload is an array, expected an object"),
        ("text", "WrongType", "the payload is a string"),
        ({"seq": 1}, "MissingField", "ts is required"),
        ({"ts": NOW}, "MissingField", "seq is required"),
        ({"ts": "1", "seq": 1}, "WrongType", 'ts is a string "1", expected a whole number'),
        ({"ts": True, "seq": 1}, "WrongType", "ts is a boolean true"),
        ({"ts": NOW + 0.5, "seq": 1}, "WrongType", "ts is a number"),
        ({"ts": -1, "seq": 1}, "WrongType", "ts is -1"),
        ({"ts": NOW, "seq": -1}, "WrongType", "seq is -1"),
        ({"ts": NOW, "seq": 2**53}, "WrongType", "seq is"),
        ({"ts": NOW, "seq": 10**60}, "WrongType", "more than 40 digits"),
        (
            {"ts": NOW, "seq": 1, "position": {"x": 1}},
            "WrongType",
            "reading 'position' is an object, expected a scalar",
        ),
        ({"ts": NOW, "seq": 1, "list": [1]}, "WrongType", "reading 'list' is an array"),
        ({"ts": NOW, "seq": 1, "": 1}, "WrongType", "reading name ''"),
        ({"ts": NOW, "seq": 1, "n" * 129: 1}, "WrongType", "reading name"),
        ({"ts": NOW, "seq": 1, "big": 10**38}, "WrongType", "more than 38 digits"),
        ({"ts": NOW, "seq": 1, **{f"r{n}": n for n in range(201)}}, "TooManyReadings", "201 readings"),
        ({"ts": NOW, "seq": 1, "text": "x" * 131_072}, "Oversized", "at most 131072"),
        ({"ts": NOW + MAX_CLOCK_AHEAD_MS + 1, "seq": 1}, "ClockAhead", "300001 ms after arrival"),
    ],
)
def test_what_breaks_the_contract_says_why(payload: Any, reason: str, detail: str) -> None:
    with pytest.raises(PermanentRecordError) as caught:
        parse(payload)

    assert caught.value.reason == reason
    assert detail in caught.value.detail


def test_a_clock_five_minutes_ahead_is_accepted() -> None:
    assert parse({"ts": NOW + MAX_CLOCK_AHEAD_MS, "seq": 0}).ts == NOW + MAX_CLOCK_AHEAD_MS


@pytest.mark.parametrize("device_id", ["", "a#b", "a/b", "a b", "x" * 129, "ü"])
def test_a_partition_key_that_is_no_device_id_is_refused(device_id: str) -> None:
    with pytest.raises(PermanentRecordError) as caught:
        parse({"ts": NOW, "seq": 1}, device_id=device_id)

    assert caught.value.reason == "InvalidDeviceId"


def test_telemetry_from_before_the_retention_is_too_old_by_when_it_arrived() -> None:
    data, day_ms = json.dumps({"ts": NOW - 86_400_000, "seq": 1}).encode(), 86_400_000

    assert parse_telemetry("dev-1", data, NOW - 1, retention_s=86_400).ts == NOW - day_ms
    assert parse_telemetry("dev-1", data, NOW + 10 * day_ms).ts == NOW - day_ms
    with pytest.raises(PermanentRecordError, match="86400000 ms before arrival, history is kept for 86400 s") as caught:
        parse_telemetry("dev-1", data, NOW, retention_s=86_400)
    assert caught.value.reason == "TooOld"


def test_version_2_has_its_readings_apart_under_any_name() -> None:
    assert parse({"v": 2, "ts": NOW, "seq": 1, "readings": {"ts": 5, "v": 1}}).readings == {"ts": 5, "v": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"v": 3}, "UnknownVersion"), ({"v": True}, "UnknownVersion"), ({"t": 1}, "WrongType")],
)
def test_what_version_2_does_not_have_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(PermanentRecordError) as caught:
        parse({"v": 2, "ts": NOW, "seq": 1, "readings": {}, **change})

    assert caught.value.reason == reason


def test_a_name_of_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(PermanentRecordError, match="reading name"):
        parse(b'{"ts":%d,"seq":1,"\\udc00":1}' % NOW)
