"""Stream handlers as Lambda calls them: environment, connections, calls and logs together."""

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from streams import aggregate, fanout, ingest
from tests.strawberry_api.moto_http import CONTEXT, MotoEndpoint, deployed, forget_clients

NOW_MS = 1_732_489_762_123
DONE: dict[str, Any] = {"batchItemFailures": []}


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoEndpoint]:
    with deployed(monkeypatch) as made:
        yield made


def kinesis_event(*payloads: Any) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventID": f"shardId-000000000000:{place}",
                "kinesis": {
                    "partitionKey": "dev-1",
                    "sequenceNumber": str(place),
                    "data": base64.b64encode(json.dumps(payload).encode()).decode(),
                    "approximateArrivalTimestamp": NOW_MS / 1000,
                },
            }
            for place, payload in enumerate(payloads)
        ]
    }


def change(endpoint: MotoEndpoint) -> dict[str, Any]:
    image = endpoint.item("DEV#dev-1", "STATE")
    return {"Records": [{"dynamodb": {"SequenceNumber": "7", "NewImage": image}}]}


def test_ingestion_writes_a_batch_and_buries_what_never_can_be(endpoint: MotoEndpoint) -> None:
    event = kinesis_event({"ts": NOW_MS, "seq": 1, "t": 1}, {"ts": "x"}, {"ts": NOW_MS + 1, "seq": 2, "t": 2})

    assert ingest.handler(event, CONTEXT) == DONE

    assert endpoint.item("DEV#dev-1", "STATE")["seq"] == {"N": "2"}
    assert [letter["reason"] for letter in endpoint.messages(os.environ["DEAD_LETTER_QUEUE_URL"])] == ["WrongType"]


def test_ingestion_says_where_a_batch_is_to_begin_again(endpoint: MotoEndpoint, monkeypatch: Any) -> None:
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/gone")

    answer = ingest.handler(kinesis_event({"ts": NOW_MS, "seq": 1}, {"ts": "x"}), CONTEXT)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}


def test_aggregation_writes_the_minutes_of_a_window(endpoint: MotoEndpoint) -> None:
    ingest.handler(kinesis_event({"ts": NOW_MS, "seq": 1, "t": 3}), CONTEXT)
    keys = {"PK": {"S": "DEV#dev-1#2024-11-24"}, "SK": {"S": f"TS#{NOW_MS:013d}#{1:016d}"}}
    event = {"Records": [{"dynamodb": {"Keys": keys}}], "isFinalInvokeForWindow": True}

    for _ in range(2):
        assert aggregate.handler(event, CONTEXT) == {"state": {}, **DONE}

    minute = endpoint.item("DEV#dev-1#2024-11", f"MIN#{NOW_MS - NOW_MS % 60_000:013d}")
    assert minute["sampleCount"] == {"N": "1"}
    assert aggregate.handler({"Records": [], "window": {}, "state": {}}, CONTEXT)["state"] == {"touched": {}}


def test_fan_out_publishes_with_its_role_and_reports_what_failed(endpoint: MotoEndpoint) -> None:
    ingest.handler(kinesis_event({"ts": NOW_MS, "seq": 1, "t": 3}), CONTEXT)
    endpoint.answers = [(200, {"data": {"m0": {"deviceId": "dev-1"}}}), (500, {"message": "down"})]

    answers = [fanout.handler(change(endpoint), CONTEXT) for _ in range(2)]

    assert answers == [DONE, {"batchItemFailures": [{"itemIdentifier": "7"}]}]
    assert [(path, body["variables"]["i0"]["seq"]) for path, body in endpoint.posted] == [("/graphql", 1)] * 2


def test_fan_out_that_is_demand_aware_asks_the_table_first(endpoint: MotoEndpoint, monkeypatch: Any) -> None:
    ingest.handler(kinesis_event({"ts": NOW_MS, "seq": 1, "t": 3}), CONTEXT)
    monkeypatch.setenv("DEMAND_AWARE", "true")
    forget_clients()
    endpoint.answers = [(200, {"data": {"m0": {"deviceId": "dev-1"}}})]

    assert fanout.handler(change(endpoint), CONTEXT) == DONE
    assert endpoint.posted == []
    row = {"field": {"S": "onDeviceState"}, "validUntil": {"N": "9999999999"}}
    endpoint.clients["dynamodb"].put_item(
        TableName="headwater", Item={"PK": {"S": "INTEREST#demo"}, "SK": {"S": "onDeviceState"}, **row}
    )
    assert fanout.handler(change(endpoint), CONTEXT) == DONE
    assert len(endpoint.posted) == 1
