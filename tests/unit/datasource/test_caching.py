"""Resolver caching: what makes up the key, how long values live, and eviction."""

from typing import Any

import pytest

from headwater.datasource import ApiCache, CachingConfig, CachingResolver, NoneSource, UnitResolver
from headwater.datasource.caching import normal_key
from headwater.errors import RequestError, TemplateError
from tests.unit.datasource.calls import FieldCall, GraphQLRequest, User, js


class CountingSource(NoneSource):
    """A NONE data source that counts how often it is asked."""

    def __init__(self) -> None:
        self.count = 0

    async def execute(self, request: Any, call: Any) -> Any:
        self.count += 1
        return await super().execute(request, call)


def cached(source: CountingSource, cache: ApiCache, *keys: str, body: str = "return { payload: ctx.args.id };") -> Any:
    resolver = UnitResolver(js(body), source, name="Query.getThing")
    return CachingResolver.per_resolver(resolver, cache, CachingConfig(60, keys))


def call(id: str, now: float = 1000.0, user: str = "me", parent_type: str = "Query", **more: Any) -> FieldCall:
    request = GraphQLRequest(caller=User({"sub": user}), now=now)
    return FieldCall(parent_type, arguments={"id": id, **more}, request=request)


async def test_an_equal_call_is_answered_from_the_cache_until_it_expires() -> None:
    source, cache = CountingSource(), ApiCache()
    resolver = cached(source, cache)

    values = [await resolver.resolve(call("1", now)) for now in (1000.0, 1059.0, 1060.0)]

    assert values == ["1", "1", "1"]
    assert source.count == 2


async def test_without_keys_arguments_source_and_identity_tell_calls_apart() -> None:
    source, cache = CountingSource(), ApiCache()
    resolver = cached(source, cache)

    for one in (call("1"), call("2"), call("1", user="you")):
        await resolver.resolve(one)

    assert source.count == 3


async def test_with_keys_only_those_count() -> None:
    source, cache = CountingSource(), ApiCache()
    resolver = cached(source, cache, "$context.arguments.id")

    for one in (call("1"), call("1", user="you", other=5), call("2")):
        await resolver.resolve(one)

    assert source.count == 2


async def test_full_request_caching_keeps_by_arguments_and_identity_and_parents_apart() -> None:
    source, cache = CountingSource(), ApiCache()
    resolver = CachingResolver.full_request(
        UnitResolver(js("return { payload: 1 };"), source, name="Query.getThing"), cache, 60
    )
    counts = []

    for parent in (None, None, {"id": 1}, {"id": 2}, {"id": 1}):
        one = call("1")
        one.source = parent
        await resolver.resolve(one)
        counts.append(source.count)

    assert counts == [1, 1, 2, 3, 3]
    root = {"typeName": "Query", "fieldName": "getThing", "keys": {"context.arguments": {"id": "1"}}}
    root["keys"] |= {"context.identity": call("1").request.caller.identity}  # type: ignore[operator]  # a dict
    assert cache.evict([root], 1001.0) == 1


async def test_mutations_are_not_cached() -> None:
    source, cache = CountingSource(), ApiCache()
    resolver = cached(source, cache)

    for _ in range(2):
        await resolver.resolve(call("1", parent_type="Mutation"))

    assert source.count == 2


async def test_errors_and_values_with_appended_errors_are_not_kept() -> None:
    source, cache = CountingSource(), ApiCache()
    failing = cached(source, cache, body="util.error('x');")
    appending = cached(source, cache, body="util.appendError('x'); return {};")

    for _ in range(2):
        with pytest.raises(RequestError):
            await failing.resolve(call("1"))
        await appending.resolve(call("2"))

    assert source.count == 2


async def test_an_eviction_names_type_field_and_keys_in_order() -> None:
    source, cache = CountingSource(), ApiCache()
    resolver = cached(source, cache, "$context.arguments.id", "$context.identity.sub")
    await resolver.resolve(call("1"))
    right = {"typeName": "Query", "fieldName": "getThing", "keys": {"ctx.args.id": "1", "context.identity.sub": "me"}}
    wrong = {**right, "keys": {"context.identity.sub": "me", "ctx.args.id": "1"}}

    counts = [cache.evict([wrong], 1001.0), cache.evict([right], 1001.0), cache.evict([right], 1001.0)]

    assert counts == [0, 1, 0]


async def test_only_the_missing_calls_of_a_batch_reach_the_resolver() -> None:
    source, cache = CountingSource(), ApiCache()
    resolver = cached(source, cache)
    await resolver.resolve(call("1"))

    values = await resolver.resolve_batch([call("1"), call("2")])

    assert values == ["1", "2"]
    assert source.count == 2


def test_the_least_recently_used_entry_goes_first() -> None:
    cache = ApiCache(max_entries=2)
    keys: list[Any] = [("Query", name, ()) for name in "abc"]
    cache.put(keys[0], 1, 10.0)
    cache.put(keys[1], 2, 10.0)
    cache.get(keys[0], 0.0)

    cache.put(keys[2], 3, 10.0)

    assert [cache.get(key, 0.0)[0] for key in keys] == [True, False, True]


@pytest.mark.parametrize("name", ["$context.arguments.id", "$ctx.args.id", "context.args.id", "ctx.arguments.id"])
def test_all_spellings_of_a_caching_key_are_one(name: str) -> None:
    assert normal_key(name) == "arguments.id"


@pytest.mark.parametrize(
    ("ttl", "keys"), [(0, ()), (3601, ()), (60, ("$context.request.headers",)), (60, ("$context.source.a",) * 26)]
)
def test_a_caching_config_outside_the_services_limits_is_refused(ttl: int, keys: tuple[str, ...]) -> None:
    with pytest.raises(TemplateError):
        CachingConfig(ttl, keys)
