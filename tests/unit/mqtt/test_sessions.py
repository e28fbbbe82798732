"""Persistent sessions, windows and queues, QoS 2, message expiry, and restarts."""

from dataclasses import replace

import pytest

from headwater.mqtt.codec.packets import (
    NO_PROPERTIES,
    V5,
    V311,
    Ack,
    Connack,
    Connect,
    Disconnect,
    PacketType,
    Properties,
    PublishPacket,
    ReasonCode,
    Suback,
    Subscribe,
    SubscriptionRequest,
)
from headwater.mqtt.profile import AWS, STANDARD, Profile
from tests.unit.mqtt.harness import Client, Harness

PUBACK, PUBREC, PUBREL, PUBCOMP = PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP


def persistent(harness: Harness, client_id: str = "c1") -> Client:
    return harness.connect(client_id, clean_start=False)


def acknowledge(client: Client, packet: PublishPacket) -> None:
    client.send(Ack(PUBACK, packet.packet_id))


def test_a_persistent_session_gets_qos1_publishes_it_missed_and_no_qos0() -> None:
    harness = Harness()
    client = persistent(harness)
    client.subscribe("a", 1)
    client.lose()
    publisher = harness.connect("p")
    publisher.publish("a", b"0", 0)
    publisher.publish("a", b"1", 1)
    publisher.publish("a", b"2", 1)

    back = harness.client()
    back.send(Connect("c1", clean_start=False))

    connack, *missed = back.received()
    assert connack == Connack(session_present=True)
    assert [p.payload for p in missed if isinstance(p, PublishPacket)] == [b"1", b"2"]
    assert harness.dropped == [("c1", "a", "offline")]


def test_a_clean_start_forgets_the_session() -> None:
    harness = Harness()
    client = persistent(harness)
    client.subscribe("a", 1)
    client.lose()

    again = harness.connect("c1", clean_start=True)
    harness.connect("p").publish("a", qos=1)

    assert again.connack.session_present is False
    assert again.publishes() == []


def test_a_session_ends_when_it_expires() -> None:
    harness = Harness()
    persistent(harness).lose()

    harness.later(3601)

    assert harness.broker.session("c1") is None
    assert persistent(harness).connack.session_present is False


def test_a_version_5_client_may_shorten_its_session_when_it_leaves() -> None:
    harness = Harness()
    client = harness.connect("c1", V5, properties=Properties(session_expiry_interval=60))

    client.send(Disconnect(0, Properties(session_expiry_interval=0)))

    assert harness.broker.session("c1") is None


def test_a_session_that_ends_with_its_connection_may_not_be_extended() -> None:
    client = Harness().connect("c1", V5)

    client.send(Disconnect(0, Properties(session_expiry_interval=5)))

    packet = client.received()[0]
    assert isinstance(packet, Disconnect)
    assert packet.reason_code == ReasonCode.PROTOCOL_ERROR


def test_unacknowledged_publishes_are_repeated_in_order_with_dup() -> None:
    harness = Harness()
    client = persistent(harness)
    client.subscribe("a", 1)
    harness.connect("p").send(*(PublishPacket("a", bytes((n,)), 1, packet_id=n) for n in (1, 2, 3)))
    first = client.publishes()
    acknowledge(client, first[0])
    client.lose()

    back = harness.client()
    back.send(Connect("c1", clean_start=False))

    assert [(p.payload, p.dup, p.packet_id) for p in back.publishes()] == [
        (b"\2", True, first[1].packet_id),
        (b"\3", True, first[2].packet_id),
    ]


def test_no_more_than_the_window_is_sent_before_acknowledgement() -> None:
    harness = Harness()
    client = harness.connect("c1", V5, properties=Properties(receive_maximum=2))
    client.subscribe("a", 1)
    publisher = harness.connect("p")
    publisher.send(*(PublishPacket("a", bytes((n,)), 1, packet_id=n) for n in (1, 2, 3, 4)))

    first = client.publishes()
    acknowledge(client, first[0])

    assert [p.payload for p in first] == [b"\1", b"\2"]
    assert [p.payload for p in client.publishes()] == [b"\3"]


def test_a_version_5_client_that_exceeds_the_receive_maximum_is_disconnected() -> None:
    harness = Harness(holds_work=True)
    client = harness.connect("c1", V5)

    client.send(*(PublishPacket("a", b"", 1, packet_id=n) for n in range(1, 102)))

    packet = client.received()[0]
    assert isinstance(packet, Disconnect)
    assert packet.reason_code == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
    assert len(harness.handed_on) == 100


def small_queue(messages: int = 3, size_bytes: int = 1000) -> Profile:
    return replace(AWS, max_queued_messages=messages, max_queued_bytes=size_bytes)


@pytest.mark.parametrize("profile", [small_queue(messages=3), small_queue(messages=100, size_bytes=3)])
def test_a_full_queue_drops_its_oldest_publish(profile: Profile) -> None:
    harness = Harness(profile)
    client = persistent(harness)
    client.subscribe("a", 1)
    client.lose()
    harness.connect("p").send(*(PublishPacket("a", bytes((n,)), 1, packet_id=n) for n in range(1, 6)))

    session = harness.broker.session("c1")

    assert session is not None
    assert [d.publish.payload for d in session.undelivered()] == [b"\3", b"\4", b"\5"]
    assert len(harness.dropped) == 2


def test_a_subscriber_that_does_not_read_loses_qos0_and_keeps_qos1_for_later() -> None:
    harness = Harness()
    client = harness.connect("c1")
    client.subscribe("a", 1)
    publisher = harness.connect("p")

    client.connection.pause()
    publisher.publish("a", b"0", 0)
    publisher.publish("a", b"1", 1)
    while_paused = client.publishes()
    client.connection.resume()

    assert while_paused == []
    assert [p.payload for p in client.publishes()] == [b"1"]
    assert harness.dropped == [("c1", "a", "slow subscriber")]


def test_a_subscriber_whose_queue_overflows_is_closed_and_its_session_kept() -> None:
    harness = Harness(small_queue(messages=2))
    client = persistent(harness)
    client.subscribe("a", 1)
    client.connection.pause()

    harness.connect("p").send(*(PublishPacket("a", b"", 1, packet_id=n) for n in range(1, 4)))

    assert client.is_closed
    assert harness.broker.session("c1") is not None


def test_unsent_bytes_are_bounded_within_one_turn() -> None:
    harness = Harness(replace(AWS, max_unsent_bytes=10_000))
    client = harness.connect("c1")
    client.subscribe("a")

    harness.connect("p").send(*(PublishPacket("a", b"x" * 1000) for _ in range(100)))

    assert len(client.publishes()) == 10
    assert len(harness.dropped) == 90


@pytest.mark.parametrize("version", [V311, V5])
def test_a_qos2_publish_is_handed_on_once_however_often_it_comes(version: int) -> None:
    harness = Harness(STANDARD)
    client = harness.connect("c1", version)
    publish = PublishPacket("a", b"1", 2, packet_id=5)

    client.send(publish)
    client.send(publish)
    client.send(Ack(PUBREL, 5))
    client.send(publish)

    assert client.received() == [Ack(PUBREC, 5), Ack(PUBREC, 5), Ack(PUBCOMP, 5), Ack(PUBREC, 5)]
    assert len(harness.handed_on) == 2


def test_a_qos2_publish_is_delivered_in_four_steps() -> None:
    harness = Harness(STANDARD)
    client = harness.connect("c1")
    client.subscribe("a", 2)
    harness.connect("p").publish("a", b"1", 2)

    (publish,) = client.publishes()
    client.send(Ack(PUBREC, publish.packet_id))
    released = client.received()
    client.send(Ack(PUBCOMP, publish.packet_id))

    assert publish.qos == 2
    assert released == [Ack(PUBREL, publish.packet_id)]
    session = harness.broker.session("c1")
    assert session is not None
    assert session.inflight == {}


def test_a_released_qos2_publish_is_not_sent_again_after_reconnect() -> None:
    harness = Harness(STANDARD)
    client = persistent(harness)
    client.subscribe("a", 2)
    harness.connect("p").publish("a", b"1", 2)
    (publish,) = client.publishes()
    client.send(Ack(PUBREC, publish.packet_id))
    client.lose()

    restarted = Harness(STANDARD, stored=harness.save().items())
    back = restarted.client()
    back.send(Connect("c1", clean_start=False))

    assert back.received()[1:] == [Ack(PUBREL, publish.packet_id)]


def test_a_message_that_expires_in_the_queue_is_not_delivered_and_others_say_what_remains() -> None:
    harness = Harness()
    client = harness.connect("c1", V5, properties=Properties(session_expiry_interval=99))
    client.subscribe("a", 1)
    client.lose()
    publisher = harness.connect("p", V5)
    for seconds in (1, 10):
        publisher.send(
            PublishPacket(
                "a", bytes((seconds,)), 1, packet_id=1, properties=Properties(message_expiry_interval=seconds)
            )
        )
    harness.later(3)

    back = harness.client(V5)
    back.send(Connect("c1", V5, False, properties=Properties(session_expiry_interval=99)))

    assert [(p.payload, p.properties) for p in back.publishes()] == [(b"\x0a", Properties(message_expiry_interval=7))]


def test_a_qos2_exchange_goes_on_with_its_identifiers_after_a_restart() -> None:
    harness = Harness(STANDARD)
    client = persistent(harness)
    client.subscribe("a", 2)
    client.send(PublishPacket("a", b"1", 2, packet_id=5))
    (delivered,) = client.publishes()

    restarted = Harness(STANDARD, stored=harness.save().items())
    back = restarted.client()
    back.send(Connect("c1", clean_start=False), PublishPacket("a", b"1", 2, dup=True, packet_id=5), Ack(PUBREL, 5))
    received = back.received()
    again = Harness(STANDARD, stored=restarted.save().items()).client()
    again.send(Connect("c1", clean_start=False), PublishPacket("a", b"2", 2, packet_id=5))

    assert received[1:] == [
        PublishPacket("a", b"1", 2, dup=True, packet_id=delivered.packet_id),
        Ack(PUBCOMP, 5),
        Ack(PUBREC, 5),
    ]
    assert restarted.handed_on == []
    assert [p.payload for p in again.harness.handed_on] == [b"2"]


def test_late_failed_work_of_an_ended_session_does_not_bring_it_back() -> None:
    harness = Harness(holds_work=True)
    client = persistent(harness)
    client.publish("a", qos=1)
    harness.connect("c1", clean_start=True)

    client.connection.reject(harness.batches[0][1])

    assert {key[:1] for key in harness.save()} == {b"v"}


def test_nothing_of_a_session_is_left_in_the_store_once_it_ended() -> None:
    harness = Harness()
    client = persistent(harness)
    client.subscribe("a", 1)
    harness.connect("p").publish("a", qos=1)
    (publish,) = client.publishes()
    kept = {key[:1] for key in harness.save()}
    acknowledge(client, publish)
    client.lose()
    harness.later(3601)

    assert kept == {b"s", b"q", b"v"}
    assert {key[:1] for key in harness.save()} == {b"v"}


def test_the_store_is_not_touched_for_clean_sessions() -> None:
    harness = Harness()
    client = harness.connect("c1")
    client.subscribe("a", 1)
    harness.connect("p").publish("a", qos=1)

    assert {key[:1] for key in harness.save()} == {b"v"}


@pytest.mark.parametrize("version", [V311, V5])
def test_a_suback_waits_until_the_subscription_is_stored(version: int) -> None:
    harness = Harness(holds_work=True)
    properties = Properties(session_expiry_interval=100) if version == V5 else NO_PROPERTIES
    client = harness.connect("c1", version, clean_start=False, properties=properties)
    passing = harness.connect("c2", version)

    for one in (client, passing):
        one.send(Subscribe(7, (SubscriptionRequest("a", 1),)))

    assert [type(packet) for packet in passing.received()] == [Suback], "nothing of this session is stored"
    assert client.received() == []
    ((owner, batch),) = harness.batches
    owner.connection.acknowledge(batch)
    assert [type(packet) for packet in client.received()] == [Suback]


def test_a_subscription_that_cannot_be_stored_ends_the_connection() -> None:
    harness = Harness(holds_work=True)
    client = harness.connect("c1", clean_start=False)

    client.send(Subscribe(7, (SubscriptionRequest("a", 1),)))
    ((_, batch),) = harness.batches
    client.connection.reject(batch)

    assert client.received() == []
    assert client.is_closed
