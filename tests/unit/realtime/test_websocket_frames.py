"""RFC 6455 framing by values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.realtime.websocket_frames import (
    CloseCode,
    FrameDecoder,
    Message,
    Opcode,
    encode_close,
    encode_frame,
    unmask,
)

MASK = b"\x01\x02\x03\x04"


def client_frame(opcode: int, payload: bytes, *, is_final: bool = True, mask: bytes = MASK) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes([(0x80 if is_final else 0) | opcode]) + length + mask + masked


def decode(data: bytes, *, max_message_bytes: int = 1 << 20) -> tuple[list[Message], CloseCode | None]:
    decoder = FrameDecoder(max_message_bytes)
    messages = decoder.receive(data)
    return messages, decoder.fault.code if decoder.fault else None


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_every_length_form_is_read(size: int) -> None:
    messages, fault = decode(client_frame(Opcode.BINARY, b"x" * size))

    assert fault is None
    assert messages == [Message(Opcode.BINARY, b"x" * size)]


@pytest.mark.parametrize(
    ("size", "head"),
    [(5, b"\x81\x05"), (126, b"\x81\x7e\x00\x7e"), (65_536, b"\x81\x7f" + (65_536).to_bytes(8, "big"))],
)
def test_server_frames_use_the_shortest_length_and_no_mask(size: int, head: bytes) -> None:
    assert encode_frame(Opcode.TEXT, b"a" * size) == head + b"a" * size


@given(
    st.lists(st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING]), st.text(max_size=100))),
    st.lists(st.integers(1, 40)),
)
def test_messages_do_not_depend_on_how_reads_are_cut(parts: list[tuple[Opcode, str]], cuts: list[int]) -> None:
    parts = [(opcode, text if opcode is not Opcode.PING else text[:20]) for opcode, text in parts]
    stream = b"".join(client_frame(opcode, text.encode()) for opcode, text in parts)
    decoder = FrameDecoder(1 << 20)

    received: list[Message] = []
    for cut in cuts:
        received += decoder.receive(stream[:cut])
        stream = stream[cut:]
    received += decoder.receive(stream)

    assert decoder.fault is None
    assert [(message.opcode, message.payload.decode()) for message in received] == parts


@given(st.binary(max_size=300), st.integers(1, 7))
def test_random_bytes_never_raise(data: bytes, step: int) -> None:
    decoder = FrameDecoder(1000)

    for start in range(0, len(data), step):
        decoder.receive(data[start : start + step])


@given(st.binary(max_size=70), st.binary(min_size=4, max_size=4))
def test_unmasking_twice_gives_the_payload_back(payload: bytes, mask: bytes) -> None:
    assert unmask(unmask(payload, mask), mask) == payload


def test_fragments_are_joined_and_control_frames_may_come_between() -> None:
    stream = (
        client_frame(Opcode.TEXT, "Ä".encode()[:1], is_final=False)
        + client_frame(Opcode.PING, b"p")
        + client_frame(Opcode.CONTINUATION, b"", is_final=False)
        + client_frame(Opcode.CONTINUATION, "Ä".encode()[1:])
    )

    messages, fault = decode(stream)

    assert fault is None
    assert [(message.opcode, message.text) for message in messages] == [(Opcode.PING, ""), (Opcode.TEXT, "Ä")]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x01a", CloseCode.PROTOCOL_ERROR),
        (b"\xc1" + client_frame(1, b"a")[1:], CloseCode.PROTOCOL_ERROR),
        (client_frame(0x3, b""), CloseCode.PROTOCOL_ERROR),
        (client_frame(0xB, b""), CloseCode.PROTOCOL_ERROR),
        (client_frame(Opcode.PING, b"a" * 126), CloseCode.PROTOCOL_ERROR),
        (client_frame(Opcode.PING, b"a", is_final=False), CloseCode.PROTOCOL_ERROR),
        (client_frame(Opcode.CONTINUATION, b"a"), CloseCode.PROTOCOL_ERROR),
        (client_frame(1, b"a", is_final=False) + client_frame(1, b"b"), CloseCode.PROTOCOL_ERROR),
        (b"\x82\xfe\x00\x05" + MASK + b"12345", CloseCode.PROTOCOL_ERROR),
        (b"\x82\xff" + (5).to_bytes(8, "big") + MASK + b"12345", CloseCode.PROTOCOL_ERROR),
        (b"\x82\xff" + (1 << 63).to_bytes(8, "big"), CloseCode.PROTOCOL_ERROR),
        (client_frame(1, b"\xff"), CloseCode.INVALID_DATA),
        (client_frame(1, b"\xed\xa0\x80"), CloseCode.INVALID_DATA),
        (client_frame(Opcode.CLOSE, b"\x03"), CloseCode.PROTOCOL_ERROR),
        (client_frame(Opcode.CLOSE, b"\x03\xe8\xff"), CloseCode.INVALID_DATA),
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big"), CloseCode.MESSAGE_TOO_BIG),
    ],
)
def test_a_broken_frame_closes_with_its_code(frame: bytes, code: CloseCode) -> None:
    messages, fault = decode(client_frame(Opcode.TEXT, b"before") + frame)

    assert [message.text for message in messages] == ["before"]
    assert fault is code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_reserved_close_codes_are_a_protocol_error(code: int) -> None:
    assert decode(client_frame(Opcode.CLOSE, code.to_bytes(2, "big"))) == ([], CloseCode.PROTOCOL_ERROR)


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_registered_and_private_close_codes_are_read(code: int) -> None:
    messages, fault = decode(client_frame(Opcode.CLOSE, code.to_bytes(2, "big") + b"bye"))

    assert fault is None
    assert (messages[0].code, messages[0].text) == (code, "bye")


def test_a_close_frame_without_a_code_is_1005() -> None:
    messages, _ = decode(client_frame(Opcode.CLOSE, b""))

    assert messages[0].code == CloseCode.NO_STATUS


def test_the_size_limit_holds_over_fragments() -> None:
    stream = client_frame(2, b"a" * 60, is_final=False) + client_frame(0, b"a" * 41)

    assert decode(stream, max_message_bytes=100) == ([], CloseCode.MESSAGE_TOO_BIG)


def test_nothing_is_read_after_a_fault() -> None:
    decoder = FrameDecoder(100)
    decoder.receive(b"\x81\x01a")

    assert decoder.receive(client_frame(1, b"late")) == []


def test_a_long_close_reason_is_cut_between_characters() -> None:
    frame = encode_close(1008, "ä" * 100)

    assert frame[1] == 2 + 122
    assert frame[4:].decode() == "ä" * 61


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    st.sampled_from([*Opcode, 3]),
    st.booleans(),
    st.binary(min_size=4, max_size=4),
    st.integers(-2, 2),
)
def test_the_short_way_reads_what_the_long_way_reads(
    payload: bytes, opcode: int, is_final: bool, mask: bytes, cut: int
) -> None:
    frame = client_frame(opcode, payload, is_final=is_final, mask=mask)
    data = frame[:cut] if cut < 0 else frame + bytes(cut)

    text = FrameDecoder(150).whole_text(data)

    if text is not None:
        assert decode(data, max_message_bytes=150) == ([Message(Opcode.TEXT, payload, text)], None)
    elif opcode == Opcode.TEXT and is_final and cut == 0 and 2 <= len(payload) <= 150:
        assert decode(data, max_message_bytes=150) == ([], CloseCode.INVALID_DATA)


@pytest.mark.parametrize(
    "begun", [client_frame(Opcode.TEXT, b"a", is_final=False), b"\x81", b"\x83\x80\x01\x02\x03\x04"]
)
def test_the_short_way_is_not_taken_behind_what_has_begun_or_broken(begun: bytes) -> None:
    decoder = FrameDecoder(1 << 20)
    decoder.receive(begun)

    assert decoder.whole_text(client_frame(Opcode.TEXT, b"whole")) is None
