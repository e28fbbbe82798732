"""MQTT 5 properties: the table of identifiers, and reading and writing them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from headwater.mqtt.codec.packets import NO_PROPERTIES, MqttProtocolError, PacketType, Properties, ReasonCode
from headwater.mqtt.codec.wire import Reader, encode_binary, encode_text, encode_varint

Kind = Literal["byte", "flag", "two", "four", "varint", "text", "binary", "pair"]

WILL = 0  # will properties are a place of their own beside the packet types
_P = PacketType


class PropertyRule(NamedTuple):
    """One row of MQTT 5 table 2-4; `places` are packet types, or WILL."""

    name: str
    kind: Kind
    places: frozenset[int]
    repeats: bool = False


def _rule(name: str, kind: Kind, *places: int, repeats: bool = False) -> PropertyRule:
    return PropertyRule(name, kind, frozenset(places), repeats)


_ACKS = (_P.PUBACK, _P.PUBREC, _P.PUBREL, _P.PUBCOMP, _P.SUBACK, _P.UNSUBACK)

RULES: Mapping[int, PropertyRule] = MappingProxyType(
    {
        0x01: _rule("payload_format_indicator", "flag", _P.PUBLISH, WILL),
        0x02: _rule("message_expiry_interval", "four", _P.PUBLISH, WILL),
        0x03: _rule("content_type", "text", _P.PUBLISH, WILL),
        0x08: _rule("response_topic", "text", _P.PUBLISH, WILL),
        0x09: _rule("correlation_data", "binary", _P.PUBLISH, WILL),
        0x0B: _rule("subscription_identifiers", "varint", _P.PUBLISH, _P.SUBSCRIBE, repeats=True),
        0x11: _rule("session_expiry_interval", "four", _P.CONNECT, _P.CONNACK, _P.DISCONNECT),
        0x12: _rule("assigned_client_identifier", "text", _P.CONNACK),
        0x13: _rule("server_keep_alive", "two", _P.CONNACK),
        0x15: _rule("authentication_method", "text", _P.CONNECT, _P.CONNACK, _P.AUTH),
        0x16: _rule("authentication_data", "binary", _P.CONNECT, _P.CONNACK, _P.AUTH),
        0x17: _rule("request_problem_information", "flag", _P.CONNECT),
        0x18: _rule("will_delay_interval", "four", WILL),
        0x19: _rule("request_response_information", "flag", _P.CONNECT),
        0x1A: _rule("response_information", "text", _P.CONNACK),
        0x1C: _rule("server_reference", "text", _P.CONNACK, _P.DISCONNECT),
        0x1F: _rule("reason_string", "text", _P.CONNACK, *_ACKS, _P.DISCONNECT, _P.AUTH),
        0x21: _rule("receive_maximum", "two", _P.CONNECT, _P.CONNACK),
        0x22: _rule("topic_alias_maximum", "two", _P.CONNECT, _P.CONNACK),
        0x23: _rule("topic_alias", "two", _P.PUBLISH),
        0x24: _rule("maximum_qos", "flag", _P.CONNACK),
        0x25: _rule("retain_available", "flag", _P.CONNACK),
        0x26: _rule(
            "user_properties", "pair", *(p for p in _P if p not in (_P.PINGREQ, _P.PINGRESP)), WILL, repeats=True
        ),
        0x27: _rule("maximum_packet_size", "four", _P.CONNECT, _P.CONNACK),
        0x28: _rule("wildcard_subscription_available", "flag", _P.CONNACK),
        0x29: _rule("subscription_identifier_available", "flag", _P.CONNACK),
        0x2A: _rule("shared_subscription_available", "flag", _P.CONNACK),
    }
)

# Zero is a protocol error in these (sections 3.1.2.11.3, 3.1.2.11.4, 3.8.2.1.2). Topic Alias 0 has its own reason code
# and is refused where the alias is resolved.
_NOT_ZERO = frozenset({"receive_maximum", "maximum_packet_size", "subscription_identifiers"})


def read_properties(reader: Reader, place: int) -> Properties:
    """Read a property length and the properties it covers.

    Raises: MqttProtocolError for an unknown or misplaced identifier (0x81), a repeated or zero one (0x82).
    """
    length = reader.varint()
    if length == 0:
        return NO_PROPERTIES
    section = reader.section(length)
    found: dict[str, Any] = {}
    while section.remaining:
        identifier = section.varint()
        rule = RULES.get(identifier)
        if rule is None or place not in rule.places:
            raise MqttProtocolError(f"property 0x{identifier:02x} is not allowed here")
        value = _read_value(section, rule)
        if rule.repeats:
            found.setdefault(rule.name, []).append(value)
        elif rule.name in found:
            raise MqttProtocolError(f"property {rule.name} is repeated", ReasonCode.PROTOCOL_ERROR)
        else:
            found[rule.name] = value
    for name, value in found.items():
        if isinstance(value, list):
            found[name] = tuple(value)
    return Properties(**found)


def _read_value(reader: Reader, rule: PropertyRule) -> Any:
    kind = rule.kind
    value: Any
    if kind == "flag":
        value = reader.byte()
        if value > 1:
            raise MqttProtocolError(f"property {rule.name} is {value}, not 0 or 1", ReasonCode.PROTOCOL_ERROR)
    elif kind == "two":
        value = reader.two()
    elif kind == "four":
        value = reader.four()
    elif kind == "varint":
        value = reader.varint()
    elif kind == "text":
        value = reader.text()
    elif kind == "binary":
        value = reader.binary()
    else:
        value = (reader.text(), reader.text())
    if value == 0 and rule.name in _NOT_ZERO:
        raise MqttProtocolError(f"property {rule.name} may not be 0", ReasonCode.PROTOCOL_ERROR)
    return value


def encode_properties(properties: Properties | None) -> bytes:
    """The property length and the properties, in the order of their identifiers."""
    if properties is None or properties is NO_PROPERTIES:
        return b"\0"
    parts: list[bytes] = []
    for identifier, rule in RULES.items():
        value = getattr(properties, rule.name)
        if value is None:
            continue
        tag = bytes((identifier,))
        for single in value if rule.repeats else (value,):
            parts.append(tag)
            parts.append(_encode_value(single, rule.kind))
    body = b"".join(parts)
    return encode_varint(len(body)) + body


def _encode_value(value: Any, kind: Kind) -> bytes:
    if kind == "flag":
        return bytes((value,))
    if kind == "two":
        return int(value).to_bytes(2, "big")
    if kind == "four":
        return int(value).to_bytes(4, "big")
    if kind == "varint":
        return encode_varint(value)
    if kind == "text":
        return encode_text(value)
    if kind == "binary":
        return encode_binary(value)
    return encode_text(value[0]) + encode_text(value[1])
