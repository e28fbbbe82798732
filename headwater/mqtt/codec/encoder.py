"""Turn MQTT control packets into bytes."""

from headwater.errors import LocalProtocolError
from headwater.mqtt.codec.packets import (
    NO_PROPERTIES,
    V5,
    Ack,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Pingreq,
    Properties,
    PublishPacket,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from headwater.mqtt.codec.properties import encode_properties
from headwater.mqtt.codec.wire import encode_binary, encode_text, encode_varint

PINGRESP_BYTES = b"\xd0\x00"


def encode_packet(packet: Packet, version: int) -> bytes:
    """Any packet as the bytes of MQTT 3.1.1 (4) or 5; what 3.1.1 does not have is left out.

    Raises: LocalProtocolError for a value that does not fit its field, or AUTH in 3.1.1.
    """
    if isinstance(packet, PublishPacket):
        head, tail = encode_publish_parts(
            packet.topic, packet.payload, packet.qos, packet.retain, version, packet.properties, dup=packet.dup
        )
        return b"".join((head, packet.packet_id.to_bytes(2, "big") if packet.qos else b"", tail))
    if isinstance(packet, Ack):
        return encode_ack(packet.kind, packet.packet_id, packet.reason_code, version, packet.properties)
    if isinstance(packet, Connect):
        return _connect(packet)
    if isinstance(packet, Connack):
        body = bytes((packet.session_present, packet.reason_code)) + _properties(packet.properties, version)
        return _frame(0x20, body)
    if isinstance(packet, Subscribe | Unsubscribe):
        return _subscription_change(packet, version)
    if isinstance(packet, Suback | Unsuback):
        is_suback = isinstance(packet, Suback)
        codes = bytes(packet.reason_codes) if is_suback or version == V5 else b""
        body = packet.packet_id.to_bytes(2, "big") + _properties(packet.properties, version) + codes
        return _frame(0x90 if is_suback else 0xB0, body)
    if isinstance(packet, Disconnect | Auth):
        return _closing(packet, version)
    return b"\xc0\x00" if isinstance(packet, Pingreq) else PINGRESP_BYTES


def encode_publish_parts(
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,
    version: int,
    properties: Properties | None = None,
    *,
    dup: bool = False,
) -> tuple[bytes, bytes]:
    """A PUBLISH as the bytes before and after its packet identifier.

    The two parts are the same for every subscriber, who differ in the packet identifier alone; join them without one
    at QoS 0. Hot: bench/mqtt.py.
    """
    name = topic.encode()
    tail = payload if version != V5 else encode_properties(properties) + payload
    length = 2 + len(name) + len(tail) + (2 if qos else 0)
    first = 0x30 | qos << 1 | retain | dup << 3
    size = len(name)
    if size > 0xFFFF:
        raise LocalProtocolError(f"topic of {size} bytes does not fit a PUBLISH")
    if length < 0x80:
        return bytes((first, length, size >> 8, size & 0xFF)) + name, tail
    if length < 0x4000:
        return bytes((first, length & 0x7F | 0x80, length >> 7, size >> 8, size & 0xFF)) + name, tail
    return bytes((first,)) + encode_varint(length) + size.to_bytes(2, "big") + name, tail


def encode_ack(
    kind: int, packet_id: int, reason_code: int = 0, version: int = V5, properties: Properties = NO_PROPERTIES
) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP; a success has the same four bytes in both versions."""
    first = kind << 4 | (2 if kind == PacketType.PUBREL else 0)
    if version != V5 or (not reason_code and properties is NO_PROPERTIES):
        return bytes((first, 2, packet_id >> 8, packet_id & 0xFF))
    if properties is NO_PROPERTIES:
        return bytes((first, 3, packet_id >> 8, packet_id & 0xFF, reason_code))
    return _frame(first, packet_id.to_bytes(2, "big") + bytes((reason_code,)) + encode_properties(properties))


def _frame(first: int, body: bytes) -> bytes:
    return bytes((first,)) + encode_varint(len(body)) + body


def _properties(properties: Properties, version: int) -> bytes:
    return encode_properties(properties) if version == V5 else b""


def _connect(packet: Connect) -> bytes:
    version, will = packet.protocol_version, packet.will
    flags = packet.clean_start << 1 | (packet.username is not None) << 7 | (packet.password is not None) << 6
    parts = [encode_text(packet.client_id)]
    if will is not None:
        flags |= 4 | will.qos << 3 | will.retain << 5
        parts += [_properties(will.properties, version), encode_text(will.topic), encode_binary(will.payload)]
    if packet.username is not None:
        parts.append(encode_text(packet.username))
    if packet.password is not None:
        parts.append(encode_binary(packet.password))
    head = encode_text("MQTT") + bytes((version, flags)) + packet.keep_alive_s.to_bytes(2, "big")
    return _frame(0x10, b"".join((head, _properties(packet.properties, version), *parts)))


def _subscription_change(packet: Subscribe | Unsubscribe, version: int) -> bytes:
    parts = [packet.packet_id.to_bytes(2, "big"), _properties(packet.properties, version)]
    if isinstance(packet, Unsubscribe):
        return _frame(0xA2, b"".join((*parts, *map(encode_text, packet.topic_filters))))
    for request in packet.requests:
        options = request.qos
        if version == V5:
            options |= request.no_local << 2 | request.retain_as_published << 3 | request.retain_handling << 4
        parts += [encode_text(request.topic_filter), bytes((options,))]
    return _frame(0x82, b"".join(parts))


def _closing(packet: Disconnect | Auth, version: int) -> bytes:
    is_auth = isinstance(packet, Auth)
    first = 0xF0 if is_auth else 0xE0
    if version != V5:
        if is_auth:
            raise LocalProtocolError("AUTH does not exist in MQTT 3.1.1")
        return b"\xe0\x00"
    if packet.properties is NO_PROPERTIES:
        return _frame(first, bytes((packet.reason_code,)) if packet.reason_code else b"")
    return _frame(first, bytes((packet.reason_code,)) + encode_properties(packet.properties))
