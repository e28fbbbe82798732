"""IoT SQL by values: one row a rule of the language."""

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import TemplateError
from headwater.rules import NOT_FIRED, UNDEFINED, Message, compile_rule, compile_template, to_json

NOW_MS = 1_700_000_000_000


def run(sql: str, payload: Any = None, topic: str = "a/b/c", **fields: Any) -> Any:
    data = payload if isinstance(payload, bytes) else orjson.dumps({} if payload is None else payload)
    message = Message(topic, data, NOW_MS, lambda count: bytes(range(count)), **fields)
    rule = compile_rule(sql)
    result = rule.evaluate(rule.environment(message))
    if result in (UNDEFINED, NOT_FIRED) or isinstance(result, bytes):
        return result
    return orjson.loads(to_json(result))


def value(expression: str, payload: Any = None, **fields: Any) -> Any:
    """The value of one expression, UNDEFINED if the key is left out."""
    return run(f"SELECT {expression} AS r", payload, **fields).get("r", UNDEFINED)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 / 2.0", 3.5),
        ("7 % 4", 3),
        ("-7 % 4", -3),
        ("1 / 0", UNDEFINED),
        ("'a' + 1", "a1"),
        ("'3' * 2", 6),
        ("true + 1", UNDEFINED),
        ("null + 'a'", UNDEFINED),
        ("10.0", 10),
        ("0.1 + 0.2", 0.3),
        ("NOT 'TRUE'", False),
        ("5 AND true", UNDEFINED),
        ("true OR false AND false", True),
        ("1 = 1.0", True),
        ("1 = '1'", False),
        ("1 <> '1'", True),
        ("null <> null", False),
        ("missing = 1", UNDEFINED),
        ("'10' > 9", True),
        ("'a' > 'b'", UNDEFINED),
        ("3 IN [1, 2, 3]", True),
        ("3 NOT IN [1, 2, 3]", False),
        ("CASE 2 WHEN 1 THEN 'one' WHEN 2 THEN 'two' END", "two"),
        ("CASE 3 WHEN 1 THEN 'one' ELSE 'many' END", "many"),
        ("CASE missing WHEN 1 THEN 'one' ELSE 'many' END", UNDEFINED),
        ("CASE 3 WHEN 1 THEN 'one' END", UNDEFINED),
        ("cast('7.9' AS Int)", 7),
        ("cast(-1.5 AS Int)", -2),
        ("cast(0 AS Boolean)", False),
        ("cast(true AS Decimal)", 1),
        ("cast(null AS String)", UNDEFINED),
        ("{'a': 1, 'b': missing}", {"a": 1}),
        ("[1, missing, 'x']", [1, "x"]),
    ],
)
def test_operators_follow_the_conversion_rules(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("abs(-5.5)", 5.5),
        ("round(-1.5)", -2),
        ("trunc(2.3678, 2)", 2.36),
        ("power(2, 10)", 1024),
        ("sqrt(-1)", UNDEFINED),
        ("sign(-3)", -1),
        ("bitand(13, 5)", 5),
        ("bitnot(13)", -14),
        ("nanvl(missing, 8)", 8),
        ("chr(65)", "A"),
        ("concat('a', 1, true)", "a1true"),
        ("concat(1, [2])", [1, 2]),
        ("concat()", UNDEFINED),
        ("indexof('abcd', 'bc')", 1),
        ("lpad('x', 2000)", " " * 1000 + "x"),
        ("regexp_matches('aaaa', 'a{2,}')", True),
        ("regexp_replace('abcd', 'b(.*)d', '$1')", "ac"),
        ("regexp_replace('abcd', '(', 'x')", UNDEFINED),
        ("substring('012345', 2, 4)", "23"),
        ("substring('012345', -1)", "012345"),
        ("substring('012345', 10)", ""),
        ("md5('hello')", "5d41402abc4b2a76b9719d911017c592"),
        ("md2('')", "8350e5a3e24c153df2275c9f80692773"),
        ("encode('ab', 'base64')", "YWI="),
        ("decode('eyJhIjoxfQ==', 'base64')", {"a": 1}),
        ("decode('%%', 'base64')", None),
        ("get([1, 2], 5)", UNDEFINED),
        ("get({'a-b': 4}, 'a-b')", 4),
        ("get_or_default(missing, 'd')", "d"),
        ("isNull(null)", True),
        ("isUndefined(missing)", True),
        ("topic()", "a/b/c"),
        ("topic(2)", "b"),
        ("topic(9)", UNDEFINED),
        ("timestamp()", NOW_MS),
        ("clientid()", "n/a"),
        ("traceid()", UNDEFINED),
        ("parse_time('yyyy-MM-dd HH:mm:ss', 0)", "1970-01-01 00:00:00"),
        ("time_to_epoch('2020-04-03 09:45', 'yyyy-MM-dd HH:mm')", 1585907100000),
        ("time_to_epoch('x', 'yyyy')", UNDEFINED),
        ("abs(1, 2)", UNDEFINED),
        ("transform('enrichArray', {'d': 1}, [{'a': 2}])", [{"a": 2, "d": 1}]),
    ],
)
def test_functions_give_undefined_instead_of_errors(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_where_fires_only_on_exactly_true() -> None:
    assert run("SELECT x FROM 'a' WHERE x > 1", {"x": 2}) == {"x": 2}
    assert run("SELECT x FROM 'a' WHERE missing > 1", {"x": 2}) is NOT_FIRED
    assert run("SELECT x FROM 'a' WHERE x", {"x": 2}) is NOT_FIRED


def test_a_star_with_further_items_merges_them() -> None:
    assert run("SELECT *, topic(2) AS device.id", {"t": 1}) == {"t": 1, "device": {"id": "b"}}


def test_writing_into_a_member_leaves_the_payload_of_other_rules_alone() -> None:
    payload = orjson.dumps({"d": {"a": 1}})
    message = Message("a", payload, NOW_MS, bytes)
    first, second = compile_rule("SELECT *, 2 AS d.b"), compile_rule("SELECT *")

    first.evaluate(first.environment(message))

    assert second.evaluate(second.environment(message)) == {"d": {"a": 1}}


def test_nested_select_reads_arrays() -> None:
    payload = {"e": [{"n": "t", "v": 22}, {"n": "h", "v": 40}]}
    assert run("SELECT (SELECT v FROM e WHERE n = 't') AS r", payload) == {"r": [{"v": 22}]}
    assert run("SELECT get((SELECT v FROM e WHERE n = 't'), 0).v AS r", payload) == {"r": 22}
    assert run("SELECT VALUE (SELECT VALUE n FROM e)", payload) == ["t", "h"]
    assert run("SELECT 1 AS r WHERE EXISTS (SELECT * FROM e AS x WHERE x.v > 30)", payload) == {"r": 1}


def test_set_variables_are_known_in_select_where_and_templates() -> None:
    sql = "SET @d = topic(2), @e = @d + '!' SELECT @e AS r WHERE @d = 'b'"

    assert run(sql) == {"r": "b!"}
    rule = compile_rule(sql)
    environment = rule.environment(Message("a/b/c", b"{}", NOW_MS, bytes))
    assert compile_template("x/${@d}/${topic(3)}", sql).render(environment) == "x/b/c"


def test_binary_payloads_pass_whole_and_have_no_members() -> None:
    assert run("SELECT *", b"\xff\x00") == b"\xff\x00"
    assert run("SELECT x, encode(*, 'base64') AS d", b"\xff") == {"d": "/w=="}


def test_numbers_keep_34_digits() -> None:
    assert (
        to_json(
            compile_rule("SELECT x").evaluate(
                compile_rule("SELECT x").environment(Message("a", b'{"x":1.2345678901234567890123}', 0, bytes))
            )
        )
        == b'{"x":1.2345678901234567890123}'
    )


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT",
        "SELECT * FROM a",
        "SELECT foo(1) AS x",
        "SELECT get_secret('a', 'SecretString', 'r') AS x",
        "SELECT 1 + 2",
        "SELECT @x",
        "SELECT * FROM 'a' WHERE x LIKE 'a%'",
        "SELECT x AS FROM 'a' 'b'",
        "SET @a = 1, @a = 2 SELECT *",
        "SELECT " + "(" * 200 + "1" + ")" * 200 + " AS x",
        "SELECT 'unclosed",
        "DELETE FROM 'a'",
    ],
)
def test_faulty_statements_are_refused_when_they_are_loaded(sql: str) -> None:
    with pytest.raises(TemplateError):
        compile_rule(sql)


@given(st.binary(max_size=60))
def test_no_payload_makes_a_rule_raise(payload: bytes) -> None:
    run("SELECT *, abs(x) AS a, get(x, 0) AS b, x + 1 AS c, decode(x, 'base64') AS d WHERE isNull(x) OR true", payload)


@given(st.text(max_size=60))
def test_no_statement_makes_the_compiler_fail_otherwise(sql: str) -> None:
    with contextlib.suppress(TemplateError):
        compile_rule("SELECT " + sql)
