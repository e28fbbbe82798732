"""Which part answers which path of the one port."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

import orjson

from headwater.server.http.websocket import WebSocketAcceptor, WebSocketEndpoint
from headwater.values.http import HttpHandler, HttpRequest, HttpResponse

_JSON = (("content-type", "application/json"),)


def json_response(status: int, body: object) -> HttpResponse:
    """A JSON answer."""
    return HttpResponse(status, _JSON, orjson.dumps(body))


@dataclass(slots=True)
class Router:
    """An HttpHandler that hands each request to the part its path belongs to.

    Until `is_ready` every request is answered 503, because the port is bound before anything behind it runs.
    """

    exact: dict[str, HttpHandler] = field(default_factory=dict)
    prefixes: list[tuple[str, HttpHandler]] = field(default_factory=list)
    fallback: HttpHandler | None = None
    is_ready: bool = False

    def __call__(self, request: HttpRequest) -> Awaitable[HttpResponse]:
        # No coroutine of its own: every request passes here.
        if not self.is_ready or self.fallback is None:
            return _starting(request)
        handler = self.exact.get(request.raw_path)
        if handler is not None:
            return handler(request)
        for prefix, prefixed in self.prefixes:
            if request.raw_path.startswith(prefix):
                return prefixed(request)
        return self.fallback(request)


async def _starting(request: HttpRequest) -> HttpResponse:
    return json_response(503, {"message": "the runtime is starting"})


@dataclass(slots=True)
class LateAcceptor:
    """A WebSocketAcceptor whose target is made after the port is bound."""

    target: WebSocketAcceptor | None = None

    async def accept(self, request: HttpRequest) -> WebSocketEndpoint | HttpResponse:
        if self.target is None:
            return json_response(503, {"message": "the runtime is starting"})
        return await self.target.accept(request)


def acceptors(paths: Mapping[str, LateAcceptor]) -> dict[str, WebSocketAcceptor]:
    """The acceptors as the HTTP server takes them."""
    return dict(paths)
