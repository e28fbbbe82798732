"""Strawberry on uvicorn (uvloop, httptools, websockets): the peers' schema, with a queue for each subscriber.

It runs in an environment of its own: `pip install strawberry-graphql starlette 'uvicorn[standard]'`.
"""

# mypy: ignore-errors

import asyncio
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator

import strawberry
import uvicorn
from starlette.requests import HTTPConnection
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_WS_PROTOCOL

API_KEY = "da2-bench"
queues: defaultdict[str, set["asyncio.Queue[Device]"]] = defaultdict(set)


@strawberry.type
class Owner:
    id: strawberry.ID
    email: str | None


@strawberry.type
class Device:
    id: strawberry.ID
    name: str | None = None
    status: str | None = None
    last_value: float | None = None
    updated_at: str | None = None
    owner: Owner | None = None


@strawberry.input
class State:
    id: strawberry.ID
    last_value: float | None = None
    status: str | None = None


@strawberry.type
class Query:
    @strawberry.field
    def device(self, id: strawberry.ID) -> Device | None:
        return Device(
            id=id, name="n", status="ok", last_value=1.5, updated_at="t", owner=Owner(id=strawberry.ID("o"), email="e")
        )


@strawberry.type
class Mutation:
    @strawberry.mutation
    def put(self, input: State) -> Device | None:
        device = Device(id=input.id, last_value=input.last_value, status=input.status)
        for queue in queues[input.id]:
            queue.put_nowait(device)
        return device


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def on_put(self, id: strawberry.ID | None = None) -> AsyncGenerator[Device | None, None]:
        queue: asyncio.Queue[Device] = asyncio.Queue()
        queues[id or ""].add(queue)
        while True:
            yield await queue.get()


class Protected(GraphQL):
    async def get_context(self, request: HTTPConnection, response: object = None) -> dict[str, object]:
        if request.headers.get("x-api-key") != API_KEY:
            raise PermissionError("Unauthorized")
        return {}


def main() -> None:
    schema = strawberry.Schema(Query, Mutation, Subscription)
    app = Protected(schema, graphql_ide=None, subscription_protocols=[GRAPHQL_WS_PROTOCOL])
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    # Without pings: the bench's client answers none.
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_ping_interval=None,
        ws_per_message_deflate=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
