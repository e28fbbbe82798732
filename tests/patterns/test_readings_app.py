"""A Kinesis function with the usual batch of 100 and window of 10 s, and a table whose stream has a function."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.patterns.running_app import logged, running
from tests.support.product import Product, eventually


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running("readings_app", tmp_path_factory) as started:
        yield started


def put(product: Product, device: str, *temperatures: float) -> None:
    records = [
        {"PartitionKey": device, "Data": json.dumps({"temperature": temperature}).encode()}
        for temperature in temperatures
    ]
    product.boto3("kinesis").put_records(StreamName="readings", Records=records)


def test_full_batch_does_not_wait_for_its_window(product: Product) -> None:
    began = time.monotonic()

    put(product, "full", *range(100))

    assert eventually(lambda: {"size": 100} in logged(product, "consume"))
    assert time.monotonic() - began < 9


def test_small_batch_waits_for_the_window(product: Product) -> None:
    began = time.monotonic()
    put(product, "small", 1.5)
    put(product, "small", 2.5)

    assert eventually(lambda: {"size": 2} in logged(product, "consume"), 30)
    assert time.monotonic() - began > 8


def test_consumer_of_the_template_feeds_its_function_also_after_a_restart(product: Product) -> None:
    kinesis = product.boto3("kinesis")
    arn = kinesis.describe_stream_summary(StreamName="readings")["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis.describe_stream_consumer(StreamARN=arn, ConsumerName="watcher")["ConsumerDescription"]

    put(product, "watched", 1)
    assert eventually(lambda: {"from": consumer["ConsumerARN"], "key": "watched"} in logged(product, "watch"))
    product.kill()
    product.start()
    put(product, "again", 1)

    assert eventually(lambda: {"from": consumer["ConsumerARN"], "key": "again"} in logged(product, "watch"))


def test_changes_are_insert_modify_and_remove(product: Product) -> None:
    table = product.boto3("dynamodb")
    item = {"id": {"S": "one"}, "temperature": {"N": "1"}}
    table.put_item(TableName="devices", Item=item)
    table.put_item(TableName="devices", Item=item)  # changes nothing, so the stream says nothing
    table.put_item(TableName="devices", Item={**item, "temperature": {"N": "2"}})
    table.delete_item(TableName="devices", Key={"id": {"S": "one"}})

    def lines() -> list[dict[str, str]]:
        return [line for line in logged(product, "changed") if line["id"] == "one"]

    assert eventually(lambda: len(lines()) >= 3)
    assert lines() == [
        {"event": "INSERT", "id": "one", "new": "1"},
        {"event": "MODIFY", "id": "one", "new": "2", "old": "1"},
        {"event": "REMOVE", "id": "one", "old": "2"},
    ]
