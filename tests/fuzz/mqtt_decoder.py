"""Coverage-guided fuzzing of the MQTT decoder and of a broker behind it: `python -m tests.fuzz.mqtt_decoder`.

Needs atheris (`pip install -e '.[fuzz]'`); arguments are libFuzzer's, as `-max_total_time=60 corpus/`. The first
byte chooses the protocol version and how the rest is cut into chunks.
"""

import sys

import atheris

with atheris.instrument_imports():
    from headwater.mqtt.codec.decoder import PacketDecoder
    from headwater.mqtt.codec.encoder import encode_packet
    from headwater.mqtt.codec.packets import V5, V311, Connect, Packet
    from headwater.mqtt.profile import AWS, STANDARD
    from tests.unit.mqtt.harness import Harness

_LIMIT_BYTES = 4096


def decode(data: bytes, version: int, chunk_bytes: int) -> list[Packet]:
    """The packets of a stream cut into chunks; nothing but its own error may come of it."""
    decoder = PacketDecoder(_LIMIT_BYTES, version=version)
    packets: list[Packet] = []
    for start in range(0, len(data), chunk_bytes):
        packets += decoder.feed(data[start : start + chunk_bytes])
        if decoder.error is not None:
            assert str(decoder.error)
            break
    return packets


def test_one_input(data: bytes) -> None:
    """What libFuzzer calls."""
    if not data:
        return
    choice, stream = data[0], data[1:]
    version, chunk_bytes = (V5 if choice & 1 else V311), 1 + (choice >> 2)
    packets = decode(stream, version, chunk_bytes)
    assert packets == decode(stream, version, _LIMIT_BYTES), "chunks must not change what is read"
    for packet in packets:
        spoken = packet.protocol_version if isinstance(packet, Connect) else version
        again = PacketDecoder(2 * _LIMIT_BYTES, version=spoken)
        assert again.feed(encode_packet(packet, spoken)) == [packet], "what is read can be written and read again"
        version = spoken
    harness = Harness(AWS if choice & 2 else STANDARD)
    client = harness.client()
    for start in range(0, len(stream), chunk_bytes):
        if client.is_closed:
            break
        client.send_bytes(stream[start : start + chunk_bytes])
    client.connection.outgoing()
    client.lose()


def main() -> None:
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
