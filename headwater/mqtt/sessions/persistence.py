"""The stored form of sessions, undelivered publishes, retained messages and presence versions.

A key is one letter and a hash (client ids and topics may be longer than a store's keys); an undelivered publish adds
its number, so that a scan by key gives a session's publishes in order.
"""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from headwater.mqtt.codec.packets import PacketType, Properties
from headwater.mqtt.codec.properties import encode_properties, read_properties
from headwater.mqtt.codec.wire import Reader
from headwater.mqtt.ports import Publish
from headwater.mqtt.profile import Profile
from headwater.mqtt.sessions.retained import RetainedMessages
from headwater.mqtt.sessions.session import Delivery, DeliveryLog, Session
from headwater.mqtt.sessions.subscriptions import Subscription


class StoredSession(msgspec.Struct, array_like=True):
    """`subscriptions` are (filter, qos, no local, retain as published, identifier)."""

    client_id: str
    expiry_interval_s: int
    expires_at: float | None
    subscriptions: list[tuple[str, int, bool, bool, int | None]]
    received_qos2: list[int]


class StoredPublish(msgspec.Struct, array_like=True):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: bytes
    received_at: float
    expires_at: float | None


class StoredDelivery(msgspec.Struct, array_like=True):
    client_id: str
    number: int
    packet_id: int
    is_released: bool
    qos: int
    retain: bool
    identifiers: tuple[int, ...]
    publish: StoredPublish


class PresenceVersion(msgspec.Struct, array_like=True):
    """`left_at` is when the client was last seen; its next connect counts on from `version`.

    `session_identifier` is that of a connection that is open, else empty.
    """

    client_id: str
    version: int
    left_at: float
    session_identifier: str = ""
    principal_id: str = ""


def session_key(client_id: str) -> bytes:
    return b"s" + _hash(client_id)


def delivery_key(client_id: str, number: int) -> bytes:
    return b"q" + _hash(client_id) + number.to_bytes(8, "big")


def retained_key(topic: str) -> bytes:
    return b"r" + _hash(topic)


def version_key(client_id: str) -> bytes:
    return b"v" + _hash(client_id)


def encode_session(session: Session) -> bytes:
    return msgspec.msgpack.encode(
        StoredSession(
            session.client_id,
            session.expiry_interval_s,
            session.expires_at,
            [
                (s.topic_filter, s.qos, s.no_local, s.retain_as_published, s.identifier)
                for s in session.subscriptions.values()
            ],
            sorted(session.received_qos2),
        )
    )


def encode_delivery(client_id: str, delivery: Delivery) -> bytes:
    return msgspec.msgpack.encode(
        StoredDelivery(
            client_id,
            delivery.number,
            delivery.packet_id,
            delivery.is_released,
            delivery.qos,
            delivery.retain,
            delivery.identifiers,
            _stored(delivery.publish),
        )
    )


def encode_retained(publish: Publish) -> bytes:
    return msgspec.msgpack.encode(_stored(publish))


def encode_version(version: PresenceVersion) -> bytes:
    return msgspec.msgpack.encode(version)


class Restored(msgspec.Struct):
    """What a store held."""

    sessions: dict[str, Session] = msgspec.field(default_factory=dict)
    versions: dict[str, PresenceVersion] = msgspec.field(default_factory=dict)


def restore(
    pairs: Iterable[tuple[bytes, bytes]], profile: Profile, log: DeliveryLog, retained: RetainedMessages, now: float
) -> Restored:
    """Rebuild everything from a store's pairs; retained messages go into `retained`.

    A session that was connected when the process ended starts its expiry now.
    """
    found = Restored()
    deliveries: list[StoredDelivery] = []
    for key, value in pairs:
        kind = key[:1]
        if kind == b"s":
            session = _restore_session(msgspec.msgpack.decode(value, type=StoredSession), profile, log, now)
            found.sessions[session.client_id] = session
        elif kind == b"q":
            deliveries.append(msgspec.msgpack.decode(value, type=StoredDelivery))
        elif kind == b"r":
            retained.put(_publish(msgspec.msgpack.decode(value, type=StoredPublish)))
        elif kind == b"v":
            version = msgspec.msgpack.decode(value, type=PresenceVersion)
            found.versions[version.client_id] = version
    for stored in sorted(deliveries, key=lambda delivery: delivery.number):
        owner = found.sessions.get(stored.client_id)
        if owner is not None:
            owner.restore(
                Delivery(
                    _publish(stored.publish),
                    stored.qos,
                    stored.retain,
                    stored.identifiers,
                    stored.packet_id,
                    stored.number,
                    stored.is_released,
                )
            )
    return found


def _restore_session(stored: StoredSession, profile: Profile, log: DeliveryLog, now: float) -> Session:
    session = Session(stored.client_id, profile, log)
    session.expiry_interval_s = stored.expiry_interval_s
    session.received_qos2 = set(stored.received_qos2)
    session.expires_at = stored.expires_at
    if session.expires_at is None:
        session.start_expiry(now)
    for topic_filter, qos, no_local, retain_as_published, identifier in stored.subscriptions:
        session.subscriptions[topic_filter] = Subscription(
            session, topic_filter, qos, no_local, retain_as_published, identifier
        )
    return session


def _stored(publish: Publish) -> StoredPublish:
    properties = b"" if publish.properties is None else encode_properties(publish.properties)
    return StoredPublish(
        publish.topic,
        publish.payload,
        publish.qos,
        publish.retain,
        properties,
        publish.received_at,
        publish.expires_at,
    )


def _publish(stored: StoredPublish) -> Publish:
    properties: Properties | None = None
    if stored.properties:
        properties = read_properties(Reader(stored.properties), PacketType.PUBLISH)
    return Publish(
        stored.topic,
        stored.payload,
        stored.qos,
        stored.retain,
        properties,
        received_at=stored.received_at,
        expires_at=stored.expires_at,
    )


def _hash(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()
