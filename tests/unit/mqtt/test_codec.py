"""Packets survive the way over the wire, and no bytes at all can crash the decoder."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.errors import LocalProtocolError
from headwater.mqtt.codec.decoder import PacketDecoder
from headwater.mqtt.codec.encoder import encode_ack, encode_packet
from headwater.mqtt.codec.packets import (
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
from headwater.mqtt.codec.properties import RULES, WILL

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
TOPIC = TEXT.filter(lambda t: t and "+" not in t and "#" not in t)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "flag": st.integers(0, 1),
    "two": st.integers(1, 0xFFFF),
    "four": st.integers(1, 0xFFFFFFFF),
    "varint": st.integers(1, 268_435_455),
    "text": TEXT,
    "binary": st.binary(max_size=12),
    "pair": st.tuples(TEXT, TEXT),
}


@st.composite
def properties_at(draw: st.DrawFn, place: int) -> Properties:
    chosen: dict[str, Any] = {}
    for rule in RULES.values():
        if place in rule.places and draw(st.booleans()):
            value = VALUES[rule.kind]
            many = 1 if place == PacketType.SUBSCRIBE and rule.kind == "varint" else 3
            chosen[rule.name] = draw(st.lists(value, max_size=many).map(tuple) if rule.repeats else value)
    return Properties(**chosen)


@st.composite
def packets(draw: st.DrawFn, version: int) -> Packet:
    def props(place: int) -> Properties:
        return draw(properties_at(place)) if version == V5 else Properties()

    kind = draw(st.sampled_from([k for k in PacketType if version == V5 or k is not PacketType.AUTH]))
    packet_id = draw(st.integers(1, 0xFFFF))
    code = draw(st.integers(0, 255)) if version == V5 else 0
    qos = draw(st.integers(0, 2))
    codes = tuple(draw(st.lists(st.integers(0, 255), max_size=4)))
    if kind is PacketType.CONNECT:
        username = draw(st.none() | TEXT)
        password = draw(st.none() | st.binary(max_size=9)) if username is not None or version == V5 else None
        will = None
        if draw(st.booleans()):
            will = Will(draw(TOPIC), draw(st.binary(max_size=20)), qos, draw(st.booleans()), props(WILL))
        seconds = draw(st.integers(0, 0xFFFF))
        return Connect(
            draw(TEXT), version, draw(st.booleans()), seconds, username, password, will, props(PacketType.CONNECT)
        )
    if kind is PacketType.CONNACK:
        return Connack(draw(st.booleans()), draw(st.integers(0, 255)), props(kind))
    if kind is PacketType.PUBLISH:
        found = props(kind)
        return PublishPacket(
            draw(TOPIC),
            draw(st.binary(max_size=300)),
            qos,
            draw(st.booleans()),
            draw(st.booleans()) if qos else False,
            packet_id if qos else 0,
            None if found == Properties() else found,
        )
    if PacketType.PUBACK <= kind <= PacketType.PUBCOMP:
        return Ack(kind, packet_id, code, props(kind))
    if kind is PacketType.SUBSCRIBE:
        rich = st.booleans() if version == V5 else st.just(False)
        handling = st.integers(0, 2) if version == V5 else st.just(0)
        request = st.builds(SubscriptionRequest, TEXT, st.integers(0, 2), rich, rich, handling)
        return Subscribe(packet_id, tuple(draw(st.lists(request, min_size=1, max_size=4))), props(kind))
    if kind is PacketType.UNSUBSCRIBE:
        return Unsubscribe(packet_id, tuple(draw(st.lists(TEXT, min_size=1, max_size=4))), props(kind))
    if kind is PacketType.SUBACK:
        return Suback(packet_id, codes, props(kind))
    if kind is PacketType.UNSUBACK:
        return Unsuback(packet_id, codes if version == V5 else (), props(kind))
    plain: dict[PacketType, Packet] = {
        PacketType.DISCONNECT: Disconnect(code, props(PacketType.DISCONNECT)),
        PacketType.AUTH: Auth(code, props(PacketType.AUTH)),
        PacketType.PINGREQ: Pingreq(),
        PacketType.PINGRESP: Pingresp(),
    }
    return plain[kind]


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, list[Packet], list[bytes]]:
    """A version, packets of it, and their bytes cut anywhere."""
    version = draw(st.sampled_from([V311, V5]))
    sent = draw(st.lists(packets(version), min_size=1, max_size=5))
    data = b"".join(encode_packet(packet, version) for packet in sent)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return version, sent, [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@settings(max_examples=150, deadline=None)
@given(streams())
def test_every_packet_comes_out_as_it_went_in_however_the_stream_is_cut(
    stream: tuple[int, list[Packet], list[bytes]],
) -> None:
    version, sent, chunks = stream
    decoder = PacketDecoder(version=version)

    received = [packet for chunk in chunks for packet in decoder.feed(chunk)]

    assert decoder.error is None
    assert received == sent
    assert decoder.buffered_bytes == 0


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([V311, V5]), st.lists(st.binary(max_size=60), max_size=4))
def test_random_bytes_give_packets_or_a_protocol_error(version: int, chunks: list[bytes]) -> None:
    decoder = PacketDecoder(version=version, max_packet_bytes=64)

    for chunk in chunks:
        decoder.feed(chunk)

    assert decoder.error is None or isinstance(decoder.error, MqttProtocolError)
    assert decoder.buffered_bytes <= 64 + 60


@settings(max_examples=200, deadline=None)
@given(streams(), st.data())
def test_damaged_packets_give_packets_or_a_protocol_error(
    stream: tuple[int, list[Packet], list[bytes]], data: st.DataObject
) -> None:
    version, _, chunks = stream
    raw = bytearray(b"".join(chunks))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    decoder = PacketDecoder(version=version)
    decoder.feed(encode_packet(PublishPacket("known"), version))

    decoder.feed(bytes(raw))

    assert decoder.error is None or isinstance(decoder.error, MqttProtocolError)


@pytest.mark.parametrize(
    ("data", "version", "code"),
    [
        (b"\x36\x05\x00\x01a\x00\x01", V311, ReasonCode.MALFORMED_PACKET),  # QoS 3
        (b"\x38\x03\x00\x01a", V311, ReasonCode.MALFORMED_PACKET),  # DUP at QoS 0
        (b"\x32\x05\x00\x01a\x00\x00", V311, ReasonCode.PROTOCOL_ERROR),  # packet identifier 0
        (b"\x32\x03\x00\x01a", V311, ReasonCode.MALFORMED_PACKET),  # no packet identifier
        (b"\x30\x03\x00\x09a", V311, ReasonCode.MALFORMED_PACKET),  # topic longer than the packet
        (b"\x30\x03\x00\x01#", V311, ReasonCode.TOPIC_NAME_INVALID),
        (b"\x30\x02\x00\x00", V311, ReasonCode.TOPIC_NAME_INVALID),
        (b"\x30\x03\x00\x01\xff", V311, ReasonCode.MALFORMED_PACKET),  # not UTF-8
        (b"\x30\x05\x00\x03\xed\xa0\x80", V311, ReasonCode.MALFORMED_PACKET),  # a surrogate
        (b"\x30\x03\x00\x01\x00", V311, ReasonCode.MALFORMED_PACKET),  # U+0000
        (b"\x30\xff\xff\xff\xff", V311, ReasonCode.MALFORMED_PACKET),  # remaining length of 5 bytes
        (b"\x30\xff\xff\x7f", V311, ReasonCode.PACKET_TOO_LARGE),  # seen before its body arrives
        (b"\x80\x06\x00\x01\x00\x01a\x00", V311, ReasonCode.MALFORMED_PACKET),  # SUBSCRIBE flags 0
        (b"\x82\x02\x00\x01", V311, ReasonCode.PROTOCOL_ERROR),  # no topic filter
        (b"\x82\x06\x00\x01\x00\x01a\x03", V311, ReasonCode.MALFORMED_PACKET),  # QoS 3
        (b"\xf0\x00", V311, ReasonCode.MALFORMED_PACKET),  # AUTH
        (b"\x00\x00", V5, ReasonCode.MALFORMED_PACKET),  # packet type 0
        (b"\x10\x0c\x00\x06MQIsdp\x03\x02\x00\x00", V311, ReasonCode.UNSUPPORTED_PROTOCOL_VERSION),
        (b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00", V311, ReasonCode.MALFORMED_PACKET),  # reserved flag
        (b"\x30\x06\x00\x01a\x02\x11\x00", V5, ReasonCode.MALFORMED_PACKET),  # misplaced property
        (b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00", V5, ReasonCode.PROTOCOL_ERROR),  # repeated property
        (b"\x30\x05\x00\x01a\x80\x00", V5, ReasonCode.MALFORMED_PACKET),  # property length in two bytes
    ],
)
def test_a_malformed_packet_is_refused_with_its_reason_code(data: bytes, version: int, code: ReasonCode) -> None:
    decoder = PacketDecoder(max_packet_bytes=100_000, version=version)

    assert decoder.feed(data) == []

    assert decoder.error is not None
    assert decoder.error.reason_code is code


def test_the_packets_before_a_malformed_one_are_returned_and_nothing_after_it() -> None:
    good = PublishPacket("a", b"1")
    decoder = PacketDecoder()

    assert decoder.feed(encode_packet(good, V311) + b"\x00\x00" + encode_packet(good, V311)) == [good]
    assert decoder.feed(encode_packet(good, V311)) == []


def test_a_packet_in_single_bytes_is_decoded_once_complete() -> None:
    packet = PublishPacket("a/b", b"x" * 300, 1, packet_id=7)
    decoder = PacketDecoder()

    received = [p for byte in encode_packet(packet, V311) for p in decoder.feed(bytes((byte,)))]

    assert received == [packet]


def test_a_connect_switches_the_decoder_to_its_version() -> None:
    connect = Connect("c", V5, properties=Properties(receive_maximum=9))
    publish = PublishPacket("a", b"1", properties=Properties(content_type="t"))
    decoder = PacketDecoder()

    assert decoder.feed(encode_packet(connect, V5) + encode_packet(publish, V5)) == [connect, publish]


def test_a_successful_acknowledgement_has_four_bytes_in_both_versions() -> None:
    assert encode_ack(PacketType.PUBACK, 7, 0, V5) == encode_ack(PacketType.PUBACK, 7, 0, V311) == b"\x40\x02\x00\x07"
    assert encode_ack(PacketType.PUBREL, 7, 0, V5) == b"\x62\x02\x00\x07"


def test_values_that_do_not_fit_are_our_own_fault() -> None:
    with pytest.raises(LocalProtocolError):
        encode_packet(PublishPacket("x" * 70_000), V311)
    with pytest.raises(LocalProtocolError):
        encode_packet(Auth(), V311)
