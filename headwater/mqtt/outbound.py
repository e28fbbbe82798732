"""Encode a publish for its subscribers: once for all who need the same bytes, alone for who does not."""

import msgspec

from headwater.mqtt.codec.encoder import encode_packet, encode_publish_parts
from headwater.mqtt.codec.packets import NO_PROPERTIES, V5, Disconnect, Properties, ReasonCode
from headwater.mqtt.ports import Publish


class FrameCache:
    """The encoded forms of the publish being routed.

    Subscribers of one publish come one after the other and mostly differ in the packet identifier alone, so
    remembering the last publish is enough.
    """

    __slots__ = ("_parts", "_publish")

    def __init__(self) -> None:
        self._publish: Publish | None = None
        self._parts: dict[tuple[int, int, bool], tuple[bytes, bytes]] = {}

    def parts(self, publish: Publish, version: int, qos: int, retain: bool) -> tuple[bytes, bytes]:
        """The bytes before and after the packet identifier. Hot: bench/mqtt.py."""
        if self._publish is not publish:
            self._publish = publish
            self._parts.clear()
        key = (version, qos, retain)
        found = self._parts.get(key)
        if found is None:
            found = self._parts[key] = encode_publish_parts(
                publish.topic, publish.payload, qos, retain, version, publish.properties
            )
        return found


class TopicAliases:
    """Topic aliases this broker chose for one client; the first `maximum` topics get one (MQTT 5 section 3.3.2.3.4)."""

    __slots__ = ("_aliases", "_maximum")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._aliases: dict[str, int] = {}

    def apply(self, topic: str) -> tuple[str, int | None]:
        """The topic to write, empty once its alias is known, and the alias."""
        alias = self._aliases.get(topic)
        if alias is not None:
            return "", alias
        if len(self._aliases) >= self._maximum:
            return topic, None
        alias = self._aliases[topic] = len(self._aliases) + 1
        return topic, alias


def special_properties(
    properties: Properties | None, *, expires_in_s: int | None, alias: int | None, identifiers: tuple[int, ...]
) -> Properties:
    """A publish's properties with what differs from subscriber to subscriber."""
    return msgspec.structs.replace(
        properties or NO_PROPERTIES,
        message_expiry_interval=expires_in_s,
        topic_alias=alias,
        subscription_identifiers=identifiers,
    )


def special_parts(
    publish: Publish,
    qos: int,
    retain: bool,
    version: int,
    *,
    expires_in_s: int | None,
    aliases: TopicAliases | None,
    identifiers: tuple[int, ...],
    dup: bool,
) -> tuple[bytes, bytes]:
    """The parts of a PUBLISH that only one client gets."""
    topic, properties = publish.topic, publish.properties
    if version == V5:
        topic, alias = (topic, None) if aliases is None else aliases.apply(topic)
        properties = special_properties(properties, expires_in_s=expires_in_s, alias=alias, identifiers=identifiers)
    return encode_publish_parts(topic, publish.payload, qos, retain, version, properties, dup=dup)


def encode_goodbye(code: ReasonCode, message: str, max_packet_bytes: int | None) -> bytes:
    """The DISCONNECT for a version 5 client; without its reason string where that is too long for the client."""
    if message:
        explained = encode_packet(Disconnect(code, Properties(reason_string=message)), V5)
        if max_packet_bytes is None or len(explained) <= max_packet_bytes:
            return explained
    return encode_packet(Disconnect(code), V5)
