"""Ingestion on moto's table and queue: what a batch leaves behind, and what comes again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from streams import ingest
from streams.aws.calls import AwsError
from streams.items import plain, plain_item, state_key
from tests.strawberry_api.moto_aws import REGION, stream_event

NOW_MS = 1_732_489_762_000
Event = Callable[..., dict[str, Any]]
SUCCESS: dict[str, list[Any]] = {"batchItemFailures": []}


def test_a_batch_becomes_history_and_the_newest_state(backend: Any, kinesis_event: Event) -> None:
    event = kinesis_event(
        ("dev-1", {"ts": NOW_MS - 2000, "seq": 1, "temperature": 20.5, "status": "ok"}),
        ("dev-2", {"ts": NOW_MS - 1500, "seq": 7, "temperature": 3}),
        ("dev-1", {"ts": NOW_MS - 1000, "seq": 2, "temperature": 22.25, "isOpen": True, "note": None}),
    )

    answer, dead = backend.ingestion.take(event)

    assert (answer, dead) == (SUCCESS, [])
    history = [plain_item(item) for item in backend.items("DEV#dev-1#2024-11-24")]
    assert [(item["seq"], item["readings"]) for item in history] == [
        (1, {"temperature": 20.5, "status": "ok"}),
        (2, {"temperature": 22.25, "isOpen": True, "note": None}),
    ]
    assert history[0]["SK"] == "TS#1732489760000#0000000000000001"
    assert history[0]["ttl"] == 1732489760 + 86_400
    state = plain_item(backend.state("dev-1"))
    assert (state["tenantId"], state["version"], state["ts"], state["seq"]) == ("demo", 1, NOW_MS - 1000, 2)
    assert state["spans"] == {"temperature": {"min": 20.5, "max": 22.25, "count": 2}}
    assert state["sampleCount"] == 2
    assert plain_item(backend.state("dev-2"))["spans"] == {}


def test_a_redelivered_batch_changes_nothing_and_emits_nothing(backend: Any, kinesis_event: Event) -> None:
    event = kinesis_event(
        ("dev-1", {"ts": NOW_MS - 2000, "seq": 1, "temperature": 99}),
        ("dev-1", {"ts": NOW_MS - 1000, "seq": 2, "temperature": 22}),
    )
    backend.ingestion.take(event)
    before = (backend.items("DEV#dev-1"), backend.items("DEV#dev-1#2024-11-24"))
    changes = len(stream_event(backend.table)["Records"])

    answer, _ = backend.ingestion.take(event)

    assert answer == SUCCESS
    assert (backend.items("DEV#dev-1"), backend.items("DEV#dev-1#2024-11-24")) == before
    assert len(stream_event(backend.table)["Records"]) == changes


def test_stale_telemetry_goes_to_history_and_never_wins(backend: Any, kinesis_event: Event) -> None:
    backend.ingestion.take(kinesis_event(("dev-1", {"ts": NOW_MS, "seq": 5, "temperature": 1})))

    backend.ingestion.take(
        kinesis_event(
            ("dev-1", {"ts": NOW_MS - 10, "seq": 9, "temperature": 2}),
            ("dev-1", {"ts": NOW_MS, "seq": 4, "temperature": 3}),
        )
    )

    assert plain_item(backend.state("dev-1"))["readings"] == {"temperature": 1}
    assert len(backend.items("DEV#dev-1#2024-11-24")) == 3


def test_a_concurrent_newer_state_is_kept_by_the_condition(make_backend: Any, kinesis_event: Event) -> None:
    class Overtaken:
        """Lets another writer store a newer state between the read and the update."""

        def __init__(self, service: Any) -> None:
            self.service = service

        def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
            if operation == "UpdateItem" and request["Key"]["SK"]["S"] == "STATE":
                values = {":ts": {"N": str(NOW_MS + 1)}, ":seq": {"N": "3"}, ":name": {"S": "other"}}
                newer = {**request, "UpdateExpression": "SET #ts = :ts, seq = :seq, writer = :name"}
                newer = {k: v for k, v in newer.items() if k in ("TableName", "Key", "UpdateExpression")}
                self.service.call(
                    "UpdateItem",
                    {**newer, "ExpressionAttributeValues": values, "ExpressionAttributeNames": {"#ts": "ts"}},
                )
            answer: dict[str, Any] = self.service.call(operation, request)
            return answer

    backend = make_backend(wrap=Overtaken)

    answer, _ = backend.ingestion.take(kinesis_event(("dev-1", {"ts": NOW_MS, "seq": 1, "temperature": 1})))

    assert answer == SUCCESS
    assert backend.state("dev-1")["writer"] == {"S": "other"}
    assert "readings" not in backend.state("dev-1")


def test_what_never_can_be_telemetry_is_a_dead_letter_with_its_reason(backend: Any, kinesis_event: Event) -> None:
    event = kinesis_event(
        ("dev-1", b"{not json"),
        ("dev-1", {"ts": "soon", "seq": 1}),
        ("dev-1", {"ts": NOW_MS + 5 * 60_000 + 1, "seq": 1}),
        ("dev-1", {"ts": NOW_MS - 86_400_000, "seq": 1}),
        ("dev-1", {"ts": NOW_MS, "seq": 1, "temperature": 20}),
    )

    answer, dead = backend.ingestion.take(event)

    assert answer == SUCCESS
    assert [letter.reason for letter in dead] == ["MalformedJson", "WrongType", "ClockAhead", "TooOld"]
    letters = backend.letters()
    assert [letter["reason"] for letter in letters] == ["MalformedJson", "WrongType", "ClockAhead", "TooOld"]
    assert letters[0]["deviceId"] == "dev-1"
    assert letters[0]["sequenceNumber"] == event["Records"][0]["kinesis"]["sequenceNumber"]
    assert letters[0]["data"] == event["Records"][0]["kinesis"]["data"]
    assert plain_item(backend.state("dev-1"))["readings"] == {"temperature": 20}


def test_an_unknown_device_is_a_dead_letter_unless_devices_register_themselves(
    make_backend: Any, kinesis_event: Event
) -> None:
    backend = make_backend(auto_register=False)

    answer, dead = backend.ingestion.take(kinesis_event(("ghost", {"ts": NOW_MS, "seq": 1})))

    assert answer == SUCCESS
    assert [(letter.reason, letter.detail) for letter in dead] == [
        ("UnknownDevice", "device 'ghost' is not registered")
    ]
    assert backend.items("DEV#ghost") == []


def test_packed_history_is_one_item_for_a_devices_part_of_a_batch(make_backend: Any, kinesis_event: Event) -> None:
    backend = make_backend(packs_history=True)
    payloads = [
        ("dev-1", {"ts": NOW_MS - 3, "seq": 3, "t": 3}),
        ("dev-2", {"ts": NOW_MS - 3, "seq": 1, "t": 1}),
        ("dev-1", {"ts": NOW_MS - 5, "seq": 2, "t": 2}),
        ("dev-1", {"ts": NOW_MS - 3, "seq": 3, "t": 3}),
        ("dev-1", {"ts": NOW_MS - 60_000, "seq": 1, "t": 1}),
    ]

    for _ in range(2):
        assert backend.ingestion.take(kinesis_event(*payloads)) == (SUCCESS, [])

    history = [plain_item(item) for item in backend.items("DEV#dev-1#2024-11-24")]
    assert [(item["seq"], item["schemaVersion"]) for item in history] == [(1, 1), (3, 2)]
    assert history[1]["pack"] == [
        {"t": NOW_MS - 5, "s": 2, "r": {"t": 2}},
        {"t": NOW_MS - 3, "s": 3, "r": {"t": 3}},
    ]
    assert [item["readings"] for item in map(plain_item, backend.items("DEV#dev-2#2024-11-24"))] == [{"t": 1}]
    assert plain_item(backend.state("dev-1"))["sampleCount"] == 3


def test_a_pack_the_table_did_not_take_fails_all_its_records(make_backend: Any, kinesis_event: Event) -> None:
    class Full:
        def __init__(self, service: Any) -> None:
            self.service = service

        def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
            if operation == "BatchWriteItem":
                ((table, puts),) = request["RequestItems"].items()
                packed = [put for put in puts if "pack" in put["PutRequest"]["Item"]]
                return {"UnprocessedItems": {table: packed}}
            answer: dict[str, Any] = self.service.call(operation, request)
            return answer

    backend = make_backend(packs_history=True, wrap=Full)
    event = kinesis_event(
        ("dev-2", {"ts": NOW_MS, "seq": 1}), ("dev-1", {"ts": NOW_MS, "seq": 1}), ("dev-1", {"ts": NOW_MS, "seq": 2})
    )

    answer, _ = backend.ingestion.take(event)

    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["kinesis"]["sequenceNumber"]}]}
    assert "seq" not in backend.state("dev-1")


def test_records_the_table_did_not_take_come_again_from_the_first_one(make_backend: Any, kinesis_event: Event) -> None:
    class Refusing:
        """Leaves the puts of seq 2 unprocessed."""

        def __init__(self, service: Any) -> None:
            self.service = service
            self.is_refusing = True

        def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
            if operation != "BatchWriteItem" or not self.is_refusing:
                answer: dict[str, Any] = self.service.call(operation, request)
                return answer
            ((table, puts),) = request["RequestItems"].items()
            refused = [put for put in puts if put["PutRequest"]["Item"]["seq"] == {"N": "2"}]
            taken = [put for put in puts if put not in refused]
            if taken:
                self.service.call("BatchWriteItem", {"RequestItems": {table: taken}})
            return {"UnprocessedItems": {table: refused} if refused else {}}

    wrapped: list[Refusing] = []

    def wrap(service: Any) -> Refusing:
        wrapped.append(Refusing(service))
        return wrapped[0]

    backend = make_backend(wrap=wrap)
    event = kinesis_event(
        ("dev-2", {"ts": NOW_MS - 3, "seq": 1, "t": 1}),
        ("dev-1", {"ts": NOW_MS - 3, "seq": 1, "t": 1}),
        ("dev-1", {"ts": NOW_MS - 2, "seq": 2, "t": 2}),
        ("dev-1", {"ts": NOW_MS - 1, "seq": 3, "t": 3}),
    )

    answer, _ = backend.ingestion.take(event)

    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][2]["kinesis"]["sequenceNumber"]}]}
    assert plain_item(backend.state("dev-1"))["seq"] == 1
    assert plain_item(backend.state("dev-2"))["seq"] == 1
    assert len(backend.pauses) == 5
    wrapped[0].is_refusing = False
    answer, _ = backend.ingestion.take({"Records": event["Records"][2:]})
    assert answer == SUCCESS
    assert plain_item(backend.state("dev-1"))["seq"] == 3


def test_a_throttled_state_brings_its_device_again_and_no_other(make_backend: Any, kinesis_event: Event) -> None:
    class Throttled:
        def __init__(self, service: Any) -> None:
            self.service = service

        def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
            if operation == "UpdateItem" and request["Key"] == state_key("dev-2"):
                raise AwsError("ThrottlingException", "slow down", status=400, document={})
            answer: dict[str, Any] = self.service.call(operation, request)
            return answer

    backend = make_backend(wrap=Throttled)
    event = kinesis_event(*[(f"dev-{n}", {"ts": NOW_MS, "seq": 1, "t": n}) for n in (1, 2, 3)])

    answer, _ = backend.ingestion.take(event)

    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["kinesis"]["sequenceNumber"]}]}
    assert plain_item(backend.state("dev-3"))["readings"] == {"t": 3}


def test_a_removed_device_is_not_brought_back_by_late_telemetry(backend: Any, kinesis_event: Event) -> None:
    backend.ingestion.take(kinesis_event(("dev-1", {"ts": NOW_MS - 5, "seq": 1, "t": 1})))
    backend.service.call(
        "UpdateItem",
        {
            "TableName": backend.table,
            "Key": {"PK": {"S": "DEV#dev-1"}, "SK": {"S": "STATE"}},
            "UpdateExpression": "SET removedAt = :at",
            "ExpressionAttributeValues": {":at": {"N": str(NOW_MS)}},
        },
    )

    answer, dead = backend.ingestion.take(kinesis_event(("dev-1", {"ts": NOW_MS, "seq": 2, "t": 1})))

    assert answer == SUCCESS
    assert [letter.reason for letter in dead] == ["DeviceRemoved"]


def test_readings_past_a_rule_raise_one_alert_and_coming_back_resolves_it(backend: Any, kinesis_event: Event) -> None:
    put_rule(backend)
    backend.ingestion.take(
        kinesis_event(
            ("dev-1", {"ts": NOW_MS - 4, "seq": 1, "temperature": 79}),
            ("dev-1", {"ts": NOW_MS - 3, "seq": 2, "temperature": 80.5}),
            ("dev-1", {"ts": NOW_MS - 2, "seq": 3, "temperature": 90}),
        )
    )
    (alert,) = [plain_item(item) for item in backend.items("DEV#dev-1") if item["SK"]["S"].startswith("ALERT#")]
    assert (alert["status"], alert["value"], alert["openedAt"]) == ("OPEN", 80.5, NOW_MS - 3)
    assert plain(backend.state("dev-1")["alerting"]) == {"hot": alert["alertId"]}

    backend.ingestion.take(kinesis_event(("dev-1", {"ts": NOW_MS - 1, "seq": 4, "temperature": 70})))

    (alert,) = [plain_item(item) for item in backend.items("DEV#dev-1") if item["SK"]["S"].startswith("ALERT#")]
    assert (alert["status"], alert["resolvedAt"], alert["version"]) == ("RESOLVED", NOW_MS - 1, 2)
    assert "GSI2PK" not in alert
    assert plain(backend.state("dev-1")["alerting"]) == {}


def test_a_redelivery_does_not_undo_an_acknowledgement(backend: Any, kinesis_event: Event) -> None:
    put_rule(backend)
    event = kinesis_event(("dev-1", {"ts": NOW_MS, "seq": 1, "temperature": 90}))
    backend.ingestion.take(event)
    (alert,) = [item for item in backend.items("DEV#dev-1") if item["SK"]["S"].startswith("ALERT#")]
    client = boto3.client("dynamodb", region_name=REGION)
    client.put_item(TableName=backend.table, Item={**alert, "status": {"S": "ACKNOWLEDGED"}})
    # The state was lost, so that the alert is decided again.
    client.update_item(
        TableName=backend.table,
        Key={"PK": {"S": "DEV#dev-1"}, "SK": {"S": "STATE"}},
        UpdateExpression="REMOVE #ts, seq, alerting",
        ExpressionAttributeNames={"#ts": "ts"},
    )

    answer, _ = backend.ingestion.take(event)

    assert answer == SUCCESS
    (again,) = [item for item in backend.items("DEV#dev-1") if item["SK"]["S"].startswith("ALERT#")]
    assert again["status"] == {"S": "ACKNOWLEDGED"}


def test_dead_letters_the_queue_did_not_take_come_again(backend: Any, kinesis_event: Event) -> None:
    boto3.client("sqs", region_name=REGION).delete_queue(QueueUrl=backend.queue_url)
    event = kinesis_event(("dev-1", {"ts": NOW_MS, "seq": 1, "t": 1}), ("dev-1", b"?"))

    answer, _ = backend.ingestion.take(event)

    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["kinesis"]["sequenceNumber"]}]}


def test_the_recorded_kinesis_event_is_understood_and_its_text_is_a_dead_letter(backend: Any) -> None:
    event = json.loads((Path(__file__).parents[1] / "events" / "kinesisStreamEvent.json").read_text())

    answer, dead = backend.ingestion.take(event)

    assert answer == SUCCESS
    assert [letter.reason for letter in dead] == ["MalformedJson"] * len(event["Records"])


def put_rule(backend: Any) -> None:
    rule = {
        "PK": {"S": "TENANT#demo"},
        "SK": {"S": "RULE#hot"},
        "ruleId": {"S": "hot"},
        "name": {"S": "too hot"},
        "reading": {"S": "temperature"},
        "comparison": {"S": "ABOVE"},
        "threshold": {"N": "80"},
        "severity": {"S": "CRITICAL"},
    }
    backend.service.call("PutItem", {"TableName": backend.table, "Item": rule})


VARIABLES = ("TABLE_NAME", "DEAD_LETTER_QUEUE_URL", "AUTO_REGISTER", "RETENTION_DAYS", "PACK_HISTORY")


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_missing_environment_variable_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest._ingestion.cache_clear()
    monkeypatch.setenv("AWS_REGION", REGION)
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv(variable)

    with pytest.raises(RuntimeError, match=f"environment variable {variable} is missing"):
        ingest.handler({"Records": []}, None)
