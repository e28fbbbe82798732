"""Event buses, rules and schedules of the template."""

from fnmatch import fnmatchcase
from typing import Any

import orjson

from headwater.deploy.deployment import Deployment
from headwater.deploy.events.graphql_target import GraphQLTargets
from headwater.deploy.events.rule import TARGET_SERVICES, parse_rule, parse_target
from headwater.errors import ServiceError, TemplateError
from headwater.template.intrinsics import Resource
from headwater.values.aws import service_of


async def deploy_bus(deployment: Deployment, resource: Resource) -> None:
    """Make an event bus."""
    name = deployment.stack.physical_id(resource.logical_id)
    deployment.events.buses.add(name)
    deployment.report(resource, name)


async def deploy_rule(deployment: Deployment, resource: Resource) -> None:
    """Add a rule; its targets must be parts of this stack."""
    properties: dict[str, Any] = dict(resource.properties)
    if isinstance(properties.get("EventPattern"), dict):
        properties["EventPattern"] = orjson.dumps(resource.properties["EventPattern"]).decode()
    name = deployment.stack.physical_id(resource.logical_id)
    bus = str(properties.get("EventBusName") or "default").rsplit("/", 1)[-1]
    arn = deployment.events.arn(f"rule/{name}" if bus == "default" else f"rule/{bus}/{name}")
    targets = properties.get("Targets") or []
    for target in targets:
        if service_of(str(target["Arn"])) == "appsync":
            _check_graphql_target(deployment, target)
        else:
            _check_target(deployment, str(target["Arn"]), "Targets")
    try:
        deployment.events.add(parse_rule(name, arn, properties, targets))
    except ServiceError as error:
        raise TemplateError(error.message) from error
    for target in targets:
        warn_without_permission(deployment, str(target["Arn"]), "events.amazonaws.com", arn, resource.logical_id)
    what = properties.get("ScheduleExpression") or f"events on {bus}"
    deployment.report(resource, f"{what} -> {', '.join(_shown(str(target['Arn'])) for target in targets) or 'nothing'}")


async def deploy_schedule(deployment: Deployment, resource: Resource) -> None:
    """Keep a schedule; unchanged ones go on where they were."""
    properties: dict[str, Any] = dict(resource.properties)
    name = deployment.stack.physical_id(resource.logical_id)
    group = str(properties.get("GroupName") or "default")
    target = properties.get("Target") or {}
    _check_target(deployment, str(target.get("Arn", "")), "Target.Arn")
    try:
        await deployment.schedules.declare(group, name, properties, resource.logical_id)
    except ServiceError as error:
        raise TemplateError(error.message) from error
    deployment.report(resource, f"{properties.get('ScheduleExpression')} -> {_shown(str(target['Arn']))}")


async def forget_old_schedules(deployment: Deployment) -> None:
    """Remove the schedules of resources that the template no longer has."""
    await deployment.schedules.forget_others(
        {resource.logical_id for resource in deployment.of_type("AWS::Scheduler::Schedule")}
    )


def _shown(arn: str) -> str:
    return arn.split(":", 5)[-1]


def _check_graphql_target(deployment: Deployment, given: dict[str, Any]) -> None:
    """Raises: TemplateError unless the API is part of this stack and can run the operation."""
    try:
        GraphQLTargets(deployment.apis, deployment.roles).require(parse_target(given))
    except ServiceError as error:
        raise deployment.faults.missing(error.message, str(given["Arn"]), property_path="Targets") from error


def _check_target(deployment: Deployment, arn: str, property_path: str) -> None:
    """Raises: TemplateError unless the target is a function, queue, stream or bus of this stack."""
    service = service_of(arn)
    if service not in TARGET_SERVICES:
        raise TemplateError(
            f"the target {arn!r} does not work here; functions, queues, streams, topics and event buses do",
            property_path=property_path,
        )
    try:
        if service == "lambda":
            deployment.functions.config(arn)
        elif service == "sqs":
            deployment.sqs.queue_source(arn)
        elif service == "kinesis":
            deployment.kinesis.stream_source(arn)
        elif service == "sns":
            deployment.topics.require(arn)
        elif arn.rsplit("/", 1)[-1] not in deployment.events.buses:
            raise ServiceError("ResourceNotFoundException", arn)
    except ServiceError as error:
        fault = f"{arn!r} is no part of this template"
        raise deployment.faults.missing(fault, arn, property_path=property_path) from error


def warn_without_permission(deployment: Deployment, arn: str, principal: str, source_arn: str, caller: str) -> None:
    """Warn about a function that AWS would not let a service call: no `AWS::Lambda::Permission` lets it."""
    if ":lambda:" not in arn or not deployment.options.checks_iam:
        return
    try:
        name = deployment.functions.config(arn).name
    except ServiceError:
        return  # a function at fault, whose fault is told
    for permission in deployment.of_type("AWS::Lambda::Permission"):
        given = permission.properties
        reference = str(given.get("FunctionName"))
        is_for_it = name in (reference, *reference.split(":"))
        is_caller = str(given.get("Principal")) in (principal, "*")
        if is_for_it and is_caller and fnmatchcase(source_arn, str(given.get("SourceArn") or "*")):
            return
    deployment.warnings.append(
        f"{caller} calls the function {name}, which AWS would refuse: no AWS::Lambda::Permission lets {principal} "
        f"call it from {source_arn}"
    )


def warn_about_topic_rules(deployment: Deployment) -> None:
    """Warn about functions that topic rules call without a permission."""
    for resource in deployment.of_type("AWS::IoT::TopicRule"):
        if resource.logical_id in deployment.faults.broken:
            continue
        payload = resource.properties.get("TopicRulePayload") or {}
        rule_arn = str(deployment.stack.get_att([resource.logical_id, "Arn"]))
        for action in payload.get("Actions") or []:
            function = (action.get("Lambda") or {}).get("FunctionArn")
            if function:
                warn_without_permission(deployment, str(function), "iot.amazonaws.com", rule_arn, resource.logical_id)
