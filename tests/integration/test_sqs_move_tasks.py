"""Dead letters sent back by message move tasks, with boto3's view of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headwater.errors import ServiceError
from headwater.storage.sqs_service import SqsService
from headwater.storage.store import Store

DEAD = "arn:aws:sqs:us-east-1:123456789012:dead"


@pytest.fixture
async def sqs() -> AsyncIterator[SqsService]:
    store = Store.open(None)
    service = SqsService(store, region="us-east-1", account_id="123456789012")
    await service.call("CreateQueue", {"QueueName": "dead"})
    policy = json.dumps({"deadLetterTargetArn": DEAD, "maxReceiveCount": 1})
    for name in ("work", "other"):
        await service.call("CreateQueue", {"QueueName": name, "Attributes": {"RedrivePolicy": policy}})
    yield service
    await store.close()


async def _bury(sqs: SqsService, count: int) -> None:
    for _ in range(count):
        await sqs.send("work", "poison")
    while (await sqs.call("ReceiveMessage", {"QueueUrl": "work", "VisibilityTimeout": 0})).get("Messages"):
        pass


async def _count(sqs: SqsService, name: str) -> int:
    asked = {"QueueUrl": name, "AttributeNames": ["ApproximateNumberOfMessages"]}
    return int((await sqs.call("GetQueueAttributes", asked))["Attributes"]["ApproximateNumberOfMessages"])


async def _refusal(sqs: SqsService, operation: str, **request: Any) -> tuple[str, int, str]:
    with pytest.raises(ServiceError) as caught:
        await sqs.call(operation, request)
    return caught.value.code, caught.value.status, caught.value.message


async def test_without_a_rate_the_move_is_done_when_answered(sqs: SqsService) -> None:
    await _bury(sqs, 2)

    await sqs.call("StartMessageMoveTask", {"SourceArn": DEAD})

    listed = (await sqs.call("ListMessageMoveTasks", {"SourceArn": DEAD}))["Results"]
    assert await _count(sqs, "work") == 2
    assert [{**task, "StartedTimestamp": 0} for task in listed] == [
        {
            "Status": "COMPLETED",
            "SourceArn": DEAD,
            "ApproximateNumberOfMessagesMoved": 2,
            "ApproximateNumberOfMessagesToMove": 2,
            "StartedTimestamp": 0,
        }
    ]


async def test_a_task_with_a_rate_runs_on_alone_and_can_be_cancelled(sqs: SqsService) -> None:
    await _bury(sqs, 5)

    asked = {"SourceArn": DEAD, "MaxNumberOfMessagesPerSecond": 1}
    handle = (await sqs.call("StartMessageMoveTask", asked))["TaskHandle"]
    second = await _refusal(sqs, "StartMessageMoveTask", SourceArn=DEAD)
    running: dict[str, Any] = {"ApproximateNumberOfMessagesMoved": 0}
    while not running["ApproximateNumberOfMessagesMoved"]:
        await asyncio.sleep(0)
        running = (await sqs.call("ListMessageMoveTasks", {"SourceArn": DEAD}))["Results"][0]
    cancelled = await sqs.call("CancelMessageMoveTask", {"TaskHandle": handle})

    assert second[2].startswith("There is already a task running.")
    assert (running["Status"], running["TaskHandle"]) == ("RUNNING", handle)
    assert cancelled == {"ApproximateNumberOfMessagesMoved": 1}
    after = (await sqs.call("ListMessageMoveTasks", {"SourceArn": DEAD}))["Results"][0]
    assert after["Status"] == "CANCELLED"
    assert "TaskHandle" not in after
    assert await _refusal(sqs, "CancelMessageMoveTask", TaskHandle=handle) == (
        "ResourceNotFoundException",
        404,
        "Task does not exist.",
    )


async def test_moves_that_cannot_be_are_refused_in_the_words_of_the_service(sqs: SqsService) -> None:
    absent = "arn:aws:sqs:us-east-1:123456789012:absent"
    missing = "The resource that you specified for the {} parameter doesn't exist."

    assert await _refusal(sqs, "StartMessageMoveTask", SourceArn=absent) == (
        "ResourceNotFoundException",
        404,
        missing.format("SourceArn"),
    )
    assert await _refusal(sqs, "StartMessageMoveTask", SourceArn=DEAD, DestinationArn=absent) == (
        "ResourceNotFoundException",
        404,
        missing.format("DestinationArn"),
    )
    work = DEAD.replace("dead", "work")
    assert (await _refusal(sqs, "StartMessageMoveTask", SourceArn=work))[2] == (
        "Source queue must be configured as a Dead Letter Queue."
    )
    assert (await _refusal(sqs, "CancelMessageMoveTask", TaskHandle="!"))[2] == (
        "Value for parameter TaskHandle is invalid."
    )
    rate = await _refusal(sqs, "StartMessageMoveTask", SourceArn=DEAD, MaxNumberOfMessagesPerSecond=501)
    assert rate[0] == "InvalidParameterValue"
