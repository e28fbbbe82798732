"""Joda-Time patterns, by which `parse_time` writes a moment. Source: Joda-Time, DateTimeFormat.

Names are English. A letter Joda-Time has not is a ValueError.
"""

from datetime import UTC, datetime, timedelta

from headwater.rules.functions.time_zones import DAYS, MONTHS, pieces, short_name, zone

_MAXIMUM_WIDTH = 50


def format_time(pattern: str, epoch_ms: int, zone_name: str = "UTC") -> str:
    """Text of an instant. Raises: ValueError for an unknown letter or zone, OverflowError outside years 1..9999."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=epoch_ms)
    moment = moment.astimezone(zone(zone_name))
    return "".join(_letters(part, moment, zone_name) if kind == "letters" else part for kind, part in pieces(pattern))


def _letters(run: str, moment: datetime, zone_name: str) -> str:
    letter, width = run[0], len(run)
    if width > _MAXIMUM_WIDTH:
        raise ValueError(f"{width} letters {letter!r} in a row")
    if letter in "yYx":
        year = moment.isocalendar().year if letter == "x" else moment.year
        return f"{year % 100:02d}" if width == 2 else str(year).zfill(width)
    if letter == "M" and width >= 3:
        return _text(MONTHS[moment.month - 1], width)
    if letter == "E":
        return _text(DAYS[moment.weekday()], width)
    if letter == "a":
        return "AM" if moment.hour < 12 else "PM"
    if letter == "G":
        return "AD"
    if letter == "S":
        return f"{moment.microsecond // 1000:03d}".ljust(width, "0")[:width]
    if letter == "z":
        return short_name(zone_name, moment.tzname() or zone_name) or _offset(moment, ":")
    if letter == "Z":
        return zone_name if width > 2 else _offset(moment, ":" if width == 2 else "")
    return _number(letter, moment).zfill(width)


def _number(letter: str, moment: datetime) -> str:
    numbers = {
        "M": moment.month,
        "d": moment.day,
        "D": moment.timetuple().tm_yday,
        "e": moment.isoweekday(),
        "w": moment.isocalendar().week,
        "H": moment.hour,
        "k": moment.hour or 24,
        "K": moment.hour % 12,
        "h": moment.hour % 12 or 12,
        "m": moment.minute,
        "s": moment.second,
        "C": moment.year // 100,
    }
    if letter not in numbers:
        raise ValueError(f"unknown pattern letter {letter!r}")
    return str(numbers[letter])


def _text(name: str, width: int) -> str:
    return name if width > 3 else name[:3]


def _offset(moment: datetime, colon: str) -> str:
    minutes = int((moment.utcoffset() or timedelta()).total_seconds() // 60)
    sign, minutes = ("-" if minutes < 0 else "+"), abs(minutes)
    return f"{sign}{minutes // 60:02d}{colon}{minutes % 60:02d}"
