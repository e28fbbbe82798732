"""A whole mapping over a stream in lists: positions, lanes, destinations, shard lineage, restart."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from headwater.errors import ServiceError
from headwater.eventsource.config import StreamMappingConfig
from headwater.eventsource.stream.mapping import StreamMapping
from tests.unit.eventsource.list_source import Answer, Function, KeptCheckpoints, KeptFailures, ListSource

SHARD = "shardId-000000000000"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:ingest"


@dataclass
class Recorder:
    """A function that keeps its events and answers as it is told."""

    answer: Callable[[dict[str, Any]], Answer | Awaitable[Answer]] = lambda event: Answer()
    events: list[dict[str, Any]] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, function_arn: str, payload: bytes) -> Answer:
        event = json.loads(payload)
        self.events.append(event)
        self.called.set()
        result = self.answer(event)
        return result if isinstance(result, Answer) else await result

    def sequence_numbers(self) -> list[str]:
        return [number for batch in self.batches() for number in batch]

    def batches(self) -> list[list[str]]:
        return [[r["kinesis"]["sequenceNumber"] for r in event["Records"]] for event in self.events]


def mapping_of(
    source: ListSource,
    function: Function,
    *,
    checkpoints: KeptCheckpoints | None = None,
    failures: KeptFailures | None = None,
    clock: Callable[[], float] = lambda: 1000.0,
    **parameters: Any,
) -> StreamMapping:
    config = StreamMappingConfig("mapping-1", source.arn, FUNCTION_ARN, **parameters)
    return StreamMapping(
        config, source, function, checkpoints or KeptCheckpoints(), failures, clock=clock, backoff=lambda attempt: 0.0
    )


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_record_put_while_running_reaches_the_function() -> None:
    source, function = ListSource(), Recorder()
    mapping = mapping_of(source, function)
    await mapping.start()

    source.put(b'{"ts":1}')
    await until(lambda: function.events)
    await mapping.stop()

    assert function.batches() == [["1"]]


async def test_records_gather_into_bigger_batches_while_one_is_in_flight() -> None:
    source = ListSource()
    release = asyncio.Event()

    async def slow() -> Answer:
        await release.wait()
        return Answer()

    function = Recorder(lambda event: slow())
    mapping = mapping_of(source, function)
    await mapping.start()

    source.put(b"1")
    await until(lambda: function.events)
    for data in (b"2", b"3", b"4"):
        source.put(data)
    release.set()
    await until(lambda: len(function.events) == 2)
    await mapping.stop()

    assert function.batches() == [["1"], ["2", "3", "4"]]


async def test_idle_mapping_reads_nothing() -> None:
    source, function = ListSource(), Recorder()
    mapping = mapping_of(source, function)
    await mapping.start()
    await until(lambda: source.reads)
    reads = source.reads

    for _ in range(100):
        await asyncio.sleep(0)
    await mapping.stop()

    assert source.reads == reads


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"starting_position": "TRIM_HORIZON"}, ["1", "2", "3"]),
        ({"starting_position": "LATEST"}, ["3"]),
        ({"starting_position": "AT_TIMESTAMP", "starting_timestamp_s": 1001.0}, ["2", "3"]),
    ],
)
async def test_starting_position(parameters: dict[str, Any], expected: list[str]) -> None:
    source, function = ListSource(), Recorder()
    source.put(b"1", at=1000.0)
    source.put(b"2", at=1001.0)
    mapping = mapping_of(source, function, **parameters)

    await mapping.start()
    source.put(b"3", at=1002.0)
    await until(lambda: function.sequence_numbers() == expected)
    await mapping.stop()

    assert function.sequence_numbers() == expected


async def test_latest_applies_once_and_a_restart_goes_on_from_the_checkpoint() -> None:
    source, function, checkpoints = ListSource(), Recorder(), KeptCheckpoints()
    source.put(b"1")
    mapping = mapping_of(source, function, checkpoints=checkpoints, starting_position="LATEST")
    await mapping.start()
    await mapping.stop()

    source.put(b"2")
    again = mapping_of(source, function, checkpoints=checkpoints, starting_position="LATEST")
    await again.start()
    await until(lambda: function.events)
    await again.stop()

    assert function.batches() == [["2"]]


async def test_stop_waits_for_the_running_invocation_and_its_checkpoint() -> None:
    source, checkpoints = ListSource(), KeptCheckpoints()
    release = asyncio.Event()

    async def slow() -> Answer:
        await release.wait()
        return Answer()

    function = Recorder(lambda event: slow())
    mapping = mapping_of(source, function, checkpoints=checkpoints)
    await mapping.start()
    source.put(b"1")
    await until(lambda: function.events)

    stopping = asyncio.ensure_future(mapping.stop())
    await asyncio.sleep(0)
    release.set()
    await stopping

    assert checkpoints.saved["mapping-1"][SHARD] == "1"


async def test_disabled_and_enabled_again_repeats_and_loses_nothing() -> None:
    source, function, checkpoints = ListSource(), Recorder(), KeptCheckpoints()
    mapping = mapping_of(source, function, checkpoints=checkpoints)
    await mapping.start()
    source.put(b"1")
    await until(lambda: function.events)
    await mapping.stop()

    source.put(b"2")
    await mapping.start()
    await until(lambda: len(function.events) == 2)
    await mapping.stop()

    assert function.batches() == [["1"], ["2"]]


async def test_parallelization_factor_keeps_the_order_of_each_key() -> None:
    source = ListSource()
    running: set[str] = set()
    together: list[int] = []

    async def slow(event: dict[str, Any]) -> Answer:
        keys = {record["kinesis"]["partitionKey"] for record in event["Records"]}
        assert not keys & running
        running.update(keys)
        together.append(len(running))
        await asyncio.sleep(0.001)
        running.difference_update(keys)
        return Answer()

    function = Recorder(slow)
    mapping = mapping_of(source, function, parallelization_factor=4, batch_size=2)
    for index in range(40):
        source.put(str(index).encode(), key=f"device-{index % 8}")

    await mapping.start()
    await until(lambda: sum(len(batch) for batch in function.batches()) == 40 and not running)
    await mapping.stop()

    by_key: dict[str, list[int]] = {}
    for event in function.events:
        for record in event["Records"]:
            number = int(record["kinesis"]["sequenceNumber"])
            by_key.setdefault(record["kinesis"]["partitionKey"], []).append(number)
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    assert max(together) > 1


async def test_blocked_lane_holds_the_checkpoint_but_not_the_other_lanes() -> None:
    source, checkpoints = ListSource(), KeptCheckpoints()

    def answer(event: dict[str, Any]) -> Answer:
        is_poison = any(record["kinesis"]["partitionKey"] == "device-0" for record in event["Records"])
        return Answer(b"{}", "Unhandled") if is_poison else Answer()

    function = Recorder(answer)
    mapping = StreamMapping(
        StreamMappingConfig("mapping-1", source.arn, FUNCTION_ARN, parallelization_factor=10, batch_size=1),
        source,
        function,
        checkpoints,
        clock=lambda: 1000.0,
        backoff=lambda attempt: 1000.0,
    )
    for index in range(30):
        source.put(b"x", key=f"device-{index}")

    await mapping.start()
    await until(lambda: len(function.events) > 20)
    await mapping.stop()

    assert checkpoints.saved["mapping-1"][SHARD] == "TRIM_HORIZON"


async def test_discarded_batch_is_sent_before_the_checkpoint_passes_it() -> None:
    source = ListSource()
    events: list[str] = []
    checkpoints, failures = KeptCheckpoints(events=events), KeptFailures(events=events)
    function = Recorder(lambda event: Answer(b"{}", "Unhandled", "request-9", executed_version="7"))
    mapping = mapping_of(
        source,
        function,
        checkpoints=checkpoints,
        failures=failures,
        max_retry_attempts=1,
        on_failure="arn:aws:sqs:us-east-1:123456789012:dead",
    )
    source.put(b"1", at=1000.5)

    await mapping.start()
    await until(lambda: f"checkpoint {SHARD} 1" in events)
    await mapping.stop()

    assert events.index("on-failure") < events.index(f"checkpoint {SHARD} 1")
    assert failures.batches[0].document == {
        "requestContext": {
            "requestId": "request-9",
            "functionArn": FUNCTION_ARN,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 2,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "7", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "1970-01-01T00:16:40.000Z",
        "KinesisBatchInfo": {
            "shardId": SHARD,
            "startSequenceNumber": "1",
            "endSequenceNumber": "1",
            "approximateArrivalOfFirstRecord": "1970-01-01T00:16:40.500Z",
            "approximateArrivalOfLastRecord": "1970-01-01T00:16:40.500Z",
            "batchSize": 1,
            "streamArn": source.arn,
        },
    }


@pytest.mark.parametrize("window_s", [0, 60], ids=["records", "records and window"])
async def test_s3_destination_gets_the_whole_event(window_s: int) -> None:
    source, failures = ListSource(), KeptFailures()
    function = Recorder(lambda event: Answer(b"{}", "Unhandled"))
    mapping = mapping_of(
        source,
        function,
        failures=failures,
        max_retry_attempts=0,
        on_failure="arn:aws:s3:::dead-letters",
        tumbling_window_s=window_s,
    )
    source.put(b"1")

    await mapping.start()
    await until(lambda: failures.batches)
    await mapping.stop()

    assert ("window" in function.events[0]) == bool(window_s)
    assert json.loads(failures.batches[0].document["payload"]) == function.events[0]
    assert failures.batches[0].object_key.startswith(f"aws/lambda/mapping-1/{SHARD}/1970/01/01/1970-01-01T00.16.40-")


async def test_destination_that_fails_is_tried_again() -> None:
    source, checkpoints = ListSource(), KeptCheckpoints()
    sent: list[str] = []

    async def flaky(failed: object) -> None:
        sent.append("try")
        if len(sent) < 3:
            raise ServiceError("ServiceUnavailable", "later", status=503)

    function = Recorder(lambda event: Answer(b"{}", "Unhandled"))
    config = StreamMappingConfig(
        "mapping-1", source.arn, FUNCTION_ARN, max_retry_attempts=0, on_failure="arn:aws:sqs:us-east-1:1:dead"
    )
    mapping = StreamMapping(
        config, source, function, checkpoints, flaky, clock=lambda: 1000.0, backoff=lambda attempt: 0.0
    )
    source.put(b"1")

    await mapping.start()
    await until(lambda: checkpoints.saved["mapping-1"].get(SHARD) == "1")
    await mapping.stop()

    assert sent == ["try", "try", "try"]


async def test_throttle_is_retried_without_using_up_attempts() -> None:
    source, failures = ListSource(), KeptFailures()
    throttles = [ServiceError("TooManyRequestsException", "Rate Exceeded.", status=429) for _ in range(3)]

    async def throttled() -> Answer:
        if throttles:
            raise throttles.pop()
        return Answer()

    function = Recorder(lambda event: throttled())
    mapping = mapping_of(source, function, failures=failures, max_retry_attempts=0)
    source.put(b"1")

    await mapping.start()
    await until(lambda: len(function.events) == 4)
    await mapping.stop()

    assert failures.batches == []


async def test_partial_response_saves_the_records_before_the_failed_one() -> None:
    source, checkpoints = ListSource(), KeptCheckpoints()
    answers = [Answer(b'{"batchItemFailures":[{"itemIdentifier":"3"}]}'), Answer(b"{}", "Unhandled")]
    function = Recorder(lambda event: answers.pop(0) if answers else Answer())
    mapping = mapping_of(source, function, checkpoints=checkpoints, report_batch_item_failures=True)
    for data in (b"1", b"2", b"3", b"4"):
        source.put(data)

    await mapping.start()
    await until(lambda: len(function.events) == 3)
    await mapping.stop()

    assert function.batches() == [["1", "2", "3", "4"], ["3", "4"], ["3", "4"]]
    assert checkpoints.saved["mapping-1"][SHARD] == "4"


async def test_response_is_not_looked_at_without_report_batch_item_failures() -> None:
    source = ListSource()
    function = Recorder(lambda event: Answer(b'{"batchItemFailures":[{"itemIdentifier":"1"}]}'))
    mapping = mapping_of(source, function)
    source.put(b"1")
    source.put(b"2")

    await mapping.start()
    await until(lambda: mapping.counts.last_result == "OK")
    await mapping.stop()

    assert function.batches() == [["1", "2"]]


async def test_children_of_a_split_are_read_after_the_parent_is_drained() -> None:
    source = ListSource()
    release = asyncio.Event()

    async def slow() -> Answer:
        await release.wait()
        return Answer()

    function = Recorder(lambda event: slow())
    checkpoints = KeptCheckpoints()
    source.put(b"1")
    source.split(SHARD, "shardId-000000000001", "shardId-000000000002")
    source.put(b"2", shard="shardId-000000000001")
    source.put(b"3", shard="shardId-000000000002")
    mapping = mapping_of(source, function, checkpoints=checkpoints)

    await mapping.start()
    await until(lambda: function.events)
    for _ in range(50):
        await asyncio.sleep(0)
    assert function.batches() == [["1"]]
    release.set()
    await until(lambda: len(function.events) == 3)
    await mapping.stop()

    assert sorted(function.batches()[1:]) == [["2"], ["3"]]
    assert checkpoints.saved["mapping-1"][SHARD] == "SHARD_END"


async def test_shards_made_while_running_are_found() -> None:
    source, function = ListSource(), Recorder()
    mapping = mapping_of(source, function, starting_position="LATEST")
    await mapping.start()

    source.split(SHARD, "shardId-000000000001")
    source.put(b"1", shard="shardId-000000000001")
    await until(lambda: function.events)
    await mapping.stop()

    assert function.batches() == [["1"]]


async def test_filtered_records_are_checkpointed_and_call_nothing() -> None:
    source, function, checkpoints = ListSource(), Recorder(), KeptCheckpoints()
    mapping = mapping_of(source, function, checkpoints=checkpoints, filters=('{"data":{"kind":["telemetry"]}}',))
    source.put(b'{"kind":"telemetry"}')
    source.put(b'{"kind":"noise"}')
    source.put(b"not json")

    await mapping.start()
    await until(lambda: checkpoints.saved["mapping-1"].get(SHARD) == "3")
    await mapping.stop()

    assert function.batches() == [["1"]]
    assert (mapping.counts.polled, mapping.counts.filtered) == (3, 2)
