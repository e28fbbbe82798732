"""SQS as boto3 sees it: the real endpoint, long polling, checksums, queues as event sources."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from headwater.server.aws.api import AwsApi
from headwater.server.http.server import HttpServer
from headwater.storage.sqs_service import SqsService
from headwater.storage.store import Store

Call = Callable[..., Any]


def allow_all(principal: object, action: str, resources: object) -> None:
    """No policies in these tests."""


def make_service(store: Store) -> SqsService:
    return SqsService(store, region="us-east-1", account_id="123456789012", clock=time.time)


@pytest_asyncio.fixture
async def call() -> AsyncIterator[Call]:
    """Call boto3's SQS client in a thread; boto3 checks every MD5 that the endpoint answers."""
    store = Store.open(None)
    service = make_service(store)
    api = AwsApi(
        [service],
        region="us-east-1",
        account_id="123456789012",
        find_secret=lambda key: None,
        authorize=allow_all,
        clock=time.time,
    )
    server = HttpServer(api.handle)
    port = await server.start("127.0.0.1", 0)
    service.set_base_url(f"http://127.0.0.1:{port}")
    client = boto3.client(
        "sqs",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )

    async def run(operation: str, **request: Any) -> Any:
        return await asyncio.to_thread(getattr(client, operation), **request)

    yield run
    client.close()
    await server.stop(0)
    await store.close()


async def test_a_message_with_attributes_is_sent_received_and_deleted(call: Call) -> None:
    url = (await call("create_queue", QueueName="q"))["QueueUrl"]
    attributes = {
        "text": {"DataType": "String", "StringValue": "ü"},
        "data": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        "count": {"DataType": "Number", "StringValue": "42"},
    }
    sent = await call("send_message", QueueUrl=url, MessageBody="héllo", MessageAttributes=attributes)

    answer = await call("receive_message", QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"])
    message = answer["Messages"][0]
    await call("delete_message", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    left = await call("get_queue_attributes", QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])

    assert url.endswith("/123456789012/q")
    assert message["MessageId"] == sent["MessageId"]
    assert (message["Body"], message["MessageAttributes"]) == ("héllo", attributes)
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert left["Attributes"] == {"ApproximateNumberOfMessagesNotVisible": "0"}


async def test_batches_are_sent_hidden_and_deleted(call: Call) -> None:
    url = (await call("create_queue", QueueName="q"))["QueueUrl"]
    await call("send_message_batch", QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(10)])

    received = (await call("receive_message", QueueUrl=url, MaxNumberOfMessages=10))["Messages"]
    handles = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(received)]
    hidden = [{**handle, "VisibilityTimeout": 100} for handle in handles]
    changed = await call("change_message_visibility_batch", QueueUrl=url, Entries=hidden)
    deleted = await call("delete_message_batch", QueueUrl=url, Entries=handles)

    assert [m["Body"] for m in received] == [str(n) for n in range(10)]
    assert len(changed["Successful"]) == len(deleted["Successful"]) == 10


async def test_a_long_poll_is_answered_when_a_message_arrives(call: Call) -> None:
    url = (await call("create_queue", QueueName="q"))["QueueUrl"]
    poll = asyncio.create_task(call("receive_message", QueueUrl=url, WaitTimeSeconds=20))
    await asyncio.sleep(0.1)

    await call("send_message", QueueUrl=url, MessageBody="here")

    async with asyncio.timeout(5):
        assert (await poll)["Messages"][0]["Body"] == "here"


async def test_a_fifo_queue_keeps_order_and_drops_duplicates(call: Call) -> None:
    url = (await call("create_queue", QueueName="q.fifo", Attributes={"FifoQueue": "true"}))["QueueUrl"]
    for body in ("1", "2", "2"):
        await call("send_message", QueueUrl=url, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=body)

    received = (await call("receive_message", QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]))["Messages"]

    assert [m["Body"] for m in received] == ["1", "2"]
    assert received[0]["Attributes"]["MessageGroupId"] == "g"


async def test_errors_have_the_codes_that_boto3_shows(call: Call) -> None:
    with pytest.raises(ClientError) as missing:
        await call("get_queue_url", QueueName="nowhere")
    url = (await call("create_queue", QueueName="q"))["QueueUrl"]
    with pytest.raises(ClientError) as handle:
        await call("delete_message", QueueUrl=url, ReceiptHandle="x")

    assert missing.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert type(missing.value).__name__ == "QueueDoesNotExist"
    assert handle.value.response["Error"]["Code"] == "ReceiptHandleIsInvalid"


async def test_queues_are_listed_tagged_purged_and_deleted(call: Call) -> None:
    urls = [(await call("create_queue", QueueName=name, tags={"k": "v"}))["QueueUrl"] for name in ("a", "ab", "b")]
    await call("send_message", QueueUrl=urls[0], MessageBody="x")
    await call("purge_queue", QueueUrl=urls[0])

    assert (await call("list_queues", QueueNamePrefix="a"))["QueueUrls"] == urls[:2]
    assert (await call("list_queue_tags", QueueUrl=urls[0]))["Tags"] == {"k": "v"}
    assert "Messages" not in await call("receive_message", QueueUrl=urls[0])
    await call("delete_queue", QueueUrl=urls[0])
    assert (await call("list_queues"))["QueueUrls"] == urls[1:]


async def test_a_queue_is_an_event_source() -> None:
    store = Store.open(None)
    service = make_service(store)
    await service.call("CreateQueue", {"QueueName": "q"})
    source = service.queue_source("arn:aws:sqs:us-east-1:123456789012:q")
    woken: list[str] = []
    source.listen(lambda: woken.append("woken"))
    message_id = await service.send(
        source.arn, "body", attributes={"k": {"DataType": "String", "StringValue": "v"}}, sender_id="AIDA"
    )

    records = await source.receive(10, 30)
    await source.change_visibility([records[0]["receiptHandle"]], 0)
    again = await source.receive(10)
    await source.delete([again[0]["receiptHandle"]])

    assert woken
    assert records[0] == {
        "messageId": message_id,
        "receiptHandle": records[0]["receiptHandle"],
        "body": "body",
        "attributes": records[0]["attributes"],
        "messageAttributes": {
            "k": {"stringValue": "v", "stringListValues": [], "binaryListValues": [], "dataType": "String"}
        },
        "md5OfBody": "841a2d689ad86bd1611447453c22c6fc",
        "md5OfMessageAttributes": "0a77b0642718c3d9dd47090567d11e0d",
        "eventSource": "aws:sqs",
        "eventSourceARN": source.arn,
        "awsRegion": "us-east-1",
    }
    assert records[0]["attributes"]["SenderId"] == "AIDA"
    assert again[0]["attributes"]["ApproximateReceiveCount"] == "2"
    assert source.next_visible_s() is None
    await store.close()


async def test_messages_survive_a_restart_and_go_with_their_queue(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    service = make_service(store)
    await service.call("CreateQueue", {"QueueName": "q"})
    await service.send("q", "kept")
    await store.close()

    store = Store.open(tmp_path)
    service = make_service(store)
    answer = await service.call("ReceiveMessage", {"QueueUrl": "q"})
    await service.call("DeleteQueue", {"QueueUrl": "q"})
    left = store.read(lambda t: [key for key, _ in t.scan("sqs") if key[:1] != b"i"])
    await store.close()

    assert answer["Messages"][0]["Body"] == "kept"
    assert left == []
