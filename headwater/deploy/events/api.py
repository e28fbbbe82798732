"""The EventBridge API: events, rules and targets; rules made here are kept in the store.

Source: EventBridge API Reference (2015-10-07).
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

import orjson

from headwater.deploy.events.bus import EventBus
from headwater.deploy.events.rule import DEFAULT_BUS, Rule, parse_rule
from headwater.errors import ServiceError
from headwater.storage.store import Store
from headwater.values.aws import Authorize
from headwater.values.event_patterns import EventPatternError, compile_pattern
from headwater.values.identity import AwsPrincipal
from headwater.values.json_shapes import Shape, check_shape
from headwater.values.transaction import ReadTransaction

_log = logging.getLogger(__name__)
_DATABASE = "event-rules"
_BUSES = "event-buses"
_NAME = re.compile(r"[.\-_A-Za-z0-9]{1,64}")
_BUS_NAME = re.compile(r"[/.\-_A-Za-z0-9]{1,256}")
_MAX_PAGE = 100
# The members of requests whose JSON type matters; the texts that every operation may have stand first.
_TARGET: Shape = {
    "Id": str,
    "Arn": str,
    "RoleArn": str,
    "Input": str,
    "InputPath": str,
    "InputTransformer": {"InputPathsMap": dict, "InputTemplate": str},
    "DeadLetterConfig": {"Arn": str},
    "RetryPolicy": dict,
    "SqsParameters": {"MessageGroupId": str},
    "KinesisParameters": {"PartitionKeyPath": str},
}
_ENTRY: Shape = {
    "Source": str,
    "DetailType": str,
    "Detail": str,
    "EventBusName": str,
    "Resources": [str],
    "Time": (str, int, float),
}
_REQUEST: Shape = {
    "Name": str,
    "Rule": str,
    "EventBusName": str,
    "NamePrefix": str,
    "TargetArn": str,
    "NextToken": str,
    "EventPattern": str,
    "Event": str,
    "ScheduleExpression": str,
    "State": str,
    "Description": str,
    "RoleArn": str,
    "Limit": int,
    "Ids": [str],
    "Targets": [_TARGET],
    "Entries": [_ENTRY],
}
_KEPT = ("EventPattern", "ScheduleExpression", "State", "Description", "EventBusName", "RoleArn")
_MAX_TARGETS = 5


class EventsApi:
    """An AwsService."""

    target_prefix = "AWSEvents"

    def __init__(self, bus: EventBus, store: Store, authorize: Authorize) -> None:
        self._bus = bus
        self._store = store
        self._authorize = authorize
        self._operations = {
            "PutEvents": self._put_events,
            "PutRule": self._put_rule,
            "DeleteRule": self._delete_rule,
            "EnableRule": self._enable_rule,
            "DisableRule": self._disable_rule,
            "PutTargets": self._put_targets,
            "RemoveTargets": self._remove_targets,
            "DescribeRule": self._describe_rule,
            "ListRules": self._list_rules,
            "ListTargetsByRule": self._list_targets,
            "ListRuleNamesByTarget": self._list_rule_names,
            "ListEventBuses": self._list_buses,
            "CreateEventBus": self._create_bus,
            "DescribeEventBus": self._describe_bus,
            "DeleteEventBus": self._delete_bus,
            "TestEventPattern": self._test_pattern,
        }
        self._restore()

    async def call(self, operation: str, request: dict[str, Any], principal: AwsPrincipal) -> dict[str, Any]:
        """Answer one operation. Raises: ServiceError."""
        perform = self._operations.get(operation)
        if perform is None:
            raise ServiceError("UnknownOperationException", f"EventBridge's {operation} does not work here")
        check_shape(request, _REQUEST)
        if not principal.is_administrator:
            self._authorize(principal, f"events:{operation}", self._resources(operation, request))
        return await perform(request)

    def _resources(self, operation: str, request: Mapping[str, Any]) -> list[str]:
        if operation == "PutEvents":
            entries = request.get("Entries")
            names = {_bus_of(entry) for entry in entries if isinstance(entry, Mapping)} if entries else {DEFAULT_BUS}
            return [self._bus.arn(f"event-bus/{name}") for name in sorted(names)]
        name = request.get("Name") or request.get("Rule")
        if operation.endswith("EventBus"):
            return [self._bus_arn(str(name or DEFAULT_BUS))]
        return [self._rule_arn(_bus_of(request), str(name))] if name else []

    def _rule_arn(self, bus: str, name: str) -> str:
        return self._bus.arn(f"rule/{name}" if bus == DEFAULT_BUS else f"rule/{bus}/{name}")

    async def _put_events(self, request: dict[str, Any]) -> dict[str, Any]:
        return await self._bus.put_events(request.get("Entries") or [])

    # Rules

    async def _put_rule(self, request: dict[str, Any]) -> dict[str, Any]:
        name = _required(request, "Name")
        if not _NAME.fullmatch(name):
            raise _constraint("name", name, "[\\.\\-_A-Za-z0-9]+")
        if request.get("State") not in (None, "ENABLED", "DISABLED"):
            raise _enum("state", str(request["State"]), "DISABLED, ENABLED")
        bus = _bus_of(request)
        old = self._bus.rules.get((bus, name))
        definition = {key: request[key] for key in _KEPT if request.get(key) is not None}
        targets = _targets(old)
        rule = parse_rule(name, self._rule_arn(bus, name), {**definition, "Targets": targets}, targets)
        self._bus.add(rule)
        await self._keep(rule)
        return {"RuleArn": rule.arn}

    async def _delete_rule(self, request: dict[str, Any]) -> dict[str, Any]:
        bus, name = _bus_of(request), _required(request, "Name")
        rule = self._bus.rules.get((bus, name))
        if rule is not None and rule.targets:
            raise ServiceError("ValidationException", "Rule can't be deleted since it has targets.")
        self._bus.remove(bus, name)
        await self._store.write(lambda transaction: transaction.delete(_DATABASE, f"{bus}/{name}".encode()))
        return {}

    async def _enable_rule(self, request: dict[str, Any]) -> dict[str, Any]:
        return await self._change(request, State="ENABLED")

    async def _disable_rule(self, request: dict[str, Any]) -> dict[str, Any]:
        return await self._change(request, State="DISABLED")

    async def _change(self, request: dict[str, Any], **changes: Any) -> dict[str, Any]:
        rule = self._rule(_bus_of(request), _required(request, "Name"))
        changed = parse_rule(rule.name, rule.arn, {**rule.definition, **changes}, _targets(rule))
        self._bus.add(changed)
        await self._keep(changed)
        return {}

    async def _put_targets(self, request: dict[str, Any]) -> dict[str, Any]:
        rule = self._rule(_bus_of(request), _required(request, "Rule"))
        targets = {target["Id"]: target for target in _targets(rule)}
        targets.update({_required(target, "Id"): target for target in request.get("Targets") or []})
        if len(targets) > _MAX_TARGETS:
            raise ServiceError("LimitExceededException", f"The requested resource exceeds {_MAX_TARGETS} targets.")
        return await self._with_targets(rule, list(targets.values()))

    async def _remove_targets(self, request: dict[str, Any]) -> dict[str, Any]:
        rule = self._rule(_bus_of(request), _required(request, "Rule"))
        gone = set(request.get("Ids") or [])
        return await self._with_targets(rule, [target for target in _targets(rule) if target["Id"] not in gone])

    async def _with_targets(self, rule: Rule, targets: list[Mapping[str, Any]]) -> dict[str, Any]:
        definition = {**rule.definition, "Targets": targets}
        changed = parse_rule(rule.name, rule.arn, definition, targets)
        self._bus.add(changed)
        await self._keep(changed)
        return {"FailedEntryCount": 0, "FailedEntries": []}

    # Descriptions

    async def _describe_rule(self, request: dict[str, Any]) -> dict[str, Any]:
        return _described(self._rule(_bus_of(request), _required(request, "Name")))

    async def _list_rules(self, request: dict[str, Any]) -> dict[str, Any]:
        bus, prefix = _bus_of(request), str(request.get("NamePrefix") or "")
        rules = [rule for rule in self._bus.rules.values() if rule.bus == bus and rule.name.startswith(prefix)]
        return _page("Rules", [_described(rule) for rule in sorted(rules, key=lambda one: one.name)], request)

    async def _list_targets(self, request: dict[str, Any]) -> dict[str, Any]:
        return _page("Targets", _targets(self._rule(_bus_of(request), _required(request, "Rule"))), request)

    async def _list_rule_names(self, request: dict[str, Any]) -> dict[str, Any]:
        arn, bus = _required(request, "TargetArn"), _bus_of(request)
        rules = [rule for rule in self._bus.rules.values() if rule.bus == bus]
        names = sorted(rule.name for rule in rules if any(target.arn == arn for target in rule.targets))
        return _page("RuleNames", names, request)

    # Buses

    async def _list_buses(self, request: dict[str, Any]) -> dict[str, Any]:
        prefix = str(request.get("NamePrefix") or "")
        found = [{"Name": name, "Arn": self._bus_arn(name)} for name in sorted(self._bus.buses)]
        return _page("EventBuses", [one for one in found if one["Name"].startswith(prefix)], request)

    async def _create_bus(self, request: dict[str, Any]) -> dict[str, Any]:
        name = _required(request, "Name")
        if not _BUS_NAME.fullmatch(name):
            raise _constraint("name", name, "[/\\.\\-_A-Za-z0-9]+")
        if "/" in name:
            raise ServiceError("ValidationException", "An event bus of a partner does not work here.")
        if name in self._bus.buses:
            raise ServiceError("ResourceAlreadyExistsException", f"Event bus {name} already exists.")
        self._bus.buses.add(name)
        await self._store.write(lambda transaction: transaction.put(_BUSES, name.encode(), b"{}"))
        return {"EventBusArn": self._bus_arn(name)}

    async def _describe_bus(self, request: dict[str, Any]) -> dict[str, Any]:
        name = str(request.get("Name") or DEFAULT_BUS).rsplit("/", 1)[-1]
        if name not in self._bus.buses:
            raise ServiceError("ResourceNotFoundException", f"Event bus {name} does not exist.")
        return {"Name": name, "Arn": self._bus_arn(name)}

    async def _delete_bus(self, request: dict[str, Any]) -> dict[str, Any]:
        """A bus that is not there is deleted already, as on AWS; one of the template is back after a restart."""
        name = _required(request, "Name")
        if name == DEFAULT_BUS:
            raise ServiceError("ValidationException", "Cannot delete event bus default.")
        if any(rule.bus == name for rule in self._bus.rules.values()):
            raise ServiceError("ValidationException", "Event bus can't be deleted since it has rules.")
        self._bus.buses.discard(name)
        await self._store.write(lambda transaction: transaction.delete(_BUSES, name.encode()))
        return {}

    def _bus_arn(self, name: str) -> str:
        return self._bus.arn(f"event-bus/{name}")

    async def _test_pattern(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            event = orjson.loads(_required(request, "Event"))
            return {"Result": compile_pattern(_required(request, "EventPattern"))(event)}
        except (EventPatternError, orjson.JSONDecodeError) as error:
            message = f"Event pattern is not valid. Reason: {error}"
            raise ServiceError("InvalidEventPatternException", message) from error

    # Parts

    def _rule(self, bus: str, name: str) -> Rule:
        rule = self._bus.rules.get((bus, name))
        if rule is None:
            raise ServiceError("ResourceNotFoundException", f"Rule {name} does not exist on EventBus {bus}.")
        return rule

    async def _keep(self, rule: Rule) -> None:
        """A rule of the template is the template's again after a restart."""
        key = f"{rule.bus}/{rule.name}".encode()
        value = orjson.dumps({"name": rule.name, "arn": rule.arn, "definition": rule.definition})
        await self._store.write(lambda transaction: transaction.put(_DATABASE, key, value))

    def _restore(self) -> None:
        def read(transaction: ReadTransaction) -> tuple[list[str], list[dict[str, Any]]]:
            buses = [key.decode() for key, _ in transaction.scan(_BUSES)]
            return buses, [orjson.loads(value) for _, value in transaction.scan(_DATABASE)]

        buses, rules = self._store.read(read)
        self._bus.buses.update(buses)
        for kept in rules:
            definition = kept["definition"]
            try:
                rule = parse_rule(kept["name"], kept["arn"], definition, definition.get("Targets") or [])
            except ServiceError as error:  # what an earlier version took
                _log.error("rule %s is not restored: %s", kept["name"], error)
                continue
            if (rule.bus, rule.name) not in self._bus.rules and rule.bus in self._bus.buses:
                self._bus.add(rule)


def _page(name: str, entries: list[Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a list that `Limit` and `NextToken` ask for."""
    token, limit = request.get("NextToken") or "0", request.get("Limit")
    if limit is not None and not 1 <= limit <= _MAX_PAGE:
        raise ServiceError("ValidationException", f"Limit is 1 to {_MAX_PAGE}, not {limit}.")
    if not token.isdecimal() or int(token) > len(entries):
        raise ServiceError("ValidationException", "Parameter NextToken is not valid.")
    end = int(token) + (limit or _MAX_PAGE)
    answer: dict[str, Any] = {name: entries[int(token) : end]}
    if end < len(entries):
        answer["NextToken"] = str(end)
    return answer


def _constraint(member: str, value: str, pattern: str) -> ServiceError:
    return ServiceError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must satisfy "
        f"regular expression pattern: {pattern}",
    )


def _enum(member: str, value: str, values: str) -> ServiceError:
    return ServiceError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must satisfy "
        f"enum value set: [{values}]",
    )


def _targets(rule: Rule | None) -> list[Mapping[str, Any]]:
    return list(rule.definition.get("Targets") or []) if rule is not None else []


def _described(rule: Rule) -> dict[str, Any]:
    state = "ENABLED" if rule.is_enabled else "DISABLED"
    shown = {name: rule.definition[name] for name in _KEPT if rule.definition.get(name) is not None}
    return {**shown, "Name": rule.name, "Arn": rule.arn, "EventBusName": rule.bus, "State": state}


def _bus_of(request: Mapping[str, Any]) -> str:
    return str(request.get("EventBusName") or DEFAULT_BUS).rsplit("/", 1)[-1]


def _required(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if isinstance(value, str) and value:
        return value
    member = name[0].lower() + name[1:]
    raise ServiceError(
        "ValidationException",
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null",
    )
