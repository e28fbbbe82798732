"""The disjunctive normal form of a subscription filter means what the filter object means."""

from math import prod
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from headwater.appsync_js import compile_module

TRANSFORM = compile_module(
    "export function request(ctx) { return util.transform.toSubscriptionFilter(ctx.args.filter); }\n"
    "export function response(ctx) { return null; }",
    "transform.js",
)
VALUES = st.integers(0, 2)
FIELDS = st.dictionaries(
    st.sampled_from("abc"),
    st.dictionaries(st.sampled_from(["eq", "ne", "gt"]), VALUES, min_size=1, max_size=2),
    min_size=1,
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.lists(inner, min_size=1, max_size=2)
    groups = st.fixed_dictionaries({}, optional={"and": members, "or": members})
    return st.builds(lambda fields, group: {**fields, **group}, FIELDS, groups)


FILTERS = st.recursive(FIELDS, nested, max_leaves=4)


def holds(operator: str, found: int, wanted: int) -> bool:
    return {"eq": found == wanted, "ne": found != wanted, "gt": found > wanted}[operator]


def means(filter_object: dict[str, Any], event: dict[str, int]) -> bool:
    """Fields AND, operators of one field OR, groups as they say."""
    for key, value in filter_object.items():
        if key == "and":
            passes = all(means(member, event) for member in value)
        elif key == "or":
            passes = any(means(member, event) for member in value)
        else:
            passes = any(holds(operator, event[key], wanted) for operator, wanted in value.items())
        if not passes:
            return False
    return True


def alternatives(filter_object: dict[str, Any]) -> int:
    """How many groups the filter becomes, before any is left out: it grows exponentially in the filter's size."""
    counts = []
    for key, value in filter_object.items():
        if key == "and":
            counts.append(prod(map(alternatives, value)))
        elif key == "or":
            counts.append(sum(map(alternatives, value)))
        else:
            counts.append(len(value))
    return prod(counts)


@given(FILTERS, st.fixed_dictionaries({"a": VALUES, "b": VALUES, "c": VALUES}))
def test_the_groups_pass_exactly_the_events_the_filter_passes(
    filter_object: dict[str, Any], event: dict[str, int]
) -> None:
    assume(alternatives(filter_object) <= 500)
    groups = TRANSFORM.call("request", {"arguments": {"filter": filter_object}}, now_ms=0).result["filterGroup"]

    passes = any(
        all(holds(one["operator"], event[one["fieldName"]], one["value"]) for one in group["filters"])
        for group in groups
    )

    assert passes is means(filter_object, event)


def test_a_filter_of_millions_of_groups_is_an_error_of_the_resolver() -> None:
    two = {"a": {"eq": 0, "ne": 0}}

    outcome = TRANSFORM.call("request", {"arguments": {"filter": {"and": [two] * 24}}}, now_ms=0)

    assert outcome.result is None
    assert outcome.error is not None
    assert "more than 10000 groups" in outcome.error.message
