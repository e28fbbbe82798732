"""Dollars per million messages on AWS, counted: `python -m bench.cost`.

The deployed code runs on the runtime's table for some simulated time; every call, capacity unit, request and invocation
is counted and priced (us-east-1, list prices of PRICES_OF, no free tier: look them up before you rely on them). The
naive design is that of public samples: for each message one function, one put and one mutation. IoT messaging and
deliveries to subscribers are listed apart, because both designs pay them alike; a publish costs the same whether
anybody watches or not.

Counted: capacity units (`ReturnConsumedCapacity` of the runtime), calls, publish requests, Kinesis units, invocations.
Assumed: a GraphQL request is one operation however many aliases it has, and the time of calls on AWS (TABLE_CALL_S,
PUBLISH_CALL_S), because it decides how long functions wait.
"""

import argparse
import asyncio
import base64
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.store import Store
from streams.aggregate import aggregate_batch
from streams.fanout import publish_batch
from streams.ingest import Ingestion, Settings
from streams.items import registration
from tests.template.template_file import load_template

PRICES_OF = "2025"
WRITE_UNIT = 0.625 / 1e6
READ_UNIT = 0.125 / 1e6
KINESIS_UNIT = 0.014 / 1e6
SHARD_HOUR = 0.015
INVOCATION = 0.20 / 1e6
GB_SECOND = 0.0000133334
GRAPHQL_REQUEST = 4.0 / 1e6
IOT_MESSAGE = 1.0 / 1e6
IOT_RULE_AND_ACTION = 0.30 / 1e6
DELIVERY = 2.0 / 1e6

TABLE_CALL_S = 0.005
PUBLISH_CALL_S = 0.06
# A function of 512 MB has about three tenths of a core.
CORE_SHARE = 512 / 1769
NAIVE_FUNCTION_S = 0.05
NAIVE_FUNCTION_GB = 0.25
START_MS = 1_732_489_740_000
TABLE = "headwater"


@dataclass
class Bill:
    """What a run used."""

    messages: int = 0
    write_units: float = 0.0
    read_units: float = 0.0
    publish_requests: int = 0
    invocations: int = 0
    gb_seconds: float = 0.0
    shard_hours: float = 0.0
    lines: dict[str, float] = field(default_factory=dict)

    def per_million(self) -> dict[str, float]:
        scale = 1e6 / self.messages
        return {
            "Kinesis": scale * (self.messages * KINESIS_UNIT + self.shard_hours * SHARD_HOUR),
            "DynamoDB writes": scale * self.write_units * WRITE_UNIT,
            "DynamoDB reads": scale * self.read_units * READ_UNIT,
            "Lambda": scale * (self.invocations * INVOCATION + self.gb_seconds * GB_SECOND),
            "AppSync requests": scale * self.publish_requests * GRAPHQL_REQUEST,
        }


class CountingTable:
    """The runtime's table; adds up capacity units and the seconds its calls would take on AWS."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bill: Bill) -> None:
        self._loop = loop
        self._bill = bill
        self.waited_s = 0.0
        self._service = DynamoDbService(
            Store.open(None), region="us-east-1", account_id="123456789012", clock=lambda: START_MS / 1000
        )
        properties = load_template()["Resources"]["Table"]["Properties"]
        copied = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        stream = {"StreamEnabled": True, **properties["StreamSpecification"]}
        self._do(
            "CreateTable", {"TableName": TABLE, "StreamSpecification": stream, **{n: properties[n] for n in copied}}
        )
        arn = self._do("DescribeTable", {"TableName": TABLE})["Table"]["LatestStreamArn"]
        self._source = self._service.stream_source(arn)
        self._after: dict[str, str] = {}

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        self.waited_s += TABLE_CALL_S
        answer = self._do(operation, {**request, "ReturnConsumedCapacity": "TOTAL"})
        used = answer.pop("ConsumedCapacity", [])
        units = sum(each["CapacityUnits"] for each in (used if isinstance(used, list) else [used]))
        if operation in ("BatchGetItem", "GetItem", "Query", "Scan"):
            self._bill.read_units += units
        else:
            self._bill.write_units += units
        return answer

    def register(self, device_id: str) -> None:
        self._do("TransactWriteItems", registration(TABLE, device_id, "acme", now_ms=START_MS, retention_s=10**9))

    def changes(self) -> list[dict[str, Any]]:
        """Take the stream records since the last time."""
        found: list[dict[str, Any]] = []
        for shard in self._source.shards():
            after = self._after.get(shard.shard_id)
            records = self._source.read(shard.shard_id, after, limit=100_000, max_bytes=10**9)
            if records:
                self._after[shard.shard_id] = records[-1].sequence_number
            found += [record.body for record in records]
        return found

    def _do(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._loop.run_until_complete(self._service.call(operation, dict(request)))


class Fleet:
    """Devices that send at one rate, and the functions behind them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, devices: int, rate: float, window_s: float) -> None:
        self.bill = Bill()
        self.table = CountingTable(loop, self.bill)
        self._devices, self._rate, self._window_s = devices, rate, window_s
        self._touched: dict[str, Any] = {}
        settings = Settings(TABLE, "queue", auto_register=False, retention_s=10**9)
        self._ingestion = Ingestion(
            settings, self.table, self.table, clock=time.time, sleep=time.sleep, uniform=lambda low, high: low
        )
        for device in range(devices):
            self.table.register(f"dev-{device:04d}")
        self.table.changes()

    def run(self, seconds: float) -> None:
        position = 0.0
        while position < seconds:
            records = self._records(position)
            for start in range(0, len(records), 1000):
                self._invoke(512, lambda batch=records[start : start + 1000]: self._ingest(batch))
            changes = self.table.changes()
            states = [change for change in changes if change["dynamodb"]["Keys"]["SK"]["S"] == "STATE"]
            history = [change for change in changes if change["dynamodb"]["Keys"]["SK"]["S"].startswith("TS#")]
            for start in range(0, len(states), 500):
                self._invoke(512, lambda batch=states[start : start + 500]: self._publish(batch))
            position += self._window_s
            is_over = int(position) % 60 == 0
            self._invoke(512, lambda over=is_over, batch=history: self._aggregate(batch, over))
        self.bill.shard_hours = seconds / 3600 * max(1.0, self._devices * self._rate / 800)

    def _invoke(self, memory_mb: int, work: Any) -> None:
        waited, used = self.table.waited_s, time.process_time()
        work()
        # The table runs in this process: its time is not the function's, so half of the measured CPU is taken.
        cpu_s = (time.process_time() - used) / 2
        self.bill.invocations += 1
        self.bill.gb_seconds += memory_mb / 1024 * (self.table.waited_s - waited + cpu_s / CORE_SHARE)

    def _ingest(self, records: list[dict[str, Any]]) -> None:
        answer, dead = self._ingestion.take({"Records": records})
        assert (answer, dead) == ({"batchItemFailures": []}, []), (answer, dead[:1])
        self.bill.messages += len(records)

    def _publish(self, changes: list[dict[str, Any]]) -> None:
        def send(body: bytes) -> tuple[int, bytes]:
            self.bill.publish_requests += 1
            self.table.waited_s += PUBLISH_CALL_S
            return 200, json.dumps({"data": {f"m{place}": {} for place in range(25)}}).encode()

        answer, _ = publish_batch({"Records": changes}, send)
        assert answer == {"batchItemFailures": []}

    def _aggregate(self, changes: list[dict[str, Any]], is_over: bool) -> None:
        event = {"Records": changes, "window": {}, "state": self._touched, "isFinalInvokeForWindow": is_over}
        answer, _ = aggregate_batch(event, table=self.table, table_name=TABLE, retention_s=10**9)
        self._touched = answer["state"]

    def _records(self, position: float) -> list[dict[str, Any]]:
        first, last = int(position * self._rate), int((position + self._window_s) * self._rate)
        records = []
        for place in range(first, last):
            for device in range(self._devices):
                ts = START_MS + int(place * 1000 / self._rate)
                payload = {
                    "ts": ts,
                    "seq": place,
                    "temperature": 21.5,
                    "humidity": 40.2,
                    "battery": 93.1,
                    "status": "ok",
                }
                kinesis = {
                    "partitionKey": f"dev-{device:04d}",
                    "sequenceNumber": str(place * self._devices + device),
                    "data": base64.b64encode(json.dumps(payload).encode()).decode(),
                    "approximateArrivalTimestamp": ts / 1000,
                }
                records.append({"eventID": "shardId-000000000000:1", "kinesis": kinesis})
        return records


def naive() -> float:
    """One function, one put, one mutation a message."""
    function = INVOCATION + NAIVE_FUNCTION_S * NAIVE_FUNCTION_GB * GB_SECOND
    return 1e6 * (function + WRITE_UNIT + GRAPHQL_REQUEST)


def report(devices: int, rate: float, seconds: float, window_s: float) -> None:
    loop = asyncio.new_event_loop()
    fleet = Fleet(loop, devices, rate, window_s)
    fleet.run(seconds)
    loop.close()
    lines = fleet.bill.per_million()
    total = sum(lines.values())
    parts = "  ".join(f"{name} {dollars:.2f}" for name, dollars in lines.items())
    sys.stdout.write(
        f"{devices} devices, {rate:g}/s, window {window_s:g} s: ${total:.2f} a million, naive ${naive():.2f}: "
        f"{total / naive():.2f}\n    {parts}\n"
    )


def main() -> None:
    """Price three rates with and without a batch window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    sys.stdout.write(f"us-east-1, list prices of {PRICES_OF}, without IoT messaging and deliveries\n")
    for rate, window_s in ((0.1, 10), (1.0, 1), (10.0, 1)):
        devices = given.devices if rate <= 1 else given.devices // 10
        report(devices, rate, given.seconds, window_s)
    sys.stdout.write(
        f"both designs: IoT messages ${1e6 * IOT_MESSAGE:.2f} (none with Basic Ingest), rule and action "
        f"${1e6 * IOT_RULE_AND_ACTION:.2f} a million; deliveries ${1e6 * DELIVERY:.2f} a million of 5 KB\n"
    )


if __name__ == "__main__":
    main()
