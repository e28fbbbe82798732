"""A migration on live writes: writers of the first deployment write both forms while the backfill reads."""

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from infra.backfill import Attributes, Backfill, Copy, Item, Migration, find_migration
from tests.support.product import ROOT, Product

TABLE = "migrated"
OLD, DEVICES = "DEV#{:04d}", 400


def new_form(item: Item) -> dict[str, Any]:
    """Under another key, by model: what the second deployment will read."""
    device_id = item["PK"]["S"].removeprefix("DEV#")
    return {
        "PK": {"S": f"MODEL#{item['model']['S']}"},
        "SK": {"S": f"DEV#{device_id}"},
        "version": item["version"],
        "schemaVersion": {"N": "2"},
    }


def by_model(item: Item) -> Copy | None:
    return Copy(new_form(item)) if item["SK"]["S"] == "META" else None


def indexed(item: Item) -> Attributes | None:
    if item["SK"]["S"] != "META" or "GSI3PK" in item:
        return None
    return Attributes({"GSI3PK": item["model"], "GSI3SK": item["PK"]})


COPIES = Migration("devices-by-model", by_model, unchanged=("version", "model"))
INDEX = Migration("index-by-model", indexed, unchanged=("model",))


class Writer:
    """A writer of the first deployment: both forms in one transaction, whatever it does to a device."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def register(self, number: int, model: str) -> None:
        if self._read(number) is None:
            item = device(number, model, 1)
            puts = [{"Put": {"TableName": TABLE, "Item": one}} for one in (item, new_form(item))]
            self._client.transact_write_items(TransactItems=puts)

    def change(self, number: int, model: str) -> None:
        before = self._read(number)
        if before is None:
            return
        after = device(number, model, int(before["version"]["N"]) + 1)
        writes: list[dict[str, Any]] = [
            {"Put": {"TableName": TABLE, "Item": after}},
            {"Put": {"TableName": TABLE, "Item": new_form(after)}},
        ]
        if new_form(before)["PK"] != new_form(after)["PK"]:
            writes.append({"Delete": {"TableName": TABLE, "Key": key(new_form(before))}})
        self._client.transact_write_items(TransactItems=writes)

    def remove(self, number: int) -> None:
        before = self._read(number)
        if before is not None:
            deletes = [{"Delete": {"TableName": TABLE, "Key": key(one)}} for one in (before, new_form(before))]
            self._client.transact_write_items(TransactItems=deletes)

    def _read(self, number: int) -> Item | None:
        read = {"TableName": TABLE, "Key": key(device(number, "", 0)), "ConsistentRead": True}
        found: Item | None = self._client.get_item(**read).get("Item")
        return found


def device(number: int, model: str, version: int) -> dict[str, Any]:
    return {
        "PK": {"S": OLD.format(number)},
        "SK": {"S": "META"},
        "model": {"S": model},
        "version": {"N": str(version)},
        "schemaVersion": {"N": "1"},
    }


def key(item: Item) -> dict[str, Any]:
    return {"PK": item["PK"], "SK": item["SK"]}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(tmp_path_factory.mktemp("migration") / "data").start()
    yield running
    assert running.terminate() == 0


@pytest.fixture
def client(product: Product) -> Iterator[Any]:
    """The table as it was before the first deployment: the old form alone, and items of other kinds."""
    found = product.boto3("dynamodb")
    names = ("PK", "SK")
    found.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
    )
    for start in range(0, DEVICES, 25):
        items = [device(number, f"m{number % 3}", 1) for number in range(start, start + 25)]
        items[0] = {**items[0], "SK": {"S": "STATE"}}
        requests = [{"PutRequest": {"Item": item}} for item in items]
        found.batch_write_item(RequestItems={TABLE: requests})
    yield found
    found.delete_table(TableName=TABLE)


def stored(client: Any) -> tuple[dict[str, Item], dict[str, Item]]:
    """Old and new forms by device."""
    pages = client.get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    old = {item["PK"]["S"]: item for item in items if item["SK"]["S"] == "META"}
    new = [item for item in items if item["PK"]["S"].startswith("MODEL#")]
    by_device = {item["SK"]["S"]: item for item in new}
    assert len(by_device) == len(new), "a device has two new forms"
    return old, by_device


def test_after_a_backfill_under_live_writes_both_forms_say_the_same(client: Any) -> None:
    stop = threading.Event()
    failures: list[Exception] = []

    def write(seed: int) -> None:
        writer, source = Writer(client), random.Random(seed)
        # Each writer has devices of its own, as ingestion has: what it reads nobody else changes.
        numbers = range(seed, DEVICES + 100, 4)
        while not stop.is_set():
            number, model = source.choice(numbers), f"m{source.randrange(3)}"
            try:
                source.choice((writer.change, writer.change, writer.register, writer_remove(writer)))(number, model)
            except client.exceptions.TransactionCanceledException as error:
                if "TransactionConflict" not in str(error):
                    failures.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    # It is stopped after two pages of each segment, and goes on from there; then once more from the beginning.
    first = Backfill(client, TABLE, COPIES, segments=3, pages=2, rate_per_s=1e6).run()
    rest = Backfill(client, TABLE, COPIES, segments=3, rate_per_s=1e6).run()
    stop.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert rest.segments_done == 3
    assert first.written + rest.written > 0
    old, new = stored(client)
    assert {name: new_form(item) for name, item in old.items()} == new


def writer_remove(writer: Writer) -> Any:
    return lambda number, model: writer.remove(number)


def test_a_second_run_writes_nothing_and_a_run_from_the_beginning_finds_it_done(client: Any) -> None:
    backfill = Backfill(client, TABLE, COPIES, segments=2, rate_per_s=1e6)
    devices = DEVICES - DEVICES // 25

    first, second = backfill.run(), backfill.run()
    backfill.reset()
    again = backfill.run()

    assert (first.written, first.done_before) == (devices, 0)
    assert (second.read, second.written) == (0, 0)
    assert (again.written, again.done_before) == (0, devices)


def test_what_changed_or_went_after_it_was_read_is_left_to_its_writer(client: Any) -> None:
    changed: list[str] = []

    def overtaken(item: Item) -> Copy | None:
        number = int(item["PK"]["S"].removeprefix("DEV#")) if item["SK"]["S"] == "META" else -1
        if number in (7, 8):
            # Between the read and the write of the backfill.
            changed.append(item["PK"]["S"])
            if number == 7:
                client.delete_item(TableName=TABLE, Key=key(item))
            else:
                Writer(client).change(8, "other")
        return by_model(item)

    Backfill(client, TABLE, Migration("overtaken", overtaken, unchanged=("version",)), rate_per_s=1e6).run()

    old, new = stored(client)
    assert sorted(changed) == ["DEV#0007", "DEV#0008"]
    assert "DEV#0007" not in old
    assert "DEV#0007" not in new
    assert new["DEV#0008"]["PK"] == {"S": "MODEL#other"}
    assert {name: new_form(item) for name, item in old.items()} == new


def test_attributes_of_a_new_index_are_set_once_and_never_over_newer_ones(client: Any) -> None:
    fresh = {**device(1, "m9", 2), "GSI3PK": {"S": "m9"}, "GSI3SK": {"S": "DEV#0001"}}
    client.put_item(TableName=TABLE, Item=fresh)

    report = Backfill(client, TABLE, INDEX, rate_per_s=1e6).run()

    old, _ = stored(client)
    assert report.written == len(old) - 1
    assert all(item["GSI3PK"] == item["model"] for item in old.values())
    assert old["DEV#0001"] == fresh


def test_the_command_runs_some_pages_and_then_the_rest(client: Any, product: Product) -> None:
    environment = {
        "AWS_ENDPOINT_URL": product.ready["awsEndpointUrl"],
        "AWS_ACCESS_KEY_ID": product.ready["accessKeyId"],
        "AWS_SECRET_ACCESS_KEY": product.ready["secretAccessKey"],
        "AWS_DEFAULT_REGION": product.ready["region"],
    }
    command = [sys.executable, "-m", "infra.backfill", "tests.template.test_backfill:COPIES", "--table", TABLE]

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*command, "--rate", "100000", *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    piece, rest, wrong = run("--pages", "1"), run(), run("--segments", "0")

    assert "100 items read" in piece.stdout, piece.stderr
    assert "0 of 1 segments are done" in piece.stdout
    assert "1 of 1 segments are done" in rest.stdout, rest.stderr
    assert (wrong.returncode, "1 or more" in wrong.stderr) == (2, True)


@pytest.mark.parametrize("place", ["nothing", "no.such:X", "infra.backfill:NOTHING", "infra.backfill:Backfill"])
def test_what_is_no_migration_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match=place.partition(":")[0]):
        find_migration(place)
