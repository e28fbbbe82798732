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

    def is_running(self, request_id: str) -> bool: ...

    def client_answered(self, payload: bytes) -> None:
        """The handler of the running invocation returned."""
        ...

    def client_failed(self, payload: bytes) -> None:
        """The handler of the running invocation raised."""
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
        action = self._url[len(_ROOT) :].decode("latin-1").split("/") if self._url.startswith(_ROOT) else []
        match action:
            case ["invocation", "next"]:
                self._events.client_is_ready(self)
            case ["invocation", request_id, "response" | "error" as ending]:
                self._end_invocation(request_id, ending, body)
            case ["init", "error"]:
                self._write(_ACCEPTED)
                self._events.client_failed_to_start(body)
            case _:
                self._write(_refusal(404, "InvalidRequest", "no such resource"))

    def _end_invocation(self, request_id: str, ending: str, body: bytes) -> None:
        """Answer first: the client goes on to ask for work while we do the accounts (25 us, bench/functions.py)."""
        if not self._events.is_running(request_id):
            self._write(_refusal(400, "InvalidRequestID", "Invalid request ID"))
        elif ending == "error":
            self._write(_ACCEPTED)
            self._events.client_failed(body)
        else:
            text = f"Exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
            is_small = len(body) <= MAX_RESPONSE_BYTES
            self._write(_ACCEPTED if is_small else _refusal(413, "RequestEntityTooLarge", text))
            self._events.client_answered(body)

    def send_invocation(self, head: bytes, payload: bytes) -> bool:
        """Answer the pending `next`; false if the client is gone. `head` ends with the header lines' CRLF."""
        if self._transport is None or self._transport.is_closing():
            return False
        prefix = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        self._transport.write(b"%b%bContent-Length: %d\r\n\r\n%b" % (prefix, head, len(payload), payload))
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
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
