"""Retained messages: the last one of each topic, for whoever subscribes later."""

from collections.abc import Iterator

from headwater.mqtt.ports import Publish
from headwater.values.topics import filter_matches, is_wildcard


class RetainedMessages:
    """The last retained publish of each topic."""

    def __init__(self, *, hash_matches_parent: bool, exact_filters_only: bool) -> None:
        self._messages: dict[str, Publish] = {}
        self._hash_matches_parent = hash_matches_parent
        self._exact_filters_only = exact_filters_only

    def __iter__(self) -> Iterator[Publish]:
        return iter(self._messages.values())

    def get(self, topic: str) -> Publish | None:
        return self._messages.get(topic)

    def put(self, publish: Publish) -> None:
        """Keep a publish, or with an empty payload forget its topic."""
        if publish.payload:
            self._messages[publish.topic] = publish
        else:
            self._messages.pop(publish.topic, None)

    def matching(self, topic_filter: str, now: float) -> list[Publish]:
        """What a new subscription gets. AWS delivers to a filter that equals the topic only."""
        if not is_wildcard(topic_filter):
            exact = self._messages.get(topic_filter)
            found = [exact] if exact is not None else []
        elif self._exact_filters_only:
            return []
        else:
            found = [
                message
                for topic, message in self._messages.items()
                if filter_matches(topic_filter, topic, hash_matches_parent=self._hash_matches_parent)
            ]
        return [message for message in found if message.expires_at is None or message.expires_at > now]
