"""Kinesis as boto3 sees it: the real endpoint, the durable store."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from headwater.errors import ServiceError
from headwater.server.aws.api import AwsApi
from headwater.server.http.server import HttpServer
from headwater.storage.kinesis_service import KinesisService
from headwater.storage.store import Store

Call = Callable[..., Any]
DAY_S = 24 * 3600


def allow_all(principal: object, action: str, resources: object) -> None:
    """No policies in these tests."""


class Clock:
    """Real time, which a test may move on."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


def make_service(store: Store, clock: Clock | None = None) -> KinesisService:
    return KinesisService(store, region="us-east-1", account_id="123456789012", clock=clock or Clock())


@pytest_asyncio.fixture
async def call() -> AsyncIterator[Call]:
    """Call boto3's Kinesis client in a thread, against an endpoint with one stream `s` of two shards."""
    store = Store.open(None)
    api = AwsApi(
        [make_service(store)],
        region="us-east-1",
        account_id="123456789012",
        find_secret=lambda key: None,
        authorize=allow_all,
        clock=time.time,
    )
    server = HttpServer(api.handle)
    port = await server.start("127.0.0.1", 0)
    client = boto3.client(
        "kinesis",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )

    async def run(operation: str, **request: Any) -> Any:
        if operation == "wait":
            return await asyncio.to_thread(client.get_waiter("stream_exists").wait, **request)
        return await asyncio.to_thread(getattr(client, operation), **request)

    await run("create_stream", StreamName="s", ShardCount=2)
    yield run
    client.close()
    await server.stop(0)
    await store.close()


async def test_what_was_put_is_read_from_its_shard_in_order(call: Call) -> None:
    await call("wait", StreamName="s")
    put = await call("put_record", StreamName="s", PartitionKey="d1", Data=b"\x00first")
    batch = await call(
        "put_records", StreamName="s", Records=[{"PartitionKey": "d1", "Data": b"%d" % n} for n in range(3)]
    )
    iterator = (
        await call("get_shard_iterator", StreamName="s", ShardId=put["ShardId"], ShardIteratorType="TRIM_HORIZON")
    )["ShardIterator"]

    answer = await call("get_records", ShardIterator=iterator)

    numbers = [put["SequenceNumber"], *(r["SequenceNumber"] for r in batch["Records"])]
    assert [r["Data"] for r in answer["Records"]] == [b"\x00first", b"0", b"1", b"2"]
    assert [r["SequenceNumber"] for r in answer["Records"]] == numbers
    assert abs(answer["Records"][0]["ApproximateArrivalTimestamp"].timestamp() - time.time()) < 60
    assert answer["MillisBehindLatest"] == 0


async def test_streams_are_described_listed_resharded_and_deleted(call: Call) -> None:
    await call("update_shard_count", StreamName="s", TargetShardCount=3, ScalingType="UNIFORM_SCALING")
    summary = (await call("describe_stream_summary", StreamName="s"))["StreamDescriptionSummary"]
    listed = await call("list_shards", StreamName="s", ShardFilter={"Type": "AT_LATEST"})
    names = (await call("list_streams"))["StreamNames"]
    await call("delete_stream", StreamName="s")

    assert summary["OpenShardCount"] == 3
    assert len(listed["Shards"]) == 3
    assert names == ["s"]
    with pytest.raises(ClientError, match="Stream s under account 123456789012 not found") as caught:
        await call("describe_stream", StreamName="s")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


async def test_settings_are_accepted_and_shown(call: Call) -> None:
    arn = (await call("describe_stream_summary", StreamName="s"))["StreamDescriptionSummary"]["StreamARN"]
    await call("increase_stream_retention_period", StreamName="s", RetentionPeriodHours=48)
    await call("start_stream_encryption", StreamName="s", EncryptionType="KMS", KeyId="alias/aws/kinesis")
    metrics = await call("enable_enhanced_monitoring", StreamName="s", ShardLevelMetrics=["IncomingBytes"])
    await call("add_tags_to_stream", StreamName="s", Tags={"team": "ingest"})
    await call("update_stream_mode", StreamARN=arn, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    await call("put_resource_policy", ResourceARN=arn, Policy="{}")

    shown = (await call("describe_stream", StreamName="s"))["StreamDescription"]
    tags = await call("list_tags_for_stream", StreamName="s")

    assert (shown["RetentionPeriodHours"], shown["EncryptionType"]) == (48, "KMS")
    assert shown["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert metrics["DesiredShardLevelMetrics"] == ["IncomingBytes"]
    assert tags["Tags"] == [{"Key": "team", "Value": "ingest"}]
    assert (await call("get_resource_policy", ResourceARN=arn))["Policy"] == "{}"


async def test_a_larger_record_is_accepted_once_the_streams_limit_is_raised(call: Call) -> None:
    big = bytes(2 << 20)
    arn = (await call("describe_stream_summary", StreamName="s"))["StreamDescriptionSummary"]["StreamARN"]

    with pytest.raises(ClientError, match="Member must have length less than or equal to 1048576"):
        await call("put_record", StreamName="s", PartitionKey="a", Data=big)
    await call("update_max_record_size", StreamARN=arn, MaxRecordSizeInKiB=2048)
    put = await call("put_record", StreamName="s", PartitionKey="a", Data=big)

    assert put["ShardId"] == "shardId-000000000000"


async def test_subscribe_to_shard_is_refused_with_the_way_out(call: Call) -> None:
    arn = (await call("describe_stream_summary", StreamName="s"))["StreamDescriptionSummary"]["StreamARN"]
    consumer = (await call("register_stream_consumer", StreamARN=arn, ConsumerName="c"))["Consumer"]

    with pytest.raises(ClientError, match="read with GetShardIterator and GetRecords"):
        await call(
            "subscribe_to_shard",
            ConsumerARN=consumer["ConsumerARN"],
            ShardId="shardId-000000000000",
            StartingPosition={"Type": "LATEST"},
        )


async def test_a_source_reads_strictly_after_a_number_and_wakes_its_listeners() -> None:
    store = Store.open(None)
    service = make_service(store)
    await service.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
    source = service.stream_source("arn:aws:kinesis:us-east-1:123456789012:stream/s")
    woken: list[int] = []
    unlisten = source.listen(lambda: woken.append(len(woken)))
    shard = source.shards()[0].shard_id
    before = source.latest(shard)

    answers = await service.put_records("s", [("a", b"1"), ("b", b"22"), ("a", b"333")])
    unlisten()
    await service.put_record("s", "c", b"4", "7")

    records = source.read(shard, before, limit=10, max_bytes=1000)
    assert before is None
    assert woken == [0]
    assert [(r.ordering_key, r.body["data"], r.size_bytes) for r in records] == [
        ("a", b"1", 2),
        ("b", b"22", 3),
        ("a", b"333", 4),
        ("c", b"4", 2),
    ]
    assert records[3].body["explicitHashKey"] == "7"
    assert [r.sequence_number for r in records[:3]] == [number for _, number in answers]
    assert [r.body["data"] for r in source.read(shard, answers[0][1], limit=1, max_bytes=1)] == [b"22"]
    assert len(source.read(shard, None, limit=10, max_bytes=5)) == 2
    assert source.latest(shard) == records[3].sequence_number
    await store.close()


async def test_a_source_finds_a_place_by_time_and_knows_the_lineage() -> None:
    store = Store.open(None)
    clock = Clock()
    service = make_service(store, clock)
    await service.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
    numbers = []
    for n in range(3):
        numbers.append((await service.put_record("s", "a", b"%d" % n))[1])
        clock.ahead_s += 100
    source = service.stream_source("s")
    shard = source.shards()[0].shard_id

    assert source.at_timestamp(shard, 0) is None
    assert source.at_timestamp(shard, clock() - 150) == numbers[1]
    assert source.at_timestamp(shard, clock() + 50) == numbers[2]
    await service.call("SplitShard", {"StreamName": "s", "ShardToSplit": shard, "NewStartingHashKey": "100"})
    assert [(s.parent_ids, s.is_closed) for s in source.shards()] == [((), True), ((shard,), False), ((shard,), False)]
    clock.ahead_s += DAY_S
    assert [s.parent_ids for s in source.shards()] == [(), ()]
    await store.close()


async def test_a_consumers_arn_is_a_source_and_an_unknown_stream_is_none() -> None:
    store = Store.open(None)
    service = make_service(store)
    await service.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
    made = await service.call(
        "RegisterStreamConsumer",
        {"StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/s", "ConsumerName": "c"},
    )
    await service.put_record("s", "a", b"1")

    source = service.stream_source(made["Consumer"]["ConsumerARN"])

    assert source.arn == made["Consumer"]["ConsumerARN"]
    assert len(source.read("shardId-000000000000", None, limit=5, max_bytes=100)) == 1
    for unknown in ("t", "arn:aws:kinesis:us-east-1:123456789012:stream/s/consumer/x:1"):
        with pytest.raises(ServiceError):
            service.stream_source(unknown)
    await store.close()


async def test_records_survive_a_restart_and_go_with_their_stream(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    service = make_service(store)
    await service.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
    first = await service.put_record("s", "a", b"1")
    await store.close()

    store = Store.open(tmp_path)
    service = make_service(store)
    second = await service.put_record("s", "a", b"2")
    records = service.stream_source("s").read(first[0], None, limit=5, max_bytes=100)
    await service.call("DeleteStream", {"StreamName": "s"})
    left = store.read(lambda t: [key for key, _ in t.scan("kinesis") if key[:1] in b"rnd"])
    await store.close()

    assert [r.sequence_number for r in records] == [first[1], second[1]]
    assert int(first[1]) < int(second[1])
    assert left == []


async def test_a_sweep_deletes_what_expired_in_an_idle_stream() -> None:
    store = Store.open(None)
    clock = Clock()
    service = make_service(store, clock)
    await service.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
    await service.put_records("s", [("a", b"x")] * 5000)

    clock.ahead_s = DAY_S + 60
    await service.sweep()

    assert store.read(lambda t: [key for key, _ in t.scan("kinesis", b"r", b"s")]) == []
    await store.close()


@pytest.mark.parametrize(("key", "size"), [("", 1), ("k" * 257, 1), ("k", (1 << 20) + 1)])
async def test_a_typed_put_out_of_limits_is_refused_and_nothing_is_written(key: str, size: int) -> None:
    store = Store.open(None)
    service = make_service(store)
    await service.call("CreateStream", {"StreamName": "s", "ShardCount": 1})

    with pytest.raises(ServiceError, match="failed to satisfy constraint"):
        await service.put_records("s", [("good", b"1"), (key, bytes(size))])

    assert service.stream_source("s").read("shardId-000000000000", None, limit=5, max_bytes=100) == []
    await store.close()


async def test_with_quotas_a_shard_takes_a_thousand_records_a_second_and_the_rest_fail_in_their_places() -> None:
    store = Store.open(None)
    now = 1_800_000_000.0
    service = KinesisService(
        store, region="us-east-1", account_id="123456789012", clock=lambda: now, enforces_quotas=True
    )
    await service.call("CreateStream", {"StreamName": "s", "ShardCount": 2})
    batch = [{"PartitionKey": "a", "Data": b"x"}] * 499
    for _ in range(2):
        await service.call("PutRecords", {"StreamName": "s", "Records": batch})
    mixed = [{"PartitionKey": key, "Data": b"x"} for key in ("a", "a", "a", "b")]

    answer = await service.call("PutRecords", {"StreamName": "s", "Records": mixed})
    with pytest.raises(ServiceError, match="Rate exceeded for shard shardId-000000000000 in stream s") as caught:
        await service.call("PutRecord", {"StreamName": "s", "PartitionKey": "a", "Data": b"x"})
    now += 1
    await service.call("PutRecord", {"StreamName": "s", "PartitionKey": "a", "Data": b"x"})

    assert answer["FailedRecordCount"] == 1
    assert answer["Records"][2] == {
        "ErrorCode": "ProvisionedThroughputExceededException",
        "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.",
    }
    assert answer["Records"][3]["ShardId"] == "shardId-000000000001"
    assert caught.value.code == "ProvisionedThroughputExceededException"
    await store.close()
