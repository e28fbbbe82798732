"""Topic names, topic filters and the trie, against the sections of MQTT 3.1.1 they come from."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.values.topics import (
    TopicError,
    TopicFilterTrie,
    check_filter,
    check_topic,
    filter_matches,
    split_basic_ingest,
    split_share,
)


@pytest.mark.parametrize("topic", ["a", "/", "a//b", "dt/dev 1/telemetry", "$aws/rules/r/1/2/3/4/5/6/7/8", "ü" * 128])
def test_a_topic_within_the_limits_is_accepted(topic: str) -> None:
    check_topic(topic)


@pytest.mark.parametrize(
    "topic",
    ["", "a\0b", "a/+", "a/#", "1/2/3/4/5/6/7/8/9", "x" * 257, "ü" * 129, "\ud800", "$aws/rules//x"],
)
def test_a_topic_outside_the_limits_is_refused(topic: str) -> None:
    with pytest.raises(TopicError):
        check_topic(topic)


@pytest.mark.parametrize("topic_filter", ["#", "+", "a/+/b/#", "/+", "+/+"])
def test_a_filter_with_whole_level_wildcards_is_accepted(topic_filter: str) -> None:
    check_filter(topic_filter)


@pytest.mark.parametrize("topic_filter", ["", "a#", "a/#/b", "a+/b", "#/a", "a/b+", "1/2/3/4/5/6/7/8/#"])
def test_a_filter_with_a_misplaced_wildcard_is_refused(topic_filter: str) -> None:
    with pytest.raises(TopicError):
        check_filter(topic_filter)


def test_a_basic_ingest_topic_is_split_into_rule_and_topic() -> None:
    assert split_basic_ingest("$aws/rules/store/dt/d1") == ("store", "dt/d1")
    assert split_basic_ingest("$aws/rules/store") == ("store", "")
    assert split_basic_ingest("dt/d1") == (None, "dt/d1")


def test_a_shared_subscription_is_split_into_group_and_filter() -> None:
    assert split_share("$share/workers/dt/+") == ("workers", "dt/+")
    assert split_share("dt/+") == (None, "dt/+")
    for wrong in ("$share/workers", "$share//a", "$share/a+/b"):
        with pytest.raises(TopicError):
            split_share(wrong)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("sport/#", "sport/tennis", True),
        ("sport/#", "sport/", True),
        ("sport/#", "sport", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/+", "$SYS/x", True),
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
    ],
)
def test_filters_match_as_the_aws_broker_does(topic_filter: str, topic: str, matches: bool) -> None:
    trie: TopicFilterTrie[int] = TopicFilterTrie()
    trie.add(topic_filter, 1)

    assert trie.match(topic) == ((1,) if matches else ())
    assert filter_matches(topic_filter, topic) is matches


def test_the_standard_profile_lets_a_hash_match_its_parent() -> None:
    trie: TopicFilterTrie[int] = TopicFilterTrie(hash_matches_parent=True)
    trie.add("sport/#", 1)

    assert trie.match("sport") == (1,)
    assert filter_matches("sport/#", "sport", hash_matches_parent=True)


def test_a_removed_value_no_longer_matches_and_leaves_no_branch() -> None:
    trie: TopicFilterTrie[str] = TopicFilterTrie()
    trie.add("a/+/c", "one")
    trie.add("a/b/c", "two")
    assert set(trie.match("a/b/c")) == {"one", "two"}

    assert trie.remove("a/+/c", "one") is True

    assert trie.match("a/b/c") == ("two",)
    assert trie.remove("a/+/c", "one") is False
    assert trie.remove("a/b/c", "two") is True
    assert len(trie) == 0


def test_adding_a_filter_after_a_match_is_seen_by_the_next_match() -> None:
    trie: TopicFilterTrie[str] = TopicFilterTrie()
    assert trie.match("a/b") == ()

    trie.add("a/+", "late")

    assert trie.match("a/b") == ("late",)


LEVEL = st.sampled_from(["a", "b", "", "$x"])
TOPICS = st.lists(LEVEL, min_size=1, max_size=5).map("/".join).filter(bool)
FILTERS = st.tuples(
    st.lists(st.sampled_from(["a", "b", "", "+", "$x"]), max_size=4), st.sampled_from(["#", "+", "a"])
).map(lambda parts: "/".join([*parts[0], parts[1]]))


@settings(deadline=None)
@given(st.lists(FILTERS, max_size=12), TOPICS, st.booleans())
def test_the_trie_finds_exactly_the_filters_that_match_one_by_one(
    filters: list[str], topic: str, hash_matches_parent: bool
) -> None:
    trie: TopicFilterTrie[str] = TopicFilterTrie(hash_matches_parent=hash_matches_parent)
    for topic_filter in filters:
        trie.add(topic_filter, topic_filter)

    expected = {f for f in filters if filter_matches(f, topic, hash_matches_parent=hash_matches_parent)}

    assert set(trie.match(topic)) == expected
