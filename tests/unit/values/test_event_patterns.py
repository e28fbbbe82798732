"""The event pattern language, form by form."""

import json
from typing import Any

import pytest

from headwater.values.event_patterns import EventPatternError, Scope, compile_pattern, evaluate_pattern

Case = tuple[Any, Any, bool]


def result(pattern: Any, event: Any, scope: Scope = "eventbridge") -> bool:
    return compile_pattern(pattern, scope=scope)(event)


VALUES: list[Case] = [
    ({"a": ["x"]}, {"a": "x"}, True),
    ({"a": ["x"]}, {"a": "xy"}, False),
    ({"a": ["x"]}, {}, False),
    ({"a": ["x", "y"]}, {"a": "y"}, True),
    ({"a": [""]}, {"a": ""}, True),
    ({"a": [None]}, {"a": None}, True),
    ({"a": [None]}, {"a": "null"}, False),
    ({"a": ["null"]}, {"a": None}, False),
    ({"a": [None]}, {}, False),
    ({"a": [True]}, {"a": True}, True),
    ({"a": [True]}, {"a": "true"}, False),
    ({"a": [1]}, {"a": True}, False),
    ({"a": [1]}, {"a": 1}, True),
    ({"a": [1]}, {"a": "1"}, False),
    ({"a": ["1"]}, {"a": 1}, False),
    ({"a": {"b": ["x"]}}, {"a": {"b": "x"}}, True),
    ({"a": {"b": ["x"]}}, {"a": "x"}, False),
    ({"a": ["x"], "b": ["y"]}, {"a": "x", "b": "z"}, False),
    ({"a": ["x"]}, {"a": ["w", "x"]}, True),
    ({"a": ["x"]}, {"a": []}, False),
    ({"a": [{"exactly": "x"}]}, {"a": "x"}, True),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), VALUES)
def test_values_match_exactly(pattern: Any, event: Any, expected: bool) -> None:
    assert result(pattern, event) is expected
    assert result(json.dumps(pattern), event) is expected


TEXTS: list[Case] = [
    ({"a": [{"prefix": "ab"}]}, {"a": "abc"}, True),
    ({"a": [{"prefix": "ab"}]}, {"a": "cab"}, False),
    ({"a": [{"prefix": ""}]}, {"a": "x"}, True),
    ({"a": [{"prefix": ""}]}, {"a": 1}, False),
    ({"a": [{"prefix": {"equals-ignore-case": "AB"}}]}, {"a": "aBc"}, True),
    ({"a": [{"suffix": ".png"}]}, {"a": "x.png"}, True),
    ({"a": [{"suffix": ".png"}]}, {"a": "x.PNG"}, False),
    ({"a": [{"suffix": {"equals-ignore-case": ".PNG"}}]}, {"a": "x.pnG"}, True),
    ({"a": [{"equals-ignore-case": "Alice"}]}, {"a": "ALICE"}, True),
    ({"a": [{"equals-ignore-case": "Alice"}]}, {"a": "alice1"}, False),
    ({"a": [{"wildcard": "dir/*/x.csv"}]}, {"a": "dir/a/b/x.csv"}, True),
    ({"a": [{"wildcard": "dir/*/x.csv"}]}, {"a": "dir/x.csv"}, False),
    ({"a": [{"wildcard": "*"}]}, {"a": ""}, True),
    ({"a": [{"wildcard": "a\\*b\\\\c"}]}, {"a": "a*b\\c"}, True),
    ({"a": [{"wildcard": "a\\*b"}]}, {"a": "axb"}, False),
    ({"a": [{"wildcard": "a*c"}]}, {"a": "a\nc"}, True),
    ({"a": [{"wildcard": "a.c"}]}, {"a": "abc"}, False),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), TEXTS)
def test_text_operators(pattern: Any, event: Any, expected: bool) -> None:
    assert result(pattern, event) is expected


ANYTHING_BUT: list[Case] = [
    ({"a": [{"anything-but": "x"}]}, {"a": "y"}, True),
    ({"a": [{"anything-but": "x"}]}, {"a": "x"}, False),
    ({"a": [{"anything-but": "x"}]}, {}, False),
    ({"a": [{"anything-but": ["x", "y"]}]}, {"a": "y"}, False),
    ({"a": [{"anything-but": ["x", "y"]}]}, {"a": 5}, True),
    ({"a": [{"anything-but": "x"}]}, {"a": None}, True),
    ({"a": [{"anything-but": 100}]}, {"a": 100.0}, False),
    ({"a": [{"anything-but": [100, 200]}]}, {"a": 150}, True),
    ({"a": [{"anything-but": [100]}]}, {"a": "100"}, True),
    ({"a": [{"anything-but": {"prefix": "in"}}]}, {"a": "init"}, False),
    ({"a": [{"anything-but": {"prefix": ["in", "x"]}}]}, {"a": "xa"}, False),
    ({"a": [{"anything-but": {"prefix": "in"}}]}, {"a": "run"}, True),
    ({"a": [{"anything-but": {"suffix": [".png", ".jpg"]}}]}, {"a": "x.jpg"}, False),
    ({"a": [{"anything-but": {"suffix": ".png"}}]}, {"a": 7}, True),
    ({"a": [{"anything-but": {"wildcard": "*/lib/*"}}]}, {"a": "a/lib/b"}, False),
    ({"a": [{"anything-but": {"equals-ignore-case": ["X", "Y"]}}]}, {"a": "y"}, False),
    ({"a": [{"anything-but": {"equals-ignore-case": "X"}}]}, {"a": "z"}, True),
    ({"a": [{"anything-but": "x"}]}, {"a": ["x", "y"]}, True),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), ANYTHING_BUT)
def test_anything_but(pattern: Any, event: Any, expected: bool) -> None:
    assert result(pattern, event) is expected


NUMBERS: list[Case] = [
    ({"a": [{"numeric": ["=", 100]}]}, {"a": 100.0}, True),
    ({"a": [{"numeric": ["=", 3.018e2]}]}, {"a": 301.8}, True),
    ({"a": [{"numeric": [">", 5]}]}, {"a": 5}, False),
    ({"a": [{"numeric": [">=", 5]}]}, {"a": 5}, True),
    ({"a": [{"numeric": ["<", -1.5]}]}, {"a": -2}, True),
    ({"a": [{"numeric": [">", 0, "<=", 5]}]}, {"a": 5}, True),
    ({"a": [{"numeric": [">", 0, "<", 5]}]}, {"a": 5}, False),
    ({"a": [{"numeric": [">", 0]}]}, {"a": "1"}, False),
    ({"a": [{"numeric": [">", 0]}]}, {"a": None}, False),
    ({"a": [{"numeric": [">", 0]}]}, {"a": True}, False),
    ({"a": [{"numeric": [">", 0]}]}, {"a": [-1, 1]}, True),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), NUMBERS)
def test_numeric(pattern: Any, event: Any, expected: bool) -> None:
    assert result(pattern, event) is expected


def test_numbers_match_by_value_for_eventbridge_and_by_text_for_lambda() -> None:
    assert result('{"a":[300]}', {"a": 300.0}, "eventbridge")
    assert not result('{"a":[300]}', {"a": 300.0}, "lambda")
    assert not result('{"a":[300.0]}', {"a": 300}, "lambda")
    assert result('{"a":[300.0]}', {"a": 300.0}, "lambda")


def test_number_that_no_double_holds_matches_by_its_text() -> None:
    assert result({"a": [9007199254740993]}, {"a": 9007199254740993})
    assert not result({"a": [9007199254740993]}, {"a": 9007199254740992})


EXISTS: list[Case] = [
    ({"a": [{"exists": True}]}, {"a": None}, True),
    ({"a": [{"exists": True}]}, {"a": {"b": 1}}, False),
    ({"a": [{"exists": True}]}, {"a": []}, False),
    ({"a": [{"exists": False}]}, {}, True),
    ({"a": [{"exists": False}]}, {"a": 1}, False),
    ({"a": [{"exists": False}]}, {"a": {"b": 1}}, True),
    ({"a": {"b": [{"exists": False}]}}, {"a": {"c": 1}}, True),
    ({"a": [{"exists": False}, "x"]}, {"a": "x"}, True),
    ({"a": [{"exists": False}, "x"]}, {"a": "y"}, False),
    ({"a": [{"exists": False}], "b": ["x"]}, {"b": "x"}, True),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), EXISTS)
def test_exists(pattern: Any, event: Any, expected: bool) -> None:
    assert result(pattern, event) is expected


CIDR: list[Case] = [
    ({"a": [{"cidr": "10.0.0.0/8"}]}, {"a": "10.200.1.1"}, True),
    ({"a": [{"cidr": "10.0.0.0/8"}]}, {"a": "11.0.0.1"}, False),
    ({"a": [{"cidr": "10.0.0.7/24"}]}, {"a": "10.0.0.200"}, True),
    ({"a": [{"cidr": "10.0.0.0/8"}]}, {"a": "no address"}, False),
    ({"a": [{"cidr": "2001:db8::/32"}]}, {"a": "2001:db8:1::5"}, True),
    ({"a": [{"cidr": "2001:db8::/32"}]}, {"a": "10.0.0.1"}, False),
    ({"a": ["2001:db8::1"]}, {"a": "2001:0db8:0:0::1"}, True),
    ({"a": ["10.0.0.1"]}, {"a": "10.0.0.1"}, True),
    ({"a": ["10.0.0.1"]}, {"a": "10.0.0.2"}, False),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), CIDR)
def test_addresses(pattern: Any, event: Any, expected: bool) -> None:
    assert result(pattern, event) is expected


OR: list[Case] = [
    ({"$or": [{"a": [1]}, {"b": [2]}]}, {"b": 2}, True),
    ({"$or": [{"a": [1]}, {"b": [2]}]}, {"a": 2, "b": 1}, False),
    ({"c": [3], "$or": [{"a": [1]}, {"b": [2]}]}, {"a": 1}, False),
    ({"$or": [{"a": [1]}, {"b": [2]}], "c": [3]}, {"b": 2, "c": 3}, True),
    ({"d": {"$or": [{"a": [1]}, {"b": [2]}]}}, {"d": {"b": 2}}, True),
    ({"$or": [{"a": [1], "b": [2]}, {"c": [3]}]}, {"a": 1, "c": 4}, False),
    ({"$or": [{"$or": [{"a": [1]}, {"b": [2]}]}, {"c": [3]}]}, {"b": 2}, True),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), OR)
def test_or(pattern: Any, event: Any, expected: bool) -> None:
    assert result(pattern, event) is expected


ARRAYS: list[Case] = [
    ({"d": {"a": [1], "b": [2]}}, {"d": [{"a": 1, "b": 2}]}, True),
    ({"d": {"a": [1], "b": [2]}}, {"d": [{"a": 1}, {"b": 2}]}, False),
    ({"d": {"a": [1], "b": [2]}}, {"d": [{"a": 1, "b": 3}, {"a": 1, "b": 2}]}, True),
    ({"d": {"a": [1]}, "e": [5]}, {"d": [{"a": 0}, {"a": 1}], "e": 5}, True),
    ({"d": {"a": [1], "l": {"b": [2]}}}, {"d": [{"a": 1, "l": [{"b": 3}, {"b": 2}]}]}, True),
    ({"d": {"a": [1], "l": {"b": [2]}}}, {"d": [{"a": 1, "l": [{"b": 3}]}, {"a": 0, "l": [{"b": 2}]}]}, False),
    ({"t": ["x"], "u": ["y"]}, {"t": ["w", "x"], "u": ["y", "z"]}, True),
    ({"d": {"a": [1], "b": [{"exists": False}]}}, {"d": [{"a": 1}, {"b": 2}]}, True),
    ({"d": {"a": [1], "b": [{"exists": False}]}}, {"d": [{"a": 1, "b": 2}]}, False),
    ({"d": {"a": [1]}}, {"d": [[{"a": 1}]]}, True),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), ARRAYS)
def test_fields_of_an_array_come_from_one_element(pattern: Any, event: Any, expected: bool) -> None:
    assert result(pattern, event) is expected


def test_last_of_repeated_names_wins() -> None:
    assert result('{"a":["x"],"a":["y"]}', {"a": "y"})
    assert not result('{"a":["x"],"a":["y"]}', {"a": "x"})


INVALID = [
    "",
    "text",
    "[]",
    "{}",
    '{"a":"x"}',
    '{"a":1}',
    '{"a":[]}',
    '{"a":{}}',
    '{"a":[["x"]]}',
    '{"a":[{}]}',
    '{"a":[{"unknown":"x"}]}',
    '{"a":[{"prefix":"x","suffix":"y"}]}',
    '{"a":[{"prefix":1}]}',
    '{"a":[{"prefix":{"suffix":"x"}}]}',
    '{"a":[{"suffix":null}]}',
    '{"a":[{"exists":"true"}]}',
    '{"a":[{"exists":null}]}',
    '{"a":[{"equals-ignore-case":["x"]}]}',
    '{"a":[{"wildcard":"a**b"}]}',
    '{"a":[{"wildcard":"a\\\\x"}]}',
    '{"a":[{"numeric":[]}]}',
    '{"a":[{"numeric":">"}]}',
    '{"a":[{"numeric":[">"]}]}',
    '{"a":[{"numeric":[">","5"]}]}',
    '{"a":[{"numeric":["!=",5]}]}',
    '{"a":[{"numeric":["<",5,">",1]}]}',
    '{"a":[{"numeric":[">",5,"<",5]}]}',
    '{"a":[{"numeric":["=",5,"<",7]}]}',
    '{"a":[{"anything-but":[]}]}',
    '{"a":[{"anything-but":["x",1]}]}',
    '{"a":[{"anything-but":null}]}',
    '{"a":[{"anything-but":[true]}]}',
    '{"a":[{"anything-but":{"prefix":""}}]}',
    '{"a":[{"anything-but":{"wildcard":[]}}]}',
    '{"a":[{"anything-but":{"numeric":["=",1]}}]}',
    '{"a":[{"anything-but":{"prefix":["x",1]}}]}',
    '{"a":[{"cidr":"10.0.0.0"}]}',
    '{"a":[{"cidr":"10.0.0.0/32"}]}',
    '{"a":[{"cidr":"10.0.0.0/x"}]}',
    '{"a":[{"cidr":"host/8"}]}',
    '{"$or":[{"a":[1]}]}',
    '{"$or":{"a":[1]}}',
    '{"$or":[{"a":[1]},["b"]]}',
    '{"$or":[{"a":[1]},{"prefix":["b"]}]}',
    '{"a":[NaN]}',
]


@pytest.mark.parametrize("pattern", INVALID)
def test_invalid_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(EventPatternError):
        compile_pattern(pattern)


def test_refusal_names_the_place() -> None:
    with pytest.raises(EventPatternError, match=r"detail\.state: unrecognized match type like"):
        compile_pattern({"detail": {"state": [{"like": "x"}]}})


def test_evaluation_answers_with_a_result_or_a_rejection() -> None:
    assert evaluate_pattern({"pattern": {"a": [1]}, "event": {"a": 1}}) == {"result": True}
    assert "rejects" in evaluate_pattern({"pattern": {"a": 1}, "event": {"a": 1}})
    assert "unsupported" in evaluate_pattern({"pattern": {"a": [1]}, "event": []})


def test_evaluation_takes_texts_and_the_scope() -> None:
    line = {"pattern": '{"a":[1.0]}', "event": '{"a":1}'}

    assert evaluate_pattern(line) == {"result": True}
    assert evaluate_pattern({**line, "scope": "lambda"}) == {"result": False}


def test_filter_of_a_dynamodb_stream_sees_numbers_as_text() -> None:
    record = {"eventName": "INSERT", "dynamodb": {"Keys": {"PK": {"S": "DEV#1"}}, "NewImage": {"n": {"N": "101"}}}}

    assert result({"dynamodb": {"NewImage": {"n": {"N": ["101"]}}}}, record, "lambda")
    assert not result({"dynamodb": {"NewImage": {"n": {"N": [{"numeric": [">", 1]}]}}}}, record, "lambda")
    assert result({"eventName": ["INSERT"], "dynamodb": {"Keys": {"PK": {"S": [{"prefix": "DEV#"}]}}}}, record)


HOSTILE: list[tuple[Any, Any]] = [
    ({"a": [{"wildcard": "*a*a*a*ax"}]}, {"a": "a" * 200_000 + "b"}),
    ({"a": [{"wildcard": "*a*ax*"}]}, {"a": "a" * 200_000}),
    ({"a": [{"suffix": {"equals-ignore-case": "x" + "a" * 1000}}]}, {"a": "a" * 200_000}),
    (
        {"a": {"x": [1], "y": [1]}, "b": {"x": [1]}, "c": {"x": [1]}, "d": {"x": [1], "y": [1]}},
        {
            "a": [{"x": 1, "y": 1}] * 2000,
            "b": [{"x": 1}] * 2000,
            "c": [{"x": 1}] * 2000,
            "d": [{"x": 1}, {"y": 1}] * 2000,
        },
    ),
    (
        {"a": {"b": {"x": [1]}, "c": {"x": [1]}, "z": [1]}},
        {"a": [{"b": [{"x": 1}] * 2000, "c": [{"x": 1}] * 2000}, {"z": 1}] * 3},
    ),
    (
        {"a": {"b": {"x": [1]}, "c": {"x": [1]}, "z": [{"exists": False}]}},
        {"a": [{"b": [{"x": 1}] * 2000, "c": [{"x": 1}] * 2000, "z": 1}]},
    ),
]


@pytest.mark.parametrize(("pattern", "event"), HOSTILE)
def test_no_event_keeps_a_pattern_busy(pattern: Any, event: Any) -> None:
    assert not result(pattern, event)


WILDCARDS: list[tuple[str, str, bool]] = [
    ("a*b", "ab", True),
    ("ab*ba", "aba", False),
    ("*", "", True),
    ("a*", "a\nb", True),
    ("*a*", "bab", True),
    ("*a*b*", "ba", False),
    ("a*bc*c", "abcbc", True),
    ("a*bc*c", "abc", False),
]


@pytest.mark.parametrize(("wildcard", "text", "expected"), WILDCARDS)
def test_a_wildcard_stands_for_any_characters(wildcard: str, text: str, expected: bool) -> None:
    is_taken = result({"a": [{"wildcard": wildcard}]}, {"a": text})
    is_left = result({"a": [{"anything-but": {"wildcard": wildcard}}]}, {"a": text})

    assert (is_taken, is_left) == (expected, not expected)


def test_a_suffix_in_any_case_takes_characters_that_grow_in_upper_case() -> None:
    pattern = {"a": [{"suffix": {"equals-ignore-case": "straße"}}]}

    assert result(pattern, {"a": "Die STRASSE"})
    assert result(pattern, {"a": "Die Straße"})
    assert not result(pattern, {"a": "Strasses"})
