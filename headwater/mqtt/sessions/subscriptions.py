"""Flow 1/8: who gets a publish: subscriptions, and groups that share one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from headwater.values.topics import MAX_TOPIC_BYTES, PRIVATE_PREFIXES, TopicFilterTrie, split_share

if TYPE_CHECKING:
    from headwater.mqtt.sessions.session import Session

_CACHED_ROUTES = 16_384


@dataclass(slots=True, eq=False)
class Subscription:
    """One session's filter; subscribing again changes the options in place. `topic_filter` keeps `$share/<group>/`."""

    session: "Session"
    topic_filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    identifier: int | None = None


class SharedGroup:
    """The members of `$share/<group>/<filter>`, of whom one gets each publish, in turn."""

    __slots__ = ("_turn", "members")

    def __init__(self) -> None:
        self.members: dict[Session, Subscription] = {}
        self._turn = 0

    def pick(self) -> Subscription | None:
        """The next member that can take a publish now; if none can, the next member at all."""
        members = list(self.members.values())
        if not members:
            return None
        self._turn += 1
        start = self._turn % len(members)
        rotated = members[start:] + members[:start]
        for subscription in rotated:
            if subscription.session.is_ready:
                return subscription
        return rotated[0]


class Target(msgspec.Struct, frozen=True, gc=False):
    """One session that gets a publish once, whatever number of its filters match (MQTT 5 section 3.3.4)."""

    session: "Session"
    qos: int
    no_local: bool
    retain_as_published: bool
    identifiers: tuple[int, ...]


class SubscriptionTable:
    """All subscriptions of the broker, and for each topic the sessions that get it."""

    def __init__(self, *, hash_matches_parent: bool) -> None:
        self._trie: TopicFilterTrie[Subscription | SharedGroup] = TopicFilterTrie(
            hash_matches_parent=hash_matches_parent
        )
        self._groups: dict[str, SharedGroup] = {}
        self._routes: dict[str, tuple[Target | SharedGroup, ...]] = {}

    def add(self, subscription: Subscription) -> None:
        """Add a subscription, or take over the changed options of one that is in the table."""
        group_name, topic_filter = split_share(subscription.topic_filter)
        if group_name is None:
            self._trie.add(topic_filter, subscription)
        else:
            group = self._groups.get(subscription.topic_filter)
            if group is None:
                group = self._groups[subscription.topic_filter] = SharedGroup()
                self._trie.add(topic_filter, group)
            group.members[subscription.session] = subscription
        self._routes.clear()

    def remove(self, subscription: Subscription) -> None:
        group_name, topic_filter = split_share(subscription.topic_filter)
        if group_name is None:
            self._trie.remove(topic_filter, subscription)
        elif (group := self._groups.get(subscription.topic_filter)) is not None:
            group.members.pop(subscription.session, None)
            if not group.members:
                del self._groups[subscription.topic_filter]
                self._trie.remove(topic_filter, group)
        self._routes.clear()

    def targets(self, topic: str) -> tuple[Target | SharedGroup, ...]:
        """Each session once, and each shared group; kept per topic until any subscription changes."""
        route = self._routes.get(topic)
        if route is None:
            route = () if topic.startswith(PRIVATE_PREFIXES) else self._merge(self._trie.match(topic))
            if len(self._routes) >= _CACHED_ROUTES:
                self._routes.clear()
            if len(topic) <= MAX_TOPIC_BYTES:
                self._routes[topic] = route
        return route

    def _merge(self, matched: tuple[Subscription | SharedGroup, ...]) -> tuple[Target | SharedGroup, ...]:
        groups: list[Target | SharedGroup] = []
        by_session: dict[Session, list[Subscription]] = {}
        for value in matched:
            if isinstance(value, SharedGroup):
                groups.append(value)
            else:
                by_session.setdefault(value.session, []).append(value)
        return (*(_target(session, found) for session, found in by_session.items()), *groups)


def _target(session: "Session", found: list[Subscription]) -> Target:
    return Target(
        session,
        max(s.qos for s in found),
        all(s.no_local for s in found),
        any(s.retain_as_published for s in found),
        tuple(s.identifier for s in found if s.identifier is not None),
    )
