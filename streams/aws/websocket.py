"""A WebSocket client with the standard library alone, for a function that listens to its own API.

Source: RFC 6455. No extensions; text messages out, text messages in, each at most 1 MB.
"""

import base64
import hashlib
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO
from urllib.parse import urlsplit

MAX_MESSAGE_BYTES = 1024 * 1024
_MAX_HEAD_LINES = 100
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_FINAL, _MASKED = 0x80, 0x80


class WebSocketError(OSError):
    """The handshake was refused, the connection ended, or the peer broke the protocol."""


class WebSocketClient:
    """One connection; `timeout_s` holds for each read. `random_bytes` gives the handshake's key and the masks."""

    def __init__(
        self,
        url: str,
        subprotocols: Sequence[str],
        *,
        timeout_s: float,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Connect. Raises: OSError; WebSocketError when the server does not accept."""
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(f"url {url!r}, expected ws(s)://host[:port]/path")
        self._random_bytes = random_bytes
        is_tls = parts.scheme == "wss"
        plain = socket.create_connection((parts.hostname, parts.port or (443 if is_tls else 80)), timeout=timeout_s)
        try:
            wrap = ssl.create_default_context().wrap_socket if is_tls else None
            self._socket = wrap(plain, server_hostname=parts.hostname) if wrap else plain
        except OSError:
            plain.close()
            raise
        self._reader: BinaryIO = self._socket.makefile("rb")
        try:
            self._shake_hands(parts.netloc, parts.path or "/", subprotocols)
        except OSError:
            self.close()
            raise

    def send(self, text: str) -> None:
        """Send one text message. Raises: OSError."""
        self._send_frame(_TEXT, text.encode())

    def receive(self) -> str:
        """Wait for the next text message; pings are answered meanwhile. Raises: OSError, TimeoutError among them."""
        parts: list[bytes] = []
        size = 0
        while True:
            is_final, opcode, payload = self._read_frame(MAX_MESSAGE_BYTES - size)
            if opcode == _PING:
                self._send_frame(_PONG, payload)
            elif opcode == _CLOSE:
                raise WebSocketError(f"the server closed it: {payload[2:].decode('utf-8', 'replace') or 'no reason'}")
            elif opcode in (_TEXT, _CONTINUATION):
                if (opcode == _CONTINUATION) is not bool(parts):
                    raise WebSocketError(f"opcode {opcode} out of turn")
                parts.append(payload)
                size += len(payload)
                if is_final:
                    return _text(b"".join(parts))
            elif opcode != _PONG:
                raise WebSocketError(f"opcode {opcode}, expected text")

    def close(self) -> None:
        """Say goodbye as far as that is possible, and end the connection."""
        with suppress(OSError):
            self._send_frame(_CLOSE, (1000).to_bytes(2))
        self._reader.close()
        self._socket.close()

    def _shake_hands(self, host: str, path: str, subprotocols: Sequence[str]) -> None:
        key = base64.b64encode(self._random_bytes(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {', '.join(subprotocols)}",
        ]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        status = self._reader.readline(8192).split(None, 2)
        headers: dict[bytes, bytes] = {}
        for _ in range(_MAX_HEAD_LINES):
            line = self._reader.readline(8192).strip()
            if not line:
                break
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        if len(status) < 2 or status[1] != b"101":
            raise WebSocketError(f"the handshake was answered {b' '.join(status)[:200]!r}")
        # The RFC's proof that the peer speaks WebSocket; it protects nothing.
        proof = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
        if headers.get(b"sec-websocket-accept") != base64.b64encode(proof):
            raise WebSocketError("the handshake's Sec-WebSocket-Accept is not that of the key")

    def _read_frame(self, room: int) -> tuple[bool, int, bytes]:
        first, second = self._read(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(self._read(2 if length == 126 else 8))
        if first & 0x70 or second & _MASKED:
            raise WebSocketError("a frame with an extension or a mask, neither of which was agreed on")
        if length > room:
            raise WebSocketError(f"a message above {MAX_MESSAGE_BYTES} bytes")
        return bool(first & _FINAL), first & 0x0F, self._read(length)

    def _read(self, length: int) -> bytes:
        data = self._reader.read(length)
        if len(data) != length:
            raise WebSocketError("the connection ended")
        return data

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        if length < 126:
            head = bytes([_FINAL | opcode, _MASKED | length])
        elif length < 65_536:
            head = bytes([_FINAL | opcode, _MASKED | 126]) + length.to_bytes(2)
        else:
            head = bytes([_FINAL | opcode, _MASKED | 127]) + length.to_bytes(8)
        mask = self._random_bytes(4)
        keys = mask * (length // 4 + 1)
        masked = bytes(one ^ other for one, other in zip(payload, keys, strict=False))
        self._socket.sendall(head + mask + masked)


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise WebSocketError("a text message that is not UTF-8") from error
