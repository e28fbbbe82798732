"""Every row of the conversion and cast tables. Source: AWS IoT Core Developer Guide, "Conversions" and "cast()"."""

from typing import Any

import pytest

from headwater.errors import TemplateError
from headwater.rules import UNDEFINED, compile_rule
from headwater.rules.values import to_boolean, to_decimal, to_int, to_string
from tests.unit.rules.evaluation import run, value


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (5, 5),
        (1.5, 1.5),
        (True, UNDEFINED),
        ("0", 0),
        ("-1.2", -1.2),
        ("5E-12", 5e-12),
        ("5e3", 5000),
        ("+1", UNDEFINED),
        (" 1", UNDEFINED),
        ("1.", UNDEFINED),
        (".5", UNDEFINED),
        ("1e+5", UNDEFINED),
        ("", UNDEFINED),
        ("٣", UNDEFINED),
        ("1E9999", UNDEFINED),
        ([1], UNDEFINED),
        ({}, UNDEFINED),
        (None, None),
        (UNDEFINED, UNDEFINED),
    ],
)
def test_to_decimal(given: Any, expected: Any) -> None:
    found = to_decimal(given)

    assert found is expected or float(found) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (5, 5),
        (1.4, 1),
        (1.5, 2),
        (-1.5, -2),
        ("1.9", 1),
        ("-1.9", -1),
        (True, UNDEFINED),
        ("x", UNDEFINED),
        (None, None),
    ],
)
def test_to_int_rounds_decimals_and_cuts_strings(given: Any, expected: Any) -> None:
    assert to_int(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (True, True),
        ("True", True),
        ("FALSE", False),
        ("yes", UNDEFINED),
        (1, UNDEFINED),
        (None, UNDEFINED),
        ([], UNDEFINED),
    ],
)
def test_to_boolean(given: Any, expected: Any) -> None:
    assert to_boolean(given) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (5, "5"),
        (1.5, "1.5"),
        (10.0, "10"),
        (1e-9, "1E-9"),
        (1.5e300, "1.5E+300"),
        (True, "true"),
        ("s", "s"),
        ([1, "a", None, True, 1.5], '[1,"a",null,true,1.5]'),
        ({"a": {"b": "c"}}, '{"a":{"b":"c"}}'),
        (None, UNDEFINED),
        (UNDEFINED, UNDEFINED),
    ],
)
def test_to_string(given: Any, expected: Any) -> None:
    assert to_string(given) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cast(2 AS Decimal)", 2),
        ("cast(2.5 AS Decimal)", 2.5),
        ("cast(true AS Decimal)", 1),
        ("cast(false AS Double)", 0),
        ("cast('5E-12' AS Decimal)", 5e-12),
        ("cast('x' AS Decimal)", UNDEFINED),
        ("cast(2 AS Int)", 2),
        ("cast(1.9 AS Integer)", 1),
        ("cast(-1.1 AS Int)", -2),
        ("cast(true AS Int)", 1),
        ("cast('1.9' AS Int)", 1),
        ("cast('x' AS Int)", UNDEFINED),
        ("cast(0 AS Boolean)", False),
        ("cast(7 AS Bool)", True),
        ("cast(0.0 AS Boolean)", False),
        ("cast(-0.5 AS Boolean)", True),
        ("cast(true AS Boolean)", True),
        ("cast('TRUE' AS Boolean)", True),
        ("cast('yes' AS Boolean)", UNDEFINED),
        ("cast(5 AS String)", "5"),
        ("cast(1.5 AS Nvarchar)", "1.5"),
        ("cast(true AS Text)", "true"),
        ("cast('s' AS Ntext)", "s"),
        ("cast(arr AS varchar)", '[1,"a"]'),
        ("cast(obj AS String)", '{"k":1}'),
        ("CAST(2 as STRING)", "2"),
    ],
)
def test_cast(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize("kind", ["Decimal", "Int", "Boolean", "Double"])
@pytest.mark.parametrize("other", ["arr", "obj", "nul", "missing"])
def test_cast_of_other_types_is_undefined(kind: str, other: str) -> None:
    assert value(f"cast({other} AS {kind})") is UNDEFINED


@pytest.mark.parametrize("other", ["nul", "missing"])
def test_cast_of_nothing_to_string_is_undefined(other: str) -> None:
    assert value(f"cast({other} AS String)") is UNDEFINED


def test_null_is_kept_and_undefined_left_out() -> None:
    assert run("SELECT foo, bar", {"foo": None}) == {"foo": None}
    assert run("SELECT NULL AS n, Undefined AS u") == {"n": None}
    assert run("SELECT VALUE bar", {"foo": None}) is UNDEFINED


def test_whole_decimals_are_ints_from_the_second_version_on() -> None:
    assert str(run("SELECT x", {"x": 10.0})["x"]) == "10"
    assert str(run("SELECT x", {"x": 10.0}, version="2015-10-08")["x"]) == "10.0"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT {'a': 1} AS x",
        "SELECT [1] AS x",
        "SELECT (SELECT a FROM b) AS x",
        "SELECT encode(*, 'base64') AS x",
        "SELECT decode(a, 'base64') AS x",
        "SELECT cast(a AS Decimal) AS x",
        "SELECT cast(a AS Boolean) AS x",
        "SELECT isUndefined(a) AS x",
        "SELECT length(a) AS x",
        "SELECT numbytes(a) AS x",
        "SELECT indexof(a, 'b') AS x",
        "SELECT parse_time('yyyy', 0) AS x",
        "SELECT time_to_epoch(a, 'yyyy') AS x",
        "SELECT transform('enrichArray', a, b) AS x",
        "SELECT get_dynamodb('t', 'k', 'v', 'r') AS x",
    ],
)
def test_what_the_first_version_has_not_is_refused_when_loaded(sql: str) -> None:
    with pytest.raises(TemplateError, match="2016-03-23"):
        compile_rule(sql, "2015-10-08")
    compile_rule(sql, "2016-03-23")
