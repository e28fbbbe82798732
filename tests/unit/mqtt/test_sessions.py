"""Persistent sessions, windows and queues, retained messages, QoS 2, shared subscriptions, and restarts."""

from dataclasses import replace

import pytest

from headwater.mqtt.codec.packets import (
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


def test_a_retained_publish_is_delivered_to_an_equal_filter_only_on_aws() -> None:
    harness = Harness()
    harness.connect("p").publish("a/b", b"state", 1, retain=True)
    client = harness.connect("c1")

    client.subscribe("a/+", 1)
    wildcard = client.publishes()
    client.subscribe("a/b", 1)

    assert wildcard == []
    assert [(p.payload, p.retain, p.qos) for p in client.publishes()] == [(b"state", True, 1)]


def test_a_retained_publish_is_delivered_to_every_matching_filter_on_the_standard_profile() -> None:
    harness = Harness(STANDARD)
    harness.connect("p").publish("a/b", b"state", retain=True)
    client = harness.connect("c1")

    client.subscribe("a/#")

    assert [(p.payload, p.retain) for p in client.publishes()] == [(b"state", True)]


def test_an_existing_subscriber_gets_a_retained_publish_without_the_flag_unless_it_asked() -> None:
    harness = Harness()
    plain, asking = harness.connect("c1", V5), harness.connect("c2", V5)
    plain.subscribe("a")
    asking.subscribe("a", retain_as_published=True)

    harness.connect("p").publish("a", retain=True)

    assert [p.retain for p in plain.publishes()] == [False]
    assert [p.retain for p in asking.publishes()] == [True]


def test_an_empty_retained_publish_deletes_and_is_still_delivered() -> None:
    harness = Harness()
    client = harness.connect("c1")
    client.subscribe("a")
    publisher = harness.connect("p")
    publisher.publish("a", b"x", retain=True)

    publisher.publish("a", b"", retain=True)

    assert [p.payload for p in client.publishes()] == [b"x", b""]
    assert harness.broker.retained.get("a") is None


def test_retain_handling_decides_what_a_new_subscription_gets() -> None:
    harness = Harness()
    harness.connect("p").publish("a", retain=True)
    client = harness.connect("c1", V5)

    counts = []
    for handling in (2, 1, 0, 1):
        client.subscribe("a", retain_handling=handling)
        counts.append(len(client.publishes()))

    assert counts == [0, 0, 1, 0]


def test_retaining_needs_its_own_permission() -> None:
    harness = Harness()
    harness.denied.add(("RetainPublish", "a"))
    client = harness.connect("c1", V5)

    client.send(PublishPacket("a", b"", 1, True, packet_id=1))

    assert client.received() == [Ack(PUBACK, 1, ReasonCode.NOT_AUTHORIZED)]


def test_dollar_topics_are_not_retained_on_aws() -> None:
    harness = Harness()

    harness.broker.publish("$aws/things/t/shadow/update", b"{}", now=harness.now, retain=True)

    assert list(harness.broker.retained) == []


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


def test_one_member_of_a_shared_group_gets_each_publish() -> None:
    harness = Harness()
    members = [harness.connect(f"m{n}") for n in range(3)]
    for member in members:
        member.subscribe("$share/g/a/+", 1)
    other = harness.connect("other")
    other.subscribe("a/+", 0)
    publisher = harness.connect("p")

    for n in range(9):
        publisher.send(PublishPacket("a/b", bytes((n,)), 1, packet_id=n + 1))

    counts = [len(member.publishes()) for member in members]
    assert counts == [3, 3, 3]
    assert len(other.publishes()) == 9


def test_a_shared_group_passes_over_members_that_are_offline() -> None:
    harness = Harness()
    gone, here = persistent(harness, "gone"), harness.connect("here")
    for member in (gone, here):
        member.subscribe("$share/g/a", 1)
    gone.lose()

    for _ in range(4):
        harness.connect("p").publish("a", qos=1)

    assert len(here.publishes()) == 4


def test_a_no_local_subscriber_does_not_hear_itself() -> None:
    harness = Harness()
    one, two = harness.connect("c1", V5), harness.connect("c2", V5)
    for client in (one, two):
        client.subscribe("a", no_local=True)

    one.publish("a")

    assert one.publishes() == []
    assert len(two.publishes()) == 1


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


def test_a_version_5_subscriber_gets_the_publish_properties() -> None:
    properties = Properties(
        content_type="t", response_topic="r", correlation_data=b"c", user_properties=(("a", "1"), ("a", "2"))
    )
    harness = Harness()
    new, old = harness.connect("c1", V5), harness.connect("c2", V311)
    for client in (new, old):
        client.subscribe("a")

    harness.connect("p", V5).send(PublishPacket("a", b"1", properties=properties))

    assert [p.properties for p in new.publishes()] == [properties]
    assert [p.properties for p in old.publishes()] == [None]


def test_a_topic_alias_of_the_client_stands_for_its_topic() -> None:
    harness = Harness()
    client = harness.connect("c1", V5)
    alias = Properties(topic_alias=3)

    client.send(PublishPacket("a/b", b"1", properties=alias), PublishPacket("", b"2", properties=alias))

    assert [(p.topic, p.properties) for p in harness.handed_on] == [("a/b", None), ("a/b", None)]


@pytest.mark.parametrize(("topic", "alias"), [("a", 0), ("a", 9), ("", 1), ("", None)])
def test_a_wrong_topic_alias_closes_the_connection(topic: str, alias: int | None) -> None:
    client = Harness().connect("c1", V5)

    client.send(PublishPacket(topic, b"1", properties=Properties(topic_alias=alias, content_type="t")))

    packet = client.received()[0]
    assert isinstance(packet, Disconnect)
    expected = ReasonCode.PROTOCOL_ERROR if alias is None else ReasonCode.TOPIC_ALIAS_INVALID
    assert packet.reason_code == expected


def test_the_server_uses_topic_aliases_as_far_as_the_client_allows() -> None:
    harness = Harness()
    client = harness.connect("c1", V5, properties=Properties(topic_alias_maximum=1))
    client.subscribe("+")
    publisher = harness.connect("p")

    for topic in ("a", "a", "b"):
        publisher.publish(topic)

    seen = [(p.topic, p.properties.topic_alias if p.properties else None) for p in client.publishes()]
    assert seen == [("a", 1), ("", 1), ("b", None)]


def test_a_publish_larger_than_the_client_takes_is_left_out() -> None:
    harness = Harness()
    client = harness.connect("c1", V5, properties=Properties(maximum_packet_size=40))
    client.subscribe("a", 1)
    publisher = harness.connect("p")

    publisher.publish("a", b"x" * 60, 1)
    publisher.publish("a", b"x", 1)

    assert [p.payload for p in client.publishes()] == [b"x"]


def test_all_identifiers_of_matching_subscriptions_come_with_one_publish() -> None:
    harness = Harness(STANDARD)
    client = harness.connect("c1", V5)
    for number, topic_filter in ((2, "a"), (3, "a/#")):
        client.send(
            Subscribe(number, (SubscriptionRequest(topic_filter),), Properties(subscription_identifiers=(number,)))
        )
    client.received()

    harness.connect("p").publish("a")

    assert [set(p.properties.subscription_identifiers) for p in client.publishes() if p.properties] == [{2, 3}]


def test_sessions_and_retained_messages_survive_a_restart() -> None:
    harness = Harness()
    client = persistent(harness)
    client.subscribe("a/+", 1)
    client.lose()
    publisher = harness.connect("p", V5)
    publisher.send(PublishPacket("a/1", b"one", 1, True, packet_id=1, properties=Properties(content_type="t")))
    publisher.send(PublishPacket("a/2", b"two", 1, packet_id=2))

    restarted = Harness(stored=harness.save().items())
    back = restarted.client()
    back.send(Connect("c1", clean_start=False))
    restarted.connect("p2").publish("a/3", b"three", 1)

    assert [p.payload for p in back.publishes()] == [b"one", b"two", b"three"]
    retained = restarted.broker.retained.get("a/1")
    assert retained is not None
    assert retained.properties == Properties(content_type="t")


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
