"""Every construct the service refuses is refused at load, with line, column and rule."""

from typing import Any

import pytest

from headwater.appsync_js import check_subset, compile_module, evaluate
from headwater.appsync_js.members import MODULES, Members
from headwater.appsync_js.syntax import SourceTree
from headwater.errors import TemplateError

RESPONSE = "\nexport function response(ctx) { return ctx.result; }"


def rules_of(code: str) -> set[str]:
    return {violation.rule for violation in check_subset(SourceTree.parse(code))}


def in_request(body: str) -> str:
    return f"export function request(ctx) {{ {body} }}{RESPONSE}"


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("try { return 1; } finally { }", "no-try"),
        ("throw 'x';", "no-throw"),
        ("while (true) { }", "no-while"),
        ("do { } while (false);", "no-while"),
        ("for (let i = 0; i < 3; i += 1) { }", "no-for"),
        ("for (const x of [1]) { continue; }", "no-continue"),
        ("outer: for (const x of [1]) { break outer; }", "no-labels"),
        ("let n = 0; n++; return n;", "no-unary"),
        ("let n = 0; --n; return n;", "no-unary"),
        ("return ~1;", "no-unary"),
        ("return 'a' in ctx.args;", "no-in"),
        ("return ctx.args instanceof Object;", "no-instanceof"),
        ("return /a/;", "no-regex"),
        ("const f = async () => 1; return 1;", "no-async"),
        ("const f = async () => { await 1; }; return 1;", "no-await"),
        ("function* g() { yield 1; } return 1;", "no-generators"),
        ("class A { } return 1;", "no-classes"),
        ("return new Map();", "no-new"),
        ("return this;", "no-this"),
        ("return 10n;", "no-bigint"),
        ("debugger;", "no-debugger"),
        ("return { get a() { return 1; } };", "no-accessors"),
        ("function f(n) { return f(n); } return f(1);", "no-recursion"),
        ("const f = () => g(); const g = () => f(); return f();", "no-recursion"),
        ("const f = (g) => g; return f(() => 1);", "no-function-passing"),
        ("return () => 1;", "no-function-return"),
        ("function f() { return 1; } f = 2; return f;", "no-function-reassign"),
        ("const f = () => 1; const g = f; return g();", "no-function-reassign"),
        ("function f() { return 1; } let g; g = f; return g();", "no-function-reassign"),
        ("for (ctx.args in { a: 1 }) { return 1; }", "no-context-assignment"),
        ("for (ctx of [1]) { return 1; }", "no-context-assignment"),
        ("const f = () => 1; return f.apply(null);", "no-function-methods"),
        ("const f = () => 1; return f.bind(null);", "no-function-methods"),
        ("const f = () => 1; return f.call(null);", "no-function-methods"),
        ("return [2, 1].sort((a, b) => a - b);", "no-sort-function"),
        ("return 'a'.padStart(3);", "no-disallowed-methods"),
        ("return Object.freeze({});", "no-disallowed-methods"),
        ("return Math.pow(2, 3);", "no-disallowed-methods"),
        ("{ const f = () => 1; return ((g) => g)(f); }", "no-function-passing"),
        ("const f = () => { const f = () => g(); const g = () => f(); return f(); }; return f();", "no-recursion"),
        ("{ var f = () => 1; } return f;", "no-function-return"),
        ("const f = (eval1) => { const Map = 1; return Map; }; return Map;", "no-unknown-global"),
        ("return eval('1');", "no-unknown-global"),
        ("return Promise.resolve(1);", "no-unknown-global"),
        ("return setTimeout(1);", "no-unknown-global"),
        ("return fetch('x');", "no-unknown-global"),
        ("return require('fs');", "no-unknown-global"),
        ("return atob('x');", "no-unknown-global"),
        ("return btoa('x');", "no-unknown-global"),
        ("return globalThis;", "no-unknown-global"),
        ("return (() => 1).constructor('return 1')();", "no-prototype"),
        ("return ctx['constructor'];", "no-prototype"),
        ("return ctx.args.__proto__;", "no-prototype"),
        ("const __hw_x = 1; return __hw_x;", "no-reserved-name"),
        ("ctx.stash = {}; return 1;", "no-context-assignment"),
        ("ctx = {}; return 1;", "no-context-assignment"),
        ("delete ctx.args; return 1;", "no-context-assignment"),
        ("return import('x');", "imports"),
    ],
)
def test_a_refused_construct_names_its_rule(body: str, rule: str) -> None:
    assert rule in rules_of(in_request(body))


@pytest.mark.parametrize(
    "code",
    [
        "import fs from 'fs';",
        "import { x } from './local.js';",
        "import ddb from '@aws-appsync/utils/dynamodb';",
    ],
)
def test_only_the_appsync_modules_may_be_imported(code: str) -> None:
    assert "imports" in rules_of(f"{code}\n{in_request('return 1;')}")


def test_a_module_without_a_response_handler_is_refused() -> None:
    assert "exports" in rules_of("export function request(ctx) { return 1; }")


def test_a_default_export_is_refused() -> None:
    assert "exports" in rules_of(in_request("return 1;") + "\nexport default 1;")


def test_code_above_32_kilobytes_is_refused() -> None:
    assert "code-size" in rules_of(in_request("return 1;") + "// " + "x" * 32768)


def test_a_syntax_error_is_refused_as_such() -> None:
    assert rules_of("export function request(ctx) { return (; }") == {"syntax"}


def test_the_error_names_file_line_column_and_rule() -> None:
    with pytest.raises(TemplateError, match=r"Query\.get\.js:2:3: throw is not supported.*\(no-throw\)"):
        compile_module(f"export function request(ctx) {{\n  throw 1;\n}}{RESPONSE}", "Query.get.js")


@pytest.mark.parametrize(
    "body",
    [
        "const { a, b: { c }, ...rest } = ctx.args; let n = a ?? c?.d; var o = rest; return { n, ...o };",
        "const names = ctx.args.xs.map((x) => `${x.name}!`); return names.filter((n) => n !== '').join(',');",
        "for (const key in ctx.args) { if (key === 'a') { break; } } return void 0;",
        "switch (ctx.args.a) { case 1: return 'one'; default: return typeof ctx.args; }",
        "const add = (...ns) => ns.reduce((a, b) => a + b, 0); return add(1, 2);",
        "ctx.stash.seen = true; delete ctx.stash.old; return Object.keys(ctx.stash);",
        "const keyOf = (x) => x.id; return ctx.args.xs.map(keyOf);",
        "const name = () => 'n'; const of = (name) => name; return [name(), of('x'), ctx.args.xs.map((name) => name)];",
        "const count = () => 1; const add = (count) => { const f = (n) => n + count; return f(1); }; return add(2);",
        # Names of an inner scope, as in the resolvers that Amplify generates.
        "const { args, request } = ctx; const of = (request) => request.headers; return [of(request), args];",
        "const response = { id: 1 }; return response;",
        "{ const f = () => 1; f(); } const f = 2; const g = f; return g;",
        "for (const request of ctx.args.xs) { const all = request; ctx.stash.all = all; } return 1;",
        "switch (ctx.args.a) { case 1: const response = 1; return response; default: return 2; }",
        "return ctx.args.xs.map((ctx) => { ctx.seen = true; return ctx; });",
        "return Object.assign({}, Object.fromEntries(Object.entries(ctx.args)));",
        "if (!ctx.identity) { util.unauthorized(); } return [1, 2].includes(1) && 'abc'.includes('b');",
        "return Number('1') + parseInt('2', 10) + Math.max(1, 2) + JSON.parse('3');",
        "runtime.earlyReturn({}); extensions.setSubscriptionFilter({}); console.log(1); return null;",
    ],
)
def test_what_the_service_supports_is_accepted(body: str) -> None:
    assert rules_of(in_request(body)) == set()


def test_handlers_may_be_arrow_functions_and_renamed_exports() -> None:
    code = "const ask = (ctx) => ({ payload: null });\nconst answer = (ctx) => null;\n"

    assert rules_of(code + "export { ask as request, answer as response };") == set()


@pytest.mark.parametrize(
    "code",
    [
        "import { util, nothing } from '@aws-appsync/utils';",
        "import { fetch as load } from '@aws-appsync/utils/dynamodb';",
        "import { toJsonString } from '@aws-appsync/utils/rds';",
        "import * as ddb from '@aws-appsync/utils/dynamodb';\nconst f = () => ddb.getItem({});",
        "import { util as u } from '@aws-appsync/utils';\nconst f = () => u.toJson({});",
        "const f = () => util.toJson({});",
        "const f = () => util.dynamodb.toDynamoDBJson(1);",
        "const f = () => util.time.now();",
        "const f = () => extensions.setFilter({});",
        "const f = () => runtime.return(1);",
        "import { operations as ops } from '@aws-appsync/utils/dynamodb';\nconst f = () => ops.set(1);",
    ],
)
def test_what_the_appsync_modules_do_not_have_is_refused(code: str) -> None:
    assert rules_of(f"{code}\n{in_request('return 1;')}") == {"no-unknown-member"}


@pytest.mark.parametrize(
    "code",
    [
        "import { util, Context } from '@aws-appsync/utils';\nconst f = () => util.dynamodb.toMapValues({}).a;",
        "import * as ddb from '@aws-appsync/utils/dynamodb';\nconst f = () => ddb.operations.add(1).value;",
        "const f = (util) => util.own;",
        "const f = () => { const time = util.time; return time.nowISO8601() + util['str']; };",
        "import * as utils from '@aws-appsync/utils';\nconst f = () => utils.util.autoId();",
    ],
)
def test_what_the_appsync_modules_have_is_accepted(code: str) -> None:
    assert rules_of(f"{code}\n{in_request('return 1;')}") == set()


def test_the_refusal_of_a_template_helper_names_its_successor() -> None:
    with pytest.raises(TemplateError, match=r"a\.js:1:39: util\.toJson is not available in APPSYNC_JS: use JSON\."):
        compile_module(in_request("return util.toJson(ctx.args);"), "a.js")


def test_the_known_members_are_those_of_the_engine() -> None:
    listed = (
        "(value) => Object.entries(value).map(([name, member]) => [name, typeof member === 'object' ? "
        "Object.keys(member).sort() : null]).sort()"
    )

    for name, module in (("dynamodb", "ddb"), ("rds", "rds"), ("ai", "ai")):
        assert evaluate(f"({listed})({module})")["result"] == _listed(MODULES[f"@aws-appsync/utils/{name}"])
    assert evaluate(f"({listed})(util) /* with time, rds and http */")["result"] == _listed(
        MODULES["@aws-appsync/utils"]["util"] or {}
    )
    assert evaluate(f"({listed})({{ runtime, extensions }})")["result"] == _listed(
        {name: members for name, members in MODULES["@aws-appsync/utils"].items() if name != "util"}
    )


def _listed(members: Members) -> list[list[Any]]:
    return [[name, None if inner is None else sorted(inner)] for name, inner in sorted(members.items())]
