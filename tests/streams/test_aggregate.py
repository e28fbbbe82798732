"""Aggregates by minute: whatever repeats, fails or comes late, they are the sums of history."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from streams.aggregate import aggregate_batch
from streams.aws.calls import AwsError
from streams.history import history_item, packed_item, packs
from streams.items import plain_item
from streams.minutes import MINUTE_MS, runs_of, touched_minutes
from streams.record import Telemetry
from tests.streams.conftest import Backend

START_MS = 1_732_489_740_000  # 2024-11-24T23:09:00Z
WINDOW = {"window": {"start": "2024-11-24T23:09:00Z", "end": "2024-11-24T23:10:00Z"}, "shardId": "shard-1"}


def telemetry(offset_ms: int, seq: int, device_id: str = "dev-1", **readings: Any) -> Telemetry:
    return Telemetry(device_id, START_MS + offset_ms, seq, readings)


def store(backend: Backend, *records: Telemetry, tenant: str = "acme") -> list[dict[str, Any]]:
    """Put history and build the stream records of it."""
    stream = []
    for record in records:
        item = history_item(record, tenant, 86_400)
        backend.service.call("PutItem", {"TableName": backend.table, "Item": item})
        stream.append({"eventName": "INSERT", "dynamodb": {"Keys": {"PK": item["PK"], "SK": item["SK"]}}})
    return stream


def store_packed(backend: Backend, *records: Telemetry) -> list[dict[str, Any]]:
    """Put history as ingestion packs a batch."""
    stream = []
    for device_id in sorted({record.device_id for record in records}):
        once = {record.order: record for record in records if record.device_id == device_id}
        for pack in packs(once.values()):
            item = packed_item(pack, "acme", 86_400)
            backend.service.call("PutItem", {"TableName": backend.table, "Item": item})
            stream.append({"eventName": "INSERT", "dynamodb": {"Keys": {"PK": item["PK"], "SK": item["SK"]}}})
    return stream


def run(backend: Backend, event: dict[str, Any], service: Any = None) -> tuple[dict[str, Any], int]:
    return aggregate_batch(event, table=service or backend.service, table_name=backend.table, retention_s=400 * 86_400)


def close_window(backend: Backend, records: list[dict[str, Any]]) -> int:
    answer, _ = run(backend, {**WINDOW, "Records": records, "state": {}, "isFinalInvokeForWindow": False})
    _, written = run(backend, {**WINDOW, "Records": [], "state": answer["state"], "isFinalInvokeForWindow": True})
    return written


def minutes(backend: Backend, device_id: str = "dev-1") -> list[dict[str, Any]]:
    return [plain_item(item) for item in backend.items(f"DEV#{device_id}#2024-11")]


def test_a_window_sums_up_the_minutes_it_touched_when_it_ends(backend: Backend) -> None:
    records = store(
        backend,
        telemetry(0, 1, temperature=10, status="ok"),
        telemetry(30_000, 2, temperature=20.5),
        telemetry(MINUTE_MS, 3, temperature=7, power=1),
    )

    assert close_window(backend, records) == 2

    first, second = minutes(backend)
    assert (first["SK"], first["tenantId"], first["sampleCount"]) == (f"MIN#{START_MS:013d}", "acme", 2)
    assert first["readings"] == {"temperature": {"min": 10, "max": 20.5, "sum": 30.5, "count": 2}}
    assert set(second["readings"]) == {"temperature", "power"}
    assert first["ttl"] == START_MS // 1000 + 400 * 86_400


def test_nothing_is_written_while_the_window_is_open(backend: Backend) -> None:
    records = store(backend, telemetry(0, 1, t=1))

    answer, written = run(backend, {**WINDOW, "Records": records, "state": {}, "isFinalInvokeForWindow": False})

    assert (answer, written) == ({"state": {"touched": {"dev-1": [START_MS // 60_000]}}, "batchItemFailures": []}, 0)
    assert minutes(backend) == []


def test_a_window_that_ends_early_is_summed_up_at_once(backend: Backend) -> None:
    records = store(backend, telemetry(0, 1, t=1))

    answer, written = run(backend, {**WINDOW, "Records": records, "state": {}, "isWindowTerminatedEarly": True})

    assert (answer["state"], written) == ({}, 1)


def test_redelivered_and_late_telemetry_end_in_the_sums_of_history(backend: Backend) -> None:
    early = store(backend, telemetry(0, 1, t=1), telemetry(2, 3, t=3))
    close_window(backend, early)
    late = store(backend, telemetry(1, 2, t=2))

    close_window(backend, late)
    close_window(backend, early + late + early)

    (minute,) = minutes(backend)
    assert minute["sampleCount"] == 3
    assert minute["readings"] == {"t": {"min": 1, "max": 3, "sum": 6, "count": 3}}


def test_a_repetition_that_finds_less_history_changes_nothing(backend: Backend) -> None:
    records = store(backend, telemetry(0, 1, t=1), telemetry(1, 2, t=2))
    close_window(backend, records)
    keys = records[0]["dynamodb"]["Keys"]
    backend.service.call("DeleteItem", {"TableName": backend.table, "Key": keys})

    close_window(backend, records)

    (minute,) = minutes(backend)
    assert minute["sampleCount"] == 2


def test_a_device_that_changed_hands_has_the_new_owners_sums(backend: Backend) -> None:
    before = store(backend, telemetry(0, 1, t=1), telemetry(1, 2, t=1), telemetry(2, 3, t=1))
    close_window(backend, before)
    after = store(backend, telemetry(3, 4, t=9), tenant="other")

    close_window(backend, after)

    (minute,) = minutes(backend)
    assert (minute["tenantId"], minute["sampleCount"], minute["readings"]["t"]["sum"]) == ("other", 1, 9)


def test_a_failure_comes_again_with_the_same_state(backend: Backend) -> None:
    class Throttled:
        def call(self, operation: str, request: Any) -> dict[str, Any]:
            raise AwsError("ThrottlingException", "slow down", status=400, document={})

    records = store(backend, telemetry(0, 1, t=1))
    event = {**WINDOW, "Records": records, "state": {}, "isFinalInvokeForWindow": True}

    with pytest.raises(AwsError, match="Throttling"):
        run(backend, event, Throttled())

    assert run(backend, event)[1] == 1


def test_a_pack_over_the_end_of_a_minute_counts_in_both_and_doubles_nothing(backend: Backend) -> None:
    sent = [telemetry(MINUTE_MS + offset, offset + 5, t=offset) for offset in range(-5, 5)]

    records = store_packed(backend, *sent) + store_packed(backend, *sent[:7]) + store(backend, sent[2])

    assert len(records) == 3
    assert close_window(backend, records) == 2
    assert [(minute["sampleCount"], minute["readings"]["t"]["sum"]) for minute in minutes(backend)] == [
        (5, -15),
        (5, 10),
    ]


@pytest.mark.parametrize("laid_out", [store, store_packed])
@pytest.mark.parametrize("seed", range(2))
def test_any_batching_gives_the_sums_of_history(
    make_backend: Callable[..., Backend], seed: int, laid_out: Callable[..., list[dict[str, Any]]]
) -> None:
    source = random.Random(seed)
    backend = make_backend()
    sent = [
        telemetry(source.randrange(0, 5 * MINUTE_MS), seq, f"dev-{source.randrange(3)}", t=source.randrange(100))
        for seq in range(60)
    ]
    order = sent + source.sample(sent, 10)
    source.shuffle(order)

    while order:
        batch, order = order[: source.randint(1, 9)], order[9:]
        close_window(backend, laid_out(backend, *batch))
    # What a cut batch left out comes last.
    close_window(backend, laid_out(backend, *sent))

    expected: dict[tuple[str, int], list[int]] = {}
    for record in sent:
        expected.setdefault((record.device_id, record.ts // 60_000), []).append(int(record.readings["t"] or 0))
    found = {
        (item["deviceId"], item["ts"] // 60_000): item["readings"]["t"]
        for device in range(3)
        for item in minutes(backend, f"dev-{device}")
    }
    assert found == {
        key: {"min": min(values), "max": max(values), "sum": sum(values), "count": len(values)}
        for key, values in expected.items()
    }


def test_neighbouring_minutes_are_one_query_within_a_day() -> None:
    day = 1440

    assert runs_of([5, 3, 4, 9, 3]) == [(3, 5), (9, 9)]
    assert runs_of([day - 1, day, day + 1]) == [(day - 1, day - 1), (day, day + 1)]


def test_keys_of_other_items_touch_nothing() -> None:
    keys = [{"PK": {"S": "DEV#dev-1"}, "SK": {"S": "STATE"}}]

    assert touched_minutes(keys, {}) == {}
