"""A unit resolver on the NONE data source does at once exactly what it does step by step."""

from typing import Any

import pytest

from headwater.datasource import NoneSource, ResolverSettings, UnitResolver
from headwater.datasource.sources.lambda_source import LambdaSource
from headwater.engine import GraphQLEngine, GraphQLResult, Limits, RequestContext, load_schema
from headwater.engine import GraphQLRequest as EngineRequest
from headwater.errors import RequestError
from headwater.values.identity import GraphQLCaller
from tests.unit.datasource.calls import FieldCall, GraphQLRequest, js, unit

HANDLERS = [
    ("return { payload: ctx.args };", "return ctx.result;"),
    ("return { payload: ctx.args };", "return { ...ctx.result, again: ctx.args.id };"),
    ("ctx.args.id = 'changed'; return { payload: ctx.args };", "return [ctx.args.id, ctx.result.id];"),
    ("ctx.args.list.push(9); return { payload: ctx.args };", "return [ctx.args.list, ctx.result.list];"),
    ("return { payload: ctx.args.list };", "ctx.result.push(1); return ctx.result;"),
    ("return {};", "return ctx.result === null ? 'null' : 'other';"),
    ("return { payload: undefined };", "return ctx.result === null ? 'null' : typeof ctx.result;"),
    ("return { payload: null };", "return ctx.result;"),
    ("return null;", "return ctx.result;"),
    ("return;", "return ctx.result;"),
    ("return { payload: { a: undefined, b: NaN, c: 1.0, d: 1e21, e: -0 } };", "return ctx.result;"),
    ("return { payload: { a: undefined } };", "return Object.keys(ctx.result);"),
    ("return { version: '2018-05-29', payload: ctx.args };", "return ctx.result;"),
    ("return 'text';", "return ctx.result;"),
    ("return [1];", "return ctx.result;"),
    ("return 5;", "return ctx.result;"),
    ("util.error('no', 'Bad', { a: 1 }, { b: 2 });", "return ctx.result;"),
    ("return { payload: 1 };", "util.error('late', 'Bad', ctx.result);"),
    ("util.unauthorized();", "return ctx.result;"),
    ("util.appendError('one', 'Soft'); return { payload: ctx.args };", "return ctx.result;"),
    ("return { payload: ctx.args };", "util.appendError('two', 'Soft'); return ctx.result;"),
    ("util.appendError('one'); return { payload: 1 };", "util.appendError('two'); return ctx.result;"),
    ("console.log('asked'); return { payload: 1 };", "console.log('answered'); return ctx.result;"),
    ("runtime.earlyReturn({ early: true }); return {};", "return 'late';"),
    ("ctx.stash.seen = ctx.args.id; return {};", "return ctx.stash.seen;"),
    ("return { payload: ctx.args.missing.deeper };", "return ctx.result;"),
    ("return { payload: 1 };", "return ctx.result.missing.deeper;"),
    ("return { payload: util.autoId() };", "return [ctx.result, util.autoId()];"),
    ("return { payload: util.time.nowISO8601() };", "return [ctx.result, util.time.nowEpochSeconds()];"),
    (
        "return { payload: util.time.nowFormatted('yyyy-MM-dd HH:mm', 'Asia/Tokyo') };",
        "return [ctx.result, util.time.nowFormatted('HH:mm', 'Europe/Berlin')];",
    ),
    ("return { payload: JSON.stringify(ctx) };", "return JSON.stringify(ctx);"),
    ("return { payload: 1 };", "return ctx.error === null ? 'no error' : ctx.error;"),
    ("return { payload: util.authType() };", "return [ctx.result, util.authType()];"),
    ("return { payload: ctx.info.selectionSetList };", "return [ctx.result, ctx.info.fieldName];"),
    ("util.http.addResponseHeader('x-a', '1'); return { payload: 1 };", "return ctx.result;"),
    (
        "let t = '0123456789'; for (const i of Array(20)) { t += t; } return { payload: t };",
        "return ctx.result.length;",
    ),
    ("let n = 0; for (const i of Array(1100)) { n += 1; } return { payload: n };", "return ctx.result;"),
]


# What ends differently for the call whose id is x.
FATEFUL = [
    ("if (ctx.args.id === 'x') { util.error('no', 'Bad'); } return { payload: ctx.args };", "return ctx.result;"),
    ("return { payload: ctx.args };", "if (ctx.args.id === 'x') { util.error('no', 'Bad'); } return ctx.result;"),
    ("return ctx.args.id === 'x' ? undefined : { payload: 1 };", "return ctx.result === null ? undefined : 1;"),
    ("if (ctx.args.id === 'x') { util.appendError('a'); } return { payload: ctx.args };", "return ctx.result;"),
    ("if (ctx.args.id === 'x') { runtime.earlyReturn(7); } return { payload: ctx.args };", "return ctx.result;"),
    (
        "return { payload: util.time.nowFormatted('HH', ctx.args.id === 'x' ? 'Asia/Tokyo' : 'Europe/Berlin') };",
        "return ctx.result;",
    ),
    ("return { payload: util.time.nowFormatted('HH', ctx.args.id === 'x' ? 'A\\nB' : 'UTC') };", "return ctx.result;"),
    ("return { payload: ctx.args.id === 'x' ? '\\ud800' : '\\n' };", "return ctx.result;"),
    (
        "let t = '0123456789'; if (ctx.args.id === 'x') { for (const i of Array(30)) { t += t; } }"
        "return { payload: t };",
        "return ctx.result.length;",
    ),
    (
        "const a = [0]; if (ctx.args.id === 'x') { for (const i of Array(900)) { a.push(...a.slice(0, 99999)); } }"
        "return { payload: a.length };",
        "return ctx.result;",
    ),
]


class Entropy:
    """Bytes that never repeat."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, size: int) -> bytes:
        self.drawn += size
        return b"".join((self.drawn - size + n).to_bytes(1, "big") for n in range(size))


def call() -> FieldCall:
    return FieldCall(arguments={"id": "7", "list": [1, 2]}, request=GraphQLRequest())


def seen(made: FieldCall, value: Any) -> dict[str, Any]:
    """Everything a caller can see of a resolution."""
    errors = [(one.message, one.error_type, one.data) for one in made.appended]
    if isinstance(value, RequestError):
        value = (value.message, value.error_type, value.data, value.error_info)
    return {"value": value, "appended": errors, "headers": made.request.response_headers}


@pytest.mark.parametrize("handlers", HANDLERS)
async def test_both_handlers_at_once_give_what_they_give_one_after_the_other(handlers: tuple[str, str]) -> None:
    module = js(*handlers, head="import { util } from '@aws-appsync/utils';")
    slow, fast = call(), call()
    by_steps, at_once = (
        UnitResolver(module, NoneSource(), name="Query.getThing", settings=ResolverSettings(entropy=Entropy()))
        for _ in range(2)
    )

    outcomes: list[Any] = []
    try:
        outcomes.append(await by_steps.resolve(slow))
    except RequestError as error:
        outcomes.append(error)
    assert at_once.resolve_now is not None
    try:
        outcomes.append(at_once.resolve_now(fast))
    except RequestError as error:
        outcomes.append(error)

    assert seen(fast, outcomes[1]) == seen(slow, outcomes[0])


def test_only_resolvers_that_wait_for_nothing_resolve_at_once() -> None:
    async def invoke(payload: bytes) -> Any:
        raise AssertionError("not called")

    waiting = UnitResolver(js(), LambdaSource(invoke), name="Query.getThing")
    batched = UnitResolver(js(), NoneSource(), name="Query.getThing", max_batch_size=5)

    assert waiting.resolve_now is None
    assert batched.resolve_now is None
    assert unit(NoneSource(), "return {};").resolve_now is not None


@pytest.mark.parametrize("handlers", [*HANDLERS, *FATEFUL])
def test_calls_in_one_crossing_give_what_each_gives_alone(handlers: tuple[str, str]) -> None:
    head = "import { util } from '@aws-appsync/utils';"
    alone, together = (UnitResolver(js(*handlers, head=head), NoneSource(), name="Query.getThing") for _ in range(2))
    if together.resolve_each_now is None:
        pytest.skip("these handlers draw random bytes or keep a stash, which is for one call")
    slow, fast = (
        [FieldCall(arguments={"id": name, "list": [1]}, request=request) for name in ("1", "2", "x", "3", "4")]
        for request in (GraphQLRequest(), GraphQLRequest())
    )

    expected = []
    for one in slow:
        try:
            assert alone.resolve_now is not None
            expected.append(seen(one, alone.resolve_now(one)))
        except RequestError as error:
            expected.append(seen(one, error))

    assert [seen(one, value) for one, value in zip(fast, together.resolve_each_now(fast), strict=True)] == expected


def test_handlers_in_one_crossing_run_in_order_each_with_its_own_context(caplog: pytest.LogCaptureFixture) -> None:
    module = js("console.log(`ask ${ctx.args.id}`); return { payload: ctx.args };", "console.log('tell'); return 1;")
    resolver = UnitResolver(module, NoneSource(), name="Query.getThing")
    assert resolver.resolve_each_now is not None

    with caplog.at_level("INFO"):
        values = resolver.resolve_each_now([FieldCall(arguments={"id": name}) for name in "abc"])

    assert values == [1, 1, 1]
    texts = [line.partition(": ")[2] for line in caplog.messages]
    assert texts == [f'"{text}"' for name in "abc" for text in (f"ask {name}", "tell")]


def test_what_no_more_than_one_call_may_use_is_not_used_up_by_all_together() -> None:
    # 30 of them take more than the half second that each may take.
    module = js(
        "let n = 0; for (const i of Array(900)) { for (const j of Array(900)) { n += 1; } } return { payload: n };"
    )
    resolver = UnitResolver(module, NoneSource(), name="Query.getThing")
    assert resolver.resolve_each_now is not None

    assert resolver.resolve_each_now([FieldCall() for _ in range(30)]) == [810_000] * 30


def test_a_mutation_with_aliases_answers_as_if_each_ran_alone() -> None:
    schema = load_schema("""
        type Thing { id: ID! size: Int }
        type Query { a: Int }
        type Mutation { put(id: ID!, size: Int): Thing  must(id: ID!): Thing!  other(id: ID!): Thing }
        type Subscription { onPut: Thing @aws_subscribe(mutations: ["put"]) }
    """)
    code = "if (ctx.args.id === 'bad') { util.error('no', 'Bad'); } return { payload: ctx.args };"
    query = """mutation M($b: ID = "bad") {
        a: put(id: "1", size: 1) { id size }  b: put(id: $b) { id }  c: put(id: "3", size: 3) { name: id }
        d: other(id: "4") { id }  e: put(id: "5") { id }  f: must(id: "6") { id }  g: must(id: $b) { id }
        h: put(id: "8") { id }
    }"""

    def run(*, is_together: bool, max_resolvers: int) -> GraphQLResult:
        resolvers = {
            ("Mutation", name): UnitResolver(
                js(code, head="import { util } from '@aws-appsync/utils';"), NoneSource(), name=name
            )
            for name in ("put", "must", "other")
        }
        if not is_together:
            for one in resolvers.values():
                one.resolve_each_now = None
        engine = GraphQLEngine(schema, resolvers, default_mode="API_KEY", limits=Limits(max_resolvers=max_resolvers))
        result = engine.start(EngineRequest(query), RequestContext(GraphQLCaller("API_KEY")))
        assert isinstance(result, GraphQLResult)
        return result

    for most in (1, 2, 100):
        assert run(is_together=True, max_resolvers=most) == run(is_together=False, max_resolvers=most)
    assert [one.response["id"] for one in run(is_together=True, max_resolvers=100).published] == ["1", "3", "5"]
