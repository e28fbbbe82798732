"""Publish requests: complete selections, limits, and errors mapped back."""

import json
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType, build_schema, get_named_type, parse, validate

from streams.coalesce import Publish
from streams.fanout import publish_batch
from streams.publish import MAX_EVENT_BYTES, SELECTIONS, failed_publishes, requests
from tests.template.schema_file import schema_text

SCHEMA = build_schema(schema_text())


def state_publish(device_id: str, position: int = 0, **fields: Any) -> Publish:
    state = {
        "deviceId": device_id,
        "tenantId": "acme",
        "siteId": None,
        "version": 1,
        "eventId": "e",
        "time": "2024-11-24T23:09:22.000Z",
        "seq": 1,
        "readings": {"temperature": 1},
        "sampleCount": 1,
        "spans": {"temperature": {"min": 1, "max": 1, "count": 1}, "other": {"min": 1, "max": 1, "count": 1}},
    }
    return Publish("publishDeviceState", device_id, {**state, **fields}, (position,))


def leaves(kind: GraphQLObjectType, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, field in kind.fields.items():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLObjectType):
            found |= leaves(inner, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def selected(selection_set: Any, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for field in selection_set.selections:
        name = prefix + field.name.value
        found |= {name} if field.selection_set is None else selected(field.selection_set, f"{name}.")
    return found


@pytest.mark.parametrize("mutation", SELECTIONS)
def test_the_selection_covers_every_field_a_subscription_can_select(mutation: str) -> None:
    input_type, selection = SELECTIONS[mutation]
    assert SCHEMA.mutation_type is not None
    kind = get_named_type(SCHEMA.mutation_type.fields[mutation].type)
    document = parse(f"mutation M($i: {input_type}!) {{ {mutation}(input: $i) {{ {selection} }} }}")

    assert validate(SCHEMA, document) == []
    assert isinstance(kind, GraphQLObjectType)
    operation: Any = document.definitions[0]
    assert selected(operation.selection_set.selections[0].selection_set) == leaves(kind)


def test_every_publish_mutation_has_a_selection() -> None:
    assert SCHEMA.mutation_type is not None

    assert set(SELECTIONS) == {name for name in SCHEMA.mutation_type.fields if name.startswith("publish")}


def test_publishes_share_a_request_by_alias() -> None:
    (request,) = requests([state_publish("dev-1"), state_publish("dev-2")])

    body = json.loads(request.body)
    assert validate(SCHEMA, parse(body["query"])) == []
    assert body["query"].startswith(
        "mutation Publish($i0:DeviceStateInput!,$i1:DeviceStateInput!){m0:publishDeviceState("
    )
    assert body["variables"]["i1"]["deviceId"] == "dev-2"
    assert body["variables"]["i0"]["readings"] == '{"temperature":1}'
    assert body["variables"]["i0"]["spans"] == {"temperature": {"min": 1, "max": 1, "count": 1}}
    assert body["variables"]["i0"]["summary"] is None


def test_more_than_one_message_has_a_summary_of_every_number() -> None:
    (request,) = requests([state_publish("dev-1", sampleCount=2)])

    assert set(json.loads(json.loads(request.body)["variables"]["i0"]["summary"])) == {"temperature", "other"}


def test_a_device_is_once_in_a_request_and_order_is_kept() -> None:
    packed = requests([state_publish("a"), state_publish("b"), state_publish("a"), state_publish("c")])

    assert [[publish.device_id for publish in request.publishes] for request in packed] == [["a", "b"], ["a", "c"]]


def test_requests_hold_25_aliases_and_240_kb() -> None:
    many = requests([state_publish(f"dev-{n}") for n in range(60)])
    large = requests([state_publish(f"dev-{n}", readings={"text": "x" * 100_000}) for n in range(3)])

    assert [len(request.publishes) for request in many] == [25, 25, 10]
    assert [len(request.publishes) for request in large] == [2, 1]
    assert all(len(request.body) <= MAX_EVENT_BYTES for request in large)


def test_a_state_too_large_for_an_event_leaves_out_its_readings() -> None:
    (request,) = requests([state_publish("dev-1", readings={"text": '"' * 100_000})])

    fields = json.loads(request.body)["variables"]["i0"]
    assert (fields["readings"], fields["summary"]) == (None, None)
    assert fields["spans"]["temperature"]["max"] == 1
    assert len(request.body) < MAX_EVENT_BYTES


def answer(*aliases: str, errors: Any = None) -> bytes:
    return json.dumps({"data": {alias: {"deviceId": "x"} for alias in aliases}, "errors": errors}).encode()


def test_errors_are_failures_of_exactly_the_aliases_they_name() -> None:
    (request,) = requests([state_publish(f"dev-{n}") for n in range(4)])
    errors = [{"path": ["m1", "spans"], "errorType": "X", "message": "one"}, {"path": ["m3"], "message": "three"}]

    failed = failed_publishes(request, 200, answer("m0", "m1", "m2", errors=errors))

    assert [(publish.device_id, reason) for publish, reason in failed] == [
        ("dev-1", "X: one"),
        ("dev-3", "None: three"),
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b'{"errors":[]}'),
        (500, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"data":null,"errors":[{"path":null,"message":"Validation error"}]}'),
        (200, b'{"data":{}}'),
    ],
)
def test_an_answer_that_names_no_alias_is_a_failure_of_all(status: int, body: bytes) -> None:
    (request,) = requests([state_publish("dev-1"), state_publish("dev-2")])

    assert len(failed_publishes(request, status, body)) == 2


def stream_record(device_id: str, sequence: str, version: int, sort: str = "STATE") -> dict[str, Any]:
    image = {
        "PK": {"S": f"DEV#{device_id}"},
        "SK": {"S": sort},
        "deviceId": {"S": device_id},
        "tenantId": {"S": "acme"},
        "version": {"N": str(version)},
        "ts": {"N": "1732489762000"},
        "seq": {"N": "1"},
        "readings": {"M": {}},
        "sampleCount": {"N": "1"},
        "spans": {"M": {}},
        "isConnected": {"BOOL": True},
        "since": {"N": "1732489762000"},
    }
    return {"eventName": "MODIFY", "dynamodb": {"NewImage": image, "SequenceNumber": sequence}}


class AppSync:
    """Answers requests; devices in `refused` get an error."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.seen: list[list[tuple[str, int]]] = []

    def __call__(self, body: bytes) -> tuple[int, bytes]:
        variables = json.loads(body)["variables"]
        self.seen.append([(fields["deviceId"], fields["version"]) for fields in variables.values()])
        bad = [place for place, fields in enumerate(variables.values()) if fields["deviceId"] in self.refused]
        good = [f"m{place}" for place in range(len(variables)) if place not in bad]
        return 200, answer(*good, errors=[{"path": [f"m{place}"], "message": "no"} for place in bad])


def test_a_batch_is_published_and_reports_success() -> None:
    appsync = AppSync()

    report, failures = publish_batch({"Records": [stream_record("a", "11", 1), stream_record("b", "12", 1)]}, appsync)

    assert (report, failures) == ({"batchItemFailures": []}, [])
    assert appsync.seen == [[("a", 1), ("b", 1)]]


def test_a_failed_device_stops_there_and_the_others_go_on() -> None:
    appsync = AppSync("a")
    records = [
        stream_record("b", "10", 1),
        stream_record("a", "11", 1),
        stream_record("a", "12", 2, "PRESENCE"),
        stream_record("b", "13", 2, "PRESENCE"),
    ]

    report, failures = publish_batch({"Records": records}, appsync)

    assert report == {"batchItemFailures": [{"itemIdentifier": "11"}]}
    assert appsync.seen == [[("b", 1), ("a", 1)], [("b", 2)]]
    assert [reason for _, reason in failures] == ["None: no", "an earlier change of the device failed"]


def test_coalesced_records_come_again_from_the_first_of_them() -> None:
    records = [stream_record("a", "11", 1), stream_record("b", "12", 1), stream_record("a", "13", 2)]

    report, _ = publish_batch({"Records": records}, AppSync("a"))

    assert report == {"batchItemFailures": [{"itemIdentifier": "11"}]}


def test_when_appsync_cannot_be_reached_the_rest_is_not_tried() -> None:
    calls = []

    def send(body: bytes) -> tuple[int, bytes]:
        calls.append(body)
        raise ConnectionRefusedError("nobody there")

    report, failures = publish_batch({"Records": [stream_record(f"d{n}", str(n), 1) for n in range(60)]}, send)

    assert len(calls) == 1
    assert len(failures) == 60
    assert report == {"batchItemFailures": [{"itemIdentifier": "0"}]}


def test_an_empty_batch_sends_nothing() -> None:
    appsync = AppSync()

    assert publish_batch({"Records": []}, appsync) == ({"batchItemFailures": []}, [])
    assert appsync.seen == []


def test_the_recorded_table_event_of_another_table_publishes_nothing() -> None:
    path = Path(__file__).parents[1] / "events" / "dynamoStreamEvent.json"
    appsync = AppSync()

    report, failures = publish_batch(json.loads(path.read_text(encoding="utf-8")), appsync)

    assert (report, failures, appsync.seen) == ({"batchItemFailures": []}, [], [])
