"""Flow 5/8: read one telemetry payload, or say why it never can be one."""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

Scalar = str | int | float | bool | None

MAX_PAYLOAD_BYTES = 128 * 1024
MAX_READINGS = 200
MAX_READING_NAME_CHARACTERS = 128
MAX_CLOCK_AHEAD_MS = 5 * 60 * 1000
MAX_TS_MS = 10**13 - 1
MAX_SEQ = 2**53 - 1
_MAX_NUMBER = 1e125
_MIN_NUMBER = 1e-130
_DEVICE_ID = re.compile(r"[A-Za-z0-9:_.\-]{1,128}")


class PermanentRecordError(Exception):
    """The record can never succeed: it goes to the dead-letter queue. `reason` is one of a fixed list of words,
    `detail` is for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One accepted payload; `ts` in epoch milliseconds, `readings` as sent."""

    device_id: str
    ts: int
    seq: int
    readings: dict[str, Scalar]

    @property
    def order(self) -> tuple[int, int]:
        """What decides which of two payloads of one device is newer."""
        return (self.ts, self.seq)


def event_id(device_id: str, ts: int, seq: int) -> str:
    """Name one payload for ever, whatever transport repeats it."""
    return f"{device_id}#{ts}#{seq}"


def is_device_id(text: str) -> bool:
    """Hold an id to the characters of IoT thing names and dots: it becomes part of keys, topics and client ids."""
    return _DEVICE_ID.fullmatch(text) is not None


def parse_telemetry(device_id: str, data: bytes, arrival_ms: float, *, retention_s: int | None = None) -> Telemetry:
    """Turn a stream record's data into telemetry.

    `device_id` is the record's partition key: it comes from the topic, which the device's policy guards; the payload
    could claim anything. `arrival_ms` is when the stream took the record, epoch milliseconds; `retention_s` how long
    history is kept.
    Raises: PermanentRecordError with InvalidDeviceId, Oversized, MalformedJson, WrongType, MissingField,
    TooManyReadings, UnknownVersion, ClockAhead or TooOld.
    """
    if not is_device_id(device_id):
        raise PermanentRecordError(
            "InvalidDeviceId", f"partition key {device_id[:140]!r}, expected 1-128 of A-Z a-z 0-9 : _ . -"
        )
    if len(data) > MAX_PAYLOAD_BYTES:
        raise PermanentRecordError("Oversized", f"{len(data)} bytes, at most {MAX_PAYLOAD_BYTES} are accepted")
    payload = _load_object(data)
    ts = _whole_number(payload, "ts", MAX_TS_MS)
    seq = _whole_number(payload, "seq", MAX_SEQ)
    check_time(ts, arrival_ms, retention_s)
    del payload["ts"], payload["seq"]
    if type(payload.get("readings")) is dict:
        payload = _readings_of_version_2(payload)
    if len(payload) > MAX_READINGS:
        raise PermanentRecordError("TooManyReadings", f"{len(payload)} readings, at most {MAX_READINGS} are accepted")
    for name, value in payload.items():
        _check_reading(name, value)
    return Telemetry(device_id, ts, seq, payload)


def check_time(ts: int, arrival_ms: float, retention_s: int | None) -> None:
    """Hold a device's clock to what can be kept, by when the message arrived: a repetition is judged alike.

    Raises: PermanentRecordError with ClockAhead or TooOld.
    """
    if ts > arrival_ms + MAX_CLOCK_AHEAD_MS:
        # A wrong clock must not freeze the device: nothing newer would come for as long as it is ahead.
        raise PermanentRecordError(
            "ClockAhead",
            f"ts {ts} is {ts - int(arrival_ms)} ms after arrival, at most {MAX_CLOCK_AHEAD_MS} are accepted",
        )
    if retention_s is not None and ts <= arrival_ms - retention_s * 1000:
        # Its time to live would be over before it is written; TTL takes days for such items, and leaves those for ever
        # that ended more than five years ago.
        raise PermanentRecordError(
            "TooOld", f"ts {ts} is {int(arrival_ms) - ts} ms before arrival, history is kept for {retention_s} s"
        )


def _readings_of_version_2(payload: dict[str, Any]) -> dict[str, Any]:
    """Take the readings that stand apart. In version 1 an object cannot be a reading, so the two never meet."""
    if type(payload.get("v")) is not int or payload["v"] != 2:
        raise PermanentRecordError(
            "UnknownVersion", f"readings is an object and v is {_shown(payload.get('v'))}, expected 2"
        )
    unknown = sorted(payload.keys() - {"v", "readings"})
    if unknown:
        raise PermanentRecordError("WrongType", f"{unknown[0][:140]!r} stands beside readings, expected inside")
    readings: dict[str, Any] = payload["readings"]
    return readings


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


# Built once: json.loads with an argument builds a decoder for every call, a third of the cost of a small payload.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _load_object(data: bytes) -> dict[str, Any]:
    try:
        payload = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PermanentRecordError("MalformedJson", f"not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise PermanentRecordError("MalformedJson", str(error) or type(error).__name__) from error
    if type(payload) is not dict:
        raise PermanentRecordError("WrongType", f"the payload is {_json_type(payload)}, expected an object")
    return payload


def _whole_number(payload: dict[str, Any], name: str, maximum: int) -> int:
    if name not in payload:
        raise PermanentRecordError("MissingField", f"{name} is required")
    value = payload[name]
    # type(), not isinstance: true is an int to Python and no number to the contract.
    if type(value) is not int:
        raise PermanentRecordError(
            "WrongType", f"{name} is {_json_type(value)} {_shown(value)}, expected a whole number"
        )
    if not 0 <= value <= maximum:
        raise PermanentRecordError("WrongType", f"{name} is {_shown(value)}, expected 0 to {maximum}")
    return value


def _check_reading(name: str, value: Any) -> None:
    if not 0 < len(name) <= MAX_READING_NAME_CHARACTERS or not is_encodable(name):
        raise PermanentRecordError(
            "WrongType", f"reading name {name[:140]!r}, expected 1-{MAX_READING_NAME_CHARACTERS} characters"
        )
    kind = type(value)
    if kind is float or kind is int:
        if not -_MAX_NUMBER < value < _MAX_NUMBER or (value and -_MIN_NUMBER < value < _MIN_NUMBER):
            raise PermanentRecordError(
                "WrongType", f"reading {name!r} is {_shown(value)}, outside what the table can hold"
            )
        if kind is int and not -(10**38) < value < 10**38:
            raise PermanentRecordError("WrongType", f"reading {name!r} has more than 38 digits")
    elif kind is str:
        if not is_encodable(value):
            raise PermanentRecordError("WrongType", f"reading {name!r} holds half a surrogate pair")
    elif kind is dict or kind is list:
        raise PermanentRecordError("WrongType", f"reading {name!r} is {_json_type(value)}, expected a scalar")


def is_encodable(text: str) -> bool:
    """Tell text that UTF-8 can hold from text with half a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    # A thousand digits would make str() raise: the detail needs only the beginning.
    if type(value) is int and abs(value) >= 10**40:
        return "a whole number of more than 40 digits"
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
