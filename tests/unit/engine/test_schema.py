"""Schemas load as on AppSync, or are refused with line and cause."""

import asyncio

import pytest

from headwater.engine import GraphQLEngine, GraphQLRequest, RequestContext, load_schema
from headwater.errors import TemplateError
from headwater.values.identity import GraphQLCaller

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
        (BASE + "type X @model { a: String }", "schema line 2: Unknown directive '@model': it is Amplify's"),
        (
            BASE + "type X { a: String @primaryKey }",
            "amplify/backend/api/<name>/build/schema.graphql after `amplify push`",
        ),
        (BASE + "input X { a(b: Int @auth): Int }", "schema line 2: Expected ':'"),
        (BASE + "directive @mine on OBJECT\ntype X @mine { a: Int }", "AppSync does not support directive definitions"),
        ('{"data": {"__schema": {"types": []}}}', "schema: this is the result of an introspection query"),
        (BASE + "type X { a: Int; b }", "schema line 2: Expected ':', found '}'"),
        (BASE + "extend type Query {}", "schema line 2: Unexpected"),
        (BASE + "type X { a: " + "[" * 5_000 + "Int" + "]" * 5_000 + " }", "schema: "),
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


@pytest.mark.parametrize("interfaces", ["I & J", "& I & J", "I, J", "I J", "I,\n  # both\n  J"])
def test_interfaces_are_separated_as_in_old_and_new_schemas(interfaces: str) -> None:
    schema = load_schema(
        BASE + "interface I { x: Int } interface J { y: Int } type X implements " + interfaces + " { x: Int y: Int }"
    )

    assert schema.has_field("X", "y")


def test_semicolons_after_fields_are_passed_over_as_the_service_does() -> None:
    schema = load_schema(
        'type Query {\n  "one; two"\n  a(x: String = "q;r"): String; # three; four\n'
        '  """\n  five;\n  """\n  b: [Int!];\n}'
    )

    field = schema.graphql.type_map["Query"].fields["a"]  # type: ignore[attr-defined]  # an object type
    assert field.description == "one; two"
    assert field.args["x"].ast_node.default_value.value == "q;r"
    assert schema.graphql.type_map["Query"].fields["b"].description == "five;"  # type: ignore[attr-defined]  # the same


def test_a_type_without_fields_is_accepted_with_a_note() -> None:
    schema = load_schema("type Mutation { put: Int }\ntype Query {\n}")

    assert schema.notes == ("schema line 2: type Query has no fields; AppSync takes it, code generators may not",)


def test_an_api_whose_query_type_has_no_fields_answers() -> None:
    engine = GraphQLEngine(load_schema("type Mutation { put: Int }\ntype Query {\n}"), {}, default_mode="API_KEY")
    request = GraphQLRequest("{ __typename __schema { queryType { fields { name } } } }")

    result = asyncio.run(engine.execute(request, RequestContext(GraphQLCaller("API_KEY"))))

    assert result.body == {"data": {"__typename": "Query", "__schema": {"queryType": {"fields": []}}}}


def test_a_directive_nobody_knows_has_no_effect_and_is_told() -> None:
    schema = load_schema(
        BASE + "type X @aws_apikey {\n  a: String @other(x: 1)\n  b: Int @aws_apikey }", "api/x.graphql"
    )

    assert schema.notes == (
        "api/x.graphql:2, 4: @aws_apikey is none of AppSync's directives: it has no effect, on AWS neither",
        "api/x.graphql:3: @other is none of AppSync's directives: it has no effect, on AWS neither",
    )


def test_directives_where_the_service_does_not_look_at_them_are_told() -> None:
    schema = load_schema(
        BASE + "input X @aws_iam {\n  a: String @aws_oidc }\nenum E @aws_api_key { A @aws_lambda }\n"
        'type M { x: Int @aws_subscribe(mutations: ["a"]) y(z: Int @aws_iam): Int @deprecated }'
    )

    assert [note.split(":")[0] + note.split(":")[1] for note in schema.notes] == [
        "schema line 2 @aws_iam on input objects",
        "schema line 3 @aws_oidc on input field definitions",
        "schema line 4 @aws_api_key on enums",
        "schema line 4 @aws_lambda on enum values",
        "schema line 5 @aws_subscribe on fields of M, not of Subscription",
        "schema line 5 @aws_iam on input field definitions",
    ]


def test_many_lines_of_one_note_are_counted() -> None:
    schema = load_schema(BASE + "\n".join(f"type T{number} @loud {{ a: Int }}" for number in range(9)))

    assert schema.notes[0].startswith("schema lines 2, 3, 4, 5, 6 and 4 more: @loud is none")


def test_every_fault_of_a_file_is_placed_in_it() -> None:
    with pytest.raises(TemplateError) as caught:
        load_schema("type Query {\n  a: Missing\n  b: Absent\n}", "../schema.graphql")

    assert str(caught.value).splitlines() == [
        "../schema.graphql:2: Unknown type 'Missing'.",
        "../schema.graphql:3: Unknown type 'Absent'.",
    ]


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
