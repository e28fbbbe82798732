"""Matching by values: index, cohorts, projection once per group, invalidation."""

from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from headwater.realtime.argument_filter import ArgumentFilter
from headwater.realtime.filters import CompiledFilter, compile_filter
from headwater.realtime.registry import Subscription, SubscriptionFilter, SubscriptionRegistry
from tests.unit.realtime.projections import SomeProjection


def project(response: Any) -> bytes:
    return orjson.dumps({"data": {"onX": response}})


def subscription(
    name: str,
    matches: SubscriptionFilter | None = None,
    *,
    mutations: tuple[str, ...] = ("putX",),
    group: str = "g",
    projection: Callable[[Any], bytes] = project,
    invalidation: CompiledFilter | None = None,
) -> Subscription[str]:
    selection = SomeProjection("onX", mutations, group, projection)
    return Subscription(name, name, selection, matches or ArgumentFilter({}), invalidation)


def registry_of(*subscriptions: Subscription[str]) -> SubscriptionRegistry[str]:
    registry: SubscriptionRegistry[str] = SubscriptionRegistry()
    for entry in subscriptions:
        registry.add(entry)
    return registry


def receivers(registry: SubscriptionRegistry[str], response: Any, mutation: str = "putX") -> list[str]:
    return sorted(
        entry.connection for delivery in registry.match(mutation, response) for entry in delivery.cohort.heads
    )


def any_of(field: str, *values: Any) -> dict[str, Any]:
    return {"filters": [{"fieldName": field, "operator": "eq", "value": value} for value in values]}


def test_only_subscriptions_of_the_mutation_whose_filter_passes_are_found() -> None:
    registry = registry_of(
        subscription("all"),
        subscription("d1", ArgumentFilter({"id": "d1"})),
        subscription("d2", ArgumentFilter({"id": "d2"})),
        subscription("other", mutations=("putY",)),
        subscription("both", ArgumentFilter({"id": "d1"}), mutations=("putX", "putY")),
    )

    assert receivers(registry, {"id": "d1"}) == ["all", "both", "d1"]
    assert receivers(registry, {"id": "d1"}, "putY") == ["both", "other"]
    assert receivers(registry, {"id": "d1"}, "putZ") == []


def test_a_null_response_is_no_event() -> None:
    assert receivers(registry_of(subscription("all")), None) == []


def test_a_list_response_reaches_unfiltered_subscriptions_only() -> None:
    registry = registry_of(subscription("all"), subscription("d1", ArgumentFilter({"id": "d1"})))

    assert receivers(registry, [{"id": "d1"}]) == ["all"]


def test_a_subscription_that_matches_twice_gets_one_event() -> None:
    either = compile_filter({"filterGroup": [any_of("a", 1), any_of("b", 2)]})

    assert receivers(registry_of(subscription("s", either)), {"a": 1, "b": 2}) == ["s"]


def test_heads_and_payload_make_a_data_frame() -> None:
    registry = registry_of(subscription('a"b'))

    (delivery,) = registry.match("putX", {"id": 1})
    (head,) = delivery.cohort.heads.values()

    assert orjson.loads(head + delivery.payload + b"}") == {
        "id": 'a"b',
        "type": "data",
        "payload": {"data": {"onX": {"id": 1}}},
    }


def test_a_group_is_projected_once_for_all_its_filters() -> None:
    calls: list[Any] = []

    def counting(response: Any) -> bytes:
        calls.append(response)
        return project(response)

    registry = registry_of(
        *[subscription(f"s{i}", ArgumentFilter({"id": "d1"}), projection=counting) for i in range(10)],
        *[subscription(f"t{i}", projection=counting) for i in range(10)],
        subscription("u", projection=counting, group="another selection"),
    )

    assert len(receivers(registry, {"id": "d1"})) == 21
    assert len(calls) == 2


def test_a_mutation_looks_only_at_the_cohorts_of_its_value() -> None:
    looked_at: list[str] = []

    def spying(name: str) -> CompiledFilter:
        plain = compile_filter({"filterGroup": [any_of("id", name)]})
        (rule,) = plain.groups[0]

        def passes(found: Any) -> bool:
            looked_at.append(name)
            return rule.passes(found)

        return CompiledFilter(((type(rule)(rule.path, passes, rule.equals),),), plain.key)

    registry = registry_of(*[subscription(f"s{i}", spying(f"d{i}")) for i in range(100)])

    assert receivers(registry, {"id": "d7"}) == ["s7"]
    assert looked_at == ["d7"]


def test_a_removed_subscription_gets_nothing_and_leaves_nothing() -> None:
    entries = [
        subscription("a"),
        subscription("b", ArgumentFilter({"id": "d1"})),
        subscription("c", ArgumentFilter({"id": "d1"}), invalidation=compile_filter({"filterGroup": [any_of("u", 1)]})),
    ]
    registry = registry_of(*entries)

    registry.remove(entries[1])
    assert receivers(registry, {"id": "d1"}) == ["a", "c"]
    registry.remove(entries[0])
    registry.remove(entries[2])

    assert receivers(registry, {"id": "d1"}) == []
    assert len(registry) == 0
    assert registry._by_mutation == {}
    assert registry._invalidatable == {}


def test_invalidation_finds_the_subscriptions_of_a_field_by_their_own_filter() -> None:
    user = compile_filter({"filterGroup": [any_of("user", "u1")]})
    registry = registry_of(subscription("a", invalidation=user), subscription("b"))

    assert [found.connection for found in registry.invalidated("onX", {"user": "u1"})] == ["a"]
    assert registry.invalidated("onX", {"user": "u2"}) == []
    assert registry.invalidated("onY", {"user": "u1"}) == []


VALUES = st.one_of(st.none(), st.integers(0, 2), st.booleans(), st.sampled_from(["a", "1"]))
ARGUMENTS = st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=2)


@given(st.lists(ARGUMENTS, max_size=8), st.lists(st.integers(0, 7)), st.dictionaries(st.sampled_from("xyz"), VALUES))
def test_the_index_finds_what_looking_at_all_finds(
    filters: list[dict[str, Any]], removed: list[int], response: dict[str, Any]
) -> None:
    entries = [subscription(f"s{i}", ArgumentFilter(arguments)) for i, arguments in enumerate(filters)]
    registry = registry_of(*entries)
    gone = {i for i in removed if i < len(entries)}
    for i in gone:
        registry.remove(entries[i])

    found = receivers(registry, response)

    assert found == sorted(e.connection for i, e in enumerate(entries) if i not in gone and e.filter(response))
