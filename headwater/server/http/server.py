"""Listen on one port for HTTP/1.1 and WebSocket, plain and TLS, and stop without losing a request."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial

from headwater.errors import LocalProtocolError
from headwater.server.http.answers import HttpLimits
from headwater.server.http.protocol import HttpProtocol
from headwater.server.http.shared import HttpShared
from headwater.server.http.websocket import WebSocketAcceptor, WriteBatch
from headwater.values.http import HttpHandler

logger = logging.getLogger(__name__)

_TLS_HANDSHAKE_RECORD = 0x16
_BACKLOG = 1024
_ACCEPTS_PER_TURN = 64
_ACCEPT_PAUSE_S = 0.5


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
        self._listeners: list[socket.socket] = []
        self._undecided: dict[socket.socket, float] = {}
        # Both in order of arrival: handshakes with their start, and peers that wait for theirs with their deadline.
        self._handshakes: dict[asyncio.Task[None], float] = {}
        self._waiting: dict[socket.socket, float] = {}
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
        self._listeners = await _listen(host, port, loop)
        self._shared = HttpShared(
            handler=self._handler,
            acceptors=self._acceptors,
            limits=self._limits,
            loop=loop,
            wall_clock=self._wall_clock,
            batch=WriteBatch(loop),
        )
        self._sweep(self._shared)
        for listener in self._listeners:
            loop.add_reader(listener.fileno(), self._accept, listener, self._shared)
        bound_port: int = self._listeners[0].getsockname()[1]
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

    def _accept(self, listener: socket.socket, shared: HttpShared) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                peer, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of file descriptors: the listener stays readable, so look again later instead of spinning.
                logger.error("cannot accept connections: %s", error)
                shared.loop.remove_reader(listener.fileno())
                shared.loop.call_later(_ACCEPT_PAUSE_S, self._accept_again, listener, shared)
                return
            peer.setblocking(False)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._ssl_context is None:
                self._connect(peer, None, shared)
            else:
                self._look_at(peer, shared)

    def _accept_again(self, listener: socket.socket, shared: HttpShared) -> None:
        if listener in self._listeners:
            shared.loop.add_reader(listener.fileno(), self._accept, listener, shared)

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
        if first[0] == _TLS_HANDSHAKE_RECORD:
            self._waiting[peer] = shared.now + self._limits.head_timeout_s
            self._begin_handshakes(shared)
        else:
            self._connect(peer, None, shared)

    def _begin_handshakes(self, shared: HttpShared) -> None:
        """Let peers begin while there is room; a handshake that takes long is most likely none, and gives its up."""
        handshakes, limits = self._handshakes, self._limits
        while self._waiting:
            if len(handshakes) >= limits.max_handshakes:
                oldest, started = next(iter(handshakes.items()))
                if shared.now - started < limits.handshake_grace_s:
                    return
                del handshakes[oldest]
                oldest.cancel()
            peer = next(iter(self._waiting))
            del self._waiting[peer]
            task = self._connect(peer, self._ssl_context, shared)
            handshakes[task] = shared.now
            task.add_done_callback(partial(self._handshake_ended, shared))

    def _handshake_ended(self, shared: HttpShared, task: "asyncio.Task[None]") -> None:
        self._handshakes.pop(task, None)
        if not shared.is_draining:
            self._begin_handshakes(shared)

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
        for peer in [peer for peer, deadline in self._waiting.items() if now >= deadline]:
            del self._waiting[peer]
            peer.close()
        self._begin_handshakes(shared)
        self._sweep_timer = shared.loop.call_later(self._sweep_interval_s(), self._sweep, shared)

    def _sweep_interval_s(self) -> float:
        limits = self._limits
        shortest = min(limits.head_timeout_s, limits.body_timeout_s, limits.idle_timeout_s, limits.linger_s)
        return max(0.02, min(1.0, shortest / 4))

    def _stop_listening(self, loop: asyncio.AbstractEventLoop) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            loop.remove_reader(listener.fileno())
            listener.close()
        for peer in tuple(self._undecided):
            self._forget(peer, loop)
            peer.close()
        while self._waiting:
            self._waiting.popitem()[0].close()


async def _listen(host: str, port: int, loop: asyncio.AbstractEventLoop) -> list[socket.socket]:
    """Sockets on every address of `host` (localhost is two), all on one port."""
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        if listeners:
            address = (address[0], listeners[0].getsockname()[1], *address[2:])
        try:
            listeners.append(_bind(family, kind, protocol, address))
        except OSError as error:
            if listeners and family == socket.AF_INET6:
                logger.info("not listening on %s: %s", address[0], error)
                continue
            for listener in listeners:
                listener.close()
            raise
    return listeners


def _bind(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
