"""Validation and variable faults read as on the service."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SDL = """
type Query { post(id: ID!, filter: Filter, kind: Kind, limit: Int): Post posts: [Post!]! node: Node }
input Filter { name: String! limit: Int nested: Filter tags: [Int!] when: AWSDate data: AWSJSON }
enum Kind { BIG SMALL }
interface Node { id: ID! }
type Post implements Node { id: ID! title: String next: Post }
type Other implements Node { id: ID! size: Int }
type Mutation { put(input: Filter!): Post }
"""


@pytest.fixture
def api(make_api: Any) -> Any:
    return make_api(SDL, {"Query.post": lambda call: {"id": 1}})


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("{ x }", "FieldUndefined: Field 'x' in type 'Query' is undefined @ 'x'"),
        ("{ posts { x } }", "FieldUndefined: Field 'x' in type 'Post' is undefined @ 'posts/x'"),
        ("{ post(id: 1, x: 2) { id } }", "UnknownArgument: Unknown field argument x @ 'post'"),
        ("{ post { id } }", "MissingFieldArgument: Missing field argument id @ 'post'"),
        (
            "{ post(id: 1, limit: true) { id } }",
            "WrongType: argument 'limit' with value 'BooleanValue{value=true}' is not a valid 'Int' @ 'post'",
        ),
        ("{ post(id: null) { id } }", "WrongType: argument 'id' with value 'NullValue{}' must not be null @ 'post'"),
        (
            "{ post(id: 1, kind: HUGE) { id } }",
            "WrongType: argument 'kind' with value 'EnumValue{name='HUGE'}' is not a valid 'Kind' @ 'post'",
        ),
        (
            "{ post(id: 1, filter: {limit: 5}) { id } }",
            "WrongType: argument 'filter' with value 'ObjectValue{objectFields=[ObjectField{name='limit', "
            "value=IntValue{value=5}}]}' is missing required fields '[name]' @ 'post'",
        ),
        (
            '{ post(id: 1, filter: {name: "a", nested: {name: 5}}) { id } }',
            "WrongType: argument 'filter.nested.name' with value 'IntValue{value=5}' is not a valid 'String' @ 'post'",
        ),
        (
            '{ post(id: 1, filter: {name: "a", tags: [1, "b"]}) { id } }',
            "WrongType: argument 'filter.tags[1]' with value 'StringValue{value='b'}' is not a valid 'Int' @ 'post'",
        ),
        (
            '{ post(id: 1, filter: {name: "a", bad: 1}) { id } }',
            "WrongType: argument 'filter' with value 'ObjectValue{objectFields=[ObjectField{name='name', "
            "value=StringValue{value='a'}}, ObjectField{name='bad', value=IntValue{value=1}}]}' contains a field not "
            "in 'Filter': 'bad' @ 'post'",
        ),
        (
            '{ post(id: 1, filter: {name: "a", data: {up: 10}}) { id } }',
            "WrongType: argument 'filter.data' with value 'ObjectValue{objectFields=[ObjectField{name='up', "
            "value=IntValue{value=10}}]}' is not a valid 'AWSJSON' @ 'post'",
        ),
        ("{ post(id: 1) }", "SubSelectionRequired: Sub selection required for type Post of field post @ 'post'"),
        ("{ posts }", "SubSelectionRequired: Sub selection required for type null of field posts @ 'posts'"),
        (
            "{ posts { title { x } } }",
            "SubSelectionNotAllowed: Sub selection not allowed on leaf type String of field title @ 'posts/title'",
        ),
        ("{ posts { id } } fragment F on Post { id }", "UnusedFragment: Unused fragment F"),
        ("{ posts { ...F } }", "UndefinedFragment: Undefined fragment F @ 'posts'"),
        ("query ($a: Int) { posts { id } }", "UnusedVariable: Unused variable a"),
        ("{ post(id: $a) { id } }", "UndefinedVariable: Undefined variable a @ 'post'"),
        (
            "query ($a: Int) { post(id: $a) { id } }",
            "VariableTypeMismatch: Variable type 'Int' doesn't match expected type 'ID!' @ 'post'",
        ),
        (
            'query ($a: Int = "x") { post(id: 1, limit: $a) { id } }',
            "BadValueForDefaultArg: Bad default value StringValue{value='x'} for type Int",
        ),
        ("query ($a: Nope) { post(id: 1, limit: $a) { id } }", "UnknownType: Unknown type Nope"),
        ("query ($a: Post) { post(id: 1, limit: $a) { id } }", "NonInputTypeOnVariable: Input variable a has no"),
        ("{ posts { id @nope } }", "UnknownDirective: Unknown directive nope @ 'posts/id'"),
        ("query @skip(if: true) { posts { id } }", "MisplacedDirective: Directive skip not allowed here"),
        ("{ posts { id @skip } }", "MissingDirectiveArgument: Missing directive argument if @ 'posts/id'"),
        (
            "{ posts { a: id a: title } }",
            "FieldsConflict: a: id and title are different fields @ 'posts/id'",
        ),
        (
            "{ a: post(id: 1) { id } a: post(id: 2) { id } }",
            "FieldsConflict: a: they have differing arguments @ 'post'",
        ),
        (
            "{ posts { ... on Other { id } } }",
            "InvalidFragmentType: Fragment cannot be spread here as objects of type Post can never be of type Other",
        ),
        (
            "{ posts { ...F } } fragment F on Other { id }",
            "InvalidFragmentType: Fragment F cannot be spread here as objects of type Post can never be of type Other",
        ),
        ("{ posts { ...F } } fragment F on Post { next { ...F } }", "FragmentCycle: Fragment cycles not allowed"),
        ("{ posts { id } } query B { posts { id } }", "LoneAnonymousOperationViolation: Anonymous operation with"),
        (
            "query A { posts { id } } query A { posts { id } }",
            "DuplicateOperationName: There can be only one operation named 'A'",
        ),
        ("{ posts { id } } type X { a: Int }", "NonExecutableDefinition: The X definition is not executable."),
        ("subscription { x }", "UnknownOperation: The subscription operation is not supported by the schema"),
        ("{ posts { ... on Int { id } } }", "FragmentTypeConditionInvalid: Invalid type condition Int"),
        (
            "{ posts { ...F } } fragment F on Post { x }",
            "FieldUndefined: Field 'x' in type 'Post' is undefined @ 'F/x'",
        ),
    ],
)
async def test_a_document_fault_reads_as_graphql_java_says_it(api: Any, query: str, text: str) -> None:
    messages = await api.messages(query)

    assert any(message.startswith(f"Validation error of type {text}") for message in messages), messages


async def test_a_validation_error_has_the_members_of_the_service_in_their_order(api: Any) -> None:
    result = await api.run("{badfield}")

    assert result.status == 200
    assert result.body == {
        "data": None,
        "errors": [
            {
                "path": None,
                "locations": [{"line": 1, "column": 2, "sourceName": None}],
                "message": "Validation error of type FieldUndefined: Field 'badfield' in type 'Query' is undefined "
                "@ 'badfield'",
            }
        ],
    }
    assert list(result.body["errors"][0]) == ["path", "locations", "message"]


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        ("$v: Filter!", None, "Variable 'v' has coerced Null value for NonNull type 'Filter!'"),
        ("$v: Filter!", {}, "Variable 'v' has coerced Null value for NonNull type 'String!'"),
        (
            "$v: Filter!",
            {"name": "a", "nested": {"name": None}},
            "Variable 'v' has coerced Null value for NonNull type 'String!'",
        ),
        (
            "$v: Filter!",
            {"name": "a", "bad": 1},
            "The variables input contains a field that is not defined for input object type 'Filter' ",
        ),
        (
            "$v: Filter!",
            5,
            "Variable 'v' has an invalid value. Expected type 'Map' but was 'Integer'. Variables for "
            "input objects must be an instance of type 'Map'.",
        ),
        (
            "$v: Filter!",
            {"name": "a", "limit": "x"},
            "Variable 'limit' has an invalid value. Expected type 'Int' but was 'String'.",
        ),
        (
            "$v: Filter!",
            {"name": "a", "when": "2019-12-24T04:15:57.798Z"},
            "Variable 'when' has an invalid value. Unable to parse `2019-12-24T04:15:57.798Z` as a valid date.",
        ),
        (
            "$v: Filter!",
            {"name": "a", "tags": [1, None]},
            "Variable 'v' has coerced Null value for NonNull type 'Int!'",
        ),
    ],
)
async def test_a_variable_fault_reads_as_on_the_service(api: Any, declared: str, value: Any, text: str) -> None:
    result = await api.run(f"mutation ({declared}) {{ put(input: $v) {{ id }} }}", {"v": value})

    assert [error["message"] for error in result.body["errors"]] == [text]
    assert result.status == 200


async def test_an_enum_variable_must_be_one_of_its_names(api: Any) -> None:
    messages = await api.messages("query ($k: Kind) { post(id: 1, kind: $k) { id } }", {"k": "HUGE"})

    assert messages == [
        "Variable 'k' has an invalid value. Invalid input for Enum 'Kind'. No value found for name 'HUGE'."
    ]


async def test_a_variable_fault_points_at_the_definition(api: Any) -> None:
    result = await api.run("query ($a: ID!) { post(id: $a) { id } }", {})

    assert result.body["errors"][0]["locations"] == [{"line": 1, "column": 8, "sourceName": None}]


@pytest.mark.parametrize("query", ["", "meow", "{", "{ posts {} }", "fragment F on Post { id }"])
async def test_what_is_no_document_is_a_malformed_request(api: Any, query: str) -> None:
    result = await api.run(query)

    assert result.status in (400, 200)
    if result.status == 400:
        assert result.body == {
            "errors": [{"errorType": "MalformedHttpRequestException", "message": "Unable to parse GraphQL query."}]
        }


async def test_an_operation_must_be_named_when_there_are_several(api: Any) -> None:
    query = "query A { posts { id } } query B { node { id } }"

    missing, unknown = await api.run(query), await api.run(query, operation_name="C")

    assert missing.body == {"errors": [{"errorType": "BadRequestException", "message": "Missing operation name."}]}
    assert unknown.body == {"errors": [{"errorType": "BadRequestException", "message": "Unknown operation named 'C'."}]}
    assert (missing.status, unknown.status) == (400, 400)
    assert (await api.run(query, operation_name="B")).body == {"data": {"node": None}}


async def test_a_subscription_is_not_served_over_http(make_api: Any) -> None:
    api = make_api(SDL + 'type Subscription { onPut: Post @aws_subscribe(mutations: ["put"]) }', {})

    result = await api.run("subscription { onPut { id } }")

    assert result.status == 400
    assert result.body["errors"][0]["errorType"] == "UnsupportedOperation"


VALID = (
    'query Q($a: ID!, $k: Kind = BIG, $f: Filter) { post(id: $a, kind: $k, filter: {name: "n", tags: [1, 2]}) '
    "{ id ... on Node { id } next { ...F @include(if: true) } } posts { title } "
    "node { __typename ... on Post { id } } } "
    "fragment F on Post { id title }"
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
async def test_no_document_makes_the_engine_fail(make_api: Any, data: st.DataObject) -> None:
    tokens = re.findall(r'\w+|"\w*"|\.\.\.|\S', VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(tokens) - 1))
        tokens[place : place + data.draw(st.integers(0, 2))] = data.draw(st.lists(st.sampled_from(tokens), max_size=2))
    api = make_api(SDL, {})

    result = await api.run(" ".join(tokens), {"a": "1", "f": data.draw(st.sampled_from([None, {}, 5, {"name": "n"}]))})

    assert result.status in (200, 400)
    for error in result.body.get("errors", []):
        assert "InvalidSyntax" not in error["message"]


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("{ ...F }", "UndefinedFragment"),
        ("{ __typename } fragment F on Query { __typename }", "UnusedFragment"),
        ("{ __typename @nowhere }", "UnknownDirective"),
        ("query @nowhere { __typename }", "UnknownDirective"),
    ],
)
async def test_rules_on_fragments_and_directives_are_asked_where_there_are_any(
    make_api: Any, query: str, kind: str
) -> None:
    (message,) = await make_api("type Query { a: String }", {}).messages(query)

    assert message.startswith(f"Validation error of type {kind}")
