"""Unit and pipeline resolvers run their handlers in AppSync's order and report what they did."""

import pytest

from headwater.datasource import NoneSource, PipelineResolver, ResolverSettings, Step, UnitResolver
from headwater.errors import DataSourceError, RequestError, TemplateError
from tests.unit.datasource.calls import FieldCall, Function, GraphQLRequest, User, js, unit


async def test_a_none_source_answers_with_the_payload() -> None:
    resolver = unit(NoneSource(), "return { payload: ctx.args };")

    assert await resolver.resolve(FieldCall(arguments={"id": "1"})) == {"id": "1"}


async def test_the_stash_lives_from_the_request_to_the_response_handler() -> None:
    resolver = unit(NoneSource(), "ctx.stash.seen = ctx.args.id; return {};", "return ctx.stash.seen;")

    assert await resolver.resolve(FieldCall(arguments={"id": "1"})) == "1"


async def test_early_return_of_a_unit_resolver_is_its_value() -> None:
    resolver = unit(NoneSource(), "runtime.earlyReturn({ early: true }); return {};", "return 'late';")

    assert await resolver.resolve(FieldCall()) == {"early": True}


async def test_util_error_in_a_handler_ends_the_resolver() -> None:
    with pytest.raises(RequestError) as failure:
        await unit(NoneSource(), "util.error('no', 'Bad', { a: 1 });").resolve(FieldCall())

    assert (failure.value.message, failure.value.error_type, failure.value.data) == ("no", "Bad", {"a": 1})


async def test_unauthorized_names_the_field() -> None:
    with pytest.raises(RequestError, match="Not Authorized to access getThing on type Query") as failure:
        await unit(NoneSource(), "util.unauthorized();").resolve(FieldCall())

    assert failure.value.error_type == "Unauthorized"


async def test_appended_errors_go_to_the_call_and_the_value_stays() -> None:
    call = FieldCall()

    value = await unit(NoneSource(), "util.appendError('careful'); return { payload: 1 };").resolve(call)

    assert value == 1
    assert [error.message for error in call.appended] == ["careful"]


async def test_a_data_source_error_does_not_end_the_resolver_by_itself() -> None:
    function = Function(b'{"errorMessage": "boom", "errorType": "ValueError"}', "Unhandled")

    resolver = unit(function.source(), "return { operation: 'Invoke' };", "return ctx.error;")

    assert await resolver.resolve(FieldCall()) == {
        "message": "boom",
        "type": "Lambda:Unhandled",
        "unhandledErrorType": "ValueError",
    }


async def test_handlers_see_identity_source_headers_environment_and_time() -> None:
    resolver = unit(
        NoneSource(),
        "return { payload: [ctx.identity.sub, ctx.source.id, ctx.request.headers, ctx.env.STAGE, ctx.prev, "
        "util.time.nowISO8601(), ctx.info.fieldName, ctx.info.selectionSetList] };",
        settings=ResolverSettings(environment={"STAGE": "dev"}),
    )
    call = FieldCall(source={"id": "s"}, request=GraphQLRequest(caller=User({"sub": "me"})))

    assert await resolver.resolve(call) == [
        "me",
        "s",
        {"x-api-key": "da2-k"},
        "dev",
        None,
        "2023-11-14T22:13:20.000Z",
        "getThing",
        ["id"],
    ]


async def test_invalidations_and_response_headers_are_reported_to_the_request() -> None:
    call = FieldCall(parent_type="Mutation")
    resolver = unit(
        NoneSource(),
        "util.http.addResponseHeader('a', 1); return {};",
        "extensions.invalidateSubscriptions({ subscriptionField: 'onX', payload: {} }); return null;",
    )

    await resolver.resolve(call)

    assert call.request.invalidations == [{"subscriptionField": "onX", "payload": {}}]
    assert call.request.response_headers == {"a": "1"}


async def test_a_sixth_invalidation_in_one_request_is_an_error() -> None:
    resolver = unit(
        NoneSource(), "extensions.invalidateSubscriptions({ subscriptionField: 'onX', payload: {} }); return {};"
    )
    request = GraphQLRequest()
    for _ in range(5):
        await resolver.resolve(FieldCall(request=request))

    with pytest.raises(RequestError, match="at most 5"):
        await resolver.resolve(FieldCall(request=request))

    assert len(request.invalidations) == 5


async def test_evictions_of_a_mutation_are_counted_in_the_extensions() -> None:
    evicted: list[object] = []
    settings = ResolverSettings(evict=lambda evictions, now: evicted.extend(evictions) or 2)  # type: ignore[func-returns-value]
    body = "extensions.evictFromApiCache('Query', 'getThing', { 'ctx.args.id': 1 }); return {};"
    mutation, query = FieldCall(parent_type="Mutation"), FieldCall()

    await unit(NoneSource(), body, settings=settings).resolve(mutation)
    await unit(NoneSource(), body, settings=settings).resolve(query)

    assert mutation.request.extensions == {"apiCacheEntriesDeleted": 2}
    assert query.request.extensions == {}
    assert evicted == [{"typeName": "Query", "fieldName": "getThing", "keys": {"ctx.args.id": 1}}]


async def test_a_subscription_resolver_hands_out_its_filters() -> None:
    resolver = unit(
        NoneSource(),
        "return {};",
        "extensions.setSubscriptionFilter(util.transform.toSubscriptionFilter({ a: { eq: ctx.args.a } }));"
        "extensions.setSubscriptionInvalidationFilter({ filterGroup: [] }); return null;",
    )

    setup = await resolver.run_subscription(FieldCall(arguments={"a": 1}))

    assert setup.filter == {"filterGroup": [{"filters": [{"fieldName": "a", "operator": "eq", "value": 1}]}]}
    assert setup.invalidation_filter == {"filterGroup": []}
    assert setup.result is None


def pipeline(*functions: Step, before: str = "return {};", after: str = "return ctx.prev.result;") -> PipelineResolver:
    return PipelineResolver(js(before, after), functions, name="Query.getThing")


def function(request: str, response: str = "return ctx.result;") -> Step:
    return Step("fn", js(request, response), NoneSource())


async def test_each_function_sees_the_result_of_the_one_before() -> None:
    resolver = pipeline(
        function("return { payload: ctx.prev.result.n + 1 };", "return { n: ctx.result };"),
        function("return { payload: ctx.prev.result.n * 10 };", "return { n: ctx.result };"),
        before="return { n: 1 };",
    )

    assert await resolver.resolve(FieldCall()) == {"n": 20}


async def test_the_response_handler_sees_the_last_result_twice() -> None:
    resolver = pipeline(function("return { payload: 7 };"), after="return [ctx.result, ctx.prev.result];")

    assert await resolver.resolve(FieldCall()) == [7, 7]


async def test_the_stash_is_shared_by_all_functions() -> None:
    resolver = pipeline(
        function("ctx.stash.list.push('b'); return {};"),
        before="ctx.stash.list = ['a']; return {};",
        after="return ctx.stash.list;",
    )

    assert await resolver.resolve(FieldCall()) == ["a", "b"]


async def test_early_return_of_a_function_skips_to_the_next_one_by_default() -> None:
    resolver = pipeline(
        function("runtime.earlyReturn({ n: 1 }); return {};", "return 'never';"),
        function("return { payload: ctx.prev.result.n + 1 };"),
    )

    assert await resolver.resolve(FieldCall()) == 2


async def test_early_return_to_the_end_skips_all_functions_but_not_the_response_handler() -> None:
    resolver = pipeline(
        function("runtime.earlyReturn({ n: 1 }, { skipTo: 'END' }); return {};"),
        function("util.error('not reached'); return {};"),
        after="return { last: ctx.prev.result.n };",
    )

    assert await resolver.resolve(FieldCall()) == {"last": 1}


async def test_early_return_before_the_functions_skips_them() -> None:
    resolver = pipeline(
        function("util.error('not reached'); return {};"),
        before="runtime.earlyReturn({ n: 3 }); return {};",
    )

    assert await resolver.resolve(FieldCall()) == {"n": 3}


async def test_an_error_of_one_function_is_not_seen_by_the_next() -> None:
    failing = Function(b'{"errorMessage": "boom"}', "Unhandled")
    resolver = pipeline(
        Step("first", js("return { operation: 'Invoke' };", "return { failed: ctx.error.message };"), failing.source()),
        function("return { payload: ctx.prev.result };", "return [ctx.result, ctx.error === null];"),
    )

    assert await resolver.resolve(FieldCall()) == [{"failed": "boom"}, True]


async def test_a_pipeline_takes_ten_functions() -> None:
    with pytest.raises(TemplateError, match="11 functions"):
        pipeline(*[function("return {};")] * 11)


async def test_only_lambda_can_be_called_without_code() -> None:
    with pytest.raises(TemplateError, match="has no code"):
        UnitResolver(None, NoneSource(), name="Query.getThing")


async def test_batched_pipelines_give_each_call_its_own_result_or_error() -> None:
    lambda_function = Function(b"[10, 20]")
    batching = Step(
        "batch",
        js("if (ctx.args.n === 0) { util.error('zero'); } return { operation: 'BatchInvoke', payload: ctx.args.n };"),
        lambda_function.source(),
        max_batch_size=10,
    )
    resolver = PipelineResolver(js("return {};", "return ctx.result + 1;"), [batching], name="Query.getThing")

    values = await resolver.resolve_batch([FieldCall(arguments={"n": n}) for n in (1, 0, 2)])

    assert lambda_function.events == [b"[1,2]"]
    assert values[0] == 11
    assert isinstance(values[1], RequestError)
    assert values[2] == 21
    assert not isinstance(values[1], DataSourceError)
