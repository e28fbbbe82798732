"""The Lambda Runtime API: one loopback listener for each execution environment, spoken by its runtime client.

Source: Lambda developer guide, "Using the Lambda runtime API for custom runtimes" (version 2018-06-01).
"""

import asyncio
from typing import Protocol, cast

import httptools

_ROOT = b"/2018-06-01/runtime/"
_ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_RESPONSE_BYTES = 6_291_556


class RuntimeEvents(Protocol):
    """What an execution environment does about its runtime client's requests."""

    def client_is_ready(self, channel: "RuntimeChannel") -> None:
        """The client asked for the next invocation and waits on `channel`."""
        ...

    def client_answered(self, request_id: str, payload: bytes) -> bool:
        """The handler returned; false if no such invocation is running."""
        ...

    def client_failed(self, request_id: str, payload: bytes) -> bool:
        """The handler raised; false if no such invocation is running."""
        ...

    def client_failed_to_start(self, payload: bytes) -> None: ...


class RuntimeChannel(asyncio.Protocol):
    """One connection of a runtime client."""

    def __init__(self, events: RuntimeEvents) -> None:
        self._events = events
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.close()

    def on_message_begin(self) -> None:
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"expect":
            self._write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        self._write(self._answer(self._url, body))

    def _answer(self, url: bytes, body: bytes) -> bytes:
        if not url.startswith(_ROOT):
            return _refusal(404, "InvalidRequest", "no such resource")
        action = url[len(_ROOT) :].decode("latin-1").split("/")
        match action:
            case ["invocation", "next"]:
                self._events.client_is_ready(self)
                return b""
            case ["invocation", request_id, "response"]:
                is_known = self._events.client_answered(request_id, body)
                if is_known and len(body) > MAX_RESPONSE_BYTES:
                    text = f"Exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
                    return _refusal(413, "RequestEntityTooLarge", text)
            case ["invocation", request_id, "error"]:
                is_known = self._events.client_failed(request_id, body)
            case ["init", "error"]:
                self._events.client_failed_to_start(body)
                is_known = True
            case _:
                return _refusal(404, "InvalidRequest", "no such resource")
        return _ACCEPTED if is_known else _refusal(400, "InvalidRequestID", "Invalid request ID")

    def send_invocation(self, head: bytes, payload: bytes) -> bool:
        """Answer the pending `next`; false if the client is gone. `head` ends with the header lines' CRLF."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.writelines(
            (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
                head,
                b"Content-Length: %d\r\n\r\n" % len(payload),
                payload,
            )
        )
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)


def _refusal(status: int, error_type: str, message: str) -> bytes:
    reason = {400: "Bad Request", 404: "Not Found", 413: "Payload Too Large"}[status]
    body = b'{"errorMessage":"%s","errorType":"%s"}' % (message.encode(), error_type.encode())
    return b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        reason.encode(),
        len(body),
        body,
    )
