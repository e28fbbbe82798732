"""Explanations of rules: every clause with its value, and the one reason why a rule does not fire."""

import pytest

from headwater.rules import Message, compile_rule
from headwater.rules.explain import Explanation, explain_rule, source
from headwater.rules.syntax.parser import parse_expression

SQL = (
    "SET @limit = 50 SELECT color AS c, missing, topic(2) AS d FROM 'dt/+' "
    "WHERE temperature > @limit AND NOT off = true"
)


def explain(payload: bytes, topic: str = "dt/d1") -> Explanation:
    return explain_rule(compile_rule(SQL), Message(topic, payload, 0, bytes))


def test_a_rule_that_fires_shows_what_it_selects() -> None:
    found = explain(b'{"temperature":60,"color":"red","off":false}')

    assert (found.fires, found.verdict, found.payload) == (True, "fires", b'{"c":"red","d":"d1"}')
    assert [(line.clause, line.text, line.value, line.depth) for line in found.lines] == [
        ("FROM", "'dt/+', topic dt/d1", "matches", 0),
        ("SET", "@limit", "50", 0),
        ("WHERE", "(temperature > @limit) AND (NOT (off = true))", "true", 0),
        ("", "temperature > @limit", "true", 1),
        ("", "temperature", "60", 2),
        ("", "@limit", "50", 2),
        ("", "NOT (off = true)", "true", 1),
        ("", "off = true", "false", 2),
        ("", "off", "false", 3),
        ("SELECT", "color AS c", '"red"', 0),
        ("SELECT", "missing AS missing", "Undefined (left out)", 0),
        ("SELECT", "topic(2) AS d", '"d1"', 0),
    ]


@pytest.mark.parametrize(
    ("topic", "payload", "verdict"),
    [
        ("dt/d1", b'{"temperature":40,"off":false}', "does not fire: WHERE is false, not true"),
        ("dt/d1", b'{"temperature":60}', "does not fire: WHERE is Undefined, not true"),
        ("xx/d1", b"{}", "does not fire: level 1 of the topic is 'xx', the filter wants 'dt'"),
        ("dt/d1/x", b"{}", "does not fire: the topic has 3 levels, the filter 2"),
    ],
)
def test_the_reason_is_named(topic: str, payload: bytes, verdict: str) -> None:
    assert explain(payload, topic).verdict == verdict


def test_a_payload_that_is_no_json_is_named() -> None:
    assert explain(b"\xff").lines[1].value == "no JSON: every member is Undefined"


def test_basic_ingest_needs_no_filter() -> None:
    rule, message = compile_rule("SELECT x"), Message("a", b'{"x":1}', 0, bytes)

    assert explain_rule(rule, message, is_basic_ingest=True).payload == b'{"x":1}'
    assert explain_rule(rule, message).verdict == "does not fire: without FROM only Basic Ingest reaches it"


@pytest.mark.parametrize(
    "text",
    [
        "a.b",
        "'it''s'",
        "[1, 2.5, null]",
        "{'a': x, 'b': [y]}",
        "cast(a AS Int)",
        "CASE a WHEN 1 THEN 'x' ELSE 'y' END",
        "get((SELECT v FROM e AS r WHERE r.n = 't'), 0).v",
        "EXISTS (SELECT * FROM e)",
        "(1 + 2) * 3",
    ],
)
def test_expressions_are_written_as_sql(text: str) -> None:
    assert source(parse_expression(text)) == text
