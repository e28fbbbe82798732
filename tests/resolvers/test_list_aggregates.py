"""Query.listAggregates on moto's table: buckets of any length, page by page, for the own tenant alone."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from resolvers.caller import BadRequest
from resolvers.list_aggregates import MAX_QUERIES, list_aggregates
from streams.aws.calls import Service
from streams.minutes import MINUTE_MS, aggregate_puts
from tests.strawberry_api.callers import SERVICE, person
from tests.strawberry_api.moto_aws import REGION, BotoService, create_table, in_moto

DAY_MS = 86_400_000
NOW_MS = 1_733_054_400_000  # 2024-12-01T12:00:00Z
VIEWER = person("acme").identity


class Aggregates:
    """Aggregates of one device, put as they are in production."""

    def __init__(self) -> None:
        self.max_queries = MAX_QUERIES
        self.table_name = create_table()
        self.table = BotoService(boto3.client("dynamodb", region_name=REGION))

    def put(self, ts: int, *values: float, tenant: str = "acme") -> None:
        history = [
            {"ts": {"N": str(ts)}, "tenantId": {"S": tenant}, "readings": {"M": {"t": {"N": str(value)}}}}
            for value in values
        ]
        for put in aggregate_puts(self.table_name, "dev-1", history, retention_s=60):
            self.table.call("PutItem", put)

    def page(self, identity: Any = VIEWER, **given: Any) -> dict[str, Any]:
        return list_aggregates(
            {"deviceId": "dev-1", "from": "2024-11-01T00:00:00Z", **given},
            identity,
            table=self.table,
            table_name=self.table_name,
            now_ms=NOW_MS,
            max_queries=self.max_queries,
        )

    def all_pages(self, **given: Any) -> tuple[list[dict[str, Any]], int]:
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"nextToken": None}
        for count in range(1, 200):
            page = self.page(**given, nextToken=page["nextToken"])
            found += page["items"]
            if page["nextToken"] is None:
                return found, count
        pytest.fail("the pages never end")


@pytest.fixture
def aggregates(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aggregates]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with in_moto():
        yield Aggregates()


def test_minutes_become_hours(aggregates: Aggregates) -> None:
    hour = NOW_MS - 3_600_000
    aggregates.put(hour, 1, 2)
    aggregates.put(hour + 59 * MINUTE_MS, 9)
    aggregates.put(NOW_MS, 5)

    page = aggregates.page(resolution="HOUR")

    assert page == {
        "items": [
            {
                "deviceId": "dev-1",
                "time": "2024-12-01T12:00:00.000Z",
                "sampleCount": 1,
                "readings": {"t": {"min": 5, "max": 5, "mean": 5.0, "count": 1}},
            },
            {
                "deviceId": "dev-1",
                "time": "2024-12-01T11:00:00.000Z",
                "sampleCount": 3,
                "readings": {"t": {"min": 1, "max": 9, "mean": 4.0, "count": 3}},
            },
        ],
        "nextToken": None,
    }


@pytest.mark.parametrize("resolution", ["MINUTE", "FIVE_MINUTES", "HOUR", "DAY"])
@pytest.mark.parametrize("limit", [1, 100])
def test_pages_put_together_hold_every_minute_once(aggregates: Aggregates, resolution: str, limit: int) -> None:
    # Two months, so that a partition ends within the range.
    for place in range(12):
        aggregates.put(NOW_MS - place * 14 * 3_600_000, place)

    found, _ = aggregates.all_pages(resolution=resolution, limit=limit)

    assert sum(bucket["sampleCount"] for bucket in found) == 12
    times = [bucket["time"] for bucket in found]
    assert times == sorted(set(times), reverse=True)


def test_a_page_that_read_enough_ends_at_a_buckets_edge(aggregates: Aggregates) -> None:
    aggregates.max_queries = 1
    for place in range(10):
        aggregates.put(NOW_MS - place * 6 * 3_600_000, place)

    found, pages = aggregates.all_pages(resolution="DAY")

    assert sum(bucket["sampleCount"] for bucket in found) == 10
    assert pages > 1


def test_years_without_telemetry_are_passed_in_a_few_pages(aggregates: Aggregates) -> None:
    found, pages = aggregates.all_pages(**{"from": "2022-10-01T00:00:00Z"})

    assert (found, pages) == ([], 2)


def test_another_tenants_minutes_are_not_there(aggregates: Aggregates) -> None:
    aggregates.put(NOW_MS, 5)

    assert aggregates.page(person("other", "admin").identity)["items"] == []
    assert aggregates.page(None)["items"] == []
    assert len(aggregates.page(SERVICE.identity)["items"]) == 1


class SmallPages:
    """A table whose pages of a query end after one item, as they end after 1 MB; notes how many it gave."""

    def __init__(self, table: Service) -> None:
        self._table = table
        self.pages = 0

    def call(self, operation: str, request: Any) -> dict[str, Any]:
        self.pages += 1
        return self._table.call(operation, {**request, "Limit": 1})


@pytest.mark.parametrize("max_queries", [1, 2, 3, 20])
def test_a_foreign_device_is_read_and_answered_as_one_that_is_not_there(
    aggregates: Aggregates, max_queries: int
) -> None:
    for place in range(12):
        aggregates.put(NOW_MS - place * 14 * 3_600_000, place)
    aggregates.max_queries = max_queries
    stranger = person("other").identity

    def answer(device_id: str, token: str | None) -> tuple[dict[str, Any], int]:
        table = SmallPages(aggregates.table)
        given = {"deviceId": device_id, "from": "2024-06-01T00:00:00Z", "nextToken": token}
        page = list_aggregates(
            given, stranger, table=table, table_name=aggregates.table_name, now_ms=NOW_MS, max_queries=max_queries
        )
        return page, table.pages

    token: str | None = None
    while True:
        foreign = answer("dev-1", token)
        assert foreign == answer("dev-2", token)
        token = foreign[0]["nextToken"]
        if token is None:
            return


def test_what_no_key_can_hold_is_empty(aggregates: Aggregates) -> None:
    assert aggregates.page(deviceId="x" * 3000) == {"items": [], "nextToken": None}
    assert aggregates.page(**{"from": "9999-12-30T00:00:00Z", "to": "9999-12-31T23:59:59-14:00"})["items"] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limit": 0}, "limit is 0, expected 1 to 500"),
        ({"limit": 501}, "limit is 501, expected 1 to 500"),
        ({"from": "2024-12-02T00:00:00Z"}, "from 2024-12-02T00:00:00Z is after to"),
        ({"from": "2020-01-01T00:00:00Z"}, "from 2020-01-01T00:00:00Z is more than 800 days before to"),
        ({"nextToken": "x"}, "nextToken is not one that listAggregates gave"),
        ({"nextToken": "MQ=="}, "nextToken is not one that listAggregates gave for this resolution"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(given: Any, message: str) -> None:
    class Unread:
        def call(self, operation: str, request: Any) -> dict[str, Any]:
            pytest.fail(f"{operation} was called")

    asked = {"deviceId": "dev-1", "from": "2024-11-01T00:00:00Z", **given}

    with pytest.raises(BadRequest) as error:
        list_aggregates(asked, VIEWER, table=Unread(), table_name="headwater", now_ms=NOW_MS)

    assert str(error.value) == message
