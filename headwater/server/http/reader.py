"""Read one connection's bytes into requests, and refuse what breaks HTTP/1.1 or its limits."""

import logging
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import httptools

from headwater.server.http.answers import error_response
from headwater.server.http.shared import HttpShared, KnownHead
from headwater.values.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)

_END_OF_HEAD = b"\r\n\r\n"


class Phase(Enum):
    """What the connection waits for; every phase but HANDLING has a deadline."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    HANDLING = auto()
    LINGERING = auto()


@dataclass(slots=True)
class Refused:
    """A request that cannot be parsed: its answer waits for its turn and then ends the connection."""

    response: HttpResponse


IDLE, HEAD, BODY, HANDLING, LINGERING = Phase


class _RefusalError(Exception):
    """Stops the parser from inside one of its callbacks."""


class RequestReader:
    """The parser's callbacks: whole requests are appended to `_pending` with whether the connection may be kept.

    `_phase` is where the bytes have led to; `_is_armed` is cleared whenever it changed, so that one deadline is set
    per read and not one per phase.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_content_length",
        "_derived",
        "_expects",
        "_headers",
        "_is_armed",
        "_is_tls",
        "_known_raw_headers",
        "_known_url",
        "_parser",
        "_path",
        "_peer",
        "_pending",
        "_phase",
        "_query",
        "_raw_headers",
        "_read_bytes",
        "_shared",
        "_unparsed_bytes",
        "_url",
        "_wants_continue",
    )

    def __init__(self, shared: HttpShared) -> None:
        self._shared = shared
        self._parser = httptools.HttpRequestParser(self)
        self._pending: deque[tuple[HttpRequest, bool] | Refused] = deque()
        self._phase = IDLE
        self._is_armed = True
        self._peer = ""
        self._is_tls = False
        self._wants_continue = False
        self._unparsed_bytes = 0
        self._read_bytes = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._derived: dict[str, Any] = {}
        self._known_url = b""
        self._path = ""
        self._query = ""
        self._known_raw_headers: list[tuple[bytes, bytes]] | None = None
        self._content_length = 0
        self._expects = ""
        self._reset_request()

    def _reset_request(self) -> None:
        self._url = b""
        self._raw_headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._reset_request()
        self._unparsed_bytes = 0
        self._phase = HEAD
        self._is_armed = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers of a chunked body are dropped.
        if self._phase is HEAD:
            self._raw_headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._read_bytes + self._unparsed_bytes > self._shared.limits.max_head_bytes:
            self._check_head_size()
        # Most clients repeat their headers on a connection, byte by byte.
        if self._raw_headers != self._known_raw_headers:
            self._read_headers()
        self._check_body_size(self._content_length)
        self._phase = BODY
        self._is_armed = False
        if self._expects:
            self._on_expect()

    def on_body(self, data: bytes) -> None:
        self._unparsed_bytes = 0
        self._body.append(data)
        self._body_bytes += len(data)
        self._check_body_size(self._body_bytes)

    def on_message_complete(self) -> None:
        if self._url != self._known_url:
            self._read_url()
        method = self._parser.get_method()
        body = self._body
        request = HttpRequest(
            "POST" if method == b"POST" else method.decode("latin-1"),
            self._path,
            self._query,
            self._headers,
            body[0] if len(body) == 1 else b"".join(body),
            self._peer,
            self._is_tls,
            self._derived,
        )
        self._wants_continue = False
        self._pending.append((request, self._parser.should_keep_alive()))
        self._phase = HANDLING
        self._is_armed = False

    def _forget_parser(self) -> None:
        """Break the cycle between reader and parser, so that a connection is freed when it ends."""
        self._parser = None  # type: ignore[assignment]  # nothing is read any more

    # heads that came before

    def _known_request(self, data: bytes) -> HttpRequest | None:
        """The request, if a read between requests is a whole one whose head the parser has read before."""
        end = data.find(_END_OF_HEAD) + 4
        known = self._shared.known_heads.get((data[:end], self._peer, self._is_tls))
        if known is None or len(data) - end != known.content_length:
            return None
        return HttpRequest(
            known.method, known.path, known.query, known.headers, data[end:], self._peer, self._is_tls, known.derived
        )

    def _keep_head(self, data: bytes) -> None:
        """Remember the head of a request that was all of `data`, so that the same bytes need no parser again.

        What chunks mean, and the end of a connection, depends on more than the head; a signature never comes again.
        """
        if self._phase is not HANDLING or len(self._pending) != 1:
            return
        entry = self._pending[0]
        end = data.find(_END_OF_HEAD) + 4
        if isinstance(entry, Refused) or len(data) - end != self._content_length:
            return
        request, keeps_alive = entry
        if keeps_alive and len(request.body) == self._content_length and not request.header("x-amz-date"):
            key = (data[:end], self._peer, self._is_tls)
            head = KnownHead(
                request.method,
                request.raw_path,
                request.raw_query,
                request.headers,
                self._content_length,
                request.derived,
            )
            self._shared.known_heads.keep(key, head)

    # parsing rules

    def _on_parser_error(self, error: httptools.HttpParserError) -> None:
        if isinstance(error.__context__, _RefusalError):
            return
        if isinstance(error, httptools.HttpParserCallbackError):
            logger.error("a request of %s could not be taken", self._peer, exc_info=error.__context__)
            self._refuse(500, "InternalFailure", "Internal server error.")
        else:
            self._refuse(400, "MalformedHttpRequestException", f"Malformed HTTP request: {error}")

    def _read_url(self) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        self._path = path if path[:1] == "/" else _origin_form(path)
        self._query = query.partition("#")[0] if "#" in query else query
        self._known_url = self._url

    def _read_headers(self) -> None:
        raw, names = self._raw_headers, self._shared.header_names
        self._headers = tuple([(names[name], value.decode("latin-1").strip(" \t")) for name, value in raw])
        self._known_raw_headers = raw
        self._derived = {}
        by_name = dict(self._headers)
        hosts = 1 if "host" in by_name else 0
        if len(by_name) != len(raw):
            hosts = sum(name == "host" for name, _ in self._headers)
        if hosts > 1 or (hosts == 0 and self._parser.get_http_version() != "1.0"):
            self._refuse(400, "MalformedHttpRequestException", "Exactly one Host header is needed.")
            raise _RefusalError
        if hosts == 0:
            # Whether a host is needed depends on the version of the next request too.
            self._known_raw_headers = None
        self._content_length = int(by_name.get("content-length", 0))
        self._expects = by_name.get("expect", "").lower()

    def _check_unparsed(self, size_bytes: int) -> None:
        """Bound what the parser may take without giving anything: unfinished heads, trailers, chunk extensions."""
        self._unparsed_bytes += size_bytes
        # What came in one read may hold earlier requests too; the exact size is checked at the head's end.
        if self._unparsed_bytes - size_bytes > self._shared.limits.max_head_bytes:
            self._refuse_head()

    def _check_head_size(self) -> None:
        size = len(self._url) + sum([len(name) + len(value) + 4 for name, value in self._raw_headers])
        if size > self._shared.limits.max_head_bytes:
            self._refuse_head()
            raise _RefusalError

    def _refuse_head(self) -> None:
        limit = self._shared.limits.max_head_bytes
        self._refuse(431, "RequestHeaderSectionTooLarge", f"The head is limited to {limit} bytes.")

    def _check_body_size(self, size_bytes: int) -> None:
        limit = self._shared.limits.max_body_bytes
        if size_bytes > limit:
            self._refuse(413, "RequestEntityTooLargeException", f"The body is limited to {limit} bytes.")
            raise _RefusalError

    def _on_expect(self) -> None:
        if self._expects != "100-continue":
            self._refuse(417, "ExpectationFailed", f"Unknown expectation {self._expects!r}.")
            raise _RefusalError
        self._wants_continue = self._parser.get_http_version() == "1.1"

    def _refuse(self, status: int, error_type: str, message: str) -> None:
        logger.info("refused a request of %s: %s", self._peer, message)
        self._pending.append(Refused(error_response(status, error_type, message)))
        self._phase = LINGERING
        self._is_armed = False


def _origin_form(target: str) -> str:
    """The path of an absolute-form target (RFC 9112 §3.2.2); `*` and authorities stay as they are."""
    _, separator, rest = target.partition("://")
    if not separator:
        return target
    slash = rest.find("/")
    return "/" if slash < 0 else rest[slash:]
