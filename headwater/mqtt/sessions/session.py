"""A client's session: its subscriptions and the QoS 1 and 2 publishes it has not acknowledged yet."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import msgspec

from headwater.mqtt.codec.encoder import encode_ack
from headwater.mqtt.codec.packets import Ack, PacketType, ReasonCode, Will
from headwater.mqtt.ports import ClientContext, Publish
from headwater.mqtt.profile import NEVER_EXPIRES, Profile
from headwater.mqtt.sessions.subscriptions import Subscription
from headwater.values.topics import filter_matches, split_share

if TYPE_CHECKING:
    from headwater.mqtt.connection import MqttConnection


class Delivery(msgspec.Struct, eq=False):
    """One publish on its way to one session. `packet_id` is 0 while it waits in the queue.

    `number` orders deliveries within the session and is its key in the store. `is_released` is true between PUBREC and
    PUBCOMP, when the payload is no longer needed.
    """

    publish: Publish
    qos: int
    retain: bool
    identifiers: tuple[int, ...] = ()
    packet_id: int = 0
    number: int = 0
    is_released: bool = False


class DeliveryLog(Protocol):
    """Told of every change of a session's undelivered publishes, so that they can outlive the process."""

    def keep(self, session: "Session", delivery: Delivery) -> None: ...

    def forget(self, session: "Session", delivery: Delivery) -> None: ...

    def changed(self, session: "Session") -> None: ...

    def dropped(self, session: "Session", publish: Publish, why: str) -> None: ...


class Session:
    """State between a client's connections. Order of delivery is the order of `deliver`.

    At most `window` publishes are unacknowledged; the rest wait in a queue bounded by the profile.
    """

    __slots__ = (
        "_last_packet_id",
        "_log",
        "_profile",
        "_queue",
        "_queued_bytes",
        "client",
        "client_id",
        "connection",
        "expires_at",
        "expiry_interval_s",
        "inflight",
        "next_number",
        "received_qos2",
        "scheduled_at",
        "subscriptions",
        "will",
        "will_at",
        "window",
    )

    def __init__(self, client_id: str, profile: Profile, log: DeliveryLog) -> None:
        self.client_id = client_id
        self.client: ClientContext | None = None
        self.connection: MqttConnection | None = None
        self.subscriptions: dict[str, Subscription] = {}
        self.inflight: dict[int, Delivery] = {}
        self.received_qos2: set[int] = set()
        self.expiry_interval_s = 0
        self.expires_at: float | None = None
        self.will: Will | None = None
        self.will_at: float | None = None
        self.window = profile.max_inflight
        self.next_number = 1
        self.scheduled_at: float | None = None
        self._profile = profile
        self._log = log
        self._queue: deque[Delivery] = deque()
        self._queued_bytes = 0
        self._last_packet_id = 0

    @property
    def is_persistent(self) -> bool:
        return self.expiry_interval_s > 0

    @property
    def is_ready(self) -> bool:
        """Whether a publish would go out at once."""
        connection = self.connection
        return connection is not None and not connection.is_congested and len(self.inflight) < self.window

    @property
    def queued_messages(self) -> int:
        return len(self._queue)

    def subscribed_qos(self, topic: str, *, hash_matches_parent: bool) -> int | None:
        """The highest QoS of the subscriptions to a topic; None without any."""
        found = [
            one.qos
            for one in self.subscriptions.values()
            if filter_matches(split_share(one.topic_filter)[1], topic, hash_matches_parent=hash_matches_parent)
        ]
        return max(found, default=None)

    def deliver(self, publish: Publish, qos: int, retain: bool, identifiers: tuple[int, ...] = ()) -> None:
        """Send a publish to the client, or keep it for later as its QoS demands."""
        connection = self.connection
        if qos == 0:
            if connection is None or connection.is_congested:
                self._log.dropped(self, publish, "offline" if connection is None else "slow subscriber")
            else:
                connection.send_publish(publish, 0, retain, identifiers)
            return
        if connection is None and not self.is_persistent:
            return
        delivery = Delivery(publish, qos, retain, identifiers, number=self.next_number)
        self.next_number += 1
        if self.is_persistent:
            self._log.keep(self, delivery)
        if self._queue or not self.is_ready:
            self._enqueue(delivery)
        else:
            self._send(delivery)

    def take_ack(self, ack: Ack, version: int) -> bytes:
        """Move a QoS 1 or 2 exchange on, in either direction; the bytes to answer, if any.

        Source: MQTT 5 section 4.3; an identifier nobody waits for is answered, not punished (section 4.3.3).
        """
        kind, packet_id = ack.kind, ack.packet_id
        if kind == PacketType.PUBREC and ack.reason_code < 0x80:
            code = 0 if self.release(packet_id) else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            return encode_ack(PacketType.PUBREL, packet_id, code, version)
        if kind == PacketType.PUBREL:
            code = 0 if packet_id in self.received_qos2 else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            self.received_qos2.discard(packet_id)
            if self.is_persistent:
                # A stored identifier that was released would swallow the client's next publish with it.
                self._log.changed(self)
            return encode_ack(PacketType.PUBCOMP, packet_id, code, version)
        self.acknowledge(packet_id)
        return b""

    def acknowledge(self, packet_id: int) -> bool:
        """PUBACK or PUBCOMP arrived; false if nothing waits for it."""
        delivery = self.inflight.pop(packet_id, None)
        if delivery is None:
            return False
        if self.is_persistent:
            self._log.forget(self, delivery)
        if self._queue:
            self.pump()
        return True

    def release(self, packet_id: int) -> bool:
        """PUBREC arrived: the client owns the publish now; false if nothing waits for it."""
        delivery = self.inflight.get(packet_id)
        if delivery is None:
            return False
        delivery.is_released = True
        if self.is_persistent:
            self._log.keep(self, delivery)
        return True

    def pump(self) -> None:
        """Send queued publishes as far as the window and the connection allow."""
        while self._queue and self.is_ready:
            delivery = self._queue.popleft()
            self._queued_bytes -= len(delivery.publish.payload)
            self._send(delivery)

    def resume(self) -> None:
        """Repeat what the client has not acknowledged on its last connection, then go on with the queue.

        Source: MQTT 5 section 4.4: in the original order, with the original packet identifiers and DUP set.
        """
        connection = self.connection
        if connection is None:
            return
        for delivery in list(self.inflight.values()):
            if delivery.is_released:
                connection.send_pubrel(delivery.packet_id)
            else:
                self._transmit(delivery, dup=True)
        self.pump()

    def restore(self, delivery: Delivery) -> None:
        """Put back a delivery from the store; call in the order of their numbers."""
        self.next_number = max(self.next_number, delivery.number + 1)
        if delivery.qos == 2 and delivery.packet_id:
            self.inflight[delivery.packet_id] = delivery
        else:
            delivery.packet_id = 0
            self._queue.append(delivery)
            self._queued_bytes += len(delivery.publish.payload)

    def undelivered(self) -> Iterator[Delivery]:
        yield from self.inflight.values()
        yield from self._queue

    def clear(self) -> None:
        """Forget all undelivered publishes."""
        for delivery in self.undelivered():
            self._log.forget(self, delivery)
        self.inflight.clear()
        self._queue.clear()
        self._queued_bytes = 0
        self.received_qos2.clear()

    def deadline(self) -> float | None:
        """When a disconnected session has to be looked at: its will or its end."""
        if self.connection is not None:
            return None
        times = [time for time in (self.will_at, self.expires_at) if time is not None]
        return min(times) if times else None

    def start_expiry(self, now: float) -> None:
        """The connection is gone; the session lives for its expiry interval."""
        self.expires_at = None if self.expiry_interval_s >= NEVER_EXPIRES else now + self.expiry_interval_s

    def _enqueue(self, delivery: Delivery) -> None:
        self._queue.append(delivery)
        self._queued_bytes += len(delivery.publish.payload)
        profile = self._profile
        if len(self._queue) <= profile.max_queued_messages and self._queued_bytes <= profile.max_queued_bytes:
            return
        oldest = self._queue.popleft()
        self._queued_bytes -= len(oldest.publish.payload)
        if self.is_persistent:
            self._log.forget(self, oldest)
        self._log.dropped(self, oldest.publish, "session queue full, oldest dropped")
        if self.connection is not None:
            self.connection.close_slow()

    def _send(self, delivery: Delivery) -> None:
        packet_id = self._last_packet_id
        inflight = self.inflight
        while True:
            packet_id = packet_id + 1 if packet_id < 0xFFFF else 1
            if packet_id not in inflight:
                break
        self._last_packet_id = packet_id
        delivery.packet_id = packet_id
        inflight[packet_id] = delivery
        if delivery.qos == 2 and self.is_persistent:
            # Exactly once means the same identifier again, even after a restart.
            self._log.keep(self, delivery)
        self._transmit(delivery, dup=False)

    def _transmit(self, delivery: Delivery, *, dup: bool) -> None:
        connection = self.connection
        if connection is None:
            return
        sent = connection.send_publish(
            delivery.publish, delivery.qos, delivery.retain, delivery.identifiers, delivery.packet_id, dup=dup
        )
        if not sent:
            # Expired, too large for the client, or no longer allowed: treated as delivered (MQTT 5 section 3.1.2.11.4).
            del self.inflight[delivery.packet_id]
            if self.is_persistent:
                self._log.forget(self, delivery)
