"""Requests with members of any type: a service error, never a crash."""

from collections.abc import Awaitable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.errors import ServiceError
from headwater.kinesis.shapes import SHAPES
from headwater.storage.kinesis_service import KinesisService
from headwater.storage.sqs_service import SqsService
from headwater.storage.store import Store

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/s"
WORDS = ["s", "q", "f.fifo", "shardId-000000000000", "0", "1", "LATEST", "String", "All", "a", "", ARN, "x" * 600]
LEAVES = st.sampled_from(WORDS) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner),
    max_leaves=8,
)
SQS_MEMBERS = {
    "ChangeMessageVisibility": ["ReceiptHandle", "VisibilityTimeout"],
    "ChangeMessageVisibilityBatch": ["Entries"],
    "CreateQueue": ["QueueName", "Attributes", "tags"],
    "DeleteMessage": ["ReceiptHandle"],
    "DeleteMessageBatch": ["Entries"],
    "GetQueueAttributes": ["AttributeNames"],
    "GetQueueUrl": ["QueueName"],
    "ListQueues": ["QueueNamePrefix", "NextToken", "MaxResults"],
    "ListQueueTags": [],
    "ListDeadLetterSourceQueues": [],
    "PurgeQueue": [],
    "ReceiveMessage": ["AttributeNames", "MessageSystemAttributeNames", "MessageAttributeNames", "MaxNumberOfMessages"],
    "SendMessage": ["MessageBody", "MessageAttributes", "MessageSystemAttributes", "MessageGroupId", "DelaySeconds"],
    "SendMessageBatch": ["Entries"],
    "SetQueueAttributes": ["Attributes"],
    "StartMessageMoveTask": ["SourceArn", "DestinationArn"],
    "TagQueue": ["Tags"],
    "UntagQueue": ["TagKeys"],
    "Nonsense": [],
}


async def status_of(call: Awaitable[object]) -> int:
    """The HTTP status of a call; any error but a service error is a crash."""
    try:
        await call
    except ServiceError as error:
        return error.status
    return 200


quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(st.data())
async def test_kinesis_answers_any_request_with_an_answer_or_a_service_error(data: Any) -> None:
    store = Store.open(None)
    service = KinesisService(store, region="us-east-1", account_id="123456789012")
    await service.call("CreateStream", {"StreamName": "s", "ShardCount": 1})

    for _ in range(5):
        operation = data.draw(st.sampled_from(sorted(SHAPES)))
        names = [*SHAPES[operation], "StreamName"]
        request = data.draw(st.dictionaries(st.sampled_from(names), VALUES))
        assert await status_of(service.call(operation, request)) < 500

    await store.close()


@quick
@given(st.data())
async def test_sqs_answers_any_request_with_an_answer_or_a_service_error(data: Any) -> None:
    store = Store.open(None)
    service = SqsService(store, region="us-east-1", account_id="123456789012")
    await service.call("CreateQueue", {"QueueName": "q"})
    await service.call("CreateQueue", {"QueueName": "f.fifo", "Attributes": {"FifoQueue": "true"}})
    await service.send("q", "x")

    for _ in range(5):
        operation = data.draw(st.sampled_from(sorted(SQS_MEMBERS)))
        members = st.fixed_dictionaries({}, optional=dict.fromkeys(SQS_MEMBERS[operation], VALUES))
        request = data.draw(members)
        request["QueueUrl"] = data.draw(st.sampled_from(["q", "f.fifo", "q"]) | LEAVES)
        assert await status_of(service.call(operation, request)) < 500

    await store.close()
