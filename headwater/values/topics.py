"""MQTT topic names and topic filters: their rules, and a trie that finds every filter matching a topic in one walk."""

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_TOPIC_BYTES = 256
MAX_TOPIC_LEVELS = 8
BASIC_INGEST_PREFIX = "$aws/rules/"
SHARE_PREFIX = "$share/"
# Requests to services whose answers are for the client that asked, and for nobody else who may subscribe.
PRIVATE_PREFIXES = ("$aws/certificates/", "$aws/provisioning-templates/")

_CACHED_TOPICS = 16_384


class TopicError(ValueError):
    """A topic name or filter that may not be used; the message names the value and the rule it breaks."""


def check_topic(topic: str, *, max_bytes: int = MAX_TOPIC_BYTES, max_levels: int = MAX_TOPIC_LEVELS) -> None:
    """Raise TopicError unless `topic` is a topic name a client may publish to.

    At most `max_bytes` of UTF-8 and `max_levels` levels; the three levels `$aws/rules/<rule>` do not count.
    Source: MQTT 3.1.1 section 4.7.3; AWS IoT Core quotas, "Topic length" and "Maximum number of slashes".
    """
    _check_text(topic, max_bytes)
    if "+" in topic or "#" in topic:
        raise TopicError(f"topic {topic!r} holds a wildcard; only filters may")
    _check_levels(topic, max_levels)


def check_filter(topic_filter: str, *, max_bytes: int = MAX_TOPIC_BYTES, max_levels: int = MAX_TOPIC_LEVELS) -> None:
    """Raise TopicError unless `topic_filter` (without a `$share/<group>/` prefix) may be subscribed to."""
    _check_text(topic_filter, max_bytes)
    levels = topic_filter.split("/")
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index != len(levels) - 1):
            raise TopicError(f"topic filter {topic_filter!r}: '#' must be the whole last level")
        if "+" in level and level != "+":
            raise TopicError(f"topic filter {topic_filter!r}: '+' must be a whole level")
    _check_levels(topic_filter, max_levels)


def is_wildcard(topic_filter: str) -> bool:
    """Whether the filter can match more than the one topic it spells."""
    return "+" in topic_filter or "#" in topic_filter


def split_share(topic_filter: str) -> tuple[str | None, str]:
    """`$share/<group>/<filter>` as (group, filter); any other filter as (None, filter).

    Raises: TopicError for an empty group or filter, or a group with a wildcard.
    Source: MQTT 5 section 4.8.2.
    """
    if not topic_filter.startswith(SHARE_PREFIX):
        return None, topic_filter
    group, _, rest = topic_filter[len(SHARE_PREFIX) :].partition("/")
    if not group or not rest or is_wildcard(group):
        raise TopicError(f"shared subscription {topic_filter!r} is not $share/<group>/<filter>")
    return group, rest


def split_basic_ingest(topic: str) -> tuple[str | None, str]:
    """`$aws/rules/<rule>/<topic>` as (rule, topic); any other topic as (None, topic).

    The topic is empty when the publish named the rule alone.
    """
    if not topic.startswith(BASIC_INGEST_PREFIX):
        return None, topic
    rule, _, rest = topic[len(BASIC_INGEST_PREFIX) :].partition("/")
    return rule, rest


def filter_matches(topic_filter: str, topic: str, *, hash_matches_parent: bool = False) -> bool:
    """Whether one filter matches one topic; use TopicFilterTrie for many filters."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    wanted = topic_filter.split("/")
    levels = topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return len(levels) > index or (hash_matches_parent and len(levels) == index)
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(levels) == len(wanted)


class _Node(Generic[T]):
    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.values: dict[T, None] = {}


class TopicFilterTrie(Generic[T]):
    """Topic filters with hashable values; `match` visits only the branches a topic can take.

    `hash_matches_parent` is the specification's rule that `a/#` also matches `a`; AWS IoT Core does not follow it.
    Source: MQTT 3.1.1 section 4.7; AWS IoT developer guide, "AWS IoT differences from MQTT specifications".
    """

    def __init__(self, *, hash_matches_parent: bool = False) -> None:
        self._root: _Node[T] = _Node()
        self._hash_matches_parent = hash_matches_parent
        self._size = 0
        # A fleet publishes to the same topics again and again; any change of a filter empties the cache.
        self._matched: dict[str, tuple[T, ...]] = {}

    def __len__(self) -> int:
        return self._size

    def add(self, topic_filter: str, value: T) -> bool:
        """Store `value` under a checked filter; false if it was already there."""
        node = self._root
        for level in topic_filter.split("/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        if value in node.values:
            return False
        node.values[value] = None
        self._size += 1
        self._matched.clear()
        return True

    def remove(self, topic_filter: str, value: T) -> bool:
        """Take one value out, and the branches that only it needed; false if it was not there."""
        path: list[tuple[_Node[T], str]] = []
        node = self._root
        for level in topic_filter.split("/"):
            child = node.children.get(level)
            if child is None:
                return False
            path.append((node, level))
            node = child
        if value not in node.values:
            return False
        del node.values[value]
        self._size -= 1
        self._matched.clear()
        for parent, level in reversed(path):
            child = parent.children[level]
            if child.values or child.children:
                break
            del parent.children[level]
        return True

    def match(self, topic: str) -> tuple[T, ...]:
        """Every value whose filter matches; a value stored under two matching filters comes once."""
        found = self._matched.get(topic)
        if found is None:
            found = tuple(dict.fromkeys(self._walk(topic)))
            if len(self._matched) >= _CACHED_TOPICS:
                self._matched.clear()
            if len(topic) <= MAX_TOPIC_BYTES:  # longer ones could fill the memory
                self._matched[topic] = found
        return found

    def _walk(self, topic: str) -> Iterator[T]:
        levels = topic.split("/")
        # A wildcard in the first level does not match topics that begin with '$' (section 4.7.2).
        may_wild = not topic.startswith("$")
        nodes = [self._root]
        for level in levels:
            below: list[_Node[T]] = []
            for node in nodes:
                children = node.children
                if may_wild:
                    if (rest := children.get("#")) is not None:
                        yield from rest.values
                    if (single := children.get("+")) is not None:
                        below.append(single)
                if (exact := children.get(level)) is not None:
                    below.append(exact)
            may_wild = True
            nodes = below
            if not nodes:
                return
        for node in nodes:
            yield from node.values
            if self._hash_matches_parent and (rest := node.children.get("#")) is not None:
                yield from rest.values


def _check_text(text: str, max_bytes: int) -> None:
    if not text:
        raise TopicError("a topic may not be empty")
    if "\0" in text:
        raise TopicError(f"topic {text!r} holds U+0000")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise TopicError(f"topic {text!r} is not valid UTF-8") from error
    if size > max_bytes:
        raise TopicError(f"topic of {size} bytes is longer than {max_bytes} bytes: {text[:64]!r}...")


def _check_levels(topic: str, max_levels: int) -> None:
    rule, rest = split_basic_ingest(topic)
    if rule is not None and not rule:
        raise TopicError(f"topic {topic!r} names no rule after {BASIC_INGEST_PREFIX!r}")
    levels = rest.count("/") + 1
    if levels > max_levels:
        raise TopicError(f"topic {topic!r} has {levels} levels, more than {max_levels}")
