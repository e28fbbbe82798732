"""Fleet provisioning of an instance: its parts, and the templates of the stack."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headwater.deploy.deployment import Deployment
from headwater.deploy.iot.invocation import DecidingFunctions
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.provisioning.api import ProvisioningApi
from headwater.deploy.provisioning.ownership import Ownership
from headwater.deploy.provisioning.registration import Authorize, Registration
from headwater.deploy.provisioning.requests import Answer, FleetProvisioning
from headwater.deploy.provisioning.templates import ProvisioningTemplates, Settings, hook_arn_of
from headwater.deploy.roles import Roles
from headwater.errors import ServiceError, TemplateError
from headwater.template.intrinsics import Resource
from headwater.values.identity import AwsPrincipal

_TOKEN_BYTES = 192


@dataclass(frozen=True, slots=True)
class Provisioning:
    """Everything about fleet provisioning; `requests` answers devices, `api` the `iot` API."""

    templates: ProvisioningTemplates
    ownership: Ownership
    requests: FleetProvisioning
    api: ProvisioningApi

    @classmethod
    def of(
        cls,
        registry: DeviceRegistry,
        roles: Roles,
        functions: DecidingFunctions,
        *,
        answer: Answer,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> "Provisioning":
        templates = ProvisioningTemplates(registry.database, registry.account, clock=clock)
        registration = Registration(registry, clock=clock, new_id=new_id)
        ownership = Ownership(registry.database, clock=clock, new_token=lambda: secrets.token_urlsafe(_TOKEN_BYTES))
        requests = FleetProvisioning(
            registry.certificates,
            templates,
            registration,
            ownership,
            invoke=functions.ask,
            authorize=lambda role_arn: _authorize_role(roles, role_arn),
            answer=answer,
        )
        api = ProvisioningApi(registry, templates, registration, function_exists=functions.exists)
        return cls(templates, ownership, requests, api)


def _authorize_role(roles: Roles, role_arn: str) -> Authorize:
    name = role_arn.rsplit("/", 1)[-1]
    principal = AwsPrincipal("", roles.account_id, name)

    def authorize(action: str, resource: str) -> None:
        # A role that the template does not have is one that a test made up.
        if roles.has_role(name):
            roles.authorize(principal, action, [resource])

    return authorize


async def deploy_template(deployment: Deployment, resource: Resource) -> None:
    """Make a provisioning template what the stack's template says."""
    properties = resource.properties
    name = deployment.stack.physical_id(resource.logical_id)
    hook: dict[str, Any] = properties.get("PreProvisioningHook") or {}
    settings = Settings(
        role_arn=str(properties["ProvisioningRoleArn"]),
        description=str(properties.get("Description", "")),
        is_enabled=str(properties.get("Enabled", "false")).lower() == "true",
        hook_arn=hook_arn_of({member[:1].lower() + member[1:]: value for member, value in hook.items()}),
    )
    if settings.hook_arn is not None and not deployment.deciding.exists(settings.hook_arn):
        message = f"there is no function {settings.hook_arn}"
        raise TemplateError(message, property_path="PreProvisioningHook.TargetArn")
    try:
        await deployment.provisioning.templates.replace(name, properties["TemplateBody"], settings)
    except ServiceError as error:
        raise TemplateError(error.message, property_path="TemplateBody") from error
    deployment.report(resource, name if settings.is_enabled else f"{name} (not enabled)")
