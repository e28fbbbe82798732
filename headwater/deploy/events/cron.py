"""Cron expressions of EventBridge: six fields, with `?`, `L`, `W` and `#`, in a time zone.

Source: EventBridge Scheduler User Guide, "Cron-based schedules"; EventBridge User Guide, "Cron expressions reference".
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_MONTHS = {name: number for number, name in enumerate("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), 1)}
_WEEKDAYS = {name: number for number, name in enumerate("SUN MON TUE WED THU FRI SAT".split(), 1)}
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_NUMBER = re.compile(r"\d+")


class CronError(ValueError):
    """An expression that names no times; the message says which field and why."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression; `days` and `weekdays` are the texts of their fields, of which one is `?`."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: str
    months: frozenset[int]
    weekdays: str
    years: frozenset[int]

    def next_after(self, after_s: float, zone: ZoneInfo) -> float | None:
        """The first matching minute after an epoch time; None when no year is left.

        A local time that a change of clocks leaves out comes an hour later, one that it repeats comes once.
        """
        start = datetime.fromtimestamp(after_s, zone).date()
        for day in self._dates(start):
            for hour in self.hours:
                for minute in self.minutes:
                    moment = datetime.combine(day, time(hour, minute), zone).timestamp()
                    if moment > after_s:
                        return moment
        return None

    def _dates(self, start: date) -> Iterator[date]:
        for year in sorted(self.years):
            for month in sorted(self.months) if year >= start.year else ():
                if (year, month) < (start.year, start.month):
                    continue
                for day in range(1, calendar.monthrange(year, month)[1] + 1):
                    found = date(year, month, day)
                    if found >= start and self._matches(found):
                        yield found

    def _matches(self, day: date) -> bool:
        if self.days != "?":
            return any(_is_day(day, part) for part in self.days.split(","))
        return any(_is_weekday(day, part) for part in self.weekdays.split(","))


def parse_cron(text: str) -> Cron:
    """Read the six fields between the parentheses of `cron(…)`.

    Raises: CronError.
    """
    fields = text.split()
    if len(fields) != 6:
        raise CronError(f"{text!r} has {len(fields)} fields, not minutes hours day-of-month month day-of-week year")
    minutes, hours, days, months, weekdays, years = (field.upper() for field in fields)
    if (days == "?") == (weekdays == "?"):
        raise CronError(f"{text!r}: one of day-of-month and day-of-week is ?, and only one")
    for part in days.split(",") if days != "?" else ():
        _check_day(part)
    for part in weekdays.split(",") if weekdays != "?" else ():
        _check_weekday(part)
    return Cron(
        minutes=tuple(sorted(_numbers(minutes, 0, 59, {}))),
        hours=tuple(sorted(_numbers(hours, 0, 23, {}))),
        days=days,
        months=_numbers(months, 1, 12, _MONTHS),
        weekdays=weekdays,
        years=_numbers(years, _FIRST_YEAR, _LAST_YEAR, {}),
    )


def _numbers(field: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    """The numbers of a field made of `*`, values, `a-b` ranges and `/n` steps, joined by commas."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        every = int(step) if slash and _NUMBER.fullmatch(step) else 0 if slash else 1
        if every < 1:
            raise CronError(f"{part!r}: a step is a number from 1")
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        else:
            begin = _number(first, names)
            end = _number(last, names) if dash else high if slash else begin
        if not low <= begin <= high or not low <= end <= high:
            raise CronError(f"{part!r} is outside {low}-{high}")
        if begin <= end:
            found.update(range(begin, end + 1, every))
        else:  # FRI-MON goes over the end of the week
            found.update(range(begin, high + 1, every))
            found.update(range(low, end + 1, every))
    return frozenset(found)


def _number(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if not _NUMBER.fullmatch(text):
        raise CronError(f"{text!r} is no number")
    return int(text)


# Days


def _check_day(part: str) -> None:
    if part in ("L", "LW"):
        return
    if part.endswith("W"):
        _numbers(part[:-1], 1, 31, {})
        return
    _numbers(part, 1, 31, {})


def _is_day(day: date, part: str) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if part == "L":
        return day.day == last
    if part == "LW":
        return day == _nearest_weekday(day.replace(day=last))
    if part.endswith("W"):
        wanted = int(part[:-1])
        return wanted <= last and day == _nearest_weekday(day.replace(day=wanted))
    return day.day in _numbers(part, 1, 31, {})


def _nearest_weekday(day: date) -> date:
    """Monday to Friday nearest to a date, in the same month."""
    if day.weekday() == 5:
        return day - timedelta(days=1) if day.day > 1 else day + timedelta(days=2)
    if day.weekday() == 6:
        following = day + timedelta(days=1)
        return following if following.month == day.month else day - timedelta(days=2)
    return day


def _check_weekday(part: str) -> None:
    name, mark, number = part.partition("#")
    if mark:
        if not re.fullmatch("[1-5]", number):
            raise CronError(f"{part!r}: # is followed by 1 to 5")
        _numbers(name, 1, 7, _WEEKDAYS)
    elif part != "L":
        _numbers(part.removesuffix("L"), 1, 7, _WEEKDAYS)


def _is_weekday(day: date, part: str) -> bool:
    weekday = day.isoweekday() % 7 + 1  # Sunday is 1
    if part == "L":
        return weekday == 7
    name, mark, number = part.partition("#")
    if mark:
        return weekday in _numbers(name, 1, 7, _WEEKDAYS) and (day.day - 1) // 7 + 1 == int(number)
    if part.endswith("L"):
        is_last = (day + timedelta(days=7)).month != day.month
        return is_last and weekday in _numbers(part[:-1], 1, 7, _WEEKDAYS)
    return weekday in _numbers(part, 1, 7, _WEEKDAYS)
