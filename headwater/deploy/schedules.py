"""EventBridge Scheduler: schedules that outlive a restart, and its REST API.

Source: EventBridge Scheduler API Reference, CreateSchedule; User Guide, "Adding context attributes".
"""

import asyncio
import contextlib
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from headwater.deploy.event_bus import DeliverTo, TargetInput
from headwater.deploy.event_rule import TARGET_SERVICES, Target
from headwater.deploy.routing import json_response
from headwater.deploy.schedule_times import invalid, next_run
from headwater.errors import HeadwaterError, ServiceError
from headwater.server.aws_permissions import Account, Permission
from headwater.storage.store import Store
from headwater.values.arn import is_arn
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.transaction import ReadTransaction, WriteTransaction

_log = logging.getLogger(__name__)
_DATABASE = "schedules"
_NAME = re.compile(r"[0-9a-zA-Z\-_.]{1,64}")
_LONGEST_SLEEP_S = 3600.0
# What a change of makes a template's schedule a new one; the rest is kept over restarts.
_DEFINING = ("ScheduleExpression", "ScheduleExpressionTimezone", "Target", "State", "StartDate", "EndDate")

PutEvents = Callable[[list[dict[str, Any]]], Awaitable[dict[str, Any]]]
DeadLetter = Callable[[str, str, Mapping[str, Any]], Awaitable[None]]


class Schedules:
    """All schedules of an instance; `deliver` hands a target its input, `put_events` is for event buses."""

    def __init__(
        self,
        store: Store,
        deliver: DeliverTo,
        *,
        clock: Callable[[], float],
        arn_prefix: str,
        put_events: PutEvents | None = None,
        dead_letter: DeadLetter | None = None,
    ) -> None:
        self._store = store
        self._deliver = deliver
        self._clock = clock
        self._arn_prefix = arn_prefix
        self._put_events = put_events
        self._dead_letter = dead_letter
        self._changed = asyncio.Event()

    async def create(
        self, group: str, name: str, request: Mapping[str, Any], *, replaces: bool = False, owner: str = ""
    ) -> str:
        """Keep a schedule; its ARN. `owner` is the logical id of one that a template has.

        Raises: ServiceError ValidationException, ConflictException.
        """
        if not _NAME.fullmatch(name) or not _NAME.fullmatch(group):
            raise invalid(f"{group}/{name}: a name has 1 to 64 of 0-9 a-z A-Z - _ .")
        now = self._clock()
        schedule: dict[str, Any] = {
            "Arn": f"{self._arn_prefix}:schedule/{group}/{name}",
            "GroupName": group,
            "Name": name,
            "ScheduleExpression": str(request.get("ScheduleExpression", "")),
            "ScheduleExpressionTimezone": str(request.get("ScheduleExpressionTimezone") or "UTC"),
            "FlexibleTimeWindow": request.get("FlexibleTimeWindow") or {"Mode": "OFF"},
            "ActionAfterCompletion": _one_of(request, "ActionAfterCompletion", ("NONE", "DELETE")),
            "State": _one_of(request, "State", ("ENABLED", "DISABLED")),
            "Target": _checked_target(request.get("Target")),
            "CreationDate": now,
            "LastModificationDate": now,
        }
        schedule |= {key: request[key] for key in ("Description", "StartDate", "EndDate") if request.get(key)}
        due = _next(schedule, now)
        if due is None and schedule["ScheduleExpression"].startswith("at("):
            due = now  # A moment that is over already is still due once, as on AWS.
        key = f"{group}/{name}".encode()

        def write(transaction: WriteTransaction) -> None:
            if not replaces and transaction.get(_DATABASE, key) is not None:
                raise ServiceError("ConflictException", f"Schedule {name} already exists.", status=409)
            transaction.put(_DATABASE, key, orjson.dumps({"due": due, "schedule": schedule, "owner": owner}))

        await self._store.write(write)
        self._changed.set()
        return str(schedule["Arn"])

    async def declare(self, group: str, name: str, request: Mapping[str, Any], owner: str) -> str:
        """Keep a template's schedule; one that has not changed goes on where it was, so that it fires once.

        Raises: ServiceError ValidationException.
        """
        for entry in self.all():
            old = entry["schedule"]
            is_same = entry.get("owner") == owner and (old["GroupName"], old["Name"]) == (group, name)
            if is_same and all(old.get(key) == _with_defaults(request).get(key) for key in _DEFINING):
                return str(old["Arn"])
        return await self.create(group, name, request, replaces=True, owner=owner)

    async def forget_others(self, owners: set[str]) -> None:
        """Remove the schedules of resources that the template no longer has."""
        for entry in self.all():
            if entry.get("owner") and entry["owner"] not in owners:
                await self.delete(entry["schedule"]["GroupName"], entry["schedule"]["Name"])

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
            fired = [entry for entry in entries if entry["due"] <= now]
            for entry in fired:
                await self._fire(entry, now)
            if fired:
                continue  # what follows is due at times that are not known yet
            pause_s = min(min((entry["due"] for entry in entries), default=now + _LONGEST_SLEEP_S) - now, 3600.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), pause_s)

    async def _fire(self, entry: dict[str, Any], now: float) -> None:
        schedule = entry["schedule"]
        try:
            await self._start(schedule, entry["due"])
        except HeadwaterError as error:
            _log.error("schedule %s could not start %s: %s", schedule["Name"], schedule["Target"]["Arn"], error)
            await self._give_up(entry, error)
        key = f"{schedule['GroupName']}/{schedule['Name']}".encode()
        following = _next(schedule, now)

        def write(transaction: WriteTransaction) -> None:
            if transaction.get(_DATABASE, key) is None:
                return  # deleted by what it started
            if following is None and schedule["ActionAfterCompletion"] == "DELETE":
                transaction.delete(_DATABASE, key)
            else:
                transaction.put(_DATABASE, key, orjson.dumps({**entry, "due": following}))

        await self._store.write(write)

    async def _give_up(self, entry: Mapping[str, Any], error: HeadwaterError) -> None:
        """Send what could not be started to the schedule's dead-letter queue.

        Source: Scheduler User Guide, "Configuring a dead-letter queue".
        """
        schedule = entry["schedule"]
        queue_arn = (schedule["Target"].get("DeadLetterConfig") or {}).get("Arn")
        if queue_arn is None or self._dead_letter is None:
            return
        attributes = {
            "SCHEDULE_ARN": schedule["Arn"],
            "TARGET_ARN": schedule["Target"]["Arn"],
            "ERROR_CODE": error.code if isinstance(error, ServiceError) else "SDK_CLIENT_ERROR",
            "ERROR_MESSAGE": str(error),
        }
        texts = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        try:
            await self._dead_letter(queue_arn, _input(schedule, entry["due"]), texts)
        except HeadwaterError as fault:
            _log.error("schedule %s: its dead-letter queue did not take the event: %s", schedule["Name"], fault)

    async def _start(self, schedule: Mapping[str, Any], due: float) -> None:
        given = schedule["Target"]
        text = _input(schedule, due)
        parameters = given.get("EventBridgeParameters")
        if parameters is not None:
            if self._put_events is None:
                raise ServiceError("ValidationException", "there is no event bus here")
            event = {"Source": parameters["Source"], "DetailType": parameters["DetailType"], "Detail": text}
            await self._put_events([{**event, "EventBusName": given["Arn"]}])
            return
        target = Target(
            target_id=schedule["Name"],
            arn=given["Arn"],
            role_arn=given["RoleArn"],
            group_id=(given.get("SqsParameters") or {}).get("MessageGroupId"),
        )
        key = (given.get("KinesisParameters") or {}).get("PartitionKey") or str(uuid.uuid4())
        await self._deliver(TargetInput(target, text, key))


def _one_of(request: Mapping[str, Any], member: str, allowed: tuple[str, ...]) -> str:
    """A member's value, the first one allowed if it is not given."""
    value = request.get(member, allowed[0])
    if value not in allowed:
        raise invalid(f"{member} is {value!r}, expected one of {', '.join(allowed)}")
    return str(value)


def _with_defaults(request: Mapping[str, Any]) -> dict[str, Any]:
    zone = str(request.get("ScheduleExpressionTimezone") or "UTC")
    return {**request, "ScheduleExpressionTimezone": zone, "State": request.get("State", "ENABLED")}


def _checked_target(target: Any) -> dict[str, Any]:
    if not isinstance(target, Mapping) or not target.get("Arn") or not target.get("RoleArn"):
        raise invalid("Target needs Arn and RoleArn")
    for member in ("Arn", "RoleArn", "Input"):
        if not isinstance(target.get(member, ""), str):
            raise invalid(f"Target.{member} is {target[member]!r}, expected text")
    for member in ("DeadLetterConfig", "SqsParameters", "KinesisParameters", "EventBridgeParameters", "RetryPolicy"):
        if not isinstance(target.get(member) or {}, Mapping):
            raise invalid(f"Target.{member} is {target[member]!r}, expected an object")
    if not is_arn(target["Arn"]):
        raise invalid(f"Target.Arn {target['Arn']!r} is no ARN")
    service = target["Arn"].split(":")[2:3]
    if service not in [[name] for name in TARGET_SERVICES]:
        raise invalid(f"the target {target['Arn']} does not work here; functions, queues, streams, topics and buses do")
    if (service == ["events"]) != (target.get("EventBridgeParameters") is not None):
        raise invalid("EventBridgeParameters are for event buses, and needed for them")
    return dict(target)


def scheduler_permissions(request: HttpRequest, account: Account) -> list[Permission]:
    """What a request of the REST API needs: the action on the schedule, and to hand on the role it starts with.

    Source: EventBridge Scheduler User Guide, "Identity and access management".
    """
    if not request.raw_path.startswith("/schedules/"):
        return [Permission("scheduler:ListSchedules", ("*",))]
    try:
        body = _body(request)
    except ServiceError:
        body = {}
    group = str(body.get("GroupName") or parse_qs(request.raw_query).get("groupName", ["default"])[0])
    name = unquote(request.raw_path.removeprefix("/schedules/"))
    action = {"POST": "Create", "PUT": "Update", "DELETE": "Delete"}.get(request.method, "Get")
    needed = [Permission(f"scheduler:{action}Schedule", (account.arn("scheduler", f"schedule/{group}/{name}"),))]
    target = body.get("Target")
    if isinstance(target, Mapping) and target.get("RoleArn"):
        needed.append(Permission("iam:PassRole", (str(target["RoleArn"]),)))
    return needed


def _next(schedule: Mapping[str, Any], after_s: float) -> float | None:
    """When a schedule fires next, within its start and end dates."""
    start_s, end_s = _seconds(schedule.get("StartDate")), _seconds(schedule.get("EndDate"))
    expression, zone = schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"]
    created_s = schedule["CreationDate"] if start_s is None else start_s
    if expression.startswith("at("):
        return next_run(expression, zone, after_s, created_s)
    if start_s is not None and start_s > after_s:
        # A rate fires first at its start.
        found = start_s if expression.startswith("rate(") else next_run(expression, zone, start_s - 1, created_s)
    else:
        found = next_run(expression, zone, after_s, created_s)
    return None if found is None or (end_s is not None and found > end_s) else found


def _seconds(moment: Any) -> float | None:
    """Epoch seconds of the API's number or a template's ISO text."""
    if moment is None or isinstance(moment, int | float):
        return moment
    try:
        parsed = datetime.fromisoformat(str(moment).replace("Z", "+00:00"))
    except ValueError as error:
        raise invalid(f"{moment!r} is no point in time") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _input(schedule: Mapping[str, Any], due: float) -> str:
    stamp = datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = schedule["Target"].get("Input")
    if text is None:
        region, account = schedule["Arn"].split(":")[3:5]
        event = {"version": "0", "id": str(uuid.uuid4()), "detail-type": "Scheduled Event"}
        event |= {"source": "aws.scheduler", "account": account, "time": stamp, "region": region}
        return orjson.dumps({**event, "resources": [schedule["Arn"]], "detail": "{}"}).decode()
    attributes = {
        "schedule-arn": schedule["Arn"],
        "scheduled-time": stamp,
        "execution-id": str(uuid.uuid4()),
        "attempt-number": "1",
    }
    for name, value in attributes.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return str(text)


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
