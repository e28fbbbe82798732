"""The bytes of HTTP answers, and the limits a connection is held to."""

from dataclasses import dataclass
from http import HTTPStatus

import orjson

from headwater.errors import LocalProtocolError
from headwater.values.http import HttpResponse

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}


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


def encode_response(response: HttpResponse, *, date: str, is_head: bool = False, is_last: bool = False) -> bytes:
    """The bytes of an answer. Raises: LocalProtocolError if a header would break the framing."""
    headers = response.headers
    head = "\r\n".join([f"{name}: {value}" for name, value in headers])
    if head.count("\n") >= max(len(headers), 1) or head.count("\r") >= max(len(headers), 1):
        raise LocalProtocolError(f"a response header contains a line break: {headers!r}")
    status, body = response.status, response.body
    start = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown"
    close = "\r\nconnection: close" if is_last else ""
    if headers:
        start = f"{start}\r\n{head}"
    if status < 200 or status in (204, 304):
        return f"{start}\r\n{date}{close}\r\n\r\n".encode("latin-1")
    text = f"{start}\r\ncontent-length: {len(body)}\r\n{date}{close}\r\n\r\n".encode("latin-1")
    return text if is_head else text + body
