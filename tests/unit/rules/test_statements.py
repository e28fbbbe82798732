"""Clauses of a statement: SELECT, FROM, WHERE, SET, CASE, nested SELECT, and what is refused when a rule is loaded."""

from typing import Any

import pytest

from headwater.errors import TemplateError
from headwater.rules import NOT_FIRED, UNDEFINED, Message, compile_rule, compile_template
from headwater.rules.actions import compile_action
from headwater.rules.external import AnswerNeeded, Answers, ExternalCall
from tests.unit.rules.evaluation import NOW_MS, run

SENSORS = {
    "e": [
        {"n": "temperature", "u": "Cel", "t": 1234, "v": 22.5},
        {"n": "light", "u": "lm", "t": 1235, "v": 135},
        {"n": "acidity", "u": "pH", "t": 1235, "v": 7},
    ]
}


@pytest.mark.parametrize(
    ("sql", "payload", "expected"),
    [
        ("SELECT *", {"color": "red", "temperature": 50}, {"color": "red", "temperature": 50}),
        ("SELECT color AS my_color", {"color": "red"}, {"my_color": "red"}),
        ("SELECT *, 15 as speed", {"color": "red"}, {"color": "red", "speed": 15}),
        ("SELECT *, 15 as color", {"color": "red"}, {"color": 15}),
        ("SELECT VALUE color", {"color": "red"}, "red"),
        ("SELECT VALUE arr", {"arr": [1, 2]}, [1, 2]),
        ("SELECT value", {"value": 1}, {"value": 1}),
        ("SELECT value.a, set", {"value": {"a": 1}, "set": 2}, {"a": 1, "set": 2}),
        ("SELECT color.red as red_value", {"color": {"red": 255}}, {"red_value": 255}),
        ("SELECT color.red", {"color": {"red": 255}}, {"red": 255}),
        ("SELECT foo.bar AS bar.baz", {"foo": {"bar": "RED"}}, {"bar": {"baz": "RED"}}),
        ("SELECT a AS x.y, b AS x.z", {"a": 1, "b": 2}, {"x": {"y": 1, "z": 2}}),
        ("SELECT (temperature - 32) * 5 / 9 AS celsius, upper(color) as c", {"color": "red", "temperature": 50},
         {"celsius": 10, "c": "RED"}),
        ("SELECT topic(2), Upper(color)", {"color": "red"}, {"topic": "b", "Upper": "RED"}),
        ("SELECT color.red.deep AS x", {"color": {"red": 255}}, {}),
        ("SELECT Color", {"color": "red"}, {}),
        ("SELECT *", [1, 2], [1, 2]),
        ("SELECT x", [1, 2], {}),
        ("SELECT *, 1 AS x", b"", {"x": 1}),
        ("SELECT *, 1 AS x", b"\xff", {"x": 1}),
        ("SELECT *", b"\xff", b"\xff"),
        ("SELECT encode(*, 'base64') AS d", b"\xff", {"d": "/w=="}),
        ("SELECT encode(*, 'base64') AS d", b'{ "a": 1.0 }', {"d": "eyAiYSI6IDEuMCB9"}),
        ("SELECT decode(encode(*, 'base64'), 'base64') AS value WHERE decode(encode(*, 'base64'), 'base64') > 50",
         b"80", {"value": 80}),
    ],
)  # fmt: skip
def test_select(sql: str, payload: Any, expected: Any) -> None:
    assert run(sql, payload) == expected


@pytest.mark.parametrize(
    ("condition", "fires"),
    [("x > 1", True), ("t", True), *((other, False) for other in ("x > 5", "missing > 1", "x", "'true'", "null"))],
)
def test_where_fires_on_exactly_true(condition: str, fires: bool) -> None:
    assert (run(f"SELECT * WHERE {condition}", {"x": 2, "t": True}) is not NOT_FIRED) is fires


def test_an_alias_is_not_known_in_where() -> None:
    assert run("SELECT x AS y WHERE y = 1", {"x": 1}) is NOT_FIRED


@pytest.mark.parametrize(
    ("sql", "payload", "expected"),
    [
        ("SELECT (SELECT VALUE n FROM e) as s", SENSORS, {"s": ["temperature", "light", "acidity"]}),
        ("SELECT (SELECT v FROM e WHERE n = 'temperature') as t", SENSORS, {"t": [{"v": 22.5}]}),
        ("SELECT get((SELECT v FROM e WHERE n = 'temperature'), 0).v as t", SENSORS, {"t": 22.5}),
        ("SELECT (SELECT VALUE s.v FROM e AS s WHERE s.v > 100) as t", SENSORS, {"t": [135]}),
        ("SELECT (SELECT VALUE x FROM e) as t", SENSORS, {"t": []}),
        ("SELECT (SELECT * FROM missing) as t", SENSORS, {}),
        ("SELECT (SELECT a, b FROM o) as t", {"o": {"a": 1, "b": 2, "c": 3}}, {"t": {"a": 1, "b": 2}}),
        ("SELECT (SELECT VALUE c FROM o) as t", {"o": {"c": [1]}}, {"t": [1]}),
        ("SELECT (SELECT VALUE c FROM o WHERE c = 2) as t", {"o": {"c": 1}}, {}),
        ("SELECT (SELECT VALUE (SELECT VALUE x FROM i) FROM e) as t", {"e": [{"i": [{"x": 1}]}]}, {"t": [[1]]}),
        ("SELECT VALUE transform('enrichArray', (select a from d), (select value c from d))",
         {"d": {"a": 1, "c": [{"x": 1}, {"x": 2}]}}, [{"x": 1, "a": 1}, {"x": 2, "a": 1}]),
        ("SELECT VALUE transform('enrichArray', {'key': a.d}, v)", {"a": {"d": 1}, "v": [{"b": 2}]},
         [{"b": 2, "key": 1}]),
    ],
)  # fmt: skip
def test_nested_select(sql: str, payload: Any, expected: Any) -> None:
    assert run(sql, payload) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("CASE color WHEN 'green' THEN 'go' WHEN 'yellow' THEN 'caution' ELSE 'none' END", "caution"),
        ("CASE color WHEN 'red' THEN 'stop' ELSE 'none' END", "none"),
        ("CASE color WHEN 'red' THEN 'stop' END", UNDEFINED),
        ("CASE color WHEN 'yellow' THEN 1 WHEN 'yellow' THEN 2 END", 1),
        ("CASE missing WHEN 'red' THEN 1 ELSE 2 END", UNDEFINED),
        ("CASE 1 WHEN 1.0 THEN 'same' END", "same"),
        ("CASE 1 WHEN '1' THEN 'same' ELSE 'other' END", "other"),
    ],
)
def test_case(expression: str, expected: Any) -> None:
    assert run(f"SELECT {expression} AS r", {"color": "yellow"}).get("r", UNDEFINED) == expected


def test_variables_reach_every_clause() -> None:
    sql = "SET @a = x + 1, @b = {'v': @a} SELECT @b.v, @a AS a, (SELECT VALUE v FROM e WHERE v > @a) AS n WHERE @a > 1"

    assert run(sql, {"x": 2, "e": [{"v": 3}, {"v": 4}]}) == {"v": 3, "a": 3, "n": [4]}
    assert run(sql, {"x": 0}) is NOT_FIRED


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${topic(2)}/x", "b/x"),
        ("${x}", "1"),
        ("${missing}", "undefined"),
        ("${get({'k': '}'}, 'k')}!", "}!"),
        ("${replace(topic(), '/', '-') + '-' + timestamp()}", f"a-b-c-{NOW_MS}"),
        ("plain", "plain"),
    ],
)
def test_substitution_templates_see_the_publish_as_it_came(template: str, expected: str) -> None:
    rule = compile_rule("SELECT x AS y")
    environment = rule.environment(Message("a/b/c", b'{"x":1}', NOW_MS, bytes))

    assert compile_template(template, rule.sql).render(environment) == expected


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SELECT foo(1) AS x", "no function"),
        ("SELECT get_secret('a', 'SecretString', 'r') AS x", "does not run here"),
        ("SELECT get_registry_data('DescribeThing', 't', 'r') AS x", "does not run here"),
        ("SELECT machinelearning_predict('m', 'r', *) AS x", "does not run here"),
        ("SELECT decode(*, 'proto', 'bucket', 'key', 'f', 'm') AS x", "proto"),
        ("SELECT aws_lambda('arn') AS x", "2 arguments"),
        ("SELECT get_dynamodb('t', 'k', 'v', role) AS x", "literal"),
        ("SELECT get_dynamodb('t','k','v','r') AS x, get_dynamodb('t','k','v','r') AS y", "once"),
        ("SET @m = 'enrichArray' SELECT transform(@m, a, b) AS x", "variable"),
        ("SET @r = 'role' SELECT get_thing_shadow('t', @r) AS x", "literal"),
        ("SET @a = @a SELECT @a", "not SET"),
        ("SET @" + "a" * 65 + " = 1 SELECT *", "64"),
        ("SELECT * FROM 'a/#/b'", "FROM"),
        ("SELECT * FROM ''", "FROM"),
        ("SELECT 1e1000 AS x", "larger"),
        ("SELECT CASE x END AS y", "WHEN"),
        ("SELECT * -- comment", "position"),
    ],
)
def test_what_does_not_work_is_refused_when_loaded(sql: str, fault: str) -> None:
    with pytest.raises(TemplateError, match=fault):
        compile_rule(sql)


def test_a_statement_is_evaluated_again_with_the_answers_it_needs() -> None:
    rule = compile_rule(
        "SELECT aws_lambda('f', {'v': v}).out AS o, newuuid() AS u WHERE get_thing_shadow('t', 'r').state.on = true"
    )
    message, answers = Message("a", b'{"v":7}', NOW_MS, bytes), Answers()
    asked: list[ExternalCall] = []
    result: Any = None

    for answer in ({"state": {"on": True}}, {"out": "done"}, None):
        answers.restart()
        try:
            result = rule.evaluate(rule.environment(message, answers))
        except AnswerNeeded as needed:
            asked.append(needed.call)
            answers.give(answer)

    assert asked == [ExternalCall("get_thing_shadow", ("t", "r")), ExternalCall("aws_lambda", ("f", {"v": 7}))]
    assert result["o"] == "done"
    assert rule.external == ("get_thing_shadow", "aws_lambda")


def test_an_undefined_argument_asks_nobody() -> None:
    rule = compile_rule("SELECT aws_lambda('f', missing) AS o")

    assert rule.evaluate(rule.environment(Message("a", b"{}", NOW_MS, bytes), Answers())) == {}


def test_an_error_action_may_not_ask_other_services() -> None:
    action = {"Sqs": {"QueueUrl": "${get_thing_shadow('t', 'r').q}", "RoleArn": "r"}}

    assert compile_action(action, "SELECT *", "2016-03-23").external == ("get_thing_shadow",)
    with pytest.raises(TemplateError, match="may not"):
        compile_action(action, "SELECT *", "2016-03-23", no_external="which it may not")


@pytest.mark.parametrize(
    ("action", "fault"),
    [
        ({"Firehose": {"DeliveryStreamName": "a", "RoleArn": "r"}}, "Firehose does not work here"),
        ({"Sns": {"TargetArn": "a", "RoleArn": "r", "MessageFormat": "XML"}}, "expected RAW or JSON"),
        ({"Kinesis": {"StreamName": "s"}}, "RoleArn is missing"),
        ({"Kinesis": {"StreamName": "s", "RoleArn": "r", "Shard": 1}}, "no parameter"),
        ({"Republish": {"Topic": "t", "RoleArn": "r", "Headers": {"Color": "red"}}}, "no header"),
        ({"Kinesis": {"StreamName": "${", "RoleArn": "r"}}, "unclosed"),
        ({"Lambda": {"FunctionArn": "f"}, "Sqs": {}}, "exactly one"),
    ],
)
def test_faulty_actions_are_refused_when_loaded(action: dict[str, Any], fault: str) -> None:
    with pytest.raises(TemplateError, match=fault):
        compile_action(action, "SELECT *", "2016-03-23")


def test_templates_are_rendered_wherever_an_action_holds_them() -> None:
    action = compile_action(
        {
            "Republish": {
                "Topic": "to/${topic(1)}",
                "RoleArn": "${verbatim}",
                "Headers": {"ContentType": "${x}", "UserProperties": [{"Key": "k", "Value": "${topic(2)}"}]},
            }
        },
        "SELECT *",
        "2016-03-23",
    )
    rule = compile_rule("SELECT *")

    request = action.request(rule.environment(Message("a/b", b'{"x":"text"}', NOW_MS, bytes)), b"")

    assert request.parameters == {
        "Topic": "to/a",
        "RoleArn": "${verbatim}",
        "Headers": {"ContentType": "text", "UserProperties": [{"Key": "k", "Value": "b"}]},
    }
