"""Any JSON comes back from the table as it was, typed or as text."""

import json
from typing import Any

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
