"""The caller of a GraphQL request, exactly as resolvers see it in `ctx.identity`."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.values.aws import principal_arn
from headwater.values.identity import AwsPrincipal, GraphQLCaller


def api_key_caller(source_ip: Sequence[str]) -> GraphQLCaller:
    """An API key has no identity."""
    return GraphQLCaller("API_KEY", None, source_ip=tuple(source_ip))


def iam_caller(principal: AwsPrincipal, source_ip: Sequence[str]) -> GraphQLCaller:
    """The members of a Cognito identity pool are null, since such credentials do not exist here."""
    session = principal.session_name or principal.role_name
    identity = {
        "accountId": principal.account_id,
        "cognitoIdentityPoolId": None,
        "cognitoIdentityId": None,
        "sourceIp": list(source_ip),
        "username": f"{principal.access_key_id}:{session}" if principal.role_name else principal.access_key_id,
        "userArn": principal_arn(principal),
        "cognitoIdentityAuthType": None,
        "cognitoIdentityAuthProvider": None,
    }
    return GraphQLCaller("AWS_IAM", identity, principal=principal, source_ip=tuple(source_ip))


def cognito_caller(claims: Mapping[str, Any], source_ip: Sequence[str], default_action: str) -> GraphQLCaller:
    """`username` is `cognito:username` of an id token or `username` of an access token; no groups is null."""
    groups = claims.get("cognito:groups")
    identity = {
        "sub": claims.get("sub"),
        "issuer": claims.get("iss"),
        "username": claims.get("cognito:username", claims.get("username")),
        "claims": dict(claims),
        "sourceIp": list(source_ip),
        "defaultAuthStrategy": default_action,
        "groups": list(groups) if groups else None,
    }
    return GraphQLCaller("AMAZON_COGNITO_USER_POOLS", identity, groups=tuple(groups or ()), source_ip=tuple(source_ip))


def oidc_caller(claims: Mapping[str, Any], source_ip: Sequence[str]) -> GraphQLCaller:
    """An OpenID Connect caller: `sub`, `issuer` and all claims."""
    identity = {"sub": claims.get("sub"), "issuer": claims.get("iss"), "claims": dict(claims)}
    return GraphQLCaller("OPENID_CONNECT", identity, source_ip=tuple(source_ip))
