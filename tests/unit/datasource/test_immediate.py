"""A unit resolver on the NONE data source does at once exactly what it does step by step."""

from typing import Any

import pytest

from headwater.datasource import NoneSource, ResolverSettings, UnitResolver
from headwater.datasource.sources.lambda_source import LambdaSource
from headwater.errors import RequestError
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
