"""The runtime killed between any two steps of a batch: nothing is lost, and order holds for each key."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from headwater.eventsource.config import StreamMappingConfig
from headwater.eventsource.ports import FailedBatch
from headwater.eventsource.stream.mapping import StreamMapping
from tests.unit.eventsource.list_source import Answer, ListSource

RECORDS = 12
POISON = 5


class Killed(Exception):
    """The process is gone: whatever it would have done next does not happen."""


@dataclass
class Life:
    """The ports of one run of the runtime, which ends at step `dies_at`; what is durable is shared between lives."""

    dies_at: int
    saved: dict[str, str]
    calls: list[list[int]]
    dead: list[FailedBatch]
    steps: int = 0
    died: asyncio.Event = field(default_factory=asyncio.Event)

    def step(self) -> None:
        self.steps += 1
        if self.steps >= self.dies_at:
            self.died.set()
            raise Killed

    async def invoke(self, function_arn: str, payload: bytes) -> Answer:
        self.step()
        numbers = [int(record["kinesis"]["sequenceNumber"]) for record in json.loads(payload)["Records"]]
        self.calls.append(numbers)
        await asyncio.sleep(0)
        self.step()
        if POISON in numbers:
            return Answer(b"{}", "Unhandled")
        return Answer()

    def load(self, mapping_id: str) -> Mapping[str, str]:
        return dict(self.saved)

    async def save(self, mapping_id: str, shard: str, sequence: str) -> None:
        self.step()
        self.saved[shard] = sequence
        await asyncio.sleep(0)
        self.step()

    async def on_failure(self, failed: FailedBatch) -> None:
        self.step()
        self.dead.append(failed)
        await asyncio.sleep(0)
        self.step()


def is_finished(life: Life) -> bool:
    return life.saved.get("shardId-000000000000") == str(RECORDS)


async def live(life: Life, source: ListSource, **parameters: Any) -> None:
    """Run until the life dies or everything is done."""
    config = StreamMappingConfig(
        "mapping",
        source.arn,
        "arn:f",
        batch_size=4,
        bisect_on_error=True,
        max_retry_attempts=1,
        on_failure="arn:aws:sqs:us-east-1:1:dead",
        **parameters,
    )
    mapping = StreamMapping(
        config, source, life.invoke, life, life.on_failure, clock=lambda: 1000.0, backoff=lambda attempt: 0.0
    )
    try:
        await mapping.start()
    except Killed:
        return
    async with asyncio.timeout(5):
        while not life.died.is_set() and not is_finished(life):
            await asyncio.sleep(0)
    await mapping.stop()


def in_order(numbers: list[int]) -> bool:
    """First deliveries rise; a redelivery may go back, never skip ahead of what was not yet seen."""
    seen = 0
    for number in numbers:
        if number > seen + 1:
            return False
        seen = max(seen, number)
    return seen == RECORDS


@pytest.mark.parametrize("dies_at", range(1, 45))
async def test_killed_anywhere_and_started_again(dies_at: int) -> None:
    source = ListSource()
    for index in range(RECORDS):
        source.put(str(index).encode())
    saved: dict[str, str] = {}
    calls: list[list[int]] = []
    dead: list[FailedBatch] = []

    await live(Life(dies_at, saved, calls, dead), source)
    await live(Life(1_000_000, saved, calls, dead), source)

    delivered = [number for numbers in calls for number in numbers]
    assert in_order(delivered)
    assert {item.document["KinesisBatchInfo"]["startSequenceNumber"] for item in dead} == {str(POISON)}


@pytest.mark.parametrize("dies_at", range(1, 45, 3))
async def test_killed_anywhere_with_lanes(dies_at: int) -> None:
    source = ListSource()
    for index in range(RECORDS):
        source.put(str(index).encode(), key=f"device-{index % 3}")
    saved: dict[str, str] = {}
    calls: list[list[int]] = []
    dead: list[FailedBatch] = []

    await live(Life(dies_at, saved, calls, dead), source, parallelization_factor=3)
    await live(Life(1_000_000, saved, calls, dead), source, parallelization_factor=3)

    for key in range(3):
        expected = [number for number in range(1, RECORDS + 1) if (number - 1) % 3 == key]
        delivered = [number for numbers in calls for number in numbers if number in expected]
        assert list(dict.fromkeys(delivered)) == expected
    assert str(POISON) in {item.document["KinesisBatchInfo"]["startSequenceNumber"] for item in dead}


async def test_fault_of_a_port_restarts_the_shard_from_its_checkpoint() -> None:
    source = ListSource()
    faults = [RuntimeError("a fault that is no service error")]
    seen: list[list[str]] = []

    async def invoke(function_arn: str, payload: bytes) -> Answer:
        seen.append([record["kinesis"]["sequenceNumber"] for record in json.loads(payload)["Records"]])
        if len(seen) == 2 and faults:
            raise faults.pop()
        return Answer()

    life = Life(1_000_000, {}, [], [])
    config = StreamMappingConfig("mapping", source.arn, "arn:f", batch_size=1)
    mapping = StreamMapping(config, source, invoke, life, clock=lambda: 1000.0, backoff=lambda attempt: 0.0)
    source.put(b"1")
    source.put(b"2")

    await mapping.start()
    async with asyncio.timeout(10):
        while len(seen) < 3:
            await asyncio.sleep(0.01)
    await mapping.stop()

    assert seen == [["1"], ["2"], ["2"]]
    assert life.saved["shardId-000000000000"] == "2"


async def test_whole_failure_keeps_the_windows_old_state() -> None:
    source = ListSource()
    states: list[Any] = []

    async def invoke(function_arn: str, payload: bytes) -> Answer:
        event = json.loads(payload)
        states.append(event["state"])
        if len(states) == 1:
            return Answer(b'{"state":{"sum":1},"batchItemFailures":[{"itemIdentifier":"1"}]}')
        return Answer(b'{"state":{"sum":2}}')

    life = Life(1_000_000, {}, [], [])
    config = StreamMappingConfig("mapping", source.arn, "arn:f", tumbling_window_s=60, report_batch_item_failures=True)
    mapping = StreamMapping(config, source, invoke, life, clock=lambda: 1000.0, backoff=lambda attempt: 0.0)
    source.put(b"1")

    await mapping.start()
    async with asyncio.timeout(5):
        while len(states) < 2:
            await asyncio.sleep(0)
    await mapping.stop()

    assert states == [{}, {}]


async def test_long_run_of_refused_records_lets_others_have_the_loop() -> None:
    source = ListSource()
    for _ in range(4000):
        source.put(b'{"kind":"noise"}')
    turns: list[int] = []

    async def invoke(function_arn: str, payload: bytes) -> Answer:
        return Answer()

    life = Life(1_000_000, {}, [], [])
    config = StreamMappingConfig("mapping", source.arn, "arn:f", filters=('{"data":{"kind":["telemetry"]}}',))
    mapping = StreamMapping(config, source, invoke, life, clock=lambda: 1000.0)
    await mapping.start()
    async with asyncio.timeout(10):
        while mapping.counts.filtered < 4000:
            turns.append(mapping.counts.filtered)
            await asyncio.sleep(0)
    await mapping.stop()

    assert any(0 < filtered < 4000 for filtered in turns)
