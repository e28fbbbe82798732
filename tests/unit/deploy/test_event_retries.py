"""Targets that cannot take an event now get it later, or its dead-letter queue does, with the reason."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from headwater.deploy.events.bus import EventBus, TargetInput
from headwater.deploy.events.retries import Delivery, Retries, check_retry_policy
from headwater.deploy.events.rule import parse_rule
from headwater.deploy.events.schedules import Schedules
from headwater.errors import ServiceError
from headwater.storage.store import Store

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:dead"
BUSY = ServiceError("TooManyRequestsException", "Rate Exceeded.", status=429)
ABSENT = ServiceError("ResourceNotFoundException", "no such function", status=404)


class World:
    """Retries over a store, with a clock that sleeping moves on."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 1000.0
        self.slept: list[float] = []
        self.tried: list[Delivery] = []
        self.dead: list[tuple[str, str, dict[str, str]]] = []
        self.answers: list[ServiceError | None] = []
        self.hangs = False
        self.retries = self.make()

    def make(self) -> Retries:
        return Retries(
            self._attempt,
            self._dead_letter,
            clock=lambda: self.now,
            store=self.store,
            database="retries",
            backoff=lambda attempt: 10.0 * attempt,
            sleep=self._sleep,
        )

    async def _attempt(self, delivery: Delivery) -> None:
        self.tried.append(delivery)
        error = self.answers.pop(0) if self.answers else None
        if error is not None:
            raise error

    async def _dead_letter(self, arn: str, text: str, attributes: Mapping[str, Any]) -> None:
        self.dead.append((arn, text, {name: one["StringValue"] for name, one in attributes.items()}))

    async def _sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.now += delay_s
        await (asyncio.Event().wait() if self.hangs else asyncio.sleep(0))

    async def hand_over(self, *answers: ServiceError | None, policy: Mapping[str, int] | None = None) -> None:
        self.answers = list(answers)
        target: dict[str, Any] = {"Id": "1", "Arn": FUNCTION, "DeadLetterConfig": {"Arn": QUEUE}}
        if policy is not None:
            target["RetryPolicy"] = dict(policy)
        await self.retries.hand_over(Delivery(target, '{"n":1}', "k", {"RULE_ARN": "arn:rule"}, since_s=self.now))
        await self.settle()

    async def settle(self) -> None:
        for _ in range(200):
            await asyncio.sleep(0)

    def kept(self) -> int:
        return self.store.read(lambda transaction: len(list(transaction.scan("retries"))))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store = Store.open(None)
    subject = World(store)
    yield subject
    await subject.retries.close()
    await store.close()


async def test_busy_target_is_tried_again_until_it_takes_the_input(world: World) -> None:
    await world.hand_over(BUSY, BUSY, None)

    assert [delivery.attempts for delivery in world.tried] == [1, 2, 3]
    assert world.slept == [10.0, 20.0]
    assert (world.dead, world.kept()) == ([], 0)


async def test_maximum_retry_attempts_end_in_the_dead_letter_queue(world: World) -> None:
    await world.hand_over(BUSY, BUSY, BUSY, policy={"MaximumRetryAttempts": 2})

    assert len(world.tried) == 3
    assert world.dead == [
        (
            QUEUE,
            '{"n":1}',
            {
                "RULE_ARN": "arn:rule",
                "TARGET_ARN": FUNCTION,
                "ERROR_CODE": "TooManyRequestsException",
                "ERROR_MESSAGE": "TooManyRequestsException: Rate Exceeded.",
                "RETRY_ATTEMPTS": "2",
                "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
            },
        )
    ]
    assert world.kept() == 0


async def test_maximum_event_age_ends_in_the_dead_letter_queue(world: World) -> None:
    await world.hand_over(*[BUSY] * 10, policy={"MaximumEventAgeInSeconds": 60})

    ((_, _, attributes),) = world.dead
    assert attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"
    assert sum(world.slept) >= 60


async def test_no_retry_attempts_means_one_try(world: World) -> None:
    await world.hand_over(BUSY, policy={"MaximumRetryAttempts": 0})

    assert len(world.tried) == 1
    assert world.dead[0][2]["RETRY_ATTEMPTS"] == "0"


async def test_target_that_is_not_there_is_not_tried_again(world: World) -> None:
    await world.hand_over(ABSENT)

    assert len(world.tried) == 1
    assert "EXHAUSTED_RETRY_CONDITION" not in world.dead[0][2]


async def test_what_waits_survives_the_end_of_the_process(world: World) -> None:
    world.hangs = True
    await world.hand_over(BUSY)
    await world.retries.close()
    before = world.kept()

    world.hangs = False
    world.retries = world.make()
    resumed = world.retries.resume()
    await world.settle()

    assert (before, resumed) == (1, 1)
    assert [delivery.attempts for delivery in world.tried] == [1, 2]
    assert world.tried[1].text == '{"n":1}'
    assert world.kept() == 0


async def test_bus_does_not_wait_for_a_busy_target() -> None:
    given: list[str] = []

    async def deliver(handed: TargetInput) -> None:
        if handed.target.arn == FUNCTION:
            raise BUSY
        given.append(handed.target.arn)

    async def dead_letter(arn: str, text: str, attributes: Mapping[str, Any]) -> None: ...

    bus = EventBus("us-east-1", "123456789012", deliver, dead_letter, lambda: 1000.0)
    targets: list[Mapping[str, Any]] = [{"Id": "1", "Arn": FUNCTION}, {"Id": "2", "Arn": QUEUE}]
    bus.add(parse_rule("r", "arn:rule", {"EventPattern": '{"source":["shop"]}'}, targets))

    answer = await bus.put_events([{"Source": "shop", "DetailType": "d", "Detail": "{}"}])
    await bus.retries.close()

    assert answer["FailedEntryCount"] == 0
    assert given == [QUEUE]


async def test_schedule_numbers_its_attempts_and_names_itself_in_the_dead_letter() -> None:
    texts: list[str] = []
    dead: list[dict[str, Any]] = []

    async def deliver(given: TargetInput) -> None:
        texts.append(given.text)
        raise BUSY

    async def dead_letter(arn: str, text: str, attributes: Mapping[str, Any]) -> None:
        dead.append({"text": text, **{name: one["StringValue"] for name, one in attributes.items()}})

    store = Store.open(None)
    schedules = Schedules(
        store, deliver, clock=lambda: 1000.0, arn_prefix="arn:aws:scheduler:r:1", dead_letter=dead_letter
    )
    target = {
        "Arn": FUNCTION,
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "Input": '{"try":"<aws.scheduler.attempt-number>","at":"<aws.scheduler.scheduled-time>"}',
        "RetryPolicy": {"MaximumRetryAttempts": 0},
        "DeadLetterConfig": {"Arn": QUEUE},
    }
    await schedules.create(
        "default",
        "once",
        {"ScheduleExpression": "at(1970-01-01T00:00:10)", "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target},
    )

    running = asyncio.create_task(schedules.run())
    async with asyncio.timeout(10):
        while not dead:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()

    assert texts == ['{"try":"1","at":"1970-01-01T00:16:40Z"}']
    assert dead[0]["text"] == texts[0]
    assert dead[0]["SCHEDULE_ARN"] == "arn:aws:scheduler:r:1:schedule/default/once"
    assert dead[0]["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
    assert {"EXECUTION_ID", "SCHEDULED_TIME", "TARGET_ARN"} <= set(dead[0])


async def test_schedule_of_a_bus_that_is_not_there_is_a_dead_letter() -> None:
    dead: list[Mapping[str, Any]] = []

    async def deliver(given: TargetInput) -> None: ...

    async def put_events(entries: list[dict[str, Any]]) -> dict[str, Any]:
        return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ResourceNotFoundException", "ErrorMessage": "no"}]}

    async def dead_letter(arn: str, text: str, attributes: Mapping[str, Any]) -> None:
        dead.append(attributes)

    store = Store.open(None)
    schedules = Schedules(
        store,
        deliver,
        clock=lambda: 1000.0,
        arn_prefix="arn:aws:scheduler:r:1",
        put_events=put_events,
        dead_letter=dead_letter,
    )
    target = {
        "Arn": "arn:aws:events:us-east-1:123456789012:event-bus/gone",
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "EventBridgeParameters": {"Source": "s", "DetailType": "d"},
        "DeadLetterConfig": {"Arn": QUEUE},
    }
    await schedules.create(
        "default",
        "once",
        {"ScheduleExpression": "at(1970-01-01T00:00:10)", "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target},
    )
    running = asyncio.create_task(schedules.run())
    async with asyncio.timeout(10):
        while not dead:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()

    assert dead[0]["ERROR_CODE"]["StringValue"] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    "policy",
    [
        {"MaximumRetryAttempts": 186},
        {"MaximumRetryAttempts": -1},
        {"MaximumEventAgeInSeconds": 59},
        {"MaximumEventAgeInSeconds": "soon"},
        {"MaximumRetryAttempts": True},
        {"Other": 1},
        [],
    ],
)
def test_other_policies_are_refused(policy: Any) -> None:
    with pytest.raises(ServiceError, match="RetryPolicy"):
        check_retry_policy(policy, "RetryPolicy")
