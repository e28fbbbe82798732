"""Asynchronous invocations with an injected clock: retries, age, destinations, dead letters, bound."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from headwater.errors import ServiceError
from headwater.functions.async_invocation import AsyncInvoker, EventDelivery
from headwater.functions.config import EventInvokeConfig, FunctionConfig, InvokeResult

ARN = "arn:aws:lambda:us-east-1:123456789012:function:work"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"


@dataclass
class World:
    """A function whose answers are listed; sleeping moves the clock."""

    outcomes: list[Literal["ok", "error", "throttle"]]
    now: float = 1000.0
    slept: list[float] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    sent: list[EventDelivery] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.now += delay_s

    async def deliver(self, delivery: EventDelivery) -> None:
        self.sent.append(delivery)

    async def invoke(
        self, arn: str, payload: bytes, request_id: str, trace_header: str | None, client_context: str | None
    ) -> InvokeResult:
        self.requests.append(request_id)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome == "throttle":
            raise ServiceError("TooManyRequestsException", "Rate Exceeded.", status=429)
        if outcome == "error":
            return InvokeResult(b'{"errorMessage":"wrong"}', "Unhandled", request_id, "", 1.0)
        return InvokeResult(b'{"done":true}', None, request_id, "", 1.0)

    async def run(self, **settings: object) -> str:
        """Submit one event and wait for its end."""
        reserved = settings.pop("reserved_concurrency", None)
        event_invoke = EventInvokeConfig(**settings)  # type: ignore[arg-type]  # checked by the dataclass
        config = FunctionConfig("work", ARN, "app.work", Path("."), event_invoke=event_invoke)
        if reserved is not None:
            config = FunctionConfig(
                "work", ARN, "app.work", Path("."), event_invoke=event_invoke, reserved_concurrency=0
            )
        invoker = AsyncInvoker(self.invoke, clock=self.clock, sleep=self.sleep, deliver=self.deliver, capacity=10)
        request_id = await invoker.submit(config, ARN, b'{"n":1}', trace_header=None, client_context=None)
        for _ in range(2000):
            await asyncio.sleep(0)
        await invoker.close()
        return request_id


async def test_success_is_not_repeated() -> None:
    world = World(["ok"])

    request_id = await world.run()

    assert world.requests == [request_id]
    assert world.sent == []


async def test_error_is_retried_after_one_and_two_minutes_under_the_same_request_id() -> None:
    world = World(["error", "error", "ok"])

    request_id = await world.run()

    assert world.requests == [request_id] * 3
    assert world.slept == [60.0, 120.0]


@pytest.mark.parametrize(("attempts", "calls"), [(0, 1), (1, 2), (2, 3)])
async def test_maximum_retry_attempts(attempts: int, calls: int) -> None:
    world = World(["error"])

    await world.run(maximum_retry_attempts=attempts)

    assert len(world.requests) == calls


async def test_success_goes_to_its_destination() -> None:
    world = World(["ok"])

    request_id = await world.run(on_success=QUEUE)

    assert world.sent[0].arn == QUEUE
    assert json.loads(world.sent[0].body) == {
        "version": "1.0",
        "timestamp": "1970-01-01T00:16:40.000Z",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{ARN}:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"n": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"done": True},
    }


async def test_dead_letter_is_the_event_with_the_error_in_its_attributes() -> None:
    world = World(["error"])

    request_id = await world.run(dead_letter=QUEUE)

    assert [(letter.kind, letter.body) for letter in world.sent] == [("dead-letter", '{"n":1}')]
    assert world.sent[0].attributes == {"RequestID": request_id, "ErrorCode": "200", "ErrorMessage": "wrong"}


async def test_throttles_are_retried_with_growing_delays_until_the_event_is_too_old() -> None:
    world = World(["throttle"])

    await world.run(maximum_event_age_s=60, on_failure=QUEUE)

    document = json.loads(world.sent[0].body)
    assert world.slept == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert document["requestContext"]["condition"] == "EventAgeExceeded"
    assert document["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in document


async def test_throttles_use_up_no_retry() -> None:
    world = World(["throttle", "throttle", "error", "error", "ok"])

    await world.run()

    assert len(world.requests) == 5


async def test_function_without_concurrency_fails_its_events_at_once() -> None:
    world = World(["throttle"])

    await world.run(reserved_concurrency=0, on_failure=QUEUE)

    assert world.slept == []
    document = json.loads(world.sent[0].body)
    assert document["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert document["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in document


async def test_full_queue_refuses() -> None:
    blocked = asyncio.Event()

    async def wait(*arguments: object) -> InvokeResult:
        await blocked.wait()
        return InvokeResult(b"{}", None, "", "", 1.0)

    invoker = AsyncInvoker(wait, clock=lambda: 0.0, sleep=asyncio.sleep, deliver=None, capacity=1)
    config = FunctionConfig("work", ARN, "app.work", Path("."))
    await invoker.submit(config, ARN, b"{}", trace_header=None, client_context=None)

    with pytest.raises(ServiceError) as refusal:
        await invoker.submit(config, ARN, b"{}", trace_header=None, client_context=None)

    await invoker.close()
    assert refusal.value.code == "TooManyRequestsException"


@dataclass
class ListJournal:
    kept: dict[str, bytes] = field(default_factory=dict)

    def load(self) -> list[tuple[str, bytes]]:
        return list(self.kept.items())

    async def add(self, request_id: str, event: bytes) -> None:
        self.kept[request_id] = event

    async def remove(self, request_id: str) -> None:
        del self.kept[request_id]


async def test_event_of_a_killed_runtime_runs_in_the_next_one() -> None:
    journal = ListJournal()
    config = FunctionConfig("work", ARN, "app.work", Path("."))
    blocked = asyncio.Event()

    async def wait(*arguments: object) -> InvokeResult:
        await blocked.wait()
        raise AssertionError

    first = AsyncInvoker(wait, clock=lambda: 1000.0, sleep=asyncio.sleep, deliver=None, capacity=10, journal=journal)
    request_id = await first.submit(config, ARN, b'{"n":1}', trace_header="Root=1", client_context=None)
    await asyncio.sleep(0)
    await first.close()
    assert list(journal.kept) == [request_id]

    world = World(["ok"])
    second = AsyncInvoker(
        world.invoke, clock=world.clock, sleep=world.sleep, deliver=world.deliver, capacity=10, journal=journal
    )
    count = second.resume(lambda arn: config)
    for _ in range(20):
        await asyncio.sleep(0)
    await second.close()

    assert count == 1
    assert world.requests == [request_id]
    assert journal.kept == {}


async def test_event_whose_function_is_gone_stays_in_the_journal() -> None:
    journal = ListJournal({"r-1": b'{"arn":"x","payload":"{}","trace":null,"context":null,"submitted":1.0}'})
    world = World(["ok"])
    invoker = AsyncInvoker(
        world.invoke, clock=world.clock, sleep=world.sleep, deliver=None, capacity=10, journal=journal
    )

    def gone(arn: str) -> FunctionConfig:
        raise ServiceError("ResourceNotFoundException", arn, status=404)

    assert invoker.resume(gone) == 0
    assert list(journal.kept) == ["r-1"]


async def test_flood_of_events_takes_turns() -> None:
    running = [0, 0]
    config = FunctionConfig("work", ARN, "app.work", Path("."))

    async def slow(*arguments: object) -> InvokeResult:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0)
        running[0] -= 1
        return InvokeResult(b"{}", None, "", "", 1.0)

    invoker = AsyncInvoker(slow, clock=lambda: 0.0, sleep=asyncio.sleep, deliver=None, capacity=50, concurrency=3)
    for _ in range(50):
        await invoker.submit(config, ARN, b"{}", trace_header=None, client_context=None)
    for _ in range(200):
        await asyncio.sleep(0)
    await invoker.close()

    assert running == [0, 3]
