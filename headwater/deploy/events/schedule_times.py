"""When schedules fire: `at(…)`, `rate(…)` and `cron(…)` expressions.

Source: EventBridge Scheduler User Guide, "Schedule types".
"""

import re
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headwater.deploy.events.cron import CronError, parse_cron
from headwater.errors import ServiceError

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_RATE = re.compile(r"rate\((\d+) (minute|minutes|hour|hours|day|days)\)")
_CRON = re.compile(r"cron\((.*)\)")
_MOST_DIGITS = 6  # two thousand years of days
_UNIT_S = {"minute": 60, "hour": 3600, "day": 86_400}


def next_run(expression: str, zone: str, after_s: float, created_s: float) -> float | None:
    """When a schedule fires next, in epoch seconds; None when it never will. Rates count from `created_s`.

    Raises: ServiceError ValidationException for an expression that does not work here.
    """
    once, cron = _AT.fullmatch(expression), _CRON.fullmatch(expression)
    try:
        where = ZoneInfo(zone)
        if once is not None:
            moment = datetime.fromisoformat(once[1]).replace(tzinfo=where).timestamp()
            return moment if moment > after_s else None
        if cron is not None:
            return parse_cron(cron[1]).next_after(after_s, where)
    except (ZoneInfoNotFoundError, CronError, ValueError, OverflowError, OSError) as error:
        raise invalid(f"Invalid Schedule Expression {expression} in {zone!r}: {error}") from error
    rate = _RATE.fullmatch(expression)
    if rate is None or len(rate[1]) > _MOST_DIGITS or int(rate[1]) == 0:
        raise invalid(f"Invalid Schedule Expression {expression}.")
    interval_s = int(rate[1]) * _UNIT_S[rate[2].rstrip("s")]
    periods = max(int((after_s - created_s) // interval_s) + 1, 1)
    return created_s + periods * interval_s


def check_expression(expression: str, zone: str, *, allows_once: bool) -> None:
    """Raises: ServiceError ValidationException; rules have no `at(…)`."""
    if not allows_once and expression.startswith("at("):
        raise invalid("Parameter ScheduleExpression is not valid.")
    next_run(expression, zone, 0.0, 0.0)


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
