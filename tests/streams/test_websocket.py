"""The WebSocket client against a server of raw bytes: what it says, what it takes, what it refuses."""

import base64
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from streams.aws.websocket import MAX_MESSAGE_BYTES, WebSocketClient, WebSocketError

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
Talk = Callable[[socket.socket], None]


def accept(connection: socket.socket) -> bytes:
    """Read a handshake and accept it; the request."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096)
    key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    proof = base64.b64encode(hashlib.sha1(key.partition(b":")[2].strip() + GUID).digest())
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + proof + b"\r\n\r\n")
    return request


def frame(opcode: int, payload: bytes, *, is_final: bool = True) -> bytes:
    head = bytes([(0x80 if is_final else 0) | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 65_536:
        return head + bytes([126]) + len(payload).to_bytes(2, "big") + payload
    return head + bytes([127]) + len(payload).to_bytes(8, "big") + payload


def exactly(connection: socket.socket, size: int) -> bytes:
    """`size` bytes and nothing of what follows them."""
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        assert more, "the client has gone"
        found += more
    return found


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    """One masked frame of a client, unmasked."""
    first, second = exactly(connection, 2)
    assert second & 0x80, "a client masks"
    length = second & 0x7F
    if length > 125:
        length = int.from_bytes(exactly(connection, 2 if length == 126 else 8), "big")
    mask = exactly(connection, 4)
    payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(exactly(connection, length)))
    return first & 0x0F, payload


@contextmanager
def serving(talk: Talk) -> Iterator[str]:
    """A server of one connection, and its URL."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = server.accept()
        with connection:
            talk(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{server.getsockname()[1]}/graphql"
    finally:
        thread.join(10)
        server.close()


def connected(url: str) -> WebSocketClient:
    return WebSocketClient(url, ["graphql-ws", "header-x"], timeout_s=5)


def test_it_shakes_hands_sends_masked_text_and_says_goodbye() -> None:
    seen: list[object] = []

    def talk(connection: socket.socket) -> None:
        seen.append(accept(connection))
        seen.append(read_frame(connection))
        seen.append(read_frame(connection))

    with serving(talk) as url:
        client = connected(url)
        client.send("Å" * 100)
        client.close()

    request, text, goodbye = seen
    assert isinstance(request, bytes)
    assert request.startswith(b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Sec-WebSocket-Protocol: graphql-ws, header-x\r\n" in request
    assert text == (1, ("Å" * 100).encode())
    assert goodbye == (8, b"\x03\xe8")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, MAX_MESSAGE_BYTES])
def test_a_message_of_any_size_comes_as_it_was_sent(size: int) -> None:
    def talk(connection: socket.socket) -> None:
        accept(connection)
        connection.sendall(frame(1, b"x" * size))
        assert read_frame(connection)[1] == b"y" * min(size, 70_000)

    with serving(talk) as url:
        client = connected(url)
        assert client.receive() == "x" * size
        client.send("y" * min(size, 70_000))
        client.close()


def test_fragments_are_joined_and_pings_between_them_answered() -> None:
    answered: list[tuple[int, bytes]] = []

    def talk(connection: socket.socket) -> None:
        accept(connection)
        euro = "€".encode()
        connection.sendall(frame(1, euro[:1], is_final=False) + frame(9, b"are you there") + frame(10, b"late"))
        connection.sendall(frame(0, euro[1:]))
        answered.append(read_frame(connection))

    with serving(talk) as url:
        client = connected(url)
        assert client.receive() == "€"
        client.close()

    assert answered == [(10, b"are you there")]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "the connection ended|handshake"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403"),
        (b"nonsense\r\n\r\n", "handshake"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "Sec-WebSocket-Accept"),
        (b"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: d3Jvbmc=\r\n\r\n", "Sec-WebSocket-Accept"),
        (b"HTTP/1.1 101 X\r\n" + b"a: b\r\n" * 1000 + b"\r\n", "Sec-WebSocket-Accept"),
    ],
)
def test_a_handshake_that_is_none_is_refused(answer: bytes, reason: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with serving(talk) as url, pytest.raises(OSError, match=reason):
        connected(url)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (frame(8, b"\x03\xe8going away"), "going away"),
        (frame(8, b""), "no reason"),
        (b"", "ended"),
        (b"\x81", "ended"),
        (frame(1, b"abc")[:-1], "ended"),
        (frame(2, b"binary"), "opcode 2"),
        (frame(3, b""), "opcode 3"),
        (frame(0, b"continued"), "out of turn"),
        (frame(1, b"a", is_final=False) + frame(1, b"b"), "out of turn"),
        (frame(1, b"\xff\xfe"), "UTF-8"),
        (b"\xc1\x00", "extension"),
        (b"\x81\x80\x00\x00\x00\x00", "mask"),
        (b"\x81\x7f" + (2**62).to_bytes(8, "big"), "above"),
        (frame(1, b"x" * MAX_MESSAGE_BYTES, is_final=False) + frame(0, b"x"), "above"),
    ],
)
def test_frames_that_break_the_protocol_end_it(sent: bytes, reason: str) -> None:
    def talk(connection: socket.socket) -> None:
        accept(connection)
        connection.sendall(sent)

    with serving(talk) as url:
        client = connected(url)
        with pytest.raises(WebSocketError, match=reason):
            client.receive()
        client.close()


def test_a_server_that_says_nothing_is_given_up() -> None:
    release = threading.Event()

    def talk(connection: socket.socket) -> None:
        accept(connection)
        release.wait(10)

    with serving(talk) as url:
        client = WebSocketClient(url, [], timeout_s=0.05)
        with pytest.raises(TimeoutError):
            client.receive()
        client.close()
        release.set()


@pytest.mark.parametrize("url", ["http://x/", "ws://", "wss:///path", "x"])
def test_what_is_no_websocket_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected ws"):
        WebSocketClient(url, [], timeout_s=1)
