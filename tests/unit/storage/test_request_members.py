"""Every member of every Kinesis and SQS operation, as botocore knows them, is honoured or refused."""

import asyncio
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest

import headwater.sqs
from headwater.errors import ServiceError
from headwater.kinesis.shapes import DRY_RUNS, SHAPES, UNSUPPORTED_MEMBERS
from headwater.storage.kinesis_service import KinesisService
from headwater.storage.store import Store

_SQS_SOURCES = [*Path(headwater.sqs.__file__).parent.glob("*.py")]


def _members(service: str) -> list[tuple[str, str]]:
    model = botocore.session.get_session().get_service_model(service)
    found = []
    for operation in model.operation_names:
        shape = model.operation_model(operation).input_shape
        found += [(operation, member) for member in (shape.members if shape is not None else ())]
    return found


def _kinesis_answer(operation: str, request: dict[str, Any]) -> ServiceError:
    async def call() -> ServiceError:
        store = Store.open(None)
        try:
            service = KinesisService(store, region="us-east-1", account_id="123456789012")
            with pytest.raises(ServiceError) as caught:
                await service.call(operation, request)
            return caught.value
        finally:
            await store.close()

    return asyncio.run(call())


def test_a_member_of_kinesis_is_in_a_table() -> None:
    silent = [
        (operation, member)
        for operation, member in _members("kinesis")
        if operation in SHAPES
        and operation != "SubscribeToShard"  # refused as a whole
        and member not in SHAPES[operation]
        and member not in UNSUPPORTED_MEMBERS.get(operation, {})
        and not (member == "DryRun" and operation in DRY_RUNS)
        and member != "RecordDistributionStrategy"  # its default only, below
    ]

    assert silent == []


def test_an_operation_that_kinesis_has_and_headwater_has_not_is_refused_by_name() -> None:
    absent = {operation for operation, _ in _members("kinesis")} - set(SHAPES)

    assert absent
    for operation in absent:
        error = _kinesis_answer(operation, {})
        assert (error.code, operation in error.message) == ("UnknownOperationException", True)


@pytest.mark.parametrize(
    ("operation", "member", "value"),
    [
        ("DescribeStream", "StreamId", "abc"),
        ("CreateStream", "WarmThroughputMiBps", 10),
        ("UpdateStreamMode", "WarmThroughputMiBps", 10),
        ("CreateStream", "RecordDistributionStrategy", "AUTO"),
    ],
)
def test_a_member_that_would_change_what_happens_is_refused(operation: str, member: str, value: Any) -> None:
    error = _kinesis_answer(operation, {"StreamName": "a", "ShardCount": 1, member: value})

    assert error.code == "InvalidArgumentException"
    assert error.message.startswith(f"{member} ")


def test_a_dry_run_writes_nothing() -> None:
    async def call() -> tuple[ServiceError, ServiceError, list[Any]]:
        store = Store.open(None)
        service = KinesisService(store, region="us-east-1", account_id="123456789012")
        await service.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
        put = {"StreamName": "s", "PartitionKey": "k", "Data": b"x", "DryRun": True}
        errors = []
        for request in (put, {**put, "StreamName": "absent"}):
            with pytest.raises(ServiceError) as caught:
                await service.call("PutRecord", request)
            errors.append(caught.value)
        start = {"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
        iterator = (await service.call("GetShardIterator", start))["ShardIterator"]
        records = (await service.call("GetRecords", {"ShardIterator": f'"{iterator}"'}))["Records"]
        await store.close()
        return errors[0], errors[1], records

    dry, absent, records = asyncio.run(call())

    assert dry.code == "DryRunOperationException"
    assert absent.code == "ResourceNotFoundException"
    assert records == []


def test_a_member_of_sqs_is_read_somewhere() -> None:
    source = "\n".join(path.read_text() for path in _SQS_SOURCES)
    source += (Path(headwater.sqs.__file__).parents[1] / "storage" / "sqs_service.py").read_text()

    silent = [(operation, member) for operation, member in _members("sqs") if not re.search(rf'"{member}"', source)]

    assert silent == []
