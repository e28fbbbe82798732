"""Decide which callers may see a field, from the schema's directives and the API's authorization modes."""

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Final, Literal, Protocol

from graphql import DirectiveNode

from headwater.engine.schema import ApiSchema, string_list_argument
from headwater.values.identity import AuthMode, AwsPrincipal, GraphQLCaller

_COGNITO: Final = "AMAZON_COGNITO_USER_POOLS"
_MODES: Final[Mapping[str, AuthMode]] = MappingProxyType(
    {
        "aws_api_key": "API_KEY",
        "aws_iam": "AWS_IAM",
        "aws_oidc": "OPENID_CONNECT",
        "aws_lambda": "AWS_LAMBDA",
        "aws_cognito_user_pools": "AMAZON_COGNITO_USER_POOLS",
    }
)
# The groups that may pass in each mode; None: everybody.
_Rule = Mapping[AuthMode, frozenset[str] | None]


class IamPolicies(Protocol):
    """What the policies of a principal say of `appsync:GraphQL` on a field."""

    def allows(self, principal: AwsPrincipal, type_name: str, field_name: str) -> bool:
        """Whether the field is granted and not denied."""
        ...

    def denies(self, principal: AwsPrincipal, type_name: str, field_name: str) -> bool:
        """Whether a Deny statement covers the field."""
        ...


class Authorization:
    """The access rules of one API.

    A field's directives override its type's; with neither, only the default mode may see it. `default_action` is the
    Cognito user pool's: DENY hides fields without a directive. `iam_policies` have to grant root fields; grants on them
    are enough to read what they return, unless a statement denies a field below.
    """

    def __init__(
        self,
        schema: ApiSchema,
        *,
        default_mode: AuthMode,
        modes: tuple[AuthMode, ...],
        iam_policies: IamPolicies | None = None,
        default_action: Literal["ALLOW", "DENY"] = "ALLOW",
    ) -> None:
        self._schema = schema
        self._default_mode = default_mode
        self._is_cognito_only = set(modes) | {default_mode} == {_COGNITO}
        self._iam_policies = iam_policies
        self._roots = _root_names(schema)
        closed = default_action == "DENY" and default_mode == _COGNITO
        self._default: _Rule = {} if closed else {default_mode: None}
        self._rules = {place: self._rule(directives) for place, directives in schema.directives.items()}
        self._groups = frozenset(
            group for rule in self._rules.values() for groups in (rule or {}).values() for group in groups or ()
        )

    def key(self, caller: GraphQLCaller) -> Hashable:
        """Equal for callers who may see exactly the same fields, so that compiled plans can be shared."""
        principal = caller.principal if caller.mode == "AWS_IAM" and self._iam_policies else None
        groups = self._groups.intersection(caller.groups) if caller.mode == _COGNITO and self._groups else None
        return (caller.mode, groups, caller.denied_fields, principal)

    def is_allowed(self, caller: GraphQLCaller, type_name: str, field_name: str) -> bool:
        """Whether the caller may see a field of an object type."""
        if caller.denied_fields and f"{type_name}.{field_name}" in caller.denied_fields:
            return False
        rule = self._rules.get((type_name, field_name)) or self._rules.get((type_name, "")) or self._default
        if caller.mode not in rule:
            return False
        groups = rule[caller.mode]
        if groups is not None and groups.isdisjoint(caller.groups):
            return False
        return not self.is_withheld(caller, type_name, field_name)

    def is_withheld(self, caller: GraphQLCaller, type_name: str, field_name: str) -> bool:
        """Whether the policies of an IAM caller keep a field from it."""
        policies = self._iam_policies
        if caller.mode != "AWS_IAM" or policies is None:
            return False
        if caller.principal is None:
            return True
        if type_name in self._roots:
            return not policies.allows(caller.principal, type_name, field_name)
        return policies.denies(caller.principal, type_name, field_name)

    def _rule(self, directives: tuple[DirectiveNode, ...]) -> _Rule | None:
        """None if no directive says anything about access."""
        rule: dict[AuthMode, frozenset[str] | None] = {}
        for directive in directives:
            mode = _MODES.get(directive.name.value)
            groups = frozenset(string_list_argument(directive, "cognito_groups")) or None
            if mode is not None:
                rule[mode] = groups
            elif directive.name.value == "aws_auth" and self._is_cognito_only:
                rule[self._default_mode] = groups
        return rule or None


def _root_names(schema: ApiSchema) -> frozenset[str]:
    graphql = schema.graphql
    roots = (graphql.query_type, graphql.mutation_type, graphql.subscription_type)
    return frozenset(root.name for root in roots if root)
