"""EventBridge rules and their targets as values: which events match, and what a target is given.

Source: EventBridge API Reference, Rule, Target, InputTransformer; User Guide, "Input transformation".
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from headwater.deploy.events.retries import check_retry_policy
from headwater.deploy.events.schedule_times import check_expression
from headwater.errors import ServiceError
from headwater.values.aws import service_of
from headwater.values.event_patterns import EventPatternError, compile_pattern

DEFAULT_BUS = "default"
# Schedules take them too.
TARGET_SERVICES = ("lambda", "sqs", "kinesis", "sns", "events")
RULE_TARGET_SERVICES = (*TARGET_SERVICES, "appsync")
_PATH_STEP = re.compile(r"\.([A-Za-z0-9_\-]+)|\[(\d+)\]|\['([^']+)'\]")
_VARIABLE = re.compile(r"<([A-Za-z0-9_.\-]+)>")
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Target:
    """One target of a rule; at most one of the three inputs is given. `group_id` is for FIFO queues,
    `operation` is the GraphQL document an API is to run.

    `given` is what it was made from, with its retry policy and dead-letter queue.
    """

    target_id: str
    arn: str
    given: Mapping[str, Any] = field(default_factory=dict)
    role_arn: str = ""
    input: str | None = None
    input_path: str | None = None
    transformer: Mapping[str, Any] | None = None
    group_id: str | None = None
    partition_key_path: str | None = None
    operation: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule on a bus; `matches` is None for one that only has a schedule."""

    name: str
    arn: str
    bus: str
    definition: Mapping[str, Any]
    targets: tuple[Target, ...]
    matches: Callable[[Any], bool] | None = None
    schedule: str | None = None
    is_enabled: bool = True


def parse_rule(name: str, arn: str, definition: Mapping[str, Any], targets: list[Mapping[str, Any]]) -> Rule:
    """Check a rule in the API's shape (`EventPattern` is text).

    Raises: ServiceError ValidationException, InvalidEventPatternException.
    """
    pattern, schedule = definition.get("EventPattern"), definition.get("ScheduleExpression")
    bus = str(definition.get("EventBusName") or DEFAULT_BUS).rsplit("/", 1)[-1]
    if not pattern and not schedule:
        raise ServiceError("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.")
    if schedule and bus != DEFAULT_BUS:
        raise ServiceError("ValidationException", "ScheduleExpression is supported only on the default event bus.")
    matches = None
    if pattern:
        try:
            matches = compile_pattern(pattern)
        except EventPatternError as error:
            message = f"Event pattern is not valid. Reason: {error}"
            raise ServiceError("InvalidEventPatternException", message) from error
    if schedule:
        check_expression(str(schedule), "UTC", allows_once=False)
    is_enabled = definition.get("State", "ENABLED") != "DISABLED"
    made = tuple(parse_target(target) for target in targets)
    return Rule(name, arn, bus, definition, made, matches, str(schedule) if schedule else None, is_enabled)


def parse_target(given: Mapping[str, Any]) -> Target:
    """Raises: ServiceError ValidationException for a target that does not work here."""
    arn = str(given.get("Arn", ""))
    service = service_of(arn)
    if service not in RULE_TARGET_SERVICES:
        raise ServiceError(
            "ValidationException",
            f"the target {arn!r} does not work here; functions, queues, streams, topics, buses and GraphQL APIs do",
        )
    operation = (given.get("AppSyncParameters") or {}).get("GraphQLOperation")
    if service == "appsync" and not (operation and given.get("RoleArn")):
        message = f"Target {given.get('Id')} needs RoleArn and AppSyncParameters.GraphQLOperation."
        raise ServiceError("ValidationException", message)
    if service != "appsync" and operation:
        message = f"Parameter AppSyncParameters is not supported for the target {arn}."
        raise ServiceError("ValidationException", message)
    inputs = [name for name in ("Input", "InputPath", "InputTransformer") if given.get(name) is not None]
    if len(inputs) > 1:
        message = f"Only one of Input, InputPath, or InputTransformer must be provided for target {given.get('Id')}."
        raise ServiceError("ValidationException", message)
    check_retry_policy(given.get("RetryPolicy"), "RetryPolicy")
    return Target(
        target_id=str(given.get("Id", "")),
        arn=arn,
        given=given,
        role_arn=str(given.get("RoleArn") or ""),
        input=given.get("Input"),
        input_path=given.get("InputPath"),
        transformer=given.get("InputTransformer"),
        group_id=(given.get("SqsParameters") or {}).get("MessageGroupId"),
        partition_key_path=(given.get("KinesisParameters") or {}).get("PartitionKeyPath"),
        operation=operation or "",
    )


def input_of(target: Target, event: Mapping[str, Any], rule: Rule) -> str:
    """The text a target is given for an event."""
    if target.input is not None:
        return target.input
    if target.input_path is not None:
        found = value_at(target.input_path, event)
        return _json(None if found is _ABSENT else found)
    if target.transformer is not None:
        return _transform(target.transformer, event, rule)
    return _json(event)


def partition_key_of(target: Target, event: Mapping[str, Any]) -> str:
    """The event's id, or what `PartitionKeyPath` points at."""
    found = value_at(target.partition_key_path, event) if target.partition_key_path else _ABSENT
    return str(event["id"] if found is _ABSENT else found)


def value_at(path: str, document: Any) -> Any:
    """What a path such as `$.detail.items[0].name` points at; a private marker where nothing is."""
    position, value = 1, document
    while position < len(path):
        step = _PATH_STEP.match(path, position)
        if step is None:
            return _ABSENT
        position = step.end()
        name = step[1] or step[3]
        if name is not None:
            value = value.get(name, _ABSENT) if isinstance(value, Mapping) else _ABSENT
        else:
            index = int(step[2])
            value = value[index] if isinstance(value, list) and index < len(value) else _ABSENT
        if value is _ABSENT:
            return _ABSENT
    return value


def _transform(transformer: Mapping[str, Any], event: Mapping[str, Any], rule: Rule) -> str:
    template = str(transformer.get("InputTemplate", ""))
    values: dict[str, Any] = {
        "aws.events.rule-arn": rule.arn,
        "aws.events.rule-name": rule.name,
        "aws.events.event.ingestion-time": event["time"],
        "aws.events.event": {name: value for name, value in event.items() if name != "detail"},
        "aws.events.event.json": event,
    }
    for name, path in (transformer.get("InputPathsMap") or {}).items():
        values[name] = value_at(str(path), event)
    parts: list[str] = []
    position = 0
    is_quoted = False
    for variable in _VARIABLE.finditer(template):
        before = template[position : variable.start()]
        is_quoted ^= len(re.findall(r'(?<!\\)"', before)) % 2 == 1
        parts += [before, _inserted(values.get(variable[1], variable[0]), is_quoted=is_quoted)]
        position = variable.end()
    return "".join([*parts, template[position:]])


def _inserted(value: Any, *, is_quoted: bool) -> str:
    """A value inside a JSON text: bare between quotation marks, as JSON elsewhere."""
    if value is _ABSENT:
        return "" if is_quoted else '""'
    if not is_quoted:
        return _json(value)
    return _json(value)[1:-1] if isinstance(value, str) else _json(value).replace('"', '\\"')


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
