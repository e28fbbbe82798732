"""Reading telemetry: whatever comes is telemetry or has a reason."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.record import PermanentRecordError, parse_telemetry

NOW = 1_732_489_762_000


def reason_of(data: bytes) -> str | None:
    try:
        parse_telemetry("dev-1", data, NOW)
    except PermanentRecordError as error:
        return error.reason
    return None


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    assert reason_of(data) in ("MalformedJson", "WrongType", "MissingField", None)


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers()),
        max_size=8,
    )
)
def test_no_object_raises_anything_else(readings: dict[str, Any]) -> None:
    reason = reason_of(json.dumps({**readings, "ts": NOW, "seq": 1}).encode())

    assert reason in ("MalformedJson", "WrongType", None)
