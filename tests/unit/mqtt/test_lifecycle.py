"""Presence messages, keep-alive, takeover and wills."""

import json
from typing import Any

from headwater.mqtt.codec.packets import (
    V5,
    Connect,
    Disconnect,
    Pingreq,
    Properties,
    ReasonCode,
    Will,
)
from headwater.mqtt.ports import ClientContext
from headwater.mqtt.profile import STANDARD
from tests.unit.mqtt.harness import NOW, Harness


def bodies(harness: Harness) -> list[Any]:
    return [json.loads(event.publish.payload) for event in harness.lifecycle]


def test_connecting_and_leaving_are_announced_with_the_documented_json() -> None:
    harness = Harness()
    client = harness.connect("dev-1")
    client.send(Disconnect())

    assert [event.publish.topic for event in harness.lifecycle] == [
        "$aws/events/presence/connected/dev-1",
        "$aws/events/presence/disconnected/dev-1",
    ]
    assert bodies(harness) == [
        {
            "clientId": "dev-1",
            "timestamp": int(NOW * 1000),
            "eventType": "connected",
            "sessionIdentifier": "id-1",
            "principalIdentifier": "principal-1",
            "ipAddress": "10.0.0.9",
            "versionNumber": 0,
        },
        {
            "clientId": "dev-1",
            "timestamp": int(NOW * 1000),
            "eventType": "disconnected",
            "sessionIdentifier": "id-1",
            "principalIdentifier": "principal-1",
            "clientInitiatedDisconnect": True,
            "disconnectReason": "CLIENT_INITIATED_DISCONNECT",
            "versionNumber": 0,
        },
    ]


def test_subscribing_and_unsubscribing_are_announced_with_their_filters() -> None:
    harness = Harness()
    client = harness.connect("dev-1")
    client.subscribe("a/+")

    assert harness.lifecycle[-1].publish.topic == "$aws/events/subscriptions/subscribed/dev-1"
    assert bodies(harness)[-1] == {
        "clientId": "dev-1",
        "timestamp": int(NOW * 1000),
        "eventType": "subscribed",
        "sessionIdentifier": "id-1",
        "principalIdentifier": "principal-1",
        "topics": ["a/+"],
    }


def test_presence_is_published_to_subscribers_and_handed_to_the_rules() -> None:
    harness = Harness()
    watcher = harness.connect("watcher")
    watcher.subscribe("$aws/events/presence/+/dev-1")
    harness.broker.take_publishes()

    harness.connect("dev-1").lose()

    topics = ["$aws/events/presence/connected/dev-1", "$aws/events/presence/disconnected/dev-1"]
    assert [p.topic for p in watcher.publishes()] == topics
    assert [p.topic for p in harness.broker.take_publishes()] == topics
    assert bodies(harness)[-1]["disconnectReason"] == "CONNECTION_LOST"
    assert bodies(harness)[-1]["clientInitiatedDisconnect"] is False


def test_the_version_counts_connects_and_starts_again_after_an_hour() -> None:
    harness = Harness()
    for seconds in (10, 10, 3601):
        harness.connect("dev-1").lose()
        harness.later(seconds)
    harness.connect("dev-1")

    versions = [body["versionNumber"] for body in bodies(harness)]
    assert versions == [0, 0, 1, 1, 2, 2, 0]


def test_the_version_goes_on_after_a_restart() -> None:
    harness = Harness()
    harness.connect("dev-1").lose()

    restarted = Harness(stored=harness.save().items())
    restarted.connect("dev-1")

    assert bodies(restarted)[-1]["versionNumber"] == 1


def test_connections_cut_off_by_a_kill_are_announced_after_the_restart() -> None:
    harness = Harness()
    harness.connect("stays")
    harness.connect("gone").lose()

    restarted = Harness(stored=harness.save().items())
    once_more = Harness(stored=restarted.save().items())

    (body,) = bodies(restarted)
    assert (body["clientId"], body["disconnectReason"], body["versionNumber"]) == ("stays", "SERVER_ERROR", 0)
    assert body["sessionIdentifier"] == "id-1"
    assert body["principalIdentifier"] == "principal-1"
    assert [p.topic for p in restarted.broker.take_publishes()] == ["$aws/events/presence/disconnected/stays"]
    assert once_more.lifecycle == []


def test_a_second_connection_with_the_same_client_id_ends_the_first() -> None:
    harness = Harness()
    first = harness.connect("dev-1", V5)

    second = harness.connect("dev-1", V5)

    assert [p.reason_code for p in first.received() if isinstance(p, Disconnect)] == [ReasonCode.SESSION_TAKEN_OVER]
    assert first.is_closed
    assert not second.is_closed
    assert [(b["eventType"], b.get("disconnectReason")) for b in bodies(harness)] == [
        ("connected", None),
        ("disconnected", "DUPLICATE_CLIENTID"),
        ("connected", None),
    ]
    assert [b["versionNumber"] for b in bodies(harness)] == [0, 0, 1]


def test_a_client_id_with_a_wildcard_is_not_announced() -> None:
    harness = Harness()

    harness.connect("dev/+").lose()

    assert harness.lifecycle == []
    assert harness.broker.take_publishes() == []


def test_a_silent_client_is_disconnected_after_one_and_a_half_keep_alives() -> None:
    harness = Harness()
    client = harness.connect("c1", V5, keep_alive_s=40)
    harness.later(50)
    client.send(Pingreq())

    harness.later(59.9)
    assert not client.is_closed
    harness.later(0.2)

    assert client.is_closed
    assert [p.reason_code for p in client.received() if isinstance(p, Disconnect)] == [ReasonCode.KEEP_ALIVE_TIMEOUT]
    assert bodies(harness)[-1]["disconnectReason"] == "MQTT_KEEP_ALIVE_TIMEOUT"


def test_a_keep_alive_shorter_than_the_connect_timeout_is_kept() -> None:
    harness = Harness(STANDARD)
    client = harness.connect(keep_alive_s=2)

    harness.later(3.1)

    assert client.is_closed


def test_bytes_that_make_no_packet_do_not_keep_a_connection_alive() -> None:
    harness = Harness()
    client = harness.connect(keep_alive_s=40)

    client.send_bytes(b"\x30\x20")
    for _ in range(31):
        harness.later(2)
        client.send_bytes(b"\x00")

    assert client.is_closed


def test_a_connection_without_connect_is_closed_in_time() -> None:
    harness = Harness()
    client = harness.client()

    harness.later(10.1)

    assert client.is_closed


def test_a_connection_ends_when_its_authorizer_says() -> None:
    harness = Harness()
    client = harness.client(V5)
    client.connection.receive(b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x02c1", NOW)
    client.connection.authenticated(ClientContext("c1", expires_at=NOW + 300), NOW)

    harness.later(299)
    assert not client.is_closed
    harness.later(2)

    assert client.is_closed
    assert bodies(harness)[-1]["disconnectReason"] == "CUSTOMAUTH_TTL_EXPIRATION"


def test_the_will_of_a_lost_client_is_published_and_handed_to_the_rules() -> None:
    harness = Harness()
    viewer = harness.connect("v")
    viewer.subscribe("gone", 1)
    device = harness.connect("d", will=Will("gone", b"d", 1))
    harness.broker.take_publishes()

    device.lose()

    assert [(p.topic, p.payload, p.qos) for p in viewer.publishes()] == [("gone", b"d", 1)]
    assert "gone" in [p.topic for p in harness.broker.take_publishes()]


def test_a_client_that_says_goodbye_has_no_will_unless_it_asks_for_it() -> None:
    for code, count in ((0, 0), (ReasonCode.DISCONNECT_WITH_WILL, 1)):
        harness = Harness()
        viewer = harness.connect("v")
        viewer.subscribe("gone")
        device = harness.connect("d", V5, will=Will("gone", b"d"))

        device.send(Disconnect(code))

        assert len(viewer.publishes()) == count


def test_a_will_the_client_may_not_publish_is_not_published() -> None:
    harness = Harness()
    harness.denied.add(("Publish", "gone"))
    viewer = harness.connect("v")
    viewer.subscribe("gone")

    harness.connect("d", will=Will("gone", b"d")).lose()

    assert viewer.publishes() == []


def delayed(harness: Harness, expiry_s: int, delay_s: int = 5) -> Any:
    will = Will("gone", b"d", properties=Properties(will_delay_interval=delay_s, user_properties=(("a", "b"),)))
    return harness.connect("d", V5, will=will, properties=Properties(session_expiry_interval=expiry_s))


def test_a_delayed_will_is_published_after_its_delay() -> None:
    harness = Harness()
    viewer = harness.connect("v", V5)
    viewer.subscribe("gone")
    delayed(harness, expiry_s=60).lose()

    harness.later(4.9)
    before = viewer.publishes()
    harness.later(0.2)

    assert before == []
    assert [p.properties for p in viewer.publishes()] == [Properties(user_properties=(("a", "b"),))]


def test_a_delayed_will_is_published_when_the_session_ends_first() -> None:
    harness = Harness()
    viewer = harness.connect("v")
    viewer.subscribe("gone")
    delayed(harness, expiry_s=2).lose()

    harness.later(2.1)

    assert len(viewer.publishes()) == 1


def test_a_delayed_will_is_forgotten_when_the_client_comes_back() -> None:
    harness = Harness()
    viewer = harness.connect("v")
    viewer.subscribe("gone")
    delayed(harness, expiry_s=60).lose()

    harness.connect("d", V5, clean_start=False)
    harness.later(10)

    assert viewer.publishes() == []


def test_stopping_tells_version_5_clients_that_the_server_shuts_down() -> None:
    harness = Harness(STANDARD)
    client = harness.connect("c1", V5)

    harness.broker.stop(NOW)

    assert [p.reason_code for p in client.received() if isinstance(p, Disconnect)] == [ReasonCode.SERVER_SHUTTING_DOWN]
    assert client.is_closed


def test_a_closed_connection_is_forgotten_by_the_deadlines() -> None:
    harness = Harness()
    for _ in range(20):
        client = harness.client()
        client.send(Connect("c1"))
        client.lose()

    harness.later(61)

    assert harness.broker.next_timeout() is None
