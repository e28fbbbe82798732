"""Listening sockets of a port, and peers taken from them."""

import asyncio
import logging
import socket
from collections.abc import Callable

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_ACCEPTS_PER_TURN = 64
_ACCEPT_PAUSE_S = 0.5


class Listeners:
    """Sockets on every address of a host, all on one port; `on_peer` gets each connection that is accepted."""

    def __init__(self, on_peer: Callable[[socket.socket], None]) -> None:
        self._on_peer = on_peer
        self._sockets: list[socket.socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system picks if `port` is 0. Raises: OSError, e.g. EADDRINUSE."""
        self._loop = asyncio.get_running_loop()
        self._sockets = await _listen(host, port, self._loop)
        number: int = self._sockets[0].getsockname()[1]
        return number

    def start(self) -> None:
        """Begin to accept."""
        for listener in self._sockets:
            self._watch(listener)

    def close(self) -> None:
        listeners, self._sockets = self._sockets, []
        for listener in listeners:
            if self._loop is not None:
                self._loop.remove_reader(listener.fileno())
            listener.close()

    def _watch(self, listener: socket.socket) -> None:
        if self._loop is not None and listener in self._sockets:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                peer, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of file descriptors: the listener stays readable, so look again later instead of spinning.
                logger.error("cannot accept connections: %s", error)
                if self._loop is not None:
                    self._loop.remove_reader(listener.fileno())
                    self._loop.call_later(_ACCEPT_PAUSE_S, self._watch, listener)
                return
            peer.setblocking(False)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._on_peer(peer)


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
