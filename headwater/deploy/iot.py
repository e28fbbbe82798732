"""Topic rules of the template, and the REST services around devices."""

from collections.abc import Mapping
from urllib.parse import parse_qs, unquote

from headwater.deploy.deployment import Deployment
from headwater.deploy.routing import json_response
from headwater.deploy.schedules import SchedulerApi
from headwater.errors import TemplateError
from headwater.template.intrinsics import Resource
from headwater.values.http import HttpHandler, HttpRequest, HttpResponse
from headwater.values.topics import TopicError, check_topic


async def deploy_rule(deployment: Deployment, resource: Resource) -> None:
    """Compile a rule and let it see publishes."""
    name = deployment.stack.physical_id(resource.logical_id)
    if not name.replace("_", "").isalnum():
        raise TemplateError(f"{name!r} is no rule name: letters, digits and _", property_path="RuleName")
    deployed = deployment.rules.add(name, resource.properties["TopicRulePayload"])
    deployment.report(resource, f"{name} on {deployed.rule.topic_filter or 'Basic Ingest only'}")


def rest_services(deployment: Deployment) -> Mapping[str, HttpHandler]:
    """The REST APIs by the service name in their signatures."""
    data = IotDataApi(deployment)
    return {
        "iotdata": data.handle,
        "iotdevicegateway": data.handle,
        "scheduler": SchedulerApi(deployment.schedules).handle,
    }


class IotDataApi:
    """The IoT data plane. Source: AWS IoT Core API Reference, Publish."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Publish; every other call is refused by its path."""
        if request.method == "POST" and request.raw_path.startswith("/topics/"):
            return await self._publish(request)
        return json_response(404, {"message": f"{request.method} {request.raw_path} does not work here; Publish does"})

    async def _publish(self, request: HttpRequest) -> HttpResponse:
        topic = unquote(request.raw_path.removeprefix("/topics/"))
        query = parse_qs(request.raw_query)
        qos, retain = query.get("qos", ["0"])[0], query.get("retain", ["false"])[0] == "true"
        if qos not in ("0", "1"):
            return json_response(400, {"message": f"qos {qos!r} is not 0 or 1"})
        if len(request.body) > 128 * 1024:
            return json_response(413, {"message": f"the payload has {len(request.body)} bytes; the limit is 131072"})
        try:
            check_topic(topic)
            await self._deployment.mqtt.publish(topic, request.body, qos=int(qos), retain=retain)
        except TopicError as error:
            return json_response(400, {"message": str(error)})
        return json_response(200, {"message": "OK"})
