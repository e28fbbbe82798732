"""Flow 5/8: lay a device's telemetry into history, one item each, or what came together in one item.

A packed item is written once and never changed: its key holds which readings are in it, so a batch that comes again in
other pieces puts other items beside it and takes nothing away. Readers see each reading once, by (`ts`, `seq`).
Keys are those of the newest reading: whatever lies before an item's key in a query has older readings alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from streams.items import DAY_MS, SCHEMA_VERSION, Item, history_key, scalar
from streams.record import Telemetry

# A reader that wants the readings up to a moment looks this far beyond it (resolvers/Query.listTelemetry.js, too).
SPAN_MS = 10_000
MAX_PACKED = 25
# Small telemetry gains by sharing the 1 KB that a write unit is for; an item is far from its 400 KB.
MAX_PACKED_CHARACTERS = 32 * 1024
_PACKED_SCHEMA_VERSION = {"N": "2"}


def history_item(record: Telemetry, tenant_id: str, retention_s: int) -> Item:
    """Build the history item from the payload alone: an identical put emits no stream record."""
    return {
        **_common(record, tenant_id, retention_s),
        "readings": _readings(record),
        "schemaVersion": SCHEMA_VERSION,
    }


def packed_item(records: Sequence[Telemetry], tenant_id: str, retention_s: int) -> Item:
    """Build the item of several records of one pack, oldest first; a record alone is a history item as ever."""
    newest = records[-1]
    if len(records) == 1:
        return history_item(newest, tenant_id, retention_s)
    item = _common(newest, tenant_id, retention_s)
    digest = blake2b(repr([record.order for record in records]).encode(), digest_size=8).hexdigest()
    item["SK"] = {"S": f"{item['SK']['S']}#{records[0].ts:013d}#{digest}"}
    item["pack"] = {
        "L": [
            {"M": {"t": {"N": str(record.ts)}, "s": {"N": str(record.seq)}, "r": _readings(record)}}
            for record in records
        ]
    }
    item["schemaVersion"] = _PACKED_SCHEMA_VERSION
    return item


def packs(records: Iterable[Telemetry]) -> Iterator[list[Telemetry]]:
    """Divide one device's records, each once, into packs: of one UTC day, within SPAN_MS, small enough for an item."""
    pack: list[Telemetry] = []
    characters = 0
    for record in sorted(records, key=lambda record: record.order):
        size = _characters(record)
        if pack and not (
            len(pack) < MAX_PACKED
            and record.ts - pack[0].ts <= SPAN_MS
            and record.ts // DAY_MS == pack[0].ts // DAY_MS
            and characters + size <= MAX_PACKED_CHARACTERS
        ):
            yield pack
            pack, characters = [], 0
        pack.append(record)
        characters += size
    if pack:
        yield pack


def single_readings(history: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Take history items apart: `ts`, `seq`, `tenantId` and `readings` of each reading once, oldest first."""
    found: dict[tuple[int, int], Mapping[str, Any]] = {}
    for item in history:
        for single in _singles(item):
            found[int(single["ts"]["N"]), int(single["seq"]["N"])] = single
    return [found[order] for order in sorted(found)]


def first_ts(sort: str) -> int:
    """Read the oldest `ts` from an item's sort key."""
    parts = sort.split("#")
    return int(parts[3] if len(parts) > 3 else parts[1])


def _singles(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "pack" not in item:
        yield item
        return
    for row in item["pack"]["L"]:
        fields = row["M"]
        yield {"ts": fields["t"], "seq": fields["s"], "readings": fields["r"], "tenantId": item["tenantId"]}


def _common(newest: Telemetry, tenant_id: str, retention_s: int) -> Item:
    partition, sort = history_key(newest.device_id, newest.ts, newest.seq)
    return {
        "PK": {"S": partition},
        "SK": {"S": sort},
        "deviceId": {"S": newest.device_id},
        "tenantId": {"S": tenant_id},
        "ts": {"N": str(newest.ts)},
        "seq": {"N": str(newest.seq)},
        "ttl": {"N": str(newest.ts // 1000 + retention_s)},
    }


def _readings(record: Telemetry) -> dict[str, Any]:
    return {"M": {name: scalar(value) for name, value in record.readings.items()}}


def _characters(record: Telemetry) -> int:
    return sum(len(name) + (len(value) if type(value) is str else 8) for name, value in record.readings.items())
