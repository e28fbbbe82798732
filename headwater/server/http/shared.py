"""What the connections of one HTTP server share."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Protocol

from headwater.server.http.answers import HeaderTexts, HttpLimits
from headwater.server.http.websocket import WebSocketAcceptor, WriteBatch
from headwater.values.http import HttpHandler

_MAX_HEADER_NAMES = 1024
_MAX_KNOWN_HEADS = 256
_MAX_KNOWN_HEAD_BYTES = 4096


class HeaderNames(dict[bytes, str]):
    """Header names as the wire has them to lower-case text; a few dozen spellings make up all traffic."""

    def __missing__(self, name: bytes) -> str:
        text = name.decode("latin-1").lower()
        if len(self) < _MAX_HEADER_NAMES:
            self[name] = text
        return text


@dataclass(slots=True)
class KnownHead:
    """What the parser has found a request's head to say; see HttpRequest for the members."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    content_length: int
    derived: dict[str, Any]


class KnownHeads(dict[tuple[bytes, str, bool], KnownHead]):
    """Heads by their bytes, the peer's address and whether it speaks TLS; the oldest goes when it is full.

    Most clients repeat their heads byte by byte, and the same bytes need no parsing: that is a fifth of a request.
    """

    def keep(self, key: tuple[bytes, str, bool], head: KnownHead) -> None:
        if len(key[0]) > _MAX_KNOWN_HEAD_BYTES:
            return
        if len(self) >= _MAX_KNOWN_HEADS:
            del self[next(iter(self))]
        self[key] = head


class Connection(Protocol):
    """What the server asks of a connection, whatever protocol it speaks."""

    def check_deadline(self, now: float) -> None: ...

    def drain(self) -> None: ...

    def abort(self) -> None: ...


@dataclass(slots=True)
class HttpShared:
    """What the connections of one server share. `now` is the loop's time, at most one sweep old."""

    handler: HttpHandler
    acceptors: Mapping[str, WebSocketAcceptor]
    limits: HttpLimits
    loop: asyncio.AbstractEventLoop
    wall_clock: Callable[[], float]
    batch: WriteBatch
    now: float = 0.0
    date: bytes = b""
    is_draining: bool = False
    connections: set[Connection] = field(default_factory=set)
    tasks: set[asyncio.Future[Any]] = field(default_factory=set)
    header_names: HeaderNames = field(default_factory=HeaderNames)
    header_texts: HeaderTexts = field(default_factory=HeaderTexts)
    known_heads: KnownHeads = field(default_factory=KnownHeads)

    def update_time(self) -> None:
        self.now = self.loop.time()
        self.date = f"date: {formatdate(self.wall_clock(), usegmt=True)}".encode()
