"""DynamoDB stream mappings made with boto3 between the real table store and real functions."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.lambda_stack import ADMINISTRATOR, LambdaStack, lambda_stack, until


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LambdaStack]:
    async with lambda_stack(tmp_path) as subject:
        subject.register("probe")
        yield subject


async def create_table(stack: LambdaStack) -> str:
    """A table with a stream; gives the stream's ARN."""
    answer = await stack.dynamodb.call(
        "CreateTable",
        {
            "TableName": "devices",
            "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "PK", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        },
        ADMINISTRATOR,
    )
    return str(answer["TableDescription"]["LatestStreamArn"])


async def put(stack: LambdaStack, key: str, number: int) -> None:
    item = {"PK": {"S": key}, "n": {"N": str(number)}}
    await stack.dynamodb.call("PutItem", {"TableName": "devices", "Item": item}, ADMINISTRATOR)


async def test_change_reaches_the_function_in_lambdas_shape(stack: LambdaStack) -> None:
    arn = await create_table(stack)
    await stack.call("create_event_source_mapping", FunctionName="probe", EventSourceArn=arn, StartingPosition="LATEST")

    await put(stack, "DEV#1", 1)
    await until(lambda: stack.collector.events)

    record: dict[str, Any] = stack.collector.events[0]["Records"][0]
    change = record["dynamodb"]
    assert record["eventName"] == "INSERT"
    assert record["eventSource"] == "aws:dynamodb"
    assert record["awsRegion"] == "us-east-1"
    assert record["eventSourceARN"] == arn
    assert {"eventID", "eventVersion"} <= set(record)
    assert list(change) == [
        "ApproximateCreationDateTime",
        "Keys",
        "NewImage",
        "SequenceNumber",
        "SizeBytes",
        "StreamViewType",
    ]
    assert change["Keys"] == {"PK": {"S": "DEV#1"}}
    assert change["NewImage"] == {"PK": {"S": "DEV#1"}, "n": {"N": "1"}}
    assert change["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert isinstance(change["SequenceNumber"], str)
    assert isinstance(change["SizeBytes"], int)


async def test_partial_response_and_destination_follow_the_sequence_numbers(stack: LambdaStack) -> None:
    arn = await create_table(stack)
    for number in range(4):
        await put(stack, f"DEV#{number}", number)

    def answer(event: dict[str, Any]) -> dict[str, Any]:
        failed = [
            {"itemIdentifier": record["dynamodb"]["SequenceNumber"]}
            for record in event["Records"]
            if record["dynamodb"]["NewImage"]["n"]["N"] == "3"
        ]
        return {"return": {"batchItemFailures": failed}}

    stack.collector.answer = answer
    await stack.call(
        "create_event_source_mapping",
        FunctionName="probe",
        EventSourceArn=arn,
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=3,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:dead"}},
    )
    await until(lambda: stack.failures)

    document = stack.failures[0].document
    failing = stack.collector.events[0]["Records"][3]["dynamodb"]["SequenceNumber"]
    assert [len(event["Records"]) for event in stack.collector.events] == [4, 1, 1, 1, 1]
    assert document["requestContext"]["approximateInvokeCount"] == 4
    assert document["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None}
    assert document["DDBStreamBatchInfo"]["startSequenceNumber"] == failing
    assert document["DDBStreamBatchInfo"]["streamArn"] == arn
    assert len(document["DDBStreamBatchInfo"]["approximateArrivalOfFirstRecord"]) == len("2022-07-13T13:48:01Z")


async def test_filter_passes_the_wanted_changes_only(stack: LambdaStack) -> None:
    arn = await create_table(stack)
    await stack.call(
        "create_event_source_mapping",
        FunctionName="probe",
        EventSourceArn=arn,
        StartingPosition="TRIM_HORIZON",
        FilterCriteria={"Filters": [{"Pattern": '{"eventName":["MODIFY"],"dynamodb":{"NewImage":{"n":{"N":["2"]}}}}'}]},
    )

    await put(stack, "DEV#1", 1)
    await put(stack, "DEV#1", 2)
    await put(stack, "DEV#1", 3)
    await until(lambda: stack.collector.events)

    assert [len(event["Records"]) for event in stack.collector.events] == [1]
