"""Time zones as tables of offsets, because the JavaScript engine has no zone data of its own."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FIRST_YEAR = 1900
LAST_YEAR = 2101
PROBE_STEP = timedelta(days=14)


def zone_table(name: str) -> dict[str, object] | None:
    """The offsets of an IANA zone from 1900 to 2100, or None for an unknown name.

    `{"id", "at": [...], "offsets": [...], "names": [...]}`: `offsets[i]` (seconds east of UTC) and `names[i]` hold from
    `at[i - 1]` (epoch seconds) until `at[i]`. Periods shorter than two weeks are not seen.
    """
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    moment = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
    end = datetime(LAST_YEAR, 1, 1, tzinfo=UTC)
    offset, label = _period(zone, moment)
    at: list[int] = []
    offsets = [offset]
    names = [label]
    while moment < end:
        following = moment + PROBE_STEP
        if _period(zone, following) != (offset, label):
            change = _find_change(zone, moment, following)
            offset, label = _period(zone, following)
            at.append(int(change.timestamp()))
            offsets.append(offset)
            names.append(label)
        moment = following
    return {"id": name, "at": at, "offsets": offsets, "names": names}


def _period(zone: ZoneInfo, moment: datetime) -> tuple[int, str]:
    local = moment.astimezone(zone)
    offset = local.utcoffset()
    return (0 if offset is None else int(offset.total_seconds()), local.tzname() or "")


def _find_change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    before = _period(zone, low)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if _period(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high
