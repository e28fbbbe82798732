"""HTTP messages as values, so that an endpoint is one callable and needs no socket in its tests."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One whole request; `headers` are lower-case names in wire order, `raw_path` is undecoded and has no query."""

    method: str
    raw_path: str
    raw_query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: str
    is_tls: bool = False

    def header(self, name: str, default: str = "") -> str:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return default


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One whole answer; the server adds `content-length` and `date`."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)


HttpHandler = Callable[[HttpRequest], Awaitable[HttpResponse]]
