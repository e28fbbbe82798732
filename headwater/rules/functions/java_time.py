"""Date patterns of Joda-Time and Java, as `parse_time` and `time_to_epoch` take them.

Text and month names are English, zones come from the tz database. Letters that are not listed give ValueError.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS = "January February March April May June July August September October November December".split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_PATTERN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


def zone(name: str) -> tzinfo:
    """A zone by its tz database name or as an offset. Raises: ValueError if there is none."""
    match = _OFFSET.fullmatch(name)
    if match:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "-" else offset)
    if name in ("Z", "UTC", "GMT"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"unknown time zone {name!r}") from error


def _pieces(pattern: str) -> list[tuple[str, str]]:
    """("letters", run) and ("text", literal) pieces in order."""
    pieces: list[tuple[str, str]] = []
    position = 0
    for match in _PATTERN.finditer(pattern):
        if match.start() != position:
            raise ValueError(f"unbalanced quote in {pattern!r}")
        position = match.end()
        if match[1] is not None:
            pieces.append(("text", match[1].replace("''", "'") or "'"))
        elif match[2] is not None:
            pieces.append(("letters", match[0]))
        else:
            pieces.append(("text", match[0]))
    if position != len(pattern):
        raise ValueError(f"unbalanced quote in {pattern!r}")
    return pieces


def format_time(pattern: str, epoch_ms: int, zone_name: str = "UTC") -> str:
    """Text of an instant. Raises: ValueError for an unknown letter or zone, OverflowError outside years 1..9999."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=epoch_ms)
    moment = moment.astimezone(zone(zone_name))
    return "".join(part if kind == "text" else _letters(part, moment, zone_name) for kind, part in _pieces(pattern))


def _letters(run: str, moment: datetime, zone_name: str) -> str:
    letter, width = run[0], len(run)
    if letter in "yYux":
        year = moment.isocalendar().year if letter == "x" else moment.year
        return f"{year % 100:02d}" if width == 2 else str(year).zfill(width)
    if letter in "ML":
        return _named(_MONTHS, moment.month - 1, width)
    if letter == "E":
        return _DAYS[moment.weekday()] if width > 3 else _DAYS[moment.weekday()][:3]
    if letter == "a":
        return "AM" if moment.hour < 12 else "PM"
    if letter == "G":
        return "AD"
    if letter == "S":
        return f"{moment.microsecond:06d}".ljust(9, "0")[:width].ljust(width, "0")
    if letter == "z":
        return _zone_text(moment, zone_name)
    if letter in "ZX":
        return _offset_text(run, moment, zone_name)
    numbers = {
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
    return str(numbers[letter]).zfill(width)


def _named(names: list[str], index: int, width: int) -> str:
    if width >= 3:
        return names[index] if width > 3 else names[index][:3]
    return str(index + 1).zfill(width)


def _zone_text(moment: datetime, zone_name: str) -> str:
    name = moment.tzname() or zone_name
    return _offset_text("ZZ", moment, zone_name) if name[:1] in "+-" else name


def _offset_text(run: str, moment: datetime, zone_name: str) -> str:
    minutes = int((moment.utcoffset() or timedelta()).total_seconds() // 60)
    if run[0] == "X" and minutes == 0:
        return "Z"
    if run == "ZZZ":
        return zone_name
    sign, minutes = ("-" if minutes < 0 else "+"), abs(minutes)
    colon = ":" if run in ("ZZ", "XXX") else ""
    if run == "X" and minutes % 60 == 0:
        return f"{sign}{minutes // 60:02d}"
    return f"{sign}{minutes // 60:02d}{colon}{minutes % 60:02d}"


def parse_time_text(text: str, pattern: str) -> int:
    """Epoch milliseconds of a text; what the pattern does not name is 1970-01-01T00:00:00 UTC.

    Raises: ValueError if the text does not fit the pattern.
    """
    groups: list[str] = []
    expression = ""
    pieces = _pieces(pattern)
    for index, (kind, part) in enumerate(pieces):
        if kind == "text":
            expression += re.escape(part)
            continue
        follows_letters = index + 1 < len(pieces) and pieces[index + 1][0] == "letters"
        expression += f"({_reader(part, follows_letters)})"
        groups.append(part)
    match = re.fullmatch(expression, text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"{text!r} does not fit {pattern!r}")
    fields: dict[str, str] = {}
    for run, found in zip(groups, match.groups(), strict=True):
        fields["yy" if run == "yy" else run[0]] = found
    return _epoch_ms(fields)


def _reader(run: str, is_fixed: bool) -> str:
    letter, width = run[0], len(run)
    if letter in "ML" and width >= 3:
        return "|".join(sorted((*_MONTHS, *(name[:3] for name in _MONTHS)), key=len, reverse=True))
    if letter == "E":
        return "|".join(sorted((*_DAYS, *(name[:3] for name in _DAYS)), key=len, reverse=True))
    if letter == "a":
        return "AM|PM"
    if letter == "G":
        return "AD|BC"
    if letter == "z":
        return r"[A-Za-z_/]+|[+-]\d\d:?\d\d"
    if letter in "ZX":
        return r"Z|[+-]\d\d:?(?:\d\d)?|[A-Za-z_/]+"
    if letter == "S":
        return rf"\d{{{width}}}" if is_fixed else r"\d{1,9}"
    if letter in "yYuxdDHkKhmsMLewC":
        return rf"\d{{{width}}}" if is_fixed or run == "yy" else r"-?\d+"
    raise ValueError(f"unknown pattern letter {letter!r}")


def _epoch_ms(fields: dict[str, str]) -> int:
    year = int(fields.get("y") or fields.get("Y") or fields.get("u") or 1970)
    if "yy" in fields:
        year = 2000 + int(fields["yy"])
    month_text = fields.get("M") or fields.get("L") or "1"
    month = int(month_text) if month_text.isdigit() else _month_number(month_text)
    hour = int(fields.get("H") or fields.get("k") or fields.get("K") or fields.get("h") or 0) % 24
    if "a" in fields:
        hour = hour % 12 + (12 if fields["a"].upper() == "PM" else 0)
    microsecond = int((fields.get("S") or "0").ljust(6, "0")[:6])
    moment = datetime(
        year,
        month,
        int(fields.get("d", 1)),
        hour,
        int(fields.get("m", 0)),
        int(fields.get("s", 0)),
        microsecond,
        tzinfo=zone(_zone_name(fields)),
    )
    if "D" in fields and "d" not in fields:
        moment = moment.replace(month=1, day=1) + timedelta(days=int(fields["D"]) - 1)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _month_number(text: str) -> int:
    return next(index for index, name in enumerate(_MONTHS, 1) if name[:3].lower() == text[:3].lower())


def _zone_name(fields: dict[str, str]) -> str:
    name = fields.get("Z") or fields.get("X") or fields.get("z") or "UTC"
    return f"{name}:00" if re.fullmatch(r"[+-]\d\d", name) else name
