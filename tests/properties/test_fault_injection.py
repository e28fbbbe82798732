"""Ingestion and fan-out under throttling, lost answers, partial writes and redelivery: it ends as if nothing failed."""

import asyncio
import base64
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from headwater.errors import ServiceError
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.store import Store
from streams.aws.calls import AwsError
from streams.fanout import publish_batch
from streams.ingest import Ingestion, Settings
from streams.items import plain_item
from tests.template.template_file import load_template

START_MS = 1_732_489_762_000
TABLE = "headwater"
THRESHOLD = 80


class Table:
    """The runtime's table with the interface of deployed code."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._store = Store.open(None)
        self._service = DynamoDbService(
            self._store, region="us-east-1", account_id="123456789012", clock=lambda: START_MS / 1000
        )
        properties = load_template()["Resources"]["Table"]["Properties"]
        copied = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        stream = {"StreamEnabled": True, **properties["StreamSpecification"]}
        self.call(
            "CreateTable",
            {"TableName": TABLE, "StreamSpecification": stream, **{name: properties[name] for name in copied}},
        )
        arn = self.call("DescribeTable", {"TableName": TABLE})["Table"]["LatestStreamArn"]
        self._source = self._service.stream_source(arn)

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._loop.run_until_complete(self._service.call(operation, dict(request)))
        except ServiceError as error:
            raise AwsError(error.code, error.message, status=error.status, document=error.fields) from error

    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("Scan", {"TableName": TABLE})["Items"]
        return [plain_item(item) for item in found]

    def changes(self) -> list[dict[str, Any]]:
        """Every change so far that fan-out's filter lets through."""
        bodies = [
            record.body
            for shard in self._source.shards()
            for record in self._source.read(shard.shard_id, None, limit=10_000, max_bytes=100_000_000)
        ]
        return [body for body in bodies if body["dynamodb"]["Keys"]["SK"]["S"].startswith(("STATE", "ALERT#"))]

    def close(self) -> None:
        self._loop.run_until_complete(self._store.close())


class Faulty:
    """Fails calls by a seed: before they did anything, after they did it, or in part."""

    def __init__(self, service: Any, source: random.Random, rate: float) -> None:
        self._service = service
        self._source = source
        self._rate = rate
        self._stuck: list[Any] = []
        self._stuck_calls = 0

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        chance = self._source.random()
        if chance < self._rate / 3:
            raise AwsError("ThrottlingException", "slow down", status=400, document={})
        if operation == "BatchWriteItem" and (self._stuck_calls or chance < self._rate):
            return self._some(request)
        answer: dict[str, Any] = self._service.call(operation, request)
        if chance < self._rate * 2 / 3:
            raise ConnectionResetError("the answer was lost")
        return answer

    def _some(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Leave some puts unprocessed, the same ones until the caller gives up."""
        ((table, puts),) = request["RequestItems"].items()
        if not self._stuck_calls:
            self._stuck = [put for put in puts if self._source.random() < 0.3]
            self._stuck_calls = 5
        self._stuck_calls -= 1
        taken = [put for put in puts if put not in self._stuck]
        if taken:
            self._service.call("BatchWriteItem", {"RequestItems": {table: taken}})
        left = [put for put in puts if put in self._stuck]
        if not left:
            self._stuck_calls = 0
        return {"UnprocessedItems": {table: left} if left else {}}


class Letters:
    """The dead-letter queue."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        self.bodies += [json.loads(entry["MessageBody"]) for entry in request["Entries"]]
        return {"Successful": [], "Failed": []}


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def stream_records(values: list[tuple[int, int | None]]) -> list[dict[str, Any]]:
    """One record for each (device, temperature), in time; None is a payload that never can be telemetry."""
    records = []
    for place, (device, temperature) in enumerate(values):
        payload = {"ts": START_MS - 10_000 + place, "seq": place, "temperature": temperature}
        data = b"?" if temperature is None else json.dumps(payload).encode()
        kinesis = {
            "partitionKey": f"dev-{device}",
            "sequenceNumber": str(1000 + place),
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": START_MS / 1000,
        }
        records.append({"eventID": f"shardId-000000000000:{1000 + place}", "kinesis": kinesis})
    return records


def deliver(ingestion: Ingestion, records: list[dict[str, Any]], source: random.Random) -> None:
    """Hand records over as an event source mapping does, with a redelivery of what succeeded now and then."""
    position = 0
    for _ in range(2000):
        if position >= len(records):
            return
        batch = records[position : position + source.randint(1, 12)]
        try:
            answer, _ = ingestion.take({"Records": batch})
        except (AwsError, ConnectionResetError):
            continue
        failures = answer["batchItemFailures"]
        if failures:
            position = int(failures[0]["itemIdentifier"]) - 1000
        else:
            position += len(batch)
        if source.random() < 0.1:
            position = max(0, position - source.randint(1, 8))
    pytest.fail("the batch never got through")


def expected_alerts(records: list[dict[str, Any]]) -> dict[str, str]:
    """Alert ids and their last status, by following each device alone."""
    alerts: dict[str, str] = {}
    current: dict[str, str | None] = {}
    for record in records:
        payload = json.loads(base64.b64decode(record["kinesis"]["data"]).replace(b"?", b"null"))
        if payload is None:
            continue
        device = record["kinesis"]["partitionKey"]
        is_hot = payload["temperature"] > THRESHOLD
        if is_hot and current.get(device) is None:
            current[device] = f"{payload['ts']:013d}-{payload['seq']}-hot"
            alerts[f"{device} {current[device]}"] = "OPEN"
        elif not is_hot and current.get(device) is not None:
            alerts[f"{device} {current[device]}"] = "RESOLVED"
            current[device] = None
    return alerts


class Subscriber:
    """AppSync with one subscriber, refusing by a seed."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self.events: list[dict[str, Any]] = []

    def __call__(self, body: bytes) -> tuple[int, bytes]:
        chance = self._source.random()
        if chance < 0.1:
            raise ConnectionResetError("gone")
        if chance < 0.15:
            return 503, b""
        data: dict[str, Any] = {}
        errors: list[dict[str, Any]] = []
        for place, fields in enumerate(json.loads(body)["variables"].values()):
            if self._source.random() < 0.1:
                errors.append({"path": [f"m{place}"], "errorType": "X", "message": "no"})
                data[f"m{place}"] = None
            else:
                self.events.append(fields)
                data[f"m{place}"] = {"deviceId": fields["deviceId"]}
        return 200, json.dumps({"data": data, "errors": errors}).encode()


def publish_all(changes: list[dict[str, Any]], subscriber: Subscriber, source: random.Random) -> None:
    position = 0
    for _ in range(2000):
        if position >= len(changes):
            return
        batch = changes[position : position + source.randint(1, 12)]
        report, _ = publish_batch({"Records": batch}, subscriber)
        failures = report["batchItemFailures"]
        if failures:
            sequences = [record["dynamodb"]["SequenceNumber"] for record in changes]
            position = sequences.index(failures[0]["itemIdentifier"])
        else:
            position += len(batch)
    pytest.fail("the changes never got through")


def put_rule(table: Table) -> None:
    rule = {
        "PK": {"S": "TENANT#demo"},
        "SK": {"S": "RULE#hot"},
        "ruleId": {"S": "hot"},
        "name": {"S": "too hot"},
        "reading": {"S": "temperature"},
        "comparison": {"S": "ABOVE"},
        "threshold": {"N": str(THRESHOLD)},
        "severity": {"S": "CRITICAL"},
    }
    table.call("PutItem", {"TableName": TABLE, "Item": rule})


# Seeds, not Hypothesis: its examples are mostly short, and faults need a long run to meet each other.
@pytest.mark.parametrize(("seed", "packs_history"), [(seed, seed % 2 == 1) for seed in range(12)])
def test_nothing_is_lost_doubled_or_out_of_order(
    loop: asyncio.AbstractEventLoop, seed: int, packs_history: bool
) -> None:
    source = random.Random(seed)
    values = [(source.randint(1, 4), source.choice([10, 70, 80, 81, 95, None])) for _ in range(60)]
    table, letters = Table(loop), Letters()
    put_rule(table)
    ingestion = Ingestion(
        Settings(
            table=TABLE, dead_letter_queue_url="q", auto_register=True, retention_s=86_400, packs_history=packs_history
        ),
        Faulty(table, source, 0.3),
        letters,
        clock=lambda: START_MS / 1000,
        sleep=lambda pause_s: None,
        uniform=lambda low, high: low,
    )
    records = stream_records(values)

    deliver(ingestion, records, source)
    subscriber = Subscriber(source)
    publish_all(table.changes(), subscriber, source)
    items = table.items()
    table.close()

    good = [(device, place, value) for place, (device, value) in enumerate(values) if value is not None]
    stored = [item for item in items if item["SK"].startswith("TS#")]
    assert any("pack" in item for item in stored) == packs_history
    history = {
        (item["deviceId"], row["s"], row["r"]["temperature"])
        for item in stored
        for row in item.get("pack") or [{"s": item["seq"], "r": item["readings"]}]
    }
    assert history == {(f"dev-{device}", place, value) for device, place, value in good}
    states = {item["deviceId"]: item["seq"] for item in items if item["SK"] == "STATE" and "seq" in item}
    assert states == {f"dev-{device}": place for device, place, _ in good}
    alerts = [item for item in items if item["SK"].startswith("ALERT#")]
    assert {f"{i['deviceId']} {i['alertId']}": i["status"] for i in alerts} == expected_alerts(records)
    assert all(item["version"] == (1 if item["status"] == "OPEN" else 2) for item in alerts)
    bad = {str(1000 + place) for place, (_, value) in enumerate(values) if value is None}
    assert {letter["sequenceNumber"] for letter in letters.bodies} == bad
    check_events([event for event in subscriber.events if "eventId" in event], states)


def check_events(events: list[dict[str, Any]], states: dict[str, int]) -> None:
    """Dropping what is not above the version it has, a client ends at the state and never goes back."""
    for device_id, seq in states.items():
        version, seen = 0, -1
        for event in events:
            if event["deviceId"] == device_id and event["version"] > version:
                version = event["version"]
                assert event["seq"] > seen
                seen = event["seq"]
        assert seen == seq
