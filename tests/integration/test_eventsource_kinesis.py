"""Event source mappings made with boto3 between the real Kinesis store and real functions."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from headwater.errors import ServiceError
from tests.integration.lambda_stack import LambdaStack, lambda_stack, until

QUEUE = "arn:aws:sqs:us-east-1:123456789012:dead"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LambdaStack]:
    async with lambda_stack(tmp_path) as subject:
        subject.register("probe")
        yield subject


async def mapped(stack: LambdaStack, **parameters: Any) -> str:
    """A stream and its mapping; gives the mapping's id."""
    arn = await stack.create_stream("telemetry")
    created = await stack.call(
        "create_event_source_mapping",
        **{"FunctionName": "probe", "EventSourceArn": arn, "StartingPosition": "TRIM_HORIZON", **parameters},
    )
    return str(created["UUID"])


def data(event: dict[str, Any]) -> list[str]:
    return [base64.b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]


async def test_record_reaches_the_function_in_lambdas_shape(stack: LambdaStack) -> None:
    await mapped(stack)

    shard_id, sequence_number = await stack.kinesis.put_record("telemetry", "device-1", b'{"ts":1}')
    await until(lambda: stack.collector.events)

    record = stack.collector.events[0]["Records"][0]
    assert isinstance(record["kinesis"].pop("approximateArrivalTimestamp"), float)
    assert record == {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "device-1",
            "sequenceNumber": sequence_number,
            "data": "eyJ0cyI6MX0=",
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id}:{sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/r",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/telemetry",
    }


async def test_poison_record_is_isolated_and_ends_at_the_destination(stack: LambdaStack) -> None:
    stack.collector.answer = lambda event: {"raise": "poison"} if "poison" in data(event) else {}
    texts = ["a", "b", "poison", "c"]
    arn = await stack.create_stream("telemetry")
    numbers = await stack.kinesis.put_records("telemetry", [("device-1", text.encode()) for text in texts])

    await stack.call(
        "create_event_source_mapping",
        FunctionName="probe",
        EventSourceArn=arn,
        StartingPosition="TRIM_HORIZON",
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": QUEUE}},
    )
    await until(lambda: stack.failures and ["c"] in map(data, stack.collector.events))

    info = stack.failures[0].document["KinesisBatchInfo"]
    succeeded = [text for event in stack.collector.events if "poison" not in data(event) for text in data(event)]
    assert (info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"]) == (*[numbers[2][1]] * 2, 1)
    assert succeeded == ["a", "b", "c"]
    assert stack.failures[0].destination == QUEUE


async def test_disabled_mapping_goes_on_from_its_checkpoint(stack: LambdaStack) -> None:
    mapping_id = await mapped(stack)
    await stack.kinesis.put_record("telemetry", "device-1", b"1")
    await until(lambda: stack.collector.events)

    disabling = await stack.call("update_event_source_mapping", UUID=mapping_id, Enabled=False)
    await stack.kinesis.put_record("telemetry", "device-1", b"2")
    disabled = await stack.call("get_event_source_mapping", UUID=mapping_id)
    enabling = await stack.call("update_event_source_mapping", UUID=mapping_id, Enabled=True)
    await until(lambda: len(stack.collector.events) == 2)

    assert [disabling["State"], disabled["State"], enabling["State"]] == ["Disabling", "Disabled", "Enabling"]
    assert list(map(data, stack.collector.events)) == [["1"], ["2"]]


async def test_resharding_loses_and_reorders_nothing(stack: LambdaStack) -> None:
    await mapped(stack, BatchSize=5)
    for index in range(20):
        await stack.kinesis.put_record("telemetry", f"device-{index % 4}", str(index).encode())
    await stack.kinesis.call("UpdateShardCount", {
        "StreamName": "telemetry", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"
    })  # fmt: skip
    for index in range(20, 40):
        await stack.kinesis.put_record("telemetry", f"device-{index % 4}", str(index).encode())

    await until(lambda: sum(len(event["Records"]) for event in stack.collector.events) >= 40)

    seen: dict[str, list[int]] = {}
    for event in stack.collector.events:
        for record, text in zip(event["Records"], data(event), strict=True):
            seen.setdefault(record["kinesis"]["partitionKey"], []).append(int(text))
    assert seen == {f"device-{key}": list(range(key, 40, 4)) for key in range(4)}


async def test_tumbling_window_carries_its_state_to_the_final_invocation(stack: LambdaStack) -> None:
    def answer(event: dict[str, Any]) -> dict[str, Any]:
        return {"return": {"state": {"count": event["state"].get("count", 0) + len(event["Records"])}}}

    stack.collector.answer = answer
    await mapped(stack, TumblingWindowInSeconds=1, BatchSize=2)
    await stack.kinesis.put_records("telemetry", [("device-1", b"x")] * 5)

    await until(lambda: stack.collector.events and stack.collector.events[-1]["isFinalInvokeForWindow"])

    final = stack.collector.events[-1]
    windows = {event["window"]["start"] for event in stack.collector.events}
    assert len(windows) == 1
    assert final["Records"] == []
    assert final["state"] == {"count": 5}
    assert final["shardId"] == "shardId-000000000000"
    assert final["isWindowTerminatedEarly"] is False


async def test_throttled_function_is_called_again_later(stack: LambdaStack) -> None:
    await stack.call("put_function_concurrency", FunctionName="probe", ReservedConcurrentExecutions=0)
    await mapped(stack, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": QUEUE}})
    await stack.kinesis.put_record("telemetry", "device-1", b"1")
    await asyncio.sleep(0.05)

    await stack.call("delete_function_concurrency", FunctionName="probe")
    await until(lambda: stack.collector.events)

    assert stack.failures == []


async def test_listing_the_mappings_of_what_does_not_exist_is_no_error(stack: LambdaStack) -> None:
    await mapped(stack)

    by_function = await stack.call("list_event_source_mappings", FunctionName="missing")
    by_source = await stack.call("list_event_source_mappings", EventSourceArn=QUEUE)

    assert by_function["EventSourceMappings"] == by_source["EventSourceMappings"] == []


async def test_mapping_is_described_as_the_service_does(stack: LambdaStack) -> None:
    arn = await stack.create_stream("telemetry")

    created = await stack.call(
        "create_event_source_mapping",
        FunctionName="probe",
        EventSourceArn=arn,
        StartingPosition="LATEST",
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": QUEUE}},
    )
    listed = await stack.call("list_event_source_mappings", EventSourceArn=arn, FunctionName="probe")
    deleted = await stack.call("delete_event_source_mapping", UUID=created["UUID"])

    for document in (created, deleted):
        document.pop("ResponseMetadata")
        document.pop("LastModified")
    expected = {
        "BatchSize": 100,
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
        "EventSourceArn": arn,
        "EventSourceMappingArn": f"arn:aws:lambda:us-east-1:123456789012:event-source-mapping:{created['UUID']}",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:probe",
        "FunctionResponseTypes": [],
        "LastProcessingResult": "No records processed",
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": 1,
        "ParallelizationFactor": 1,
        "StartingPosition": "LATEST",
        "StateTransitionReason": "User action",
        "TumblingWindowInSeconds": 0,
        "UUID": created["UUID"],
    }
    assert created == {**expected, "State": "Creating"}
    assert deleted == {**expected, "State": "Deleting"}
    assert [entry["UUID"] for entry in listed["EventSourceMappings"]] == [created["UUID"]]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"FunctionName": "absent"}, "InvalidParameterValueException", "Function does not exist"),
        ({"EventSourceArn": "arn:aws:kafka:us-east-1:1:c/x"}, "InvalidParameterValueException", "Unrecognized event"),
        ({"EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/absent"}, "InvalidParameterValueException",
         "Stream not found: arn:aws:kinesis:us-east-1:123456789012:stream/absent"),
        ({"StartingPosition": None}, "InvalidParameterValueException", "Value null at 'startingPosition'"),
        ({"StartingPosition": "EARLIEST"}, "ValidationException", "[LATEST, AT_TIMESTAMP, TRIM_HORIZON]"),
        ({"BatchSize": 10_001}, "ValidationException", "Value '10001' at 'batchSize'"),
        ({"ParallelizationFactor": 11}, "ValidationException", "Value '11' at 'parallelizationFactor'"),
        ({"MaximumRecordAgeInSeconds": 59}, "InvalidParameterValueException", "60"),
        ({"TumblingWindowInSeconds": 901}, "ValidationException", "Value '901' at 'tumblingWindowInSeconds'"),
        ({"TumblingWindowInSeconds": 60, "ParallelizationFactor": 2}, "InvalidParameterValueException", "tumbling"),
        ({"FilterCriteria": {"Filters": [{"Pattern": "text"}]}}, "InvalidParameterValueException",
         "Invalid filter pattern definition."),
        ({"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}}, "InvalidParameterValueException", "Unsupported"),
        ({"ScalingConfig": {"MaximumConcurrency": 5}}, "InvalidParameterValueException", "ScalingConfig"),
    ],
)  # fmt: skip
async def test_create_refuses(stack: LambdaStack, changes: dict[str, Any], code: str, message: str) -> None:
    arn = await stack.create_stream("telemetry")
    request = {"FunctionName": "probe", "EventSourceArn": arn, "StartingPosition": "LATEST", **changes}

    with pytest.raises(ClientError) as refusal:
        await stack.call(
            "create_event_source_mapping", **{name: value for name, value in request.items() if value is not None}
        )

    assert refusal.value.response["Error"]["Code"] == code
    assert message in refusal.value.response["Error"]["Message"]


async def test_second_mapping_of_the_pair_is_a_conflict(stack: LambdaStack) -> None:
    mapping_id = await mapped(stack)
    arn = "arn:aws:kinesis:us-east-1:123456789012:stream/telemetry"

    with pytest.raises(ClientError) as refusal:
        await stack.call(
            "create_event_source_mapping", FunctionName="probe", EventSourceArn=arn, StartingPosition="LATEST"
        )

    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert refusal.value.response["Error"]["Message"] == (
        f'The event source arn (" {arn} ") and function (" probe ") provided mapping already exists. '
        f"Please update or delete the existing mapping with UUID {mapping_id}"
    )


async def test_unknown_mapping_is_not_found(stack: LambdaStack) -> None:
    for operation in ("get_event_source_mapping", "delete_event_source_mapping", "update_event_source_mapping"):
        with pytest.raises(ClientError) as refusal:
            await stack.call(operation, UUID="00000000-0000-0000-0000-000000000000")

        assert refusal.value.response["Error"]["Code"] == "ResourceNotFoundException"
        assert json.dumps(refusal.value.response["Error"]["Message"]).startswith('"The resource you requested')


async def test_large_records_are_split_into_events_of_six_megabytes(stack: LambdaStack) -> None:
    arn = await stack.create_stream("telemetry")
    for index in range(8):
        await stack.kinesis.put_record("telemetry", "device-1", str(index).encode() * 1_000_000)
    stack.register("probe", environment={"COLLECTOR": stack.collector_url}, timeout_s=30, memory_mb=512)

    await stack.call(
        "create_event_source_mapping",
        FunctionName="probe",
        EventSourceArn=arn,
        StartingPosition="TRIM_HORIZON",
    )
    await until(lambda: sum(len(event["Records"]) for event in stack.collector.events) == 8)

    sizes = [len(event["Records"]) for event in stack.collector.events]
    texts = [text[0] for event in stack.collector.events for text in data(event)]
    assert sizes == [4, 4]
    assert texts == [str(index) for index in range(8)]


async def test_function_that_times_out_is_a_failed_batch(stack: LambdaStack) -> None:
    stack.register("slow", "app.hang", folder="basics", timeout_s=0.2)

    await mapped(
        stack,
        FunctionName="slow",
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": QUEUE}},
    )
    await stack.kinesis.put_record("telemetry", "device-1", b"1")
    await until(lambda: stack.failures)

    document = stack.failures[0].document
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["requestContext"]["approximateInvokeCount"] == 2
    assert document["responseContext"]["functionError"] == "Unhandled"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("FunctionName", 5),
        ("EventSourceArn", {}),
        ("Enabled", "yes"),
        ("BatchSize", "10"),
        ("BatchSize", True),
        ("FunctionResponseTypes", 1.5),
        ("FunctionResponseTypes", [5]),
        ("FilterCriteria", "x"),
        ("FilterCriteria", {"Filters": 5}),
        ("FilterCriteria", {"Filters": [5]}),
        ("DestinationConfig", [5]),
        ("DestinationConfig", {"OnFailure": {"Destination": 5}}),
        ("StartingPositionTimestamp", "soon"),
        ("ScalingConfig", {"MaximumConcurrency": "x"}),
    ],
)
async def test_member_of_another_type_is_a_serialization_error(stack: LambdaStack, member: str, value: Any) -> None:
    arn = await stack.create_stream("telemetry")
    request = {"FunctionName": "probe", "EventSourceArn": arn, "StartingPosition": "LATEST", member: value}

    with pytest.raises(ServiceError) as refusal:
        await stack.mappings.create(request)

    assert refusal.value.code == "SerializationException"
    assert member in refusal.value.message
