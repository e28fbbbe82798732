"""Turn a byte stream into MQTT control packets, however it is cut into chunks."""

from headwater.mqtt.codec.packets import (
    NO_PROPERTIES,
    V5,
    V311,
    Ack,
    Auth,
    Connack,
    Connect,
    Disconnect,
    MqttProtocolError,
    Packet,
    PacketType,
    Pingreq,
    Pingresp,
    Properties,
    PublishPacket,
    ReasonCode,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Unsuback,
    Unsubscribe,
    Will,
)
from headwater.mqtt.codec.properties import WILL, read_properties
from headwater.mqtt.codec.wire import Reader, decode_text

MAX_PACKET_BYTES = 268_435_460
_KNOWN_TOPICS = 16_384
_MAX_KNOWN_BYTES = 256


class PacketDecoder:
    """Feed it bytes, get packets; after a CONNECT it reads in that packet's protocol version.

    The first malformed packet ends the stream: `feed` returns the good packets before it and `error` is set.
    `topics` remembers topic names already checked; one dictionary may serve many connections.
    """

    __slots__ = ("_buffered", "_chunks", "_max_packet_bytes", "_topics", "_wanted", "error", "version")

    def __init__(
        self,
        max_packet_bytes: int = MAX_PACKET_BYTES,
        *,
        version: int = V311,
        topics: dict[bytes, str] | None = None,
    ) -> None:
        self.version = version
        self.error: MqttProtocolError | None = None
        self._max_packet_bytes = max_packet_bytes
        self._topics: dict[bytes, str] = {} if topics is None else topics
        # An unfinished packet is kept as the chunks it came in and joined once, so that a peer that sends single
        # bytes cannot make us copy the packet for each of them.
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._wanted = 2

    @property
    def buffered_bytes(self) -> int:
        return self._buffered

    def limit(self, max_packet_bytes: int) -> None:
        """Refuse larger packets from now on."""
        self._max_packet_bytes = max_packet_bytes

    def feed(self, data: bytes) -> list[Packet]:
        """All packets completed by `data`, in order."""
        packets: list[Packet] = []
        if self.error is not None:
            return packets
        if self._chunks:
            self._chunks.append(data)
            self._buffered += len(data)
            if self._buffered < self._wanted:
                return packets
            data = b"".join(self._chunks)
            self._chunks.clear()
        try:
            position = self._decode_all(data, packets)
        except MqttProtocolError as error:
            self.error = error
            self._buffered = 0
            return packets
        rest = len(data) - position
        self._buffered = rest
        if rest:
            self._chunks.append(data[position:] if position else data)
        return packets

    def _decode_all(self, data: bytes, packets: list[Packet]) -> int:
        """Decode from the start of `data`; the position of the first byte not used. Hot: bench/mqtt.py."""
        position = 0
        end = len(data)
        publish = self._publish
        append = packets.append
        while end - position >= 2:
            first = data[position]
            length = data[position + 1]
            body = position + 2
            if length & 0x80:
                header = _long_length(data, position, end)
                if header is None:
                    self._wanted = end - position + 1
                    return position
                length, body = header
            stop = body + length
            if stop - position > self._max_packet_bytes:
                raise MqttProtocolError(
                    f"packet of {stop - position} bytes is larger than {self._max_packet_bytes}",
                    ReasonCode.PACKET_TOO_LARGE,
                )
            if stop > end:
                self._wanted = stop - position
                return position
            kind = first >> 4
            if kind == 3:
                append(publish(data, first, body, stop))
            elif first == 0x40 and length == 2:
                packet_id = data[body] << 8 | data[body + 1]
                if not packet_id:
                    raise MqttProtocolError("PUBACK has packet identifier 0", ReasonCode.PROTOCOL_ERROR)
                append(Ack(4, packet_id))
            else:
                append(self._other(kind, first & 0x0F, Reader(data, body, stop)))
            position = stop
        self._wanted = 2
        return position

    def _publish(self, data: bytes, first: int, body: int, stop: int) -> PublishPacket:
        if stop - body < 2:
            raise MqttProtocolError("PUBLISH has no topic")
        after = body + 2 + (data[body] << 8 | data[body + 1])
        raw = data[body + 2 : after]
        topic = self._topics.get(raw)
        if topic is None:
            if after > stop:
                raise MqttProtocolError("PUBLISH ends inside its topic")
            topic = self._check_topic(raw)
        qos = first >> 1 & 3
        packet_id = 0
        if qos:
            if after + 2 > stop:
                raise MqttProtocolError("PUBLISH ends inside its packet identifier")
            packet_id = data[after] << 8 | data[after + 1]
            after += 2
            if not packet_id:
                raise MqttProtocolError("PUBLISH has packet identifier 0", ReasonCode.PROTOCOL_ERROR)
            if qos == 3:
                raise MqttProtocolError("PUBLISH has QoS 3")
        elif first & 8:
            raise MqttProtocolError("PUBLISH has DUP at QoS 0")
        properties: Properties | None = None
        if self.version == V5:
            if after < stop and data[after] == 0:
                after += 1
            else:
                reader = Reader(data, after, stop)
                properties = read_properties(reader, PacketType.PUBLISH)
                after = stop - reader.remaining
        # `after` may pass `stop` only when the topic was known but this packet is shorter than it claims.
        if after > stop:
            raise MqttProtocolError("PUBLISH ends inside its topic")
        return PublishPacket(topic, data[after:stop], qos, first & 1 == 1, first & 8 == 8, packet_id, properties)

    def _check_topic(self, raw: bytes) -> str:
        topic = decode_text(raw)
        if "+" in topic or "#" in topic:
            raise MqttProtocolError(f"PUBLISH to {topic!r}, which holds a wildcard", ReasonCode.TOPIC_NAME_INVALID)
        if not topic and self.version != V5:
            raise MqttProtocolError("PUBLISH has an empty topic", ReasonCode.TOPIC_NAME_INVALID)
        if topic and len(raw) <= _MAX_KNOWN_BYTES:
            if len(self._topics) >= _KNOWN_TOPICS:
                self._topics.clear()
            self._topics[raw] = topic
        return topic

    def _other(self, kind: int, flags: int, reader: Reader) -> Packet:
        expected = 2 if kind in (PacketType.PUBREL, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE) else 0
        if flags != expected:
            raise MqttProtocolError(f"packet type {kind} has flags {flags}, expected {expected}")
        packet: Packet
        if kind == PacketType.CONNECT:
            packet = self._connect(reader)
        elif PacketType.PUBACK <= kind <= PacketType.PUBCOMP:
            packet = self._ack(kind, reader)
        elif kind == PacketType.SUBSCRIBE:
            packet = self._subscribe(reader)
        elif kind == PacketType.UNSUBSCRIBE:
            packet = self._unsubscribe(reader)
        elif kind == PacketType.PINGREQ:
            packet = Pingreq()
        elif kind == PacketType.DISCONNECT:
            packet = self._disconnect(reader)
        elif kind == PacketType.AUTH and self.version == V5:
            code, properties = self._short_reason(reader, PacketType.AUTH)
            packet = Auth(code, properties)
        else:
            packet = self._server_packet(kind, reader)
        reader.finish()
        return packet

    def _server_packet(self, kind: int, reader: Reader) -> Packet:
        """What only a server sends; decoded for clients (tests, bench)."""
        if kind == PacketType.CONNACK:
            flags, code = reader.byte(), reader.byte()
            if flags > 1:
                raise MqttProtocolError(f"CONNACK has flags {flags}")
            return Connack(flags == 1, code, self._properties(reader, kind))
        if kind == PacketType.SUBACK:
            packet_id, properties = _packet_id(reader), self._properties(reader, kind)
            return Suback(packet_id, tuple(reader.rest()), properties)
        if kind == PacketType.UNSUBACK:
            packet_id, properties = _packet_id(reader), self._properties(reader, kind)
            return Unsuback(packet_id, tuple(reader.rest()) if self.version == V5 else (), properties)
        if kind == PacketType.PINGRESP:
            return Pingresp()
        raise MqttProtocolError(f"packet type {kind} does not exist in this version")

    def _properties(self, reader: Reader, place: int) -> Properties:
        return read_properties(reader, place) if self.version == V5 else NO_PROPERTIES

    def _connect(self, reader: Reader) -> Connect:
        name, version = reader.binary(), reader.byte()
        if name != b"MQTT" or version not in (V311, V5):
            raise MqttProtocolError(
                f"protocol {name[:16]!r} level {version} is neither MQTT 3.1.1 nor 5",
                ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
            )
        self.version = version
        flags = reader.byte()
        has_will, will_qos, will_retain = bool(flags & 4), flags >> 3 & 3, bool(flags & 0x20)
        if flags & 1 or will_qos == 3 or (not has_will and (will_qos or will_retain)):
            raise MqttProtocolError(f"CONNECT has flags 0x{flags:02x}")
        if version == V311 and flags & 0xC0 == 0x40:
            raise MqttProtocolError("CONNECT has a password without a user name")
        keep_alive_s = reader.two()
        properties = self._properties(reader, PacketType.CONNECT)
        client_id = reader.text()
        will = None
        if has_will:
            will_properties = self._properties(reader, WILL)
            will_topic, payload = reader.text(), reader.binary()
            if not will_topic or "+" in will_topic or "#" in will_topic:
                raise MqttProtocolError(f"will topic {will_topic!r} is not a topic", ReasonCode.TOPIC_NAME_INVALID)
            will = Will(will_topic, payload, will_qos, will_retain, will_properties)
        return Connect(
            client_id,
            version,
            bool(flags & 2),
            keep_alive_s,
            reader.text() if flags & 0x80 else None,
            reader.binary() if flags & 0x40 else None,
            will,
            properties,
        )

    def _ack(self, kind: int, reader: Reader) -> Ack:
        packet_id = _packet_id(reader)
        if not reader.remaining or self.version != V5:
            return Ack(kind, packet_id)
        code, properties = self._short_reason(reader, kind)
        return Ack(kind, packet_id, code, properties)

    def _short_reason(self, reader: Reader, place: int) -> tuple[int, Properties]:
        """A reason code and properties, either of which may be left out at the end (section 3.4.2.1)."""
        code = reader.byte() if reader.remaining else 0
        return code, read_properties(reader, place) if reader.remaining else NO_PROPERTIES

    def _disconnect(self, reader: Reader) -> Disconnect:
        if self.version != V5:
            return Disconnect()
        code, properties = self._short_reason(reader, PacketType.DISCONNECT)
        return Disconnect(code, properties)

    def _subscribe(self, reader: Reader) -> Subscribe:
        packet_id, properties = _packet_id(reader), self._properties(reader, PacketType.SUBSCRIBE)
        if len(properties.subscription_identifiers) > 1:
            raise MqttProtocolError("SUBSCRIBE has two subscription identifiers", ReasonCode.PROTOCOL_ERROR)
        requests = []
        while reader.remaining:
            topic_filter, options = reader.text(), reader.byte()
            reserved, retain_handling = (0xC0, options >> 4 & 3) if self.version == V5 else (0xFC, 0)
            if options & reserved or options & 3 == 3 or retain_handling == 3:
                raise MqttProtocolError(f"SUBSCRIBE has options 0x{options:02x}")
            requests.append(
                SubscriptionRequest(topic_filter, options & 3, bool(options & 4), bool(options & 8), retain_handling)
            )
        if not requests:
            raise MqttProtocolError("SUBSCRIBE has no topic filter", ReasonCode.PROTOCOL_ERROR)
        return Subscribe(packet_id, tuple(requests), properties)

    def _unsubscribe(self, reader: Reader) -> Unsubscribe:
        packet_id, properties = _packet_id(reader), self._properties(reader, PacketType.UNSUBSCRIBE)
        filters = []
        while reader.remaining:
            filters.append(reader.text())
        if not filters:
            raise MqttProtocolError("UNSUBSCRIBE has no topic filter", ReasonCode.PROTOCOL_ERROR)
        return Unsubscribe(packet_id, tuple(filters), properties)


def _packet_id(reader: Reader) -> int:
    packet_id = reader.two()
    if not packet_id:
        raise MqttProtocolError("packet identifier is 0", ReasonCode.PROTOCOL_ERROR)
    return packet_id


def _long_length(data: bytes, position: int, end: int) -> tuple[int, int] | None:
    """A remaining length of two to four bytes and where the body starts; None if more bytes are needed."""
    if position + 3 <= end and not data[position + 2] & 0x80:
        return data[position + 1] & 0x7F | data[position + 2] << 7, position + 3  # nearly always two bytes
    length = 0
    for index in range(4):
        at = position + 1 + index
        if at >= end:
            return None
        byte = data[at]
        length |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return length, at + 1
    raise MqttProtocolError("remaining length is longer than 4 bytes")
