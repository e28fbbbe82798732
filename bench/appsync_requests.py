"""S3: GraphQL queries and mutations per second over HTTP, at 1 and 32 connections, with one request in flight on each.

`python -m bench.appsync_requests [--peers DIR] [--seconds 2] [--rounds 3]` runs this server (API key, APPSYNC_JS
handlers, NONE data source), a bare uvloop + httptools server that parses the JSON and answers without GraphQL, and,
where `npm install` was run in a copy of `bench/appsync_peers` given by --peers, Mercurius and graphql-yoga, and
Amplify's simulator where it was run in the copy's folder `amplify` too; --strawberry PYTHON names an interpreter that
has what `strawberry_server.py` asks for. Every answer is compared with what it must be. Besides requests per second it
prints the server's CPU time per request, which counts when the machine is shared.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httptools
import orjson
import uvloop

from headwater.appsync_js import compile_module
from headwater.auth.appsync import ApiKeys, AppSyncAuthenticator, AuthSettings
from headwater.cli.memory import settle_memory
from headwater.datasource.resolvers import UnitResolver
from headwater.datasource.sources.none_source import NoneSource
from headwater.deploy.graphql.calls import ApiCalls
from headwater.deploy.routing import Router
from headwater.engine import FieldResolver, GraphQLEngine, PreparedSubscription, load_schema
from headwater.server.appsync.http import AppSyncHttp
from headwater.server.appsync.realtime import AppSyncRealtime
from headwater.server.appsync.request_ids import RequestIds
from headwater.server.http.server import HttpServer
from headwater.values.http import HttpRequest, HttpResponse

API_KEY = "da2-bench"
PEERS = Path(__file__).parent / "appsync_peers"
SDL = """
type Owner { id: ID! email: String }
type Device { id: ID! name: String status: String lastValue: Float updatedAt: String owner: Owner }
input State { id: ID! lastValue: Float status: String }
type Query { device(id: ID!): Device }
type Mutation { put(input: State!): Device }
type Subscription { onPut(id: ID): Device @aws_subscribe(mutations: ["put"]) }
"""
HANDLERS = {
    ("Query", "device"): """
export function request(ctx) {
  const owner = { id: 'o', email: 'e' };
  return { payload: { id: ctx.args.id, name: 'n', status: 'ok', lastValue: 1.5, updatedAt: 't', owner } };
}
export function response(ctx) { return ctx.result; }
""",
    ("Mutation", "put"): """
export function request(ctx) { return { payload: ctx.args.input }; }
export function response(ctx) { return ctx.result; }
""",
}
QUERY = {
    "query": "query Device($id: ID!) { device(id: $id) { id name status lastValue updatedAt owner { id email } } }",
    "variables": {"id": "d1"},
}
QUERIED = {
    "id": "d1",
    "name": "n",
    "status": "ok",
    "lastValue": 1.5,
    "updatedAt": "t",
    "owner": {"id": "o", "email": "e"},
}
STATE = {"id": "d1", "lastValue": 2.5, "status": "up"}
MUTATION = {
    "query": "mutation Put($input: State!) { put(input: $input) { id lastValue status } }",
    "variables": {"input": STATE},
}
OPERATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "queries": (QUERY, {"data": {"device": QUERIED}}),
    "mutations": (MUTATION, {"data": {"put": STATE}}),
}


# The servers; each prints its port and serves until it is killed


def graphql_api() -> tuple[AppSyncHttp, AppSyncRealtime]:
    """The API as `headwater up` builds it, with resolvers for every field of HANDLERS."""
    resolvers: dict[tuple[str, str], FieldResolver] = {
        field: UnitResolver(compile_module(code, field[1]), NoneSource(), name=".".join(field))
        for field, code in HANDLERS.items()
    }
    engine = GraphQLEngine(load_schema(SDL), resolvers, default_mode="API_KEY")
    settings = AuthSettings(api_id="bench", account_id="1", api_keys=ApiKeys({API_KEY: 1e12}))
    calls = ApiCalls(
        engine,
        AppSyncAuthenticator(settings, find_secret=lambda key: None),
        clock=time.time,
        new_request_id=RequestIds(),
        has_authorizer=False,
    )
    realtime = AppSyncRealtime(
        authenticate=calls.authenticate_realtime,
        prepare=cast("Callable[..., PreparedSubscription]", calls.prepare),
        run_resolver=calls.run_resolver,
        following=engine.schema.publishing,
    )
    calls.realtime = realtime
    http = AppSyncHttp(
        engine,
        calls.authenticate_http,
        clock=time.time,
        new_request_id=RequestIds(),
        publish=calls.publish,
        invalidate=calls.invalidate,
    )
    return http, realtime


async def serve_headwater() -> None:
    http, realtime = graphql_api()

    async def nothing(request: HttpRequest) -> HttpResponse:
        return HttpResponse(404)

    router = Router(exact={"/graphql": http}, fallback=nothing, is_ready=True)
    server = HttpServer(router, websocket_acceptors={"/graphql/realtime": realtime})
    say_port(await server.start("127.0.0.1", 0))
    settle_memory()
    await asyncio.Event().wait()


class BareProtocol(asyncio.Protocol):
    """Parses with httptools, reads the JSON and answers from its variables: HTTP and JSON, no GraphQL."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        variables = orjson.loads(self.body)["variables"]
        self.body = b""
        if "input" in variables:
            answer = orjson.dumps({"data": {"put": variables["input"]}})
        else:
            answer = orjson.dumps({"data": {"device": {**QUERIED, "id": variables["id"]}}})
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)
        self.transport.write(head + answer)


async def serve_bare() -> None:
    server = await asyncio.get_running_loop().create_server(BareProtocol, "127.0.0.1", 0)
    say_port(server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


SERVERS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {"bare": serve_bare, "headwater": serve_headwater}


def say_port(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


# The client


class Client(asyncio.Protocol):
    """One connection: the next request follows each answer until the time is over."""

    def __init__(self, request: bytes, expected: dict[str, Any], until: list[float]) -> None:
        self.request = request
        self.expected = expected
        self.known = b""
        self.until = until
        self.count = 0
        self.received = b""
        self.done = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator or len(body) < content_length(head):
            return
        self.received = b""
        # The same bytes again need no parsing.
        if body != self.known:
            if orjson.loads(body) != self.expected:
                sys.exit(f"a wrong answer: {body!r}")
            self.known = body
        self.count += 1
        if time.perf_counter() < self.until[0]:
            self.transport.write(self.request)
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            sys.exit("the server closed a connection")


def content_length(head: bytes) -> int:
    lowered = head.lower()
    start = lowered.index(b"content-length:") + 15
    return int(lowered[start : start + 10].split(b"\r\n")[0])


@dataclass(frozen=True)
class Measurement:
    per_s: float
    cpu_us: float


async def measure(pid: int, port: int, operation: str, connections: int, seconds: float) -> Measurement:
    body, expected = OPERATIONS[operation]
    encoded = orjson.dumps(body)
    head = f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: bench\r\naccept: */*\r\n"
    head += f"content-type: application/json\r\nx-api-key: {API_KEY}\r\ncontent-length: {len(encoded)}\r\n\r\n"
    until = [time.perf_counter() + seconds]
    cpu, began = cpu_s(pid), time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(head.encode() + encoded, expected, until), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    elapsed, used = time.perf_counter() - began, cpu_s(pid) - cpu
    for client in clients:
        client.transport.abort()
    count = sum(client.count for client in clients)
    return Measurement(count / elapsed, used / count * 1e6)


def cpu_s(pid: int) -> float:
    """CPU seconds of all threads of a process, by the scheduler's own count: a tick is a tenth of a short round."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def has_amplify(peers: Path | None) -> bool:
    """Whether the packages of Amplify's simulator are installed."""
    return peers is not None and (peers / "amplify/node_modules").is_dir()


def start(kind: str, peers: Path | None, strawberry: Path | None) -> tuple["subprocess.Popen[str]", int]:
    if kind in SERVERS:
        command = [sys.executable, "-m", "bench.appsync_requests", "--serve", kind]
    elif kind == "strawberry":
        command = [str(strawberry), str(PEERS / "strawberry_server.py")]
    else:
        file = "amplify/amplify.mjs" if kind == "amplify" else f"{kind}.mjs"
        command = ["node", str(cast(Path, peers) / file)]
    environment = {**os.environ, "NODE_ENV": "production"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="A copy of bench/appsync_peers after `npm install`.")
    parser.add_argument("--strawberry", type=Path, help="An interpreter with Strawberry and uvicorn.")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=sorted(SERVERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(SERVERS[arguments.serve]())
        return
    kinds = [*SERVERS, *(("mercurius", "yoga") if arguments.peers else ())]
    kinds += ["amplify"] if has_amplify(arguments.peers) else []
    kinds += ["strawberry"] if arguments.strawberry else []
    running = {kind: start(kind, arguments.peers, arguments.strawberry) for kind in kinds}
    try:
        report(run_all(running, arguments.seconds, arguments.rounds))
    finally:
        for process, _ in running.values():
            process.kill()
            process.wait()


Found = dict[tuple[str, int, str], Measurement]


def run_all(running: dict[str, tuple["subprocess.Popen[str]", int]], seconds: float, rounds: int) -> Found:
    """The round with the least CPU time of each server; servers take turns. The first round only warms up."""
    best: Found = {}
    for number in range(rounds + 1):
        for operation in OPERATIONS:
            for connections in (1, 32):
                for kind, (process, port) in running.items():
                    found = uvloop.run(measure(process.pid, port, operation, connections, seconds if number else 0.5))
                    key = (operation, connections, kind)
                    if number and (key not in best or found.cpu_us < best[key].cpu_us):
                        best[key] = found
    return best


def report(best: Found) -> None:
    for (operation, connections, kind), found in best.items():
        bare = best[operation, connections, "bare"]
        sys.stdout.write(
            f"S3 {operation}, {connections:2} connections, {kind:10}: {found.per_s:8,.0f}/s "
            f"{found.cpu_us:6.1f} us CPU, {found.per_s / bare.per_s:.2f} of bare\n"
        )


if __name__ == "__main__":
    main()
