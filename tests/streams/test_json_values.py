"""Any JSON comes back from the table as it was, typed or as text, and what cannot be kept says why."""

import json
import math
from typing import Any

import pytest

from streams.json_values import JsonValueError, checked_json, json_attributes


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
