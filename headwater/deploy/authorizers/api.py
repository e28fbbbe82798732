"""Authorizers and domain configurations in the `iot` API."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from headwater.deploy.authorizers.authorizers import Authorizers
from headwater.deploy.authorizers.credentials import Presented, verified_token
from headwater.deploy.authorizers.custom import FUNCTION_TIMEOUT_S, InvokeFunction
from headwater.deploy.authorizers.domains import Domains
from headwater.deploy.authorizers.grants import read_grant
from headwater.deploy.iot.database import Document
from headwater.deploy.iot.limits import invalid
from headwater.deploy.iot.members import Answer, Handler, marker_of, object_of, page, size_of, text_of, texts_of
from headwater.deploy.iot.operations import Call

_NAMES = ("authorizerName", "authorizerArn")
_DOMAIN_NAMES = ("domainConfigurationName", "domainConfigurationArn")
_DOMAIN_REFUSED = ("tlsConfig", "serverCertificateConfig", "clientCertificateConfig")


class AuthorizersApi:
    """What `handlers` gives answers one operation each. Every method raises ServiceError."""

    def __init__(
        self,
        authorizers: Authorizers,
        domains: Domains,
        *,
        invoke: InvokeFunction,
        function_exists: Callable[[str], bool],
        endpoint: str,
    ) -> None:
        self._authorizers = authorizers
        self._domains = domains
        self._invoke = invoke
        self._function_exists = function_exists
        self._endpoint = endpoint

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateAuthorizer": self.create,
            "DescribeAuthorizer": self.describe,
            "ListAuthorizers": self.list_all,
            "UpdateAuthorizer": self.update,
            "DeleteAuthorizer": self.delete,
            "TestInvokeAuthorizer": self.test,
            "SetDefaultAuthorizer": self.set_default,
            "DescribeDefaultAuthorizer": self.describe_default,
            "ClearDefaultAuthorizer": self.clear_default,
            "CreateDomainConfiguration": self.create_domain,
            "DescribeDomainConfiguration": self.describe_domain,
            "ListDomainConfigurations": self.list_domains,
            "UpdateDomainConfiguration": self.update_domain,
            "DeleteDomainConfiguration": self.delete_domain,
        }

    async def create(self, call: Call) -> Answer:
        self._check_function(call.body)
        return _picked(await self._authorizers.create(call.path["authorizerName"], call.body), _NAMES)

    async def describe(self, call: Call) -> Answer:
        return {"authorizerDescription": self._authorizers.describe(call.path["authorizerName"])}

    async def list_all(self, call: Call) -> Answer:
        rows, marker = self._authorizers.listed(
            status=call.query.get("status", ""),
            ascending=call.flag("isAscendingOrder"),
            token=marker_of(call),
            size=size_of(call, "pageSize"),
        )
        return page("authorizers", rows, "nextMarker", marker)

    async def update(self, call: Call) -> Answer:
        self._check_function(call.body)
        members = ("authorizerFunctionArn", "tokenKeyName", "tokenSigningPublicKeys", "status", "enableCachingForHttp")
        changed = {member: call.body.get(member) for member in members}
        return _picked(await self._authorizers.update(call.path["authorizerName"], changed), _NAMES)

    async def delete(self, call: Call) -> Answer:
        await self._authorizers.delete(call.path["authorizerName"])
        return {}

    async def test(self, call: Call) -> Answer:
        """Ask an authorizer's function, active or not, and show its answer."""
        authorizer = self._authorizers.describe(call.path["authorizerName"])
        token = text_of(call.body, "token")
        is_signed = not authorizer["signingDisabled"]
        if is_signed:
            verified_token(authorizer, token, text_of(call.body, "tokenSignature"))
        event = self._presented(call.body).event(token, is_verified=is_signed)
        answer = await self._invoke(
            authorizer["authorizerFunctionArn"], json.dumps(event).encode(), timeout_s=FUNCTION_TIMEOUT_S
        )
        grant = read_grant(answer)
        if grant is None:
            return {"isAuthenticated": False}
        return {
            "isAuthenticated": True,
            "principalId": grant.principal_id,
            "policyDocuments": list(grant.texts),
            "refreshAfterInSeconds": grant.refresh_after_s,
            "disconnectAfterInSeconds": grant.disconnect_after_s,
        }

    async def set_default(self, call: Call) -> Answer:
        return _picked(await self._authorizers.set_default(text_of(call.body, "authorizerName") or ""), _NAMES)

    async def describe_default(self, call: Call) -> Answer:
        return {"authorizerDescription": self._authorizers.default()}

    async def clear_default(self, call: Call) -> Answer:
        await self._authorizers.clear_default()
        return {}

    async def create_domain(self, call: Call) -> Answer:
        self._check_domain(call.body)
        return _picked(await self._domains.create(call.path["domainConfigurationName"], call.body), _DOMAIN_NAMES)

    async def describe_domain(self, call: Call) -> Answer:
        return self._domains.describe(call.path["domainConfigurationName"])

    async def list_domains(self, call: Call) -> Answer:
        rows, marker = self._domains.listed(token=marker_of(call), size=size_of(call, "pageSize"))
        return page("domainConfigurations", rows, "nextMarker", marker)

    async def update_domain(self, call: Call) -> Answer:
        self._check_domain(call.body)
        members = ("authorizerConfig", "domainConfigurationStatus", "authenticationType", "applicationProtocol")
        document = await self._domains.update(
            call.path["domainConfigurationName"],
            {member: call.body.get(member) for member in members},
            removes_authorizer=call.body.get("removeAuthorizerConfig") is True,
        )
        return _picked(document, _DOMAIN_NAMES)

    async def delete_domain(self, call: Call) -> Answer:
        await self._domains.delete(call.path["domainConfigurationName"])
        return {}

    def _check_function(self, body: Mapping[str, Any]) -> None:
        arn = body.get("authorizerFunctionArn")
        if isinstance(arn, str) and not self._function_exists(arn):
            raise invalid(f"authorizerFunctionArn: there is no function {arn}")

    def _check_domain(self, body: Mapping[str, Any]) -> None:
        for member in _DOMAIN_REFUSED:
            if body.get(member) is not None:
                raise invalid(f"{member} does not work here")

    def _presented(self, body: Mapping[str, Any]) -> Presented:
        http, mqtt, tls = (object_of(body, f"{name}Context") for name in ("http", "mqtt", "tls"))
        password = text_of(mqtt, "password")
        try:
            decoded = None if password is None else base64.b64decode(password, validate=True)
        except ValueError as error:
            raise invalid(f"mqttContext.password is not base64: {error}") from error
        return Presented(
            server_name=text_of(tls, "serverName") or self._endpoint,
            headers=tuple(texts_of(http, "headers").items()),
            query=(text_of(http, "queryString") or "").removeprefix("?"),
            username=text_of(mqtt, "username"),
            password=decoded,
            client_id=text_of(mqtt, "clientId"),
            has_mqtt=bool(mqtt),
            has_http=bool(http),
        )


def _picked(document: Document, members: tuple[str, ...]) -> Answer:
    return {member: document[member] for member in members}
