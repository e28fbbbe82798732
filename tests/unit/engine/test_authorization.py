"""Who may see which field."""

from typing import Any

import pytest

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


async def test_the_policy_of_an_iam_caller_decides_on_root_fields(make_api: Any) -> None:
    asked: list[tuple[str, str, str | None]] = []

    def authorize(principal: AwsPrincipal, type_name: str, field_name: str) -> bool:
        asked.append((type_name, field_name, principal.role_name))
        return field_name == "iam"

    api = make_api(SDL, resolvers(), modes=MODES, authorize_iam=authorize)

    result = await api.run("{ iam { id } both { id } }", caller=IAM)

    assert result.body["data"] == {"iam": {"id": "1"}, "both": None}
    assert asked == [("Query", "iam", "role"), ("Query", "both", "role")]


async def test_introspection_and_typename_need_no_permission(api: Any) -> None:
    data = await api.data('{ __typename __type(name: "Thing") { name } }', caller=IAM)

    assert data == {"__typename": "Query", "__type": {"name": "Thing"}}


async def test_callers_with_other_rights_do_not_share_a_plan(api: Any) -> None:
    query = "{ keyOnly both { id } }"

    answers = [(await api.run(query, caller=caller)).body["data"] for caller in (KEY, IAM, KEY)]

    assert answers[0] == answers[2] == {"keyOnly": "yes", "both": {"id": None}}
    assert answers[1] == {"keyOnly": None, "both": {"id": "1"}}
