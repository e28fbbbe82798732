"""The bytes of HTTP answers, and the limits a connection is held to."""

from dataclasses import dataclass
from http import HTTPStatus

import orjson

from headwater.errors import LocalProtocolError
from headwater.values.http import HttpResponse

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}

_BODILESS = frozenset({204, 304})
# Answers with an id in their headers never repeat, so the cache starts over when it is full.
_MAX_HEADER_TEXTS = 256


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one connection may use: sizes in bytes, times in seconds."""

    max_head_bytes: int = 64 << 10
    max_body_bytes: int = 10 << 20
    head_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    idle_timeout_s: float = 75.0
    write_timeout_s: float = 30.0
    linger_s: float = 2.0


def error_response(status: int, error_type: str, message: str) -> HttpResponse:
    """An error that no handler has seen, readable by GraphQL clients (`errors`) and AWS clients (`message`)."""
    body = {"errors": [{"errorType": error_type, "message": message}], "message": message}
    headers = (("content-type", "application/json"), ("x-amzn-errortype", error_type))
    return HttpResponse(status, headers, orjson.dumps(body))


class HeaderTexts(dict[tuple[tuple[str, str], ...], tuple[str, bool]]):
    """Response headers to their text and whether they close the connection; most answers repeat a few of them."""

    def __missing__(self, headers: tuple[tuple[str, str], ...]) -> tuple[str, bool]:
        lines = [f"\r\n{name}: {value}" for name, value in headers]
        text = "".join(lines)
        if text.count("\n") != len(lines) or text.count("\r") != len(lines):
            raise LocalProtocolError(f"a response header contains a line break: {headers!r}")
        found = (text, ("connection", "close") in headers)
        if len(self) >= _MAX_HEADER_TEXTS:
            self.clear()
        self[headers] = found
        return found


def encode_response(response: HttpResponse, headers: str, *, date: str, is_head: bool, is_last: bool) -> bytes:
    """The bytes of an answer whose header text was looked up before."""
    status, body = response.status, response.body
    start = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown"
    close = "\r\nconnection: close" if is_last else ""
    if status < 200 or status in _BODILESS:
        return f"{start}{headers}\r\n{date}{close}\r\n\r\n".encode("latin-1")
    text = f"{start}{headers}\r\ncontent-length: {len(body)}\r\n{date}{close}\r\n\r\n".encode("latin-1")
    return text if is_head else text + body
