"""A queue mapping over a queue in a list."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from headwater.errors import ServiceError
from headwater.eventsource.config import QueueMappingConfig
from headwater.eventsource.queue_mapping import QueueMapping
from tests.unit.eventsource.list_queue import ListQueue
from tests.unit.eventsource.list_source import Answer


@dataclass
class Worker:
    answer: Callable[[list[str]], Answer | Awaitable[Answer]] = lambda bodies: Answer()
    batches: list[list[str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, function_arn: str, payload: bytes) -> Answer:
        event = json.loads(payload)
        self.events.append(event)
        bodies = [record["body"] for record in event["Records"]]
        self.batches.append(bodies)
        result = self.answer(bodies)
        return result if isinstance(result, Answer) else await result


@dataclass
class Time:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def mapping_of(queue: ListQueue, worker: Worker, time: Time, **parameters: Any) -> QueueMapping:
    config = QueueMappingConfig("mapping-1", queue.arn, "arn:f", **parameters)
    return QueueMapping(config, queue, worker, clock=time, backoff=lambda attempt: 0.0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_message_is_handed_over_and_deleted() -> None:
    time, worker = Time(), Worker()
    queue = ListQueue(time)
    mapping = mapping_of(queue, worker, time)
    await mapping.start()

    queue.send("work")
    await until(lambda: queue.deleted)
    await mapping.stop()

    record = worker.events[0]["Records"][0]
    assert record["eventSourceARN"] == queue.arn
    assert record["receiptHandle"] == "handle:message-1"
    assert queue.messages == {}


async def test_batch_size_bounds_a_batch() -> None:
    time, worker = Time(), Worker()
    queue = ListQueue(time)
    for index in range(5):
        queue.send(str(index))
    mapping = mapping_of(queue, worker, time, batch_size=2)

    await mapping.start()
    await until(lambda: len(queue.deleted) == 5)
    await mapping.stop()

    assert worker.batches == [["0", "1"], ["2", "3"], ["4"]]


async def test_batching_window_gathers_more_than_one_receive() -> None:
    time, worker = Time(), Worker()
    queue = ListQueue(time)
    for index in range(25):
        queue.send(str(index))
    mapping = mapping_of(queue, worker, time, batch_size=100, window_s=20)
    await mapping.start()
    await settle()
    assert worker.batches == []

    time.now += 20
    queue.wake()
    await until(lambda: len(queue.deleted) == 25)
    await mapping.stop()

    assert [len(batch) for batch in worker.batches] == [25]


async def test_full_batch_does_not_wait_for_the_window() -> None:
    time, worker = Time(), Worker()
    queue = ListQueue(time)
    mapping = mapping_of(queue, worker, time, batch_size=12, window_s=300)
    await mapping.start()

    for index in range(12):
        queue.send(str(index))
    await until(lambda: len(queue.deleted) == 12)
    await mapping.stop()

    assert [len(batch) for batch in worker.batches] == [12]


async def test_failed_batch_comes_back_after_the_visibility_timeout() -> None:
    time = Time()
    answers = [Answer(b"{}", "Unhandled")]
    worker = Worker(lambda bodies: answers.pop() if answers else Answer())
    queue = ListQueue(time, visibility_timeout_s=30)
    queue.send("work")
    mapping = mapping_of(queue, worker, time)
    await mapping.start()
    await until(lambda: worker.batches)
    queue.wake()
    await settle()
    assert len(worker.batches) == 1

    time.now += 30
    queue.wake()
    await until(lambda: queue.deleted)
    await mapping.stop()

    counts = [event["Records"][0]["attributes"]["ApproximateReceiveCount"] for event in worker.events]
    assert counts == ["1", "2"]


@pytest.mark.parametrize(
    ("response", "kept"),
    [
        ('{"batchItemFailures":[{"itemIdentifier":"message-2"}]}', ["message-2"]),
        ('{"batchItemFailures":[]}', []),
        ("null", []),
        ('{"batchItemFailures":[{"itemIdentifier":""}]}', ["message-1", "message-2", "message-3"]),
        ('{"batchItemFailures":[{"itemIdentifier":"other"}]}', ["message-1", "message-2", "message-3"]),
    ],
)
async def test_partial_response_keeps_the_failed_messages(response: str, kept: list[str]) -> None:
    time, worker = Time(), Worker(lambda bodies: Answer(response.encode()))
    queue = ListQueue(time)
    for index in range(3):
        queue.send(str(index))
    mapping = mapping_of(queue, worker, time, report_batch_item_failures=True)

    await mapping.start()
    await until(lambda: worker.batches)
    await mapping.stop()

    assert list(queue.messages) == kept


async def test_response_is_not_looked_at_without_report_batch_item_failures() -> None:
    time, worker = Time(), Worker(lambda bodies: Answer(b'{"batchItemFailures":[{"itemIdentifier":"message-1"}]}'))
    queue = ListQueue(time)
    queue.send("work")
    mapping = mapping_of(queue, worker, time)

    await mapping.start()
    await until(lambda: queue.deleted)
    await mapping.stop()

    assert queue.messages == {}


async def test_maximum_concurrency_bounds_the_batches_in_flight() -> None:
    time = Time()
    release = asyncio.Event()
    running: list[int] = [0, 0]

    async def slow() -> Answer:
        running[0] += 1
        running[1] = max(running)
        await release.wait()
        running[0] -= 1
        return Answer()

    worker = Worker(lambda bodies: slow())
    queue = ListQueue(time)
    for index in range(6):
        queue.send(str(index))
    mapping = mapping_of(queue, worker, time, batch_size=1, maximum_concurrency=2)
    await mapping.start()
    await until(lambda: len(worker.batches) == 2)
    await settle()
    release.set()
    await until(lambda: len(queue.deleted) == 6)
    await mapping.stop()

    assert running[1] == 2


async def test_batches_in_flight_grow_while_messages_wait() -> None:
    time, release = Time(), asyncio.Event()

    async def slow() -> Answer:
        await release.wait()
        return Answer()

    worker = Worker(lambda bodies: slow())
    queue = ListQueue(time)
    for index in range(30):
        queue.send(str(index))
    config = QueueMappingConfig("mapping-1", queue.arn, "arn:f", batch_size=1)
    mapping = QueueMapping(config, queue, worker, clock=time, backoff=lambda attempt: 0.0, most_concurrency=12)
    await mapping.start()

    in_flight = []
    for _ in range(5):
        await settle()
        in_flight.append(len(worker.batches))
        time.now += 0.5
        queue.send("one more")  # a commit wakes the mapping, as its timer would
    release.set()
    await until(lambda: len(queue.deleted) == 35)
    await mapping.stop()

    assert in_flight == [5, 5, 10, 10, 12]


async def test_batches_in_flight_are_few_again_after_a_pause() -> None:
    time, release = Time(), asyncio.Event()

    async def slow() -> Answer:
        await release.wait()
        return Answer()

    worker = Worker(lambda bodies: slow())
    queue = ListQueue(time)
    config = QueueMappingConfig("mapping-1", queue.arn, "arn:f", batch_size=1)
    mapping = QueueMapping(config, queue, worker, clock=time, backoff=lambda attempt: 0.0, most_concurrency=12)
    await mapping.start()

    in_flight = []
    for _ in range(2):
        release.clear()
        before = len(worker.batches)
        for index in range(20):
            queue.send(str(index))
        await settle()
        in_flight.append(len(worker.batches) - before)
        time.now += 1.5
        queue.send("one more")
        await settle()
        in_flight.append(len(worker.batches) - before)
        release.set()
        await until(lambda: not queue.messages)
        await settle()
    await mapping.stop()

    assert in_flight == [5, 10, 5, 10]


async def test_throttle_takes_the_growth_back() -> None:
    time, release, held = Time(), asyncio.Event(), asyncio.Event()
    tried: set[str] = set()

    async def throttled_once(body: str) -> Answer:
        if body in tried or int(body) >= 10:
            await (release if int(body) < 6 else held).wait()
            return Answer()
        tried.add(body)
        await release.wait()
        raise ServiceError("TooManyRequestsException", "Rate Exceeded.", status=429)

    worker = Worker(lambda bodies: throttled_once(bodies[0]))
    queue = ListQueue(time)
    for index in range(30):
        queue.send(str(index))
    config = QueueMappingConfig("mapping-1", queue.arn, "arn:f", batch_size=1)
    mapping = QueueMapping(config, queue, worker, clock=time, backoff=lambda attempt: 0.0, most_concurrency=20)
    await mapping.start()
    await settle()
    time.now += 1.0
    queue.wake()
    await settle()

    release.set()  # ten are throttled, six of them end at their second try
    await until(lambda: len(queue.deleted) == 6)
    await settle()
    in_flight = {bodies[0] for bodies in worker.batches} - {str(number) for number in range(6)}
    held.set()
    await until(lambda: len(queue.deleted) == 30)
    await mapping.stop()

    assert sorted(in_flight, key=int) == ["6", "7", "8", "9", "10"]


async def test_refused_messages_are_deleted_without_an_invocation() -> None:
    time, worker = Time(), Worker()
    queue = ListQueue(time)
    queue.send('{"kind":"noise"}')
    queue.send("plain text")
    queue.send('{"kind":"work"}')
    mapping = mapping_of(queue, worker, time, filters=('{"body":{"kind":["work"]}}',))

    await mapping.start()
    await until(lambda: len(queue.deleted) == 3)
    await mapping.stop()

    assert worker.batches == [['{"kind":"work"}']]


async def test_throttled_batch_is_tried_again() -> None:
    time = Time()
    throttles = [ServiceError("TooManyRequestsException", "Rate Exceeded.", status=429) for _ in range(3)]

    async def throttled() -> Answer:
        if throttles:
            raise throttles.pop()
        return Answer()

    worker = Worker(lambda bodies: throttled())
    queue = ListQueue(time)
    queue.send("work")
    mapping = mapping_of(queue, worker, time)

    await mapping.start()
    await until(lambda: queue.deleted)
    await mapping.stop()

    assert len(worker.batches) == 4


async def test_throttled_batch_is_not_tried_beyond_its_visibility() -> None:
    time = Time()

    async def throttled() -> Answer:
        raise ServiceError("TooManyRequestsException", "Rate Exceeded.", status=429)

    worker = Worker(lambda bodies: throttled())
    queue = ListQueue(time)
    queue.send("work")
    config = QueueMappingConfig("mapping-1", queue.arn, "arn:f")
    mapping = QueueMapping(config, queue, worker, clock=time, backoff=lambda attempt: 30.0)

    await mapping.start()
    await until(lambda: worker.batches)
    await settle()
    await mapping.stop()

    assert len(worker.batches) == 1
    assert queue.deleted == []


async def test_stop_gives_gathered_messages_back() -> None:
    time, worker = Time(), Worker()
    queue = ListQueue(time)
    queue.send("work")
    mapping = mapping_of(queue, worker, time, window_s=300)
    await mapping.start()
    await until(lambda: queue.receives)
    await settle()

    await mapping.stop()

    assert worker.batches == []
    assert queue.visible_at["message-1"] == time.now


async def test_stop_waits_for_the_running_batch() -> None:
    time = Time()
    release = asyncio.Event()

    async def slow() -> Answer:
        await release.wait()
        return Answer()

    worker = Worker(lambda bodies: slow())
    queue = ListQueue(time)
    queue.send("work")
    mapping = mapping_of(queue, worker, time)
    await mapping.start()
    await until(lambda: worker.batches)

    stopping = asyncio.ensure_future(mapping.stop())
    await settle()
    release.set()
    await stopping

    assert queue.deleted == ["message-1"]


async def test_idle_queue_is_not_polled() -> None:
    time, worker = Time(), Worker()
    queue = ListQueue(time)
    mapping = mapping_of(queue, worker, time)
    await mapping.start()
    await until(lambda: queue.receives)

    await settle()
    await mapping.stop()

    assert queue.receives == 1
