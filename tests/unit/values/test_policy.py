"""Policy documents: what a statement matches, and which statement decides."""

import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import TemplateError
from headwater.values.arn import Arn, build_arn, is_arn
from headwater.values.policy import Decision, PolicyDocument, decide
from headwater.values.policy_conditions import Pattern

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/Telemetry"
DEVICE = {"iot:ClientId": "dev-1", "iot:Connection.Thing.ThingName": "dev-1", "iot:Connection.Thing.IsAttached": True}


def statement(**members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "*", "Resource": "*", **members}


def document(*statements: dict[str, Any]) -> PolicyDocument:
    return PolicyDocument.parse({"Version": "2012-10-17", "Statement": list(statements)})


def allows(policy: PolicyDocument, action: str, resource: str, context: dict[str, Any] | None = None) -> bool:
    return decide([policy], action, resource, context).allowed


def test_nothing_is_allowed_by_default_and_the_reason_names_action_and_resource() -> None:
    decision = decide([], "dynamodb:PutItem", TABLE)

    why = "because no identity-based policy allows the dynamodb:PutItem action"
    assert decision == Decision(False, f"dynamodb:PutItem on resource: {TABLE} {why}")


def test_an_explicit_deny_wins_over_an_allow_in_another_document() -> None:
    allow = document(statement())
    deny = document(statement(Effect="Deny", Action="dynamodb:Delete*"))

    decision = decide([allow, deny], "dynamodb:DeleteItem", TABLE)

    assert not decision.allowed
    assert "with an explicit deny in an identity-based policy" in decision.reason


def test_a_single_statement_object_and_single_strings_are_lists_of_one() -> None:
    policy = PolicyDocument.parse(
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sqs:Send*","Resource":"*"}}'
    )

    assert allows(policy, "sqs:SendMessage", "arn:aws:sqs:us-east-1:1:q")
    assert not allows(policy, "sqs:ReceiveMessage", "arn:aws:sqs:us-east-1:1:q")


def test_actions_are_compared_without_case_and_resources_with_case() -> None:
    policy = document(statement(Action="DynamoDB:putitem", Resource=TABLE))

    assert allows(policy, "dynamodb:PutItem", TABLE)
    assert not allows(policy, "dynamodb:PutItem", TABLE.replace("Telemetry", "telemetry"))


def test_not_action_and_not_resource_exclude() -> None:
    policy = PolicyDocument.parse({"Statement": [{"Effect": "Allow", "NotAction": "iam:*", "NotResource": "secret*"}]})

    assert allows(policy, "sqs:SendMessage", "public")
    assert not allows(policy, "iam:GetRole", "public")
    assert not allows(policy, "sqs:SendMessage", "secret-1")


def test_a_variable_is_the_value_of_the_context() -> None:
    policy = document(statement(Action="iot:Connect", Resource="arn:aws:iot:*:*:client/${iot:ClientId}"))

    assert allows(policy, "iot:Connect", "arn:aws:iot:us-east-1:1:client/dev-1", DEVICE)
    assert not allows(policy, "iot:Connect", "arn:aws:iot:us-east-1:1:client/dev-2", DEVICE)


def test_a_variable_the_context_lacks_makes_the_statement_not_match() -> None:
    policy = document(statement(Resource="client/${iot:Connection.Thing.ThingName}"))
    excluding = PolicyDocument.parse(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "*", "NotResource": "client/${iot:Connection.Thing.ThingName}"},
        }
    )

    assert not allows(policy, "iot:Connect", "client/", {})
    assert not allows(excluding, "iot:Connect", "client/x", {})


def test_a_wildcard_inside_a_variables_value_is_literal() -> None:
    policy = document(statement(Resource="client/${iot:ClientId}"))

    assert not allows(policy, "iot:Connect", "client/other", {"iot:ClientId": "*"})
    assert allows(policy, "iot:Connect", "client/*", {"iot:ClientId": "*"})


def test_variables_stand_for_wildcard_characters_and_have_defaults() -> None:
    literal = document(statement(Resource="a${*}b"))
    default = document(statement(Resource="user/${aws:username, 'anonymous'}"))

    assert allows(literal, "x:Y", "a*b")
    assert not allows(literal, "x:Y", "aXb")
    assert allows(default, "x:Y", "user/anonymous")


def test_the_old_language_version_has_no_variables() -> None:
    policy = PolicyDocument.parse(
        {"Version": "2008-10-17", "Statement": [statement(Resource="client/${iot:ClientId}")]}
    )

    assert not allows(policy, "iot:Connect", "client/dev-1", DEVICE)


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"StringEquals": {"k": ["a", "b"]}}, {"k": "b"}, True),
        ({"StringEquals": {"k": "a"}}, {}, False),
        ({"StringEqualsIfExists": {"k": "a"}}, {}, True),
        ({"StringNotEquals": {"k": ["a", "b"]}}, {"k": "b"}, False),
        ({"StringNotEquals": {"k": "a"}}, {}, True),
        ({"StringEqualsIgnoreCase": {"k": "ABC"}}, {"K": "abc"}, True),
        ({"StringLike": {"k": "dev-*"}}, {"k": "dev-7"}, True),
        ({"StringNotLike": {"k": "dev-*"}}, {"k": "dev-7"}, False),
        ({"StringLike": {"k": "${iot:ClientId}-*"}}, {"k": "d-1", "iot:ClientId": "d"}, True),
        ({"StringNotEquals": {"k": "${iot:ClientId}"}}, {"k": "d-1"}, False),
        ({"ArnLike": {"k": "arn:aws:sns:*:1:t"}}, {"k": "arn:aws:sns:us-east-1:1:t"}, True),
        ({"ArnLike": {"k": "arn:aws:*:1:t"}}, {"k": "arn:aws:sns:us-east-1:1:t"}, False),
        ({"ArnEquals": {"k": "arn:aws:sns:*:1:t/*"}}, {"k": "arn:aws:sns:x:1:t/a:b/c"}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}, DEVICE, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": True}}, {}, False),
        ({"NumericLessThan": {"k": 10}}, {"k": 9.5}, True),
        ({"NumericGreaterThanEquals": {"k": "10"}}, {"k": "10.0"}, True),
        ({"NumericEquals": {"k": "10"}}, {"k": "ten"}, False),
        ({"DateGreaterThan": {"k": "2026-01-01T00:00:00Z"}}, {"k": "2026-06-01T00:00:00+02:00"}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:SourceIp": "10.2.3.4"}, True),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:SourceIp": "10.2.3.4"}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:SourceIp": "no address"}, False),
        ({"Null": {"k": "true"}}, {}, True),
        ({"Null": {"k": "false"}}, {"k": "x"}, True),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ["a", "b"]}, True),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ["a", "c"]}, False),
        ({"ForAllValues:StringEquals": {"k": "a"}}, {}, True),
        ({"ForAnyValue:StringLike": {"k": "a*"}}, {"k": ["b", "ac"]}, True),
        ({"ForAnyValue:StringEquals": {"k": "a"}}, {}, False),
        ({"StringEquals": {"k": "a"}, "Null": {"j": "true"}}, {"k": "a", "j": "1"}, False),
    ],
)
def test_condition_operator(condition: dict[str, Any], context: dict[str, Any], expected: bool) -> None:
    policy = document(statement(Condition=condition))

    assert allows(policy, "x:Y", "r", context) is expected


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("{", "not JSON"),
        ([], "is an object, found list"),
        ({"Version": "2020-01-01", "Statement": []}, "Version '2020-01-01'"),
        ({"Statement": None}, "Statement is a list"),
        ({"Statement": [{"Effect": "Maybe", "Action": "*", "Resource": "*"}]}, "statement 1: Effect 'Maybe'"),
        ({"Statement": [{"Effect": "Allow", "Resource": "*"}]}, "exactly one of Action and NotAction"),
        ({"Statement": [{"Effect": "Allow", "Action": 3, "Resource": "*"}]}, "Action is a string or a list"),
        ({"Statement": [{"Effect": "Allow", "Action": "PutItem", "Resource": "*"}]}, "expected service:Name"),
        ({"Statement": [statement(Principal="*")]}, "'Principal' is not supported"),
        ({"Statement": [statement(Condition={"StringSounds": {"k": "a"}})]}, "unknown operator 'StringSounds'"),
        ({"Statement": [statement(Condition={"Some:Bool": {"k": "a"}})]}, "unknown quantifier 'Some'"),
        ({"Statement": [statement(Condition={"NumericEquals": {"k": "x"}})]}, "'x' is not a number"),
        ({"Statement": [statement(Condition={"Bool": "k"})]}, "Condition Bool is an object"),
    ],
)
def test_a_document_that_is_not_understood_is_refused_with_its_place(broken: Any, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        PolicyDocument.parse(broken)


@given(st.text("ab*?.-[", max_size=8), st.text("ab*.-[", max_size=8))
def test_wildcards_match_as_a_shell_pattern_without_character_sets(pattern: str, value: str) -> None:
    expected = fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))

    assert Pattern(pattern).matches(value, {}) is expected


@given(st.text(min_size=1, max_size=12), st.text(max_size=12))
def test_a_bound_variable_matches_its_value_and_nothing_else(value: str, other: str) -> None:
    pattern = Pattern("topic/${iot:ClientId}/end")

    assert pattern.matches(f"topic/{value}/end", {"iot:ClientId": value})
    assert pattern.matches(f"topic/{other}/end", {"iot:ClientId": value}) is (other == value)


def test_an_arn_survives_parsing_and_knows_its_name() -> None:
    text = build_arn("kinesis", "us-east-1", "123456789012", "stream/telemetry")

    arn = Arn.parse(text)

    assert (str(arn), arn.service, arn.name) == (text, "kinesis", "telemetry")
    assert Arn.parse("arn:aws:sqs:us-east-1:1:queue").name == "queue"
    assert is_arn(text)
    assert not is_arn("telemetry")
    with pytest.raises(ValueError, match="not an ARN"):
        Arn.parse("telemetry")


AROUND = st.text("ab:?*", max_size=5)


def fits(pattern: str, value: str, *, is_arn: bool, colons: int = 0) -> bool:
    """The definition, tried out in every way."""
    if not pattern:
        return not value
    stays_in_part = is_arn and colons < 5
    if pattern[0] == "*":
        taken = next((n for n, char in enumerate(value) if char == ":"), len(value)) if stays_in_part else len(value)
        return any(fits(pattern[1:], value[n:], is_arn=is_arn, colons=colons) for n in range(taken + 1))
    is_any = pattern[0] == "?" and not (stays_in_part and value[:1] == ":")
    is_equal = bool(value) and (is_any or pattern[0] == value[0])
    return is_equal and fits(pattern[1:], value[1:], is_arn=is_arn, colons=colons + (pattern[0] == ":"))


@given(st.text("ab:?*", max_size=12), st.text("ab:", max_size=12), st.booleans())
def test_wildcards_that_try_once_find_what_there_is(pattern: str, value: str, is_arn: bool) -> None:
    assert Pattern(pattern, is_arn=is_arn).matches(value, {}) is fits(pattern, value, is_arn=is_arn)


@given(
    st.text("ab:?*", max_size=5), st.text("ab:", max_size=4), st.text("ab:?*", max_size=5), st.text("ab:", max_size=9)
)
def test_wildcards_around_a_variable_find_what_there_is(before: str, value: str, after: str, found: str) -> None:
    pattern = Pattern(f"{before}${{name}}{after}")

    assert pattern.matches(found, {"name": value}) is fits(before + value + after, found, is_arn=False)


@pytest.mark.parametrize("is_arn", [False, True])
@pytest.mark.parametrize("with_variable", [False, True])
def test_no_topic_keeps_a_pattern_busy(is_arn: bool, with_variable: bool) -> None:
    # With wildcards that try again these would not end before the sun does.
    prefix = "arn:aws:iot:us-east-1:1:topic/"
    pattern = prefix + "*a" * 60 + ("*${name}" if with_variable else "*b")

    assert not Pattern(pattern, is_arn=is_arn).matches(prefix + "a" * 250, {"name": "b"})
    assert Pattern(pattern, is_arn=is_arn).matches(prefix + "a" * 250 + "b", {"name": "b"})
