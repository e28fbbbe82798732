"""When schedules fire, and that they fire once over restarts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from headwater.deploy.events.bus import TargetInput
from headwater.deploy.events.cron import CronError, parse_cron
from headwater.deploy.events.schedule_times import next_run
from headwater.deploy.events.schedules import Schedules
from headwater.errors import ServiceError
from headwater.storage.store import Store

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"
ROLE = "arn:aws:iam::123456789012:role/r"


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def shown(epoch_s: float | None) -> str | None:
    return None if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 10 * * ? *", "2026-03-01 09:59", "2026-03-01 10:00"),
        ("0 10 * * ? *", "2026-03-01 10:00", "2026-03-02 10:00"),
        ("15 12 * * ? *", "2026-12-31 12:15", "2027-01-01 12:15"),
        ("0 18 ? * MON-FRI *", "2026-03-06 18:00", "2026-03-09 18:00"),
        ("0 8 1 * ? *", "2026-03-01 08:00", "2026-04-01 08:00"),
        ("0/15 * * * ? *", "2026-03-01 10:16", "2026-03-01 10:30"),
        ("0/5 8-17 ? * MON-FRI *", "2026-03-06 17:55", "2026-03-09 08:00"),
        ("0 9 ? * 2#1 *", "2026-03-01 00:00", "2026-03-02 09:00"),
        ("0 9 ? * 6L *", "2026-03-01 00:00", "2026-03-27 09:00"),
        ("0 9 L * ? *", "2026-02-01 00:00", "2026-02-28 09:00"),
        ("0 9 15W * ? *", "2026-08-01 00:00", "2026-08-14 09:00"),
        ("0 9 LW * ? *", "2026-02-01 00:00", "2026-02-27 09:00"),
        ("0 9 29 2 ? *", "2026-03-01 00:00", "2028-02-29 09:00"),
        ("10,40 14 ? 3 WED *", "2026-03-04 14:10", "2026-03-04 14:40"),
        ("0 0 1 1 ? 2026", "2026-03-01 00:00", None),
        ("0 0 ? * FRI-MON *", "2026-03-03 00:00", "2026-03-06 00:00"),
    ],
)
def test_cron_fires_next_at(expression: str, after: str, expected: str | None) -> None:
    assert shown(parse_cron(expression).next_after(epoch(after), ZoneInfo("UTC"))) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2026-01-10 12:00", "2026-01-11 01:30"),
        ("2026-07-10 12:00", "2026-07-11 00:30"),
        ("2026-03-28 12:00", "2026-03-29 01:30"),  # 02:30 is left out that night
        ("2026-10-24 12:00", "2026-10-25 00:30"),  # 02:30 comes twice, the first counts
    ],
)
def test_cron_follows_the_zones_clock(after: str, expected: str) -> None:
    assert shown(parse_cron("30 2 * * ? *").next_after(epoch(after), ZoneInfo("Europe/Berlin"))) == expected


@pytest.mark.parametrize(
    "text",
    [
        "0 10 * * *",
        "0 10 * * * *",
        "0 10 ? * ? *",
        "60 10 * * ? *",
        "0 24 * * ? *",
        "x 10 * * ? *",
        "0/0 * * * ? *",
        "0 0 32 * ? *",
        "0 0 ? * 2#6 *",
        "0 0 ? * XYZ *",
    ],
)
def test_cron_refuses(text: str) -> None:
    with pytest.raises(CronError):
        parse_cron(text)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("rate(1 minute)", 61.0 + 60 * 2), ("rate(2 hours)", 7201.0), ("at(1970-01-01T01:00:00)", 3600.0)],
)
def test_rates_count_from_the_creation(expression: str, expected: float) -> None:
    assert next_run(expression, "UTC", after_s=121.0, created_s=1.0) == expected


@pytest.mark.parametrize("expression", ["rate(0 minutes)", "rate(1 second)", "every day", "cron(x)", "at(tomorrow)"])
def test_other_expressions_are_refused(expression: str) -> None:
    with pytest.raises(ServiceError, match="Invalid Schedule Expression"):
        next_run(expression, "UTC", 0.0, 0.0)


def test_unknown_zone_is_refused() -> None:
    with pytest.raises(ServiceError, match="Nowhere"):
        next_run("cron(0 10 * * ? *)", "Nowhere/City", 0.0, 0.0)


class Subject:
    """Schedules over a store, with a clock that stands still and targets that remember."""

    def __init__(self, store: Store) -> None:
        self.now = 1000.0
        self.given: list[TargetInput] = []
        self.schedules = Schedules(store, self._deliver, clock=lambda: self.now, arn_prefix="arn:aws:scheduler:r:1")

    async def _deliver(self, given: TargetInput) -> None:
        self.given.append(given)

    async def fire(self) -> list[str]:
        """The inputs of what is due at this time."""
        self.given.clear()
        running = asyncio.create_task(self.schedules.run())
        for _ in range(20):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return [given.text for given in self.given]


def request(expression: str, **more: Any) -> dict[str, Any]:
    target = {"Arn": FUNCTION, "RoleArn": ROLE, "Input": '{"n":1}'}
    return {"ScheduleExpression": expression, "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target, **more}


@pytest.fixture
async def subject() -> AsyncIterator[Subject]:
    store = Store.open(None)
    yield Subject(store)
    await store.close()


async def test_rate_fires_at_every_period(subject: Subject) -> None:
    await subject.schedules.create("default", "s", request("rate(1 minute)"))
    fired = []
    for subject.now in (1000.0, 1059.0, 1060.0, 1061.0, 1120.0):
        fired.append(len(await subject.fire()))

    assert fired == [0, 0, 1, 0, 1]


async def test_one_time_schedule_is_deleted_after_its_run(subject: Subject) -> None:
    await subject.schedules.create("default", "s", request("at(1970-01-01T00:20:00)", ActionAfterCompletion="DELETE"))
    subject.now = 1200.0

    assert await subject.fire() == ['{"n":1}']
    with pytest.raises(ServiceError, match="does not exist"):
        subject.schedules.get("default", "s")


async def test_schedule_of_the_template_that_has_fired_does_not_fire_again(subject: Subject) -> None:
    await subject.schedules.declare("default", "s", request("at(1970-01-01T00:20:00)"), "Once")
    subject.now = 1200.0
    first = await subject.fire()

    await subject.schedules.declare("default", "s", request("at(1970-01-01T00:20:00)"), "Once")

    assert len(first) == 1
    assert await subject.fire() == []


async def test_schedule_that_left_the_template_is_removed(subject: Subject) -> None:
    await subject.schedules.declare("default", "s", request("rate(1 minute)"), "Gone")
    await subject.schedules.create("default", "made", request("rate(1 minute)"))

    await subject.schedules.forget_others({"Other"})

    assert [entry["schedule"]["Name"] for entry in subject.schedules.all()] == ["made"]


async def test_start_and_end_bound_a_rate(subject: Subject) -> None:
    bounds = {"StartDate": "1970-01-01T00:30:00Z", "EndDate": 1900}
    await subject.schedules.create("default", "s", request("rate(1 minute)", **bounds))
    fired = []
    for subject.now in (1500.0, 1800.0, 1860.0, 1920.0):
        fired.append(len(await subject.fire()))

    assert fired == [0, 1, 1, 0]


async def test_context_attributes_are_filled_in(subject: Subject) -> None:
    target = {"Arn": QUEUE, "RoleArn": ROLE, "Input": "<aws.scheduler.scheduled-time> <aws.scheduler.schedule-arn>"}
    await subject.schedules.create("default", "s", request("at(1970-01-01T00:20:00)", Target=target))
    subject.now = 1230.0

    assert await subject.fire() == ["1970-01-01T00:20:00Z arn:aws:scheduler:r:1:schedule/default/s"]


async def test_schedule_without_input_sends_the_schedulers_event(subject: Subject) -> None:
    target = {"Arn": FUNCTION, "RoleArn": ROLE}
    await subject.schedules.create("default", "s", request("at(1970-01-01T00:00:00)", Target=target))

    (text,) = await subject.fire()

    event = orjson.loads(text)
    assert (event["source"], event["detail-type"], event["detail"]) == ("aws.scheduler", "Scheduled Event", "{}")


async def test_disabled_schedule_does_not_fire(subject: Subject) -> None:
    await subject.schedules.create("default", "s", request("at(1970-01-01T00:00:00)", State="DISABLED"))

    assert await subject.fire() == []


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("FlexibleTimeWindow", 5),
        ("FlexibleTimeWindow", {"Mode": "FLEXIBLE"}),
        ("FlexibleTimeWindow", {"Mode": "SOMETIMES"}),
        ("State", "BOGUS"),
        ("StartDate", "soon"),
        ("StartDate", 1e300),
        ("EndDate", True),
        ("Description", 5),
        ("Unknown", 1),
        ("ScheduleExpression", ""),
        ("ScheduleExpression", 5),
        ("ScheduleExpression", "rate(99999999999999999999 days)"),
        ("ScheduleExpression", "at(9999-12-31T23:59:59)x"),
        ("ScheduleExpressionTimezone", "../../etc/passwd"),
        ("Target", {"Arn": 5, "RoleArn": ROLE}),
        ("Target", {"Arn": FUNCTION, "RoleArn": ROLE, "Input": 5}),
        ("Target", {"Arn": FUNCTION, "RoleArn": ROLE, "EcsParameters": {}}),
        ("Target", {"Arn": FUNCTION, "RoleArn": ROLE, "RetryPolicy": {"MaximumRetryAttempts": -1}}),
        ("Target", {"Arn": FUNCTION, "RoleArn": ROLE, "DeadLetterConfig": {"Arn": 5}}),
        ("Target", {"Arn": QUEUE, "RoleArn": ROLE, "SqsParameters": {"MessageGroupId": 5}}),
    ],
)
async def test_no_member_of_a_schedule_is_taken_and_ignored(subject: Subject, member: str, value: Any) -> None:
    with pytest.raises(ServiceError) as refused:
        await subject.schedules.create("default", "s", {**request("rate(1 minute)"), member: value})

    assert refused.value.code == "ValidationException"
    assert subject.schedules.all() == []


async def test_start_must_come_before_the_end(subject: Subject) -> None:
    with pytest.raises(ServiceError, match="StartDate must come before"):
        await subject.schedules.create("default", "s", request("rate(1 minute)", StartDate=2000, EndDate=2000))


async def test_a_repeated_request_with_its_client_token_is_the_same_schedule(subject: Subject) -> None:
    given = request("rate(1 minute)", ClientToken="t1")
    arn = await subject.schedules.create("default", "s", given)

    assert await subject.schedules.create("default", "s", given) == arn
    with pytest.raises(ServiceError, match="already exists"):
        await subject.schedules.create("default", "s", request("rate(1 minute)", ClientToken="t2"))


class CountingSchedules(Schedules):
    """Counts how often every schedule is read."""

    scans = 0

    def all(self) -> list[dict[str, Any]]:
        self.scans += 1
        return super().all()


async def test_creating_and_firing_read_the_schedules_once() -> None:
    store = Store.open(None)
    subject = Subject(store)
    subject.schedules = counting = CountingSchedules(
        store, subject._deliver, clock=lambda: subject.now, arn_prefix="arn:aws:scheduler:r:1"
    )
    running = asyncio.create_task(counting.run())
    await asyncio.sleep(0)
    for number in range(20):
        await counting.create("default", f"s{number}", request("at(1970-01-01T00:00:00)"))
        await counting.declare("default", f"t{number}", request("rate(1 minute)"), "Owner")
    while len(subject.given) < 20:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()

    assert counting.scans == 1


async def test_what_changed_while_running_fires_at_its_new_time(subject: Subject) -> None:
    running = asyncio.create_task(subject.schedules.run())
    await asyncio.sleep(0)
    await subject.schedules.create("default", "s", request("at(1970-01-01T00:20:00)"))
    await subject.schedules.create("default", "s", request("at(1970-01-01T00:25:00)"), replaces=True)
    await subject.schedules.create("default", "gone", request("at(1970-01-01T00:20:00)"))
    await subject.schedules.delete("default", "gone")
    fired = []
    for subject.now in (1200.0, 1500.0):
        await subject.schedules.create("default", f"wake{subject.now:.0f}", request("rate(1 hour)"))
        for _ in range(20):
            await asyncio.sleep(0)
        fired.append(len(subject.given))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert fired == [0, 1]


async def test_a_fault_in_one_schedule_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    store = Store.open(None)
    subject = Subject(store)

    async def deliver(given: TargetInput) -> None:
        if given.target.target_id == "a":
            raise RuntimeError("a fault")
        subject.given.append(given)

    subject.schedules = Schedules(store, deliver, clock=lambda: subject.now, arn_prefix="arn:aws:scheduler:r:1")
    for name in "ab":
        await subject.schedules.create("default", name, request("at(1970-01-01T00:00:00)"))

    assert len(await subject.fire()) == 1
    assert "a fault" in caplog.text
    await store.close()
