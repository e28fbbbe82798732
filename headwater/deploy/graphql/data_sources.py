"""Data sources of GraphQL APIs, each with the rights of its service role."""

from typing import Any

import orjson

from headwater.datasource.sources.event_bridge import EventBridgeSource
from headwater.datasource.sources.lambda_source import LambdaSource
from headwater.datasource.sources.none_source import NoneSource
from headwater.datasource.tables.source import DynamoDbSource
from headwater.deploy.deployment import Deployment
from headwater.deploy.graphql.http import http_source
from headwater.errors import ServiceError, TemplateError
from headwater.server.aws.permissions import Account, permissions_of
from headwater.template.intrinsics import Resource
from headwater.values.identity import AwsPrincipal
from headwater.values.json_text import parse_json

# As users of the service have published it: terraform-aws-modules/terraform-aws-appsync#7.
_SESSION_NAME = "APPSYNC_ASSUME_ROLE"


def data_source(deployment: Deployment, resource: Resource) -> Any:
    """The data source of an `AWS::AppSync::DataSource`. Raises: TemplateError for a kind that does not work here."""
    properties = resource.properties
    kind = properties["Type"]
    if kind == "NONE":
        return NoneSource()
    if kind == "HTTP":
        return http_source(deployment, properties)
    principal = _principal(deployment, properties)
    if kind == "AWS_LAMBDA":
        return _lambda_source(deployment, properties, principal)
    if kind == "AMAZON_DYNAMODB":
        return _table_source(deployment, properties, principal)
    if kind == "AMAZON_EVENTBRIDGE":
        return _event_source(deployment, properties, principal)
    raise TemplateError(f"{kind!r}: this data source does not work here", property_path="Type")


def _principal(deployment: Deployment, properties: dict[str, Any]) -> AwsPrincipal:
    role_arn = str(properties.get("ServiceRoleArn", ""))
    if not role_arn:
        raise TemplateError("missing: the data source needs a role", property_path="ServiceRoleArn")
    return AwsPrincipal("", deployment.options.account_id, role_arn.rsplit("/", 1)[-1], _SESSION_NAME)


def _lambda_source(deployment: Deployment, properties: dict[str, Any], principal: AwsPrincipal) -> LambdaSource:
    arn = str((properties.get("LambdaConfig") or {}).get("LambdaFunctionArn", ""))
    try:
        deployment.functions.config(arn)
    except ServiceError as error:
        fault = f"{arn!r} is no function of this template"
        raise deployment.faults.missing(fault, arn, property_path="LambdaConfig.LambdaFunctionArn") from error

    async def invoke(payload: bytes) -> Any:
        deployment.roles.authorize(principal, "lambda:InvokeFunction", [arn])
        return await deployment.functions.invoke(arn, payload)

    async def invoke_event(payload: bytes) -> Any:
        deployment.roles.authorize(principal, "lambda:InvokeFunction", [arn])
        return await deployment.functions.invoke_event(arn, payload)

    return LambdaSource(invoke, invoke_event)


def _table_source(deployment: Deployment, properties: dict[str, Any], principal: AwsPrincipal) -> DynamoDbSource:
    config = properties.get("DynamoDBConfig") or {}
    name = str(config.get("TableName", ""))
    if not name:
        raise TemplateError("missing", property_path="DynamoDBConfig.TableName")
    account = Account(deployment.options.region, deployment.options.account_id)
    allowed: set[tuple[str, str]] = set()

    def authorize(operation: str, request: dict[str, Any]) -> None:
        for needed in permissions_of(deployment.dynamodb.target_prefix, operation, request, account):
            for arn in needed.resources:
                if (needed.action, arn) not in allowed:
                    deployment.roles.authorize(principal, needed.action, [arn])
                    allowed.add((needed.action, arn))

    async def call(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        authorize(operation, request)
        return await deployment.dynamodb.call(operation, request)

    async def handle_condition(function: str, event: dict[str, Any]) -> Any:
        result = await deployment.functions.invoke(function, orjson.dumps(event))
        if result.function_error is not None:
            raise ServiceError("ConditionHandlerException", result.payload.decode(errors="replace"))
        try:
            return parse_json(result.payload)
        except ValueError as error:
            raise ServiceError("ConditionHandlerException", f"its reply cannot be read: {error}") from error

    return DynamoDbSource(
        call, name, region=deployment.options.region, tokens=deployment.page_tokens, handle_condition=handle_condition
    )


def _event_source(deployment: Deployment, properties: dict[str, Any], principal: AwsPrincipal) -> EventBridgeSource:
    arn = str((properties.get("EventBridgeConfig") or {}).get("EventBusArn", ""))
    if arn.split(":")[2:3] != ["events"]:
        raise TemplateError(f"{arn!r} is no event bus's ARN", property_path="EventBridgeConfig.EventBusArn")

    async def put_events(entries: list[dict[str, Any]]) -> dict[str, Any]:
        deployment.roles.authorize(principal, "events:PutEvents", [arn])
        return await deployment.events.put_events(entries)

    return EventBridgeSource(put_events, arn)
