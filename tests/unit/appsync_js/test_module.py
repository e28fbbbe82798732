"""What a compiled module does when its handlers are called."""

import re

import pytest

from headwater.appsync_js import HandlerOutcome, JsModule, compile_module
from headwater.appsync_js.syntax import SourceTree
from headwater.appsync_js.usage import returns_result
from headwater.errors import TemplateError

NOW_MS = 1_700_000_000_123.0


def module(request: str = "return null;", response: str = "return ctx.result;", head: str = "") -> JsModule:
    code = f"{head}\nexport function request(ctx) {{ {request} }}\nexport function response(ctx) {{ {response} }}"
    return compile_module(code, "test.js")


def ask(request: str, head: str = "", **context: object) -> HandlerOutcome:
    return module(request, head=head).call("request", context, now_ms=NOW_MS, entropy=b"0123456789abcdef")


def test_a_handler_returns_plain_json() -> None:
    assert ask("return { id: ctx.args.id, n: 1.5, none: undefined };", arguments={"id": "7"}).result == {
        "id": "7",
        "n": 1.5,
    }


def test_undefined_is_none() -> None:
    assert ask("return;") == HandlerOutcome()


def test_args_and_arguments_are_one_object() -> None:
    assert ask("return ctx.args === ctx.arguments;", arguments={}).result is True


def test_imports_reach_the_helper_modules() -> None:
    head = "import { util as u } from '@aws-appsync/utils';\nimport * as ddb from '@aws-appsync/utils/dynamodb';"

    outcome = ask("return [ddb.get({ key: { id: '1' } }), u.dynamodb.toNumber(1)];", head)

    assert outcome.result == [{"operation": "GetItem", "key": {"id": {"S": "1"}}}, {"N": 1}]


def test_util_error_becomes_the_outcomes_error() -> None:
    error = ask("util.error('no', 'Bad', { a: 1 }, { b: 2 });").error

    assert error is not None
    assert (error.message, error.error_type, error.data, error.error_info) == ("no", "Bad", {"a": 1}, {"b": 2})


def test_util_unauthorized_is_told_apart_from_an_error_of_that_type() -> None:
    assert ask("util.unauthorized();").is_unauthorized
    assert not ask("util.error('x', 'UnauthorizedException');").is_unauthorized


def test_append_error_keeps_the_result() -> None:
    outcome = ask("util.appendError('careful', 'Warn'); return 1;")

    assert outcome.result == 1
    assert [(error.message, error.error_type) for error in outcome.appended] == [("careful", "Warn")]


def test_a_fault_of_the_code_has_type_code_and_its_line() -> None:
    error = ask("\n return ctx.args.a.b;", arguments={}).error

    assert error is not None
    assert error.error_type == "Code"
    assert error.message.startswith("code.js:3:")


def test_changes_of_the_stash_come_back() -> None:
    assert ask("ctx.stash.n = ctx.stash.n + 1; return null;", stash={"n": 1}).stash == {"n": 2}


def test_a_handler_that_does_not_name_the_stash_leaves_it_alone() -> None:
    assert ask("return ctx.args;", arguments={}, stash={"n": 1}).stash is None


def test_early_return_carries_value_and_where_to_go_on() -> None:
    outcome = ask("runtime.earlyReturn({ a: 1 }, { skipTo: 'END' });")

    assert (outcome.is_early_return, outcome.result, outcome.skip_to) == (True, {"a": 1}, "END")


def test_extensions_are_reported() -> None:
    outcome = ask(
        "extensions.setSubscriptionFilter({ filterGroup: [] });"
        "extensions.setSubscriptionInvalidationFilter({ filterGroup: [1] });"
        "extensions.invalidateSubscriptions({ subscriptionField: 'onX', payload: { a: 1 } });"
        "extensions.evictFromApiCache('Query', 'x', { 'ctx.args.id': 1 });"
        "util.http.addResponseHeader('itemsCount', 7); return null;"
    )

    assert outcome.subscription_filter == {"filterGroup": []}
    assert outcome.invalidation_filter == {"filterGroup": [1]}
    assert outcome.invalidations == [{"subscriptionField": "onX", "payload": {"a": 1}}]
    assert outcome.evictions == [{"typeName": "Query", "fieldName": "x", "keys": {"ctx.args.id": 1}}]
    assert outcome.response_headers == {"itemsCount": "7"}


def test_more_than_five_invalidations_are_an_error() -> None:
    one = "{ subscriptionField: 'onX', payload: { n } }"

    outcome = ask(f"for (const n of [1, 2, 3, 4, 5, 6]) {{ extensions.invalidateSubscriptions({one}); }} return null;")

    assert outcome.error is not None
    assert "extensions.invalidateSubscriptions(" not in outcome.error.message


def test_a_loop_of_1000_iterations_runs_and_one_more_is_an_error() -> None:
    body = "let n = 0; for (const x of ctx.args.xs) n += 1; return n;"

    assert ask(body, arguments={"xs": [0] * 1000}).result == 1000
    assert ask(body, arguments={"xs": [0] * 1001}).error is not None


def test_nested_loops_without_braces_are_counted_each_for_itself() -> None:
    body = "let n = 0; for (const x of ctx.args.xs) for (const y of ctx.args.xs) n += 1; return n;"

    assert ask(body, arguments={"xs": [0] * 100}).result == 10000


def test_endless_array_work_meets_the_time_limit() -> None:
    outcome = ask(
        "const { xs } = ctx.args; return xs.every((a) => xs.every((b) => xs.every((c) => xs.every((d) => d >= 0))));",
        arguments={"xs": list(range(300))},
    )

    assert outcome.error is not None
    assert "ran longer than" in outcome.error.message


def test_a_module_works_again_after_it_used_up_its_memory() -> None:
    hungry = module("let s = [1, 2]; for (const i of ctx.args.xs) { s = s.concat(s); } return s.length;")

    first = hungry.call("request", {"arguments": {"xs": [0] * 29}}, now_ms=NOW_MS)
    second = hungry.call("request", {"arguments": {"xs": [0] * 3}}, now_ms=NOW_MS)

    assert first.error is not None
    assert second.result == 16


def test_a_result_above_five_megabytes_is_an_error() -> None:
    body = "let s = 'x'; for (const i of ctx.args.xs) { s = s + s; } return s;"

    assert ask(body, arguments={"xs": [0] * 22}).error is None
    assert ask(body, arguments={"xs": [0] * 23}).error is not None


def test_the_same_entropy_gives_the_same_ids_and_another_gives_others() -> None:
    ids = module("return [util.autoId(), util.autoId()];")

    first = ids.call("request", {}, now_ms=NOW_MS, entropy=b"a" * 16).result
    again = ids.call("request", {}, now_ms=NOW_MS, entropy=b"a" * 16).result
    other = ids.call("request", {}, now_ms=NOW_MS, entropy=b"b" * 16).result

    assert first == again
    assert len({*first, *other}) == 4


def test_only_modules_that_draw_random_numbers_need_entropy() -> None:
    assert module("return util.autoId();").needs_entropy
    assert not module("return util.time.nowISO8601();").needs_entropy


def test_the_selection_set_is_read_by_name_but_not_enumerated() -> None:
    info = {"fieldName": "f", "selectionSetList": ["id"], "selectionSetGraphQL": "{ id }"}

    outcome = ask("return [ctx.info, ctx.info.selectionSetList];", info=info)

    assert outcome.result == [{"fieldName": "f"}, ["id"]]


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("return ctx.args.id;", {"arguments"}),
        ("const { args, identity: who } = ctx; return [args, who];", {"arguments", "identity"}),
        ("return ctx['source'];", {"source"}),
        ("return util.authType();", {"identity"}),
        ("return pick(ctx);", {"prev"}),
    ],
)
def test_only_the_named_parts_of_the_context_cross(body: str, parts: set[str]) -> None:
    head = "const pick = (c) => c.prev.result;"

    assert module(body, head=head).usage("request").parts == parts


@pytest.mark.parametrize(
    "body", ["return ctx;", "const { args, ...rest } = ctx; return rest;", "return ctx[ctx.args.x];"]
)
def test_the_whole_context_crosses_when_in_doubt(body: str) -> None:
    assert len(module(body).usage("request").parts) == 11


def test_the_engine_has_no_way_to_make_functions_from_text() -> None:
    outcome = ask("const k = 'construc' + 'tor'; return (() => 1)[k] === undefined;")

    assert outcome.result is True


def test_prototypes_cannot_be_changed() -> None:
    assert ask("const k = 'proto' + 'type'; Array[k].map = 1; return 1;").error is not None


def test_names_of_object_members_may_be_keys_of_plain_objects() -> None:
    assert ask("const o = {}; o.toString = 1; o.valueOf = 2; return o;").result == {"toString": 1, "valueOf": 2}


def test_a_fault_at_the_top_level_stops_the_load() -> None:
    with pytest.raises(TemplateError, match="fails when it is loaded"):
        module(head="const broken = undefined.x;")


@pytest.mark.parametrize(
    "head",
    ["let n = 0;", "const state = { n: 0 };", "const seen = [];"],
)
def test_nothing_is_left_behind_for_the_next_call(head: str) -> None:
    name = head.split()[1]
    change = {"n": "n += 1; return n;", "state": "state.n += 1; return state.n;", "seen": "return seen.push(1);"}[name]
    counter = module(change, head=head)

    results = [counter.call("request", {}, now_ms=NOW_MS).result for _ in range(2)]

    assert results == [1, 1]


def test_a_pattern_that_backtracks_without_end_meets_the_time_limit() -> None:
    outcome = ask("return util.matches('(a+)+b', ctx.args.s);", arguments={"s": "a" * 40})

    assert outcome.error is not None


def test_a_result_that_contains_itself_is_an_error() -> None:
    assert ask("const o = {}; o.o = o; return o;").error is not None


def test_keys_named_like_the_prototype_stay_data() -> None:
    outcome = ask(
        "const o = {}; for (const k of Object.keys(ctx.args)) { o[k] = ctx.args[k]; } return o;",
        arguments={"__proto__": {"a": 1}, "constructor": 2},
    )

    assert outcome.result == {"__proto__": {"a": 1}, "constructor": 2}


@pytest.mark.parametrize(
    "body",
    [
        "const k = 'construct' + 'or'; return util.autoId[k];",
        "const k = 'construct' + 'or'; return [].map[k];",
        "const k = '__pro' + 'to__'; return {}[k];",
    ],
)
def test_no_computed_name_leads_to_a_function_constructor(body: str) -> None:
    result = ask(f"const make = (() => {{ {body} }})(); return typeof make === 'function' ? make('return 1') : 'none';")

    assert result.result == "none" or result.error is not None


def test_the_helpers_cannot_be_replaced() -> None:
    assert ask("util.autoId = () => 1; return 1;").error is not None
    assert ask("util.time.nowISO8601 = () => 1; return 1;").error is not None


def test_handlers_work_from_constants_and_helper_functions_of_the_module() -> None:
    head = "const PREFIX = 'DEVICE#';\nconst keyOf = (id) => `${PREFIX}${id}`;"

    assert ask("return keyOf(ctx.args.id);", head, arguments={"id": "1"}).result == "DEVICE#1"


def test_a_handler_that_is_no_function_stops_the_load() -> None:
    with pytest.raises(TemplateError, match="response is not a function"):
        compile_module("export const request = (ctx) => 1;\nexport const response = 1;", "test.js")


def test_half_a_surrogate_pair_is_an_error_of_the_code() -> None:
    error = ask("return '\\ud83d';").error

    assert error is not None
    assert "not Unicode" in error.message


def test_appended_errors_show_up_in_the_contexts_out_errors() -> None:
    outcome = ask("util.appendError('careful', 'Warn'); return ctx.outErrors;", outErrors=[])

    assert outcome.result == [{"message": "careful", "errorType": "Warn", "data": None, "errorInfo": None}]


@pytest.mark.parametrize(
    ("response", "is_only_result"),
    [
        ("export function response(ctx) { return ctx.result; }", True),
        ("export const response = (ctx) => ctx.result;", True),
        ("export function response(c) { /* as it is */ return c.result }", True),
        ("export function response(ctx) { ctx.result.a = 1; return ctx.result; }", False),
        ("export function response(ctx) { return ctx.result.items; }", False),
        ("export function response({ result }) { return result; }", False),
        ("export function response(ctx) { return; }", False),
    ],
)
def test_a_response_handler_that_only_returns_its_result_is_told_from_others(
    response: str, is_only_result: bool
) -> None:
    tree = SourceTree.parse(f"export function request(ctx) {{ return {{}}; }}\n{response}")

    assert returns_result(tree) is is_only_result


@pytest.mark.parametrize("call", ["ddb.get()", "util.urlDecode('%zz')", "[1].map((one) => one.a.b)"])
def test_a_fault_names_the_line_of_the_code_even_inside_of_the_library(call: str) -> None:
    head = "import { util } from '@aws-appsync/utils';\nimport * as ddb from '@aws-appsync/utils/dynamodb';"

    outcome = ask(f"return {call};", head)

    assert outcome.error is not None
    assert outcome.error.message.startswith("code.js:3:")


def test_a_result_nested_too_deeply_is_an_error_of_the_code() -> None:
    outcome = ask("let v = 1; for (const i of ctx.args.list) { v = [v]; } return v;", arguments={"list": [0] * 300})

    assert outcome.error is not None
    assert outcome.error.error_type == "Code"
    assert outcome.error.message == "test.js returned a value, but it is nested more than 200 levels deep"


def test_an_inner_function_named_like_a_handler_is_not_taken_for_it() -> None:
    code = (
        "const inner = () => { const response = (x) => x.stash; return response({ stash: 1 }); };\n"
        "export function response(ctx) { return [ctx.result, inner()]; }\n"
        "const nest = () => { const request = (x) => x.prev; return request({}); };\n"
        "export function request(ctx) { return [ctx.args, nest() === undefined]; }\n"
    )

    outcome = compile_module(code, "test.js").call("request", {"arguments": {"a": 1}, "prev": 2}, now_ms=NOW_MS)

    assert outcome.result == [{"a": 1}, True]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("invalidateSubscriptions()", "an object with subscriptionField .* and payload .*, not undefined"),
        ("invalidateSubscriptions('onX')", 'and payload .*, not "onX"'),
        ("invalidateSubscriptions({ subscriptionField: 5, payload: {} })", "and payload"),
        ("invalidateSubscriptions({ subscriptionField: 'onX' })", "and payload"),
        ("invalidateSubscriptions({ subscriptionField: 'onX', payload: [1] })", "and payload"),
        ("evictFromApiCache()", "the name of a type, not undefined"),
        ("evictFromApiCache('Query', 2, {})", "the name of a field, not 2"),
        ("evictFromApiCache('Query', 'a', 'b')", 'an object of caching keys, not "b"'),
    ],
)
def test_an_extension_called_with_something_else_is_a_fault_of_the_code(call: str, message: str) -> None:
    error = ask(f"return extensions.{call};").error

    assert error is not None
    assert error.error_type == "Code"
    assert re.search(rf"extensions\.{call.split('(')[0]} expects .*{message}", error.message)


def test_an_eviction_without_keys_is_of_the_whole_field() -> None:
    outcome = ask("extensions.evictFromApiCache('Query', 'a'); extensions.evictFromApiCache('Query', 'b', null);")

    assert [eviction["keys"] for eviction in outcome.evictions] == [{}, {}]
