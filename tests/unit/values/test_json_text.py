"""JSON from outside, nested as deep as it may be and deeper."""

from typing import Any

import orjson
import pytest

from headwater.values.json_text import MAX_LEVELS, NestedTooDeeply, parse_json


def nested(levels: int) -> str:
    """Lists and objects in turn around a number."""
    text = "1"
    for level in range(levels):
        text = f"[{text}]" if level % 2 else f'{{"a":{text}}}'
    return text


@pytest.mark.parametrize("as_bytes", [False, True])
def test_values_as_deep_as_the_bound_are_read_and_can_be_written_inside_others(as_bytes: bool) -> None:
    text = nested(MAX_LEVELS)

    value = parse_json(text.encode() if as_bytes else text)

    assert orjson.dumps({"prev": {"result": [value]}}) == f'{{"prev":{{"result":[{text}]}}}}'.encode()


@pytest.mark.parametrize("levels", [MAX_LEVELS + 1, 254, 500, 1000])
def test_deeper_values_are_refused_by_name(levels: int) -> None:
    with pytest.raises(NestedTooDeeply, match="nested more than 200 levels deep"):
        parse_json(nested(levels))


@pytest.mark.parametrize("levels", [1100, 100_000])
def test_what_the_reader_itself_refuses_is_a_value_error_too(levels: int) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(nested(levels) if levels < 5000 else "[" * levels)


@pytest.mark.parametrize(
    "value", [[[[]]] * 5000, {"text": "[" * 1000 + "{" * 1000}, [{"a": {"b": []}} for _ in range(500)]]
)
def test_many_brackets_side_by_side_or_in_strings_are_not_deep(value: Any) -> None:
    assert parse_json(orjson.dumps(value)) == value


@pytest.mark.parametrize("text", ["", "{", "nul", "[1,]", '{"a":NaN}', b"\xff", '"\\ud800"'])
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json(text)
