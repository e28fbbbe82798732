"""Flow 1/8: judge one client's publishes: aliases, windows, QoS 2, permissions, sizes, quotas."""

from collections import deque
from dataclasses import dataclass, field

import msgspec

from headwater.mqtt.codec.encoder import encode_ack
from headwater.mqtt.codec.packets import (
    NO_PROPERTIES,
    V5,
    MqttProtocolError,
    PacketType,
    Properties,
    PublishPacket,
    ReasonCode,
)
from headwater.mqtt.permissions import Permissions
from headwater.mqtt.ports import ClientContext, Publish
from headwater.mqtt.profile import Profile
from headwater.mqtt.quotas import QuotaWatch
from headwater.values.topics import is_wildcard

_PUBACK, _PUBREC = int(PacketType.PUBACK), int(PacketType.PUBREC)

AckList = list[tuple[int, int, int]]
"""(packet type, packet identifier, reason code) in the order of the publishes."""


@dataclass(slots=True, eq=False)
class PublishBatch:
    """What one chunk published. The shell hands it on, then calls `acknowledge` or `reject` with it.

    `answers` are packets that, like the acknowledgements, promise what is to be durable first: SUBACKs.
    """

    publishes: list[Publish]
    acks: AckList = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    is_done: bool = False
    is_failed: bool = False


class PublishIntake:
    """What one connection has published: topic aliases, and publishes not acknowledged yet.

    `received_qos2` is the session's set of packet identifiers between PUBREC and PUBREL; `is_broken` says that a
    batch failed and everything before it is acknowledged.
    """

    __slots__ = (
        "_aliases",
        "_batches",
        "_client",
        "_permissions",
        "_profile",
        "_quotas",
        "_received_qos2",
        "_version",
        "is_broken",
        "unacknowledged",
    )

    def __init__(
        self,
        version: int,
        client: ClientContext,
        profile: Profile,
        *,
        permissions: Permissions,
        quotas: QuotaWatch,
        received_qos2: set[int],
    ) -> None:
        self.unacknowledged = 0
        self.is_broken = False
        self._version = version
        self._client = client
        self._profile = profile
        self._permissions = permissions
        self._quotas = quotas
        self._received_qos2 = received_qos2
        self._aliases: dict[int, str] = {}
        self._batches: deque[PublishBatch] = deque()

    def accept(self, packet: PublishPacket, now: float, acks: AckList) -> Publish | None:
        """The publish to route and hand on, or None; what is to be acknowledged is added to `acks`.

        Raises: MqttProtocolError if the connection has to end. Hot: bench/mqtt.py.
        """
        topic, properties, qos = packet.topic, packet.properties, packet.qos
        expires_at = None
        if properties is not None or not topic:
            topic, properties = self._resolve_alias(topic, properties)
            if properties is not None and properties.message_expiry_interval is not None:
                expires_at = now + properties.message_expiry_interval
        if qos and not self._opens_exchange(qos, packet.packet_id, acks):
            return None
        verdict = self._permissions.verdicts.get(topic)
        if verdict is None:
            verdict = self._permissions.judge_publish(topic)
        if packet.retain and not isinstance(verdict, ReasonCode) and not self._permissions.may_retain(topic):
            verdict = ReasonCode.NOT_AUTHORIZED
        if isinstance(verdict, ReasonCode):
            self._refuse(packet, topic, verdict, acks)
            return None
        if len(packet.payload) > self._profile.max_payload_bytes:
            raise MqttProtocolError(
                f"payload of {len(packet.payload)} bytes is larger than {self._profile.max_payload_bytes}",
                ReasonCode.PACKET_TOO_LARGE,
            )
        if not self._quotas.allows_publish():
            self._received_qos2.discard(packet.packet_id)
            return None
        if qos:
            acks.append((_PUBACK if qos == 1 else _PUBREC, packet.packet_id, 0))
        rule, topic = verdict
        return Publish(topic, packet.payload, qos, packet.retain, properties, self._client, now, rule, expires_at)

    def hand_on(self, batch: PublishBatch) -> None:
        """The batch leaves for the rules; its acknowledgements wait for `finish`."""
        if batch.acks or batch.answers:
            self.unacknowledged += len(batch.acks)
            self._batches.append(batch)

    def finish(self, batch: PublishBatch) -> bytes:
        """The acknowledgements that may be sent now: those of this batch and of finished ones it held up.

        None come after a batch that failed.
        """
        batch.is_done = True
        ready: list[bytes] = []
        batches, version = self._batches, self._version
        while batches and batches[0].is_done and not self.is_broken:
            first = batches.popleft()
            ready += [encode_ack(kind, packet_id, code, version) for kind, packet_id, code in first.acks]
            self.unacknowledged -= len(first.acks)
            ready += first.answers
            self.is_broken = first.is_failed
        return b"".join(ready)

    def give_up(self, batch: PublishBatch) -> None:
        """Nothing of this batch will be acknowledged; a repeated QoS 2 publish counts as new."""
        self.unacknowledged -= len(batch.acks)
        self._received_qos2.difference_update(packet_id for kind, packet_id, _ in batch.acks if kind == _PUBREC)
        batch.is_failed = bool(batch.acks or batch.answers)
        batch.acks, batch.answers = [], []

    def _opens_exchange(self, qos: int, packet_id: int, acks: AckList) -> bool:
        """Whether a QoS 1 or 2 publish is a new one, within the window."""
        profile, received = self._profile, self._received_qos2
        if qos > profile.max_qos:
            if self._version == V5:
                raise MqttProtocolError("QoS 2 is not supported", ReasonCode.QOS_NOT_SUPPORTED)
            # AWS leaves a 3.1.1 client's QoS 2 unanswered (developer guide, "MQTT differences").
            self._quotas.exceed("qos_2")
            return False
        if qos == 2 and packet_id in received:
            acks.append((_PUBREC, packet_id, 0))
            return False
        # An acknowledgement of QoS 2 waiting to be sent has its identifier in both sets; it counts twice, briefly.
        if self.unacknowledged + len(acks) + len(received) >= profile.receive_maximum:
            if self._version == V5:
                raise MqttProtocolError(
                    f"more than {profile.receive_maximum} publishes are not acknowledged",
                    ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
                )
            self._quotas.exceed("unacknowledged_publishes")
        if qos == 2:
            received.add(packet_id)
        return True

    def _resolve_alias(self, topic: str, properties: Properties | None) -> tuple[str, Properties | None]:
        if properties is None or (properties.topic_alias is None and not topic):
            raise MqttProtocolError("PUBLISH has neither topic nor topic alias", ReasonCode.PROTOCOL_ERROR)
        if properties.subscription_identifiers:
            raise MqttProtocolError("a client's PUBLISH has a subscription identifier", ReasonCode.PROTOCOL_ERROR)
        response_topic = properties.response_topic
        if response_topic is not None and is_wildcard(response_topic):
            raise MqttProtocolError("the response topic has a wildcard", ReasonCode.PROTOCOL_ERROR)  # MQTT-3.3.2-14
        alias = properties.topic_alias
        if alias is None:
            return topic, properties
        if not 1 <= alias <= self._profile.topic_alias_maximum:
            raise MqttProtocolError(f"topic alias {alias} is out of range", ReasonCode.TOPIC_ALIAS_INVALID)
        if topic:
            self._aliases[alias] = topic
        else:
            known = self._aliases.get(alias)
            if known is None:
                raise MqttProtocolError(f"topic alias {alias} is not known", ReasonCode.TOPIC_ALIAS_INVALID)
            topic = known
        rest = msgspec.structs.replace(properties, topic_alias=None)
        return topic, None if rest == NO_PROPERTIES else rest

    def _refuse(self, packet: PublishPacket, topic: str, code: ReasonCode, acks: AckList) -> None:
        """A publish the client may not make: 5 has reason codes for QoS 1 and 2, AWS closes every other connection."""
        self._received_qos2.discard(packet.packet_id)
        kind = _PUBACK if packet.qos == 1 else _PUBREC
        if self._version == V5 and packet.qos:
            acks.append((kind, packet.packet_id, code))
        elif code is ReasonCode.TOPIC_NAME_INVALID or self._profile.closes_on_unauthorized_publish:
            raise MqttProtocolError(f"publish to {topic!r} refused", code)
        elif packet.qos:
            acks.append((kind, packet.packet_id, 0))
