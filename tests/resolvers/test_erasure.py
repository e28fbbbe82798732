"""Erasing a tenant or a removed device on moto's table: complete, resumable, and never another tenant's."""

import contextlib
import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import boto3
import pytest

from resolvers.caller import BadRequest
from resolvers.erase_tenant import NotFound, start, work
from resolvers.erasure import Erasure, OvertakenError, device_partitions, kind_of
from resolvers.iot_data import clear_retained, delete_shadows
from resolvers.remove_device import remove
from streams.aws.calls import AwsError
from streams.history import history_item, packed_item
from streams.items import plain_item, registration
from streams.minutes import aggregate_puts
from streams.record import Telemetry
from tests.strawberry_api.callers import SERVICE, person
from tests.strawberry_api.moto_aws import REGION, BotoService, create_table, in_moto

NOW_MS = 1_732_489_762_123


class SmallPages:
    """The table, with scan pages of a few items, and faults when a source of chance is given."""

    def __init__(self, service: BotoService, source: random.Random | None = None) -> None:
        self._service = service
        self._source = source

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._source is not None and self._source.random() < 0.2:
            raise AwsError("ThrottlingException", "slow down", status=400, document={})
        limited = {**request, "Limit": 3} if operation == "Scan" else request
        return self._service.call(operation, limited)


class DataPlane:
    """IoT Core's shadows and retained messages, which moto has only in part, in pages of two; faults as the table's."""

    def __init__(self) -> None:
        self.shadows: set[tuple[str, str]] = set()
        self.retained: set[str] = set()
        self.source: random.Random | None = None
        self.is_stubborn = False

    def get(self, path: str, *, query: str = "") -> dict[str, Any]:
        self._fail()
        token = dict(parse_qsl(query)).get("nextToken", "")
        if path == "/retainedMessage":
            topics, following = self._page(self.retained, token)
            return {"retainedTopics": [self._row(topic) for topic in topics], "nextToken": following}
        device_id = unquote(path.removeprefix("/api/things/shadow/ListNamedShadowsForThing/"))
        results, following = self._page({name for thing, name in self.shadows if thing == device_id and name}, token)
        return {"results": results, **({"nextToken": following} if following else {})}

    def delete(self, path: str, *, query: str = "") -> dict[str, Any]:
        self._fail()
        shadow = (unquote(path.split("/")[2]), dict(parse_qsl(query)).get("name", ""))
        if shadow not in self.shadows:
            raise AwsError("ResourceNotFoundException", "no", status=404, document={})
        self.shadows.remove(shadow)
        return {}

    def post(self, path: str, body: bytes, *, query: str = "") -> dict[str, Any]:
        self._fail()
        assert (body, query) == (b"", "qos=1&retain=true")
        if not self.is_stubborn:
            self.retained.discard(unquote(path.removeprefix("/topics/")))
        return {}

    @staticmethod
    def _row(topic: str) -> dict[str, Any]:
        return {"topic": topic, "lastModifiedTime": NOW_MS + topic.endswith("new")}

    def _page(self, names: set[str], token: str) -> tuple[list[str], str | None]:
        rest = sorted(name for name in names if name > token)
        return rest[:2], rest[1] if len(rest) > 2 else None

    def _fail(self) -> None:
        if self.source is not None and self.source.random() < 0.2:
            raise AwsError("ThrottlingException", "slow down", status=429, document={})


class Table:
    """A table and a broker with two tenants that have one of everything."""

    def __init__(self) -> None:
        self.name = create_table()
        self.service = BotoService(boto3.client("dynamodb", region_name=REGION))
        self.revoked: list[str] = []
        self.iot_data = DataPlane()
        for tenant_id, device_id in (("acme", "a-1"), ("acme", "a-2"), ("other", "b-1")):
            self.fill(tenant_id, device_id)

    def fill(self, tenant_id: str, device_id: str) -> None:
        given = registration(self.name, device_id, tenant_id, now_ms=NOW_MS, retention_s=10**9)
        self.service.call("TransactWriteItems", given)
        self.iot_data.shadows |= {(device_id, ""), (device_id, "config"), (device_id, "map")}
        topics = (f"devices/{device_id}/commands/1", f"devices/{device_id}/note", f"notes/{device_id}/x")
        self.iot_data.retained.update(topics)
        history = [
            history_item(Telemetry(device_id, NOW_MS - day * 86_400_000, day, {"t": day}), tenant_id, 10**9)
            for day in range(3)
        ]
        for item in history:
            self.put(item)
        for put in aggregate_puts(self.name, device_id, sorted(history, key=lambda i: i["ts"]["N"]), retention_s=10**9):
            self.put(put["Item"])
        own = {"PK": {"S": f"DEV#{device_id}"}, "tenantId": {"S": tenant_id}}
        for sort in (f"ALERT#{NOW_MS:013d}-1-hot", f"COMMAND#{NOW_MS:013d}-ab", "PRESENCE"):
            self.put({**own, "SK": {"S": sort}})
        self.put({"PK": {"S": f"TENANT#{tenant_id}"}, "SK": {"S": "RULE#hot"}, "tenantId": {"S": tenant_id}})
        self.put({"PK": {"S": f"PARTNER#{device_id}"}, "SK": {"S": "TOKEN"}, "tenantId": {"S": tenant_id}})

    def put(self, item: Mapping[str, Any]) -> None:
        self.service.call("PutItem", {"TableName": self.name, "Item": item})

    def of(self, tenant_id: str) -> list[dict[str, Any]]:
        items = [plain_item(item) for item in self.service.call("Scan", {"TableName": self.name})["Items"]]
        return [item for item in items if item.get("tenantId") == tenant_id]

    def erasure(self, source: random.Random | None = None) -> Erasure:
        service = SmallPages(self.service, source)

        def remove_device(device_id: str, tenant_id: str) -> int:
            deleted = []

            def delete(name: str) -> int:
                deleted.append(delete_shadows(self.iot_data, name))
                return deleted[-1]

            remove(
                device_id,
                SERVICE.identity,
                table=service,
                table_name=self.name,
                now_ms=NOW_MS,
                retention_s=60,
                revoke_certificates=self.revoke,
                delete_shadows=delete,
                tenant_id=tenant_id,
            )
            return sum(deleted)

        return Erasure(
            service, self.name, remove_device, self.iot_data, pause=lambda attempt: None, now_ms=lambda: NOW_MS
        )

    def revoke(self, device_id: str) -> int:
        self.revoked.append(device_id)
        return 0


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with in_moto():
        yield Table()


def test_a_tenant_is_erased_to_tombstones_and_a_report(table: Table) -> None:
    erasure, others = table.erasure(), table.of("other")
    erasure.start("acme")

    while erasure.advance("acme"):
        pass

    left = table.of("acme")
    assert sorted(item["SK"] for item in left) == ["ERASURE", "STATE", "STATE"]
    assert all("removedAt" in item for item in left if item["SK"] == "STATE")
    assert table.of("other") == others
    assert sorted(set(table.revoked)) == ["a-1", "a-2"]
    report = erasure.progress("acme")
    assert (report["status"], report["finishedAt"]) == ("DONE", NOW_MS)
    assert report["passes"] >= 2
    kinds = ("history", "aggregates", "alerts", "partnerTokens", "shadows", "retainedMessages")
    assert {kind: report["erased"][kind] for kind in kinds} == {
        "history": 6,
        "aggregates": 6,
        "alerts": 2,
        "partnerTokens": 2,
        "shadows": 6,
        "retainedMessages": 4,
    }
    assert table.iot_data.shadows == {("b-1", ""), ("b-1", "config"), ("b-1", "map")}
    assert table.iot_data.retained == {
        *("notes/a-1/x", "notes/a-2/x", "notes/b-1/x"),
        *("devices/b-1/commands/1", "devices/b-1/note"),
    }


@pytest.mark.parametrize("seed", range(2))
def test_whatever_fails_it_is_taken_up_again(table: Table, seed: int) -> None:
    source = random.Random(seed)
    erasure, table.iot_data.source = table.erasure(source), source
    others = table.of("other")
    for _ in range(400):
        with contextlib.suppress(AwsError):
            erasure.start("acme")
            if not erasure.advance("acme"):
                break

    assert {item["SK"] for item in table.of("acme")} == {"ERASURE", "STATE"}
    assert table.of("other") == others
    assert {device_id for device_id, _ in table.iot_data.shadows} == {"b-1"}
    assert {topic for topic in table.iot_data.retained if topic.startswith("devices/a-")} == set()


def test_what_is_written_behind_the_reader_is_found_by_the_next_pass(table: Table) -> None:
    erasure = table.erasure()
    erasure.start("acme")
    for place in itertools.count():
        if not erasure.advance("acme"):
            break
        if place in (2, 5):
            late = Telemetry("a-1", NOW_MS + place, place, {})
            table.put(history_item(late, "acme", 10**9))

    assert {item["SK"] for item in table.of("acme")} == {"ERASURE", "STATE"}


def test_two_workers_on_one_page_count_it_once(table: Table) -> None:
    class Overtaking(SmallPages):
        """Lets another worker take the page while this one reads it."""

        def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
            answer = super().call(operation, request)
            if operation == "Scan":
                table.erasure().advance("acme")
            return answer

    table.erasure().start("acme")
    slow = table.erasure()

    with pytest.raises(OvertakenError):
        Erasure(
            Overtaking(table.service),
            table.name,
            slow.remove_device,
            table.iot_data,
            pause=slow.pause,
            now_ms=slow.now_ms,
        ).advance("acme")

    assert slow.progress("acme")["step"] == 1


def test_starting_again_resumes_and_after_the_end_begins_anew(table: Table) -> None:
    erasure = table.erasure()
    erasure.start("acme")
    erasure.advance("acme")

    assert erasure.start("acme")["step"] == 1
    while erasure.advance("acme"):
        pass
    assert erasure.start("acme")["step"] == 0


def test_a_removed_devices_data_goes_and_what_came_after_stays(table: Table) -> None:
    erasure = table.erasure()
    erasure.remove_device("a-1", "acme")
    table.put(history_item(Telemetry("a-1", NOW_MS + 1, 9, {}), "acme", 10**9))
    pack = [Telemetry("a-1", NOW_MS - before, 9 - before, {}) for before in (2, 1, 0)]
    table.put(packed_item(pack, "acme", 10**9))

    count = erasure.erase_device("a-1", "acme", before_ms=NOW_MS, days=5, months_back=1)

    assert count == 9
    left = [item for item in table.of("acme") if item["PK"].startswith("DEV#a-1")]
    assert sorted(item["SK"] for item in left) == ["STATE", f"TS#{NOW_MS + 1:013d}#{9:016d}"]
    assert erasure.erase_device("a-1", "acme", before_ms=NOW_MS, days=5, months_back=1) == 0


def test_only_its_own_administrator_erases_a_tenant_and_says_it_twice(table: Table) -> None:
    sent: list[Any] = []

    with pytest.raises(NotFound):
        start("acme", "acme", person("other", "admin").identity, table.erasure(), sent.append)
    with pytest.raises(BadRequest, match="confirm is 'no', expected the tenant's id"):
        start("acme", "no", person("acme", "admin").identity, table.erasure(), sent.append)
    assert sent == []

    report = start("acme", "acme", person("acme", "admin").identity, table.erasure(), sent.append)

    assert (report["status"], sent) == ("RUNNING", [{"tenantId": "acme"}])


def test_a_message_works_for_a_while_and_sends_the_next(table: Table) -> None:
    sent: list[Any] = []
    erasure = table.erasure()
    erasure.start("acme")
    clock = iter(range(0, 10_000, 50))

    work({"tenantId": "acme"}, erasure, sent.append, clock=lambda: float(next(clock)), days=1, months_back=1)

    assert sent == [{"tenantId": "acme"}]
    assert erasure.progress("acme")["status"] == "RUNNING"


def test_a_message_for_a_device_erases_it(table: Table) -> None:
    erasure = table.erasure()
    erasure.remove_device("a-1", "acme")
    message = {"tenantId": "acme", "deviceId": "a-1", "removedAt": NOW_MS, "before": NOW_MS}

    work(message, erasure, [].append, clock=lambda: 0.0, days=5, months_back=1)

    assert [item["SK"] for item in table.of("acme") if item["PK"].startswith("DEV#a-1")] == ["STATE"]


def test_a_removed_devices_retained_messages_and_late_shadow_go_page_by_page(table: Table) -> None:
    sent: list[Any] = []
    erasure = table.erasure()
    erasure.remove_device("a-1", "acme")
    table.iot_data.shadows.add(("a-1", ""))
    clock = iter(range(0, 10_000, 50))
    message: Any = {"tenantId": "acme", "deviceId": "a-1", "removedAt": NOW_MS}

    while message is not None:
        work(message, erasure, sent.append, clock=lambda: float(next(clock)), days=1, months_back=1)
        message = sent.pop() if sent else None

    assert ("a-1", "") not in table.iot_data.shadows
    assert table.iot_data.retained == {
        *("notes/a-1/x", "notes/a-2/x", "notes/b-1/x"),
        *(f"devices/{name}/{rest}" for name in ("a-2", "b-1") for rest in ("commands/1", "note")),
    }
    assert [item["SK"] for item in table.of("acme") if item["PK"] == "DEV#a-1" and item["SK"].startswith("ALERT")]


def test_a_device_that_is_registered_again_keeps_what_is_its_new_owners(table: Table) -> None:
    table.iot_data.retained |= {"devices/b-1/new"}

    # `b-1` was of `acme` until then, and is a live device of `other`.
    message = {"tenantId": "acme", "deviceId": "b-1", "removedAt": NOW_MS}
    work(message, table.erasure(), [].append, clock=lambda: 0.0, days=1, months_back=1)

    assert {topic for topic in table.iot_data.retained if topic.startswith("devices/b-1/")} == {"devices/b-1/new"}
    assert {("b-1", ""), ("b-1", "config")} <= table.iot_data.shadows


def test_a_device_that_was_registered_by_another_tenant_since_it_was_found_stays(table: Table) -> None:
    removed = table.erasure().remove_device("b-1", "acme")

    assert removed == 0
    assert table.revoked == []
    assert ("b-1", "") in table.iot_data.shadows
    assert [item["SK"] for item in table.of("other") if item["SK"] == "STATE" and "removedAt" not in item] == ["STATE"]


def test_an_erasure_leaves_what_other_tenants_tombstones_and_live_devices_retain(table: Table) -> None:
    erasure = table.erasure()
    erasure.remove_device("b-1", "other")
    erasure.start("acme")
    while "retainedFrom" not in erasure.progress("acme"):
        erasure.advance("acme")
    # Registered after the last pass over the table.
    table.put({"PK": {"S": "DEV#a-3"}, "SK": {"S": "STATE"}, "tenantId": {"S": "acme"}})
    table.iot_data.retained.add("devices/a-3/note")

    while erasure.advance("acme"):
        pass

    left = {topic for topic in table.iot_data.retained if topic.startswith("devices/")}
    assert left == {"devices/a-3/note", "devices/b-1/commands/1", "devices/b-1/note"}


def test_whoever_retains_again_and_again_keeps_no_erasure_from_its_end(table: Table) -> None:
    erasure = table.erasure()
    table.iot_data.is_stubborn = True
    erasure.start("acme")

    steps = 0
    while erasure.advance("acme"):
        steps += 1
        assert steps < 500

    assert erasure.progress("acme")["status"] == "DONE"


def test_shadows_that_were_deleted_are_none_the_next_time() -> None:
    iot_data = DataPlane()
    iot_data.shadows = {("d", ""), *(("d", f"name-{number}") for number in range(5)), ("e", "")}

    assert [delete_shadows(iot_data, "d"), delete_shadows(iot_data, "d"), delete_shadows(iot_data, "a.b")] == [6, 0, 0]
    assert iot_data.shadows == {("e", "")}


def test_topics_that_are_no_devices_are_left() -> None:
    iot_data = DataPlane()
    others = {"devices", "devices/d", "devices//x", "devices/a b/x", "other/d/x"}
    iot_data.retained = {*others, "devices/d/x", "devices/d/"}

    count, token = 0, ""
    while True:
        page = clear_retained(iot_data, lambda device_id, stored_ms: True, token)
        count, token = count + page.cleared, page.next_token
        if not token:
            break

    assert count == 2
    assert iot_data.retained == others


def test_a_devices_partitions_cross_the_turn_of_the_year() -> None:
    partitions = list(device_partitions("d", 1_735_689_600_000, days=1, months_back=1))  # 2025-01-01T00:00:00Z

    assert partitions == [
        "DEV#d",
        "DEV#d#2025-01-02",
        "DEV#d#2025-01-01",
        "DEV#d#2024-12-31",
        "DEV#d#2025-01",
        "DEV#d#2024-12",
    ]


@pytest.mark.parametrize(("sort", "kind"), [("TS#1", "history"), ("META", "devices"), ("ELSE", "other")])
def test_items_are_counted_by_kind(sort: str, kind: str) -> None:
    assert kind_of(sort) == kind
