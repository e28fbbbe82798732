"""WebSocket connections over an upgraded HTTP connection: what an endpoint implements and what it may call.

A path is served by a `WebSocketAcceptor`. Its `accept(request)` looks at the upgrade request (method, version and key
are already checked) and answers a `WebSocketEndpoint` to go on, or an `HttpResponse` to refuse. The endpoint names the
subprotocol the server answers (one that the client offered: `offered_subprotocols(request)`), then gets

    on_open(sender)          once, after the 101 answer was written
    on_text / on_binary      one whole message, in order
    on_close(code, reason)   exactly once, when nothing can be sent or received any more (even if the peer left
                             before on_open)

All four are plain functions on the event loop; work that waits belongs into tasks of the endpoint. The endpoint sends
through the `WebSocketSender` it was given: frames are queued and written once per loop turn, so several sends cost one
system call. When the peer does not read, `WebSocketLimits.max_queued_bytes` bounds the queue, and the slow reader is
dropped with `slow_reader_code`. An endpoint that cannot keep up calls `sender.pause_reading()`.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from headwater.errors import LocalProtocolError
from headwater.realtime.websocket_frames import CloseCode, FrameDecoder, Message, Opcode, encode_close, encode_frame
from headwater.values.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)

_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """What one connection may use; sizes in bytes."""

    max_message_bytes: int = 1 << 20
    max_queued_bytes: int = 8 << 20
    slow_reader_code: int = CloseCode.TRY_AGAIN_LATER
    close_timeout_s: float = 5.0


class WebSocketSender(Protocol):
    """The connection as its endpoint sees it. Sending on a closed connection does nothing."""

    @property
    def is_open(self) -> bool: ...

    @property
    def queued_bytes(self) -> int: ...

    def send_text(self, text: str | bytes) -> None: ...

    def send_binary(self, data: bytes) -> None: ...

    def send_frames(self, frames: bytes) -> None:
        """Queue frames that are already encoded (`websocket_frames.encode_frame`), e.g. once for many connections."""
        ...

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Send what is queued, then the close frame; the peer has `close_timeout_s` to answer it."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class WebSocketEndpoint(Protocol):
    """One connection's application."""

    @property
    def subprotocol(self) -> str | None: ...

    @property
    def limits(self) -> WebSocketLimits: ...

    def on_open(self, sender: WebSocketSender) -> None: ...

    def on_text(self, text: str) -> None: ...

    def on_binary(self, data: bytes) -> None: ...

    def on_close(self, code: int, reason: str) -> None: ...


class WebSocketAcceptor(Protocol):
    """Decides on an upgrade request."""

    async def accept(self, request: HttpRequest) -> WebSocketEndpoint | HttpResponse: ...


def offered_subprotocols(request: HttpRequest) -> list[str]:
    """The client's `Sec-WebSocket-Protocol` entries in its order of preference, over all lines of that header."""
    lines = (value for name, value in request.headers if name == "sec-websocket-protocol")
    return [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]


def is_websocket_upgrade(request: HttpRequest) -> bool:
    """Whether the client asks for a WebSocket, well-formed or not."""
    return request.header("upgrade").lower() == "websocket"


def refuse_upgrade(request: HttpRequest) -> HttpResponse | None:
    """The answer to a malformed upgrade request (RFC 6455 §4.2.1); None if it may go on."""
    if request.method != "GET":
        return HttpResponse(405, (("allow", "GET"),))
    if request.header("sec-websocket-version") != "13":
        return HttpResponse(426, (("sec-websocket-version", "13"), ("upgrade", "websocket")))
    try:
        key = base64.b64decode(request.header("sec-websocket-key"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 16:
        return HttpResponse(400, (("content-type", "text/plain"),), b"Sec-WebSocket-Key is not 16 bytes of base64")
    return None


def upgrade_answer(request: HttpRequest, subprotocol: str | None) -> bytes:
    """The head of the 101 answer."""
    if subprotocol is not None and subprotocol not in offered_subprotocols(request):
        raise LocalProtocolError(f"subprotocol {subprotocol!r} was not offered by the client")
    digest = hashlib.sha1(request.header("sec-websocket-key").encode() + _ACCEPT_GUID, usedforsecurity=False).digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Flushable(Protocol):
    """A connection with something to write."""

    def flush(self) -> None: ...


class WriteBatch:
    """Connections with something to write; all of them are flushed by one callback per loop turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.waiting: list[Flushable] = []

    def schedule(self) -> None:
        """Called before the first connection is added in a turn."""
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        connections, self.waiting = self.waiting, []
        for connection in connections:
            connection.flush()


class WebSocketConnection(asyncio.Protocol):
    """One upgraded connection: feeds its endpoint and is that endpoint's `WebSocketSender`.

    `on_gone` is called once when the transport is lost, so that the server forgets the connection.
    """

    __slots__ = (
        "_batch",
        "_close_code",
        "_close_reason",
        "_decoder",
        "_endpoint",
        "_frames",
        "_is_batched",
        "_is_closed",
        "_is_closing",
        "_is_write_paused",
        "_limits",
        "_max_queued_bytes",
        "_on_gone",
        "_queued_bytes",
        "_transport",
        "deadline",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        endpoint: WebSocketEndpoint,
        *,
        batch: WriteBatch,
        on_gone: Callable[["WebSocketConnection"], None],
    ) -> None:
        self.deadline: float | None = None
        self._transport = transport
        self._endpoint = endpoint
        self._limits = endpoint.limits
        self._decoder = FrameDecoder(self._limits.max_message_bytes)
        self._batch = batch
        self._on_gone = on_gone
        self._frames: list[bytes] = []
        self._queued_bytes = 0
        self._max_queued_bytes = self._limits.max_queued_bytes
        # Set while a flush is due anyway: at the end of this loop turn, or when the peer reads again.
        self._is_batched = False
        self._is_closing = False
        self._is_closed = False
        self._is_write_paused = False
        self._close_code: int = CloseCode.ABNORMAL
        self._close_reason = ""

    # WebSocketSender

    @property
    def is_open(self) -> bool:
        return not self._is_closing

    @property
    def queued_bytes(self) -> int:
        return self._queued_bytes

    def send_text(self, text: str | bytes) -> None:
        self.send_frames(encode_frame(Opcode.TEXT, text.encode() if isinstance(text, str) else text))

    def send_binary(self, data: bytes) -> None:
        self.send_frames(encode_frame(Opcode.BINARY, data))

    def send_frames(self, frames: bytes) -> None:
        if self._is_closing:
            return
        self._frames.append(frames)
        self._queued_bytes += len(frames)
        if not self._is_batched:
            self._join_batch()
        elif self._queued_bytes > self._max_queued_bytes:
            if self._is_write_paused:
                self._drop_slow_reader()
            else:
                # Much at once is no fault of the reader, who had no time to read.
                self.flush()

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        if self._is_closing:
            return
        self._frames.append(encode_close(code, reason))
        self._start_closing(code, reason)
        if not self._is_batched:
            self._join_batch()
        self.resume_reading()

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # the server's side

    def open(self, early_data: bytes) -> None:
        """Start the endpoint; `early_data` came with or after the upgrade request."""
        self._call(self._endpoint.on_open, self)
        if early_data:
            self.data_received(early_data)

    def flush(self) -> None:
        """Write all queued frames in one call."""
        if self._is_write_paused:
            return
        self._is_batched = False
        frames = self._frames
        if frames:
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            # Emptied, not replaced: a new list per flush is what makes the garbage collector run (fan-out -20 %).
            frames.clear()
            self._queued_bytes = 0
            self._transport.write(data)

    def _join_batch(self) -> None:
        self._is_batched = True
        batch = self._batch
        if not batch.waiting:
            batch.schedule()
        batch.waiting.append(self)

    def check_deadline(self, now: float) -> None:
        """Set the deadline of a close that has begun, and end the connection when it has passed."""
        if not self._is_closing:
            return
        if self.deadline is None:
            self.deadline = now + self._limits.close_timeout_s
        elif now >= self.deadline:
            self._transport.abort()

    def drain(self) -> None:
        """The server stops."""
        self.close(CloseCode.GOING_AWAY, "the server stops")

    def abort(self) -> None:
        self._transport.abort()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        decoder = self._decoder
        text = decoder.whole_text(data)
        if text is not None:
            if self._is_closing:
                return
            try:
                self._endpoint.on_text(text)
            except Exception:
                self._fail()
            return
        for message in decoder.receive(data):
            opcode = message.opcode
            if opcode is Opcode.CLOSE:
                self._on_close_frame(message)
                return
            if self._is_closing:
                continue
            if opcode is Opcode.TEXT:
                self._call(self._endpoint.on_text, message.text)
            elif opcode is Opcode.BINARY:
                self._call(self._endpoint.on_binary, message.payload)
            elif opcode is Opcode.PING:
                self.send_frames(encode_frame(Opcode.PONG, message.payload))
        if decoder.fault is not None:
            if not self._is_closing:
                self.close(decoder.fault.code, decoder.fault.reason)
            self._end_transport()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._is_write_paused = True
        self._is_batched = True

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._is_closing = True
        self._frames = []
        self._queued_bytes = 0
        self._on_gone(self)
        try:
            self._endpoint.on_close(self._close_code, self._close_reason)
        except Exception:
            logger.exception("a WebSocket endpoint failed in on_close")

    # closing

    def _start_closing(self, code: int, reason: str) -> None:
        self._is_closing = True
        self._close_code = code
        self._close_reason = reason

    def _on_close_frame(self, message: Message) -> None:
        if not self._is_closing:
            self._frames.append(encode_close(message.code))
            self._start_closing(message.code, message.text)
        self._end_transport()

    def _end_transport(self) -> None:
        # The server closes TCP first (RFC 6455 §7.1.1); the transport still writes what it has buffered.
        if self._frames and not self._transport.is_closing():
            self._transport.write(b"".join(self._frames))
            self._frames = []
        self._transport.close()

    def _drop_slow_reader(self) -> None:
        logger.info("dropped a WebSocket client that does not read: %d bytes were queued", self._queued_bytes)
        self._frames = []
        self._queued_bytes = 0
        code = self._limits.slow_reader_code
        self._start_closing(code, "the client does not read")
        self._transport.write(encode_close(code, self._close_reason))
        self._transport.close()

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:
            self._fail()

    def _fail(self) -> None:
        """Called while an exception of the endpoint is handled."""
        logger.exception("a WebSocket endpoint failed")
        self.close(CloseCode.INTERNAL_ERROR)
