"""AppSync's real-time protocol by values: every message and error, and time."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.realtime.connection import (
    MAX_EVENT_BYTES,
    MessageRefused,
    RealtimeConnection,
    RealtimeLimits,
    StartRequested,
    StopRequested,
)

UNSUPPORTED = {
    "type": "error",
    "payload": {
        "errors": [
            {"errorType": "UnsupportedOperation", "message": "unknown not supported through the realtime channel"}
        ]
    },
}


def opened(**limits: Any) -> RealtimeConnection:
    return RealtimeConnection(RealtimeLimits(**limits), now=0.0)


def start(identifier: str = "1", **payload: Any) -> str:
    data = json.dumps({"query": "subscription { onX { id } }", "variables": {"a": 1}})
    body = {"data": data, "extensions": {"authorization": {"X-Api-Key": "da2-x", "host": "h"}}, **payload}
    return json.dumps({"id": identifier, "type": "start", "payload": body})


def requested(connection: RealtimeConnection, identifier: str) -> StartRequested:
    (event,) = connection.receive(start(identifier), 0.0)
    assert isinstance(event, StartRequested)
    return event


def sent(connection: RealtimeConnection) -> list[Any]:
    return [json.loads(text) for text in connection.outgoing()]


def started(connection: RealtimeConnection, *identifiers: str) -> RealtimeConnection:
    for identifier in identifiers:
        connection.start_ack(requested(connection, identifier))
    connection.outgoing()
    return connection


def test_init_is_acknowledged_with_the_timeout_and_a_first_ka() -> None:
    connection = opened()

    assert connection.receive('{"type":"connection_init"}', 0.0) == []
    assert sent(connection) == [
        {"type": "connection_ack", "payload": {"connectionTimeoutMs": 300000}},
        {"type": "ka"},
    ]


def test_a_start_carries_its_query_credentials_and_signed_text() -> None:
    connection = opened()

    events = connection.receive(start("7"), 0.0)

    assert len(events) == 1
    event = events[0]
    assert isinstance(event, StartRequested)
    assert (event.subscription_id, event.query, event.variables) == ("7", "subscription { onX { id } }", {"a": 1})
    assert event.authorization == {"x-api-key": "da2-x", "host": "h"}
    assert json.loads(event.data)["query"] == event.query
    assert sent(connection) == []


def test_start_ack_has_no_payload() -> None:
    connection = opened()
    request = requested(connection, "7")

    connection.start_ack(request)

    assert sent(connection) == [{"id": "7", "type": "start_ack"}]


def test_data_goes_to_acknowledged_subscriptions_only() -> None:
    connection = opened()
    request = requested(connection, "7")

    assert not connection.data("7", '{"data":1}')
    connection.start_ack(request)
    connection.outgoing()
    assert connection.data("7", '{"data":{"onX":{"id":"ä"}}}')
    assert not connection.data("8", '{"data":1}')
    assert sent(connection) == [{"id": "7", "type": "data", "payload": {"data": {"onX": {"id": "ä"}}}}]


def test_an_event_over_240_kb_is_dropped() -> None:
    connection = started(opened(), "1")

    assert connection.data("1", '"' + "x" * (MAX_EVENT_BYTES - 2) + '"')
    assert not connection.data("1", '"' + "x" * (MAX_EVENT_BYTES - 1) + '"')


def test_stop_is_answered_with_complete_and_nothing_follows() -> None:
    connection = started(opened(), "1")

    assert connection.receive('{"type":"stop","id":"1"}', 0.0) == [StopRequested("1")]
    assert sent(connection) == [{"id": "1", "type": "complete"}]
    assert not connection.data("1", "{}")


def test_a_stopped_start_is_never_acknowledged() -> None:
    connection = opened()
    request = requested(connection, "1")
    connection.receive('{"type":"stop","id":"1"}', 0.0)
    again = requested(connection, "1")
    connection.outgoing()

    connection.start_ack(request)
    connection.refuse_start(request, [{"message": "late"}])

    assert sent(connection) == []
    assert connection.is_waiting(again)


def test_a_stopped_id_may_be_used_again() -> None:
    connection = started(opened(), "1")
    connection.receive('{"type":"stop","id":"1"}', 0.0)

    assert len(connection.receive(start("1"), 0.0)) == 1


def test_a_duplicate_id_is_refused_and_the_first_stays() -> None:
    connection = started(opened(), "1")

    assert connection.receive(start("1"), 0.0) == [MessageRefused("start", "Duplicated operation with id")]
    assert sent(connection) == [
        {
            "type": "error",
            "id": "1",
            "payload": {
                "errors": [{"errorType": "DuplicatedOperationError", "message": "Duplicated operation with id 1"}]
            },
        }
    ]
    assert connection.data("1", "{}")


def test_a_connection_has_at_most_its_number_of_subscriptions() -> None:
    connection = started(opened(max_subscriptions=2), "1", "2")

    refused = MessageRefused("start", "Max number of 2 subscriptions reached")
    assert connection.receive(start("3"), 0.0) == [refused]
    assert sent(connection) == [
        {
            "type": "error",
            "id": "3",
            "payload": {
                "errors": {
                    "errorType": "MaxSubscriptionsReachedError",
                    "message": "Max number of 2 subscriptions reached",
                }
            },
        }
    ]


@pytest.mark.parametrize("is_object", [False, True])
def test_too_many_starts_a_second_are_refused_without_an_id(is_object: bool) -> None:
    connection = opened(max_starts_per_s=2, uses_object_errors=is_object)
    events = [connection.receive(start(str(i)), 5.5) for i in range(3)]
    later = connection.receive(start("9"), 6.0)

    error = {"errorType": "LimitExceededError", "message": "Rate limit exceeded"}
    is_refused = [isinstance(event, MessageRefused) for found in (*events, later) for event in found]
    assert is_refused == [False, False, True, False]
    assert not connection.has_exceeded_rate
    assert sent(connection) == [{"type": "error", "payload": {"errors": error if is_object else [error]}}]


@pytest.mark.parametrize("extensions", [None, {}, {"authorization": None}, {"authorization": {}}])
def test_a_start_without_credentials_is_refused(extensions: Any) -> None:
    connection = opened()

    refused = MessageRefused("start", "Valid authorization header not provided.")
    assert connection.receive(start("1", extensions=extensions), 0.0) == [refused]
    assert sent(connection) == [
        {
            "type": "error",
            "id": "1",
            "payload": {
                "errors": [
                    {"errorType": "UnauthorizedException", "message": "Valid authorization header not provided."}
                ]
            },
        }
    ]


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("", "message", "no JSON object"),
        ("no json", "message", "no JSON object"),
        ("[]", "message", "no JSON object"),
        ("null", "message", "no JSON object"),
        ('"start"', "message", "no JSON object"),
        ("{}", "message", "of type connection_init, start or stop"),
        ('{"type":5}', "message", "of type connection_init, start or stop"),
        ('{"type":[]}', "message", "of type connection_init, start or stop"),
        ('{"type":"connection_terminate"}', "message", "of type connection_init, start or stop"),
        ('{"type":"subscribe","id":"1","payload":{"query":"x"}}', "message", "graphql-transport-ws"),
        ('{"type":"ping"}', "message", "graphql-transport-ws"),
        ('{"type":"start"}', "start", "an id"),
        ('{"type":"start","id":"1"}', "start", "payload.data"),
        ('{"type":"start","id":1,"payload":{"data":"{}"}}', "start", "an id"),
        ('{"type":"start","id":"1","payload":{"query":"subscription { onX }"}}', "start", "payload.data"),
        ('{"type":"start","id":"1","payload":{"data":{"query":"x"}}}', "start", "as JSON text in payload.data"),
        ('{"type":"start","id":"1","payload":{"data":"no json"}}', "start", "as JSON text in payload.data"),
        ('{"type":"start","id":"1","payload":{"data":"{\\"query\\":5}"}}', "start", "with query and variables"),
        (
            '{"type":"start","id":"1","payload":{"data":"{\\"query\\":\\"x\\",\\"variables\\":[]}"}}',
            "start",
            "variables",
        ),
        ('{"type":"stop"}', "stop", "the id of a subscription"),
    ],
)
def test_what_is_no_message_is_answered_with_an_error_without_id(text: str, kind: str, reason: str) -> None:
    connection = opened()

    (refused,) = connection.receive(text, 0.0)

    assert isinstance(refused, MessageRefused)
    assert refused.kind == kind
    assert reason in refused.reason
    assert sent(connection) == [UNSUPPORTED]
    assert len(connection.receive(start("1"), 0.0)) == 1


def test_a_refused_start_carries_its_errors() -> None:
    connection = opened()
    request = requested(connection, "1")
    errors = [{"message": "Variable 'deleted' has coerced Null value for NonNull type 'Boolean!'"}]

    connection.refuse_start(request, errors)

    assert sent(connection) == [{"type": "error", "id": "1", "payload": {"errors": errors}}]
    assert len(connection.receive(start("1"), 0.0)) == 1


def test_an_operation_that_is_no_subscription_is_refused_without_an_id() -> None:
    connection = opened()
    request = requested(connection, "1")

    connection.refuse_start(request, [{"errorType": "UnsupportedOperation", "message": "whatever"}])

    assert sent(connection) == [UNSUPPORTED]


def test_a_subscription_the_server_ends_is_completed() -> None:
    connection = started(opened(), "1")

    connection.complete("1")
    connection.complete("1")

    assert sent(connection) == [{"id": "1", "type": "complete"}]


def test_a_refused_connection_is_told_why_and_closed() -> None:
    connection = opened()
    errors = [{"errorType": "UnauthorizedException", "message": "You are not authorized.", "errorCode": 401}]

    connection.refuse_connection(errors)

    assert sent(connection) == [{"type": "connection_error", "payload": {"errors": errors}}]
    assert connection.closing == (1000, "")
    assert connection.receive(start("1"), 0.0) == []


def test_ka_is_sent_at_least_once_a_minute() -> None:
    connection = opened()
    connection.receive('{"type":"connection_init"}', 10.0)
    connection.outgoing()

    beats = []
    for _ in range(3):
        due = connection.next_timeout()
        assert due is not None
        connection.tick(due - 0.1)
        assert sent(connection) == []
        connection.tick(due)
        beats.append(due)
        assert sent(connection) == [{"type": "ka"}]

    assert [later - earlier <= 60 for earlier, later in zip([10.0, *beats], beats, strict=False)] == [True] * 3


def test_ka_is_sent_to_a_client_that_never_said_init() -> None:
    connection = opened()

    connection.tick(59.0)

    assert sent(connection) == [{"type": "ka"}]


def test_a_connection_that_says_nothing_is_closed() -> None:
    connection = opened(init_timeout_s=15.0)
    assert connection.next_timeout() == 15.0

    connection.tick(15.0)

    assert connection.closing is not None
    assert connection.next_timeout() is None


def test_a_connection_is_closed_after_24_hours() -> None:
    connection = started(opened(), "1")

    connection.tick(24 * 3600.0 - 1)
    assert connection.closing is None
    connection.tick(24 * 3600.0)

    assert connection.closing == (1001, "connections last at most 24 hours")
    assert not connection.data("1", "{}")


def test_an_init_sent_again_is_acknowledged_again() -> None:
    connection = opened()

    connection.receive('{"type":"connection_init"}', 0.0)
    connection.receive('{"type":"connection_init","payload":{}}', 0.0)

    assert [message["type"] for message in sent(connection)] == ["connection_ack", "ka"] * 2


def test_a_client_that_starts_too_fast_is_served_and_noted_where_rates_are_only_observed() -> None:
    connection = opened(max_starts_per_s=1, enforces_rates=False)

    events = [event for name in ("a", "b") for event in connection.receive(start(name), 0.0)]

    assert len(events) == 2
    assert connection.has_exceeded_rate


TEXTS = st.sampled_from(
    ['"a"', '"\\u0041\\n"', '"\\ud800"', '""', '"\x01"', '"é😀"', "1e999", "1", "null", "[]", "{}", "nul"]
)
DATA = st.sampled_from(
    ['{"query":"q"}', '{"query":"q","variables":{"a":[1]},"operationName":"n"}', '{"query":1}', "{", "[]"]
)
CREDENTIALS = st.one_of(
    TEXTS,
    st.lists(st.tuples(st.sampled_from(["host", "Host", "X-Api-Key", "\u212a"]), TEXTS), max_size=3).map(
        lambda pairs: "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in pairs) + "}"
    ),
)


@given(TEXTS, st.one_of(DATA.map(json.dumps), TEXTS), CREDENTIALS, st.sampled_from(["", " ", ",", "x", '"id":"b",']))
def test_a_start_is_read_the_same_whether_or_not_it_has_members_of_no_meaning(
    identifier: str, data: str, credentials: str, more: str
) -> None:
    payload = f'{{"data":{data},"extensions":{{"authorization":{credentials}}}}}'
    members = f'{more}"id":{identifier},"type":"start","payload":{payload}}}'
    usual, odd = opened(), opened()

    found, expected = usual.receive("{" + members, 0.0), odd.receive('{"x":0,' + members, 0.0)

    assert [*map(members_of, found)] == [*map(members_of, expected)]
    assert usual.outgoing() == odd.outgoing()


def members_of(event: StartRequested | StopRequested | MessageRefused) -> tuple[Any, ...]:
    if isinstance(event, MessageRefused):
        return event.kind, event.reason
    assert isinstance(event, StartRequested)
    return event.subscription_id, event.query, event.variables, event.operation_name, event.data, event.authorization


def test_members_of_no_meaning_are_bounded_too() -> None:
    connection = opened()

    connection.receive(start()[:-1] + ',"x":' + "[" * 300 + "]" * 300 + "}", 0.0)

    assert sent(connection) == [UNSUPPORTED]
