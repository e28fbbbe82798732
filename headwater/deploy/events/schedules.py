"""EventBridge Scheduler: schedules that outlive a restart, and its REST API.

Source: EventBridge Scheduler API Reference, CreateSchedule; User Guide, "Adding context attributes".
"""

import asyncio
import contextlib
import heapq
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from headwater.deploy.events.bus import DeliverTo, TargetInput
from headwater.deploy.events.retries import DeadLetter, Delivery, Retries
from headwater.deploy.events.rule import Target
from headwater.deploy.events.schedule_request import schedule_of
from headwater.deploy.events.schedule_times import invalid, next_run
from headwater.deploy.routing import json_response
from headwater.errors import ServiceError
from headwater.server.aws.permissions import Account, Permission
from headwater.storage.store import Store
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.transaction import ReadTransaction, WriteTransaction

_log = logging.getLogger(__name__)
_DATABASE = "schedules"
_NAME = re.compile(r"[0-9a-zA-Z\-_.]{1,64}")
_LONGEST_SLEEP_S = 3600.0
_STALE_MOMENTS = 1000
# What a change of makes a template's schedule a new one; the rest is kept over restarts.
_DEFINING = ("ScheduleExpression", "ScheduleExpressionTimezone", "Target", "State", "StartDate", "EndDate")

PutEvents = Callable[[list[dict[str, Any]]], Awaitable[dict[str, Any]]]


class Plan:
    """When which schedule is due next, in step with the store, so that nothing has to read all schedules."""

    def __init__(self) -> None:
        self._due: dict[bytes, float] = {}
        # Has moments that are no longer true as well: they are dropped when they come to the front.
        self._heap: list[tuple[float, bytes]] = []

    def note(self, key: bytes, entry: Mapping[str, Any] | None) -> None:
        """Take what the store has under a key now, None for nothing."""
        self._due.pop(key, None)
        if entry is not None and entry["due"] is not None and entry["schedule"]["State"] == "ENABLED":
            self._due[key] = entry["due"]
            heapq.heappush(self._heap, (entry["due"], key))
        if len(self._heap) > 2 * len(self._due) + _STALE_MOMENTS:
            self._heap = [(due, key) for key, due in self._due.items()]
            heapq.heapify(self._heap)

    def first(self) -> tuple[float, bytes] | None:
        """The next moment and its schedule's key."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None


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
        self.retries = Retries(self._attempt, dead_letter, clock=clock, store=store, database="schedule-retries")
        self._changed = asyncio.Event()
        self._plan = Plan()

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
            **schedule_of(request),
            "CreationDate": now,
            "LastModificationDate": now,
        }
        due = _next(schedule, now)
        if due is None and schedule["ScheduleExpression"].startswith("at("):
            due = now  # A moment that is over already is still due once, as on AWS.
        key = _key(group, name)
        token = request.get("ClientToken") or None
        entry = {"due": due, "schedule": schedule, "owner": owner, "token": token}

        def write(transaction: WriteTransaction) -> bool:
            old = None if replaces else transaction.get(_DATABASE, key)
            if old is not None:
                if token is not None and orjson.loads(old).get("token") == token:
                    return False  # the same request once more
                raise ServiceError("ConflictException", f"Schedule {name} already exists.", status=409)
            transaction.put(_DATABASE, key, orjson.dumps(entry))
            return True

        if await self._store.write(write):
            self._plan.note(key, entry)
            self._changed.set()
        return str(schedule["Arn"])

    async def declare(self, group: str, name: str, request: Mapping[str, Any], owner: str) -> str:
        """Keep a template's schedule; one that has not changed goes on where it was, so that it fires once.

        Raises: ServiceError ValidationException.
        """
        old = self._entry(_key(group, name))
        if old is not None and old.get("owner") == owner:
            wanted, kept = schedule_of(request), old["schedule"]
            if all(kept.get(member) == wanted.get(member) for member in _DEFINING):
                return str(kept["Arn"])
        return await self.create(group, name, request, replaces=True, owner=owner)

    async def forget_others(self, owners: set[str]) -> None:
        """Remove the schedules of resources that the template no longer has."""
        for entry in self.all():
            if entry.get("owner") and entry["owner"] not in owners:
                await self.delete(entry["schedule"]["GroupName"], entry["schedule"]["Name"])

    def get(self, group: str, name: str) -> dict[str, Any]:
        """Raises: ServiceError ResourceNotFoundException."""
        entry = self._entry(_key(group, name))
        if entry is None:
            raise ServiceError("ResourceNotFoundException", f"Schedule {name} does not exist.", status=404)
        found: dict[str, Any] = entry["schedule"]
        return found

    def _entry(self, key: bytes) -> dict[str, Any] | None:
        raw = self._store.read(lambda transaction: transaction.get(_DATABASE, key))
        return None if raw is None else orjson.loads(raw)

    def all(self) -> list[dict[str, Any]]:
        """Every schedule with its due time, by group and name."""

        def read(transaction: ReadTransaction) -> list[dict[str, Any]]:
            return [orjson.loads(value) for _, value in transaction.scan(_DATABASE)]

        return self._store.read(read)

    async def delete(self, group: str, name: str) -> None:
        """Raises: ServiceError ResourceNotFoundException."""
        self.get(group, name)
        key = _key(group, name)
        await self._store.write(lambda transaction: transaction.delete(_DATABASE, key))
        self._plan.note(key, None)

    async def run(self) -> None:
        """Fire what is due, for ever. A schedule that was due while nothing ran fires at the start."""
        self.retries.resume()
        self._plan = Plan()
        for entry in self.all():
            self._plan.note(_key(entry["schedule"]["GroupName"], entry["schedule"]["Name"]), entry)
        try:
            while True:
                self._changed.clear()
                now = self._clock()
                first = self._plan.first()
                if first is not None and first[0] <= now:
                    await self._fire(first[1], now)
                    continue
                pause_s = min(_LONGEST_SLEEP_S, _LONGEST_SLEEP_S if first is None else first[0] - now)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause_s)
        finally:
            await self.retries.close()

    async def _fire(self, key: bytes, now: float) -> None:
        entry = self._entry(key)
        if entry is None:
            self._plan.note(key, None)
            return
        schedule = entry["schedule"]
        try:
            await self.retries.hand_over(_delivery(schedule, entry["due"]))
        except Exception:
            # A fault of ours in one schedule must not keep the others from firing.
            _log.exception("schedule %s could not start %s", schedule["Name"], schedule["Target"]["Arn"])
        following = {**entry, "due": _next(schedule, now)}
        is_over = following["due"] is None and schedule["ActionAfterCompletion"] == "DELETE"

        def write(transaction: WriteTransaction) -> dict[str, Any] | None:
            raw = transaction.get(_DATABASE, key)
            kept = None if raw is None else orjson.loads(raw)
            if kept != entry:
                return kept  # deleted or replaced by what it started
            if is_over:
                transaction.delete(_DATABASE, key)
                return None
            transaction.put(_DATABASE, key, orjson.dumps(following))
            return following

        self._plan.note(key, await self._store.write(write))

    async def _attempt(self, delivery: Delivery) -> None:
        given = delivery.target
        text = delivery.input
        parameters = given.get("EventBridgeParameters")
        if parameters is not None:
            if self._put_events is None:
                raise ServiceError("ValidationException", "there is no event bus here")
            event = {"Source": parameters["Source"], "DetailType": parameters["DetailType"], "Detail": text}
            (entry,) = (await self._put_events([{**event, "EventBusName": given["Arn"]}]))["Entries"]
            if "ErrorCode" in entry:
                raise ServiceError(entry["ErrorCode"], entry["ErrorMessage"])
            return
        target = Target(
            target_id=delivery.attributes["SCHEDULE_ARN"].rsplit("/", 1)[-1],
            arn=given["Arn"],
            given=given,
            role_arn=given["RoleArn"],
            group_id=(given.get("SqsParameters") or {}).get("MessageGroupId"),
        )
        await self._deliver(TargetInput(target, text, delivery.partition_key))


def _key(group: str, name: str) -> bytes:
    return f"{group}/{name}".encode()


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
    start_s, end_s = schedule.get("StartDate"), schedule.get("EndDate")
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


def _delivery(schedule: Mapping[str, Any], due: float) -> Delivery:
    """What a schedule hands over; the number of the attempt is put in at each."""
    target = schedule["Target"]
    execution_id = str(uuid.uuid4())
    stamp = datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = target.get("Input")
    if text is None:
        region, account = schedule["Arn"].split(":")[3:5]
        event = {"version": "0", "id": str(uuid.uuid4()), "detail-type": "Scheduled Event"}
        event |= {"source": "aws.scheduler", "account": account, "time": stamp, "region": region}
        text = orjson.dumps({**event, "resources": [schedule["Arn"]], "detail": "{}"}).decode()
    else:
        context = {"schedule-arn": schedule["Arn"], "scheduled-time": stamp, "execution-id": execution_id}
        for name, value in context.items():
            text = text.replace(f"<aws.scheduler.{name}>", value)
    attributes = {"SCHEDULE_ARN": schedule["Arn"], "EXECUTION_ID": execution_id, "SCHEDULED_TIME": stamp}
    key = (target.get("KinesisParameters") or {}).get("PartitionKey") or str(uuid.uuid4())
    return Delivery(target, str(text), key, attributes, since_s=due, numbers_attempts=True)


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
