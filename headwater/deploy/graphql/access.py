"""Who may call a GraphQL API: its authorization modes from `AuthenticationType` and the additional providers."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson

from headwater.auth.appsync import (
    ApiKeys,
    AppSyncAuthenticator,
    AuthSettings,
    OidcProvider,
    UserPool,
)
from headwater.auth.authorizer import LambdaAuthorizer
from headwater.deploy.deployment import Deployment
from headwater.deploy.graphql.oidc import oidc_provider, pattern_of
from headwater.deploy.roles import Roles
from headwater.errors import TemplateError
from headwater.template.attributes import ATTRIBUTES, Named
from headwater.template.intrinsics import Resource
from headwater.values.identity import AuthMode, AwsPrincipal

# Source: AppSync Developer Guide, "AWS_LAMBDA authorization".
AUTHORIZER_TIMEOUT_S = 10.0
_LONGEST_KEY_LIFE_S = 365 * 24 * 3600


class FieldPolicies:
    """What the stack's roles may do with the fields of one API, known by its ARN."""

    def __init__(self, roles: Roles, api_arn: str) -> None:
        self._roles = roles
        self._api_arn = api_arn

    def allows(self, principal: AwsPrincipal, type_name: str, field_name: str) -> bool:
        """See IamPolicies.allows."""
        return self._roles.is_allowed(principal, "appsync:GraphQL", self._field(type_name, field_name))

    def denies(self, principal: AwsPrincipal, type_name: str, field_name: str) -> bool:
        """See IamPolicies.denies."""
        return self._roles.is_denied(principal, "appsync:GraphQL", self._field(type_name, field_name))

    def _field(self, type_name: str, field_name: str) -> str:
        return f"{self._api_arn}/types/{type_name}/fields/{field_name}"


class ApiAccess:
    """The modes of one API; `key_resources` are its `AWS::AppSync::ApiKey`s."""

    def __init__(self, deployment: Deployment, api: Resource, api_id: str, key_resources: Sequence[Resource]) -> None:
        self._deployment = deployment
        self._api = api
        self._api_id = api_id
        self._key_resources = key_resources
        self._providers: list[Mapping[str, Any]] = [
            api.properties,
            *(api.properties.get("AdditionalAuthenticationProviders") or []),
        ]

    @property
    def additional_modes(self) -> tuple[AuthMode, ...]:
        return tuple(provider["AuthenticationType"] for provider in self._providers[1:])

    @property
    def default_action(self) -> Literal["ALLOW", "DENY"]:
        action = (self._api.properties.get("UserPoolConfig") or {}).get("DefaultAction", "ALLOW")
        return "DENY" if action == "DENY" else "ALLOW"

    @property
    def has_authorizer(self) -> bool:
        return any(provider["AuthenticationType"] == "AWS_LAMBDA" for provider in self._providers)

    async def authenticator(self) -> tuple[AppSyncAuthenticator, tuple[str, ...]]:
        """What lets callers in, and the API keys. Raises: TemplateError for a mode that cannot work."""
        pools: list[UserPool] = []
        issuers: list[OidcProvider] = []
        allowed = frozenset(self._deployment.options.allowed_hosts)
        for provider in self._providers:
            mode = provider["AuthenticationType"]
            if mode == "AMAZON_COGNITO_USER_POOLS":
                pools.append(self._pool(provider.get("UserPoolConfig") or {}))
            elif mode == "OPENID_CONNECT":
                issuers.append(await oidc_provider(provider.get("OpenIDConnectConfig") or {}, allowed.__contains__))
        modes = {provider["AuthenticationType"] for provider in self._providers}
        keys = self._api_keys()
        settings = AuthSettings(
            api_id=self._api_id,
            account_id=self._deployment.options.account_id,
            endpoint_path=self._deployment.stack.environment.api_path(self._api.logical_id),
            api_keys=ApiKeys(keys) if "API_KEY" in modes else None,
            is_iam="AWS_IAM" in modes,
            user_pools=tuple(pools),
            oidc_providers=tuple(issuers),
            authorizer=self._authorizer(),
        )
        find_secret = self._deployment.roles.find_secret
        return AppSyncAuthenticator(settings, find_secret=find_secret, invoke=self._ask_authorizer), tuple(keys)

    def _authorizer(self) -> LambdaAuthorizer | None:
        for provider in self._providers:
            if provider["AuthenticationType"] == "AWS_LAMBDA":
                config = provider["LambdaAuthorizerConfig"]
                return LambdaAuthorizer(
                    str(config["AuthorizerUri"]),
                    float(config.get("AuthorizerResultTtlInSeconds", 300)),
                    pattern_of(config, "LambdaAuthorizerConfig", "IdentityValidationExpression"),
                )
        return None

    async def _ask_authorizer(self, function: str, event: dict[str, Any]) -> Any:
        return await self._deployment.deciding.ask(function, orjson.dumps(event), timeout_s=AUTHORIZER_TIMEOUT_S)

    def _pool(self, config: Mapping[str, Any]) -> UserPool:
        pool_id = str(config.get("UserPoolId"))
        pool = self._deployment.user_pools.pools.get(pool_id)
        if pool is None:
            raise TemplateError(
                f"{pool_id!r} is no user pool of this template", property_path="UserPoolConfig.UserPoolId"
            )
        return UserPool(
            pool.issuer,
            pool.verifier(),
            pattern_of(config, "UserPoolConfig", "AppIdClientRegex"),
            str(config.get("DefaultAction", "ALLOW")),
        )

    def _api_keys(self) -> dict[str, float]:
        keys: dict[str, float] = {}
        for resource in self._key_resources:
            named = Named(resource.logical_id, "", dict, self._deployment.stack.environment)
            key = str(ATTRIBUTES["AWS::AppSync::ApiKey"]["ApiKey"](named))
            with self._deployment.faults.collecting(resource.logical_id):
                keys[key] = expiry_of(resource.properties.get("Expires"), self._deployment.clock())
        return keys


def expiry_of(expires: Any, now: float) -> float:
    """When an API key ends, in epoch seconds. Raises: TemplateError for a time that AWS does not take."""
    latest = now + _LONGEST_KEY_LIFE_S
    if expires is None:
        # Local keys are not renewed by a deployment every week, so one without an expiry lasts as long as it may.
        return latest
    if not now < float(expires) <= latest:
        raise TemplateError(
            f"{expires!r}: AWS takes epoch seconds from 1 to 365 days ahead, now is {int(now)}",
            property_path="Expires",
        )
    return float(expires)
