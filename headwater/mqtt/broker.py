"""Flow 1/8: the MQTT broker: sessions by client id, routing to subscribers, wills, presence; no sockets, no clock."""

import heapq
import logging
from collections.abc import Callable, Iterable

from headwater.errors import LocalProtocolError
from headwater.mqtt.codec.packets import Connect, Properties, ReasonCode, SubscriptionRequest
from headwater.mqtt.connection import MqttConnection
from headwater.mqtt.handshake import session_expiry_s
from headwater.mqtt.outbound import FrameCache
from headwater.mqtt.permissions import Permissions
from headwater.mqtt.ports import Authorize, ClientContext, LifecycleEvent, OnLifecycle, OnQuota, Publish, TransportInfo
from headwater.mqtt.profile import AWS, Profile
from headwater.mqtt.sessions import lifecycle, persistence
from headwater.mqtt.sessions.lifecycle import DisconnectReason, SubscriptionEvent
from headwater.mqtt.sessions.persistence import PresenceVersion
from headwater.mqtt.sessions.retained import RetainedMessages
from headwater.mqtt.sessions.session import Delivery, Session
from headwater.mqtt.sessions.subscriptions import SharedGroup, Subscription, SubscriptionTable
from headwater.values.topics import PRIVATE_PREFIXES, check_topic, is_wildcard, split_basic_ingest, split_share

# A closed connection stays in memory until its entry among the deadlines comes up.
_MAX_AHEAD_S = 60.0
_VERSIONS_BEFORE_PRUNING = 10_000

logger = logging.getLogger(__name__)


class Broker:
    """All state of the broker. Every entry point that takes `now` (epoch seconds) moves the broker's time to it.

    `authorize` None allows everything. `wake` is called when publishes for the rules or changes for the store wait
    to be fetched by `take_publishes` and `take_changes`. `on_dropped(client_id, topic, why)` hears of each publish a
    subscriber will not get.
    """

    def __init__(
        self,
        profile: Profile = AWS,
        *,
        new_id: Callable[[], str],
        now: float,
        authorize: Authorize | None = None,
        on_lifecycle: OnLifecycle | None = None,
        on_quota: OnQuota | None = None,
        on_dropped: Callable[[str, str, str], None] | None = None,
        wake: Callable[[], None] | None = None,
        enforces_quotas: bool = False,
        stored: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        self.profile = profile
        self.new_id = new_id
        self.now = now
        self.enforces_quotas = enforces_quotas
        self.is_restricted = authorize is not None
        self.authorize: Authorize = authorize or _allow
        self.frames = FrameCache()
        self.topics: dict[bytes, str] = {}
        self.retained = RetainedMessages(
            hash_matches_parent=profile.hash_matches_parent,
            exact_filters_only=profile.retains_for_exact_filters_only,
        )
        self._on_lifecycle = on_lifecycle
        self._on_quota = on_quota
        self._on_dropped = on_dropped
        self._wake = wake
        self._subscriptions = SubscriptionTable(hash_matches_parent=profile.hash_matches_parent)
        self._deadlines: list[tuple[float, int, MqttConnection | Session]] = []
        self._deadline_number = 0
        self._changes: dict[bytes, bytes | None] = {}
        self._for_rules: list[Publish] = []
        restored = persistence.restore(stored, profile, self, self.retained, now)
        self._sessions: dict[str, Session] = restored.sessions
        self._versions: dict[str, PresenceVersion] = restored.versions
        self._prune_versions_at = _VERSIONS_BEFORE_PRUNING
        for session in self._sessions.values():
            for subscription in session.subscriptions.values():
                self._subscriptions.add(subscription)
            self.schedule(session)
        self._announce_cut_off()

    # -- what the shell calls -------------------------------------------------------------------------------------

    def open(self, transport: TransportInfo, now: float, wake: Callable[[], None]) -> MqttConnection:
        """A new connection; `wake` is called whenever it has something to write or has closed itself."""
        self.now = now
        connection = MqttConnection(self, transport, wake)
        self.schedule(connection)
        return connection

    def tick(self, now: float) -> None:
        """Everything whose time has come: keep-alive, CONNECT timeout, delayed wills, expired sessions."""
        self.now = now
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            when, _, owner = heapq.heappop(deadlines)
            if owner.scheduled_at != when:
                continue
            owner.scheduled_at = None
            if isinstance(owner, MqttConnection):
                owner.expire(now)
            else:
                self._expire_session(owner)
            self.schedule(owner)

    def next_timeout(self) -> float | None:
        """When to call `tick` at the latest."""
        return self._deadlines[0][0] if self._deadlines else None

    def take_publishes(self) -> list[Publish]:
        """Publishes for the rules that no client's chunk carried: presence, wills, `publish`."""
        publishes, self._for_rules = self._for_rules, []
        return publishes

    def take_changes(self) -> dict[bytes, bytes | None]:
        """What the store has to write since the last call; None deletes."""
        changes, self._changes = self._changes, {}
        return changes

    @property
    def has_work(self) -> bool:
        """Whether `take_publishes` or `take_changes` would give anything."""
        return bool(self._for_rules or self._changes)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        now: float,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        client: ClientContext | None = None,
        hands_to_rules: bool = True,
    ) -> Publish:
        """Publish from inside: republish actions, shadows, iot-data and Lambda code.

        With `hands_to_rules` false the caller gives the returned publish to the rules itself (to wait for them).
        Raises: TopicError for a topic nobody may publish to.
        """
        self.now = now
        check_topic(topic, max_bytes=self.profile.max_topic_bytes, max_levels=self.profile.max_topic_levels)
        rule, topic = split_basic_ingest(topic)
        expiry = None if properties is None else properties.message_expiry_interval
        publish = Publish(
            topic, payload, qos, retain, properties, client, now, rule, None if expiry is None else now + expiry
        )
        if rule is None:
            self.route(publish, None)
        if hands_to_rules:
            self._hand_to_rules(publish)
        return publish

    def answer(self, client: ClientContext, topic: str, payload: bytes, now: float) -> bool:
        """Publish to the one connection a request came by; false if it has gone or has not subscribed to the topic."""
        self.now = now
        session = self._sessions.get(client.client_id)
        if session is None or session.client is not client:
            return False
        qos = session.subscribed_qos(topic, hash_matches_parent=self.profile.hash_matches_parent)
        if qos is None:
            return False
        session.deliver(Publish(topic, payload, min(1, qos), received_at=now), min(1, qos), retain=False)
        return True

    def disconnect(self, client_id: str, now: float, *, clean_session: bool = False) -> bool:
        """End a client's connection from the server's side (iot-data DeleteConnection); false if it has none."""
        self.now = now
        session = self._sessions.get(client_id)
        connection = session.connection if session is not None else None
        if session is None or connection is None:
            return False
        if clean_session:
            session.expiry_interval_s = 0
        connection.close(ReasonCode.ADMINISTRATIVE_ACTION, "SERVER_INITIATED_DISCONNECT")
        return True

    def connection_of(self, client: ClientContext) -> MqttConnection | None:
        """The connection of exactly this client; None once it has gone or another one took its client id."""
        session = self._sessions.get(client.client_id)
        return None if session is None or session.client is not client else session.connection

    def end(self, client: ClientContext, code: ReasonCode, reason: DisconnectReason, now: float) -> None:
        """End the connection of exactly this client."""
        self.now = now
        connection = self.connection_of(client)
        if connection is not None:
            connection.close(code, reason)

    def stop(self, now: float) -> None:
        """Close every connection; a version 5 client is told that the server shuts down."""
        self.now = now
        for connection in self.connections():
            connection.close(ReasonCode.SERVER_SHUTTING_DOWN, "SERVER_INITIATED_DISCONNECT")

    def connections(self) -> list[MqttConnection]:
        """Every connected client's connection."""
        return [session.connection for session in self._sessions.values() if session.connection is not None]

    def session(self, client_id: str) -> Session | None:
        return self._sessions.get(client_id)

    def forget_authorizations(self) -> None:
        """Policies have changed: ask `authorize` again for everything."""
        for connection in self.connections():
            connection.forget_authorizations()

    # -- what connections call: clients come and go ---------------------------------------------------------------

    def attach(self, connection: MqttConnection, client: ClientContext, connect: Connect) -> bool:
        """Give the connection its session, ending the client's other connection; whether the session existed."""
        existing = self._sessions.get(client.client_id)
        if existing is not None:
            existing = self._take_over(existing, connect)
        session = existing
        if session is None:
            session = Session(client.client_id, self.profile, self)
            self._sessions[client.client_id] = session
        session.client = client
        session.connection = connection
        session.expiry_interval_s = session_expiry_s(connect, self.profile)
        session.expires_at = None
        session.will = connect.will
        session.will_at = None
        session.window = min(self.profile.max_inflight, connect.properties.receive_maximum or 0xFFFF)
        connection.session = session
        self.changed(session)
        return existing is not None

    def _take_over(self, session: Session, connect: Connect) -> Session | None:
        """The session to go on with, or None if it has ended."""
        if session.connection is not None:
            # Its will is delayed past this moment only if the session goes on (MQTT 5 section 3.1.3.2.2).
            session.connection.close(ReasonCode.SESSION_TAKEN_OVER, "DUPLICATE_CLIENTID")
        if connect.clean_start or self._sessions.get(session.client_id) is not session:
            self._end_session(session)
            return None
        return session

    def connected(self, connection: MqttConnection) -> None:
        """CONNACK is written: start the keep-alive and tell the world."""
        self.schedule(connection)
        client = connection.client
        if client is None:
            raise LocalProtocolError("connected() before authentication")
        known = self._versions.get(client.client_id)
        is_fresh = known is None or self.now - known.left_at > lifecycle.VERSION_RESET_S
        version = 0 if known is None or is_fresh else known.version + 1
        connection.session_identifier = self.new_id()
        connection.presence_version = version
        self._remember_version(client, version, connection.session_identifier)
        self._announce(lifecycle.connected(client, connection.session_identifier, version, self.now))
        logger.info("MQTT client connected", extra={"client_id": client.client_id})

    def detach(self, connection: MqttConnection, reason: DisconnectReason, *, sends_will: bool) -> None:
        """The connection has ended: its will, its session's expiry, its presence."""
        session, client = connection.session, connection.client
        if session is None or client is None or session.connection is not connection:
            return
        session.connection = None
        logger.info("MQTT client disconnected", extra={"client_id": client.client_id, "disconnect_reason": reason})
        self._remember_version(client, connection.presence_version, "")
        event = lifecycle.disconnected(
            client, connection.session_identifier, connection.presence_version, self.now, reason=reason
        )
        if not sends_will:
            session.will = None
        will = session.will
        delay = 0 if will is None else will.properties.will_delay_interval or 0
        if session.is_persistent:
            session.start_expiry(self.now)
            self.changed(session)
            if will is not None and delay:
                session.will_at = self.now + delay
            else:
                self._send_will(session)
            self.schedule(session)
        else:
            self._end_session(session)
        self._announce(event)

    def _expire_session(self, session: Session) -> None:
        if session.connection is not None or self._sessions.get(session.client_id) is not session:
            return
        if session.expires_at is not None and session.expires_at <= self.now:
            self._end_session(session)
        elif session.will_at is not None and session.will_at <= self.now:
            self._send_will(session)

    def _end_session(self, session: Session) -> None:
        self._send_will(session)
        for subscription in session.subscriptions.values():
            self._subscriptions.remove(subscription)
        session.subscriptions.clear()
        session.clear()
        session.expires_at = None
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]
        self._change(persistence.session_key(session.client_id), None)

    def _send_will(self, session: Session) -> None:
        will, client = session.will, session.client
        session.will = None
        session.will_at = None
        if will is None or client is None:
            return
        permissions = Permissions(client, self.authorize, self.profile)
        verdict = permissions.judge_publish(will.topic)
        if isinstance(verdict, ReasonCode) or (will.retain and not permissions.may_retain(will.topic)):
            logger.info("will not published: not allowed", extra={"client_id": client.client_id, "topic": will.topic})
            return
        properties = Properties(
            payload_format_indicator=will.properties.payload_format_indicator,
            message_expiry_interval=will.properties.message_expiry_interval,
            content_type=will.properties.content_type,
            response_topic=will.properties.response_topic,
            correlation_data=will.properties.correlation_data,
            user_properties=will.properties.user_properties,
        )
        self.publish(
            will.topic,
            will.payload,
            now=self.now,
            qos=will.qos,
            retain=will.retain,
            properties=None if properties == Properties() else properties,
            client=client,
        )

    def _remember_version(self, client: ClientContext, version: int, session_identifier: str) -> None:
        """`session_identifier` is empty once the client has gone."""
        client_id = client.client_id
        entry = PresenceVersion(client_id, version, self.now, session_identifier, client.principal_id)
        self._versions[client_id] = entry
        self._change(persistence.version_key(client_id), persistence.encode_version(entry))
        if len(self._versions) > self._prune_versions_at:
            self._prune_versions()

    def _announce_cut_off(self) -> None:
        """Connections that were open when the process was killed: nobody has heard yet that they ended."""
        for entry in list(self._versions.values()):
            if entry.session_identifier:
                client = ClientContext(entry.client_id, entry.principal_id)
                self._remember_version(client, entry.version, "")
                event = lifecycle.disconnected(
                    client, entry.session_identifier, entry.version, self.now, reason="SERVER_ERROR"
                )
                self._announce(event)

    def _prune_versions(self) -> None:
        """Forget clients that would start again at version 0 anyway."""
        for version in list(self._versions.values()):
            if self.now - version.left_at > lifecycle.VERSION_RESET_S and version.client_id not in self._sessions:
                del self._versions[version.client_id]
                self._change(persistence.version_key(version.client_id), None)
        self._prune_versions_at = max(_VERSIONS_BEFORE_PRUNING, 2 * len(self._versions))

    def _announce(self, event: LifecycleEvent) -> None:
        if is_wildcard(event.client_id):
            return  # The topic would be no topic; AWS publishes nothing for such client ids ("Lifecycle events").
        self.route(event.publish, None)
        self._hand_to_rules(event.publish)
        if self._on_lifecycle is not None:
            self._on_lifecycle(event)

    # -- what connections call: subscriptions and publishes -------------------------------------------------------

    def subscribe(self, session: Session, request: SubscriptionRequest, qos: int, identifier: int | None) -> bool:
        """Add or change a subscription; whether it is new."""
        existing = session.subscriptions.get(request.topic_filter)
        subscription = existing or Subscription(session, request.topic_filter, qos)
        subscription.qos = qos
        subscription.no_local = request.no_local
        subscription.retain_as_published = request.retain_as_published
        subscription.identifier = identifier
        session.subscriptions[request.topic_filter] = subscription
        self._subscriptions.add(subscription)
        self.changed(session)
        return existing is None

    def unsubscribe(self, session: Session, topic_filter: str) -> bool:
        subscription = session.subscriptions.pop(topic_filter, None)
        if subscription is None:
            return False
        self._subscriptions.remove(subscription)
        self.changed(session)
        return True

    def subscriptions_changed(
        self, connection: MqttConnection, event_type: SubscriptionEvent, topic_filters: list[str]
    ) -> None:
        client = connection.client
        if client is not None:
            self._announce(
                lifecycle.subscriptions_changed(
                    event_type, client, connection.session_identifier, topic_filters, self.now
                )
            )

    def send_retained(self, session: Session, request: SubscriptionRequest, *, is_new: bool) -> None:
        """What was retained before the subscription, with RETAIN set; never to shared ones (MQTT 5 section 4.8.2)."""
        group, topic_filter = split_share(request.topic_filter)
        if group is not None or request.retain_handling == 2 or (request.retain_handling == 1 and not is_new):
            return
        subscription = session.subscriptions.get(request.topic_filter)
        if subscription is None:
            return
        identifiers = () if subscription.identifier is None else (subscription.identifier,)
        for publish in self.retained.matching(topic_filter, self.now):
            session.deliver(publish, min(publish.qos, subscription.qos), True, identifiers)

    def route(self, publish: Publish, sender: Session | None) -> None:
        """Give a publish to every subscriber. Hot: bench/mqtt.py."""
        if publish.retain:
            self._retain(publish)
        for target in self._subscriptions.targets(publish.topic):
            if isinstance(target, SharedGroup):
                self._route_shared(publish, target)
                continue
            session = target.session
            if target.no_local and session is sender:
                continue
            qos = target.qos
            if publish.qos < qos:
                qos = publish.qos
            session.deliver(publish, qos, publish.retain and target.retain_as_published, target.identifiers)

    def _route_shared(self, publish: Publish, group: SharedGroup) -> None:
        subscription = group.pick()
        if subscription is None:
            return
        identifiers = () if subscription.identifier is None else (subscription.identifier,)
        retain = publish.retain and subscription.retain_as_published
        subscription.session.deliver(publish, min(publish.qos, subscription.qos), retain, identifiers)

    def _retain(self, publish: Publish) -> None:
        if publish.topic.startswith("$" if self.profile.reserves_dollar_topics else PRIVATE_PREFIXES):
            return
        self.retained.put(publish)
        value = persistence.encode_retained(publish) if publish.payload else None
        self._change(persistence.retained_key(publish.topic), value)

    def quota_exceeded(self, name: str, client_id: str) -> None:
        if self._on_quota is not None:
            self._on_quota(name, client_id)

    # -- the log of undelivered publishes (DeliveryLog) -----------------------------------------------------------

    def keep(self, session: Session, delivery: Delivery) -> None:
        key = persistence.delivery_key(session.client_id, delivery.number)
        self._change(key, persistence.encode_delivery(session.client_id, delivery))

    def forget(self, session: Session, delivery: Delivery) -> None:
        self._change(persistence.delivery_key(session.client_id, delivery.number), None)

    def changed(self, session: Session) -> None:
        """A session's subscriptions, expiry or QoS 2 identifiers are to be stored, if it is persistent and goes on."""
        if session.is_persistent and self._sessions.get(session.client_id) is session:
            self._change(persistence.session_key(session.client_id), persistence.encode_session(session))

    def dropped(self, session: Session, publish: Publish, why: str) -> None:
        if self._on_dropped is not None:
            self._on_dropped(session.client_id, publish.topic, why)

    # -- small rules ----------------------------------------------------------------------------------------------

    def schedule(self, owner: MqttConnection | Session) -> None:
        """Look at a connection or session again when its deadline comes.

        The heap holds at most one entry that counts for each owner; a deadline that moved later is found out when the
        old entry comes up, so that receiving a packet costs nothing here.
        """
        deadline = owner.deadline()
        if deadline is not None:
            deadline = min(deadline, self.now + _MAX_AHEAD_S)
        if deadline is None or (owner.scheduled_at is not None and owner.scheduled_at <= deadline):
            return
        owner.scheduled_at = deadline
        self._deadline_number += 1
        heapq.heappush(self._deadlines, (deadline, self._deadline_number, owner))

    def _change(self, key: bytes, value: bytes | None) -> None:
        self._changes[key] = value
        if self._wake is not None:
            self._wake()

    def _hand_to_rules(self, publish: Publish) -> None:
        self._for_rules.append(publish)
        if self._wake is not None:
            self._wake()


def _allow(client: ClientContext, action: str, resource: str) -> bool:
    return True
