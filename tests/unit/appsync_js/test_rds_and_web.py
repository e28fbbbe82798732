"""The rds module, util.xml and util.http."""

from typing import Any

import pytest

from headwater.appsync_js import compile_module, evaluate
from tests.unit.appsync_js.values import fault, value


def sql(statement: str, create: str = "createPgStatement") -> Any:
    return value(f"rds.{create}({statement})")


@pytest.mark.parametrize(
    ("statement", "text", "variables"),
    [
        ("rds.select({ table: 't' })", 'SELECT * FROM "t"', []),
        (
            "rds.select({ table: 's.t', columns: ['id', 't.*'], where: { or: [{ a: { eq: 1 } }, { b: { gt: 2 } }] }, "
            "orderBy: [{ column: 'a' }, { column: 'b', dir: 'desc' }], limit: 3, offset: '4' })",
            'SELECT "id", "t"."*" FROM "s"."t" WHERE ("a" = :P0) OR ("b" > :P1) ORDER BY "a" ASC, "b" DESC '
            "LIMIT :P2 OFFSET :P3",
            [1, 2, 3, 4],
        ),
        (
            "rds.select({ from: { x: 't' }, where: { a: { between: [1, 2], ne: 3 }, b: { size: { le: 4 } } } })",
            'SELECT * FROM "t" as "x" WHERE "a" BETWEEN :P0 AND :P1 AND "a" != :P2 AND LENGTH ("b") <= :P3',
            [1, 2, 3, 4],
        ),
        (
            "rds.select({ table: 't', where: { a: { contains: 'x' }, b: { beginsWith: 'y' }, c: { notContains: 'z' }, "
            "d: { attributeExists: false } } })",
            'SELECT * FROM "t" WHERE "a" LIKE :P0 AND "b" LIKE :P1 AND "c" NOT LIKE :P2 AND "d" IS NULL',
            ["%x%", "y%", "z"],
        ),
        (
            "rds.select({ table: 't', columns: ['a', rds.agg.countDistinct('b')], groupBy: ['a'], "
            "having: { b: { count: { gt: 1 } } } })",
            'SELECT "a", COUNT(DISTINCT "b") FROM "t" GROUP BY "a" HAVING COUNT("b") > :P0',
            [1],
        ),
        (
            "rds.select({ table: 'a', innerJoin: [{ table: 'b', on: { 'a.id': { eq: 'b.id' } } }], "
            "leftJoin: [{ table: 'c', using: ['id'] }] })",
            'SELECT * FROM "a" INNER JOIN "b" ON "a"."id" = "b"."id" LEFT JOIN "c" USING ("id")',
            [],
        ),
        (
            "rds.insert({ table: 't', values: { a: 1, b: null }, returning: ['id'] })",
            'INSERT INTO "t" ("a", "b") VALUES (:P0, NULL) RETURNING "id"',
            [1],
        ),
        (
            "rds.update({ table: 't', values: { a: false }, where: rds.sql`id = ${7}` })",
            'UPDATE "t" SET "a" = :P0 WHERE id = :P1',
            [False, 7],
        ),
        ("rds.remove({ table: 't', where: { a: { eq: 1 } } })", 'DELETE FROM "t" WHERE "a" = :P0', [1]),
        ("'select 1'", "select 1", []),
    ],
)
def test_a_statement_is_text_with_bound_variables(statement: str, text: str, variables: list[Any]) -> None:
    request = sql(statement)

    assert request["statements"] == [text]
    assert list(request["variableMap"].values()) == variables


def test_mysql_quotes_with_backticks() -> None:
    assert sql("rds.select({ table: 't' })", "createMySQLStatement")["statements"] == ["SELECT * FROM `t`"]


def test_two_statements_number_their_variables_together_and_keep_type_hints() -> None:
    request = sql("rds.sql`a ${rds.typeHint.UUID('u')}`, rds.sql`b ${2}`")

    assert request == {
        "statements": ["a :P0", "b :P1"],
        "variableMap": {":P0": "u", ":P1": 2},
        "variableTypeHintMap": {":P0": "UUID"},
    }


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("", "An argument is expected to be passed to createPgStatement"),
        ("1", "Unsupported type is passed as argument to createPgStatement"),
        ("rds.select()", "An argument is expected to be passed to select"),
        ("rds.select({})", "'table' or 'from' key is required."),
        ("rds.select({ table: 'a', from: 'b' })", "'from' and 'table' keys cannot be used together"),
        ("rds.select({ table: 'a', columns: 'b' })", "Expected column to be * or an array."),
        ("rds.select({ table: 'a', where: { b: { in: [1] } } })", "Unsupported condition b.in."),
        ("rds.select({ table: 'a', where: { b: { eq: null } } })", "Value for b.eq can't be null."),
        (
            "rds.select({ table: 'a', orderBy: [{ column: 'b', dir: 'x' }] })",
            "orderBy dir can have either ASC or DESC found x.",
        ),
        ("rds.insert({ table: 'a' })", "values are expected to be passed to insert"),
    ],
)
def test_a_statement_that_cannot_be_rendered_is_a_fault(statement: str, message: str) -> None:
    assert fault(f"rds.createPgStatement({statement})") == message


def test_the_results_of_statements_become_rows_without_null_columns() -> None:
    result = (
        '{"sqlStatementResults": [{"records": [[{"stringValue": "a"}, {"isNull": true}, {"arrayValue": {"longValues": '
        '[1]}}]], "columnMetadata": [{"label": "x"}, {"label": "y"}, {"name": "z"}]}, {"numberOfRecordsUpdated": 1}]}'
    )

    assert value("util.rds.toJsonObject(ctx.result)", result=result) == [[{"x": "a", "z": [1]}], [{}]]


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<a><b>1</b><c>x</c></a>", {"a": {"b": 1, "c": "x"}}),
        ("<a><b>1</b><b>true</b></a>", {"a": {"b": [1, True]}}),
        ('<?xml version="1.0"?><!-- c --><a n="5">t<b/></a>', {"a": {"n": 5, "b": "", "content": "t"}}),
        ("<a>x &lt; &#65;<![CDATA[<y>]]></a>", {"a": "x < A<y>"}),
        ("<a>007</a>", {"a": "007"}),
        ("", {}),
    ],
)
def test_xml_becomes_a_map(xml: str, expected: Any) -> None:
    assert value("util.xml.toMap(ctx.args.x)", arguments={"x": xml}) == expected


def test_xml_becomes_json_text_and_that_text_encoded() -> None:
    assert value("util.xml.toJsonString('<a>1</a>')") == '{"a":1}'
    assert value("util.xml.toJsonString('<a>1</a>', true)") == '"{\\"a\\":1}"'


@pytest.mark.parametrize("xml", ["<a>", "</a>", "<a></b>", "<a"])
def test_xml_that_is_not_well_formed_is_a_fault(xml: str) -> None:
    assert "not well formed" in fault("util.xml.toMap(ctx.args.x)", arguments={"x": xml})


def test_headers_are_copied_without_the_restricted_ones() -> None:
    headers = {"Host": "a", "x-a": "b", "Content-Length": "1"}

    assert value("util.http.copyHeaders(ctx.request.headers)", request={"headers": headers}) == {"x-a": "b"}


@pytest.mark.parametrize(
    "call",
    [
        "'content-type', 'x'",
        "'X-Amzn-Foo', 'x'",
        "'', 'x'",
        "'a', null",
        "'a', 'x'.concat(ctx.args.long)",
        "'a', 'x\\r\\nset-cookie: y'",
        "'a', 'x\\u0000'",
        "'a', '\u20ac'",
        "'a\\r\\nb', 'x'",
        "'a b', 'x'",
        "'\u00e9', 'x'",
    ],
)
def test_a_refused_response_header_is_an_appended_error(call: str) -> None:
    module = compile_module(
        f"export function request(ctx) {{ util.http.addResponseHeader({call}); return 1; }}\n"
        "export function response(ctx) { return null; }",
        "header.js",
    )

    outcome = module.call("request", {"arguments": {"long": "y" * 4096}}, now_ms=0)

    assert outcome.result == 1
    assert [error.error_type for error in outcome.appended] == ["ResponseHeaderError"]
    assert not outcome.response_headers


def test_the_latest_definition_of_a_response_header_counts() -> None:
    module = compile_module(
        "export function request(ctx) { util.http.addResponseHeaders({ 'X-A': 1, b: { c: 2 } }); "
        "util.http.addResponseHeader('x-a', 'caf\u00e9'); return util.http.addResponseHeaders('no'); }\n"
        "export function response(ctx) { return null; }",
        "header.js",
    )

    outcome = module.call("request", {}, now_ms=0)

    assert outcome.response_headers == {"b": '{"c":2}', "x-a": "caf\u00e9"}
    assert outcome.appended == []


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("undefined", {"result": None}),
        ("ctx.args.x", {"result": None}),
        ("runtime.earlyReturn({ a: 1 })", {"result": {"a": 1}}),
        ("util.error('m')", {"throws": {"message": "m", "errorType": None, "data": None, "errorInfo": None}}),
        (
            "util.unauthorized()",
            {
                "throws": {
                    "message": "Unauthorized",
                    "errorType": "UnauthorizedException",
                    "data": None,
                    "errorInfo": None,
                }
            },
        ),
    ],
)
def test_an_evaluation_answers_result_or_throws(expression: str, answer: dict[str, Any]) -> None:
    assert evaluate(expression, {}, 0) == answer


def test_text_that_is_no_expression_is_unsupported() -> None:
    assert "unsupported" in evaluate("1 +", {}, 0)
