"""Any JSON comes back from the table as it was, typed or as text, and what cannot be kept says why."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.items import plain_item
from streams.json_values import JsonValueError, checked_json, json_attributes, parse_json, stored_json

numbers = st.one_of(st.integers(), st.integers(-(10**60), 10**60), st.floats(allow_nan=False, allow_infinity=False))
text = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
    max_leaves=12,
)


def levels(attribute: dict[str, Any]) -> int:
    ((kind, value),) = attribute.items()
    inner = value.values() if kind == "M" else value if kind == "L" else ()
    return 1 + max(map(levels, inner), default=0)


@settings(max_examples=300, deadline=None)
@given(values, st.integers(0, 60))
def test_what_is_stored_is_read_back(value: Any, depth: int) -> None:
    for _ in range(depth):
        value = [value]

    stored = json_attributes("reply", checked_json(value, 10**6))

    assert stored_json(plain_item(stored), "reply") == value
    (attribute,) = stored.values()
    assert levels(attribute) <= 32


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=20), values.map(lambda value: json.dumps(value).encode())))
def test_a_payload_is_json_or_says_that_it_is_none(data: bytes) -> None:
    try:
        value = parse_json(data)
    except JsonValueError:
        return
    checked_json(value, 10**6)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "nan is no JSON number"),
        ([math.inf], "inf is no JSON number"),
        ({"\ud800": 1}, "half a surrogate pair, expected Unicode text"),
        ("x" * 99, "101 bytes, expected at most 100"),
        (json.loads("[" * 101 + "]" * 101), "nested too deep, at most 100 levels are accepted"),
    ],
)
def test_what_cannot_be_kept_says_why(value: Any, message: str) -> None:
    with pytest.raises(JsonValueError, match=message):
        checked_json(value, 100)


def test_a_number_that_python_does_not_write_is_refused() -> None:
    with pytest.raises(JsonValueError, match="a number has more than 4300 digits"):
        checked_json(10**5000, 10**6)


def test_what_the_table_can_hold_is_typed_and_the_rest_is_text() -> None:
    assert json_attributes("reply", {"a": [1, 0.0]}) == {"reply": {"M": {"a": {"L": [{"N": "1"}, {"N": "0.0"}]}}}}
    for value in (1e200, 1e-200, 10**38, {"": 1}, [{"": 1}]):
        assert set(json_attributes("reply", value)) == {"replyJson"}
