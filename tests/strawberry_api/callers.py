"""Who calls: identities as AppSync puts them into the context, and what the schema's directives let them do."""

from dataclasses import dataclass
from typing import Any

from graphql import DirectiveNode, ListValueNode, ObjectTypeDefinitionNode, StringValueNode, parse

from tests.template.schema_file import schema_text


@dataclass(frozen=True)
class Caller:
    """One caller; `identity` is AppSync's, None for an API key."""

    directive: str
    identity: dict[str, Any] | None
    groups: tuple[str, ...] = ()


def person(tenant_id: str | None, *groups: str) -> Caller:
    claims = {"sub": "7d9f", "cognito:groups": list(groups)}
    if tenant_id is not None:
        claims["custom:tenantId"] = tenant_id
    identity = {
        "sub": "7d9f",
        "issuer": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_pool",
        "username": "ada",
        "claims": claims,
        "sourceIp": ["127.0.0.1"],
        "defaultAuthStrategy": "ALLOW",
        "groups": list(groups) or None,
    }
    return Caller("aws_cognito_user_pools", identity, groups)


API_KEY = Caller("aws_api_key", None)
SERVICE = Caller(
    "aws_iam",
    {
        "accountId": "123456789012",
        "cognitoIdentityPoolId": None,
        "cognitoIdentityId": None,
        "sourceIp": ["127.0.0.1"],
        "username": "AIDAEXAMPLE",
        "userArn": "arn:aws:iam::123456789012:role/service",
        "cognitoIdentityAuthType": None,
        "cognitoIdentityAuthProvider": None,
    },
)


def partner(tenant_id: str) -> Caller:
    return Caller("aws_lambda", {"resolverContext": {"tenantId": tenant_id, "tokenId": "0123456789abcdef"}})


_DIRECTIVES = {
    (definition.name.value, field.name.value): field.directives
    for definition in parse(schema_text()).definitions
    if isinstance(definition, ObjectTypeDefinitionNode)
    for field in definition.fields or ()
}


def may_call(caller: Caller, type_name: str, field_name: str) -> bool:
    """Follow the directives of a root field: any that fits lets the caller in."""
    return any(_fits(caller, directive) for directive in _DIRECTIVES[type_name, field_name] or ())


def _fits(caller: Caller, directive: DirectiveNode) -> bool:
    if directive.name.value != caller.directive:
        return False
    groups: set[str] = set()
    for argument in directive.arguments or ():
        assert isinstance(argument.value, ListValueNode)
        groups |= {value.value for value in argument.value.values if isinstance(value, StringValueNode)}
    return not groups or bool(groups & set(caller.groups))
