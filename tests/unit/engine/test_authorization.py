"""Who may see which field."""

import itertools
from typing import Any

import pytest

from headwater.engine import ApiSchema, GraphQLRequest, SubscriptionRefused, load_schema
from headwater.engine.authorization import Authorization
from headwater.values.identity import AwsPrincipal, GraphQLCaller

SDL = """
type Query {
  open: String
  keyOnly: String @aws_api_key
  iam: Thing @aws_iam
  both: Thing @aws_iam @aws_api_key
  admins: String @aws_cognito_user_pools(cognito_groups: ["Admin", "Root"])
  required: String! @aws_iam
  legacy: String @aws_auth(cognito_groups: ["Admin"])
}
type Thing @aws_iam { id: ID secret: String @aws_api_key shared: String @aws_iam @aws_api_key }
"""
MODES = ("API_KEY", "AWS_IAM", "AMAZON_COGNITO_USER_POOLS", "AWS_LAMBDA")
KEY = GraphQLCaller("API_KEY")
IAM = GraphQLCaller("AWS_IAM", principal=AwsPrincipal("AKID", "1", "role"))


def resolvers() -> dict[str, Any]:
    thing = {"id": "1", "secret": "s", "shared": "h"}
    texts = dict.fromkeys(["open", "keyOnly", "admins", "required", "legacy"], lambda call: "yes")
    return {
        f"Query.{name}": one for name, one in {**texts, "iam": lambda call: thing, "both": lambda call: thing}.items()
    }


@pytest.fixture
def api(make_api: Any) -> Any:
    return make_api(SDL, resolvers(), modes=MODES)


async def test_a_refused_field_is_null_with_an_error_and_its_resolver_does_not_run(api: Any) -> None:
    result = await api.run("{ open\n  iam { id } }")

    assert result.body == {
        "data": {"open": "yes", "iam": None},
        "errors": [
            {
                "path": ["iam"],
                "data": None,
                "errorType": "Unauthorized",
                "errorInfo": None,
                "locations": [{"line": 2, "column": 3, "sourceName": None}],
                "message": "Not Authorized to access iam on type Query",
            }
        ],
    }
    assert list(result.body["errors"][0]) == ["path", "data", "errorType", "errorInfo", "locations", "message"]
    assert api.resolvers["Query", "iam"].calls == []


async def test_without_directive_only_the_default_mode_may_see_a_field(api: Any) -> None:
    messages = await api.messages("{ open both { shared } }", caller=IAM)

    assert messages == ["Not Authorized to access open on type Query"]


async def test_a_field_s_directives_override_its_type_s(api: Any) -> None:
    as_key = await api.run("{ both { id secret shared } }")
    as_iam = await api.run("{ both { id secret shared } }", caller=IAM)

    assert as_key.body["data"] == {"both": {"id": None, "secret": "s", "shared": "h"}}
    assert as_iam.body["data"] == {"both": {"id": "1", "secret": None, "shared": "h"}}


async def test_a_required_field_that_is_refused_nulls_its_parent(api: Any) -> None:
    result = await api.run("{ required }")

    assert result.body["data"] is None
    assert [error["path"] for error in result.body["errors"]] == [["required"]]


@pytest.mark.parametrize(
    ("groups", "is_allowed"), [(("Admin",), True), (("x", "Root"), True), (("x",), False), ((), False)]
)
async def test_a_group_of_the_directive_is_needed(api: Any, groups: tuple[str, ...], is_allowed: bool) -> None:
    caller = GraphQLCaller("AMAZON_COGNITO_USER_POOLS", groups=groups)

    assert ((await api.messages("{ admins }", caller=caller)) == []) is is_allowed


async def test_aws_auth_is_ignored_where_cognito_is_not_the_only_mode(api: Any) -> None:
    assert await api.data("{ legacy }") == {"legacy": "yes"}


async def test_aws_auth_counts_where_cognito_is_the_only_mode(make_api: Any) -> None:
    api = make_api(SDL, resolvers(), default_mode="AMAZON_COGNITO_USER_POOLS")
    outsider, admin = (GraphQLCaller("AMAZON_COGNITO_USER_POOLS", groups=groups) for groups in (("x",), ("Admin",)))

    assert await api.messages("{ legacy }", caller=outsider) == ["Not Authorized to access legacy on type Query"]
    assert await api.data("{ legacy }", caller=admin) == {"legacy": "yes"}


async def test_default_action_deny_closes_fields_without_directive(make_api: Any) -> None:
    api = make_api(SDL, resolvers(), default_mode="AMAZON_COGNITO_USER_POOLS", default_action="DENY")
    caller = GraphQLCaller("AMAZON_COGNITO_USER_POOLS", groups=("Admin",))

    assert await api.messages("{ open admins legacy }", caller=caller) == [
        "Not Authorized to access open on type Query"
    ]


async def test_denied_fields_of_a_lambda_authorizer_are_null(make_api: Any) -> None:
    api = make_api(SDL, resolvers(), default_mode="AWS_LAMBDA")
    caller = GraphQLCaller("AWS_LAMBDA", denied_fields=frozenset({"Query.open"}))

    assert await api.messages("{ open }", caller=caller) == ["Not Authorized to access open on type Query"]
    assert await api.data("{ open }", caller=GraphQLCaller("AWS_LAMBDA")) == {"open": "yes"}


class Policies:
    """Policies that grant and deny the fields they are made with."""

    def __init__(self, grants: set[str], *denials: str) -> None:
        self.grants = grants
        self.denials = denials

    def allows(self, principal: AwsPrincipal, type_name: str, field_name: str) -> bool:
        return f"{type_name}.{field_name}" in self.grants and not self.denies(principal, type_name, field_name)

    def denies(self, principal: AwsPrincipal, type_name: str, field_name: str) -> bool:
        assert principal.role_name == "role"
        return f"{type_name}.{field_name}" in self.denials


async def test_the_policies_of_an_iam_caller_grant_root_fields_and_with_them_what_they_return(make_api: Any) -> None:
    api = make_api(SDL, resolvers(), modes=MODES, iam_policies=Policies({"Query.iam"}))

    result = await api.run("{ iam { id } both { id } }", caller=IAM)

    assert result.body["data"] == {"iam": {"id": "1"}, "both": None}
    assert [error["message"] for error in result.body["errors"]] == ["Not Authorized to access both on type Query"]


async def test_an_explicit_deny_of_a_policy_hides_a_field_below_a_granted_one(make_api: Any) -> None:
    policies = Policies({"Query.iam"}, "Thing.shared")
    api = make_api(SDL, resolvers(), modes=MODES, iam_policies=policies)

    result = await api.run("{ iam { id shared } }", caller=IAM)

    assert result.body["data"] == {"iam": {"id": "1", "shared": None}}
    assert [error["path"] for error in result.body["errors"]] == [["iam", "shared"]]
    assert result.body["errors"][0]["message"] == "Not Authorized to access shared on type Thing"


async def test_an_operation_of_which_no_field_is_granted_is_refused_as_a_whole(make_api: Any) -> None:
    api = make_api(SDL, resolvers(), modes=MODES, iam_policies=Policies({"Query.open"}))

    result = await api.run("{ __typename iam { id } both { id } }", caller=IAM)

    assert result.status == 401
    assert result.body == {"errors": [{"errorType": "UnauthorizedException", "message": "Permission denied"}]}
    assert api.resolvers["Query", "iam"].calls == []


async def test_a_field_closed_to_iam_by_its_directives_is_not_a_matter_of_policies(make_api: Any) -> None:
    api = make_api(SDL, resolvers(), modes=MODES, iam_policies=Policies({"Query.open"}))

    result = await api.run("{ open }", caller=IAM)

    assert result.status == 200
    assert [error["message"] for error in result.body["errors"]] == ["Not Authorized to access open on type Query"]


async def test_introspection_and_typename_need_no_permission(api: Any) -> None:
    data = await api.data('{ __typename __type(name: "Thing") { name } }', caller=IAM)

    assert data == {"__typename": "Query", "__type": {"name": "Thing"}}


async def test_callers_with_other_rights_do_not_share_a_plan(api: Any) -> None:
    query = "{ keyOnly both { id } }"

    answers = [(await api.run(query, caller=caller)).body["data"] for caller in (KEY, IAM, KEY)]

    assert answers[0] == answers[2] == {"keyOnly": "yes", "both": {"id": None}}
    assert answers[1] == {"keyOnly": None, "both": {"id": "1"}}


def test_a_subscription_the_policies_do_not_grant_is_refused_at_its_start(make_api: Any) -> None:
    sdl = """
    type Query { a: ID }
    type Mutation { m: ID @aws_iam }
    type Subscription { s: ID @aws_iam @aws_subscribe(mutations: ["m"]) }
    """
    api = make_api(sdl, {}, modes=MODES, iam_policies=Policies({"Mutation.m"}))

    with pytest.raises(SubscriptionRefused) as refused:
        api.engine.prepare_subscription(GraphQLRequest("subscription { s }"), IAM)

    assert refused.value.errors == [{"errorType": "UnauthorizedException", "message": "Permission denied"}]


DIRECTIVES = {
    "API_KEY": "@aws_api_key",
    "AWS_IAM": "@aws_iam",
    "AWS_LAMBDA": "@aws_lambda",
    "OPENID_CONNECT": "@aws_oidc",
    "AMAZON_COGNITO_USER_POOLS": "@aws_cognito_user_pools",
}
SUBSETS = [subset for size in range(6) for subset in itertools.combinations(DIRECTIVES, size)]


def directives(modes: tuple[str, ...]) -> str:
    return " ".join(DIRECTIVES[mode] for mode in modes)


@pytest.fixture(scope="module")
def every_combination() -> ApiSchema:
    """A type for each set of directives on a type, with a field for each set on a field."""
    types = [
        f"type T{row} {directives(on_type)} {{ "
        + " ".join(f"f{column}: ID {directives(on_field)}" for column, on_field in enumerate(SUBSETS))
        + " }"
        for row, on_type in enumerate(SUBSETS)
    ]
    return load_schema("type Query { a: ID }\n" + "\n".join(types))


@pytest.mark.parametrize("default_mode", DIRECTIVES)
def test_every_combination_of_directives_lets_in_whom_the_guide_says(
    every_combination: ApiSchema, default_mode: Any
) -> None:
    modes: Any = tuple(DIRECTIVES)
    subject = Authorization(every_combination, default_mode=default_mode, modes=modes)

    for row, on_type in enumerate(SUBSETS):
        for column, on_field in enumerate(SUBSETS):
            let_in = {mode for mode in modes if subject.is_allowed(GraphQLCaller(mode), f"T{row}", f"f{column}")}
            assert let_in == set(on_field or on_type or (default_mode,)), (on_type, on_field)
