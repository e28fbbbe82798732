"""Time zones by the names Joda-Time and Java know them by, and the patterns' common tokens."""

import re
from collections.abc import Mapping
from datetime import UTC, timedelta, timezone, tzinfo
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MONTHS: Final = tuple("January February March April May June July August September October November December".split())
DAYS: Final = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
_PIECES = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z'\[\]]+|[\[\]]")
_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d\d))?(?::?(\d\d))?", re.ASCII)
# Zones whose tz database abbreviation is only an offset, by the name Java has for it.
_SHORT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "America/Argentina/Buenos_Aires": "ART",
        "America/Bogota": "COT",
        "America/Caracas": "VET",
        "America/Lima": "PET",
        "America/Montevideo": "UYT",
        "America/Sao_Paulo": "BRT",
        "Asia/Almaty": "ALMT",
        "Asia/Baku": "AZT",
        "Asia/Bangkok": "ICT",
        "Asia/Dhaka": "BDT",
        "Asia/Dubai": "GST",
        "Asia/Ho_Chi_Minh": "ICT",
        "Asia/Kabul": "AFT",
        "Asia/Kathmandu": "NPT",
        "Asia/Kuala_Lumpur": "MYT",
        "Asia/Riyadh": "AST",
        "Asia/Singapore": "SGT",
        "Asia/Tashkent": "UZT",
        "Asia/Tehran": "IRST",
        "Asia/Yangon": "MMT",
        "Europe/Istanbul": "TRT",
    }
)
# What Java takes an abbreviation for.
_ABBREVIATIONS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("PST", "PDT", "PT"), "America/Los_Angeles"),
        **dict.fromkeys(("MST", "MDT", "MT"), "America/Denver"),
        **dict.fromkeys(("CST", "CDT", "CT"), "America/Chicago"),
        **dict.fromkeys(("EST", "EDT", "ET"), "America/New_York"),
        **dict.fromkeys(("AKST", "AKDT"), "America/Anchorage"),
        **dict.fromkeys(("CET", "CEST"), "Europe/Paris"),
        **dict.fromkeys(("EET", "EEST"), "Europe/Athens"),
        **dict.fromkeys(("AEST", "AEDT"), "Australia/Sydney"),
        "HST": "Pacific/Honolulu",
        "BST": "Europe/London",
        "IST": "Asia/Kolkata",
        "JST": "Asia/Tokyo",
        "MSK": "Europe/Moscow",
    }
)


def zone(name: str) -> tzinfo:
    """A zone by its tz database name, abbreviation or offset. Raises: ValueError if there is none."""
    if name in ("Z", "UTC", "GMT", "UT"):
        return UTC
    match = _OFFSET.fullmatch(name)
    if match:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0), seconds=int(match[4] or 0))
        if offset > timedelta(hours=18):
            raise ValueError(f"the offset {name!r} is beyond 18 hours")
        return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(_ABBREVIATIONS.get(name, name))
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise ValueError(f"unknown time zone {name!r}") from error


def short_name(zone_name: str, abbreviation: str) -> str | None:
    """The short name of a zone, None where it has only an offset."""
    is_offset = abbreviation[:1] in "+-" or abbreviation[:4] in ("UTC+", "UTC-")
    return _SHORT_NAMES.get(zone_name) if is_offset else abbreviation


def pieces(pattern: str) -> list[tuple[str, str]]:
    """("letters", run), ("text", literal) and ("bracket", one) pieces in order.

    Raises: ValueError for a quote that is not closed.
    """
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(pattern):
        match = _PIECES.match(pattern, position)
        if match is None:
            raise ValueError(f"unbalanced quote in {pattern[:40]!r}")
        position = match.end()
        if match[1] is not None:
            found.append(("text", match[1].replace("''", "'") or "'"))
        elif match[2] is not None:
            found.append(("letters", match[0]))
        elif match[0] in "[]":
            found.append(("bracket", match[0]))
        else:
            found.append(("text", match[0]))
    return found
