"""EventBridge: events are matched against rules and handed to their targets, schedules fire theirs.

Source: EventBridge API Reference, PutEvents; User Guide, "Event patterns" and "Scheduled rules".
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from headwater.deploy.events.retries import Delivery, Retries
from headwater.deploy.events.rule import DEFAULT_BUS, Rule, Target, input_of, parse_target, partition_key_of
from headwater.deploy.events.schedule_times import next_run
from headwater.errors import ServiceError
from headwater.storage.store import Store

_log = logging.getLogger(__name__)
_MAX_ENTRIES = 10
_MAX_BYTES = 1_048_576
# Events that go from bus to bus in a circle end here.
_MAX_HOPS = 5
_LAST_MOMENT_S = 253_402_300_799  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class TargetInput:
    """What a target gets; `partition_key` is for streams."""

    target: Target
    text: str
    partition_key: str


DeliverTo = Callable[[TargetInput], Awaitable[None]]


@dataclass(slots=True)
class EventBus:
    """All event buses of an instance and their rules, by bus and name.

    `deliver` raises a HeadwaterError for what a target does not take; `dead_letter(queue ARN, text, attributes)`
    keeps it when its retries are over. What waits for a retry is kept in `store`.
    """

    region: str
    account_id: str
    deliver: DeliverTo
    dead_letter: Callable[[str, str, Mapping[str, Any]], Awaitable[None]]
    clock: Callable[[], float]
    rules: dict[tuple[str, str], Rule] = field(default_factory=dict)
    buses: set[str] = field(default_factory=lambda: {DEFAULT_BUS})
    store: Store | None = None
    retries: Retries = field(init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.retries = Retries(
            self._attempt, self.dead_letter, clock=self.clock, store=self.store, database="event-retries"
        )

    def arn(self, resource: str) -> str:
        return f"arn:aws:events:{self.region}:{self.account_id}:{resource}"

    def add(self, rule: Rule) -> None:
        """Add a rule, or replace the one of its name."""
        if rule.bus not in self.buses:
            raise ServiceError("ResourceNotFoundException", f"Event bus {rule.bus} does not exist.")
        self.rules[(rule.bus, rule.name)] = rule
        self._changed.set()

    def remove(self, bus: str, name: str) -> None:
        self.rules.pop((bus, name), None)
        self._changed.set()

    # Events

    async def put_events(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        """Take events as PutEvents does; returns after every matching target has taken its event.

        Raises: ServiceError ValidationException for the request as a whole.
        """
        if not 1 <= len(entries) <= _MAX_ENTRIES:
            raise ServiceError(
                "ValidationException",
                f"1 validation error detected: Value '{len(entries)}' at 'entries' failed to satisfy constraint: "
                f"Member must have length less than or equal to {_MAX_ENTRIES} and greater than or equal to 1",
            )
        if sum(_size(entry) for entry in entries) > _MAX_BYTES:
            raise ServiceError("ValidationException", "Total size of the entries in the request is over the limit.")
        answers = [await self._put(entry) for entry in entries]
        return {"FailedEntryCount": sum("ErrorCode" in answer for answer in answers), "Entries": answers}

    async def _put(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        fault = self._fault_of(entry)
        if fault is not None:
            return {"ErrorCode": fault[0], "ErrorMessage": fault[1]}
        given = entry.get("Time")
        event = self._event(
            str(entry["DetailType"]),
            str(entry["Source"]),
            orjson.loads(entry["Detail"]),
            at_s=float(given) if isinstance(given, int | float) else self.clock(),
            resources=list(entry.get("Resources") or []),
        )
        if isinstance(given, str):
            event["time"] = given
        await self.route(_bus_name(entry), event)
        return {"EventId": event["id"]}

    def _fault_of(self, entry: Mapping[str, Any]) -> tuple[str, str] | None:
        given = entry.get("Time")
        if isinstance(given, int | float) and not 0 <= given <= _LAST_MOMENT_S:
            return "InvalidArgument", "Parameter Time is not valid."
        for name in ("Source", "DetailType", "Detail"):
            if not entry.get(name):
                return "InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument."
        if str(entry["Source"]).startswith("aws."):
            return "NotAuthorizedForSourceException", "Not authorized for the source."
        try:
            detail = orjson.loads(entry["Detail"])
        except (orjson.JSONDecodeError, TypeError):
            detail = None
        if not isinstance(detail, dict):
            return "MalformedDetail", "Detail is malformed."
        if _bus_name(entry) not in self.buses:
            return "ResourceNotFoundException", f"Event bus {_bus_name(entry)} does not exist."
        return None

    def _event(
        self, detail_type: str, source: str, detail: Any, *, at_s: float, resources: list[str]
    ) -> dict[str, Any]:
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": self.account_id,
            "time": datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self.region,
            "resources": resources,
            "detail": detail,
        }

    async def publish(self, bus: str, source: str, detail_type: str, detail: Any, *, resources: list[str]) -> None:
        """Take an event of a service.

        Raises: ServiceError ResourceNotFoundException.
        """
        if bus not in self.buses:
            raise ServiceError("ResourceNotFoundException", f"Event bus {bus} does not exist.")
        await self.route(bus, self._event(detail_type, source, detail, at_s=self.clock(), resources=resources))

    async def route(self, bus: str, event: dict[str, Any], *, hops: int = 0) -> None:
        """Hand an event to the targets of every rule that matches it."""
        if hops > _MAX_HOPS:
            _log.error("event %s went over %d buses and is dropped", event["id"], _MAX_HOPS)
            return
        for rule in list(self.rules.values()):
            if rule.bus == bus and rule.is_enabled and rule.matches is not None and rule.matches(event):
                await self._hand_over(rule, event, hops)

    async def _hand_over(self, rule: Rule, event: dict[str, Any], hops: int = 0) -> None:
        for target in rule.targets:
            text = input_of(target, event, rule)
            if target.arn.split(":")[2] == "events":
                await self.route(target.arn.rsplit("/", 1)[-1], event, hops=hops + 1)
                continue
            delivery = Delivery(
                target.given, text, partition_key_of(target, event), {"RULE_ARN": rule.arn}, since_s=self.clock()
            )
            await self.retries.hand_over(delivery)

    async def _attempt(self, delivery: Delivery) -> None:
        await self.deliver(TargetInput(parse_target(delivery.target), delivery.input, delivery.partition_key))

    # Schedules

    async def run(self) -> None:
        """Fire the rules with schedules, for ever, and go on with what waits for its target.

        Rates count from the epoch, so that a restart does not delay them. A time that passed while nothing ran is not
        made up for.
        """
        self.retries.resume()
        due: dict[tuple[str, str], float] = {}
        try:
            while True:
                self._changed.clear()
                await self._fire_due(due)
                pause_s = min(max(0.0, min(due.values(), default=self.clock() + 3600.0) - self.clock()), 3600.0)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause_s)
        finally:
            await self.retries.close()

    async def _fire_due(self, due: dict[tuple[str, str], float]) -> None:
        """Fire the rules whose time has come, and bring the times in step with the rules."""
        now = self.clock()
        scheduled = {key: rule for key, rule in self.rules.items() if rule.schedule and rule.is_enabled}
        for key in set(due) - set(scheduled):
            del due[key]
        for key, rule in scheduled.items():
            if key in due and due[key] <= now:
                await self._hand_over(rule, self._scheduled_event(rule, due.pop(key)))
            if key not in due and (following := next_run(str(rule.schedule), "UTC", now, 0.0)) is not None:
                due[key] = following

    def _scheduled_event(self, rule: Rule, at_s: float) -> dict[str, Any]:
        return self._event("Scheduled Event", "aws.events", {}, at_s=at_s, resources=[rule.arn])


def _bus_name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("EventBusName") or DEFAULT_BUS).rsplit("/", 1)[-1]


def _size(entry: Mapping[str, Any]) -> int:
    """Bytes an entry counts. Source: User Guide, "Calculating PutEvents event entry size"."""
    size = 14 if entry.get("Time") is not None else 0
    for name in ("Source", "DetailType", "Detail"):
        size += len(str(entry.get(name) or "").encode())
    return size + sum(len(str(resource).encode()) for resource in entry.get("Resources") or ())
