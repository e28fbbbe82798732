"""Rules of the service that no other test is named after; the sources are in docs/appsync.md."""

import itertools
from typing import Any

import pytest

from headwater.engine import FieldCall, GraphQLEngine, GraphQLRequest, Limits, RequestContext, load_schema
from headwater.errors import RequestError
from headwater.realtime.argument_filter import ArgumentFilter
from headwater.values.identity import GraphQLCaller

SDL = """
type Todo { id: ID title: String owner: String errorText: String }
type Query { todo: Todo }
type Mutation { put(id: ID, owner: String): Todo }
type Subscription { onPut(id: ID, owner: String, nowhere: String): Todo @aws_subscribe(mutations: ["put"]) }
"""


def arguments_of(api: Any, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    prepared = api.engine.prepare_subscription(GraphQLRequest(query, variables), GraphQLCaller("API_KEY"))
    found: dict[str, Any] = prepared.arguments
    return found


async def test_a_mutation_with_application_errors_is_published_like_a_success(make_api: Any) -> None:
    def put(call: FieldCall) -> Any:
        call.append_error(RequestError("only half done", "Half"))
        return {"id": "1", "errorText": "no"}

    result = await make_api(SDL, {"Mutation.put": put}).run("mutation { put { id errorText } }")

    assert result.body["errors"][0]["message"] == "only half done"
    assert [one.response for one in result.published] == [{"id": "1", "errorText": "no"}]


async def test_a_mutation_field_that_is_null_is_no_event(make_api: Any) -> None:
    result = await make_api(SDL, {"Mutation.put": lambda call: None}).run("mutation { put { id } }")

    assert result.body == {"data": {"put": None}}
    assert result.published == ()


def test_a_declared_variable_that_is_not_given_counts_as_omitted_and_a_null_one_as_null(make_api: Any) -> None:
    api = make_api(SDL, {})
    query = "subscription On($owner: String) { onPut(owner: $owner) { id } }"

    omitted, null = arguments_of(api, query, {}), arguments_of(api, query, {"owner": None})

    assert omitted == {}
    assert null == {"owner": None}
    assert ArgumentFilter(omitted)({"owner": "ann"})
    assert not ArgumentFilter(null)({"owner": "ann"})


def test_an_argument_that_names_no_field_of_the_payload_never_matches(make_api: Any) -> None:
    arguments = arguments_of(make_api(SDL, {}), 'subscription { onPut(nowhere: "x") { id } }')

    assert not ArgumentFilter(arguments)({"id": "1", "title": "x"})


async def test_the_data_of_an_error_is_cut_to_the_selection_and_its_error_info_is_not(make_api: Any) -> None:
    def fail(call: FieldCall) -> Any:
        raise RequestError(
            "no", "Bad", data={"id": "1", "title": "t", "owner": "ann"}, error_info={"id": "1", "more": "kept"}
        )

    result = await make_api(SDL, {"Query.todo": fail}).run("{ todo { id } }")

    (error,) = result.body["errors"]
    assert error["data"] == {"id": "1"}
    assert error["errorInfo"] == {"id": "1", "more": "kept"}
    assert list(error) == ["path", "data", "errorType", "errorInfo", "locations", "message"]


async def test_typename_stays_where_introspection_is_switched_off(make_api: Any) -> None:
    api = make_api(SDL, {"Query.todo": lambda call: {}}, limits=Limits(is_introspection_enabled=False))

    assert await api.data("{ __typename todo { __typename } }") == {
        "__typename": "Query",
        "todo": {"__typename": "Todo"},
    }


async def test_a_document_of_more_than_15000_tokens_is_refused_as_too_long(make_api: Any) -> None:
    api = make_api(SDL, {})
    # Each `a: x` is three tokens.
    fields = " ".join(f"a{number}: __typename" for number in range(5_000))

    assert await api.messages(f"{{ {fields} }}") == ["Maximum char length exceeded"]


@pytest.mark.parametrize("query", ["query ($a: Int) { todo { id } }", "{ todo { id ...F } } fragment F on Todo { id }"])
async def test_a_request_costs_at_least_one_token(make_api: Any, query: str) -> None:
    context = RequestContext(GraphQLCaller("API_KEY"))
    await make_api(SDL, {}).engine.execute(GraphQLRequest(query), context)

    assert context.tokens == 1


def test_the_engine_tells_when_a_new_document_was_parsed_and_validated() -> None:
    ticks = itertools.count(1.0)
    schema = load_schema("type Query { a: String }")
    engine = GraphQLEngine(schema, {}, default_mode="API_KEY", clock=lambda: next(ticks))
    times = []

    for query in ("{ a }", "{ a }", "{ nope }", "{"):
        engine.start(GraphQLRequest(query), RequestContext(GraphQLCaller("API_KEY")))
        times.append(engine.take_times())

    assert times == [(1.0, 2.0, 3.0), None, (4.0, 5.0, 6.0), None]
