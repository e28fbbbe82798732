"""Turn bytes into WebSocket messages and messages into server frames (RFC 6455), without a socket."""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from headwater.errors import RemoteProtocolError


class Opcode(IntEnum):
    """RFC 6455 §5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """RFC 6455 §7.4.1 and the IANA registry: the codes this server sends itself."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013


class WebSocketFault(RemoteProtocolError):
    """The peer broke RFC 6455; the connection is closed with `code`."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message or control frame; `payload` is text only for TEXT, `code` is set only for CLOSE."""

    opcode: Opcode
    payload: bytes
    text: str = ""
    code: int = 0


_LENGTH_16 = Struct("!BBH")
_LENGTH_64 = Struct("!BBQ")
_OPCODES = {int(opcode): opcode for opcode in Opcode}
_FIN = 0x80
_MASKED = 0x80
_FINAL_TEXT = _FIN | 0x1
_SHORT_TEXT_HEADERS = tuple(bytes((_FINAL_TEXT, size)) for size in range(126))
_CONTROL = 0x08
_MAX_CONTROL_BYTES = 125
_REGISTERED_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1007, 1015)})


def frame_header(opcode: int, size_bytes: int) -> bytes:
    """The head of one unmasked, final frame, as servers send them."""
    if size_bytes < 126:
        return _SHORT_TEXT_HEADERS[size_bytes] if opcode == 0x1 else bytes((_FIN | opcode, size_bytes))
    if size_bytes < 65_536:
        return _LENGTH_16.pack(_FIN | opcode, 126, size_bytes)
    return _LENGTH_64.pack(_FIN | opcode, 127, size_bytes)


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """One unmasked, final frame."""
    return frame_header(opcode, len(payload)) + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to the 123 bytes a control frame leaves for it."""
    if code == CloseCode.NO_STATUS:
        return encode_frame(Opcode.CLOSE, b"")
    text = reason.encode()[: _MAX_CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return encode_frame(Opcode.CLOSE, code.to_bytes(2, "big") + text)


def unmask(payload: bytes, mask: bytes) -> bytes:
    """XOR with the repeated 4-byte mask, as one big integer: 0.8 us for 300 bytes, where a byte loop takes 20."""
    size = len(payload)
    key = mask * (size // 4) + mask[: size % 4]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


class FrameDecoder:
    """Collects bytes from a client until they are whole messages.

    After a fault everything else the peer sends is ignored: `fault` says why and with which code to close.
    """

    __slots__ = (
        "_chunks",
        "_collected_bytes",
        "_fragments",
        "_fragments_bytes",
        "_max_message_bytes",
        "_needed_bytes",
        "_opcode",
        "fault",
    )

    def __init__(self, max_message_bytes: int) -> None:
        self.fault: WebSocketFault | None = None
        self._max_message_bytes = max_message_bytes
        self._chunks: list[bytes] = []
        self._collected_bytes = 0
        self._needed_bytes = 2
        self._opcode: Opcode | None = None
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0

    def whole_text(self, data: bytes) -> str | None:
        """The text of a read that is one text message and nothing else; None for what `receive` has to look at.

        That is most reads, and looking closer costs three times as much (bench/appsync_subscriptions.py).
        """
        if self._chunks or self._opcode is not None or self.fault is not None:
            return None
        if len(data) < 8 or data[0] != _FINAL_TEXT or data[1] < _MASKED:
            return None
        size, head = data[1] & 0x7F, 2
        if size == 126:
            size, head = data[2] << 8 | data[3], 4
            if size < 126:
                return None
        if size == 127 or size > self._max_message_bytes or len(data) != head + 4 + size:
            return None
        try:
            return unmask(data[head + 4 :], data[head : head + 4]).decode()
        except UnicodeDecodeError:
            return None

    def receive(self, data: bytes) -> list[Message]:
        """Messages that became whole with `data`; those before a fault are still returned."""
        if self.fault is not None:
            return []
        # A large frame in many small reads is joined once, when all of it is there.
        if self._chunks:
            self._chunks.append(data)
            self._collected_bytes += len(data)
            if self._collected_bytes < self._needed_bytes:
                return []
            data = b"".join(self._chunks)
            self._chunks = []
        messages: list[Message] = []
        position = 0
        try:
            while True:
                end = self._take_frame(data, position, messages)
                if end == position:
                    break
                position = end
        except WebSocketFault as fault:
            self.fault = fault
            self._fragments = []
            return messages
        if position < len(data):
            self._chunks.append(data[position:])
            self._collected_bytes = len(data) - position
        return messages

    def _take_frame(self, buffer: bytes, start: int, messages: list[Message]) -> int:
        """Read one frame at `start`; returns where it ends, or `start` if it is not complete yet."""
        available = len(buffer) - start
        self._needed_bytes = 2
        if available < 2:
            return start
        first, second = buffer[start], buffer[start + 1]
        self._check_head(first, second)
        size = second & 0x7F
        head = 2
        if size >= 126:
            head = 4 if size == 126 else 10
            self._needed_bytes = head
            if available < head:
                return start
            size = self._extended_length(buffer[start + 2 : start + head])
        self._check_size(first, size)
        end = start + head + 4 + size
        if len(buffer) < end:
            self._needed_bytes = end - start
            return start
        mask = buffer[start + head : start + head + 4]
        payload = unmask(buffer[start + head + 4 : end], mask)
        message = self._on_frame(first, payload)
        if message is not None:
            messages.append(message)
        return end

    @staticmethod
    def _check_head(first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise WebSocketFault(CloseCode.PROTOCOL_ERROR, "reserved bits are set without an extension")
        if opcode not in _OPCODES:
            raise WebSocketFault(CloseCode.PROTOCOL_ERROR, f"reserved opcode {opcode:#x}")
        if not second & _MASKED:
            raise WebSocketFault(CloseCode.PROTOCOL_ERROR, "client frames must be masked")
        if opcode & _CONTROL and (not first & _FIN or second & 0x7F > _MAX_CONTROL_BYTES):
            raise WebSocketFault(CloseCode.PROTOCOL_ERROR, "control frames are single and at most 125 bytes")

    @staticmethod
    def _extended_length(field: bytes) -> int:
        size = int.from_bytes(field, "big")
        if size < (126 if len(field) == 2 else 65_536) or size >= 1 << 63:
            raise WebSocketFault(CloseCode.PROTOCOL_ERROR, "frame length is not in its shortest form")
        return size

    def _check_size(self, first: int, size: int) -> None:
        # Refused on the header alone, so that an announced gigabyte is never collected.
        if not first & _CONTROL and self._fragments_bytes + size > self._max_message_bytes:
            raise WebSocketFault(CloseCode.MESSAGE_TOO_BIG, f"a message is at most {self._max_message_bytes} bytes")

    def _on_frame(self, first: int, payload: bytes) -> Message | None:
        opcode = _OPCODES[first & 0x0F]
        if opcode & _CONTROL:
            return _close_message(payload) if opcode is Opcode.CLOSE else Message(opcode, payload)
        if opcode is Opcode.CONTINUATION:
            if self._opcode is None:
                raise WebSocketFault(CloseCode.PROTOCOL_ERROR, "continuation without a message")
        elif self._opcode is not None:
            raise WebSocketFault(CloseCode.PROTOCOL_ERROR, "new message inside a fragmented one")
        elif first & _FIN:
            return _data_message(opcode, payload)
        else:
            self._opcode = opcode
        return self._on_fragment(payload, is_last=bool(first & _FIN))

    def _on_fragment(self, payload: bytes, *, is_last: bool) -> Message | None:
        # An endless run of empty fragments must not grow the list.
        if payload:
            self._fragments.append(payload)
            self._fragments_bytes += len(payload)
        if not is_last or self._opcode is None:
            return None
        opcode, whole = self._opcode, b"".join(self._fragments)
        self._opcode = None
        self._fragments = []
        self._fragments_bytes = 0
        return _data_message(opcode, whole)


def _data_message(opcode: Opcode, payload: bytes) -> Message:
    if opcode is Opcode.BINARY:
        return Message(opcode, payload)
    try:
        return Message(opcode, payload, payload.decode())
    except UnicodeDecodeError as error:
        raise WebSocketFault(CloseCode.INVALID_DATA, "text is not valid UTF-8") from error


def _close_message(payload: bytes) -> Message:
    if not payload:
        return Message(Opcode.CLOSE, payload, "", CloseCode.NO_STATUS)
    if len(payload) == 1:
        raise WebSocketFault(CloseCode.PROTOCOL_ERROR, "a close code has two bytes")
    code = int.from_bytes(payload[:2], "big")
    if code not in _REGISTERED_CLOSE_CODES and not 3000 <= code <= 4999:
        raise WebSocketFault(CloseCode.PROTOCOL_ERROR, f"close code {code} may not be sent")
    try:
        return Message(Opcode.CLOSE, payload, payload[2:].decode(), code)
    except UnicodeDecodeError as error:
        raise WebSocketFault(CloseCode.INVALID_DATA, "close reason is not valid UTF-8") from error
