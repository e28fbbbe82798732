"""Sum up a device's history by minute: which minutes a batch touched, and the aggregate of one minute."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from streams.history import SPAN_MS, first_ts
from streams.items import DAY_MS, SCHEMA_VERSION, Item, history_key, number, plain
from streams.record import MAX_TS_MS

MINUTE_MS = 60_000

# Device id → minutes since the epoch, each once.
Touched = dict[str, list[int]]


def touched_minutes(keys: Iterable[Item], touched: Mapping[str, Sequence[int]]) -> Touched:
    """Add the minutes of history keys (`DEV#<id>#<day>` / `TS#<ts>#<seq>…`) to those touched before.

    A packed item spans less than a minute: the minutes of its oldest and its newest reading are all it has.
    """
    found = {device_id: set(minutes) for device_id, minutes in touched.items()}
    for item_key in keys:
        sort = item_key["SK"]["S"]
        if not sort.startswith("TS#"):
            continue
        # A device id may hold neither '#' nor anything else that keys are made with.
        device_id = item_key["PK"]["S"].split("#")[1]
        found.setdefault(device_id, set()).update((first_ts(sort) // MINUTE_MS, int(sort[3:16]) // MINUTE_MS))
    return {device_id: sorted(minutes) for device_id, minutes in found.items()}


def aggregates_partition(device_id: str, ts: int) -> str:
    """One partition a month: a year of minutes is read with twelve queries, and none is above 10 GB."""
    return f"DEV#{device_id}#{datetime.fromtimestamp(ts // 1000, UTC):%Y-%m}"


def aggregate_sort(ts: int) -> str:
    return f"MIN#{ts:013d}"


def runs_of(minutes: Sequence[int]) -> list[tuple[int, int]]:
    """Join neighbouring minutes of one UTC day (history's partitions) to (first, last), both inclusive."""
    runs: list[tuple[int, int]] = []
    for minute in sorted(set(minutes)):
        starts_day = minute * MINUTE_MS % DAY_MS == 0
        if runs and runs[-1][1] == minute - 1 and not starts_day:
            runs[-1] = (runs[-1][0], minute)
        else:
            runs.append((minute, minute))
    return runs


def history_query(table: str, device_id: str, first: int, last: int) -> dict[str, Any]:
    """Build the Query request over the history of minutes `first` to `last`, of one UTC day.

    A packed item is named after its newest reading, so a little of the next minute comes along.
    """
    partition, low = history_key(device_id, first * MINUTE_MS, 0)
    _, high = history_key(device_id, min(MAX_TS_MS, (last + 1) * MINUTE_MS - 1 + SPAN_MS), 0)
    return {
        "TableName": table,
        "ConsistentRead": True,
        "KeyConditionExpression": "PK = :pk AND SK BETWEEN :low AND :high",
        "ProjectionExpression": "#ts, seq, tenantId, readings, pack",
        "ExpressionAttributeNames": {"#ts": "ts"},
        # '~' is after every digit of the sequence.
        "ExpressionAttributeValues": {":pk": {"S": partition}, ":low": {"S": low}, ":high": {"S": f"{high}~"}},
    }


def aggregate_puts(
    table: str, device_id: str, history: Iterable[Mapping[str, Any]], *, retention_s: int
) -> list[dict[str, Any]]:
    """Build the PutItem request of each minute in `history`, single readings of one device, oldest first.

    A put is the sum of everything history holds of that minute, so that it may be repeated. The condition keeps a
    repetition that read less (an invocation thought dead, history that ended with its retention) from winning.
    """
    by_minute: dict[int, list[Mapping[str, Any]]] = {}
    for item in history:
        by_minute.setdefault(int(item["ts"]["N"]) // MINUTE_MS, []).append(item)
    return [
        {
            "TableName": table,
            "Item": _aggregate_item(device_id, minute * MINUTE_MS, found, retention_s),
            "ConditionExpression": "attribute_not_exists(PK) OR sampleCount <= :count OR tenantId <> :tenant",
            "ExpressionAttributeValues": {":count": _count(found), ":tenant": found[-1]["tenantId"]},
        }
        for minute, found in sorted(by_minute.items())
    ]


def _aggregate_item(device_id: str, ts: int, found: Sequence[Mapping[str, Any]], retention_s: int) -> Item:
    sums: dict[str, list[float]] = {}
    for item in _of_newest_owner(found):
        for name, attribute in item["readings"]["M"].items():
            if "N" in attribute:
                value = plain(attribute)
                known = sums.get(name)
                if known is None:
                    sums[name] = [value, value, value, 1]
                else:
                    known[:] = min(known[0], value), max(known[1], value), known[2] + value, known[3] + 1
    return {
        "PK": {"S": aggregates_partition(device_id, ts)},
        "SK": {"S": aggregate_sort(ts)},
        "deviceId": {"S": device_id},
        "tenantId": found[-1]["tenantId"],
        "ts": {"N": str(ts)},
        "sampleCount": _count(found),
        "readings": {
            "M": {
                name: {"M": {"min": number(low), "max": number(high), "sum": number(total), "count": number(count)}}
                for name, (low, high, total, count) in sums.items()
            }
        },
        "ttl": {"N": str(ts // 1000 + retention_s)},
        "schemaVersion": SCHEMA_VERSION,
    }


def _of_newest_owner(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out what a device sent in the same minute before it changed hands."""
    return [item for item in found if item["tenantId"] == found[-1]["tenantId"]]


def _count(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {"N": str(len(_of_newest_owner(found)))}
