"""Full batches, as the template's event source mappings hand them over, within the functions' time and memory."""

import json
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from streams.aws.connection import _LANES
from streams.fanout import publish_batch
from streams.ingest import Ingestion, Settings
from tests.template.template_file import load_template

PARAMETERS = load_template()["Parameters"]
TEMPLATE = load_template()["Resources"]
NOW_S = 1_732_489_762.0
# One AWS call, unkindly: DynamoDB answers in 3 to 6 ms, a publish mutation of 25 fields in 60 to 90 ms.
TABLE_CALL_S = 0.02
PUBLISH_S = 0.5
# What the interpreter and the imports take before the first batch.
IDLE_MB = 90


def mapping_of(logical_id: str) -> dict[str, Any]:
    (event,) = TEMPLATE[logical_id]["Properties"]["Events"].values()
    properties: dict[str, Any] = event["Properties"]
    return properties


class CountingTable:
    """Answers every call as a table in which each device is registered, and counts how often it is waited for."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        self.calls += 1
        if operation != "BatchGetItem":
            return {}
        keys = request["RequestItems"]["headwater"]["Keys"]
        return {"Responses": {"headwater": [{**key, "tenantId": {"S": "acme"}} for key in keys]}}

    def call_each(self, operation: str, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | Exception]:
        self.calls += -(-len(requests) // _LANES)
        return [{} for _ in requests]


def take(event: Mapping[str, Any]) -> CountingTable:
    table = CountingTable()
    settings = Settings("headwater", "https://queue", auto_register=False, retention_s=86_400)
    ingestion = Ingestion(
        settings,
        table,
        table,
        clock=lambda: NOW_S,
        sleep=lambda _: None,
        uniform=lambda low, high: high,
        call_each=table.call_each,
    )
    answer, dead = ingestion.take(event)
    assert (answer, dead) == ({"batchItemFailures": []}, [])
    return table


def peak_mb(work: Callable[[], Any]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bound", ["Default", "MaxValue"])
def test_a_full_ingestion_batch_of_as_many_devices_ends_within_half_the_timeout(
    kinesis_event: Callable[..., dict[str, Any]], bound: str
) -> None:
    size = PARAMETERS[mapping_of("IngestFunction")["BatchSize"]["Ref"]][bound]
    event = kinesis_event(*((f"dev-{i}", {"ts": 1_732_489_760_000, "seq": i, "t": 1.5}) for i in range(size)))

    table = take(event)

    assert table.calls * TABLE_CALL_S < TEMPLATE["IngestFunction"]["Properties"]["Timeout"] / 2


def test_the_largest_event_lambda_takes_fits_into_the_memory_of_ingestion(
    kinesis_event: Callable[..., dict[str, Any]],
) -> None:
    readings = {f"reading-{place:03d}": place + 0.125 for place in range(190)}
    payload = {"ts": 1_732_489_760_000, "seq": 1, **readings}
    count = 6_000_000 // (len(json.dumps(payload)) * 4 // 3)
    event = kinesis_event(*((f"dev-{i}", payload) for i in range(min(count, 1000))))

    used = peak_mb(lambda: take(event))

    assert used + IDLE_MB < TEMPLATE["IngestFunction"]["Properties"]["MemorySize"]


@pytest.mark.parametrize("readings", [1, 190])
def test_a_full_fan_out_batch_ends_within_time_and_memory(readings: int) -> None:
    size = mapping_of("FanoutFunction")["BatchSize"]
    image = {
        "deviceId": {"S": "dev"},
        "tenantId": {"S": "acme"},
        "SK": {"S": "STATE"},
        "ts": {"N": "1732489760000"},
        "seq": {"N": "1"},
        "version": {"N": "2"},
        "sampleCount": {"N": "1"},
        "spans": {"M": {}},
        "readings": {"M": {f"reading-{place:03d}": {"N": "1.5"} for place in range(readings)}},
    }
    records = [
        {"dynamodb": {"SequenceNumber": str(place), "NewImage": {**image, "deviceId": {"S": f"dev-{place}"}}}}
        for place in range(size)
    ]
    sent: list[int] = []

    def send(body: bytes) -> tuple[int, bytes]:
        sent.append(len(body))
        return 200, json.dumps({"data": {f"m{place}": {} for place in range(25)}}).encode()

    used = peak_mb(lambda: publish_batch({"Records": records}, send))

    properties = TEMPLATE["FanoutFunction"]["Properties"]
    assert len(sent) * PUBLISH_S < properties["Timeout"] / 2
    assert used + IDLE_MB < properties["MemorySize"]
