"""Subscription resolvers: the tenant boundary holds whatever a subscriber sends."""

from typing import Any

import pytest

from tests.strawberry_api.callers import SERVICE, partner, person

SUBSCRIPTIONS = ["onDeviceState", "onAlert", "onCommand", "onPresence", "onDeviceRemoval"]


def rules(outcome: Any) -> list[list[tuple[str, str, Any]]]:
    assert outcome.error is None, outcome.error
    if outcome.subscription_filter is None:
        return []
    return [
        [(rule["fieldName"], rule["operator"], rule["value"]) for rule in group["filters"]]
        for group in outcome.subscription_filter["filterGroup"]
    ]


@pytest.mark.parametrize("field", SUBSCRIPTIONS)
@pytest.mark.parametrize(
    ("identity", "tenant"),
    [
        (None, "demo"),
        (person("acme").identity, "acme"),
        (person("acme", "admin").identity, "acme"),
        (partner("acme").identity, "acme"),
    ],
)
def test_every_group_begins_with_the_callers_own_tenant(run: Any, field: str, identity: Any, tenant: str) -> None:
    for arguments in ({}, {"tenantId": "other"}, {"deviceId": "d", "tenantId": None}):
        groups = rules(run(f"Subscription.{field}", "response", identity=identity, arguments=arguments, result=None))

        assert groups
        assert all(group[0] == ("tenantId", "eq", tenant) for group in groups)
        assert not any(rule[0] == "tenantId" for group in groups for rule in group[1:])


@pytest.mark.parametrize("field", SUBSCRIPTIONS)
def test_a_person_without_a_tenant_is_refused(run: Any, field: str) -> None:
    outcome = run(f"Subscription.{field}", "response", identity=person(None).identity, result=None)

    assert outcome.is_unauthorized
    assert outcome.subscription_filter is None


@pytest.mark.parametrize("field", SUBSCRIPTIONS)
def test_a_service_names_a_tenant_or_receives_all(run: Any, field: str) -> None:
    named = run(
        f"Subscription.{field}", "response", identity=SERVICE.identity, arguments={"tenantId": "t"}, result=None
    )
    unnamed = run(f"Subscription.{field}", "response", identity=SERVICE.identity, result=None)

    assert rules(named) == [[("tenantId", "eq", "t")]]
    assert rules(unnamed) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"deviceId": "d"}, [[("deviceId", "eq", "d")]]),
        ({"deviceId": None, "siteId": "north"}, [[("siteId", "eq", "north")]]),
        ({"deviceIds": ["a", "b"]}, [[("deviceId", "in", ["a", "b"])]]),
        ({"threshold": {"reading": "temperature", "above": 80}}, [[("spans.temperature.max", "gt", 80)]]),
        ({"threshold": {"reading": "battery", "below": 0}}, [[("spans.battery.min", "lt", 0)]]),
        (
            {"siteId": "n", "threshold": {"reading": "power", "above": 2.5, "below": 1}},
            [
                [("siteId", "eq", "n"), ("spans.power.max", "gt", 2.5)],
                [("siteId", "eq", "n"), ("spans.power.min", "lt", 1)],
            ],
        ),
    ],
)
def test_arguments_of_on_device_state_become_rules(run: Any, arguments: Any, expected: Any) -> None:
    outcome = run("Subscription.onDeviceState", "response", arguments=arguments, result=None)

    assert rules(outcome) == [[("tenantId", "eq", "demo"), *group] for group in expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"deviceIds": []}, "deviceIds has 0 values, expected 1 to 5"),
        ({"deviceIds": list("abcdef")}, "deviceIds has 6 values, expected 1 to 5"),
        ({"deviceId": "a", "deviceIds": ["a"]}, "deviceId and deviceIds are both given, expected one of them"),
        ({"threshold": {"reading": "power"}}, "threshold needs above or below"),
        ({"threshold": {"reading": "power", "above": None}}, "threshold needs above or below"),
    ],
)
def test_arguments_that_select_nothing_are_refused(run: Any, arguments: Any, message: str) -> None:
    outcome = run("Subscription.onDeviceState", "request", arguments=arguments)

    assert outcome.error is not None
    assert (outcome.error.message, outcome.error.error_type) == (message, "BadRequest")


def test_severities_of_alerts_are_a_list(run: Any) -> None:
    outcome = run("Subscription.onAlert", "response", arguments={"severities": ["CRITICAL", "WARNING"]}, result=None)

    assert rules(outcome) == [[("tenantId", "eq", "demo"), ("severity", "in", ["CRITICAL", "WARNING"])]]


@pytest.mark.parametrize("field", ["onDeviceState", "onAlert", "onCommand", "onPresence"])
def test_a_subscription_to_one_device_ends_with_it(run: Any, field: str) -> None:
    one = run(f"Subscription.{field}", "response", arguments={"deviceId": "dev-1"}, result=None)
    every = run(f"Subscription.{field}", "response", result=None)

    assert one.invalidation_filter == {
        "filterGroup": [{"filters": [{"fieldName": "deviceId", "operator": "eq", "value": "dev-1"}]}]
    }
    assert every.invalidation_filter is None


def test_removing_a_device_ends_the_subscriptions_to_it(run: Any) -> None:
    removal = {"deviceId": "dev-1", "tenantId": "acme", "siteId": None, "removedAt": "x", "version": 3}

    outcome = run("Mutation.removeDevice", "response", arguments={"deviceId": "dev-1"}, result=removal)

    assert outcome.result == removal
    assert [(each["subscriptionField"], each["payload"]) for each in outcome.invalidations] == [
        (field, {"deviceId": "dev-1"}) for field in ("onDeviceState", "onAlert", "onCommand", "onPresence")
    ]


@pytest.mark.parametrize("field", SUBSCRIPTIONS)
def test_a_partners_subscription_ends_with_its_token(run: Any, field: str) -> None:
    outcome = run(f"Subscription.{field}", "response", identity=partner("acme").identity, result=None)

    assert outcome.invalidation_filter == {
        "filterGroup": [{"filters": [{"fieldName": "tokenId", "operator": "eq", "value": "0123456789abcdef"}]}]
    }


def test_revoking_a_token_ends_the_subscriptions_made_with_it(run: Any) -> None:
    outcome = run("Mutation.revokePartnerToken", "response", result={"tokenId": "0123456789abcdef"})

    assert [(each["subscriptionField"], each["payload"]) for each in outcome.invalidations] == [
        (field, {"tokenId": "0123456789abcdef"}) for field in SUBSCRIPTIONS
    ]


@pytest.mark.parametrize("identity", [{}, {"resolverContext": {}}, {"username": "ada"}])
@pytest.mark.parametrize("field", SUBSCRIPTIONS)
def test_an_identity_of_no_known_kind_is_refused(run: Any, field: str, identity: Any) -> None:
    outcome = run(f"Subscription.{field}", "response", identity=identity, result=None)

    assert outcome.is_unauthorized
