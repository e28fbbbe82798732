"""Fixtures: moto's table and dead-letter queue, and ingestion on them with a clock that stands still."""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest

from streams.ingest import Ingestion, Settings
from tests.strawberry_api.moto_aws import REGION, BotoService, create_queue, create_table, in_moto

NOW_S = 1_732_489_762.0


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with in_moto():
        yield


@dataclass
class Backend:
    """Ingestion on moto, and what it left behind."""

    table: str
    queue_url: str
    service: BotoService
    ingestion: Ingestion
    pauses: list[float] = field(default_factory=list)

    def items(self, partition: str) -> list[dict[str, Any]]:
        answer = self.service.call(
            "Query",
            {
                "TableName": self.table,
                "KeyConditionExpression": "PK = :pk",
                "ExpressionAttributeValues": {":pk": {"S": partition}},
            },
        )
        found: list[dict[str, Any]] = answer["Items"]
        return found

    def state(self, device_id: str) -> dict[str, Any]:
        (item,) = [item for item in self.items(f"DEV#{device_id}") if item["SK"]["S"] == "STATE"]
        return item

    def letters(self) -> list[dict[str, Any]]:
        client = boto3.client("sqs", region_name=REGION)
        messages = client.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in messages]


@pytest.fixture
def make_backend(aws: None) -> Callable[..., Backend]:
    def make(
        *,
        auto_register: bool = True,
        packs_history: bool = False,
        wrap: Callable[[Any], Any] = lambda service: service,
    ) -> Backend:
        table = create_table()
        queue_url = create_queue("dead-letters")
        service = BotoService(boto3.client("dynamodb", region_name=REGION))
        pauses: list[float] = []
        ingestion = Ingestion(
            Settings(
                table=table,
                dead_letter_queue_url=queue_url,
                auto_register=auto_register,
                retention_s=86_400,
                packs_history=packs_history,
            ),
            wrap(service),
            BotoService(boto3.client("sqs", region_name=REGION)),
            clock=lambda: NOW_S,
            sleep=pauses.append,
            uniform=lambda low, high: high,
        )
        return Backend(table, queue_url, service, ingestion, pauses)

    return make


@pytest.fixture
def backend(make_backend: Callable[..., Backend]) -> Backend:
    return make_backend()


@pytest.fixture
def kinesis_event() -> Callable[..., dict[str, Any]]:
    """Build an event as the event source mapping sends it: (device id, payload object or bytes) in order."""

    def build(*payloads: tuple[str, Any], arrival_s: float = NOW_S) -> dict[str, Any]:
        records = []
        for place, (device_id, payload) in enumerate(payloads):
            data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            kinesis = {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": device_id,
                "sequenceNumber": str(49590338271490256608559692538361571095921575989136588898 + place),
                "data": base64.b64encode(data).decode(),
                "approximateArrivalTimestamp": arrival_s,
            }
            records.append(
                {
                    "kinesis": kinesis,
                    "eventSource": "aws:kinesis",
                    "eventVersion": "1.0",
                    "eventID": f"shardId-000000000000:{kinesis['sequenceNumber']}",
                    "eventName": "aws:kinesis:record",
                    "invokeIdentityArn": "arn:aws:iam::123456789012:role/ingest",
                    "awsRegion": REGION,
                    "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/telemetry",
                }
            )
        return {"Records": records}

    return build
