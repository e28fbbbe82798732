"""EventBridge: rules with patterns on an own bus, to a function, a queue and a stream."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.product import Product, eventually
from tests.support.subscriber import Subscriber


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


def test_event_is_a_mutation_that_subscribers_see(product: Product) -> None:
    subscriber = Subscriber(product, "subscription { onShip { order by } }")

    put(product, "o-7", 1, DetailType="OrderShipped")

    by = "arn:aws:sts::123456789012:assumed-role/publish/publish"
    assert subscriber.next() == {"onShip": {"order": "o-7", "by": by}}
    subscriber.close()


def test_mutation_that_the_role_may_not_run_is_a_dead_letter(product: Product) -> None:
    sqs = product.boto3("sqs")
    url = sqs.get_queue_url(QueueName="unpublished")["QueueUrl"]
    sqs.purge_queue(QueueUrl=url)

    put(product, "o-8", 1, DetailType="OrderShipped")

    def letter() -> Any:
        return sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages")

    (message,) = eventually(letter)
    assert json.loads(message["Body"]) == {"order": "o-8"}
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "UnauthorizedException"
    assert message["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"].endswith("Permission denied")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"AppSyncParameters": {"GraphQLOperation": "mutation { x }"}}, "needs RoleArn"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/publish"}, "needs RoleArn and AppSyncParameters.GraphQLOperation"),
        (
            {"Arn": "arn:aws:sqs:us-east-1:123456789012:received", "AppSyncParameters": {"GraphQLOperation": "{ x }"}},
            "AppSyncParameters is not supported",
        ),
    ],
)
def test_api_targets_refuse(product: Product, target: dict[str, Any], message: str) -> None:
    arn = "arn:aws:appsync:us-east-1:123456789012:endpoints/graphql-api/absent"
    events = product.boto3("events")
    events.put_rule(Name="refused", EventPattern=json.dumps({"source": ["me"]}))

    with pytest.raises(ClientError) as refused:
        events.put_targets(Rule="refused", Targets=[{"Id": "1", "Arn": arn, **target}])

    assert message in refused.value.response["Error"]["Message"]


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
    refused = {line for line in product.log().splitlines() if "which AWS would refuse" in line}

    assert len(refused) == 1
    assert "Unpermitted calls the function ship" in refused.pop()


def test_bad_pattern_is_refused(product: Product) -> None:
    with pytest.raises(ClientError) as refused:
        product.boto3("events").put_rule(Name="bad", EventPattern='{"source":"text"}')

    assert refused.value.response["Error"]["Code"] == "InvalidEventPatternException"


def test_topic_reaches_its_function_and_the_queue_whose_filter_passes(product: Product) -> None:
    sns = product.boto3("sns")
    topic = sns.create_topic(Name="news")["TopicArn"]
    big = {"kind": {"DataType": "String", "StringValue": "big"}}

    sns.publish(TopicArn=topic, Message="small news")
    sns.publish(TopicArn=topic, Message="big news", Subject="Now", MessageAttributes=big)

    (notification,) = eventually(lambda: received(product, "readers"))
    assert (notification["Type"], notification["Message"], notification["Subject"]) == (
        "Notification",
        "big news",
        "Now",
    )
    assert notification["MessageAttributes"] == {"kind": {"Type": "String", "Value": "big"}}
    told: list[Any] = []

    def has_both() -> bool:
        told.extend(received(product))
        return len(told) == 2

    assert eventually(has_both)
    assert {(line["told"], line["by"]) for line in told} == {("small news", "aws:sns"), ("big news", "aws:sns")}


def test_raw_subscription_made_through_the_api_outlives_a_restart(product: Product) -> None:
    sns, sqs = product.boto3("sns"), product.boto3("sqs")
    topic = sns.create_topic(Name="made")["TopicArn"]
    sqs.create_queue(QueueName="raw")
    arn = "arn:aws:sqs:us-east-1:123456789012:raw"
    made = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    product.kill()
    product.start()

    sns = product.boto3("sns")
    sns.publish(TopicArn=topic, Message='{"plain":true}')

    assert eventually(lambda: received(product, "raw")) == [{"plain": True}]
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [one["SubscriptionArn"] for one in listed] == [made["SubscriptionArn"]]


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("publish", {"TopicArn": "arn:aws:sns:us-east-1:123456789012:absent", "Message": "x"}, "NotFound"),
        ("create_topic", {"Name": "x.fifo", "Attributes": {"FifoTopic": "true"}}, "InvalidParameter"),
        ("tag_resource", {"ResourceArn": "arn:x", "Tags": []}, "InvalidAction"),
    ],
)
def test_topics_refuse(product: Product, operation: str, request_: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(product.boto3("sns"), operation)(**request_)

    assert refused.value.response["Error"]["Code"] == code


def test_operations_that_put_events_for_themselves_end(tmp_path: Path) -> None:
    template = Path(__file__).parent / "events_app" / "loop.yaml"
    product = Product(tmp_path / "data", template=template).start()
    try:
        entry = {"Source": "loop", "DetailType": "again", "Detail": json.dumps({"n": "1"})}
        for turn in range(2):
            assert product.boto3("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
            assert eventually(lambda: received(product, "ended")) == [{"n": "a"}], turn
        assert "Traceback" not in product.log()
    finally:
        product.kill()
