"""Why a subscriber got an event, or did not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.realtime.argument_filter import ArgumentFilter
from headwater.realtime.explanation import PublishedEvent, PublishedEvents, explain
from headwater.realtime.filters import CompiledFilter, compile_filter
from headwater.realtime.registry import Subscription, SubscriptionFilter, SubscriptionRegistry
from tests.unit.realtime.projections import SomeProjection


@dataclass
class Published:
    mutation_field: str
    response: Any
    selected: Mapping[str, Any]


def enhanced(*groups: list[tuple[str, str, Any]]) -> CompiledFilter:
    names = ("fieldName", "operator", "value")
    filters = [{"filters": [dict(zip(names, rule, strict=True)) for rule in group]} for group in groups]
    return compile_filter({"filterGroup": filters})


def registry_of(*filters: SubscriptionFilter, unselected: list[str] | None = None) -> SubscriptionRegistry[str]:
    registry: SubscriptionRegistry[str] = SubscriptionRegistry()
    projection = SomeProjection(unselected=unselected or [])
    for number, one in enumerate(filters):
        registry.add(Subscription("connection", f"id-{number}", projection, one))
    return registry


def event(response: Any, *selected: str) -> PublishedEvent:
    return PublishedEvent(1, 0.0, Published("putState", response, {name: {} for name in selected}))


def reasons(registry: SubscriptionRegistry[str], published: PublishedEvent) -> list[Any]:
    return [one["reasons"] for one in explain(registry, published)["subscriptions"]]


def test_a_subscription_that_matches_has_no_reasons() -> None:
    registry = registry_of(ArgumentFilter({"id": "d1"}))

    (found,) = explain(registry, event({"id": "d1"}, "id"))["subscriptions"]

    assert found == {
        "field": "onState",
        "subscribers": 1,
        "ids": ["id-0"],
        "matches": True,
        "reasons": [],
        "unselected": [],
        "errors": [],
    }


def test_the_condition_that_failed_is_named_with_the_value_of_the_event() -> None:
    registry = registry_of(enhanced([("site", "eq", "s1"), ("temperature", "gt", 30)]))

    found = reasons(registry, event({"site": "s1", "temperature": 25}, "site", "temperature"))

    assert found == [["temperature gt 30: the event has 25"]]


def test_a_filter_field_the_mutation_did_not_select_is_named() -> None:
    registry = registry_of(ArgumentFilter({"site": "s1"}))

    assert reasons(registry, event({"id": "d1"}, "id")) == [['site eq "s1": the mutation did not select it']]


def test_a_filter_that_no_event_can_pass_is_told_as_such() -> None:
    registry: SubscriptionRegistry[str] = SubscriptionRegistry()
    projection = SomeProjection(
        fault=lambda path, values: f"no {path[0]}, so none of {list(values)}" if path == ("zone",) else None
    )
    wanted = enhanced([("zone", "in", ["z1"]), ("site", "eq", "s1")])
    registry.add(Subscription("connection", "id-0", projection, wanted))

    found = reasons(registry, event({"site": "s2"}, "site"))

    assert found == [['zone in ["z1"]: no zone, so none of [\'z1\'] and site eq "s1": the event has "s2"']]


def test_every_group_of_a_filter_has_its_own_reason() -> None:
    registry = registry_of(enhanced([("a", "eq", 1)], [("a", "eq", 2), ("b", "in", [3])]))

    found = reasons(registry, event({"a": 5, "b": 6}, "a", "b"))

    assert found == [["a eq 1: the event has 5", "a eq 2: the event has 5 and b in [3]: the event has 6"]]


def test_fields_the_mutation_did_not_select_are_listed_for_those_who_get_the_event() -> None:
    registry = registry_of(ArgumentFilter({}), unselected=["owner.email"])

    (found,) = explain(registry, event({"id": "d1"}, "id"))["subscriptions"]

    assert found["matches"]
    assert found["unselected"] == ["owner.email"]


def test_the_errors_in_what_a_subscriber_gets_are_listed() -> None:
    registry: SubscriptionRegistry[str] = SubscriptionRegistry()
    payload = {"data": {"onState": None}, "errors": [{"message": "Not Authorized to access id on type State"}]}
    projection = SomeProjection(to_payload=lambda _: orjson.dumps(payload))
    registry.add(Subscription("c", "id-1", projection, ArgumentFilter({})))

    (found,) = explain(registry, event({"id": "d1"}, "id"))["subscriptions"]

    assert found["errors"] == ["Not Authorized to access id on type State"]


def test_a_null_response_and_an_event_above_240_kilobytes_reach_nobody() -> None:
    registry = registry_of(ArgumentFilter({}))

    assert reasons(registry, event(None)) == [["the mutation answered null, which is no event"]]
    (large,) = reasons(registry, event({"text": "x" * 250_000}, "text"))
    assert "is dropped" in large[0]


def test_the_ring_keeps_the_last_events_and_finds_them_by_number_or_mutation() -> None:
    events = PublishedEvents(max_events=2)
    for name in ("putA", "putB", "putC"):
        events.add(Published(name, {}, {}), at=1.0)

    latest, named, gone = events.find(), events.find(mutation_field="putB"), events.find(number=1)

    assert latest is not None
    assert (latest.number, latest.published.mutation_field) == (3, "putC")
    assert named is not None
    assert named.number == 2
    assert gone is None
