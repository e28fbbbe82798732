"""Listen on one port for HTTP/1.1 and WebSocket, plain and TLS, and stop without losing a request."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping

from headwater.errors import LocalProtocolError
from headwater.server.handshakes import HandshakeLimits, Handshakes
from headwater.server.http.answers import HttpLimits
from headwater.server.http.protocol import HttpProtocol
from headwater.server.http.shared import HttpShared
from headwater.server.http.websocket import WebSocketAcceptor, WriteBatch
from headwater.server.listening import Listeners
from headwater.values.http import HttpHandler

logger = logging.getLogger(__name__)

_TLS_HANDSHAKE_RECORD = 0x16


class HttpServer:
    """One port. Plain and TLS peers are told apart by their first byte, when there is an `ssl_context`.

    `handler` is a coroutine function; its first step runs without a task of its own, so an answer that waits for
    nothing costs none. `websocket_acceptors` maps a path to who decides on upgrades there; upgrades elsewhere are
    handled as plain requests. Servers of one process may share a handler and acceptors.
    """

    def __init__(
        self,
        handler: HttpHandler,
        *,
        websocket_acceptors: Mapping[str, WebSocketAcceptor] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        limits: HttpLimits | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._handler = handler
        self._acceptors = dict(websocket_acceptors or {})
        self._ssl_context = ssl_context
        self._limits = limits or HttpLimits()
        self._wall_clock = wall_clock
        self._listeners = Listeners(self._take)
        self._undecided: dict[socket.socket, float] = {}
        self._handshakes: Handshakes | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._shared: HttpShared | None = None

    @property
    def connection_count(self) -> int:
        return len(self._shared.connections) if self._shared else 0

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system picks if `port` is 0. Raises: OSError, e.g. EADDRINUSE."""
        if self._shared is not None:
            raise LocalProtocolError("the HTTP server has been started before")
        loop = asyncio.get_running_loop()
        bound_port = await self._listeners.open(host, port)
        self._shared = shared = HttpShared(
            handler=self._handler,
            acceptors=self._acceptors,
            limits=self._limits,
            loop=loop,
            wall_clock=self._wall_clock,
            batch=WriteBatch(loop),
        )
        limits = HandshakeLimits(
            self._limits.max_handshakes, self._limits.handshake_grace_s, self._limits.head_timeout_s
        )
        self._handshakes = Handshakes(
            lambda peer: self._connect(peer, self._ssl_context, shared), limits, lambda: shared.now
        )
        self._sweep(shared)
        self._listeners.start()
        return bound_port

    async def stop(self, grace_s: float = 5.0) -> None:
        """Refuse new connections, finish requests under way, close WebSockets with 1001; after `grace_s` cut off."""
        shared, self._shared = self._shared, None
        if shared is None:
            return
        self._stop_listening(shared.loop)
        shared.is_draining = True
        for connection in tuple(shared.connections):
            connection.drain()
        deadline = shared.loop.time() + grace_s
        while (shared.connections or shared.tasks) and shared.loop.time() < deadline:
            await asyncio.sleep(min(0.01, grace_s))
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        tasks = tuple(shared.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in tuple(shared.connections):
            connection.abort()
        # Lost transports are reported in the next loop turns; endpoints must have seen on_close when stop returns.
        while shared.connections:
            await asyncio.sleep(0)

    # accepting

    def _take(self, peer: socket.socket) -> None:
        shared = self._shared
        if shared is None:
            peer.close()
        elif self._ssl_context is None:
            self._connect(peer, None, shared)
        else:
            self._look_at(peer, shared)

    def _look_at(self, peer: socket.socket, shared: HttpShared) -> None:
        """Tell TLS from plain by the first byte, left in the socket; wait for it without blocking."""
        try:
            first = peer.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            if peer not in self._undecided:
                self._undecided[peer] = shared.now + self._limits.head_timeout_s
                shared.loop.add_reader(peer.fileno(), self._look_at, peer, shared)
            return
        except OSError:
            first = b""
        self._forget(peer, shared.loop)
        if not first:
            peer.close()
            return
        if first[0] == _TLS_HANDSHAKE_RECORD and self._handshakes is not None:
            self._handshakes.add(peer)
        else:
            self._connect(peer, None, shared)

    def _forget(self, peer: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        if self._undecided.pop(peer, None) is not None:
            loop.remove_reader(peer.fileno())

    def _connect(self, peer: socket.socket, context: ssl.SSLContext | None, shared: HttpShared) -> "asyncio.Task[None]":
        task = shared.loop.create_task(self._hand_over(peer, context, shared))
        shared.tasks.add(task)
        task.add_done_callback(shared.tasks.discard)
        return task

    async def _hand_over(self, peer: socket.socket, context: ssl.SSLContext | None, shared: HttpShared) -> None:
        timeout_s = self._limits.head_timeout_s if context else None
        try:
            await shared.loop.connect_accepted_socket(
                lambda: HttpProtocol(shared), peer, ssl=context, ssl_handshake_timeout=timeout_s
            )
        except (TimeoutError, OSError) as error:
            logger.info("a connection failed before its first request: %s", error)
            peer.close()
        except asyncio.CancelledError:
            peer.close()
            raise

    # timeouts

    def _sweep(self, shared: HttpShared) -> None:
        """End what is overdue. One timer for all connections: a timer each would cost more than the requests."""
        shared.update_time()
        now = shared.now
        for connection in tuple(shared.connections):
            connection.check_deadline(now)
        for peer in [peer for peer, deadline in self._undecided.items() if now >= deadline]:
            self._forget(peer, shared.loop)
            peer.close()
        if self._handshakes is not None:
            self._handshakes.sweep()
        self._sweep_timer = shared.loop.call_later(self._sweep_interval_s(), self._sweep, shared)

    def _sweep_interval_s(self) -> float:
        limits = self._limits
        shortest = min(limits.head_timeout_s, limits.body_timeout_s, limits.idle_timeout_s, limits.linger_s)
        return max(0.02, min(1.0, shortest / 4))

    def _stop_listening(self, loop: asyncio.AbstractEventLoop) -> None:
        self._listeners.close()
        for peer in tuple(self._undecided):
            self._forget(peer, loop)
            peer.close()
        if self._handshakes is not None:
            self._handshakes.close()
