"""Schemas load as on AppSync, or are refused with line and cause."""

import pytest

from headwater.engine import load_schema
from headwater.errors import TemplateError

BASE = "type Query { a: String }\n"


def test_scalars_and_directives_are_known_without_being_declared() -> None:
    schema = load_schema(
        "type Query @aws_api_key @aws_iam { a: AWSDateTime! b(x: AWSJSON): AWSURL @aws_cognito_user_pools"
        '(cognito_groups: ["Admin"]) c: AWSTimestamp @aws_oidc @aws_lambda d: String @deprecated(reason: "old") }'
    )

    assert schema.has_field("Query", "b")
    assert not schema.has_field("Query", "z")
    assert [one.name.value for one in schema.directives["Query", ""]] == ["aws_api_key", "aws_iam"]


def test_only_scalars_in_use_appear_in_the_schema() -> None:
    schema = load_schema("type Query { a: AWSDateTime }")

    assert [name for name in schema.graphql.type_map if name.startswith("AWS")] == ["AWSDateTime"]


def test_declarations_of_what_appsync_declares_are_dropped() -> None:
    schema = load_schema("scalar AWSDate directive @aws_iam on FIELD_DEFINITION type Query @aws_iam { a: AWSDate }")

    assert schema.has_field("Query", "a")


def test_other_scalars_are_refused_with_their_line() -> None:
    with pytest.raises(TemplateError, match=r"^schema line 2: scalar Date is not one of AppSync's scalars"):
        load_schema(BASE + "scalar Date")


@pytest.mark.parametrize(
    ("sdl", "message"),
    [
        (BASE + "type X {", "schema line 2: Expected Name"),
        (BASE + "type X { a: Missing }", "schema line 2: Unknown type 'Missing'"),
        (BASE + "type X { a: String @model }", "schema line 2: Unknown directive '@model'"),
        (BASE + "type X { a: String a: Int }", "schema line 2: Field 'X.a' can only be defined once"),
        (
            BASE + "interface A { x: Int } interface B implements A { x: Int }",
            "schema line 2: interface B implements A; AppSync does not take",
        ),
        ("type Mutation { a: String }", "Query root type must be provided"),
        (BASE + "interface I { b: Int }\ntype X implements I { a: Int }", "schema line 2"),
        ("", "Unexpected <EOF>"),
    ],
)
def test_a_fault_names_line_and_cause(sdl: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        load_schema(sdl)

    assert message in str(caught.value)


def test_object_types_named_as_appsyncs_own_are_refused() -> None:
    with pytest.raises(TemplateError, match=r"^schema line 2: type AWSThing: .* may not begin with AWS"):
        load_schema(BASE + "type AWSThing { a: Int }")


def test_a_schema_above_one_megabyte_is_refused_before_it_is_read() -> None:
    with pytest.raises(TemplateError, match=r"it has 1048\d+ bytes; AppSync takes 1048576"):
        load_schema(BASE + "#" * 1_048_576)


def test_a_comma_between_interfaces_is_accepted_as_the_service_accepts_it() -> None:
    schema = load_schema(
        BASE + "interface I { x: Int } interface J { y: Int } type X implements I, J { x: Int y: Int }"
    )

    assert schema.has_field("X", "y")


def test_extensions_join_their_type_with_their_directives() -> None:
    schema = load_schema(BASE + "extend type Query @aws_iam { b: String }")

    assert schema.has_field("Query", "b")
    assert ("Query", "") in schema.directives


LINKED = BASE + "type Mutation { add: [String] put: String! }\n"


def test_subscriptions_are_linked_to_their_mutations_both_ways() -> None:
    schema = load_schema(
        LINKED + 'type Subscription { one: String @aws_subscribe(mutations: ["put"]) '
        'two: String! @aws_subscribe(mutations: ["put"]) three: String }'
    )

    assert schema.subscribed == {"one": ("put",), "two": ("put",)}
    assert schema.publishing == {"put": ("one", "two")}


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            'x: String @aws_subscribe(mutations: ["pot"])',
            "schema line 3: @aws_subscribe on Subscription.x names the mutation 'pot', which does not exist "
            "(mutations: add, put)",
        ),
        (
            'x: Int @aws_subscribe(mutations: ["put"])',
            "schema line 3: Subscription.x returns Int, but Mutation.put, named in its @aws_subscribe, returns String; "
            "the types must be the same",
        ),
        ('x: String @aws_subscribe(mutations: ["add"])', "returns [String]"),
        ("x: String @aws_subscribe(mutations: [])", "names no mutations"),
    ],
)
def test_a_wrong_link_is_refused(field: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        load_schema(LINKED + f"type Subscription {{ {field} }}")

    assert message in str(caught.value)
