"""The second implementation: Strawberry executes, the template says how a field is resolved, moto holds the data."""

import asyncio
import importlib
import time
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any

import boto3
import strawberry
from graphql import GraphQLError
from strawberry.dataloader import DataLoader

from headwater.appsync_js import JsModule, compile_module
from tests.strawberry_api.api import strawberry_schema
from tests.strawberry_api.callers import Caller, may_call
from tests.strawberry_api.filters import matches
from tests.strawberry_api.moto_aws import REGION
from tests.strawberry_api.table_source import SourceError, run_request
from tests.template.template_file import ROOT, chosen, load_template

LAMBDA_CONTEXT = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:function",
    aws_request_id="00000000-0000-0000-0000-000000000000",
    get_remaining_time_in_millis=lambda: 30_000,
)


class FieldError(Exception):
    """A resolver's error, with AppSync's type."""

    def __init__(self, message: str, error_type: str | None) -> None:
        super().__init__(message)
        self.error_type = error_type


@dataclass(frozen=True)
class Subscriber:
    """One running subscription: its filter and the events that passed it."""

    field_name: str
    filter: dict[str, Any] | None
    events: "asyncio.Queue[Any]"


@dataclass
class Backend:
    """The API on one table, under the template's true `conditions`; `published` are payloads of publish mutations."""

    table: str
    conditions: frozenset[str] = frozenset()
    subscribers: list[Subscriber] = field(default_factory=list)
    published: list[tuple[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.schema = strawberry_schema()
        resources = chosen(load_template()["Resources"], self.conditions)
        self._resources = resources
        self._resolvers = {
            (r["Properties"]["TypeName"], r["Properties"]["FieldName"]): r["Properties"]
            for r in resources.values()
            if r["Type"] == "AWS::AppSync::Resolver"
        }
        self._modules: dict[str, JsModule] = {}
        self._client = boto3.client("dynamodb", region_name=REGION)

    async def execute(self, query: str, variables: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Answer as AppSync does: data, and errors with path, errorType and message."""
        result = await self.schema.execute(query, variables, context_value=Request(self, caller))
        return _body(result)

    def execute_sync(self, query: str, variables: dict[str, Any], caller: Caller) -> dict[str, Any]:
        return _body(self.schema.execute_sync(query, variables, context_value=Request(self, caller)))

    async def subscribe(self, query: str, variables: dict[str, Any], caller: Caller) -> AsyncGenerator[Any, None]:
        stream = await self.schema.subscribe(query, variables, context_value=Request(self, caller))
        assert hasattr(stream, "__aiter__"), stream
        async for result in stream:
            yield _body(result)

    def publish(self, mutation: str, payload: Any) -> None:
        """Hand a mutation's result to the subscriptions that @aws_subscribe links and whose filter it passes."""
        self.published.append((mutation, payload))
        for subscriber in self.subscribers:
            linked = "publish" + subscriber.field_name.removeprefix("on")
            if linked == mutation and (subscriber.filter is None or matches(subscriber.filter, payload)):
                subscriber.events.put_nowait(payload)

    def resolver(self, type_name: str, field_name: str) -> dict[str, Any]:
        properties: dict[str, Any] = self._resolvers[type_name, field_name]
        return properties

    def function(self, logical_id: str) -> dict[str, Any]:
        properties: dict[str, Any] = self._resources[logical_id]["Properties"]
        return properties

    def module(self, location: str) -> JsModule:
        if location not in self._modules:
            code = (ROOT / "infra" / location).read_text(encoding="utf-8")
            self._modules[location] = compile_module(code, location)
        return self._modules[location]

    def call_source(self, resolver: dict[str, Any], request: Any) -> Any:
        """Do a data source request; raises SourceError."""
        source = self._source(resolver)
        if source["Type"] == "NONE":
            return request["payload"]
        if source["Type"] == "AMAZON_DYNAMODB":
            return run_request(self._client, self.table, request)
        return self.invoke(resolver, request["payload"])

    def invoke(self, resolver: dict[str, Any], event: Any) -> Any:
        """Call the handler behind a Lambda data source; its exception's class is the error type."""
        (function_id, _) = self._source(resolver)["LambdaConfig"]["LambdaFunctionArn"]["Fn::GetAtt"]
        module, _, name = self._resources[function_id]["Properties"]["Handler"].rpartition(".")
        try:
            return getattr(importlib.import_module(module), name)(event, LAMBDA_CONTEXT)
        except Exception as error:
            raise SourceError(str(error), type(error).__name__) from error

    def _source(self, resolver: dict[str, Any]) -> dict[str, Any]:
        (source_id, _) = resolver["DataSourceName"]["Fn::GetAtt"]
        properties: dict[str, Any] = self._resources[source_id]["Properties"]
        return properties


@dataclass
class Request:
    """The context of one GraphQL request."""

    backend: Backend
    caller: Caller
    loaders: dict[tuple[str, str], DataLoader[Any, Any]] = field(default_factory=dict)

    def resolve(self, info: Any, source: Any, arguments: dict[str, Any]) -> Any:
        """Resolve one field as its AWS::AppSync::Resolver says."""
        type_name, field_name = info._raw_info.parent_type.name, info.field_name
        self._authorize(type_name, field_name)
        resolver = self.backend.resolver(type_name, field_name)
        context = self._context(info, source, arguments)
        if "MaxBatchSize" in resolver:
            return self._load(type_name, field_name, resolver, context)
        try:
            if "CodeS3Location" not in resolver:
                return self.backend.invoke(resolver, context)
            result = self._run_code(resolver, context).result
        except SourceError as error:
            raise FieldError(error.message, error.error_type) from error
        if field_name.startswith("publish"):
            self.backend.publish(field_name, result)
        return result

    async def subscribe(self, info: Any, arguments: dict[str, Any]) -> AsyncGenerator[Any, None]:
        """Run the subscription's resolver, then yield what passes the filter it set."""
        field_name = info.field_name
        self._authorize("Subscription", field_name)
        resolver = self.backend.resolver("Subscription", field_name)
        try:
            outcome = self._run_code(resolver, self._context(info, None, arguments))
        except SourceError as error:
            raise FieldError(error.message, error.error_type) from error
        subscriber = Subscriber(field_name, outcome.subscription_filter, asyncio.Queue())
        self.backend.subscribers.append(subscriber)
        try:
            while True:
                yield await subscriber.events.get()
        finally:
            self.backend.subscribers.remove(subscriber)

    def _authorize(self, type_name: str, field_name: str) -> None:
        if type_name in ("Query", "Mutation", "Subscription") and not may_call(self.caller, type_name, field_name):
            raise FieldError(f"Not Authorized to access {field_name} on type {type_name}", "Unauthorized")

    def _context(self, info: Any, source: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        raw = info._raw_info
        return {
            "arguments": _json(arguments),
            "identity": self.caller.identity,
            "source": source if isinstance(source, dict) else None,
            "request": {"headers": {}, "domainName": None},
            "prev": None,
            "info": {
                "fieldName": raw.field_name,
                "parentTypeName": raw.parent_type.name,
                "variables": {},
                "selectionSetList": [],
                "selectionSetGraphQL": "",
            },
            "stash": {},
        }

    def _run_code(self, resolver: dict[str, Any], context: dict[str, Any]) -> Any:
        if resolver["Kind"] == "UNIT":
            return self._run_step(resolver, context)
        before = self._call(resolver, "request", context)
        context = {**context, "prev": {"result": before.result}}
        for function in resolver["PipelineConfig"]["Functions"]:
            (function_id, _) = function["Fn::GetAtt"]
            context["prev"] = {"result": self._run_step(self.backend.function(function_id), context).result}
        return self._call(resolver, "response", {**context, "result": context["prev"]["result"]})

    def _run_step(self, step: dict[str, Any], context: dict[str, Any]) -> Any:
        """Call a unit resolver's or a pipeline function's handlers around its data source."""
        request = self._call(step, "request", context)
        if request.is_early_return:
            return request
        context = {**context, "stash": request.stash if request.stash is not None else context["stash"]}
        try:
            result = self.backend.call_source(step, request.result)
        except SourceError as error:
            is_function = self.backend._source(step)["Type"] == "AWS_LAMBDA"
            # A direct resolver's error type is the exception's class; a resolver's code sees no more than this.
            error_type = "Lambda:Unhandled" if is_function else error.error_type
            context["error"] = {"message": error.message, "type": error_type}
            result = None
        return self._call(step, "response", {**context, "result": result})

    def _call(self, resolver: dict[str, Any], handler: Any, context: dict[str, Any]) -> Any:
        module = self.backend.module(resolver["CodeS3Location"])
        outcome = module.call(handler, context, now_ms=time.time() * 1000, entropy=bytes(32))
        if outcome.is_unauthorized:
            name = context["info"]["fieldName"]
            parent = context["info"]["parentTypeName"]
            raise FieldError(f"Not Authorized to access {name} on type {parent}", "Unauthorized")
        if outcome.error is not None:
            raise FieldError(outcome.error.message, outcome.error.error_type)
        return outcome

    def _load(
        self, type_name: str, field_name: str, resolver: dict[str, Any], context: dict[str, Any]
    ) -> Awaitable[Any]:
        async def load(contexts: list[dict[str, Any]]) -> list[Any]:
            return [answer["data"] for answer in self.backend.invoke(resolver, contexts)]

        loader = self.loaders.setdefault(
            (type_name, field_name), DataLoader(load, max_batch_size=resolver["MaxBatchSize"], cache=False)
        )
        return loader.load(context)


def _json(value: Any) -> Any:
    """Undo Strawberry's inputs and enum members: AppSync's context holds JSON, without what was left out."""
    if is_dataclass(value):
        value = {member.name: getattr(value, member.name) for member in fields(value)}
    if isinstance(value, dict):
        return {name: _json(member) for name, member in value.items() if member is not strawberry.UNSET}
    if isinstance(value, list):
        return [_json(member) for member in value]
    return value.value if isinstance(value, Enum) else value


def _body(result: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [_error(error) for error in result.errors]
    return body


def _error(error: GraphQLError) -> dict[str, Any]:
    original = error.original_error
    return {"path": error.path, "errorType": getattr(original, "error_type", None), "message": error.message}
