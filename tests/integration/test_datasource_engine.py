"""Resolvers in APPSYNC_JS over the DynamoDB service, executed by the GraphQL engine."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headwater.appsync_js import compile_module
from headwater.datasource import (
    DynamoDbSource,
    NoneSource,
    PageTokens,
    PipelineResolver,
    Step,
    UnitResolver,
)
from headwater.engine import GraphQLEngine, GraphQLRequest, RequestContext, load_schema
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.store import Store
from headwater.values.identity import GraphQLCaller

SCHEMA = """
type Reading { deviceId: ID! ts: Int! temperature: Float tags: [String] }
type Page { items: [Reading!]! nextToken: String }
type Query { latest(deviceId: ID!, ts: Int!): Reading  history(deviceId: ID!, limit: Int, nextToken: String): Page }
type Mutation {
  put(deviceId: ID!, ts: Int!, temperature: Float): Reading
  heat(deviceId: ID!, ts: Int!, by: Float!): Reading
  drop(deviceId: ID!, ts: Int!): Reading
  putAll(deviceId: ID!, ts: [Int!]!): [Reading]
  swap(deviceId: ID!, from: Int!, to: Int!): Boolean
}
"""
HEAD = """
import { util } from '@aws-appsync/utils';
import * as ddb from '@aws-appsync/utils/dynamodb';
const raise = (error, result) => { if (error) { util.error(error.message, error.type, result); } };
"""
RESPONSE = "raise(ctx.error, ctx.result); return ctx.result;"
RESOLVERS = {
    "Query.latest": ("return ddb.get({ key: ctx.args, consistentRead: true });", RESPONSE),
    "Query.history": (
        "const { deviceId, limit, nextToken } = ctx.args;"
        "return ddb.query({ query: { deviceId: { eq: deviceId } }, limit, nextToken, scanIndexForward: false });",
        RESPONSE,
    ),
    "Mutation.put": (
        "const { deviceId, ts, temperature } = ctx.args;"
        "return ddb.put({ key: { deviceId, ts }, item: { temperature, tags: ['a'] }, "
        "condition: { deviceId: { attributeExists: false } } });",
        RESPONSE,
    ),
    "Mutation.heat": (
        "const { deviceId, ts, by } = ctx.args;"
        "return ddb.update({ key: { deviceId, ts }, update: { temperature: ddb.operations.increment(by), "
        "tags: ddb.operations.append(['b']) }, condition: { deviceId: { attributeExists: true } } });",
        RESPONSE,
    ),
    "Mutation.drop": ("return ddb.remove({ key: ctx.args });", RESPONSE),
    "Mutation.putAll": (
        "const { deviceId, ts } = ctx.args;"
        "return ddb.batchPut({ tables: { Readings: ts.map((one) => ({ deviceId, ts: one, temperature: one })) } });",
        "raise(ctx.error); return ctx.result.data.Readings;",
    ),
    "Mutation.swap": (
        "const { deviceId, from, to } = ctx.args;"
        "return ddb.transactWrite({ items: ["
        "{ deleteItem: { table: 'Readings', key: { deviceId, ts: from }, "
        "condition: { ts: { attributeExists: true } } } }, "
        "{ putItem: { table: 'Readings', key: { deviceId, ts: to }, item: { temperature: 0 } } }] });",
        "raise(ctx.error, ctx.result.cancellationReasons); return true;",
    ),
}


class Api:
    """A GraphQL API over one table."""

    def __init__(self, engine: GraphQLEngine) -> None:
        self._engine = engine

    async def ask(self, document: str) -> dict[str, Any]:
        context = RequestContext(GraphQLCaller("API_KEY"), request_id="request-1", now=1_700_000_000.0)
        return (await self._engine.execute(GraphQLRequest(document), context)).body


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    store = Store.open(None)
    service = DynamoDbService(store, region="us-east-1", account_id="123456789012", clock=lambda: 1_700_000_000.0)
    await service.call(
        "CreateTable",
        {
            "TableName": "Readings",
            "KeySchema": [
                {"AttributeName": "deviceId", "KeyType": "HASH"},
                {"AttributeName": "ts", "KeyType": "RANGE"},
            ],
            "AttributeDefinitions": [
                {"AttributeName": "deviceId", "AttributeType": "S"},
                {"AttributeName": "ts", "AttributeType": "N"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )
    source = DynamoDbSource(service.call, "Readings", region="us-east-1", tokens=PageTokens(b"k" * 64))
    resolvers = {}
    for name, (request, response) in RESOLVERS.items():
        code = f"{HEAD}export function request(ctx) {{ {request} }}\nexport function response(ctx) {{ {response} }}"
        type_name, _, field_name = name.partition(".")
        resolvers[type_name, field_name] = UnitResolver(compile_module(code, name), source, name=name)
    yield Api(GraphQLEngine(load_schema(SCHEMA), resolvers, default_mode="API_KEY"))
    await store.close()


PUT = 'mutation { put(deviceId: "d", ts: 1, temperature: 20.5) { deviceId ts temperature tags } }'


async def test_an_item_is_written_read_updated_and_removed(api: Api) -> None:
    reading = {"deviceId": "d", "ts": 1, "temperature": 20.5, "tags": ["a"]}

    written = await api.ask(PUT)
    heated = await api.ask('mutation { heat(deviceId: "d", ts: 1, by: 1.5) { temperature tags } }')
    read = await api.ask('{ latest(deviceId: "d", ts: 1) { temperature } }')
    removed = await api.ask('mutation { drop(deviceId: "d", ts: 1) { temperature } }')
    gone = await api.ask('{ latest(deviceId: "d", ts: 1) { temperature } }')

    assert written == {"data": {"put": reading}}
    assert heated == {"data": {"heat": {"temperature": 22.0, "tags": ["a", "b"]}}}
    assert read == {"data": {"latest": {"temperature": 22.0}}}
    assert removed == {"data": {"drop": {"temperature": 22.0}}}
    assert gone == {"data": {"latest": None}}


async def test_a_failed_condition_is_an_error_with_the_current_item_as_data(api: Api) -> None:
    await api.ask(PUT)

    body = await api.ask('mutation { put(deviceId: "d", ts: 1, temperature: 99) { temperature } }')

    assert body["data"] == {"put": None}
    error = body["errors"][0]
    assert error["errorType"] == "DynamoDB:ConditionalCheckFailedException"
    assert error["message"] == (
        "The conditional request failed (Service: DynamoDb, Status Code: 400, Request ID: request-1)"
    )
    assert error["data"] == {"temperature": 20.5}


async def test_a_repeated_equal_put_succeeds(api: Api) -> None:
    first = await api.ask(PUT)

    assert await api.ask(PUT) == first


async def test_pages_follow_each_other_by_their_tokens(api: Api) -> None:
    await api.ask('mutation { putAll(deviceId: "d", ts: [1, 2, 3]) { ts } }')

    first = (await api.ask('{ history(deviceId: "d", limit: 2) { items { ts } nextToken } }'))["data"]["history"]
    token = first["nextToken"]
    second = (await api.ask(f'{{ history(deviceId: "d", nextToken: "{token}") {{ items {{ ts }} nextToken }} }}'))[
        "data"
    ]

    assert first["items"] == [{"ts": 3}, {"ts": 2}]
    assert second == {"history": {"items": [{"ts": 1}], "nextToken": None}}


async def test_a_transaction_moves_an_item_or_says_why_not(api: Api) -> None:
    await api.ask(PUT)

    moved = await api.ask('mutation { swap(deviceId: "d", from: 1, to: 2) }')
    refused = await api.ask('mutation { swap(deviceId: "d", from: 1, to: 3) }')

    assert moved == {"data": {"swap": True}}
    assert refused["data"] == {"swap": None}
    assert refused["errors"][0]["errorType"] == "DynamoDB:TransactionCanceledException"


async def test_a_pipeline_passes_results_on_and_a_unit_resolver_of_none_echoes() -> None:
    schema = load_schema("type Query { sum(a: Int!, b: Int!): Int echo(a: String): String }")
    add = compile_module(
        "export function request(ctx) { return { payload: ctx.prev.result.total + ctx.args.b }; }\n"
        "export function response(ctx) { return { total: ctx.result }; }",
        "add.js",
    )
    around = compile_module(
        "export function request(ctx) { return { total: ctx.args.a }; }\n"
        "export function response(ctx) { return ctx.result.total; }",
        "sum.js",
    )
    echo = compile_module(
        "export function request(ctx) { return { payload: ctx.args.a }; }\n"
        "export function response(ctx) { return ctx.result; }",
        "echo.js",
    )
    functions = [Step("add", add, NoneSource()), Step("add", add, NoneSource())]
    api = Api(
        GraphQLEngine(
            schema,
            {
                ("Query", "sum"): PipelineResolver(around, functions, name="Query.sum"),
                ("Query", "echo"): UnitResolver(echo, NoneSource(), name="Query.echo"),
            },
            default_mode="API_KEY",
        )
    )

    assert await api.ask('{ sum(a: 1, b: 2) echo(a: "x") }') == {"data": {"sum": 5, "echo": "x"}}
