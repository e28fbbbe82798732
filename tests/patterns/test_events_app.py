"""EventBridge: rules with patterns on an own bus, to a function, a queue and a stream."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.product import Product, eventually


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    template = Path(__file__).parent / "events_app" / "template.yaml"
    started = Product(tmp_path_factory.mktemp("events") / "data", template=template)
    try:
        yield started.start()
    finally:
        started.kill()


def put(product: Product, order: str, total: int, **changes: Any) -> dict[str, Any]:
    detail = json.dumps({"order": order, "total": total})
    entry = {"EventBusName": "orders", "Source": "shop", "DetailType": "OrderPlaced", "Detail": detail, **changes}
    answer: dict[str, Any] = product.boto3("events").put_events(Entries=[entry])
    return answer


def received(product: Product, queue: str = "received") -> list[Any]:
    sqs = product.boto3("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in messages]


def shipped(product: Product) -> list[dict[str, Any]]:
    kinesis = product.boto3("kinesis")
    shard = kinesis.list_shards(StreamName="shipped")["Shards"][0]["ShardId"]
    iterator = kinesis.get_shard_iterator(StreamName="shipped", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    return list(kinesis.get_records(ShardIterator=iterator["ShardIterator"])["Records"])


def test_one_time_schedule_that_is_over_fires_once(product: Product) -> None:
    assert eventually(lambda: received(product)) == [{"once": True}]


def test_event_reaches_queue_function_and_stream(product: Product) -> None:
    put(product, "o-1", 250)

    assert eventually(lambda: received(product)) == [{"received": "o-1"}]
    (record,) = eventually(lambda: shipped(product))
    assert record["PartitionKey"] == "o-1"
    assert json.loads(record["Data"])["detail"] == {"order": "o-1"}


def test_event_that_does_not_match_calls_nothing(product: Product) -> None:
    before = len(shipped(product))

    put(product, "o-2", 5)

    assert eventually(lambda: received(product)) == [{"received": "o-2"}]
    time.sleep(0.3)
    assert len(shipped(product)) == before


def test_rule_made_through_the_api_delivers_and_outlives_a_restart(product: Product) -> None:
    events, sqs = product.boto3("events"), product.boto3("sqs")
    sqs.create_queue(QueueName="mine")
    events.put_rule(Name="mine", EventPattern=json.dumps({"source": ["me"]}))
    events.put_targets(Rule="mine", Targets=[{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:123456789012:mine"}])
    product.kill()
    product.start()

    put(product, "o-3", 1, EventBusName="default", Source="me")

    (event,) = eventually(lambda: received(product, "mine"))
    assert event["detail"] == {"order": "o-3", "total": 1}


def test_rule_without_a_permission_is_warned_about(product: Product) -> None:
    assert "Unpermitted calls the function ship, which AWS would refuse" in product.log()


def test_bad_pattern_is_refused(product: Product) -> None:
    with pytest.raises(ClientError) as refused:
        product.boto3("events").put_rule(Name="bad", EventPattern='{"source":"text"}')

    assert refused.value.response["Error"]["Code"] == "InvalidEventPatternException"
