"""The EventBridge API: events, rules and targets; rules made here are kept in the store.

Source: EventBridge API Reference (2015-10-07).
"""

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
from headwater.values.transaction import ReadTransaction

_DATABASE = "event-rules"
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
            "ListEventBuses": self._list_buses,
            "TestEventPattern": self._test_pattern,
        }
        self._restore()

    async def call(self, operation: str, request: dict[str, Any], principal: AwsPrincipal) -> dict[str, Any]:
        """Answer one operation. Raises: ServiceError."""
        perform = self._operations.get(operation)
        if perform is None:
            raise ServiceError("UnknownOperationException", f"EventBridge's {operation} does not work here")
        if not principal.is_administrator:
            self._authorize(principal, f"events:{operation}", self._resources(operation, request))
        return await perform(request)

    def _resources(self, operation: str, request: Mapping[str, Any]) -> list[str]:
        if operation == "PutEvents":
            entries = request.get("Entries")
            names = {_bus_of(entry) for entry in entries if isinstance(entry, Mapping)} if entries else {DEFAULT_BUS}
            return [self._bus.arn(f"event-bus/{name}") for name in sorted(names)]
        name = request.get("Name") or request.get("Rule")
        return [self._rule_arn(_bus_of(request), str(name))] if name else []

    def _rule_arn(self, bus: str, name: str) -> str:
        return self._bus.arn(f"rule/{name}" if bus == DEFAULT_BUS else f"rule/{bus}/{name}")

    async def _put_events(self, request: dict[str, Any]) -> dict[str, Any]:
        entries = request.get("Entries")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ServiceError("SerializationException", "Entries is a list of structures")
        return await self._bus.put_events(entries)

    # Rules

    async def _put_rule(self, request: dict[str, Any]) -> dict[str, Any]:
        name = _required(request, "Name")
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
        return {"Rules": [_described(rule) for rule in rules]}

    async def _list_targets(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"Targets": _targets(self._rule(_bus_of(request), _required(request, "Rule")))}

    async def _list_buses(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"EventBuses": [{"Name": n, "Arn": self._bus.arn(f"event-bus/{n}")} for n in sorted(self._bus.buses)]}

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
        def read(transaction: ReadTransaction) -> list[dict[str, Any]]:
            return [orjson.loads(value) for _, value in transaction.scan(_DATABASE)]

        for kept in self._store.read(read):
            definition = kept["definition"]
            rule = parse_rule(kept["name"], kept["arn"], definition, definition.get("Targets") or [])
            if (rule.bus, rule.name) not in self._bus.rules and rule.bus in self._bus.buses:
                self._bus.add(rule)


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
