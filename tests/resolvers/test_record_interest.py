"""What a subscription waits for is noted so that fan-out publishes at least what its filter lets through."""

import random
from typing import Any

import pytest

from streams.coalesce import WATCHED_READINGS, Publish
from streams.interest import SKIPPED, field_of, interest_query, read_interests
from tests.resolvers.conftest import NOW_MS, Run
from tests.strawberry_api.callers import SERVICE, partner, person
from tests.strawberry_api.filters import matches
from tests.template.template_file import chosen, load_template

NOW_S = NOW_MS // 1000
FIELDS = [f"on{mutation.removeprefix('publish')}" for mutation in sorted(SKIPPED)]


def note(run: Run, field: str, **call: Any) -> Any:
    return run("recordInterest", "request", info={"fieldName": field}, **call)


def row(run: Run, field: str, **call: Any) -> dict[str, Any]:
    outcome = note(run, field, **call)
    assert outcome.error is None, outcome.error
    assert outcome.result["operation"] == "PutItem"
    return {**outcome.result["key"], **outcome.result["attributeValues"]}


def wanted(item: dict[str, Any], publish: Publish, *, now_s: float = NOW_S) -> bool:
    # The data source writes numbers as text, as the table has them.
    item = {name: {"N": str(value["N"])} if "N" in value else value for name, value in item.items()}
    return read_interests({"Items": [item]}, now_s).cover(publish)


def state(device_id: str = "a", **fields: Any) -> Publish:
    given = {"deviceId": device_id, "tenantId": "demo", "siteId": None, "spans": {}, **fields}
    return Publish("publishDeviceState", device_id, given, (0,))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    ("identity", "named", "tenant"),
    [
        (None, "other", "demo"),
        (person("acme").identity, "other", "acme"),
        (partner("acme").identity, "other", "acme"),
        (SERVICE.identity, "acme", "acme"),
        (SERVICE.identity, None, ""),
        (SERVICE.identity, "", ""),
    ],
)
def test_interest_is_noted_where_fan_out_looks_for_the_tenant(
    run: Run, field: str, identity: Any, named: Any, tenant: str
) -> None:
    item = row(run, field, identity=identity, arguments={"tenantId": named})

    assert item["PK"] == interest_query("t", tenant)["ExpressionAttributeValues"][":pk"]


@pytest.mark.parametrize("identity", [person(None).identity, {}, {"resolverContext": {}}, {"username": "ada"}])
def test_nothing_is_noted_for_an_identity_that_is_refused(run: Run, identity: Any) -> None:
    outcome = note(run, "onPresence", identity=identity)

    assert outcome.is_unauthorized
    assert outcome.result is None


def test_interest_holds_as_long_as_a_connection_and_then_ends_by_comparison(run: Run) -> None:
    item = row(run, "onDeviceState", arguments={"deviceId": "a"})

    assert wanted(item, state("a"), now_s=NOW_S + 24 * 3600)
    assert not wanted(item, state("a"), now_s=NOW_S + 25 * 3600)
    # TTL cleans what has ended; it must not end what holds.
    assert item["ttl"]["N"] > item["validUntil"]["N"]


@pytest.mark.parametrize("arguments", [{"deviceId": ""}, {"deviceId": "a b"}, {"siteId": "#"}, {"deviceIds": ["é"]}])
def test_an_id_that_nothing_can_have_is_no_interest(run: Run, arguments: Any) -> None:
    outcome = note(run, "onDeviceState", arguments=arguments)

    assert outcome.is_early_return
    assert outcome.error is None


def test_the_largest_scope_fits_a_sort_key(run: Run) -> None:
    largest = {"deviceIds": ["d" * 128] * 5, "siteId": "s" * 128}
    threshold = {"reading": "temperature", "above": -1.2345678901234567e-300, "below": -1.2345678901234567e-300}

    item = row(run, "onDeviceState", arguments={**largest, "threshold": threshold})

    assert len(item["SK"]["S"].encode()) <= 1024


def test_different_scopes_are_different_rows_and_the_same_is_one(run: Run) -> None:
    scopes: list[dict[str, Any]] = [
        {},
        {"deviceId": "a"},
        {"deviceIds": ["a", "b"]},
        {"deviceIds": ["b", "a"]},
        {"siteId": "a"},
        {"deviceId": "a", "siteId": "a"},
        {"threshold": {"reading": "power", "above": 1}},
        {"threshold": {"reading": "power", "below": 1}},
        {"threshold": {"reading": "power", "above": 1, "below": 1}},
        {"deviceId": "a", "threshold": {"reading": "power", "above": 1}},
    ]

    keys = {
        row(run, field, arguments=scope)["SK"]["S"] for field in ("onDeviceState", "onPresence") for scope in scopes
    }

    assert len(keys) == 2 * len(scopes)
    assert row(run, "onPresence", arguments={"deviceId": "a"}) == row(run, "onPresence", arguments={"deviceId": "a"})


def test_a_row_that_cannot_be_written_refuses_the_subscription(run: Run) -> None:
    error = {"message": "slow down", "type": "DynamoDB:ProvisionedThroughputExceededException"}

    refused = run("recordInterest", "response", error=error, result=None)
    written = run("recordInterest", "response", result={"PK": "x"})

    assert refused.error is not None
    assert (refused.error.message, refused.error.error_type) == (error["message"], error["type"])
    assert (written.error, written.result) == (None, None)


def test_the_fields_whose_events_may_be_skipped_note_their_interest_first() -> None:
    template = load_template()["Resources"]
    steps = {
        properties["FieldName"]: properties.get("PipelineConfig", {}).get("Functions", [])
        for properties in (each["Properties"] for each in chosen(template, frozenset({"IsDemandAware"})).values())
        if properties.get("TypeName") == "Subscription"
    }

    assert sorted(field for field, functions in steps.items() if functions) == FIELDS
    assert all(
        functions in ([], [{"Fn::GetAtt": ["RecordInterestStep", "FunctionId"]}]) for functions in steps.values()
    )
    off = chosen(template, frozenset())
    assert {each["Properties"].get("Kind") for each in off.values() if "TypeName" in each["Properties"]} == {"UNIT"}


IDS = ("a", "b", "c")
NUMBERS = (-1e300, -1, 0, 0.1, 80, 80.00000000000001, 1e300)


def some_arguments(chance: random.Random, field: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if chance.random() < 0.4:
        found["deviceId"] = chance.choice((*IDS, None))
    if chance.random() < 0.4:
        found["siteId"] = chance.choice((*IDS, None))
    if field == "onDeviceState" and chance.random() < 0.4 and "deviceId" not in found:
        found["deviceIds"] = chance.sample(IDS, chance.randint(1, 3))
    if field == "onDeviceState" and chance.random() < 0.5:
        sides = chance.choice((("above",), ("below",), ("above", "below")))
        found["threshold"] = {"reading": chance.choice(WATCHED_READINGS)} | {
            side: chance.choice(NUMBERS) for side in sides
        }
    return found


def some_event(chance: random.Random, field: str) -> Publish:
    device_id = chance.choice(IDS)
    given: dict[str, Any] = {"deviceId": device_id, "tenantId": "demo", "siteId": chance.choice((*IDS, None))}
    if field == "onDeviceState":
        given["spans"] = {}
        for reading in chance.sample(WATCHED_READINGS, chance.randint(0, 5)):
            low, high = sorted(chance.choices(NUMBERS, k=2))
            given["spans"][reading] = {"min": low, "max": high, "count": 2}
    return Publish(field.replace("on", "publish", 1), device_id, given, (0,))


@pytest.mark.parametrize("field", FIELDS)
def test_interest_covers_exactly_what_the_filter_lets_through(run: Run, field: str) -> None:
    chance = random.Random(field)
    seen = set()

    for _ in range(150):
        arguments = some_arguments(chance, field)
        filter_ = run(f"Subscription.{field}", "response", arguments=arguments, result=None).subscription_filter
        assert filter_ is not None
        item = row(run, field, arguments=arguments)
        for _ in range(10):
            event = some_event(chance, field)
            passes = matches(filter_, event.input)
            seen.add(passes)
            assert wanted(item, event) == passes, (arguments, event)

    assert seen == {True, False}


def test_interest_is_of_one_field(run: Run) -> None:
    item = row(run, "onPresence")

    assert field_of(state()) == "onDeviceState"
    assert not wanted(item, state())


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"Items": [], "LastEvaluatedKey": {}},
        {"Items": None},
        {"Items": [{"PK": {"S": "x"}}]},
        {"Items": [{"validUntil": {"S": "x"}, "field": {"S": "onPresence"}}]},
        {"Items": [{"validUntil": {"N": "9" * 12}}]},
        {"Items": [{"validUntil": {"N": "9" * 12}, "field": {"S": "onPresence"}, "above": {"S": "high"}}]},
        {"Items": ["x"]},
    ],
)
def test_rows_that_cannot_be_read_are_an_error_not_an_absence(answer: Any) -> None:
    with pytest.raises(ValueError, match=r"rows|could not convert"):
        read_interests(answer, 0)
