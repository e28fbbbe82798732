"""Shadow documents by values: merging, metadata, delta, versions, and what is refused."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.shadow import (
    Accepted,
    ShadowError,
    ShadowName,
    check_token,
    delete_shadow,
    get_shadow,
    parse_request_topic,
    parse_update,
    update_shadow,
)
from headwater.shadow.changes import VERSION_OUTLIVES_S
from headwater.shadow.document import Document, difference, merged

NAME = ShadowName("lamp")


def update(stored: Document | None, request: Any, now: float = 100.0) -> Accepted:
    payload = request if isinstance(request, bytes) else json.dumps(request).encode()
    return update_shadow(stored, parse_update(payload), now=now)


def state(**sections: Any) -> dict[str, Any]:
    return {"state": sections}


def refusal(request: Any, stored: Document | None = None) -> tuple[int, str]:
    with pytest.raises(ShadowError) as caught:
        update(stored, request)
    return caught.value.code, caught.value.message


def test_the_accepted_document_holds_what_was_sent() -> None:
    first = update(None, state(reported={"on": True}))

    second = update(first.document, {**state(desired={"color": "red"}), "clientToken": "t"}, now=200.9)

    assert second.answer == {
        "state": {"desired": {"color": "red"}},
        "metadata": {"desired": {"color": {"timestamp": 200}}},
        "version": 2,
        "timestamp": 200,
        "clientToken": "t",
    }


def test_get_shows_both_sections_and_what_differs() -> None:
    stored = update(None, state(desired={"color": "RED", "state": "STOP"}, reported={"color": "GREEN", "engine": "ON"}))

    answer = get_shadow(stored.document, NAME, now=300.0, token="t")

    at = {"timestamp": 100}
    assert answer == {
        "state": {
            "desired": {"color": "RED", "state": "STOP"},
            "reported": {"color": "GREEN", "engine": "ON"},
            "delta": {"color": "RED", "state": "STOP"},
        },
        "metadata": {"desired": {"color": at, "state": at}, "reported": {"color": at, "engine": at}},
        "version": 1,
        "timestamp": 300,
        "clientToken": "t",
    }


def test_the_delta_holds_the_path_to_nested_members_that_differ() -> None:
    desired = {"lights": {"color": {"r": 255, "g": 255, "b": 255}}}
    reported = {"lights": {"color": {"r": 255, "g": 0, "b": 255}}}

    accepted = update(None, {**state(desired=desired, reported=reported), "clientToken": "t"})

    assert accepted.delta == {
        "version": 1,
        "timestamp": 100,
        "state": {"lights": {"color": {"g": 255}}},
        "metadata": {"lights": {"color": {"g": {"timestamp": 100}}}},
        "clientToken": "t",
    }


@pytest.mark.parametrize(
    ("desired", "reported", "expected"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": 1}, {}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1, 2]}),
        ({"a": [1, 2]}, {"a": [1, 2]}, None),
        ({"a": 1}, {"a": 1.0}, None),
        ({"a": 1}, {"a": True}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": 2}}),
        ({}, {"a": 1}, None),
    ],
)
def test_difference(desired: Any, reported: Any, expected: Any) -> None:
    assert difference(desired, reported) == expected


def test_no_delta_is_published_when_nothing_differs() -> None:
    stored = update(None, state(desired={"a": 1})).document

    assert update(stored, state(reported={"a": 1})).delta is None


def test_documents_show_the_shadow_before_and_after() -> None:
    first = update(None, state(reported={"a": 1}))
    second = update(first.document, {**state(reported={"a": 2, "b": 3}), "clientToken": "t"}, now=200.0)

    assert first.documents is not None
    assert first.documents["previous"] == {"state": {}, "metadata": {}, "version": 0}
    assert second.documents == {
        "previous": first.document,
        "current": {
            "state": {"reported": {"a": 2, "b": 3}},
            "metadata": {"reported": {"a": {"timestamp": 200}, "b": {"timestamp": 200}}},
            "version": 2,
        },
        "timestamp": 200,
        "clientToken": "t",
    }


def test_null_removes_a_member_and_its_metadata() -> None:
    stored = update(None, state(reported={"a": 1, "b": {"c": 1, "d": 2}})).document

    after = update(stored, state(reported={"a": None, "b": {"c": None}}), now=200.0).document

    assert after["state"] == {"reported": {"b": {"d": 2}}}
    assert after["metadata"] == {"reported": {"b": {"d": {"timestamp": 100}}}}


def test_a_section_that_is_null_is_removed() -> None:
    stored = update(None, state(reported={"color": "blue"}, desired={"color": "red"})).document

    accepted = update(stored, state(reported={"color": "red"}, desired=None))

    assert accepted.document["state"] == {"reported": {"color": "red"}}
    assert accepted.answer["state"] == {"reported": {"color": "red"}, "desired": None}
    assert "desired" not in accepted.answer["metadata"]


def test_an_array_is_replaced_whole_and_has_metadata_for_each_element() -> None:
    stored = update(None, state(desired={"colors": ["RED", "GREEN", "BLUE"]})).document

    after = update(stored, state(desired={"colors": ["RED"]}), now=200.0).document

    assert after["state"] == {"desired": {"colors": ["RED"]}}
    assert after["metadata"] == {"desired": {"colors": [{"timestamp": 200}]}}


def test_metadata_of_members_that_were_not_sent_keep_their_time() -> None:
    stored = update(None, state(reported={"a": {"b": 1, "c": 1}})).document

    after = update(stored, state(reported={"a": {"b": 2}}), now=200.0).document

    assert after["metadata"]["reported"]["a"] == {"b": {"timestamp": 200}, "c": {"timestamp": 100}}


def test_another_version_is_a_conflict() -> None:
    stored = update(None, state(reported={"a": 1})).document

    assert update(stored, {**state(reported={"a": 2}), "version": 1}).document["version"] == 2
    assert refusal({**state(reported={"a": 2}), "version": 2}, stored) == (409, "Version conflict")
    assert refusal({**state(reported={"a": 2}), "version": 5}) == (409, "Version conflict")


def test_the_version_goes_on_after_a_deletion_for_two_days() -> None:
    stored = update(None, state(reported={"a": 1})).document
    deleted = delete_shadow(stored, NAME, now=100.0, token="t")

    assert deleted.answer == {"version": 1, "timestamp": 100, "clientToken": "t"}
    assert update(deleted.document, state(reported={"a": 1}), now=200.0).document["version"] == 2
    late = 101.0 + VERSION_OUTLIVES_S
    assert update(deleted.document, state(reported={"a": 1}), now=late).document["version"] == 1


@pytest.mark.parametrize("name", [NAME, ShadowName("lamp", "config")])
def test_a_shadow_that_is_not_there_is_named_in_the_error(name: ShadowName) -> None:
    deleted = delete_shadow(update(None, state(reported={"a": 1})).document, name, now=0.0).document

    for stored in (None, deleted):
        with pytest.raises(ShadowError) as caught:
            get_shadow(stored, name, now=0.0)
        assert (caught.value.code, caught.value.message) == (404, f"No shadow exists with name: '{name.text}'")
        with pytest.raises(ShadowError):
            delete_shadow(stored, name, now=0.0)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"k": value}
    return value


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (b"", 400, "Invalid JSON"),
        (b"{", 400, "Invalid JSON"),
        (b"[1]", 400, "Invalid JSON"),
        (b'{"state":{"reported":{"a":NaN}}}', 400, "Invalid JSON"),
        (b'{"state":{"reported":{"a":1e999}}}', 400, "Invalid JSON"),
        (b'{"state":{"reported":{"a":' + b"1" * 5000 + b"}}}", 400, "Invalid JSON"),
        (b"[" * 60_000, 400, "Invalid JSON"),
        (b"\xff", 415, "Unsupported documented encoding; supported encoding is UTF-8"),
        (
            b'{"state":{"reported":{"a":"\\ud800"}}}',
            415,
            "Unsupported documented encoding; supported encoding is UTF-8",
        ),
        ({}, 400, "Missing required node: state"),
        ({"state": []}, 400, "State node must be an object"),
        ({"state": None}, 400, "State node must be an object"),
        (state(desired=[]), 400, "Desired node must be an object"),
        (state(reported=1), 400, "Reported node must be an object"),
        (state(other={}), 400, "State contains an invalid node: 'other'"),
        (state(reported={"a": [None]}), 400, "State contains an invalid node: arrays can't have null values"),
        ({**state(reported={}), "version": "1"}, 400, "Invalid version"),
        ({**state(reported={}), "version": True}, 400, "Invalid version"),
        ({**state(reported={}), "version": -1}, 400, "Invalid version"),
        ({**state(reported={}), "clientToken": 1}, 400, "Invalid clientToken"),
        ({**state(reported={}), "clientToken": "é" * 33}, 400, "Invalid clientToken"),
        (state(reported=nested(9)), 400, "JSON contains too many levels of nesting; maximum is 8"),
        (state(reported={"a": "x" * 9000}), 413, "The payload exceeds the maximum size allowed"),
        (state(reported={"a": "x" * 70_000}), 413, "The payload exceeds the maximum size allowed"),
    ],
)
def test_faulty_updates_are_refused_with_the_service_s_words(request_: Any, code: int, message: str) -> None:
    assert refusal(request_) == (code, message)


def test_eight_levels_and_eight_kilobytes_are_allowed() -> None:
    assert update(None, state(reported=nested(8))).document["version"] == 1
    assert update(None, state(reported={"a": "x" * (8192 - 8)})).document["version"] == 1
    assert refusal(state(reported={"a": "x" * (8192 - 7)}))[0] == 413


def test_the_limit_of_size_is_for_both_sections_together() -> None:
    stored = update(None, state(reported={"a": "x" * 5000})).document

    assert refusal(state(desired={"a": "x" * 5000}), stored)[0] == 413


def test_a_refusal_carries_the_client_token() -> None:
    with pytest.raises(ShadowError) as caught:
        parse_update(b'{"clientToken":"t"}')

    assert caught.value.token == "t"


@pytest.mark.parametrize(
    ("payload", "token"), [(b"", None), (b" ", None), (b"{}", None), (b'{"clientToken":"t"}', "t"), (b"[]", None)]
)
def test_get_and_delete_take_a_token_or_nothing(payload: bytes, token: str | None) -> None:
    assert check_token(payload) == token


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("$aws/things/t/shadow/update", ("t", None, "update")),
        ("$aws/things/t/shadow/get", ("t", None, "get")),
        ("$aws/things/t/shadow/name/s/delete", ("t", "s", "delete")),
        ("$aws/things/t/shadow/name/update", None),
        ("$aws/things/t/shadow/update/accepted", None),
        ("$aws/things/t/shadow/name/s/update/delta", None),
        ("$aws/things/t/jobs/get", None),
        ("a/things/t/shadow/get", None),
    ],
)
def test_requests_are_known_by_their_topics(topic: str, expected: tuple[str, str | None, str] | None) -> None:
    request = parse_request_topic(topic)

    assert (request and (request.name.thing, request.name.shadow, request.verb)) == expected


def test_names_are_held_to_the_service_s_patterns() -> None:
    assert ShadowName("a:b_c-1", "x" * 64).is_valid
    assert not ShadowName("a b").is_valid
    assert not ShadowName("x" * 129).is_valid
    assert not ShadowName("t", "x" * 65).is_valid
    assert not ShadowName("t", "").is_valid


VALUES = st.recursive(
    st.integers() | st.text(max_size=5) | st.booleans(),
    lambda child: st.lists(child, max_size=2) | st.dictionaries(st.text(max_size=3), child, max_size=3),
    max_leaves=6,
)
SECTIONS = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


@given(SECTIONS, SECTIONS)
def test_reporting_the_delta_leaves_no_delta(desired: dict[str, Any], reported: dict[str, Any]) -> None:
    found = difference(desired, reported)

    assert found is None or difference(desired, merged(reported, found)) is None


@given(st.binary(max_size=80))
def test_no_request_fails_otherwise_than_refused(payload: bytes) -> None:
    with contextlib.suppress(ShadowError):
        parse_update(payload)
