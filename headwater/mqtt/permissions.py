"""What one client may publish, subscribe to and receive: the profile's rules first, then its policies."""

import logging

from headwater.mqtt.codec.packets import MqttProtocolError, ReasonCode, SubscriptionRequest
from headwater.mqtt.ports import Action, Authorize, ClientContext
from headwater.mqtt.profile import Profile
from headwater.values.topics import (
    BASIC_INGEST_PREFIX,
    MAX_TOPIC_BYTES,
    TopicError,
    check_filter,
    check_topic,
    split_basic_ingest,
    split_share,
)

logger = logging.getLogger(__name__)

_KNOWN_TOPICS = 256

Verdict = ReasonCode | tuple[str | None, str]


class Permissions:
    """Answers are remembered for the connection, since a device uses few topics and a policy is slow to evaluate."""

    __slots__ = ("_authorize", "_client", "_profile", "_receivable", "verdicts")

    def __init__(self, client: ClientContext, authorize: Authorize, profile: Profile) -> None:
        self._client = client
        self._authorize = authorize
        self._profile = profile
        self._receivable: dict[str, bool] = {}
        self.verdicts: dict[str, Verdict] = {}

    def forget(self) -> None:
        """Ask for every topic again: the policies have changed."""
        self.verdicts.clear()
        self._receivable.clear()

    def judge_publish(self, topic: str) -> Verdict:
        """Why the client may not publish, or (rule of Basic Ingest or None, topic without its prefix)."""
        verdict = self._judge_publish(topic)
        if len(self.verdicts) >= _KNOWN_TOPICS:
            self.verdicts.clear()
        if len(topic) <= MAX_TOPIC_BYTES:
            self.verdicts[topic] = verdict
        return verdict

    def _judge_publish(self, topic: str) -> Verdict:
        profile = self._profile
        try:
            check_topic(topic, max_bytes=profile.max_topic_bytes, max_levels=profile.max_topic_levels)
        except TopicError:
            return ReasonCode.TOPIC_NAME_INVALID
        is_reserved = topic.startswith("$") and (not topic.startswith("$aws/") or topic.startswith("$aws/events/"))
        if profile.reserves_dollar_topics and is_reserved:
            return ReasonCode.TOPIC_NAME_INVALID
        if not self._allows("Publish", topic):
            return ReasonCode.NOT_AUTHORIZED
        return split_basic_ingest(topic)

    def may_retain(self, topic: str) -> bool:
        return self._allows("RetainPublish", topic)

    def may_receive(self, topic: str) -> bool:
        allowed = self._receivable.get(topic)
        if allowed is None:
            allowed = self._allows("Receive", topic)
            if len(self._receivable) >= _KNOWN_TOPICS:
                self._receivable.clear()
            if len(topic) <= MAX_TOPIC_BYTES:
                self._receivable[topic] = allowed
        return allowed

    def judge_filter(self, request: SubscriptionRequest) -> ReasonCode | None:
        """Why the client may not subscribe, or None.

        Raises: MqttProtocolError for a shared subscription that is no-local (MQTT-3.8.3-4).
        """
        profile = self._profile
        try:
            group, topic_filter = split_share(request.topic_filter)
            check_filter(topic_filter, max_bytes=profile.max_topic_bytes, max_levels=profile.max_topic_levels)
        except TopicError:
            return ReasonCode.TOPIC_FILTER_INVALID
        if group is not None and request.no_local:
            raise MqttProtocolError("a shared subscription may not be no-local", ReasonCode.PROTOCOL_ERROR)
        if topic_filter.startswith(BASIC_INGEST_PREFIX):
            return ReasonCode.NOT_AUTHORIZED
        if profile.reserves_dollar_topics and topic_filter.startswith("$") and not topic_filter.startswith("$aws/"):
            return ReasonCode.TOPIC_FILTER_INVALID
        # A policy is written for the filter, not for the group that shares it.
        return None if self._allows("Subscribe", topic_filter) else ReasonCode.NOT_AUTHORIZED

    def _allows(self, action: Action, resource: str) -> bool:
        """AWS says nothing to the device and little in its logs; here the developer reads why nothing happens."""
        is_allowed = self._authorize(self._client, action, resource)
        if not is_allowed:
            client_id = self._client.client_id
            logger.info("%s is denied iot:%s on %r", client_id, action, resource, extra={"client_id": client_id})
        return is_allowed
