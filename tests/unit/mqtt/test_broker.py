"""Connecting, publishing and subscribing, on the AWS profile unless a test says otherwise."""

import json

import pytest

from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import (
    V5,
    V311,
    Ack,
    Connack,
    Connect,
    Disconnect,
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
)
from headwater.mqtt.ports import Refusal
from headwater.mqtt.profile import AWS, STANDARD
from headwater.values.topics import TopicError
from tests.unit.mqtt.harness import NOW, Harness

PUBACK = PacketType.PUBACK


@pytest.mark.parametrize("version", [V311, V5])
def test_a_client_connects_and_is_told_that_there_is_no_session(version: int) -> None:
    client = Harness().connect("c1", version)

    assert client.connack.session_present is False
    assert not client.is_closed


def test_a_version_5_client_is_told_the_limits_of_the_aws_profile() -> None:
    asked = Properties(session_expiry_interval=99_999)
    properties = Harness().connect("c1", V5, keep_alive_s=5, properties=asked).connack.properties

    assert properties.maximum_qos == 1
    assert properties.receive_maximum == 100
    assert properties.maximum_packet_size == 149_504
    assert properties.topic_alias_maximum == 8
    assert properties.server_keep_alive == 30
    assert properties.session_expiry_interval == 3600
    assert properties.subscription_identifier_available == 0


def test_an_empty_client_id_is_given_one() -> None:
    client = Harness().connect("", V5)

    assert client.connack.properties.assigned_client_identifier == "id-1"


def test_an_empty_client_id_without_a_clean_session_is_refused_in_311() -> None:
    client = Harness().client()

    client.send(Connect("", clean_start=False))

    assert client.received() == [Connack(False, 2)]
    assert client.is_closed


def test_a_client_id_above_128_bytes_is_refused() -> None:
    client = Harness().client()

    client.send(Connect("ü" * 65))

    assert client.received() == [Connack(False, 2)]
    assert client.is_closed


@pytest.mark.parametrize(("profile", "code"), [(AWS, 7), (STANDARD, 5)])
def test_a_client_that_may_not_connect_gets_code_7_from_aws(profile: object, code: int) -> None:
    harness = Harness(AWS if profile is AWS else STANDARD)
    harness.denied.add(("Connect", "c1"))
    old, new = harness.client(), harness.client(V5)

    old.send(Connect("c1"))
    new.send(Connect("c1", V5))

    assert old.received() == [Connack(False, code)]
    assert [p.reason_code for p in new.received() if isinstance(p, Connack)] == [ReasonCode.NOT_AUTHORIZED]
    assert old.is_closed
    assert new.is_closed
    assert harness.lifecycle == []


def test_a_refused_authentication_is_answered_with_its_reason() -> None:
    harness = Harness()
    harness.refuses = Refusal(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
    client = harness.client()

    client.send(Connect("c1"))

    assert client.received() == [Connack(False, 4)]


def test_another_protocol_version_is_refused_as_each_version_says() -> None:
    client = Harness().client()

    client.send_bytes(b"\x10\x0c\x00\x04MQTT\x03\x02\x00\x00\x00\x00")

    assert client.received() == [Connack(False, 1)]
    assert client.is_closed


def test_a_packet_before_connect_closes_the_connection_without_an_answer() -> None:
    client = Harness().client()

    client.send(Pingreq())

    assert client.received() == []
    assert client.is_closed


def test_a_second_connect_closes_the_connection() -> None:
    harness = Harness()
    client = harness.connect("c1", V5)

    client.send(Connect("c1", V5))

    assert [p.reason_code for p in client.received() if isinstance(p, Disconnect)] == [ReasonCode.PROTOCOL_ERROR]
    assert client.is_closed


def test_packets_sent_together_with_connect_are_handled_after_it() -> None:
    harness = Harness()
    client = harness.client()

    client.send(
        Connect("c1"),
        Subscribe(1, (SubscriptionRequest("a"),)),
        PublishPacket("a", b"1", 1, packet_id=2),
    )

    assert client.received() == [Connack(), Suback(1, (0,)), PublishPacket("a", b"1"), Ack(PUBACK, 2)]


def test_a_ping_is_answered() -> None:
    client = Harness().connect()

    client.send(Pingreq())

    assert client.received() == [Pingresp()]


def test_qos1_publish_is_acknowledged_only_after_its_work_is_done() -> None:
    harness = Harness(holds_work=True)
    client = harness.connect()

    client.publish("dt/d1", b"{}", qos=1)
    before = client.received()
    client.connection.acknowledge(harness.batches[0][1])

    assert before == []
    assert client.received() == [Ack(PUBACK, 7)]


def test_pubacks_leave_in_the_order_of_the_publishes_whatever_is_finished_first() -> None:
    harness = Harness(holds_work=True)
    client = harness.connect()
    client.send(PublishPacket("a", b"1", 1, packet_id=1), PublishPacket("a", b"2", 1, packet_id=2))
    client.send(PublishPacket("a", b"3", 1, packet_id=3))

    client.connection.acknowledge(harness.batches[1][1])
    before = client.received()
    client.connection.acknowledge(harness.batches[0][1])

    assert before == []
    assert client.received() == [Ack(PUBACK, 1), Ack(PUBACK, 2), Ack(PUBACK, 3)]
    assert client.connection.unacknowledged == 0


def test_failed_work_ends_the_connection_after_the_pubacks_due_before_it() -> None:
    harness = Harness(holds_work=True)
    client = harness.connect(version=V5)
    for number in (1, 2, 3):
        client.send(PublishPacket("a", b"1", 1, packet_id=number))

    client.connection.reject(harness.batches[1][1])
    client.connection.acknowledge(harness.batches[2][1])
    is_open = not client.connection.is_closed
    client.connection.acknowledge(harness.batches[0][1])

    assert is_open
    first, goodbye = client.received()
    assert first == Ack(PUBACK, 1)
    assert isinstance(goodbye, Disconnect)
    assert goodbye.reason_code == ReasonCode.IMPLEMENTATION_ERROR
    assert client.connection.is_closed


def test_failed_work_of_qos_0_leaves_the_connection() -> None:
    harness = Harness(holds_work=True)
    client = harness.connect()
    client.send(PublishPacket("a", b"1", 0))

    client.connection.reject(harness.batches[0][1])

    assert not client.connection.is_closed


def test_all_publishes_of_one_chunk_are_handed_on_once_and_in_order() -> None:
    harness = Harness()
    client = harness.connect()

    client.send(*(PublishPacket("a", bytes((n,)), n % 2, packet_id=n if n % 2 else 0) for n in range(1, 6)))

    assert len(harness.batches) == 1
    assert [p.payload for p in harness.handed_on] == [b"\1", b"\2", b"\3", b"\4", b"\5"]
    first = harness.handed_on[0]
    assert (first.client and first.client.client_id, first.received_at) == ("c1", NOW)


def test_a_basic_ingest_publish_goes_to_its_rule_and_to_no_subscriber() -> None:
    harness = Harness()
    client = harness.connect()
    client.subscribe("#")

    client.publish("$aws/rules/store/dt/d1", b"{}", qos=1)

    assert [(p.basic_ingest_rule, p.topic) for p in harness.handed_on] == [("store", "dt/d1")]
    assert client.received() == [Ack(PUBACK, 7)]


@pytest.mark.parametrize(("sub_qos", "pub_qos", "expected"), [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1)])
def test_a_publish_reaches_a_subscriber_at_the_lower_of_both_qos(sub_qos: int, pub_qos: int, expected: int) -> None:
    harness = Harness()
    device, viewer = harness.connect("d"), harness.connect("v", V5)
    viewer.subscribe("dt/+", sub_qos)

    device.publish("dt/1", b"hello", pub_qos)

    assert [(p.topic, p.payload, p.qos) for p in viewer.publishes()] == [("dt/1", b"hello", expected)]


def test_a_client_with_overlapping_filters_gets_one_copy_at_the_highest_qos() -> None:
    harness = Harness()
    client = harness.connect()
    client.subscribe("a/#", 0)
    client.subscribe("a/+", 1)

    client.publish("a/b", qos=1)

    assert [p.qos for p in client.publishes()] == [1]


def test_a_hash_does_not_match_its_parent_on_aws_and_does_on_the_standard_profile() -> None:
    for profile, count in ((AWS, 0), (STANDARD, 1)):
        client = Harness(profile).connect()
        client.subscribe("sensor/#")

        client.publish("sensor")

        assert len(client.publishes()) == count


def test_unsubscribing_ends_delivery_and_names_filters_that_were_not_there() -> None:
    harness = Harness()
    client = harness.connect("c1", V5)
    client.subscribe("a")

    client.send(Unsubscribe(3, ("a", "b")))
    client.publish("a")

    assert client.received() == [Unsuback(3, (0, ReasonCode.NO_SUBSCRIPTION_EXISTED))]


def test_an_unauthorized_publish_closes_a_311_connection_on_aws() -> None:
    harness = Harness()
    harness.denied.add(("Publish", "secret"))
    client = harness.connect()

    client.publish("secret", qos=1)

    assert client.received() == []
    assert client.is_closed
    assert harness.handed_on == []
    assert json.loads(harness.lifecycle[-1].publish.payload)["disconnectReason"] == "AUTH_ERROR"


def test_an_unauthorized_qos1_publish_has_a_reason_code_in_version_5() -> None:
    harness = Harness()
    harness.denied.add(("Publish", "secret"))
    client = harness.connect("c1", V5)

    client.publish("secret", qos=1)

    assert client.received() == [Ack(PUBACK, 7, ReasonCode.NOT_AUTHORIZED)]
    assert harness.handed_on == []


@pytest.mark.parametrize(("version", "code"), [(V311, 0x80), (V5, ReasonCode.NOT_AUTHORIZED)])
def test_an_unauthorized_subscription_is_refused_in_suback(version: int, code: int) -> None:
    harness = Harness()
    harness.denied.add(("Subscribe", "secret/#"))
    client = harness.connect("c1", version)

    assert client.subscribe("secret/#") == code
    assert client.subscribe("$share/group/secret/#") == code


def test_a_client_gets_only_topics_it_may_receive() -> None:
    harness = Harness()
    harness.denied.add(("Receive", "a/secret"))
    client = harness.connect()
    client.subscribe("a/+", 1)

    client.publish("a/secret", qos=1)
    client.publish("a/open", qos=1)

    assert [p.topic for p in client.publishes()] == ["a/open"]


@pytest.mark.parametrize("topic", ["$SYS/x", "$aws/events/presence/connected/x", "1/2/3/4/5/6/7/8/9", "x" * 257])
def test_reserved_and_oversized_topics_close_the_connection_on_aws(topic: str) -> None:
    client = Harness().connect("c1", V5)

    client.publish(topic)

    assert [p.reason_code for p in client.received() if isinstance(p, Disconnect)] == [ReasonCode.TOPIC_NAME_INVALID]
    assert client.is_closed


def test_nobody_may_subscribe_to_basic_ingest_or_to_foreign_dollar_topics() -> None:
    client = Harness().connect()

    assert client.subscribe("$aws/rules/r/#") == 0x80
    assert client.subscribe("$SYS/#") == 0x80
    assert client.subscribe("a/#/b") == 0x80
    assert client.subscribe("$aws/events/#") == 0


def test_more_than_eight_filters_in_one_subscribe_are_refused() -> None:
    client = Harness().connect("c1", V5)

    client.send(Subscribe(1, tuple(SubscriptionRequest(f"t/{n}") for n in range(9))))

    assert client.received() == [Suback(1, (ReasonCode.QUOTA_EXCEEDED,) * 9)]


def test_a_payload_above_128_kb_closes_the_connection() -> None:
    client = Harness().connect("c1", V5)

    client.publish("a", b"x" * 131_073)

    assert [p.reason_code for p in client.received() if isinstance(p, Disconnect)] == [ReasonCode.PACKET_TOO_LARGE]


def test_aws_leaves_qos2_of_311_clients_unanswered() -> None:
    harness = Harness()
    client = harness.connect()

    client.publish("a", qos=2)
    client.send(Subscribe(1, (SubscriptionRequest("a", 2),)))

    assert client.received() == []
    assert harness.handed_on == []
    assert harness.quotas == [("qos_2", "c1")]


def test_aws_disconnects_a_version_5_client_that_publishes_at_qos2() -> None:
    client = Harness().connect("c1", V5)

    client.publish("a", qos=2)

    assert [p.reason_code for p in client.received() if isinstance(p, Disconnect)] == [ReasonCode.QOS_NOT_SUPPORTED]


def test_aws_refuses_subscription_identifiers() -> None:
    client = Harness().connect("c1", V5)

    client.send(Subscribe(1, (SubscriptionRequest("a"),), Properties(subscription_identifiers=(1,))))

    packet = client.received()[0]
    assert isinstance(packet, Disconnect)
    assert packet.reason_code == ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED


def test_a_malformed_packet_closes_the_connection_with_its_reason() -> None:
    harness = Harness()
    client = harness.connect("c1", V5)

    client.send_bytes(encode_packet(PublishPacket("a", b"1"), V5) + b"\x36\x00")

    assert [p.payload for p in harness.handed_on] == [b"1"]
    assert [p.reason_code for p in client.received() if isinstance(p, Disconnect)] == [ReasonCode.MALFORMED_PACKET]
    assert json.loads(harness.lifecycle[-1].publish.payload)["disconnectReason"] == "CLIENT_ERROR"


def test_quotas_are_observed_once_per_connection_and_not_enforced() -> None:
    harness = Harness()
    client = harness.connect()

    for _ in range(3):
        client.send(*(PublishPacket("a", b"") for _ in range(101)))

    assert harness.quotas == [("publishes_per_s", "c1")]
    assert len(harness.handed_on) == 303


def test_enforced_quotas_refuse_the_51st_subscription_and_no_known_one() -> None:
    harness = Harness(enforces_quotas=True)
    client = harness.connect("c1", V5)

    codes = [client.subscribe(f"t/{n}") for n in range(51)]

    assert codes == [0] * 50 + [ReasonCode.QUOTA_EXCEEDED]
    assert client.subscribe("t/1", 1) == 1
    assert harness.quotas == [("subscriptions", "c1")]


def test_a_subscriber_that_gets_more_than_aws_would_deliver_is_noticed() -> None:
    harness = Harness()
    viewer, publishers = harness.connect("v"), [harness.connect("p1"), harness.connect("p2")]
    viewer.subscribe("a")

    for publisher in publishers:
        publisher.send(*(PublishPacket("a", b"") for _ in range(60)))

    assert harness.quotas == [("deliveries_per_s", "v")]
    assert len(viewer.publishes()) == 120


def test_enforced_quotas_drop_qos0_and_leave_qos1_unacknowledged() -> None:
    harness = Harness(enforces_quotas=True)
    client = harness.connect()
    client.send(*(PublishPacket("a", b"") for _ in range(100)))

    client.publish("a", qos=1)
    refused = client.received()
    harness.later(1.1)
    client.publish("a", qos=1)

    assert refused == []
    assert client.received() == [Ack(PUBACK, 7)]
    assert len(harness.handed_on) == 101
    assert not client.is_closed


def test_publishing_from_inside_reaches_subscribers_and_rules() -> None:
    harness = Harness()
    client = harness.connect()
    client.subscribe("a")
    harness.broker.take_publishes()

    harness.broker.publish("a", b"1", now=NOW, qos=1)
    handed_back = harness.broker.publish("a", b"2", now=NOW, hands_to_rules=False)

    assert [p.payload for p in client.publishes()] == [b"1", b"2"]
    assert [p.payload for p in harness.broker.take_publishes()] == [b"1"]
    assert handed_back.payload == b"2"
    with pytest.raises(TopicError):
        harness.broker.publish("a/+", b"", now=NOW)


def test_the_server_can_end_a_connection() -> None:
    harness = Harness()
    client = harness.connect("c1", V5)

    assert harness.broker.disconnect("c1", NOW) is True
    assert harness.broker.disconnect("c1", NOW) is False

    assert [p.reason_code for p in client.received() if isinstance(p, Disconnect)] == [ReasonCode.ADMINISTRATIVE_ACTION]


def test_changed_policies_count_from_the_next_publish_on() -> None:
    harness = Harness()
    client = harness.connect("c1", V5)
    client.publish("a", qos=1)
    harness.denied.add(("Publish", "a"))

    harness.broker.forget_authorizations()
    client.publish("a", qos=1)

    assert client.received() == [Ack(PUBACK, 7), Ack(PUBACK, 7, ReasonCode.NOT_AUTHORIZED)]
