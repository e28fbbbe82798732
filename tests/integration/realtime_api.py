"""A small API with a fixed schema behind the real server: what the engine and the authenticator would give it."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from graphql import FieldNode, OperationDefinitionNode, OperationType, parse, value_from_ast_untyped
from websockets.asyncio.client import ClientConnection, connect

from headwater.errors import RequestError
from headwater.realtime.connection import RealtimeLimits
from headwater.server.appsync.log import SubscriptionLog
from headwater.server.appsync.realtime import AppSyncRealtime
from headwater.server.http.server import HttpServer
from headwater.server.http.websocket import WebSocketLimits
from headwater.values.identity import GraphQLCaller
from tests.integration.raw_http import serving

API_KEY = "da2-test"
MUTATIONS = {"onTelemetry": ("publishTelemetry",), "onAlert": ("raiseAlert", "publishTelemetry")}


@dataclass(frozen=True)
class Published:
    mutation_field: str
    response: Any
    selected: Mapping[str, Any]


@dataclass(frozen=True)
class Setup:
    filter: Any = None
    invalidation_filter: Any = None


class Prepared:
    """One subscription field with a flat selection."""

    def __init__(self, field: FieldNode, variables: Mapping[str, Any]) -> None:
        self.field_name = field.name.value
        self.arguments = {a.name.value: value_from_ast_untyped(a.value, dict(variables)) for a in field.arguments or ()}
        self.mutation_fields = MUTATIONS[self.field_name]
        selections = field.selection_set.selections if field.selection_set else ()
        self._selected = tuple(node.name.value for node in selections if isinstance(node, FieldNode))
        self.group_key = (self.field_name, self._selected)
        self.projection = self
        self.has_resolver = True

    def project(self, response: Any) -> bytes:
        selected = {name: response.get(name) for name in self._selected} if isinstance(response, dict) else response
        return orjson.dumps({"data": {self.field_name: selected}})

    def unselected_fields(self, selected: Mapping[str, Any]) -> list[str]:
        return [name for name in self._selected if name not in selected]

    def refused_fields(self) -> list[str]:
        return [name for name in self._selected if name == "secret"]

    def filter_fault(self, path: Sequence[str], values: Iterable[Any]) -> str | None:
        return f"Telemetry has no field {path[0]}" if path[0] == "zone" else None


class Engine:
    """Real values for the callables that the runtime injects; `setups` are the resolvers' outcomes by field."""

    def __init__(self) -> None:
        self.setups: dict[str, Setup | RequestError] = {}
        self.gate: asyncio.Event | None = None
        self.seen_headers: list[Mapping[str, Any]] = []
        self.attempts: list[tuple[str, str, tuple[str, ...]]] = []

    async def authenticate(
        self, header: Mapping[str, str], kind: Literal["connect", "start"], body: str, source_ip: tuple[str, ...]
    ) -> GraphQLCaller:
        self.attempts.append((kind, body, source_ip))
        if header.get("x-api-key") != API_KEY:
            raise RequestError("You are not authorized to make this call.", "UnauthorizedException")
        return GraphQLCaller("API_KEY")

    def prepare(
        self, query: str, variables: Mapping[str, Any], operation_name: str | None, caller: GraphQLCaller
    ) -> Prepared:
        (operation,) = parse(query).definitions
        assert isinstance(operation, OperationDefinitionNode)
        if operation.operation is not OperationType.SUBSCRIPTION:
            raise RequestError("not a subscription", "UnsupportedOperation")
        field = operation.selection_set.selections[0]
        assert isinstance(field, FieldNode)
        if field.name.value not in MUTATIONS:
            raise RequestError(f"Validation error of type FieldUndefined: Field '{field.name.value}' is undefined")
        return Prepared(field, variables)

    async def run_resolver(
        self, prepared: Any, caller: GraphQLCaller, headers: Mapping[str, str | list[str]], request_id: str
    ) -> Setup | None:
        self.seen_headers.append(headers)
        if self.gate is not None:
            await self.gate.wait()
        setup = self.setups.get(prepared.field_name)
        if isinstance(setup, RequestError):
            raise setup
        return setup


@dataclass
class Api:
    """The running server."""

    engine: Engine
    realtime: AppSyncRealtime
    server: HttpServer
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def header(self, api_key: str = API_KEY) -> dict[str, str]:
        return {"host": self.host, "x-api-key": api_key}

    def publish(self, mutation_field: str, response: Any) -> int:
        selected: dict[str, Any] = {name: {} for name in response} if isinstance(response, dict) else {}
        return self.realtime.publish(Published(mutation_field, response, selected))


@contextlib.asynccontextmanager
async def running(
    limits: RealtimeLimits | None = None,
    websocket_limits: WebSocketLimits | None = None,
    log: SubscriptionLog | None = None,
    wall_clock: Callable[[], float] = time.time,
) -> AsyncIterator[Api]:
    engine = Engine()
    realtime = AppSyncRealtime(
        authenticate=engine.authenticate,
        prepare=engine.prepare,
        run_resolver=engine.run_resolver,
        following={"publishTelemetry": ("onTelemetry", "onAlert"), "raiseAlert": ("onAlert",)},
        log=log,
        wall_clock=wall_clock,
        limits=limits,
        websocket_limits=websocket_limits,
    )
    acceptors = {"/graphql": realtime, "/graphql/realtime": realtime}
    async with serving(acceptors=acceptors) as (server, port):
        yield Api(engine, realtime, server, port)
    await realtime.close()


class Client:
    """A raw AppSync client over the `websockets` package."""

    def __init__(self, api: Api, websocket: ClientConnection) -> None:
        self.api = api
        self.websocket = websocket

    async def send(self, message: Any) -> None:
        await self.websocket.send(message if isinstance(message, str) else json.dumps(message))

    async def receive(self) -> Any:
        return json.loads(await asyncio.wait_for(self.websocket.recv(), 10))

    async def start(self, identifier: str, query: str, variables: Any = None, *, header: Any = None) -> Any:
        """Send a start; returns the answer."""
        data = json.dumps({"query": query, "variables": variables})
        authorization = self.api.header() if header is None else header
        payload = {"data": data, "extensions": {"authorization": authorization}}
        await self.send({"id": identifier, "type": "start", "payload": payload})
        return await self.receive()


@contextlib.asynccontextmanager
async def connected_client(
    api: Api, *, header: Any = None, path: str = "/graphql/realtime", query: str = "", does_init: bool = True
) -> AsyncIterator[Client]:
    """A client that sends its credentials in the subprotocol, as Amplify does."""
    raw = json.dumps(api.header() if header is None else header).encode()
    entry = "header-" + base64.urlsafe_b64encode(raw).decode().rstrip("=")
    url = f"ws://{api.host}{path}{query}"
    async with connect(url, subprotocols=["graphql-ws", entry]) as websocket:  # type: ignore[list-item]  # a NewType
        client = Client(api, websocket)
        if does_init:
            await client.send({"type": "connection_init"})
            assert (await client.receive())["type"] == "connection_ack"
            assert (await client.receive())["type"] == "ka"
        yield client
