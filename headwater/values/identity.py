"""Who calls: the principal behind a request, whatever protocol carried it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

AuthMode = Literal["API_KEY", "AWS_IAM", "AMAZON_COGNITO_USER_POOLS", "OPENID_CONNECT", "AWS_LAMBDA"]


@dataclass(frozen=True, slots=True)
class AwsPrincipal:
    """The owner of an access key. `role_name` is None for the administrator, who may do everything.

    `session_name` tells who has assumed the role: a function by its name, a service by a name of its own.
    """

    access_key_id: str
    account_id: str
    role_name: str | None = None
    session_name: str = ""

    @property
    def is_administrator(self) -> bool:
        return self.role_name is None


@dataclass(frozen=True, slots=True)
class GraphQLCaller:
    """An authenticated AppSync caller.

    `identity` is exactly what resolvers see as `ctx.identity` (None for an API key); `groups` are the verified
    `cognito:groups`; `denied_fields` holds `Type.field` names from a Lambda authorizer.
    """

    mode: AuthMode
    identity: Mapping[str, Any] | None = None
    groups: tuple[str, ...] = ()
    denied_fields: frozenset[str] = frozenset()
    principal: AwsPrincipal | None = None
    source_ip: tuple[str, ...] = field(default=())
