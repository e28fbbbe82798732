"""Every row of the operator tables. Source: AWS IoT Core Developer Guide, "Operators"."""

from typing import Any

import pytest

from headwater.rules import NOT_FIRED, UNDEFINED
from tests.unit.rules.evaluation import run, value

OTHERS = ("int", "dec", "arr", "obj", "nul", "missing", "str")
NOT_NUMBERS = ("bool", "str", "arr", "obj", "nul", "missing")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("true AND true", True),
        ("true AND false", False),
        ("'TRUE' AND 'true'", True),
        ("'False' AND true", False),
        ("true OR false", True),
        ("false OR false", False),
        ("'false' OR 'tRue'", True),
        ("NOT true", False),
        ("NOT 'false'", True),
    ],
)
def test_logic_takes_booleans_and_their_words(expression: str, expected: bool) -> None:
    assert value(expression) is expected


@pytest.mark.parametrize("other", OTHERS)
def test_logic_on_anything_else_is_undefined(other: str) -> None:
    for expression in (
        f"{other} AND true",
        f"false AND {other}",
        f"{other} OR true",
        f"true OR {other}",
        f"NOT {other}",
    ):
        assert value(expression) is UNDEFINED, expression


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("2 > 1", True),
        ("2 > 2", False),
        ("2 >= 2.0", True),
        ("1.5 < 2", True),
        ("2 <= 1.5", False),
        ("'10' > 9", True),
        ("9 < '10'", True),
        ("'10' > '9'", True),
        ("'-1.2' <= '5E-12'", True),
        ("9007199254740993 > 9007199254740992.0", True),
    ],
)
def test_order_converts_to_decimal(expression: str, expected: bool) -> None:
    assert value(expression) is expected


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
@pytest.mark.parametrize("other", NOT_NUMBERS)
def test_order_of_what_is_no_number_is_undefined(operator: str, other: str) -> None:
    assert value(f"{other} {operator} 1") is UNDEFINED
    assert value(f"1 {operator} {other}") is UNDEFINED


@pytest.mark.parametrize(
    ("left", "right", "is_equal"),
    [
        ("2", "2", True),
        ("2", "3", False),
        ("2", "2.0", True),
        ("2.5", "2.5", True),
        ("'a'", "'a'", True),
        ("'a'", "'A'", False),
        ("[1, 2]", "[1, 2]", True),
        ("[1, 2]", "[2, 1]", False),
        ("[1]", "[1.0]", True),
        ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", True),
        ("{'a': 1}", "{'a': 2}", False),
        ("null", "null", True),
        ("true", "true", True),
        ("true", "1", False),
        ("1", "'1'", False),
        ("null", "0", False),
        ("arr", "'[1,\"a\"]'", False),
    ],
)
def test_equality_is_by_value_within_a_type(left: str, right: str, is_equal: bool) -> None:
    assert value(f"{left} = {right}") is is_equal
    assert value(f"{left} <> {right}") is not is_equal


@pytest.mark.parametrize("other", ["missing", "1", "null", "'a'"])
def test_equality_with_undefined_is_undefined(other: str) -> None:
    for operator in ("=", "<>"):
        assert value(f"missing {operator} {other}") is UNDEFINED
        assert value(f"{other} {operator} missing") is UNDEFINED


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'a' + 'b'", "ab"),
        ("'a' + 1", "a1"),
        ("1.5 + 'a'", "1.5a"),
        ("'a' + true", "atrue"),
        ("'a' + arr", 'a[1,"a"]'),
        ("'a' + obj", 'a{"k":1}'),
        ("obj + 'a'", '{"k":1}a'),
        ("'a' + null", UNDEFINED),
        ("'a' + missing", UNDEFINED),
        ("1 + 2", 3),
        ("1 + 2.5", 3.5),
        ("0.1 + 0.2", 0.3),
        ("true + 1", UNDEFINED),
        ("arr + arr", UNDEFINED),
        ("null + 1", UNDEFINED),
        ("missing + 1", UNDEFINED),
    ],
)
def test_plus(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("5 - 2", 3),
        ("5 - 2.5", 2.5),
        ("'5' - 2", 3),
        ("'5' - '2.5'", 2.5),
        ("5 * 2", 10),
        ("5 * 2.5", 12.5),
        ("'5' * '2'", 10),
        ("5 / 2", 2),
        ("-5 / 2", -2),
        ("5 / 2.5", 2),
        ("5 / '2'", 2.5),
        ("7.5 / 2", 3.75),
        ("5 / 0", UNDEFINED),
        ("5.0 / 0", UNDEFINED),
        ("5 % 2", 1),
        ("-5 % 2", -1),
        ("5.5 % 2", 1.5),
        ("'5' % '2'", 1),
        ("5 % 0", UNDEFINED),
        ("5 - -2", 7),
        ("-(3 + 4)", -7),
        ("(temperature - 32) * 5 / 9", UNDEFINED),
    ],
)
def test_arithmetic(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize("operator", ["-", "*", "/", "%"])
@pytest.mark.parametrize("other", NOT_NUMBERS)
def test_arithmetic_on_what_is_no_number_is_undefined(operator: str, other: str) -> None:
    assert value(f"{other} {operator} 1") is UNDEFINED
    assert value(f"1 {operator} {other}") is UNDEFINED


@pytest.mark.parametrize(
    ("condition", "fires"),
    [
        ("3 in arr", True),
        ("'three' IN arr", True),
        ("5.7 in arr", True),
        ("3.0 in arr", True),
        ("4 in arr", False),
        ("[1] in [[1], 2]", True),
        ("{'a': 1} in [{'a': 1}]", True),
        ("missing in arr", False),
        ("3 in missing", False),
        ("3 in 3", False),
        ("NOT 4 in arr", True),
        ("4 NOT IN arr", True),
        ("2 IN (SELECT VALUE foo FROM e)", True),
        ("exists (select * from arr as a where a = 3)", True),
        ("exists (select * from arr as a where a = 4)", False),
        ("exists (select * from e as e where foo = 2)", True),
        ("exists (select * from e as e where foo = 3)", False),
        ("exists (select * from e where bar = 5)", False),
        ("exists (select * from missing)", False),
        ("not exists (select * from missing)", True),
        ("exists (select * from o where x = 1)", True),
    ],
)
def test_in_and_exists_in_where(condition: str, fires: bool) -> None:
    payload = {"foo": 4, "bar": 5, "e": [{"foo": 1}, {"foo": 2}], "arr": [1, 2, 3, "three", 5.7, None], "o": {"x": 1}}

    assert (run(f"SELECT * FROM 'a/b' WHERE {condition}", payload) is not NOT_FIRED) is fires


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("1 < 2 AND 3 < 4", True),
        ("NOT 1 > 2", True),
        ("true OR false AND false", True),
        ("NOT false AND false", False),
        ("1 + 1 = 2", True),
        ("2 * 3 % 4", 2),
        ("10 - 4 - 3", 3),
    ],
)
def test_precedence(expression: str, expected: Any) -> None:
    assert value(expression) == expected
