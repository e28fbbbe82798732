"""A load through the deployed code on the runtime's table, in simulated time: what is paid for is counted.

Counted: capacity units (`ReturnConsumedCapacity` of the runtime), publish requests, deliveries, batches. How a load
falls into batches is AWS's doing, taken from `headwater.plan.arithmetic`: polls, windows, shards of stream and table.
Assumed: how long calls take there (TABLE_CALL_S, PUBLISH_CALL_S), because it decides how long functions wait.
"""

import asyncio
import base64
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from headwater.deploy.loading import load_template
from headwater.plan.arithmetic import TABLE_STREAM_POLL_S, Rates
from headwater.plan.chain import Chain, Reader, read_chain
from headwater.plan.footprint import Publishes
from headwater.plan.load import Load
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.store import Store
from streams.aggregate import aggregate_batch
from streams.fanout import Demand, publish_batch
from streams.ingest import Ingestion, Settings
from streams.items import registration
from tests.template.template_file import ROOT
from tests.template.template_file import load_template as template_body

TABLE_CALL_S, PUBLISH_CALL_S = 0.005, 0.06
# What streams/aws/connection.py has under way at once.
CALLS_AT_A_TIME = 8
FULL_CORE_MB = 1769
START_MS = 1_732_489_740_000
TABLE = "headwater"
# onDeviceState takes as many in `deviceIds`.
DEVICES_OF_A_SUBSCRIPTION = 5
RETENTION_S = 10**9
WINDOW_S = 60
# A record of the table's stream, and the second it was written.
TimedChange = tuple[float, dict[str, Any]]


def chain_of(**parameters: object) -> Chain:
    """The backend's chain with some template parameters."""
    given = {name: str(value) for name, value in parameters.items()}
    return read_chain(load_template(ROOT / "infra" / "template.yaml", given, "us-east-1", None))


class MeteredTable:
    """The runtime's table; adds up capacity units and the seconds its calls would take on AWS."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.write_units, self.read_units, self.waited_s = 0.0, 0.0, 0.0
        self._service = DynamoDbService(
            Store.open(None), region="us-east-1", account_id="123456789012", clock=lambda: START_MS / 1000
        )
        properties = template_body()["Resources"]["Table"]["Properties"]
        copied = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        stream = {"StreamEnabled": True, **properties["StreamSpecification"]}
        wanted = {"TableName": TABLE, "StreamSpecification": stream, **{name: properties[name] for name in copied}}
        self._do("CreateTable", wanted)
        arn = self._do("DescribeTable", {"TableName": TABLE})["Table"]["LatestStreamArn"]
        self._source = self._service.stream_source(arn)
        self._after: dict[str, str] = {}

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        self.waited_s += TABLE_CALL_S
        answer = self._do(operation, {**request, "ReturnConsumedCapacity": "TOTAL"})
        used = answer.pop("ConsumedCapacity", [])
        units = sum(each["CapacityUnits"] for each in (used if isinstance(used, list) else [used]))
        if operation in ("BatchGetItem", "GetItem", "Query", "Scan"):
            self.read_units += units
        else:
            self.write_units += units
        return answer

    def call_each(self, operation: str, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | Exception]:
        before = self.waited_s
        answers: list[dict[str, Any] | Exception] = [self.call(operation, request) for request in requests]
        self.waited_s = before + -(-len(requests) // CALLS_AT_A_TIME) * TABLE_CALL_S
        return answers

    def register(self, device_id: str) -> None:
        self._do("TransactWriteItems", registration(TABLE, device_id, "acme", now_ms=START_MS, retention_s=RETENTION_S))

    def subscribe(self, device_ids: Sequence[str]) -> None:
        """Leave rows as resolvers/recordInterest.js does: of subscriptions to these devices, or to all."""
        for start in range(0, max(1, len(device_ids)), DEVICES_OF_A_SUBSCRIPTION):
            named = device_ids[start : start + DEVICES_OF_A_SUBSCRIPTION]
            scope = "".join(f"#{device_id}" for device_id in named)
            item: dict[str, Any] = {
                "PK": {"S": "INTEREST#acme"},
                "SK": {"S": f"onDeviceState#DEV{scope}" if named else "onDeviceState"},
                "field": {"S": "onDeviceState"},
                "validUntil": {"N": str(int(time.time()) + 86_400)},
            }
            if named:
                item["devices"] = {"L": [{"S": device_id} for device_id in named]}
            self._do("PutItem", {"TableName": TABLE, "Item": item})

    def changes(self) -> list[dict[str, Any]]:
        """Take the stream records since the last time."""
        found: list[dict[str, Any]] = []
        for shard in self._source.shards():
            records = self._source.read(shard.shard_id, self._after.get(shard.shard_id), limit=100_000, max_bytes=10**9)
            if records:
                self._after[shard.shard_id] = records[-1].sequence_number
            found += [record.body for record in records]
        return found

    def _do(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._loop.run_until_complete(self._service.call(operation, dict(request)))


class MeteredFleet:
    """A load on the deployed functions; `run` counts, `per_second` is in the names of the price list."""

    def __init__(self, loop: asyncio.AbstractEventLoop, load: Load, chain: Chain, planned: Rates) -> None:
        self._load, self._chain = load, chain
        self._lanes = planned.shards * planned.parallelization
        self._shards, self._partitions = planned.shards, planned.table_partitions
        self._interval_s = self._lanes / planned.paces[chain.ingest.name].batches_per_s
        self._table = MeteredTable(loop)
        self.messages, self.requests, self.updates, self.deliveries = 0, 0, 0, 0.0
        self.invocations: dict[str, int] = defaultdict(int)
        self.busy_s: dict[str, float] = defaultdict(float)
        self._seconds = 0.0
        self._touched: dict[int, Any] = {}
        settings = Settings(
            TABLE, "queue", auto_register=False, retention_s=RETENTION_S, packs_history=chain_packs(chain)
        )
        self._ingestion = Ingestion(
            settings,
            self._table,
            self._table,
            clock=time.time,
            sleep=time.sleep,
            uniform=lambda low, high: low,
            call_each=self._table.call_each,
        )
        self._devices = [f"dev-{number:05d}" for number in range(load.devices)]
        self._watched = set(self._devices[: round(load.devices * load.watched)])
        for device_id in self._devices:
            self._table.register(device_id)
        publishes = chain_publishes(chain)
        self._demand = Demand(self._table.call_each, TABLE, clock=time.time) if publishes.is_watched_alone else None
        if load.subscribers and load.watched:
            self._table.subscribe([] if load.watched == 1 else sorted(self._watched))
        self._table.changes()

    @property
    def per_second(self) -> dict[str, float]:
        used: dict[str, float] = {
            "kinesis_shard_hours": self._shards * self._seconds / 3600,
            "kinesis_put_units": self.messages,
            "dynamodb_write_units": self._table.write_units,
            "dynamodb_read_units": self._table.read_units,
            "lambda_requests": sum(self.invocations.values()),
            "kinesis_extended_shard_hours": self._shards * self._seconds / 3600,
        }
        for reader in (self._chain.ingest, *self._chain.on_table):
            name = f"lambda_{reader.architecture}_gb_seconds"
            used[name] = used.get(name, 0.0) + self.busy_s[reader.name] * reader.memory_gb
        used["appsync_operations"] = self.requests
        return {name: amount / self._seconds for name, amount in used.items()}

    def run(self, seconds: int) -> None:
        """Send for so many seconds, whole minutes: aggregates are made when a window ends."""
        fanout, aggregate = self._readers_of_changes()
        changed, history = self._ingest_all(seconds)
        for _, records in self._table_batches(fanout, changed):
            self._invoke(fanout, partial(self._publish, records))
        for window in range(seconds // WINDOW_S + 1):
            within = [timed for timed in history if timed[0] // WINDOW_S == window]
            for partition, records in self._table_batches(aggregate, within):
                self._invoke(aggregate, partial(self._aggregate, partition, records, is_over=False))
            for partition in list(self._touched):
                self._invoke(aggregate, partial(self._aggregate, partition, [], is_over=True))
        self._seconds = seconds

    def _ingest_all(self, seconds: int) -> tuple[list[TimedChange], list[TimedChange]]:
        """Ingest everything; the states and the history that were written, each with its time."""
        changed: list[TimedChange] = []
        history: list[TimedChange] = []
        batches = sorted(self._batches(seconds), key=lambda batch: batch[0])
        for starts_s, records in batches:
            took_s = self._invoke(self._chain.ingest, partial(self._ingest, records))
            changes = self._table.changes()
            for place, change in enumerate(changes):
                kind = change["dynamodb"]["Keys"]["SK"]["S"]
                timed = (starts_s + took_s * (place + 1) / len(changes), change)
                if kind == "STATE":
                    changed.append(timed)
                elif kind.startswith("TS#") and change["eventName"] == "INSERT":
                    history.append(timed)
        return changed, history

    def _readers_of_changes(self) -> tuple[Reader, Reader]:
        by_name = {reader.name: reader for reader in self._chain.on_table}
        return by_name["FanoutFunction"], by_name["AggregateFunction"]

    def _batches(self, seconds: int) -> Iterator[tuple[float, list[dict[str, Any]]]]:
        """Start times and records: each lane is read once an interval, the lanes one after the other."""
        by_lane: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for number, device_id in enumerate(self._devices):
            by_lane[_spread(device_id, self._lanes)].append((number, device_id))
        sent: dict[tuple[int, int], list[tuple[float, dict[str, Any]]]] = defaultdict(list)
        for lane, devices in by_lane.items():
            for number, device_id in devices:
                for seq in range(int(seconds * self._load.rate_per_s)):
                    at_s = (seq + number / self._load.devices) / self._load.rate_per_s
                    turn = int(at_s / self._interval_s + lane / self._lanes)
                    sent[lane, turn].append((at_s, self._record(device_id, seq, at_s)))
        for (lane, turn), timed in sent.items():
            records = [record for _, record in sorted(timed, key=lambda one: one[0])]
            starts_s = (turn + 1 - lane / self._lanes) * self._interval_s
            for start in range(0, len(records), self._chain.ingest.batch_size):
                yield starts_s, records[start : start + self._chain.ingest.batch_size]

    def _table_batches(
        self, reader: Reader, timed: Sequence[TimedChange]
    ) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Partition and records of each batch: a partition is read at every poll that finds something."""
        interval_s = max(TABLE_STREAM_POLL_S, reader.window_s)
        groups: dict[tuple[float, int], list[dict[str, Any]]] = defaultdict(list)
        for at_s, change in timed:
            partition = _spread(change["dynamodb"]["Keys"]["PK"]["S"], self._partitions)
            groups[at_s // interval_s, partition].append(change)
        for (_, partition), changes in sorted(groups.items()):
            for start in range(0, len(changes), reader.batch_size):
                yield partition, changes[start : start + reader.batch_size]

    def _invoke(self, reader: Reader, work: Callable[[], None]) -> float:
        """Do the work of one invocation; the seconds it would take on AWS."""
        waited, used = self._table.waited_s, time.process_time()
        work()
        # The table runs in this process: its time is not the function's, so half of the measured CPU is taken.
        cpu_s = (time.process_time() - used) / 2 / (reader.memory_gb * 1024 / FULL_CORE_MB)
        took_s = self._table.waited_s - waited + cpu_s
        self.invocations[reader.name] += 1
        self.busy_s[reader.name] += took_s
        return took_s

    def _ingest(self, records: list[dict[str, Any]]) -> None:
        answer, dead = self._ingestion.take({"Records": records})
        assert (answer, dead) == ({"batchItemFailures": []}, []), (answer, dead[:1])
        self.messages += len(records)

    def _publish(self, changes: list[dict[str, Any]]) -> None:
        def send(body: bytes) -> tuple[int, bytes]:
            self.requests += 1
            self._table.waited_s += PUBLISH_CALL_S
            inputs = json.loads(body)["variables"].values()
            self.updates += len(inputs)
            watched = sum(one["deviceId"] in self._watched for one in inputs)
            self.deliveries += watched * self._load.subscribers
            return 200, json.dumps({"data": {f"m{place}": {} for place in range(25)}}).encode()

        wanted = self._demand.wanted if self._demand else None
        answer, _ = publish_batch({"Records": changes}, send, wanted)
        assert answer == {"batchItemFailures": []}

    def _aggregate(self, partition: int, changes: list[dict[str, Any]], *, is_over: bool) -> None:
        state = self._touched.pop(partition, {})
        event = {"Records": changes, "window": {}, "state": state, "isFinalInvokeForWindow": is_over}
        answer, _ = aggregate_batch(event, table=self._table, table_name=TABLE, retention_s=RETENTION_S)
        if not is_over:
            self._touched[partition] = answer["state"]

    def _record(self, device_id: str, seq: int, at_s: float) -> dict[str, Any]:
        ts = START_MS + int(at_s * 1000)
        kinesis = {
            "partitionKey": device_id,
            "sequenceNumber": f"{ts}{seq:08d}",
            "data": base64.b64encode(payload(ts, seq, self._load.payload_bytes)).decode(),
            "approximateArrivalTimestamp": ts / 1000,
        }
        return {"eventID": "shardId-000000000000:1", "kinesis": kinesis}


def chain_publishes(chain: Chain) -> Publishes:
    (found,) = [reader.footprint.publishes for reader in chain.on_table if reader.footprint.publishes is not None]
    return found


def chain_packs(chain: Chain) -> bool:
    """Whether the chain's parameters put a device's messages into one item."""
    return any(item.together for item in chain.ingest.footprint.writes)


def payload(ts: int, seq: int, size_bytes: int) -> bytes:
    """Telemetry of four readings, and as many more as the size takes. `size_bytes` is at least 110."""
    readings: dict[str, Any] = {"ts": ts, "seq": seq, "temperature": 21.5, "humidity": 40.2, "battery": 93.1}
    status = {"status": "ok"}
    while len(json.dumps({**readings, **status})) + 25 <= size_bytes:
        readings[f"reading{len(readings):04d}"] = 100.5
    padding = size_bytes - len(json.dumps({**readings, **status}))
    return json.dumps({**readings, "status": "ok" + "x" * max(0, padding)}).encode()


def _spread(key: str, count: int) -> int:
    return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest()) % count
