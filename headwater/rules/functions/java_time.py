"""java.time patterns, by which `time_to_epoch` reads a moment. Source: JDK 11, DateTimeFormatter.

Text is English and in its exact case. A letter that is not in `_NUMBERS` or `_reader` is a ValueError.
"""

import calendar
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from headwater.rules.functions.time_zones import DAYS, MONTHS, pieces, zone

_ZONE_ID = r"[+-]\d\d(?::?\d\d){0,2}|[A-Za-z][A-Za-z0-9_./~]*(?:[+-]\d{1,2}(?::?\d\d){0,2})?"
_OFFSET = r"[+-]\d\d(?::?\d\d){0,2}"
# Numeric letters and the name of the field they are.
_NUMBERS: Mapping[str, str] = MappingProxyType(
    {"y": "year", "u": "year", "M": "month", "L": "month", "d": "day", "D": "day of year", "H": "hour", "k": "hour 24",
     "h": "hour of half", "K": "hour of half", "m": "minute", "s": "second", "n": "nano", "A": "milli of day"}
)  # fmt: skip


def parse_time_text(text: str, pattern: str) -> int:
    """Epoch milliseconds of a text; what the pattern does not name is 1970-01-01T00:00:00 UTC.

    Raises: ValueError if the text does not fit the pattern, OverflowError outside years 1..9999.
    """
    expression, fields = _expression(pattern)
    match = re.fullmatch(expression, text, re.ASCII)
    if match is None:
        raise ValueError(f"{text[:60]!r} does not fit {pattern[:60]!r}")
    found: dict[str, str] = {}
    for field, value in zip(fields, match.groups(), strict=True):
        if value is not None and found.setdefault(field, value) != value:
            raise ValueError(f"{field} is both {found[field]} and {value}")
    return _epoch_ms(found)


def _expression(pattern: str) -> tuple[str, list[str]]:
    """The regular expression of a pattern and the fields of its groups."""
    expression, fields, depth = "", [], 0
    parts = pieces(pattern)
    for index, (kind, part) in enumerate(parts):
        if kind == "text":
            expression += re.escape(part)
        elif kind == "bracket":
            depth += 1 if part == "[" else -1
            expression += "(?:" if part == "[" else ")?"
        else:
            is_adjacent = index + 1 < len(parts) and parts[index + 1][0] == "letters"
            field, reader = _reader(part, is_adjacent=is_adjacent)
            expression += f"({reader})"
            fields.append(field)
        if depth < 0:
            raise ValueError(f"unbalanced brackets in {pattern[:60]!r}")
    return expression + ")?" * depth, fields


def _reader(run: str, *, is_adjacent: bool) -> tuple[str, str]:
    """The field of a run of letters and what its text looks like."""
    letter, width = run[0], len(run)
    if letter in "ML" and width >= 3:
        return "month name", _names(MONTHS, width)
    if letter == "E" or (letter in "ec" and width >= 3):
        return "day name", _names(DAYS, width)
    if letter in "yu" and width == 2:
        return "short year", r"\d\d"
    if letter in _NUMBERS:
        return _NUMBERS[letter], _digits(letter, width, is_adjacent=is_adjacent)
    others = {
        "a": ("half", "AM|PM"),
        "G": ("era", "AD|BC" if width < 4 else "Anno Domini|Before Christ"),
        "S": ("fraction", rf"\d{{{min(width, 9)}}}"),
        "V": ("zone", _ZONE_ID),
        "z": ("zone", _ZONE_ID),
        "O": ("zone", r"GMT(?:[+-]\d{1,2}(?::\d\d)?)?"),
        "X": ("zone", f"Z|{_OFFSET}"),
        "x": ("zone", _OFFSET),
        "Z": ("zone", {4: r"GMT(?:[+-]\d\d:\d\d)?", 5: f"Z|{_OFFSET}"}.get(width, r"[+-]\d{4}")),
    }
    if letter not in others or (letter == "V" and width != 2):
        raise ValueError(f"unknown pattern letters {run!r}")
    return others[letter]


def _names(names: tuple[str, ...], width: int) -> str:
    return "|".join(names if width > 3 else dict.fromkeys(name[:3] for name in names))


def _digits(letter: str, width: int, *, is_adjacent: bool) -> str:
    if is_adjacent and width > 1:
        return rf"\d{{{width}}}"
    if letter in "yu":
        return rf"-?\d{{{min(width, 9)},9}}"
    return r"\d{1,9}" if width == 1 else rf"\d{{{min(width, 9)}}}"


def _epoch_ms(fields: Mapping[str, str]) -> int:
    year = 2000 + int(fields["short year"]) if "short year" in fields else int(fields.get("year", 1970))
    if fields.get("era", "AD").startswith("B"):
        year = 1 - year
    month = _month(fields)
    day = int(fields.get("day", 1))
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        raise ValueError(f"there is no month {month} or no day {day}")
    # Java's "smart" resolving: 31 February is the last day of February.
    day = min(day, calendar.monthrange(year, month)[1])
    moment = datetime(year, month, day, tzinfo=zone(fields.get("zone", "UTC"))) + _time_of_day(fields)
    if "day of year" in fields and "day" not in fields:
        moment = moment.replace(month=1, day=1) + timedelta(days=int(fields["day of year"]) - 1)
    name = fields.get("day name")
    if name is not None and not DAYS[moment.weekday()].startswith(name):
        raise ValueError(f"that day is a {DAYS[moment.weekday()]}, not {name}")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _month(fields: Mapping[str, str]) -> int:
    if "month name" in fields:
        return next(index for index, name in enumerate(MONTHS, 1) if name.startswith(fields["month name"]))
    return int(fields.get("month", 1))


def _time_of_day(fields: Mapping[str, str]) -> timedelta:
    if "milli of day" in fields:
        return timedelta(milliseconds=_bounded(fields, "milli of day", 86_399_999))
    minute, second = _bounded(fields, "minute", 59), _bounded(fields, "second", 59)
    hour = _bounded(fields, "hour", 24)
    if hour == 24 and (minute or second):
        raise ValueError("only midnight may be written with hour 24")
    if "hour 24" in fields:
        hour = _bounded(fields, "hour 24", 24) % 24
    if "hour of half" in fields:
        hour = _bounded(fields, "hour of half", 12) % 12 + (12 if fields.get("half") == "PM" else 0)
    fraction = fields.get("fraction") or fields.get("nano", "0").zfill(9)
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=int(fraction.ljust(6, "0")[:6]))


def _bounded(fields: Mapping[str, str], name: str, maximum: int) -> int:
    value = int(fields.get(name, 0))
    if value > maximum:
        raise ValueError(f"{name} {value} is larger than {maximum}")
    return value
