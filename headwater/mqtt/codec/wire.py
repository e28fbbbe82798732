"""The primitive encodings of MQTT: integers, strings, binary data and the variable byte integer."""

from headwater.errors import LocalProtocolError
from headwater.mqtt.codec.packets import MqttProtocolError

MAX_VARINT = 268_435_455


class Reader:
    """A cursor over one packet's body; every read past the end is a malformed packet."""

    __slots__ = ("_data", "_position", "_stop")

    def __init__(self, data: bytes, position: int = 0, stop: int | None = None) -> None:
        self._data = data
        self._position = position
        self._stop = len(data) if stop is None else stop

    @property
    def remaining(self) -> int:
        return self._stop - self._position

    def take(self, size: int) -> bytes:
        start = self._position
        if size > self._stop - start:
            raise MqttProtocolError(f"packet ends {size - (self._stop - start)} bytes early")
        self._position = start + size
        return self._data[start : start + size]

    def section(self, size: int) -> "Reader":
        """A reader over the next `size` bytes, which this one skips."""
        start = self._position
        if size > self._stop - start:
            raise MqttProtocolError(f"packet ends {size - (self._stop - start)} bytes early")
        self._position = start + size
        return Reader(self._data, start, start + size)

    def rest(self) -> bytes:
        return self.take(self.remaining)

    def byte(self) -> int:
        return self.take(1)[0]

    def two(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def four(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def varint(self) -> int:
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                if shift and not byte:
                    raise MqttProtocolError("variable byte integer is longer than it needs to be")  # MQTT-1.5.5-1
                return value
        raise MqttProtocolError("variable byte integer is longer than 4 bytes")

    def binary(self) -> bytes:
        return self.take(self.two())

    def text(self) -> str:
        return decode_text(self.binary())

    def finish(self) -> None:
        if self.remaining:
            raise MqttProtocolError(f"packet has {self.remaining} bytes too many")


def decode_text(raw: bytes) -> str:
    """Strict UTF-8 without U+0000. Source: MQTT 5 section 1.5.4."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise MqttProtocolError(f"string is not UTF-8: {raw[:32]!r}") from error
    if "\0" in text:
        raise MqttProtocolError("string holds U+0000")
    return text


def encode_varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    if value > MAX_VARINT:
        raise LocalProtocolError(f"{value} does not fit a variable byte integer")
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | 0x80 if value else low)
        if not value:
            return bytes(out)


def encode_binary(data: bytes) -> bytes:
    if len(data) > 0xFFFF:
        raise LocalProtocolError(f"{len(data)} bytes do not fit MQTT binary data")
    return len(data).to_bytes(2, "big") + data


def encode_text(text: str) -> bytes:
    return encode_binary(text.encode())
