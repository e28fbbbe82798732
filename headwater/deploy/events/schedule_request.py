"""What CreateSchedule asks for, checked member by member: nothing is taken and then ignored.

Source: EventBridge Scheduler API Reference, CreateSchedule, Target, FlexibleTimeWindow, RetryPolicy.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from headwater.deploy.events.retries import check_retry_policy
from headwater.deploy.events.rule import TARGET_SERVICES
from headwater.deploy.events.schedule_times import invalid
from headwater.values.arn import is_arn

_MEMBERS = frozenset(
    """ActionAfterCompletion ClientToken Description EndDate FlexibleTimeWindow GroupName KmsKeyArn Name
    ScheduleExpression ScheduleExpressionTimezone StartDate State Target""".split()
)
_TARGET_MEMBERS = {
    "Arn": str,
    "RoleArn": str,
    "Input": str,
    "DeadLetterConfig": Mapping,
    "EventBridgeParameters": Mapping,
    "KinesisParameters": Mapping,
    "RetryPolicy": Mapping,
    "SqsParameters": Mapping,
}
_TEXTS_IN_TARGET = (
    ("DeadLetterConfig", "Arn"),
    ("EventBridgeParameters", "DetailType"),
    ("EventBridgeParameters", "Source"),
    ("KinesisParameters", "PartitionKey"),
    ("SqsParameters", "MessageGroupId"),
)
_LONGEST_DESCRIPTION = 512
_LAST_MOMENT_S = 253_402_300_799  # the end of the year 9999


def schedule_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """The schedule's own members with defaults filled in, dates in epoch seconds.

    Raises: ServiceError ValidationException.
    """
    unknown = sorted(set(request) - _MEMBERS)
    if unknown:
        raise invalid(f"{', '.join(unknown)}: not supported here")
    for member in ("Description", "ScheduleExpression", "ScheduleExpressionTimezone", "KmsKeyArn", "ClientToken"):
        _text(request.get(member, ""), member)
    if len(request.get("Description", "")) > _LONGEST_DESCRIPTION:
        raise invalid(f"Description has more than {_LONGEST_DESCRIPTION} characters")
    schedule = {
        "ScheduleExpression": request.get("ScheduleExpression", ""),
        "ScheduleExpressionTimezone": request.get("ScheduleExpressionTimezone") or "UTC",
        "FlexibleTimeWindow": _flexible_time_window(request.get("FlexibleTimeWindow")),
        "ActionAfterCompletion": _one_of(request, "ActionAfterCompletion", ("NONE", "DELETE")),
        "State": _one_of(request, "State", ("ENABLED", "DISABLED")),
        "Target": _target(request.get("Target")),
    }
    schedule |= {member: request[member] for member in ("Description", "KmsKeyArn") if request.get(member)}
    dates = {member: _seconds(request[member], member) for member in ("StartDate", "EndDate") if member in request}
    if len(dates) == 2 and dates["EndDate"] <= dates["StartDate"]:
        raise invalid("The StartDate must come before the EndDate.")
    return schedule | dates


def _one_of(request: Mapping[str, Any], member: str, allowed: tuple[str, ...]) -> str:
    """A member's value, the first one allowed if it is not given."""
    value = request.get(member, allowed[0])
    if value not in allowed:
        raise invalid(f"{member} is {value!r}, expected one of {', '.join(allowed)}")
    return str(value)


def _flexible_time_window(given: Any) -> dict[str, Any]:
    """A schedule that may start late starts at the beginning of its window, which keeps the promise."""
    window = _object(given, "FlexibleTimeWindow", ("Mode", "MaximumWindowInMinutes"))
    mode = window.get("Mode")
    if mode not in ("OFF", "FLEXIBLE"):
        raise invalid(f"FlexibleTimeWindow.Mode is {mode!r}, expected OFF or FLEXIBLE")
    if mode == "FLEXIBLE":
        _whole_number(window.get("MaximumWindowInMinutes"), "FlexibleTimeWindow.MaximumWindowInMinutes", 1, 1440)
    elif "MaximumWindowInMinutes" in window:
        raise invalid("FlexibleTimeWindow.MaximumWindowInMinutes is for Mode FLEXIBLE")
    return window


def _target(given: Any) -> dict[str, Any]:
    target = _object(given, "Target", tuple(_TARGET_MEMBERS))
    for member, kind in _TARGET_MEMBERS.items():
        if member in target and not isinstance(target[member], kind):
            raise invalid(f"Target.{member} is {target[member]!r}, expected {'text' if kind is str else 'an object'}")
    if not target.get("Arn") or not target.get("RoleArn"):
        raise invalid("Target needs Arn and RoleArn")
    for outer, inner in _TEXTS_IN_TARGET:
        if outer in target:
            _text(target[outer].get(inner), f"Target.{outer}.{inner}")
            allowed = tuple(name for parent, name in _TEXTS_IN_TARGET if parent == outer)
            _object(target[outer], f"Target.{outer}", allowed)
    check_retry_policy(target.get("RetryPolicy"), "Target.RetryPolicy")
    if not is_arn(target["Arn"]):
        raise invalid(f"Target.Arn {target['Arn']!r} is no ARN")
    service = target["Arn"].split(":")[2]
    if service not in TARGET_SERVICES:
        raise invalid(f"the target {target['Arn']} does not work here; functions, queues, streams, topics and buses do")
    if (service == "events") != ("EventBridgeParameters" in target):
        raise invalid("EventBridgeParameters are for event buses, and needed for them")
    return target


def _object(value: Any, member: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise invalid(f"{member} is {value!r}, expected an object")
    unknown = sorted(set(value) - set(allowed))
    if unknown:
        raise invalid(f"{member}.{unknown[0]}: not supported here")
    return dict(value)


def _text(value: Any, member: str) -> None:
    if not isinstance(value, str):
        raise invalid(f"{member} is {value!r}, expected text")


def _whole_number(value: Any, member: str, least: int, most: int) -> None:
    # A template's numbers may be text.
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise invalid(f"{member} is {value!r}, expected {least} to {most}")


def _seconds(moment: Any, member: str) -> float:
    """Epoch seconds of the API's number or a template's ISO text."""
    if isinstance(moment, date):  # YAML makes one of an unquoted date
        moment = moment.isoformat()
    seconds = moment
    if isinstance(moment, str):
        try:
            parsed = datetime.fromisoformat(moment.replace("Z", "+00:00"))
            seconds = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError) as error:
            raise invalid(f"{member} {moment!r} is no point in time") from error
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds <= _LAST_MOMENT_S:
        raise invalid(f"{member} {moment!r} is no point in time")
    return float(seconds)
