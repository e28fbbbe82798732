"""EventBridge Scheduler: schedules that outlive a restart, and its REST API.

Source: EventBridge Scheduler API Reference, CreateSchedule; User Guide, "Schedule types". One-time and rate
schedules run here; cron expressions are refused.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from headwater.deploy.routing import json_response
from headwater.errors import HeadwaterError, ServiceError
from headwater.storage.store import Store
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.transaction import ReadTransaction, WriteTransaction

_log = logging.getLogger(__name__)
_DATABASE = "schedules"
_NAME = re.compile(r"[0-9a-zA-Z\-_.]{1,64}")
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_RATE = re.compile(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)")
_UNIT_S = {"minute": 60, "hour": 3600, "day": 86_400}
_LONGEST_SLEEP_S = 3600.0

Deliver = Callable[[str, str], Awaitable[None]]


def next_run(expression: str, zone: str, after_s: float, created_s: float) -> float | None:
    """When a schedule fires next, in epoch seconds; None when it never will.

    Raises: ServiceError ValidationException for an expression that does not work here.
    """
    once = _AT.fullmatch(expression)
    if once is not None:
        try:
            moment = datetime.fromisoformat(once[1]).replace(tzinfo=ZoneInfo(zone)).timestamp()
        except (ValueError, ZoneInfoNotFoundError) as error:
            raise _invalid(f"{expression} in {zone!r}: {error}") from error
        return moment if moment > after_s else None
    rate = _RATE.fullmatch(expression)
    if rate is None or int(rate[1]) == 0:
        raise _invalid(f"Invalid Schedule Expression {expression}.")
    interval_s = timedelta(seconds=int(rate[1]) * _UNIT_S[rate[2].rstrip("s")]).total_seconds()
    periods = max(int((after_s - created_s) // interval_s) + 1, 1)
    return created_s + periods * interval_s


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


class Schedules:
    """All schedules of an instance; `deliver(target ARN, input)` starts what a schedule is for."""

    def __init__(self, store: Store, deliver: Deliver, *, clock: Callable[[], float], arn_prefix: str) -> None:
        self._store = store
        self._deliver = deliver
        self._clock = clock
        self._arn_prefix = arn_prefix
        self._changed = asyncio.Event()

    async def create(self, group: str, name: str, request: Mapping[str, Any], *, replaces: bool = False) -> str:
        """Keep a schedule; its ARN. Raises: ServiceError ValidationException, ConflictException."""
        if not _NAME.fullmatch(name) or not _NAME.fullmatch(group):
            raise _invalid(f"{group}/{name}: a name has 1 to 64 of 0-9 a-z A-Z - _ .")
        target = request.get("Target")
        if not isinstance(target, Mapping) or not target.get("Arn") or not target.get("RoleArn"):
            raise _invalid("Target needs Arn and RoleArn")
        if target["Arn"].split(":")[2:3] not in (["lambda"], ["sqs"]):
            raise _invalid(f"the target {target['Arn']} does not work here; functions and queues do")
        expression = str(request.get("ScheduleExpression", ""))
        zone, now = str(request.get("ScheduleExpressionTimezone") or "UTC"), self._clock()
        # A moment that is over already is still due once, as on AWS.
        due = next_run(expression, zone, now, now) or now
        schedule = {
            "Arn": f"{self._arn_prefix}:schedule/{group}/{name}",
            "GroupName": group,
            "Name": name,
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": zone,
            "FlexibleTimeWindow": request.get("FlexibleTimeWindow") or {"Mode": "OFF"},
            "ActionAfterCompletion": request.get("ActionAfterCompletion", "NONE"),
            "State": request.get("State", "ENABLED"),
            "Target": dict(target),
            "CreationDate": now,
            "LastModificationDate": now,
        }
        key = f"{group}/{name}".encode()

        def write(transaction: WriteTransaction) -> None:
            if not replaces and transaction.get(_DATABASE, key) is not None:
                raise ServiceError("ConflictException", f"Schedule {name} already exists.", status=409)
            transaction.put(_DATABASE, key, orjson.dumps({"due": due, "schedule": schedule}))

        await self._store.write(write)
        self._changed.set()
        return str(schedule["Arn"])

    def get(self, group: str, name: str) -> dict[str, Any]:
        """Raises: ServiceError ResourceNotFoundException."""
        raw = self._store.read(lambda transaction: transaction.get(_DATABASE, f"{group}/{name}".encode()))
        if raw is None:
            raise ServiceError("ResourceNotFoundException", f"Schedule {name} does not exist.", status=404)
        found: dict[str, Any] = orjson.loads(raw)["schedule"]
        return found

    def all(self) -> list[dict[str, Any]]:
        """Every schedule with its due time, by group and name."""

        def read(transaction: ReadTransaction) -> list[dict[str, Any]]:
            return [orjson.loads(value) for _, value in transaction.scan(_DATABASE)]

        return self._store.read(read)

    async def delete(self, group: str, name: str) -> None:
        """Raises: ServiceError ResourceNotFoundException."""
        self.get(group, name)
        await self._store.write(lambda transaction: transaction.delete(_DATABASE, f"{group}/{name}".encode()))

    async def run(self) -> None:
        """Fire what is due, for ever. A schedule that was due while nothing ran fires at the start."""
        while True:
            self._changed.clear()
            now = self._clock()
            entries = [entry for entry in self.all() if entry["schedule"]["State"] == "ENABLED" and entry["due"]]
            for entry in entries:
                if entry["due"] <= now:
                    await self._fire(entry, now)
            waiting = [entry["due"] for entry in entries if entry["due"] > now]
            pause_s = min(min(waiting, default=now + _LONGEST_SLEEP_S) - now, _LONGEST_SLEEP_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), pause_s)

    async def _fire(self, entry: dict[str, Any], now: float) -> None:
        schedule = entry["schedule"]
        target = schedule["Target"]
        try:
            await self._deliver(target["Arn"], target.get("Input", "{}"))
        except HeadwaterError as error:
            _log.error("schedule %s could not start %s: %s", schedule["Name"], target["Arn"], error)
        key = f"{schedule['GroupName']}/{schedule['Name']}".encode()
        following = next_run(
            schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"], now, schedule["CreationDate"]
        )
        if following is None and schedule["ActionAfterCompletion"] == "DELETE":
            await self._store.write(lambda transaction: transaction.delete(_DATABASE, key))
            return
        value = orjson.dumps({"due": following, "schedule": schedule})
        await self._store.write(lambda transaction: transaction.put(_DATABASE, key, value))


class SchedulerApi:
    """The REST API; an instance's `handle` is an HttpHandler."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Create, get, update, delete and list schedules; other calls are refused."""
        try:
            return await self._answer(request)
        except ServiceError as error:
            headers = (("content-type", "application/json"), ("x-amzn-errortype", error.code))
            return HttpResponse(error.status, headers, orjson.dumps({"Message": error.message}))

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        if request.raw_path == "/schedules" and request.method == "GET":
            rows = [entry["schedule"] for entry in self._schedules.all()]
            members = ("Arn", "GroupName", "Name", "State", "CreationDate", "LastModificationDate")
            listed = [
                {**{name: row[name] for name in members}, "Target": {"Arn": row["Target"]["Arn"]}} for row in rows
            ]
            return json_response(200, {"Schedules": listed})
        if not request.raw_path.startswith("/schedules/"):
            raise ServiceError(
                "UnknownOperationException", f"{request.method} {request.raw_path} does not work here", status=404
            )
        name = unquote(request.raw_path.removeprefix("/schedules/"))
        body = _body(request)
        group = str(body.get("GroupName") or parse_qs(request.raw_query).get("groupName", ["default"])[0])
        if request.method == "POST":
            return json_response(200, {"ScheduleArn": await self._schedules.create(group, name, body)})
        if request.method == "PUT":
            self._schedules.get(group, name)
            arn = await self._schedules.create(group, name, body, replaces=True)
            return json_response(200, {"ScheduleArn": arn})
        if request.method == "DELETE":
            await self._schedules.delete(group, name)
            return json_response(200, {})
        return json_response(200, self._schedules.get(group, name))


def _body(request: HttpRequest) -> dict[str, Any]:
    if not request.body:
        return {}
    try:
        body = orjson.loads(request.body)
    except ValueError as error:
        raise ServiceError("SerializationException", f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ServiceError("SerializationException", "the body is not a JSON object")
    return body
