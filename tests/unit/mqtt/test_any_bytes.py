"""Whatever clients send, the broker answers or closes; it never fails and its books stay right."""

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import (
    V5,
    V311,
    Ack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    Pingreq,
    Properties,
    PublishPacket,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
    Will,
)
from headwater.mqtt.profile import AWS, STANDARD
from tests.unit.mqtt.harness import Client, Harness

FILTERS = st.sampled_from(["a", "a/#", "+", "#", "$share/g/a", "$share/g/#", "$aws/rules/r", "a/#/b", "$aws/events/#"])
TOPICS = st.sampled_from(["a", "a/b", "$aws/rules/r/a", "$x", "denied"])
IDS = st.integers(1, 4)
ACKS = st.sampled_from([PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP])
PROPERTIES = st.sampled_from(
    [None, Properties(topic_alias=1), Properties(topic_alias=99), Properties(message_expiry_interval=1)]
)


def connects(version: int) -> st.SearchStrategy[Packet]:
    expiry = st.sampled_from([None, 0, 10])
    limits = st.sampled_from([None, 1, 30])
    properties = st.builds(
        lambda e, r, m, t: Properties(
            session_expiry_interval=e, receive_maximum=r, maximum_packet_size=m, topic_alias_maximum=t
        ),
        expiry,
        limits,
        limits,
        limits,
    )
    wills = st.none() | st.builds(Will, TOPICS, st.just(b"will"), st.integers(0, 2), st.booleans())
    ids = st.sampled_from(["one", "two", ""])
    return st.builds(
        lambda client_id, clean, keep, will, props: Connect(
            client_id, version, clean, keep, will=will, properties=props
        ),
        ids,
        st.booleans(),
        st.sampled_from([0, 1, 60]),
        wills,
        properties,
    )


def packets(version: int) -> st.SearchStrategy[Packet]:
    requests = st.lists(
        st.builds(SubscriptionRequest, FILTERS, st.integers(0, 2), st.booleans()), min_size=1, max_size=3
    )
    return st.one_of(
        st.builds(
            lambda topic, qos, retain, pid, props: PublishPacket(
                topic, b"x" * 10, qos, retain, packet_id=pid if qos else 0, properties=props
            ),
            TOPICS,
            st.integers(0, 2),
            st.booleans(),
            IDS,
            PROPERTIES,
        ),
        st.builds(lambda i, r: Subscribe(i, tuple(r)), IDS, requests),
        st.builds(lambda i, f: Unsubscribe(i, (f,)), IDS, FILTERS),
        st.builds(Ack, ACKS, IDS, st.sampled_from([0, 0x80])),
        st.just(Pingreq()),
        st.just(Disconnect()),
        connects(version),
    )


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[int, str, bytes]]:
    """Up to 30 steps of three clients: (client, what, bytes)."""
    versions = [draw(st.sampled_from([V311, V5])) for _ in range(3)]
    found = [(n, "send", encode_packet(draw(connects(v)), v)) for n, v in enumerate(versions)]
    for _ in range(draw(st.integers(1, 27))):
        who = draw(st.integers(0, 2))
        what = draw(st.sampled_from(["send", "send", "send", "send", "damage", "lose", "wait", "pause", "resume"]))
        data = b"".join(
            encode_packet(draw(packets(versions[who])), versions[who]) for _ in range(draw(st.integers(1, 3)))
        )
        if what == "damage":
            at = draw(st.integers(0, len(data) - 1))
            data = data[:at] + bytes((draw(st.integers(0, 255)),)) + data[at + 1 :]
        found.append((who, what, data))
    return found


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.booleans(), steps())
def test_no_sequence_of_packets_breaks_the_broker(
    is_aws: bool, holds_work: bool, sequence: list[tuple[int, str, bytes]]
) -> None:
    harness = Harness(AWS if is_aws else STANDARD, holds_work=holds_work)
    harness.denied.add(("Publish", "denied"))
    clients = [harness.client() for _ in range(3)]

    for who, what, data in sequence:
        client = clients[who]
        if client.is_closed:
            client = clients[who] = harness.client()
        apply(harness, client, what, data)
    for client, batch in harness.batches:
        client.connection.acknowledge(batch)

    for client in clients:
        client.connection.outgoing()
        client.lose()
        assert client.connection.unacknowledged == 0
    harness.later(1e10)
    # Only a session of 3.1.1 may last for ever, and only on the standard profile.
    kept = {key[:1] for key in harness.save()} - {b"v", b"r"}
    assert kept == set() or not is_aws
    assert Harness(AWS if is_aws else STANDARD, stored=harness.save().items()).broker.connections() == []


def apply(harness: Harness, client: Client, what: str, data: bytes) -> None:
    if what in ("send", "damage"):
        client.send_bytes(data)
        client.connection.outgoing()
    elif what == "lose":
        client.lose()
    elif what == "wait":
        harness.later(2)
    elif what == "pause":
        client.connection.pause()
    else:
        client.connection.resume()
