"""TLS handshakes of one port: a bound on how many are under way, so that half-open ones cost nobody his turn."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """At most `limit` are under way; one older than `grace_s` makes room for a peer that waits.

    A peer that waits longer than `timeout_s` is closed.
    """

    limit: int = 1000
    grace_s: float = 2.0
    timeout_s: float = 10.0


class Handshakes:
    """`begin` starts the handshake of a peer and gives the task that ends with it. `now` is the caller's clock."""

    def __init__(
        self,
        begin: Callable[[socket.socket], "asyncio.Task[None]"],
        limits: HandshakeLimits,
        now: Callable[[], float],
    ) -> None:
        self._begin = begin
        self._limits = limits
        self._now = now
        self._is_closed = False
        # Both in order of arrival: handshakes with their start, and peers that wait for theirs with their deadline.
        self._under_way: dict[asyncio.Task[None], float] = {}
        self._waiting: dict[socket.socket, float] = {}

    def add(self, peer: socket.socket) -> None:
        """Begin as soon as there is room."""
        self._waiting[peer] = self._now() + self._limits.timeout_s
        self._go_on()

    def sweep(self) -> None:
        """Close who has waited too long, and go on."""
        now = self._now()
        for peer in [peer for peer, deadline in self._waiting.items() if now >= deadline]:
            del self._waiting[peer]
            peer.close()
        self._go_on()

    def close(self) -> None:
        """Close who waits; handshakes under way are their owner's."""
        self._is_closed = True
        while self._waiting:
            self._waiting.popitem()[0].close()

    def _go_on(self) -> None:
        """Let peers begin while there is room; a handshake that takes long is most likely none, and gives its up."""
        now = self._now()
        while self._waiting and not self._is_closed:
            if len(self._under_way) >= self._limits.limit:
                oldest, started = next(iter(self._under_way.items()))
                if now - started < self._limits.grace_s:
                    return
                del self._under_way[oldest]
                oldest.cancel()
            peer = next(iter(self._waiting))
            del self._waiting[peer]
            task = self._begin(peer)
            self._under_way[task] = now
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._under_way.pop(task, None)
        self._go_on()
