"""Filters that no event of a subscription can pass, told apart from those that some can."""

from typing import Any

import pytest

from headwater.engine import GraphQLEngine, GraphQLRequest, load_schema
from headwater.values.identity import GraphQLCaller

SDL = """
enum Level { LOW HIGH }
type Place { city: String zip: Int }
type Shop { city: String }
union Where = Place | Shop
type Reading {
  id: ID level: Level value: Float count: Int at: AWSTimestamp when: AWSDateTime isHot: Boolean
  tags: [String!] numbers: [[Int]] place: Place places: [Place] where: Where raw: AWSJSON
}
type Query { a: Int }
type Mutation { put: Reading many: [Reading!]! }
type Subscription {
  onPut: Reading! @aws_subscribe(mutations: ["put"])
  onMany: [Reading!]! @aws_subscribe(mutations: ["many"])
}
"""


@pytest.fixture(scope="module")
def fault() -> Any:
    engine = GraphQLEngine(load_schema(SDL), {}, default_mode="API_KEY")
    prepared = engine.prepare_subscription(GraphQLRequest("subscription { onPut { id } }"), GraphQLCaller("API_KEY"))
    return lambda path, *values: prepared.projection.filter_fault(path.split("."), values)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("id", ["7"]),
        ("level", ["LOW", "HIGH"]),
        ("value", [1, 2.5]),
        ("count", [1]),
        ("at", [1_700_000_000]),
        ("when", ["2026-01-01T00:00:00Z"]),
        ("isHot", [True]),
        ("tags", ["a"]),
        ("tags", [["a", "b"]]),
        ("numbers", [3]),
        ("place.city", ["Bern"]),
        ("place", [{"city": "Bern"}]),
        ("where.zip", [3000]),
        ("raw", ['{"a":1}']),
        ("count", [None]),
    ],
)
def test_what_an_event_can_have_is_no_fault(fault: Any, path: str, values: list[Any]) -> None:
    assert fault(path, *values) is None


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("zone", "x", "Reading has no field zone"),
        ("place.street", "x", "Place has no field street"),
        ("where.street", "x", "Where has no field street"),
        ("count.unit", "x", "Int has no fields, and so no unit"),
        ("raw.a", 1, "AWSJSON has no fields, and so no a"),
        ("places.city", "x", "places is a list, into which filters do not look"),
        ("place", "Bern", "it is an object of type Place, never equal to 'Bern'"),
        ("id", 7, "it is a string in events (ID), never equal to 7"),
        ("level", 1, "it is a string in events (Level), never equal to 1"),
        ("count", "5", "it is a number in events (Int), never equal to '5'"),
        ("at", "5", "it is a number in events (AWSTimestamp), never equal to '5'"),
        ("isHot", "true", "it is a Boolean in events (Boolean), never equal to 'true'"),
        ("count", True, "it is a number in events (Int), never equal to True"),
        ("tags", 1, "it is a string in events (String), never equal to 1"),
        ("count", [1], "it is a number in events (Int), never equal to [1]"),
    ],
)
def test_what_no_event_can_have_is_told_with_the_reason(fault: Any, path: str, value: Any, why: str) -> None:
    assert fault(path, value) == why
