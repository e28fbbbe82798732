"""Custom authorizers of an instance: their parts, and those of the stack's template."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.deploy.authorizers.api import AuthorizersApi
from headwater.deploy.authorizers.authorizers import Authorizers
from headwater.deploy.authorizers.custom import CustomAuthentication
from headwater.deploy.authorizers.domains import Domains
from headwater.deploy.deployment import Deployment
from headwater.deploy.iot.database import IotDatabase
from headwater.deploy.iot.invocation import DecidingFunctions
from headwater.errors import ServiceError, TemplateError
from headwater.server.aws.permissions import Account
from headwater.template.intrinsics import Resource

_log = logging.getLogger(__name__)


class Timers:
    """Work that starts after a delay on the event loop, kept until it is done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def later(self, delay_s: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.get_running_loop().call_later(delay_s, self._start, work)

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.ensure_future(work())
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a custom authorizer's grant was not refreshed", exc_info=error)


@dataclass(frozen=True, slots=True)
class CustomAuthorizers:
    """Everything about custom authorizers; `authentication` decides, `api` answers the `iot` API."""

    authorizers: Authorizers
    domains: Domains
    authentication: CustomAuthentication
    api: AuthorizersApi

    @classmethod
    def of(
        cls,
        database: IotDatabase,
        account: Account,
        functions: DecidingFunctions,
        *,
        clock: Callable[[], float],
        endpoint: str,
    ) -> "CustomAuthorizers":
        authorizers = Authorizers(database, account, clock=clock)
        domains = Domains(database, account, clock=clock)
        authentication = CustomAuthentication(
            authorizers, domains, invoke=functions.ask, later=Timers().later, clock=clock, endpoint=endpoint
        )
        api = AuthorizersApi(
            authorizers, domains, invoke=functions.ask, function_exists=functions.exists, endpoint=endpoint
        )
        return cls(authorizers, domains, authentication, api)


async def deploy_authorizer(deployment: Deployment, resource: Resource) -> None:
    """Make an authorizer what the stack's template says."""
    name = deployment.stack.physical_id(resource.logical_id)
    properties = resource.properties
    arn = str(properties["AuthorizerFunctionArn"])
    if not deployment.deciding.exists(arn):
        raise TemplateError(f"there is no function {arn}", property_path="AuthorizerFunctionArn")
    given = {
        "authorizerFunctionArn": arn,
        "tokenKeyName": properties.get("TokenKeyName"),
        "tokenSigningPublicKeys": properties.get("TokenSigningPublicKeys"),
        "status": properties.get("Status"),
        "signingDisabled": _flag(properties, "SigningDisabled"),
        "enableCachingForHttp": _flag(properties, "EnableCachingForHttp"),
    }
    await _replaced(deployment.custom.authorizers.replace(name, given))
    deployment.report(resource, name)


async def deploy_domain(deployment: Deployment, resource: Resource) -> None:
    """Make a domain configuration what the stack's template says."""
    name = deployment.stack.physical_id(resource.logical_id)
    properties = resource.properties
    config = properties.get("AuthorizerConfig")
    given: dict[str, Any] = {
        member[:1].lower() + member[1:]: properties.get(member)
        for member in ("DomainName", "ServiceType", "DomainConfigurationStatus", "AuthenticationType")
    }
    given["applicationProtocol"] = properties.get("ApplicationProtocol")
    if config is not None:
        given["authorizerConfig"] = {"allowAuthorizerOverride": _flag(config, "AllowAuthorizerOverride")}
        if config.get("DefaultAuthorizerName") is not None:
            given["authorizerConfig"]["defaultAuthorizerName"] = config["DefaultAuthorizerName"]
    await _replaced(deployment.custom.domains.replace(name, given))
    deployment.report(resource, f"{name} for {properties.get('DomainName', 'every host name')}")


def _flag(properties: Mapping[str, Any], name: str) -> bool:
    return str(properties.get(name, "false")).lower() == "true"


async def _replaced(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except ServiceError as error:
        raise TemplateError(error.message) from error
