"""Flow 1/8: one client's connection, from the bytes it sends to the publishes the broker accepts."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from headwater.errors import LocalProtocolError
from headwater.mqtt import handshake
from headwater.mqtt.codec.decoder import PacketDecoder
from headwater.mqtt.codec.encoder import PINGRESP_BYTES, encode_ack, encode_packet
from headwater.mqtt.codec.packets import (
    V5,
    Ack,
    Connect,
    Disconnect,
    MqttProtocolError,
    Packet,
    PacketType,
    Pingreq,
    PublishPacket,
    ReasonCode,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Unsuback,
    Unsubscribe,
)
from headwater.mqtt.inbound import AckList, PublishBatch, PublishIntake
from headwater.mqtt.outbound import TopicAliases, encode_goodbye, special_parts
from headwater.mqtt.permissions import Permissions
from headwater.mqtt.ports import ClientContext, Publish, Refusal, TransportInfo
from headwater.mqtt.quotas import QuotaWatch
from headwater.mqtt.sessions.lifecycle import DisconnectReason

if TYPE_CHECKING:
    from headwater.mqtt.broker import Broker
    from headwater.mqtt.sessions.session import Session

_MAX_DEFERRED_PACKETS = 1000


class State(Enum):
    """awaiting_connect -CONNECT-> authenticating -accepted-> connected; every state -close, lost-> closed."""

    AWAITING_CONNECT = "awaiting_connect"
    AUTHENTICATING = "authenticating"
    CONNECTED = "connected"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ConnectRequested:
    """The shell authenticates this client and calls `authenticated` with the outcome."""

    connect: Connect


Event = ConnectRequested | PublishBatch


class MqttConnection:
    """Sans-I/O: `receive` takes bytes, `outgoing` gives bytes, `is_closed` says that the socket must go.

    `wake` is called when there is something to write that no call of this connection's own shell caused.
    """

    __slots__ = (
        "_aliases_out",
        "_broker",
        "_connect",
        "_decoder",
        "_deferred",
        "_intake",
        "_max_packet_out",
        "_opened_at",
        "_out",
        "_permissions",
        "_quotas",
        "_unsent_bytes",
        "_wake",
        "client",
        "close_message",
        "has_output",
        "is_paused",
        "keep_alive_s",
        "last_received",
        "presence_version",
        "scheduled_at",
        "session",
        "session_identifier",
        "state",
        "transport",
        "version",
    )

    def __init__(self, broker: "Broker", transport: TransportInfo, wake: Callable[[], None]) -> None:
        self.transport = transport
        self.state = State.AWAITING_CONNECT
        self.client: ClientContext | None = None
        self.session: Session | None = None
        self.session_identifier = ""
        self.presence_version = 0
        self.version = 0
        self.keep_alive_s = 0
        self.last_received = broker.now
        self.is_paused = False
        self.close_message = ""
        self.scheduled_at: float | None = None
        self._broker = broker
        self._wake = wake
        self._opened_at = broker.now
        self._decoder = PacketDecoder(broker.profile.max_packet_bytes, topics=broker.topics)
        self._connect: Connect | None = None
        self._deferred: list[Packet] = []
        self._out: list[bytes] = []
        self._unsent_bytes = 0
        self.has_output = False
        self._max_packet_out: int | None = None
        self._intake: PublishIntake | None = None
        self._permissions: Permissions | None = None
        self._quotas = QuotaWatch(broker.profile.quotas, self._exceeded, enforces=broker.enforces_quotas)
        self._aliases_out: TopicAliases | None = None

    # -- what the shell calls -------------------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def is_congested(self) -> bool:
        """Whether the client reads too slowly for more to be sent now."""
        return self.is_paused or self._unsent_bytes > self._broker.profile.max_unsent_bytes

    @property
    def unacknowledged(self) -> int:
        """QoS 1 and 2 publishes handed on and not acknowledged yet."""
        return 0 if self._intake is None else self._intake.unacknowledged

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the client; the events are to be handled in order."""
        self._broker.now = now
        events: list[Event] = []
        self._quotas.count_bytes(len(data), now)
        packets = self._decoder.feed(data)
        if packets:
            # Whole packets only, or a client could hold its connection by dribbling one (MQTT-3.1.2-24).
            self.last_received = now
            self._process(packets, events)
        error = self._decoder.error
        if error is not None and not self.is_closed and not self._deferred:
            self._fail(error)
        return events

    def authenticated(self, outcome: ClientContext | Refusal, now: float) -> list[Event]:
        """Answer the CONNECT of a ConnectRequested; then what the client sent after it is handled."""
        self._broker.now = now
        connect = self._connect
        if self.state is not State.AUTHENTICATING or connect is None:
            if self.is_closed:
                return []
            raise LocalProtocolError(f"authenticated() in state {self.state.value}")
        if isinstance(outcome, Refusal):
            self._refuse(outcome.reason_code, outcome.message)
            return []
        if not self._broker.authorize(outcome, "Connect", outcome.client_id):
            self._refuse(ReasonCode.NOT_AUTHORIZED, f"{outcome.client_id} may not connect")
            return []
        self._admit(outcome, connect)
        events: list[Event] = []
        deferred, self._deferred = self._deferred, []
        self._process(deferred, events)
        if self._decoder.error is not None and not self.is_closed:
            self._fail(self._decoder.error)
        return events

    def acknowledge(self, batch: PublishBatch) -> None:
        """The durable work of a batch is done: send its PUBACKs, after those of the batches before it."""
        intake = self._intake
        acks = b"" if intake is None else intake.finish(batch)
        if acks and self.state is State.CONNECTED:
            self.write(acks)
        if intake is not None and intake.is_broken:
            # A client sends again what was not acknowledged when it comes back, and not before (MQTT-4.4.0-1).
            self.close(ReasonCode.IMPLEMENTATION_ERROR, "SERVER_ERROR", "a publish could not be stored")

    def reject(self, batch: PublishBatch) -> None:
        """The work failed: after the acknowledgements due before it the connection ends; QoS 0 alone is just lost."""
        if self._intake is not None:
            self._intake.give_up(batch)
        if self.session is not None:
            self._broker.changed(self.session)
        self.acknowledge(batch)

    def outgoing(self) -> bytes:
        """The bytes to write now; empties the queue and makes room for what waits in the session."""
        self.has_output = False
        data = b"".join(self._out)
        self._out.clear()
        self._unsent_bytes = 0
        if self.session is not None and self.session.queued_messages:
            self.session.pump()
        return data

    def pause(self) -> None:
        """The socket's write buffer is full."""
        self.is_paused = True

    def resume(self) -> None:
        """The socket's write buffer has drained."""
        self.is_paused = False
        if self.session is not None:
            self.session.pump()

    def lost(self, now: float) -> None:
        """The socket is gone without a DISCONNECT."""
        self._broker.now = now
        self._finish("CONNECTION_LOST", sends_will=True)

    def close(self, code: ReasonCode, reason: DisconnectReason, message: str = "") -> None:
        """End the connection from our side; a version 5 client is told why."""
        if self.is_closed:
            return
        if self.state is State.CONNECTED and self.version == V5:
            self.write(encode_goodbye(code, message, self._max_packet_out))
        self.close_message = message
        self._finish(reason, sends_will=True)

    def deadline(self) -> float | None:
        """When `expire` has to be called."""
        if self.state in (State.AWAITING_CONNECT, State.AUTHENTICATING):
            return self._opened_at + self._broker.profile.connect_timeout_s
        if self.is_closed:
            return None
        times = [self.last_received + 1.5 * self.keep_alive_s] if self.keep_alive_s else []
        if self.client is not None and self.client.expires_at is not None:
            times.append(self.client.expires_at)
        return min(times) if times else None

    def expire(self, now: float) -> None:
        """Close the connection if its time is over."""
        deadline = self.deadline()
        if deadline is None or deadline > now:
            return
        if self.state is not State.CONNECTED:
            self.close(ReasonCode.PROTOCOL_ERROR, "CLIENT_ERROR", "no CONNECT in time")
        elif self.client is not None and self.client.expires_at is not None and self.client.expires_at <= now:
            self.close(ReasonCode.MAXIMUM_CONNECT_TIME, self.client.expiry_reason)
        else:
            self.close(ReasonCode.KEEP_ALIVE_TIMEOUT, "MQTT_KEEP_ALIVE_TIMEOUT")

    # -- what sessions and the broker call ------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        self._out.append(data)
        self._unsent_bytes += len(data)
        if not self.has_output:
            self.has_output = True
            self._wake()

    def close_slow(self) -> None:
        """The client lets its queue overflow: QoS 1 is kept in the session, the connection ends."""
        self.close(ReasonCode.QUOTA_EXCEEDED, "THROTTLED", "the client reads too slowly")

    def forget_authorizations(self) -> None:
        """Ask for every topic again: the policies have changed."""
        if self._permissions is not None:
            self._permissions.forget()

    def send_pubrel(self, packet_id: int) -> None:
        self.write(encode_ack(PacketType.PUBREL, packet_id, 0, self.version))

    def send_publish(
        self,
        publish: Publish,
        qos: int,
        retain: bool,
        identifiers: tuple[int, ...] = (),
        packet_id: int = 0,
        *,
        dup: bool = False,
    ) -> bool:
        """Write a PUBLISH; false if this client may not or cannot get it. Hot: bench/mqtt.py."""
        broker, expires_at = self._broker, publish.expires_at
        if broker.is_restricted and not self._may_receive(publish.topic):
            return False
        if expires_at is not None and expires_at <= broker.now:
            return False
        if identifiers or dup or expires_at is not None or self._aliases_out is not None:
            head, tail = special_parts(
                publish,
                qos,
                retain,
                self.version,
                expires_in_s=None if expires_at is None else max(round(expires_at - broker.now), 1),
                aliases=self._aliases_out,
                identifiers=identifiers,
                dup=dup,
            )
        else:
            head, tail = broker.frames.parts(publish, self.version, qos, retain)
        limit = self._max_packet_out
        if limit is not None and len(head) + len(tail) + (2 if qos else 0) > limit:
            return False
        self._quotas.count_delivery(broker.now)
        if qos:
            self.write(b"".join((head, packet_id.to_bytes(2, "big"), tail)))
        else:
            self.write(head + tail)
        return True

    # -- receiving ------------------------------------------------------------------------------------------------

    def _process(self, packets: list[Packet], events: list[Event]) -> None:
        """Hot: bench/mqtt.py."""
        broker, session, intake = self._broker, self.session, self._intake
        publishes: list[Publish] = []
        acks: AckList = []
        answers: list[bytes] = []
        try:
            for packet in packets:
                if self.state is not State.CONNECTED or intake is None:
                    if self.state is State.CLOSED:
                        break
                    self._before_connected(packet, events)
                elif isinstance(packet, PublishPacket):
                    publish = intake.accept(packet, broker.now, acks)
                    if publish is not None:
                        publishes.append(publish)
                        if publish.basic_ingest_rule is None:
                            broker.route(publish, session)
                elif isinstance(packet, Ack):
                    if session is not None and (answer := session.take_ack(packet, self.version)):
                        self.write(answer)
                else:
                    self._control(packet, answers)
        except MqttProtocolError as error:
            self._fail(error)
        if publishes or acks or answers:
            events.append(self._hand_on(PublishBatch(publishes, acks, answers)))

    def _hand_on(self, batch: PublishBatch) -> PublishBatch:
        if self._intake is not None:
            self._intake.hand_on(batch)
        session = self.session
        if session is not None and session.received_qos2:
            self._broker.changed(session)
        return batch

    def _before_connected(self, packet: Packet, events: list[Event]) -> None:
        if self.state is State.AWAITING_CONNECT:
            events.append(self._begin(packet))
        elif len(self._deferred) < _MAX_DEFERRED_PACKETS:
            # A client may send before it has its CONNACK (section 3.1.4).
            self._deferred.append(packet)
        else:
            raise MqttProtocolError("too many packets before CONNACK", ReasonCode.QUOTA_EXCEEDED)

    def _begin(self, packet: Packet) -> ConnectRequested:
        if not isinstance(packet, Connect):
            raise MqttProtocolError(f"{type(packet).__name__} before CONNECT", ReasonCode.PROTOCOL_ERROR)
        self.version = packet.protocol_version
        self._connect = packet
        checked = handshake.check_connect(packet, self._broker.profile, self._broker.new_id)
        self.state = State.AUTHENTICATING
        return ConnectRequested(checked)

    def _admit(self, client: ClientContext, connect: Connect) -> None:
        """Take or make the session, answer CONNACK, and send what waited."""
        broker, profile = self._broker, self._broker.profile
        self.client = client
        self.keep_alive_s = handshake.keep_alive_s(connect, profile)
        self._max_packet_out = connect.properties.maximum_packet_size
        self._permissions = Permissions(client, broker.authorize, profile)
        aliases = min(connect.properties.topic_alias_maximum or 0, profile.topic_alias_maximum)
        # A publish left out for its size must not be the one that told the client an alias.
        self._aliases_out = TopicAliases(aliases) if aliases and self._max_packet_out is None else None
        session_present = broker.attach(self, client, connect)
        session = self.session
        if session is None:
            raise LocalProtocolError("the broker attached no session")
        self._intake = PublishIntake(
            self.version,
            client,
            profile,
            permissions=self._permissions,
            quotas=self._quotas,
            received_qos2=session.received_qos2,
        )
        self.state = State.CONNECTED
        connack = handshake.accept(
            connect,
            profile,
            session_present=session_present,
            assigned_client_id=None if connect.client_id else client.client_id,
        )
        self.write(encode_packet(connack, self.version))
        session.resume()
        broker.connected(self)

    def _control(self, packet: Packet, answers: list[bytes]) -> None:
        if isinstance(packet, Pingreq):
            self.write(PINGRESP_BYTES)
        elif isinstance(packet, Subscribe):
            self._subscribe(packet, answers)
        elif isinstance(packet, Unsubscribe):
            self._unsubscribe(packet)
        elif isinstance(packet, Disconnect):
            self._disconnect(packet)
        else:
            raise MqttProtocolError(f"unexpected {type(packet).__name__}", ReasonCode.PROTOCOL_ERROR)

    def _subscribe(self, packet: Subscribe, answers: list[bytes]) -> None:
        """The SUBACK is added to `answers` where it promises a subscription that outlives this process."""
        broker, profile, session, permissions = self._broker, self._broker.profile, self.session, self._permissions
        if session is None or permissions is None:
            return
        identifiers = packet.properties.subscription_identifiers
        if identifiers and not profile.has_subscription_identifiers:
            raise MqttProtocolError(
                "subscription identifiers are not supported", ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
            )
        if profile.max_qos < 2 and self.version != V5 and any(request.qos == 2 for request in packet.requests):
            # AWS sends no SUBACK when a 3.1.1 client asks for QoS 2 (developer guide, "MQTT differences").
            self._quotas.exceed("qos_2")
            return
        is_too_long = len(packet.requests) > profile.max_filters_per_subscribe
        codes: list[int] = []
        granted: list[tuple[SubscriptionRequest, bool]] = []
        for request in packet.requests:
            code = ReasonCode.QUOTA_EXCEEDED if is_too_long else permissions.judge_filter(request)
            is_known = request.topic_filter in session.subscriptions
            if code is None and not is_known and not self._quotas.allows_subscription(len(session.subscriptions)):
                code = ReasonCode.QUOTA_EXCEEDED
            if code is None:
                qos = min(request.qos, profile.max_qos)
                is_new = broker.subscribe(session, request, qos, identifiers[0] if identifiers else None)
                granted.append((request, is_new))
                codes.append(qos)
            else:
                codes.append(code if self.version == V5 else ReasonCode.UNSPECIFIED_ERROR)
        suback = encode_packet(Suback(packet.packet_id, tuple(codes)), self.version)
        if granted and session.is_persistent:
            answers.append(suback)
        else:
            self.write(suback)
        if granted:
            broker.subscriptions_changed(self, "subscribed", [request.topic_filter for request, _ in granted])
        for request, is_new in granted:
            broker.send_retained(session, request, is_new=is_new)

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        session = self.session
        if session is None:
            return
        gone = [self._broker.unsubscribe(session, topic_filter) for topic_filter in packet.topic_filters]
        codes = tuple(0 if found else ReasonCode.NO_SUBSCRIPTION_EXISTED for found in gone)
        self.write(encode_packet(Unsuback(packet.packet_id, codes), self.version))
        self._broker.subscriptions_changed(self, "unsubscribed", list(packet.topic_filters))

    def _disconnect(self, packet: Disconnect) -> None:
        session = self.session
        if session is not None:
            session.expiry_interval_s = handshake.changed_expiry_s(
                session.expiry_interval_s, packet.properties.session_expiry_interval, self._broker.profile
            )
        self._finish("CLIENT_INITIATED_DISCONNECT", sends_will=packet.reason_code == ReasonCode.DISCONNECT_WITH_WILL)

    def _fail(self, error: MqttProtocolError) -> None:
        code, message = error.reason_code, str(error)
        # Before CONNACK only a client whose CONNECT we understood, or whose version we refuse, gets an answer (4.13).
        is_answerable = self._connect is not None or code is ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
        if self.state is not State.CONNECTED and is_answerable:
            self._refuse(code, message)
        else:
            self.close(code, "AUTH_ERROR" if code is ReasonCode.NOT_AUTHORIZED else "CLIENT_ERROR", message)

    def _refuse(self, code: ReasonCode, message: str) -> None:
        self.write(encode_packet(handshake.refuse(self.version, code, self._broker.profile, message), self.version))
        self.close_message = message
        self._finish("AUTH_ERROR", sends_will=False)

    def _finish(self, reason: DisconnectReason, *, sends_will: bool) -> None:
        if self.is_closed:
            return
        was_connected = self.state is State.CONNECTED
        self.state = State.CLOSED
        self._deferred.clear()
        if was_connected:
            self._broker.detach(self, reason, sends_will=sends_will)
        self._wake()

    def _may_receive(self, topic: str) -> bool:
        return self._permissions is not None and self._permissions.may_receive(topic)

    def _exceeded(self, name: str) -> None:
        self._broker.quota_exceeded(name, self.client.client_id if self.client is not None else "")
