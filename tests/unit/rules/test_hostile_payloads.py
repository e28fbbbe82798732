"""Payloads and patterns made to hurt: they give Undefined or a plain answer, and take bounded work."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.rules import UNDEFINED
from headwater.rules.values import parse_json, to_json
from headwater.values.java_regex import JavaPattern, RegexError, TooMuchWorkError
from headwater.values.java_regex.linear import Budget, Program
from headwater.values.java_regex.syntax import Parser
from tests.unit.rules.evaluation import run, value

EVERYTHING = (
    "SELECT *, x + 1 AS a, x * x AS b, -x AS c, cast(x AS Int) AS d, cast(x AS String) AS e, floor(x) AS f, "
    "bitand(x, x) AS g, trunc(x, 3) AS h, power(x, x) AS i, substring('abc', x) AS j, lpad('a', x) AS k, "
    "x % 7 AS l, x / 3 AS m, round(x) AS n, chr(x) AS o, get([1], x) AS p, parse_time('yyyy', x) AS q, "
    "x > 1 AS r, x = 1 AS s, md5(x) AS t, topic(x) AS u, abs(x) AS v, sign(x) AS w, concat(x, 'a') AS y"
)


@pytest.mark.parametrize(
    "number",
    [b"1e400", b"1e-400", b"-1e999", b"9" * 34, b"9" * 35, b"9" * 900, b"9" * 34 + b"." + b"9" * 34, b"1.5e308"],
)
def test_numbers_up_to_the_limits_are_computed_with(number: bytes) -> None:
    result = run(EVERYTHING, b'{"x":' + number + b"}")

    assert result["r"] is (number not in (b"1e-400", b"-1e999"))
    assert result["s"] is False


@pytest.mark.parametrize("number", [b"1e1000", b"9" * 5000, b"1e99999999999", b"-1e1000", b"NaN", b"Infinity"])
def test_numbers_beyond_the_limits_make_the_payload_no_json(number: bytes) -> None:
    payload = b'{"x":' + number + b"}"

    assert parse_json(payload) is UNDEFINED
    assert run("SELECT x", payload) == {}
    assert run("SELECT *", payload) == payload


@pytest.mark.parametrize("text", ["1E999999999999", "9" * 100_000, "1E-999999999999", "0." + "1" * 100_000])
def test_numbers_in_strings_are_bounded_too(text: str) -> None:
    run(EVERYTHING, {"x": text})


def test_a_long_integer_is_written_as_it_came() -> None:
    assert to_json(parse_json(b'{"x":' + b"7" * 30 + b"}")) == b'{"x":' + b"7" * 30 + b"}"


def test_products_keep_34_digits() -> None:
    assert run("SELECT x * x AS r", b'{"x":1' + b"0" * 33 + b"}")["r"] == 1e66
    assert value("1 / 3.0") == pytest.approx(1 / 3)


@pytest.mark.parametrize("depth", [200, 1000, 60_000])
def test_deep_nesting_is_no_json(depth: int) -> None:
    assert run("SELECT x", b'{"x":' + b"[" * depth + b"]" * depth + b"}") == {}


def test_nesting_up_to_the_limit_is_written_again() -> None:
    payload = b'{"x":' + b"[" * 127 + b"]" * 127 + b"}"

    assert run("SELECT [[[x]]] AS y, *", payload)["x"] is not None


def test_a_payload_of_128_kb_passes() -> None:
    text = "x" * (128 * 1024 - 20)

    assert run("SELECT upper(t) AS u, t + t AS v", {"t": text})["v"] == text * 2


def test_amplification_is_bounded() -> None:
    payload = {"a": "x" * 60_000, "b": "y" * 60_000, "o": {"k": "z" * 60_000}, "l": [{}] * 5000}

    assert value("replace(a, 'x', b)", payload) is UNDEFINED
    assert value("regexp_replace(a, 'x', b)", payload) is UNDEFINED
    assert value("transform('enrichArray', o, l)", payload) is UNDEFINED


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 60_000 + "b"),
        ("(a|a)*b", "a" * 60_000),
        ("(a|aa)+$", "a" * 60_000 + "b"),
        (r"\s+$", " " * 60_000 + "x"),
        ("a*a*a*a*a*b", "a" * 60_000),
        ("(.*)(.*)(.*)(.*)z", "q" * 60_000),
        ("(a?){500}a{500}", "a" * 600),
        (r"(a+)+\1$", "a" * 60_000 + "b"),
        ("(?=(a+)+b)", "a" * 60_000),
    ],
)
def test_catastrophic_patterns_come_to_an_end(pattern: str, text: str) -> None:
    for function in (f"regexp_matches(t, '{pattern}')", f"regexp_replace(t, '{pattern}', '')"):
        assert value(function, {"t": text}) in (UNDEFINED, False, text, True, ""), function


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('regexp_matches("aaaa", "a{2,}")', True),
        ('regexp_matches("aaaa", "b")', False),
        ('regexp_replace("abcd", "bc", "x")', "axd"),
        ('regexp_replace("abcd", "b(.*)d", "$1")', "ac"),
        ("regexp_replace('a1b2', '([a-z])([0-9])', '$2$1')", "1a2b"),
        ("regexp_replace('ab', '(?<first>a)', '${first}!')", "a!b"),
        ("regexp_replace('ab', 'a', '$1')", UNDEFINED),
        ("regexp_replace('ab', 'a', '$')", UNDEFINED),
        ("regexp_replace('ab', 'a', '\\$')", "$b"),
        ("regexp_replace('abc', '', '-')", "-a-b-c-"),
        ('regexp_substr("hihihello", "hi")', "hi"),
        ('regexp_substr("hihihello", "(hi)*")', "hihi"),
        ("regexp_substr('abc', 'x')", UNDEFINED),
        ("regexp_matches('aab', 'a*+b')", True),
        ("regexp_matches('aaa', 'a*+a')", False),
        ("regexp_matches('x.y', '\\Q.\\E')", True),
        ("regexp_matches('É', '\\w')", False),
        ("regexp_matches('Ab', '\\p{Upper}\\p{Lower}')", True),
        ("regexp_matches('AB', '(?i)ab')", True),
        ("regexp_matches('aB', 'a(?i)b')", True),
        ("regexp_matches(12.5, '^1.*5$')", True),
        ("regexp_matches('a', '[a&&[b]]')", UNDEFINED),
        ("regexp_matches('a', '(?P<n>a)')", UNDEFINED),
        ("regexp_matches('a', '(')", UNDEFINED),
        ("regexp_matches('a', '*a')", UNDEFINED),
        ("regexp_matches('a', '\\p{L}')", UNDEFINED),
        ("regexp_matches(null, 'a')", UNDEFINED),
        ("regexp_matches('a', missing)", UNDEFINED),
        ("regexp_matches('a', p)", True),
    ],
)
def test_regular_expressions_are_java_s(expression: str, expected: object) -> None:
    assert value(expression, {"p": "a"}) == expected


ATOMS = st.sampled_from(["a", "b", "ab", ".", "[ab]", "[^a]", r"\w", r"\b", "^", "$"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(st.sampled_from("abc"), st.sampled_from(["*", "+", "?", "*?", "{1,2}"])).map("".join),
        inner.map(lambda part: f"({part})"),
    ),
    max_leaves=6,
)


@given(PATTERNS, st.text("abc\n", max_size=8))
def test_the_linear_matcher_finds_what_the_backtracking_one_finds(pattern: str, text: str) -> None:
    with contextlib.suppress(RegexError):
        parser = Parser(pattern)
        program = Program(parser.parse(), parser.group_count, re.ASCII)
        expected = re.compile(pattern, re.ASCII).search(text)

        found = program.search(text, 0, Budget(10_000))

        assert (found[:2] if found else None) == (expected.span() if expected else None)


@given(st.text(max_size=20), st.text("ab", max_size=10))
def test_no_pattern_fails_otherwise_than_refused(pattern: str, text: str) -> None:
    with contextlib.suppress(RegexError, TooMuchWorkError):
        JavaPattern(pattern).replace(text, "x")
