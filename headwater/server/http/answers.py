"""The bytes of HTTP answers, and the limits a connection is held to."""

from dataclasses import dataclass
from http import HTTPStatus

import orjson

from headwater.errors import LocalProtocolError
from headwater.values.http import HttpResponse

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}

_BODILESS = frozenset({204, 304})
# Handlers that put ids into their headers never repeat them, so the cache starts over when it is full.
_MAX_HEADER_TEXTS = 256


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one connection may use: sizes in bytes, times in seconds.

    Of `max_handshakes` TLS handshakes under way (35 KB each) one older than `handshake_grace_s` makes room for a new
    one.
    """

    max_head_bytes: int = 64 << 10
    max_body_bytes: int = 16 << 20
    head_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    idle_timeout_s: float = 75.0
    write_timeout_s: float = 30.0
    linger_s: float = 2.0
    max_handshakes: int = 1000
    handshake_grace_s: float = 2.0


def error_response(status: int, error_type: str, message: str) -> HttpResponse:
    """An error that no handler has seen, readable by GraphQL clients (`errors`) and AWS clients (`message`)."""
    body = {"errors": [{"errorType": error_type, "message": message}], "message": message}
    headers = (("content-type", "application/json"), ("x-amzn-errortype", error_type))
    return HttpResponse(status, headers, orjson.dumps(body))


class HeaderTexts(dict[tuple[tuple[str, str], ...], tuple[bytes, bool]]):
    """Response headers to their bytes and whether they close the connection; most answers repeat a few of them."""

    def __missing__(self, headers: tuple[tuple[str, str], ...]) -> tuple[bytes, bool]:
        found = (header_lines(headers), ("connection", "close") in headers)
        if len(self) >= _MAX_HEADER_TEXTS:
            self.clear()
        self[headers] = found
        return found


def header_lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    """The lines of headers, each behind a line break. Raises: LocalProtocolError for a header with one inside."""
    text = ""
    for name, value in headers:
        text += f"\r\n{name}: {value}"
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise LocalProtocolError(f"a response header contains a line break: {headers!r}")
    return text.encode("latin-1")


def encode_response(response: HttpResponse, headers: bytes, *, date: bytes, is_head: bool, is_last: bool) -> bytes:
    """The bytes of an answer whose repeated headers were looked up before. Raises: LocalProtocolError."""
    status, body = response.status, response.body
    start = _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown" % status
    if response.unique_headers:
        headers += header_lines(response.unique_headers)
    close = b"\r\nconnection: close" if is_last else b""
    if status < 200 or status in _BODILESS:
        return b"%b%b\r\n%b%b\r\n\r\n" % (start, headers, date, close)
    sent = b"" if is_head else body
    return b"%b%b\r\ncontent-length: %d\r\n%b%b\r\n\r\n%b" % (start, headers, len(body), date, close, sent)
