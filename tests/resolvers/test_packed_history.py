"""History as clients see it, however ingestion laid it out: every reading once, newest first, in pages of any size."""

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any

import boto3
import pytest

from streams.history import MAX_PACKED, SPAN_MS, history_item, packed_item, packs, single_readings
from streams.items import iso_time
from streams.record import Telemetry
from tests.resolvers.api import Api
from tests.resolvers.conftest import Run
from tests.strawberry_api.callers import person
from tests.strawberry_api.moto_aws import REGION
from tests.strawberry_api.table_source import run_request

# Eight seconds before midnight UTC: a pack may not cross it.
START_MS = 1_732_492_792_000
Order = tuple[int, int]


class History:
    """A device's history, and what listTelemetry makes of it."""

    def __init__(self, api: Api, run: Run) -> None:
        self._api, self._run = api, run
        self._client = boto3.client("dynamodb", region_name=REGION)
        self.items: dict[str, Any] = {}

    def write(self, records: Iterable[Telemetry], *, packed: bool = True, tenant_id: str = "acme") -> None:
        """Write one batch as ingestion does."""
        for pack in packs(records) if packed else ([record] for record in records):
            item = packed_item(pack, tenant_id, 10**9)
            self.items[item["SK"]["S"]] = item
            self._api.table.call("PutItem", {"TableName": self._api.table_name, "Item": item})

    def page(self, **given: Any) -> dict[str, Any]:
        call = {"identity": person("acme").identity, "arguments": {"deviceId": "d", **given}}
        asked = self._run("Query.listTelemetry", "request", **call)
        assert asked.error is None, asked.error
        found = run_request(self._client, self._api.table_name, asked.result)
        answer = self._run("Query.listTelemetry", "response", **call, stash=asked.stash, result=found)
        assert answer.error is None, answer.error
        page: dict[str, Any] = answer.result
        return page

    def listed(self, first: int, last: int, limit: int) -> tuple[list[Order], int]:
        """All pages put together, as (ts, seq), and how many there were."""
        given: dict[str, Any] = {"from": iso_time(first), "to": iso_time(last), "limit": limit}
        seen: list[Order] = []
        for pages in itertools.count(1):
            page = self.page(**given)
            assert len(page["items"]) <= limit
            for shown in page["items"]:
                _, ts, seq = shown["eventId"].split("#")
                assert (shown["time"], shown["seq"]) == (iso_time(int(ts)), int(seq))
                assert shown["readings"] == {"t": int(seq)}
                seen.append((int(ts), int(seq)))
            if page["nextToken"] is None:
                return seen, pages
            given["nextToken"] = page["nextToken"]
        raise AssertionError


@pytest.fixture
def history(api: Api, run: Run) -> History:
    return History(api, run)


def reading(offset_ms: int, seq: int) -> Telemetry:
    return Telemetry("d", START_MS + offset_ms, seq, {"t": seq})


def orders(records: Iterable[Telemetry]) -> list[Order]:
    return sorted((record.order for record in records), reverse=True)


def test_a_pack_keeps_to_its_day_its_span_and_its_size() -> None:
    records = [reading(offset, offset) for offset in range(0, 40_000, 100)]

    made = list(packs(reversed(records)))

    assert [record for pack in made for record in pack] == records
    assert all(len(pack) <= MAX_PACKED and pack[-1].ts - pack[0].ts <= SPAN_MS for pack in made)
    assert all(pack[0].ts // 86_400_000 == pack[-1].ts // 86_400_000 for pack in made)
    assert len(made) < len(records) / 10


def test_large_telemetry_is_packed_with_nothing_else() -> None:
    large = [Telemetry("d", START_MS + seq, seq, {"t": "x" * 40_000}) for seq in range(3)]

    assert [len(pack) for pack in packs(large)] == [1, 1, 1]
    assert packed_item(large[:1], "acme", 1) == history_item(large[0], "acme", 1)


def test_the_largest_pack_fits_an_item() -> None:
    record = Telemetry("d" * 128, START_MS, 1, {f"{n}{'名' * 120}": True for n in range(100)})

    (pack, *rest) = packs([Telemetry("d" * 128, START_MS + n, n, record.readings) for n in range(MAX_PACKED)])

    assert rest
    assert len(str(packed_item(pack, "acme", 1)).encode()) < 400 * 1024


def test_a_pack_is_named_after_what_is_in_it() -> None:
    one, other = ([reading(0, 1), reading(middle, 2), reading(9, 3)] for middle in (4, 5))

    assert packed_item(one, "acme", 60) == packed_item(list(one), "acme", 60)
    assert packed_item(one, "acme", 60)["SK"] != packed_item(other, "acme", 60)["SK"]
    assert packed_item(one, "acme", 60)["ttl"] == {"N": str((START_MS + 9) // 1000 + 60)}


def batches(source: random.Random, sent: Sequence[Telemetry]) -> Iterable[tuple[Sequence[Telemetry], bool]]:
    """Deliver everything at least once: out of order, some of it again, in pieces of other sizes than before."""
    order = list(sent)
    for _ in range(source.randint(0, 30)):
        place = source.randrange(len(order))
        order.insert(max(0, place - source.randint(0, 40)), order.pop(place))
    position = 0
    while position < len(order):
        size = source.randint(1, 40)
        yield order[position : position + size], source.random() < 0.7
        # A batch that failed comes again, from anywhere in it.
        position += size if source.random() < 0.7 else source.randint(0, size)


@pytest.mark.parametrize("seed", range(4))
def test_pages_hold_every_reading_of_the_range_once_newest_first(history: History, seed: int) -> None:
    source = random.Random(seed)
    sent = [reading(source.randrange(0, 20_000), seq) for seq in range(source.choice([30, 100]))]
    for batch, packed in batches(source, sent):
        history.write(batch, packed=packed)

    for _ in range(2):
        first, last = sorted(START_MS + source.randrange(-1000, 21_000) for _ in range(2))
        expected = [order for order in orders(sent) if first <= order[0] <= last]
        for limit in (source.randint(2, 5), source.randint(6, 60), 500):
            assert history.listed(first, last, limit)[0] == expected
    assert [(int(one["ts"]["N"]), int(one["seq"]["N"])) for one in single_readings(history.items.values())] == sorted(
        record.order for record in sent
    )


def test_late_readings_inside_a_pack_come_in_their_place(history: History) -> None:
    early = [reading(0, 0), reading(5000, 1000)]
    late = [reading(100 + seq, seq) for seq in range(1, 80)]
    history.write(early)
    history.write(late, packed=False)

    listed, pages = history.listed(START_MS, START_MS + 9000, 10)

    assert listed == orders([*early, *late])
    # More late messages than a page holds lie between the pack's readings: the page that looks behind them is empty.
    assert pages < 14


def test_more_late_readings_than_can_be_read_at_once_are_named(history: History, run: Run) -> None:
    pack = {"SK": "TS#2", "deviceId": "d", "ts": 9000, "seq": 2}
    pack["pack"] = [{"t": 0, "s": 1, "r": {}}, {"t": 9000, "s": 2, "r": {}}]
    shown = {"SK": "TS#1", "deviceId": "d", "ts": 5000, "seq": 1, "readings": {}}
    cursor = {"day": 0, "before": "0000000005000#0000000000000001", "upper": "TS#2", "items": 8000}
    stash = {"cursor": cursor, "size": 1, "from": "0000000000000#", "isLastDay": True}
    result = {"items": [pack, shown], "nextToken": "more", "scannedCount": 2}

    outcome = run("Query.listTelemetry", "response", stash=stash, result=result)

    assert outcome.error is not None
    assert outcome.error.error_type == "TooDense"


def test_without_packs_a_page_of_telemetry_is_one_query_of_its_size(history: History) -> None:
    history.write([reading(place, place) for place in range(120)], packed=False)

    listed, pages = history.listed(START_MS, START_MS + 1000, 40)

    assert (len(listed), pages) == (120, 3)


def test_what_another_tenant_has_packed_is_not_shown(history: History) -> None:
    history.write([reading(place, place) for place in range(20)], tenant_id="other")
    history.write([reading(100 + place, 100 + place) for place in range(20)])

    assert [seq for _, seq in history.listed(START_MS, START_MS + 1000, 7)[0]] == list(range(119, 99, -1))
