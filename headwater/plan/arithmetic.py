"""From a load and a chain to rates: batches, items, capacity units, requests, seconds of functions.

Sources: Lambda Developer Guide, "Using Lambda with Kinesis" (a shard is polled once a second, a table's stream four
times; a batch closes at its size, its window or 6 MB) and DynamoDB Developer Guide, "Partitions and data distribution"
(a partition gives 1000 write units, 3000 read units and 10 GB; each has a shard in the table's stream).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from headwater.plan.chain import Chain, Reader
from headwater.plan.footprint import Item
from headwater.plan.load import MINUTES_A_MONTH, SECONDS_A_MONTH, Load, metered_units

KINESIS_POLL_S, TABLE_STREAM_POLL_S = 1.0, 0.25
SHARD_MESSAGES_PER_S, SHARD_BYTES_PER_S = 1000, 1_000_000
# What is left for peaks: shards are not filled above this, and functions work no more than this part of the time.
SHARD_SHARE, BUSY_SHARE = 0.8, 0.7
MAX_PARALLELIZATION = 10
NEW_TABLE_PARTITIONS, PARTITION_WRITE_UNITS, PARTITION_GB = 4, 1000, 10
_PUT_UNIT_BYTES = 25 * 1024
_EVENT_BYTES = 6 * 1024 * 1024
# A record in a Lambda event: its data in base64, and the members around it.
_RECORD_ENVELOPE_BYTES = 450
_BASE64 = 4 / 3
_DAY_RETENTION_H = 24


@dataclass(frozen=True, slots=True)
class Pace:
    """How one function is invoked: batches a second over all shards, what is in one, and how long it takes."""

    batches_per_s: float
    devices_in_batch: float
    messages_in_batch: float
    requests_in_batch: float
    batch_s: float
    concurrency: int

    @property
    def busy_share(self) -> float:
        """The part of the time its lanes work; above 1 it falls behind."""
        return self.batches_per_s * self.batch_s / self.concurrency


@dataclass(frozen=True, slots=True)
class Rates:
    """What the chain uses each second, and how its functions are paced, with so many shards and lanes."""

    shards: int
    parallelization: int
    table_partitions: int
    paces: dict[str, Pace]
    updates_per_s: float
    update_bytes: float
    stored_gb: float
    per_second: dict[str, float]
    largest_item_bytes: float
    hottest_partition_units: float

    @property
    def keeps_up(self) -> bool:
        return all(pace.busy_share <= BUSY_SHARE for pace in self.paces.values())


def rates(load: Load, chain: Chain, *, shards: int, parallelization: int) -> Rates:
    """Follow the load through the chain."""
    ingest = chain.ingest
    lanes = shards * parallelization
    interval_s = _interval(load, ingest, lanes)
    # A device's messages of one interval are in one batch: its key is on one shard, in one lane.
    groups_per_s = load.devices * min(load.rate_per_s, 1 / interval_s)
    messages_in_group = load.messages_per_s / groups_per_s
    paces = {ingest.name: _stream_pace(load, ingest, lanes, interval_s, groups_per_s)}
    # What a device sends in the last seconds of a minute is written after it, and the minute is summed up once more.
    late_share = min(1.0, load.rate_per_s * (interval_s + paces[ingest.name].batch_s))
    minutes_per_s = load.devices * min(load.rate_per_s, 1 / 60) * (1 + late_share)
    per_group = {
        "Message": (load.messages_per_s, 1.0),
        "Device": (groups_per_s, messages_in_group),
        "DeviceMinute": (minutes_per_s, max(load.rate_per_s * 60, 1.0)),
    }
    readers = (ingest, *chain.on_table)
    write_units = {reader.name: sum(_writes(load, reader, per_group)) for reader in readers}
    stored_gb = _stored_gb(load, chain, per_group)
    partitions = max(
        NEW_TABLE_PARTITIONS,
        math.ceil(sum(write_units.values()) / PARTITION_WRITE_UNITS),
        math.ceil(stored_gb / PARTITION_GB),
    )
    updates_per_s, update_bytes, requests_per_s = 0.0, 0.0, 0.0
    for reader in chain.on_table:
        seen_per_s = sum(_items_per_s(ingest, per_group, reader.name))
        pace = _table_pace(load, reader, paces[ingest.name], seen_per_s, minutes_per_s, partitions)
        paces[reader.name] = pace
        if reader.footprint.publishes is not None:
            published = reader.footprint.publishes
            requests_per_s += pace.batches_per_s * pace.requests_in_batch
            updates_per_s += seen_per_s
            update_bytes = published.event_bytes + published.payload_share * load.payload_bytes
    read_units = sum(
        units
        for reader in readers
        for units in _reads(load, reader, {**per_group, "Batch": (paces[reader.name].batches_per_s, 0.0)})
    )
    used = {
        **_used_by_stream(load, chain, shards),
        "dynamodb_write_units": sum(write_units.values()),
        "dynamodb_read_units": read_units,
        **_used_by_functions(readers, paces),
        "appsync_operations": requests_per_s,
    }
    return Rates(
        shards,
        parallelization,
        partitions,
        paces,
        updates_per_s,
        update_bytes,
        stored_gb,
        used,
        largest_item_bytes=max(_sizes(load, chain, per_group), default=0.0),
        hottest_partition_units=sum(_writes(load, ingest, per_group)) / load.devices,
    )


def _used_by_stream(load: Load, chain: Chain, shards: int) -> dict[str, float]:
    used = {
        "kinesis_shard_hours": shards / 3600,
        "kinesis_put_units": load.messages_per_s * -(-load.payload_bytes // _PUT_UNIT_BYTES),
    }
    if chain.retention_hours > _DAY_RETENTION_H:
        used["kinesis_extended_shard_hours"] = shards / 3600
    return used


def _used_by_functions(readers: Iterable[Reader], paces: Mapping[str, Pace]) -> dict[str, float]:
    used = {"lambda_requests": sum(pace.batches_per_s for pace in paces.values())}
    for reader in readers:
        name = f"lambda_{reader.architecture}_gb_seconds"
        pace = paces[reader.name]
        used[name] = used.get(name, 0.0) + pace.batches_per_s * pace.batch_s * reader.memory_gb
    return used


def smallest(load: Load, chain: Chain) -> Rates:
    """Find the fewest shards, and with them the fewest lanes, that keep up, or the chain's own lanes."""
    per_shard = (SHARD_MESSAGES_PER_S * SHARD_SHARE, SHARD_BYTES_PER_S * SHARD_SHARE)
    shards = max(
        1,
        math.ceil(load.messages_per_s / per_shard[0]),
        math.ceil(load.messages_per_s * load.payload_bytes / per_shard[1]),
    )
    while True:
        for parallelization in range(chain.ingest.parallelization, MAX_PARALLELIZATION + 1):
            found = rates(load, chain, shards=shards, parallelization=parallelization)
            if found.paces[chain.ingest.name].busy_share <= BUSY_SHARE:
                return found
        # More lanes share the same load, so this comes to an end.
        shards = max(shards + 1, math.ceil(shards * 1.1))


def used_in_a_month(load: Load, chain: Chain, found: Rates) -> dict[str, float]:
    """Count what is paid for: the chain's own part first, then what any design pays alike."""
    month = {name: amount * SECONDS_A_MONTH for name, amount in found.per_second.items()}
    month["dynamodb_gb_months"] = found.stored_gb
    if chain.has_recovery:
        month["dynamodb_recovery_gb_months"] = found.stored_gb
    units = metered_units(load.payload_bytes)
    messages = load.messages_per_s * SECONDS_A_MONTH
    return {
        **month,
        "iot_connection_minutes": load.devices * MINUTES_A_MONTH,
        "iot_messages": 0.0 if load.is_basic_ingest else messages * units,
        "iot_rules": messages * units,
        "iot_actions": messages * units,
        "appsync_updates": deliveries_per_s(load, found) * SECONDS_A_MONTH * metered_units(found.update_bytes),
        "appsync_connection_minutes": float(load.subscribers * MINUTES_A_MONTH),
    }


def deliveries_per_s(load: Load, found: Rates) -> float:
    return found.updates_per_s * load.watched * load.subscribers


def _interval(load: Load, reader: Reader, lanes: int) -> float:
    """Seconds from one batch of a lane to the next: its window, or less where it fills earlier."""
    record_bytes = load.payload_bytes * _BASE64 + _RECORD_ENVELOPE_BYTES
    full = max(1, min(reader.batch_size, int(_EVENT_BYTES // record_bytes)))
    return min(max(KINESIS_POLL_S, reader.window_s), full * lanes / load.messages_per_s)


def _stream_pace(load: Load, reader: Reader, lanes: int, interval_s: float, groups_per_s: float) -> Pace:
    batches_per_s = min(lanes / interval_s, groups_per_s)
    devices, messages = groups_per_s / batches_per_s, load.messages_per_s / batches_per_s
    footprint = reader.footprint
    batch_s = footprint.batch_s + footprint.device_s * devices + footprint.message_s * messages
    return Pace(batches_per_s, devices, messages, 0.0, batch_s, lanes)


def _table_pace(
    load: Load, reader: Reader, ingest: Pace, seen_per_s: float, minutes_per_s: float, partitions: int
) -> Pace:
    """Pace a reader of the table's stream: what one ingestion batch writes comes within the time that batch takes."""
    interval_s = max(TABLE_STREAM_POLL_S, reader.window_s)
    polls_in_burst = max(1.0, ingest.batch_s / interval_s)
    lanes = partitions * reader.parallelization
    batches_per_s = min(lanes / interval_s, ingest.batches_per_s * partitions * polls_in_burst, seen_per_s)
    batches_per_s = max(batches_per_s, seen_per_s / reader.batch_size)
    if reader.tumbling_s:
        batches_per_s += partitions / reader.tumbling_s
    changes = seen_per_s / batches_per_s if batches_per_s else 0.0
    footprint = reader.footprint
    published, requests = changes, 0.0
    if footprint.publishes is not None:
        if footprint.publishes.is_watched_alone:
            published = changes * (load.watched if load.subscribers else 0.0)
        # Below one a batch has nothing to publish at times.
        requests = published if published < 1 else float(math.ceil(published / footprint.publishes.together))
    batch_s = footprint.batch_s + footprint.device_s * changes + footprint.request_s * requests
    if footprint.minute_s and batches_per_s:
        batch_s += footprint.minute_s * minutes_per_s / batches_per_s
    return Pace(batches_per_s, changes, changes, requests, batch_s, lanes)


_PerGroup = dict[str, tuple[float, float]]


def _items_per_s(reader: Reader, per_group: _PerGroup, seen_by: str) -> Iterator[float]:
    for item in reader.footprint.writes:
        if item.seen_by == seen_by:
            groups_per_s, messages = per_group[item.per]
            yield groups_per_s * item.pieces(messages)


def _writes(load: Load, reader: Reader, per_group: _PerGroup) -> Iterator[float]:
    for item in reader.footprint.writes:
        groups_per_s, messages = per_group[item.per]
        yield groups_per_s * item.write_units(load.payload_bytes, messages)


def _reads(load: Load, reader: Reader, per_group: _PerGroup) -> Iterator[float]:
    # Who watches everything names nobody.
    named = load.devices * load.watched if load.watched < 1 and load.subscribers else 0.0
    for item in reader.footprint.reads:
        groups_per_s, messages = per_group[item.per]
        yield groups_per_s * item.read_units(load.payload_bytes, messages, named)


def _kept(chain: Chain) -> Iterator[tuple[Item, int]]:
    for reader in (chain.ingest, *chain.on_table):
        for item in reader.footprint.writes:
            if item.days:
                yield item, chain.days[item.days]


def _stored_gb(load: Load, chain: Chain, per_group: _PerGroup) -> float:
    """GB once retention is over: as much is deleted as is written."""
    stored_bytes = 0.0
    for item, days in _kept(chain):
        groups_per_s, messages = per_group[item.per]
        if item.per == "DeviceMinute":
            groups_per_s = load.devices * min(load.rate_per_s, 1 / 60)
        each = item.pieces(messages) * item.piece_bytes(load.payload_bytes, messages)
        stored_bytes += groups_per_s * days * 86_400 * each
    return stored_bytes / 1e9


def _sizes(load: Load, chain: Chain, per_group: _PerGroup) -> Iterator[float]:
    for reader in (chain.ingest, *chain.on_table):
        for item in reader.footprint.writes:
            yield item.piece_bytes(load.payload_bytes, per_group[item.per][1])
