"""Every operator of enhanced filters against values of every kind: what passes, written out by hand.

Source: AppSync Developer Guide, "Extensions" ("Field: operator"); equality is strict and comparisons are of one kind.
"""

from typing import Any

import pytest

from headwater.realtime.filters import evaluate_filter

FIELDS: dict[str, Any] = {
    "0": 0,
    "1": 1,
    "1.0": 1.0,
    "2": 2,
    "3": 3,
    "4.5": 4.5,
    "-1": -1,
    "big": 2**53,
    "''": "",
    "'a'": "a",
    "'A'": "A",
    "'ab'": "ab",
    "'b'": "b",
    "'1'": "1",
    "'true'": "true",
    "true": True,
    "false": False,
    "null": None,
    "[]": [],
    "[1]": [1],
    "[1,2]": [1, 2],
    "['a']": ["a"],
    "['ab','b']": ["ab", "b"],
    "[true]": [True],
    "[null]": [None],
    "{}": {},
    "{a:1}": {"a": 1},
}
NUMBERS = {"0", "1", "1.0", "2", "3", "4.5", "-1", "big"}
STRINGS = {"''", "'a'", "'A'", "'ab'", "'b'", "'1'", "'true'"}
EVERYTHING = set(FIELDS) - {"null"}

PASSING: list[tuple[str, Any, set[str]]] = [
    ("eq", 1, {"1", "1.0"}),
    ("eq", 1.0, {"1", "1.0"}),
    ("eq", 0, {"0"}),
    ("eq", 2**53, {"big"}),
    ("eq", "a", {"'a'"}),
    ("eq", "", {"''"}),
    ("eq", "1", {"'1'"}),
    ("eq", True, {"true"}),
    ("eq", False, {"false"}),
    ("ne", 1, EVERYTHING - {"1", "1.0"}),
    ("ne", "a", EVERYTHING - {"'a'"}),
    ("ne", True, EVERYTHING - {"true"}),
    ("ne", 99, EVERYTHING),
    ("lt", 1, {"0", "-1"}),
    ("lt", "b", {"''", "'a'", "'A'", "'ab'", "'1'"}),
    ("lt", "", set()),
    ("le", 1, {"0", "-1", "1", "1.0"}),
    ("le", "a", {"''", "'a'", "'A'", "'1'"}),
    ("le", 1e300, NUMBERS),
    ("gt", 1, {"2", "3", "4.5", "big"}),
    ("gt", "a", {"'ab'", "'b'", "'true'"}),
    ("gt", -1e300, NUMBERS),
    ("ge", 1, {"1", "1.0", "2", "3", "4.5", "big"}),
    ("ge", "", STRINGS),
    ("ge", "ab", {"'ab'", "'b'", "'true'"}),
    ("between", [0, 3], {"1", "1.0", "2"}),
    ("between", [0, 4.5], {"1", "1.0", "2", "3"}),
    ("between", ["a", "b"], {"'ab'"}),
    ("between", [3, 0], set()),
    ("between", [1, 1], set()),
    ("contains", "a", {"'a'", "'ab'", "['a']"}),
    ("contains", "b", {"'ab'", "'b'", "['ab','b']"}),
    ("contains", "", STRINGS),
    ("contains", 1, {"1", "1.0", "[1]", "[1,2]"}),
    ("contains", "1", {"'1'"}),
    ("notContains", "a", EVERYTHING - {"'a'", "'ab'", "['a']"}),
    ("notContains", 1, EVERYTHING - {"1", "1.0", "[1]", "[1,2]"}),
    ("beginsWith", "a", {"'a'", "'ab'"}),
    ("beginsWith", "", STRINGS),
    ("beginsWith", "abc", set()),
    ("in", [1, "a"], {"1", "1.0", "'a'"}),
    ("in", [0, 2, 3, 4.5, -1], {"0", "2", "3", "4.5", "-1"}),
    ("in", ["", "b"], {"''", "'b'"}),
    ("notIn", [1, "a"], EVERYTHING - {"1", "1.0", "'a'"}),
    ("notIn", [99], EVERYTHING),
    ("containsAny", [1], {"[1]", "[1,2]"}),
    ("containsAny", [2, "b"], {"[1,2]", "['ab','b']"}),
    ("containsAny", ["a", "b"], {"['a']", "['ab','b']"}),
    ("containsAny", ["x"], set()),
]

REFUSED_VALUES: list[Any] = [None, {}, {"a": 1}, [], [None], [[1]], [{}], [True], "x" * 257]
OPERATORS = sorted({operator for operator, _, _ in PASSING})


def evaluated(operator: str, value: Any, payload: Any) -> dict[str, Any]:
    rule = {"fieldName": "f", "operator": operator, "value": value}
    return evaluate_filter({"filterGroup": [{"filters": [rule]}]}, payload)


@pytest.mark.parametrize(("operator", "value", "passing"), PASSING)
def test_an_operator_passes_these_values_and_no_others(operator: str, value: Any, passing: set[str]) -> None:
    found = {name: evaluated(operator, value, {"f": field}) for name, field in FIELDS.items()}

    assert found == {name: {"result": name in passing} for name in FIELDS}


@pytest.mark.parametrize(("operator", "value", "passing"), PASSING)
def test_an_operator_means_the_same_below_an_object(operator: str, value: Any, passing: set[str]) -> None:
    rule = {"fieldName": "a.b.f", "operator": operator, "value": value}
    definition = {"filterGroup": [{"filters": [rule]}]}

    for name, field in FIELDS.items():
        assert evaluate_filter(definition, {"a": {"b": {"f": field}}}) == {"result": name in passing}
    for payload in ({}, {"a": None}, {"a": {"b": [{"f": 1}]}}, {"a.b.f": 1}, [{"a": {"b": {"f": 1}}}], None, "text"):
        assert evaluate_filter(definition, payload) == {"result": False}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("value", REFUSED_VALUES, ids=repr)
def test_no_operator_takes_these_values(operator: str, value: Any) -> None:
    answer = evaluated(operator, value, {"f": 1})

    assert set(answer) == {"rejects"}
    if not isinstance(value, str):
        text = f"subscription filter has invalid filter value for operator `{operator}`."
        assert answer["rejects"].startswith(text)


@pytest.mark.parametrize(
    ("operators", "value"),
    [
        ("lt le gt ge contains notContains beginsWith in notIn between containsAny", True),
        ("eq ne lt le gt ge contains notContains beginsWith", [1]),
        ("eq ne lt le gt ge contains notContains beginsWith", ["a", "b"]),
        ("in notIn between containsAny", "a"),
        ("in notIn between containsAny beginsWith", 1),
        ("between", [1, 2, 3]),
        ("between", [1, "b"]),
    ],
)
def test_an_operator_takes_values_of_its_kinds_alone(operators: str, value: Any) -> None:
    for operator in operators.split():
        text = f"subscription filter has invalid filter value for operator `{operator}`."
        maximum = f"subscription exceeds maximum value limit 2 for operator `{operator}`."
        assert evaluated(operator, value, {"f": 1})["rejects"].startswith((text, maximum))


@pytest.mark.parametrize(
    "operator", ["EQ", "Eq", "equals", "lte", "gte", "not", "", "exists", "attributeExists", None, 5]
)
def test_operators_are_spelled_as_the_guide_spells_them(operator: Any) -> None:
    assert "operator is one of eq, ne, le" in evaluated(operator, 1, {"f": 1})["rejects"]
