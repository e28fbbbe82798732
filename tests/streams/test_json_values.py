"""Any JSON comes back from the table as it was, typed or as text, and what cannot be kept says why."""

import json
import math
from typing import Any

import pytest

from streams.json_values import JsonValueError, checked_json, json_attributes, parse_json


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


@pytest.mark.parametrize("depth", [501, 800, 5_000, 60_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('["]]]\\"]", ', "]")])
def test_every_python_gives_up_at_the_same_depth(depth: int, opening: str, closing: str) -> None:
    with pytest.raises(JsonValueError, match="nested too deep"):
        parse_json((opening * depth + "1" + closing * depth).encode())


@pytest.mark.parametrize(
    "text",
    [
        "[" * 500 + "]" * 500,
        json.dumps(["[" * 600]),
        json.dumps('\\"' + "[{" * 600),
        "[" + ",".join(["[]"] * 600) + "]",
    ],
)
def test_what_is_not_deep_is_read_however_many_brackets_it_has(text: str) -> None:
    assert json.dumps(parse_json(text.encode())) == json.dumps(json.loads(text))


@pytest.mark.parametrize("text", [b'"' + b"[" * 600, b"[" * 501 + b'"' + b'\\"' * 60_000, b'["' + b"[" * 600 + b"\\"])
def test_a_string_that_never_ends_is_read_once(text: bytes) -> None:
    with pytest.raises(JsonValueError, match=r"no JSON|nested too deep"):
        parse_json(text)
