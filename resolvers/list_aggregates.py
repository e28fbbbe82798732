"""Query.listAggregates: a device's history in buckets of a minute to a day, from the minutes that were summed up."""

import base64
import binascii
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import AppSyncResolver

from resolvers.caller import BadRequest, caller_identity, may_see
from streams import items
from streams.aws.calls import Service
from streams.aws.environment import required, service
from streams.minutes import MINUTE_MS, aggregate_sort, aggregates_partition
from streams.record import is_device_id

BUCKET_MS = {
    "MINUTE": MINUTE_MS,
    "FIVE_MINUTES": 5 * MINUTE_MS,
    "HOUR": 60 * MINUTE_MS,
    "DAY": 1440 * MINUTE_MS,
}
MAX_LIMIT = 500
MAX_RANGE_MS = 800 * 86_400_000
# A page of a query has 1 MB, some 1500 minutes of ten readings: an answer is made in a second or two.
MAX_QUERIES = 20


@dataclass(slots=True)
class Bucket:
    """The minutes of one bucket, as far as they were read: reading → [min, max, sum, count]."""

    start: int
    sample_count: int = 0
    readings: dict[str, list[float]] = field(default_factory=dict)

    def add(self, item: Mapping[str, Any]) -> None:
        self.sample_count += item["sampleCount"]
        for name, each in item["readings"].items():
            known = self.readings.setdefault(name, [each["min"], each["max"], 0, 0])
            known[:] = (
                min(known[0], each["min"]),
                max(known[1], each["max"]),
                known[2] + each["sum"],
                known[3] + each["count"],
            )

    def shown(self, device_id: str) -> dict[str, Any]:
        return {
            "deviceId": device_id,
            "time": items.iso_time(self.start),
            "sampleCount": self.sample_count,
            "readings": {
                name: {"min": low, "max": high, "mean": total / count, "count": count}
                for name, (low, high, total, count) in sorted(self.readings.items())
            },
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """A range in whole buckets: `first` inclusive, `end` exclusive, epoch milliseconds."""

    device_id: str
    bucket_ms: int
    first: int
    end: int
    limit: int


def list_aggregates(
    given: Mapping[str, Any],
    identity: Mapping[str, Any] | None,
    *,
    table: Service,
    table_name: str,
    now_ms: int,
    max_queries: int = MAX_QUERIES,
) -> dict[str, Any]:
    """Answer a page of buckets, newest first; empty ones are left out.

    A page ends after `limit` buckets, or after `max_queries` reads at a bucket's edge; `nextToken` goes on there.
    Raises: BadRequest with the value and what was expected.
    """
    asked = _asked(given, now_ms)
    if not is_device_id(asked.device_id):
        return {"items": [], "nextToken": None}
    done: list[Bucket] = []
    for reads, (page, month_start) in enumerate(_pages(table, table_name, asked, identity), start=1):
        _take(done, page, asked.bucket_ms)
        if len(done) > asked.limit:
            return _answer(done[: asked.limit], asked, more_before=done[asked.limit - 1].start)
        if reads >= max_queries and len(done) > 1:
            # The last one may lack minutes: it is read again from its end.
            return _answer(done[:-1], asked, more_before=done[-1].start + asked.bucket_ms)
        if reads >= max_queries and not done and month_start is not None:
            return _answer([], asked, more_before=month_start)
    return _answer(done, asked, more_before=asked.first)


def _answer(buckets: list[Bucket], asked: Asked, *, more_before: int) -> dict[str, Any]:
    token = base64.b64encode(str(more_before).encode()).decode() if more_before > asked.first else None
    return {"items": [bucket.shown(asked.device_id) for bucket in buckets], "nextToken": token}


def _take(done: list[Bucket], page: list[Mapping[str, Any]], bucket_ms: int) -> None:
    """Add a page's minutes to their buckets."""
    for raw in page:
        item = items.plain_item(raw)
        start = item["ts"] - item["ts"] % bucket_ms
        if not done or done[-1].start != start:
            done.append(Bucket(start))
        done[-1].add(item)


def _pages(
    table: Service, table_name: str, asked: Asked, identity: Mapping[str, Any] | None
) -> Iterator[tuple[list[Mapping[str, Any]], int | None]]:
    """Read the range month by month, newest first: each page with the month's start when it is the month's last.

    Pages hold what the caller may see. One that is another owner's alone ends its month and is given as what nothing
    at all would be: how many there are decides neither where an answer ends nor how long it takes.
    """
    end = asked.end
    while end > asked.first:
        low = max(asked.first, _month_start(end - 1))
        query = _query(table_name, asked.device_id, low, end)
        is_first = True
        while True:
            answer = table.call("Query", query)
            visible = [item for item in answer.get("Items", []) if may_see(identity, item["tenantId"]["S"])]
            last = answer.get("LastEvaluatedKey") if visible else None
            if visible or is_first:
                yield visible, low if last is None else None
            if last is None:
                break
            is_first = False
            query = {**query, "ExclusiveStartKey": last}
        end = low


def _query(table_name: str, device_id: str, low: int, end: int) -> dict[str, Any]:
    return {
        "TableName": table_name,
        "KeyConditionExpression": "PK = :pk AND SK BETWEEN :low AND :high",
        "ExpressionAttributeValues": {
            ":pk": {"S": aggregates_partition(device_id, low)},
            ":low": {"S": aggregate_sort(low)},
            ":high": {"S": aggregate_sort(end - 1)},
        },
        "ScanIndexForward": False,
    }


def _month_start(ts: int) -> int:
    moment = datetime.fromtimestamp(ts // 1000, UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1000


def _asked(given: Mapping[str, Any], now_ms: int) -> Asked:
    bucket_ms = BUCKET_MS[given.get("resolution") or "MINUTE"]
    limit = given.get("limit")
    limit = 100 if limit is None else limit
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"limit is {limit}, expected 1 to {MAX_LIMIT}")
    start = _epoch_ms(given["from"])
    last = _epoch_ms(given["to"]) if given.get("to") else now_ms
    if start > last:
        raise BadRequest(f"from {given['from']} is after to")
    if last - start > MAX_RANGE_MS:
        raise BadRequest(f"from {given['from']} is more than {MAX_RANGE_MS // 86_400_000} days before to")
    first = max(0, start - start % bucket_ms)
    # Nothing is stored from beyond the clock, and dates end with the year 9999.
    last = min(last, now_ms + BUCKET_MS["DAY"])
    end = last - last % bucket_ms + bucket_ms
    if given.get("nextToken"):
        end = min(end, _position(given["nextToken"], bucket_ms))
    return Asked(given["deviceId"], bucket_ms, first, end, limit)


def _position(token: str, bucket_ms: int) -> int:
    try:
        position = int(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError) as error:
        raise BadRequest("nextToken is not one that listAggregates gave") from error
    if position < 0 or position % bucket_ms:
        raise BadRequest("nextToken is not one that listAggregates gave for this resolution")
    return position


def _epoch_ms(text: str) -> int:
    # AppSync checked that it is an AWSDateTime.
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


app = AppSyncResolver()  # type: ignore[no-untyped-call]  # Powertools leaves it unannotated
logger = Logger(service="list-aggregates")


@cache
def _table() -> Service:
    return service("dynamodb")


@app.resolver(type_name="Query", field_name="listAggregates")
def resolve_list_aggregates(**given: Any) -> dict[str, Any]:
    """Answer one Query.listAggregates."""
    return list_aggregates(
        given, caller_identity(app), table=_table(), table_name=required("TABLE_NAME"), now_ms=int(time.time() * 1000)
    )


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Any:
    """Resolve for AppSync (direct Lambda resolver: the event is the whole context)."""
    return app.resolve(event, context)
