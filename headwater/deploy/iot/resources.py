"""Things, policies and topic rules of the template, and the REST services around devices."""

import json
from collections.abc import Mapping
from typing import Any

from headwater.deploy.authorizers.http import CustomHttp
from headwater.deploy.deployment import Deployment
from headwater.deploy.iot.api import IotApi
from headwater.deploy.iot.data_api import IotDataApi, data_permissions
from headwater.deploy.iot.operations import permissions
from headwater.deploy.iot.shadows import shadow_permissions
from headwater.errors import TemplateError
from headwater.server.aws.api import RestPermissions
from headwater.server.aws.permissions import Account, Permission
from headwater.template.intrinsics import Resource
from headwater.values.http import HttpHandler, HttpRequest, HttpResponse

_GROUP_TYPE = "AWS::IoT::ThingGroup"


async def deploy_rule(deployment: Deployment, resource: Resource) -> None:
    """Compile a rule and let it see publishes."""
    name = deployment.stack.physical_id(resource.logical_id)
    if not name.replace("_", "").isalnum():
        raise TemplateError(f"{name!r} is no rule name: letters, digits and _", property_path="RuleName")
    deployed = deployment.rules.add(name, resource.properties["TopicRulePayload"])
    deployment.report(resource, f"{name} on {deployed.rule.topic_filter or 'Basic Ingest only'}")


async def deploy_policy(deployment: Deployment, resource: Resource) -> None:
    """Make a policy what the template says, also where it is attached already."""
    name = deployment.stack.physical_id(resource.logical_id)
    document = resource.properties["PolicyDocument"]
    text = document if isinstance(document, str) else json.dumps(document)
    await deployment.devices.policies.replace(name, text)
    deployment.report(resource, name)


async def deploy_thing_type(deployment: Deployment, resource: Resource) -> None:
    """Make a thing type what the template says."""
    name = deployment.stack.physical_id(resource.logical_id)
    given: Mapping[str, Any] = resource.properties.get("ThingTypeProperties") or {}
    is_deprecated = str(resource.properties.get("DeprecateThingType", "false")).lower() == "true"
    await deployment.devices.things.replace_type(name, _uncapitalized(given), is_deprecated=is_deprecated)
    deployment.report(resource, name)


async def deploy_thing_group(deployment: Deployment, resource: Resource) -> None:
    """Make a thing group what the template says, after those of the template that it is below; its things stay."""
    groups = {deployment.stack.physical_id(one.logical_id): one for one in deployment.of_type(_GROUP_TYPE)}
    name = deployment.stack.physical_id(resource.logical_id)
    lineage: dict[str, Resource] = {}
    while name in groups and name not in lineage:
        lineage[name] = groups[name]
        name = str(groups[name].properties.get("ParentGroupName", ""))
    for one, group in reversed(lineage.items()):
        given: Mapping[str, Any] = group.properties.get("ThingGroupProperties") or {}
        properties = _uncapitalized(given)
        if "attributePayload" in properties:
            properties["attributePayload"] = {"attributes": _attributes(given["AttributePayload"])}
        await deployment.devices.groups.replace(one, group.properties.get("ParentGroupName"), properties)
    deployment.report(resource, next(iter(lineage)))


async def deploy_thing(deployment: Deployment, resource: Resource) -> None:
    """Make a thing what the template says; its certificates stay attached."""
    name = deployment.stack.physical_id(resource.logical_id)
    attributes = _attributes(resource.properties.get("AttributePayload") or {})
    await deployment.devices.things.replace(name, None, attributes)
    deployment.report(resource, name)


def _attributes(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {member: _text(value) for member, value in (payload.get("Attributes") or {}).items()}


def _uncapitalized(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The API's names of CloudFormation's properties."""
    return {member[:1].lower() + member[1:]: value for member, value in properties.items()}


def _text(value: Any) -> Any:
    """CloudFormation makes text of scalars where the API wants text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def rest_services(deployment: Deployment) -> Mapping[str, HttpHandler]:
    """The REST APIs by the service name in their signatures."""
    data = IotDataApi(deployment.mqtt, deployment.clock)

    async def answer_data(request: HttpRequest) -> HttpResponse:
        return await deployment.shadows.handle(request) or await data.handle(request)

    return {
        "iot": IotApi(
            deployment.devices,
            deployment.stack.environment.iot_endpoint,
            more=[deployment.provisioning.api.handlers(), deployment.custom.api.handlers()],
        ).handle,
        "iotdata": answer_data,
        "iotdevicegateway": answer_data,
    }


def custom_http(deployment: Deployment) -> CustomHttp:
    """HTTP publishes without a signature, which custom authorizers decide on."""
    return CustomHttp(
        deployment.custom.authentication,
        deployment.custom.authorizers,
        deployment.devices.account,
        publish=IotDataApi(deployment.mqtt, deployment.clock).handle,
        clock=deployment.clock,
    )


def rest_permissions() -> Mapping[str, RestPermissions]:
    """What requests of these services need, where path and method do not say it."""

    def data_needs(request: HttpRequest, account: Account) -> list[Permission]:
        return shadow_permissions(request, account) or data_permissions(request, account)

    return {"iot": permissions, "iotdata": data_needs, "iotdevicegateway": data_needs}
