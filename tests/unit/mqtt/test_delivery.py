"""Who gets a publish and in which form: retained messages, shared groups, options, properties, aliases."""

import pytest

from headwater.mqtt.codec.packets import (
    V5,
    V311,
    Ack,
    Connect,
    Disconnect,
    PacketType,
    Properties,
    PublishPacket,
    ReasonCode,
    Subscribe,
    SubscriptionRequest,
)
from headwater.mqtt.profile import STANDARD
from tests.unit.mqtt.harness import Harness

PUBACK, PUBREC, PUBREL, PUBCOMP = PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP


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
    gone, here = harness.connect("gone", clean_start=False), harness.connect("here")
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


def test_a_response_topic_with_a_wildcard_closes_the_connection() -> None:
    client = Harness().connect("c1", V5)

    client.send(PublishPacket("a", b"", properties=Properties(response_topic="a/+")))

    packet = client.received()[0]
    assert isinstance(packet, Disconnect)
    assert packet.reason_code == ReasonCode.PROTOCOL_ERROR


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
    client = harness.connect("c1", clean_start=False)
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
