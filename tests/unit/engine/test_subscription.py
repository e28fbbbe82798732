"""Subscriptions are checked, and their payloads cut from mutation responses."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import get_introspection_query

from headwater.engine import GraphQLEngine, GraphQLRequest, RequestContext, SubscriptionRefused, load_schema
from headwater.errors import RequestError
from headwater.values.identity import GraphQLCaller

SDL = """
type Query { a: String }
type Mutation { createTodo(id: ID!): Todo @aws_api_key @aws_iam many: [Node] @aws_api_key must: Todo! @aws_api_key }
type Subscription @aws_api_key @aws_iam {
  onCreateTodo(id: ID, owner: String, done: Boolean = false): Todo @aws_subscribe(mutations: ["createTodo"])
  onMany: [Node] @aws_subscribe(mutations: ["many"])
  onMust: Todo! @aws_subscribe(mutations: ["must"])
  onSecret: Todo @aws_subscribe(mutations: ["createTodo"]) @aws_iam
}
interface Node @aws_api_key { id: ID! }
type Todo implements Node @aws_api_key @aws_iam {
  id: ID! title: String createdAt: AWSDateTime! owner: Owner tags: [String] parts: [Todo!] hidden: String @aws_iam
  status: Status must: String! @aws_iam
}
type Owner @aws_api_key @aws_iam { name: String email: AWSEmail }
type Other implements Node @aws_api_key { id: ID! size: Int }
enum Status { OPEN DONE }
"""
KEY = GraphQLCaller("API_KEY")


@pytest.fixture
def api(make_api: Any) -> Any:
    return make_api(SDL, {"Subscription.onSecret": lambda call: None}, modes=("API_KEY", "AWS_IAM"))


def prepare(api: Any, query: str, variables: dict[str, Any] | None = None, caller: GraphQLCaller = KEY) -> Any:
    return api.engine.prepare_subscription(GraphQLRequest(query, variables), caller)


def refusal(api: Any, query: str, variables: dict[str, Any] | None = None, caller: GraphQLCaller = KEY) -> Any:
    with pytest.raises(SubscriptionRefused) as caught:
        prepare(api, query, variables, caller)
    return caught.value.errors


def test_a_subscriber_gets_its_own_selection_under_its_own_aliases(api: Any) -> None:
    prepared = prepare(
        api, "subscription { on: onCreateTodo { __typename what: title owner { name } tags parts { id } } }"
    )

    payload = prepared.projection.project(
        {"id": "1", "title": "t", "owner": {"name": "n", "email": "e"}, "tags": ["a", None], "parts": [{"id": "2"}]}
    )

    assert payload == (
        b'{"data":{"on":{"__typename":"Todo","what":"t","owner":{"name":"n"},"tags":["a",null],"parts":[{"id":"2"}]}}}'
    )


def test_a_field_the_mutation_did_not_select_is_null(api: Any) -> None:
    prepared = prepare(api, "subscription { onCreateTodo { id title owner { email } } }")

    assert orjson.loads(prepared.projection.project({"id": "1", "owner": {"name": "n"}})) == {
        "data": {"onCreateTodo": {"id": "1", "title": None, "owner": {"email": None}}}
    }


def test_a_required_field_the_mutation_did_not_select_is_an_error_and_climbs(api: Any) -> None:
    prepared = prepare(api, "subscription { onCreateTodo { id createdAt } }")

    assert orjson.loads(prepared.projection.project({"id": "1"})) == {
        "data": {"onCreateTodo": None},
        "errors": [
            {
                "message": "Cannot return null for non-nullable type: 'AWSDateTime' within parent 'Todo' "
                "(/onCreateTodo/createdAt)",
                "path": ["onCreateTodo", "createdAt"],
            }
        ],
    }


def test_what_a_subscription_resolver_returns_has_to_fit_the_field(api: Any) -> None:
    prepared = prepare(api, "subscription { onCreateTodo { id createdAt } }")
    call = prepared.field_call(RequestContext(GraphQLCaller("API_KEY")))

    prepared.check_result(call, None)
    prepared.check_result(call, {"id": "1", "createdAt": "2020-01-01T00:00:00Z"})
    with pytest.raises(SubscriptionRefused) as missing:
        prepared.check_result(call, {"id": "1"})
    with pytest.raises(SubscriptionRefused) as mismatch:
        prepared.check_result(call, 5)

    assert missing.value.errors == [
        {
            "message": "Cannot return null for non-nullable type: 'AWSDateTime' within parent 'Todo' "
            "(/onCreateTodo/createdAt)",
            "path": ["onCreateTodo", "createdAt"],
        }
    ]
    assert "expected type OBJECT, got INT" in mismatch.value.errors[0]["message"]


def test_an_error_a_subscription_resolver_appends_refuses_it(api: Any) -> None:
    prepared = prepare(api, "subscription { onCreateTodo { id } }")
    call = prepared.field_call(RequestContext(GraphQLCaller("API_KEY")))
    call.append_error(RequestError("not you", "Nope", data={"a": 1}))

    with pytest.raises(SubscriptionRefused) as refused:
        prepared.check_result(call, None)

    assert refused.value.errors == [{"errorType": "Nope", "message": "not you", "data": {"a": 1}}]


def test_a_required_null_in_a_list_nulls_the_nearest_that_may_be_null(api: Any) -> None:
    prepared = prepare(api, "subscription { onCreateTodo { id parts { createdAt } } }")

    payload = orjson.loads(prepared.projection.project({"id": "1", "parts": [{"createdAt": "2020"}, {}]}))

    assert payload["data"] == {"onCreateTodo": {"id": "1", "parts": None}}
    assert payload["errors"][0]["path"] == ["onCreateTodo", "parts", 1, "createdAt"]


def test_a_required_root_field_nulls_all_data(api: Any) -> None:
    prepared = prepare(api, "subscription { onMust { createdAt } }")

    assert orjson.loads(prepared.projection.project({}))["data"] is None


def test_abstract_values_are_cut_by_their_typename(api: Any) -> None:
    prepared = prepare(api, "subscription { onMany { __typename id ... on Other { size } ... on Todo { title } } }")

    payload = prepared.projection.project(
        [{"__typename": "Other", "id": "1", "size": 3}, None, {"__typename": "Todo", "id": "2"}]
    )

    assert orjson.loads(payload)["data"]["onMany"] == [
        {"__typename": "Other", "id": "1", "size": 3},
        None,
        {"__typename": "Todo", "id": "2", "title": None},
    ]


def test_a_field_the_subscriber_may_not_see_is_null_with_an_error(api: Any) -> None:
    query = "subscription { onCreateTodo { id hidden } }"
    response = {"id": "1", "hidden": "h"}

    as_key = orjson.loads(prepare(api, query).projection.project(response))
    as_iam = orjson.loads(prepare(api, query, caller=GraphQLCaller("AWS_IAM")).projection.project(response))

    assert as_key["data"] == {"onCreateTodo": {"id": "1", "hidden": None}}
    assert as_key["errors"] == [
        {
            "path": ["onCreateTodo", "hidden"],
            "data": None,
            "errorType": "Unauthorized",
            "errorInfo": None,
            "locations": [{"line": 1, "column": 34, "sourceName": None}],
            "message": "Not Authorized to access hidden on type Todo",
        }
    ]
    assert as_iam == {"data": {"onCreateTodo": response}}


def test_the_fields_a_subscriber_may_not_see_are_listed_by_their_paths(api: Any) -> None:
    query = "subscription { onCreateTodo { id hidden parts { again: hidden must } } }"

    assert prepare(api, query).projection.refused_fields() == ["hidden", "parts.hidden", "parts.must"]
    assert prepare(api, query, caller=GraphQLCaller("AWS_IAM")).projection.refused_fields() == []


def test_what_the_publisher_may_not_see_no_subscriber_gets(api: Any) -> None:
    prepared = prepare(api, "subscription { onCreateTodo { id must } }", caller=GraphQLCaller("AWS_IAM"))

    assert orjson.loads(prepared.projection.project({"id": "1", "must": None}))["data"] == {"onCreateTodo": None}


def test_omitted_arguments_are_absent_and_null_ones_present(api: Any) -> None:
    query = "subscription ($i: ID, $o: String) { onCreateTodo(id: $i, owner: $o, done: null) { id } }"

    assert prepare(api, query, {"o": None}).arguments == {"owner": None, "done": None}
    assert prepare(api, query, {"i": 5}).arguments == {"id": "5", "done": None}
    assert prepare(api, "subscription { onCreateTodo { id } }").arguments == {"done": False}


def test_equal_selections_share_a_group_whatever_their_arguments_and_text(api: Any) -> None:
    one = prepare(api, 'subscription A { onCreateTodo(id: "1") { id title } }')
    two = prepare(api, "subscription B { onCreateTodo { ...F } } fragment F on Todo { id title }")
    other = prepare(api, "subscription { onCreateTodo { id x: title } }")
    field = prepare(api, "subscription { onMust { id title } }")

    assert one.projection.group_key == two.projection.group_key
    assert len({one.projection.group_key, other.projection.group_key, field.projection.group_key}) == 3


def test_subscribers_with_other_rights_are_in_other_groups(api: Any) -> None:
    query = "subscription { onCreateTodo { id hidden } }"

    assert (
        prepare(api, query).projection.group_key
        != prepare(api, query, caller=GraphQLCaller("AWS_IAM")).projection.group_key
    )


def test_what_was_not_selected_is_named_for_a_warning(api: Any) -> None:
    prepared = prepare(
        api, "subscription { onCreateTodo { __typename x: title id owner { name email } parts { id } } }"
    )

    assert prepared.projection.unselected_fields({"id": {}, "owner": {"name": {}}}) == ["title", "owner.email", "parts"]


def test_the_mutations_and_the_resolver_of_the_field_are_known(api: Any) -> None:
    prepared = prepare(
        api,
        "subscription ($x: ID) { onSecret { id owner { name } } }".replace("($x: ID) ", ""),
        caller=GraphQLCaller("AWS_IAM"),
    )

    call = prepared.field_call(RequestContext(GraphQLCaller("AWS_IAM")))

    assert prepared.projection.mutation_fields == ("createTodo",)
    assert prepared.projection.resolver is api.resolvers["Subscription", "onSecret"]
    assert (call.parent_type, call.field_name, call.arguments, call.source) == ("Subscription", "onSecret", {}, None)
    assert call.info.selection_set_list == ["id", "owner", "owner/name"]


@pytest.mark.parametrize("query", ["{ a }", 'mutation { createTodo(id: "1") { id } }'])
def test_other_operations_are_refused_with_the_words_of_the_channel(api: Any, query: str) -> None:
    assert refusal(api, query) == [
        {"errorType": "UnsupportedOperation", "message": "unknown not supported through the realtime channel"}
    ]


def test_a_root_field_the_subscriber_may_not_see_is_refused(api: Any) -> None:
    assert refusal(api, "subscription { onSecret { id } }") == [
        {"errorType": "Unauthorized", "message": "Not Authorized to access onSecret on type Subscription"}
    ]


def test_validation_and_variable_faults_are_listed_with_their_message_alone(api: Any) -> None:
    assert refusal(api, "subscription { onCreateTodo { nope } }") == [
        {
            "message": "Validation error of type FieldUndefined: Field 'nope' in type 'Todo' is undefined "
            "@ 'onCreateTodo/nope'",
        }
    ]
    errors = refusal(api, "subscription ($d: Boolean!) { onCreateTodo(done: $d) { id } }", {"d": None})
    assert errors[0]["message"] == "Variable 'd' has coerced Null value for NonNull type 'Boolean!'"


def test_null_for_a_required_argument_is_refused(make_api: Any) -> None:
    api = make_api("type Query { a: Int } type Subscription { on(id: ID!): Int }", {})

    errors = refusal(api, 'subscription ($i: ID = "1") { on(id: $i) }', {"i": None})

    assert errors == [{"message": "Argument 'id' has coerced Null value for NonNull type 'ID!'"}]


def test_two_root_fields_are_refused(api: Any) -> None:
    (error,) = refusal(api, "subscription { onCreateTodo { id } onMany { id } }")

    assert "SubscriptionMultipleRootFields" in error["message"]


def test_a_selection_that_is_skipped_away_is_refused(api: Any) -> None:
    assert refusal(api, "subscription { onCreateTodo @skip(if: true) { id } }")


SCHEMAS = Path(__file__).parent / "schemas"


@pytest.mark.parametrize(
    ("name", "subscription"),
    [
        ("eventbridge-json", "subscription { subscribe(detailType: null) { id data } }"),
        ("pub-sub", "subscription { onPublish { id kind createdAt } }"),
        ("streams-subscription", 'subscription { onCreateItem(PK: "a") { PK SK data } }'),
        ("todo-api", 'subscription { onCreateTodo(owner: "o") { id title } }'),
    ],
)
async def test_real_schemas_load_introspect_and_take_a_subscription(name: str, subscription: str) -> None:
    engine = GraphQLEngine(load_schema((SCHEMAS / f"{name}.graphql").read_text()), {}, default_mode="API_KEY")

    result = await engine.execute(GraphQLRequest(get_introspection_query()), RequestContext(KEY))
    prepared = engine.prepare_subscription(GraphQLRequest(subscription), KEY)

    assert "errors" not in result.body
    assert result.body["data"]["__schema"]["types"]
    assert prepared.projection.mutation_fields


NOTIFICATIONS = """
type Query { a: String }
type Mutation { liked(id: ID!): Note! @aws_iam followed(id: ID!): Note! @aws_iam }
type Subscription { onNoted(userId: ID!, kind: NoteKind): Note @aws_subscribe(mutations: ["liked", "followed"]) }
enum NoteKind { LIKED FOLLOWED }
interface HasId @aws_iam @aws_cognito_user_pools { id: ID! kind: NoteKind! }
union Note @aws_iam @aws_cognito_user_pools = Liked | Followed
type Liked implements HasId @aws_iam @aws_cognito_user_pools { id: ID! kind: NoteKind! likedBy: ID! }
type Followed implements HasId @aws_iam @aws_cognito_user_pools { id: ID! kind: NoteKind! by: ID! }
"""


async def test_a_union_published_by_iam_reaches_a_user_by_an_interface_s_fields(make_api: Any) -> None:
    api = make_api(
        NOTIFICATIONS,
        {"Mutation.liked": lambda call: {"__typename": "Liked", "id": "1", "kind": "LIKED", "likedBy": "u"}},
        default_mode="AMAZON_COGNITO_USER_POOLS",
        modes=("AWS_IAM",),
    )
    user = GraphQLCaller("AMAZON_COGNITO_USER_POOLS")
    query = 'subscription { onNoted(userId: "u", kind: LIKED) { ... on HasId { id } ... on Liked { likedBy } } }'

    prepared = prepare(api, query, caller=user)
    result = await api.run(
        'mutation { liked(id: "1") { ... on Liked { id kind likedBy } } }', caller=GraphQLCaller("AWS_IAM")
    )

    assert prepared.arguments == {"userId": "u", "kind": "LIKED"}
    assert prepared.projection.project(result.published[0].response) == b'{"data":{"onNoted":{"id":"1","likedBy":"u"}}}'
