"""Every field of the API by every kind of caller: a field without a decision here fails."""

from typing import Any

import pytest
from graphql import GraphQLNonNull, GraphQLObjectType, build_schema, get_named_type

from tests.strawberry_api.backend import Backend
from tests.strawberry_api.callers import API_KEY, SERVICE, Caller, may_call, partner, person
from tests.template.schema_file import schema_text
from tests.template.template_file import ROOT

CALLERS: dict[str, Caller] = {
    "apiKey": API_KEY,
    "partner": partner("acme"),
    "nobody": person("acme"),
    "viewer": person("acme", "viewer"),
    "operator": person("acme", "operator"),
    "admin": person("acme", "admin"),
    "service": SERVICE,
}
EVERYBODY = set(CALLERS)
OPERATORS = {"operator", "admin", "service"}
ADMINS = {"admin", "service"}
DECISIONS = {
    "Query.getDevice": EVERYBODY,
    "Query.listDevices": EVERYBODY,
    "Query.deviceChanges": EVERYBODY,
    "Query.getDeviceState": EVERYBODY,
    "Query.listTelemetry": EVERYBODY,
    "Query.listAggregates": EVERYBODY,
    "Query.listAlertRules": EVERYBODY,
    "Query.listAlerts": EVERYBODY,
    "Query.listOpenAlerts": EVERYBODY,
    "Query.getCommand": EVERYBODY,
    "Query.listCommands": EVERYBODY,
    "Query.getDeviceShadow": EVERYBODY,
    "Query.getTenantErasure": ADMINS,
    "Mutation.eraseTenant": ADMINS,
    "Query.listPartnerTokens": ADMINS,
    "Mutation.createPartnerToken": ADMINS,
    "Mutation.revokePartnerToken": ADMINS,
    "Mutation.registerDevice": ADMINS,
    "Mutation.updateDevice": ADMINS,
    "Mutation.removeDevice": ADMINS,
    "Mutation.putAlertRule": OPERATORS,
    "Mutation.removeAlertRule": OPERATORS,
    "Mutation.acknowledgeAlert": OPERATORS,
    "Mutation.sendCommand": OPERATORS,
    "Mutation.setDesiredState": OPERATORS,
    "Mutation.publishDeviceState": {"service"},
    "Mutation.publishAlert": {"service"},
    "Mutation.publishCommand": {"service"},
    "Mutation.publishPresence": {"service"},
    "Mutation.publishDeviceRemoval": {"service"},
    "Subscription.onDeviceState": EVERYBODY,
    "Subscription.onAlert": EVERYBODY,
    "Subscription.onCommand": EVERYBODY,
    "Subscription.onPresence": EVERYBODY,
    "Subscription.onDeviceRemoval": EVERYBODY,
}
SCHEMA = build_schema(schema_text())
SAMPLES: dict[str, Any] = {
    "ID": "x",
    "String": "x",
    "Int": 1,
    "Float": 1.5,
    "Boolean": True,
    "AWSDateTime": "2024-11-24T23:09:22Z",
    "AWSJSON": "{}",
}


def root_fields() -> dict[str, Any]:
    roots = [SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type]
    return {f"{root.name}.{name}": field for root in roots if root is not None for name, field in root.fields.items()}


def sample(kind: Any) -> Any:
    """The smallest value an argument takes."""
    named = get_named_type(kind)
    if named.name in SAMPLES:
        return SAMPLES[named.name]
    if hasattr(named, "values"):
        return next(iter(named.values))
    return {name: sample(field.type) for name, field in named.fields.items() if isinstance(field.type, GraphQLNonNull)}


def operation(path: str) -> tuple[str, dict[str, Any]]:
    """An operation with the least arguments and selection that validates."""
    root, _, name = path.partition(".")
    field = root_fields()[path]
    needed = {argument: spec for argument, spec in field.args.items() if isinstance(spec.type, GraphQLNonNull)}
    declared = ", ".join(f"${argument}: {spec.type}" for argument, spec in needed.items())
    given = ", ".join(f"{argument}: ${argument}" for argument in needed)
    head = f"{root.lower()} M({declared})" if declared else root.lower()
    call = f"{name}({given})" if given else name
    return f"{head} {{ {call} {{ __typename }} }}", {argument: sample(spec.type) for argument, spec in needed.items()}


def test_every_field_has_a_decision() -> None:
    assert set(DECISIONS) == set(root_fields())


@pytest.mark.parametrize("path", DECISIONS)
def test_the_directives_let_in_whom_they_should(path: str) -> None:
    root, _, name = path.partition(".")

    allowed = {caller for caller, value in CALLERS.items() if may_call(value, root, name)}

    assert allowed == DECISIONS[path]


@pytest.mark.parametrize("path", [path for path in DECISIONS if DECISIONS[path] != EVERYBODY])
async def test_who_may_not_is_told_so_and_nothing_happens(path: str, backend: Backend) -> None:
    query, variables = operation(path)
    root, _, name = path.partition(".")

    for caller in EVERYBODY - DECISIONS[path]:
        answer = await backend.execute(query, variables, CALLERS[caller])

        (error,) = answer["errors"]
        assert (error["path"], error["errorType"]) == ([name], "Unauthorized")
        assert error["message"] == f"Not Authorized to access {name} on type {root}"
    assert backend.published == []


def test_what_a_subscription_delivers_may_be_seen_by_every_mode_that_subscribes() -> None:
    text = (ROOT / "schema.graphql").read_text(encoding="utf-8")

    for path, field in root_fields().items():
        kind = get_named_type(field.type)
        if path.startswith("Subscription") and isinstance(kind, GraphQLObjectType):
            # Delivery is cut by the publisher's rights too: a type without a mode arrives as nulls.
            assert f"type {kind.name} @aws_api_key @aws_cognito_user_pools @aws_iam @aws_lambda {{" in text
