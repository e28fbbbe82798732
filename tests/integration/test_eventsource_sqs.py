"""SQS mappings made with boto3 between the real queue store and real functions."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.lambda_stack import LambdaStack, lambda_stack, until

ARN = "arn:aws:sqs:us-east-1:123456789012:work"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LambdaStack]:
    async with lambda_stack(tmp_path) as subject:
        subject.register("probe")
        yield subject


async def create_queue(stack: LambdaStack, name: str = "work", **attributes: str) -> str:
    answer = await stack.sqs.call("CreateQueue", {"QueueName": name, "Attributes": attributes})
    return str(answer["QueueUrl"])


async def create_mapping(stack: LambdaStack, **parameters: Any) -> Any:
    return await stack.call(
        "create_event_source_mapping", **{"FunctionName": "probe", "EventSourceArn": ARN, **parameters}
    )


async def test_message_reaches_the_function_in_lambdas_shape_and_is_deleted(stack: LambdaStack) -> None:
    url = await create_queue(stack)
    created = await create_mapping(stack)

    await stack.sqs.send(url, "work to do")
    await until(lambda: stack.collector.events)
    await stack.mappings.stop()

    record = stack.collector.events[0]["Records"][0]
    attributes = await stack.sqs.call("GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["All"]})
    assert set(record) == {
        "messageId",
        "receiptHandle",
        "body",
        "attributes",
        "messageAttributes",
        "md5OfBody",
        "eventSource",
        "eventSourceARN",
        "awsRegion",
    }
    assert (record["body"], record["eventSource"], record["eventSourceARN"]) == ("work to do", "aws:sqs", ARN)
    assert set(record["attributes"]) >= {"ApproximateReceiveCount", "SentTimestamp", "SenderId"}
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "0"
    assert attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"
    assert created["BatchSize"] == 10
    assert created["StateTransitionReason"] == "USER_INITIATED"
    assert "StartingPosition" not in created


async def test_failed_message_is_tried_again_and_ends_in_the_dead_letter_queue(stack: LambdaStack) -> None:
    dead = await create_queue(stack, "dead")
    redrive = '{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:dead","maxReceiveCount":"2"}'
    url = await create_queue(stack, VisibilityTimeout="3", RedrivePolicy=redrive)
    stack.collector.answer = lambda event: {"raise": "no"}
    await create_mapping(stack)

    await stack.sqs.send(url, "poison")
    received: dict[str, Any] = {}
    while not received.get("Messages"):
        received = await stack.sqs.call("ReceiveMessage", {"QueueUrl": dead, "WaitTimeSeconds": 10})

    counts = [event["Records"][0]["attributes"]["ApproximateReceiveCount"] for event in stack.collector.events]
    assert counts == ["1", "2"]
    assert received["Messages"][0]["Body"] == "poison"


async def test_fifo_group_is_handed_over_in_order(stack: LambdaStack) -> None:
    url = await create_queue(stack, "work.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    for index in range(12):
        message = {"QueueUrl": url, "MessageBody": str(index), "MessageGroupId": f"g{index % 2}"}
        await stack.sqs.call("SendMessage", message)

    await create_mapping(stack, EventSourceArn=f"{ARN}.fifo", BatchSize=2)
    await until(lambda: sum(len(event["Records"]) for event in stack.collector.events) == 12)

    bodies = [int(record["body"]) for event in stack.collector.events for record in event["Records"]]
    assert [body for body in bodies if body % 2 == 0] == [0, 2, 4, 6, 8, 10]
    assert [body for body in bodies if body % 2 == 1] == [1, 3, 5, 7, 9, 11]


@pytest.mark.parametrize(
    ("attributes", "changes", "message"),
    [
        ({}, {"BatchSize": 11}, "Maximum batch window in seconds must be greater than 0 if maximum batch size is"),
        ({}, {"EventSourceArn": f"{ARN}-absent"}, "AWS.SimpleQueueService.NonExistentQueue"),
        ({}, {"DestinationConfig": {"OnFailure": {"Destination": ARN}}}, "Unsupported DestinationConfig parameter"),
        ({}, {"ParallelizationFactor": 2}, "ParallelizationFactor"),
        ({}, {"ScalingConfig": {"MaximumConcurrency": 1001}}, "scalingConfig.maximumConcurrency"),
        (
            {"VisibilityTimeout": "2"},
            {},
            "Queue visibility timeout: 2 seconds is less than Function timeout: 3 seconds",
        ),
    ],
)
async def test_create_refuses(
    stack: LambdaStack, attributes: dict[str, str], changes: dict[str, Any], message: str
) -> None:
    await create_queue(stack, **attributes)

    with pytest.raises(ClientError) as refusal:
        await create_mapping(stack, **changes)

    assert message in refusal.value.response["Error"]["Message"]
