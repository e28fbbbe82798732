"""SNS topics and subscriptions of the template."""

from collections.abc import Mapping
from typing import Any

from headwater.deploy.deployment import Deployment
from headwater.deploy.events.resources import warn_without_permission
from headwater.deploy.topics.topics import subscription_of
from headwater.errors import ServiceError, TemplateError
from headwater.template.intrinsics import Resource


async def deploy_topic(deployment: Deployment, resource: Resource) -> None:
    """Make a topic with the subscriptions it states itself."""
    name = deployment.stack.physical_id(resource.logical_id)
    topic_arn = deployment.topics.prefix + name
    deployment.topics.topics.add(topic_arn)
    for number, given in enumerate(resource.properties.get("Subscription") or []):
        _subscribe(deployment, f"{resource.logical_id}-{number}", {**given, "TopicArn": topic_arn})
    deployment.report(resource, name)


async def deploy_subscription(deployment: Deployment, resource: Resource) -> None:
    """Subscribe a queue or function of the stack to a topic."""
    properties = resource.properties
    _subscribe(deployment, resource.logical_id, properties)
    topic, endpoint = str(properties["TopicArn"]), str(properties["Endpoint"])
    warn_without_permission(deployment, endpoint, "sns.amazonaws.com", topic, resource.logical_id)
    deployment.report(resource, f"{topic.rsplit(':', 1)[-1]} -> {endpoint.split(':', 5)[-1]}")


def _subscribe(deployment: Deployment, identifier: str, given: Mapping[str, Any]) -> None:
    topic, endpoint = str(given["TopicArn"]), str(given["Endpoint"])
    try:
        deployment.topics.require(topic)
    except ServiceError as error:
        raise deployment.faults.missing(
            f"{topic!r} is no topic of this template", topic, property_path="TopicArn"
        ) from error
    try:
        made = subscription_of(f"{topic}:{identifier}", topic, str(given["Protocol"]), endpoint, given)
        deployment.topics.add(made)
        if made.protocol == "lambda":
            deployment.functions.config(endpoint)
        else:
            deployment.sqs.queue_source(endpoint)
    except ServiceError as error:
        if error.code == "InvalidParameter":
            raise TemplateError(error.message) from error
        fault = f"{endpoint!r} is no queue or function of this template"
        raise deployment.faults.missing(fault, endpoint, property_path="Endpoint") from error
