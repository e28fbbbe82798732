"""Streams and shards: limits, lineage, messages as the service gives them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import ServiceError
from headwater.kinesis import consumers, shards, streams, tags
from headwater.kinesis.shapes import SHAPES
from headwater.kinesis.stream import HASH_SPACE, Stream, even_shards
from headwater.kinesis.validation import check_request

ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/s"


def describe(kinesis: Any, **more: Any) -> dict[str, Any]:
    answer = kinesis.run(streams.describe_stream, "DescribeStream", StreamName="s", **more)
    description: dict[str, Any] = answer["StreamDescription"]
    return description


def refused(kinesis: Any, rule: Any, operation: str, **request: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        kinesis.run(rule, operation, **request)
    return f"{caught.value.code}: {caught.value.message}"


def test_a_new_stream_splits_the_hash_space_evenly(kinesis: Any) -> None:
    described = describe(kinesis)

    ranges = [shard["HashKeyRange"] for shard in described["Shards"]]
    assert described["StreamStatus"] == "ACTIVE"
    assert described["StreamARN"] == ARN
    assert ranges == [
        {"StartingHashKey": "0", "EndingHashKey": str(HASH_SPACE // 2 - 1)},
        {"StartingHashKey": str(HASH_SPACE // 2), "EndingHashKey": str(HASH_SPACE - 1)},
    ]


def test_a_name_in_use_and_a_missing_stream_are_told(kinesis: Any) -> None:
    again = refused(kinesis, streams.create_stream, "CreateStream", StreamName="s", ShardCount=1)
    missing = refused(kinesis, streams.describe_stream, "DescribeStream", StreamName="t")

    assert again == "ResourceInUseException: Stream s under account 123456789012 already exists."
    assert missing == "ResourceNotFoundException: Stream t under account 123456789012 not found."


def test_the_shard_limit_of_the_account_holds(kinesis: Any) -> None:
    message = refused(kinesis, streams.create_stream, "CreateStream", StreamName="big", ShardCount=499)

    assert message.startswith("LimitExceededException: This request would exceed the shard limit")


def test_an_on_demand_stream_starts_with_four_shards_and_is_not_resharded(kinesis: Any) -> None:
    mode = {"StreamMode": "ON_DEMAND"}
    kinesis.run(streams.create_stream, "CreateStream", StreamName="o", StreamModeDetails=mode)

    summary = kinesis.run(streams.describe_stream_summary, "DescribeStreamSummary", StreamName="o")
    message = refused(
        kinesis,
        shards.update_shard_count,
        "UpdateShardCount",
        StreamName="o",
        TargetShardCount=8,
        ScalingType="UNIFORM_SCALING",
    )

    assert summary["StreamDescriptionSummary"]["OpenShardCount"] == 4
    assert message.endswith("Stream o under account 123456789012 is in On-Demand mode.")


def test_a_stream_is_found_by_its_arn_and_not_by_another_accounts(kinesis: Any) -> None:
    kinesis.run(streams.describe_stream, "DescribeStream", StreamARN=ARN)

    other = ARN.replace("123456789012", "999999999999")
    assert "under account 999999999999 not found" in refused(
        kinesis, streams.describe_stream, "DescribeStream", StreamARN=other
    )


def test_streams_are_listed_in_pages(kinesis: Any) -> None:
    for name in ("b", "a", "c"):
        kinesis.run(streams.create_stream, "CreateStream", StreamName=name, ShardCount=1)

    first = kinesis.run(streams.list_streams, "ListStreams", Limit=3)
    second = kinesis.run(streams.list_streams, "ListStreams", NextToken=first["NextToken"])

    assert (first["StreamNames"], first["HasMoreStreams"]) == (["a", "b", "c"], True)
    assert (second["StreamNames"], second["HasMoreStreams"]) == (["s"], False)


def test_splitting_and_merging_keep_the_lineage(kinesis: Any) -> None:
    kinesis.run(
        shards.split_shard,
        "SplitShard",
        StreamName="s",
        ShardToSplit="shardId-000000000000",
        NewStartingHashKey="100",
    )
    kinesis.run(
        shards.merge_shards,
        "MergeShards",
        StreamName="s",
        ShardToMerge="shardId-000000000003",
        AdjacentShardToMerge="shardId-000000000001",
    )

    described = describe(kinesis)["Shards"]
    lineage = [(s.get("ParentShardId", "")[-1:], s.get("AdjacentParentShardId", "")[-1:]) for s in described]
    closed = [s["ShardId"][-1] for s in described if "EndingSequenceNumber" in s["SequenceNumberRange"]]
    assert lineage == [("", ""), ("", ""), ("0", ""), ("0", ""), ("3", "1")]
    assert closed == ["0", "1", "3"]
    assert described[2]["HashKeyRange"]["EndingHashKey"] == "99"
    assert described[4]["HashKeyRange"]["StartingHashKey"] == "100"


@pytest.mark.parametrize(
    ("shard", "start", "message"),
    [
        ("nothing", "5", "Could not find shard nothing in stream s under account 123456789012."),
        ("shardId-9", "5", "Could not find shard shardId-000000000009 in stream s under account 123456789012."),
        ("shardId-0", "1", "is not both greater than one plus the shard's StartingHashKey 0 and less than"),
        ("shardId-0", str(HASH_SPACE // 2 - 1), "is not both greater than one plus the shard's StartingHashKey 0"),
    ],
)
def test_a_wrong_split_is_refused(kinesis: Any, shard: str, start: str, message: str) -> None:
    request = {"StreamName": "s", "ShardToSplit": shard, "NewStartingHashKey": start}

    assert message in refused(kinesis, shards.split_shard, "SplitShard", **request)


def test_a_closed_shard_is_not_split_again(kinesis: Any) -> None:
    request = {"StreamName": "s", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "100"}
    kinesis.run(shards.split_shard, "SplitShard", **request)

    assert "has already been merged or split" in refused(kinesis, shards.split_shard, "SplitShard", **request)


def test_shards_that_are_no_neighbours_are_not_merged(kinesis: Any) -> None:
    request = {"StreamName": "s", "ShardToMerge": "shardId-000000000000", "AdjacentShardToMerge": "shardId-0"}

    assert "are not an adjacent pair of shards" in refused(kinesis, shards.merge_shards, "MergeShards", **request)


@given(st.integers(1, 12), st.integers(1, 24))
def test_scaling_ends_with_equal_open_shards_whose_ranges_cover_the_space(current: int, target: int) -> None:
    stream = Stream("s", 1, 0, tuple(even_shards(current, first_index=0, created_s=0)))

    scaled = shards.rescale(stream, target, now_ms=1000)

    opened = sorted(scaled.open_shards, key=lambda s: int(s.start_hash))
    wanted = even_shards(target, first_index=0, created_s=0)
    assert [(s.start_hash, s.end_hash) for s in opened] == [(s.start_hash, s.end_hash) for s in wanted]
    for shard in scaled.shards[current:]:
        assert all(scaled.shards[p].is_closed for p in shard.parents)
        assert shard.parents


def test_scaling_beyond_double_or_half_is_refused(kinesis: Any) -> None:
    for target in (5, 100):
        message = refused(
            kinesis,
            shards.update_shard_count,
            "UpdateShardCount",
            StreamName="s",
            TargetShardCount=target,
            ScalingType="UNIFORM_SCALING",
        )
        assert message.startswith("LimitExceededException")


def test_shards_are_listed_in_pages_and_by_filter(kinesis: Any) -> None:
    kinesis.run(shards.split_shard, "SplitShard", StreamName="s", ShardToSplit="0", NewStartingHashKey="100")

    def listed(**request: Any) -> list[str]:
        answer = kinesis.run(shards.list_shards, "ListShards", **request)
        return [s["ShardId"][-1] for s in answer["Shards"]]

    page = kinesis.run(shards.list_shards, "ListShards", StreamName="s", MaxResults=3)
    assert listed(NextToken=page["NextToken"]) == ["3"]
    assert listed(StreamName="s", ExclusiveStartShardId="shardId-000000000001") == ["2", "3"]
    assert listed(StreamName="s", ShardFilter={"Type": "AT_LATEST"}) == ["1", "2", "3"]
    assert listed(StreamName="s", ShardFilter={"Type": "AT_TRIM_HORIZON"}) == ["0", "1"]
    assert listed(StreamName="s", ShardFilter={"Type": "FROM_TRIM_HORIZON"}) == ["0", "1", "2", "3"]
    assert listed(StreamName="s", ShardFilter={"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000002"}) == ["3"]
    assert "NextToken is not valid" in refused(kinesis, shards.list_shards, "ListShards", NextToken="x")
    assert "cannot be provided together" in refused(
        kinesis, shards.list_shards, "ListShards", NextToken="x", StreamName="s"
    )


def test_a_closed_shard_is_forgotten_when_its_records_have_expired(kinesis: Any) -> None:
    kinesis.run(shards.split_shard, "SplitShard", StreamName="s", ShardToSplit="0", NewStartingHashKey="100")

    kinesis.now_ms += 24 * 3_600_000 + 1

    assert [s["ShardId"][-1] for s in describe(kinesis)["Shards"]] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("hours", "is_increase", "message"),
    [
        (
            23,
            False,
            "Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short.",
        ),
        (9000, True, "Maximum allowed retention period is 8760 hours."),
        (24, True, "can not be shorter than existing retention period (48 hours). Use DecreaseRetentionPeriod API."),
        (49, False, "can not be longer than existing retention period (48 hours). Use IncreaseRetentionPeriod API."),
    ],
)
def test_a_wrong_retention_period_is_refused(hours: int, is_increase: bool, message: str) -> None:
    stream = Stream("s", 1, 0, (), retention_hours=48)

    with pytest.raises(ServiceError) as caught:
        streams.change_retention(stream, hours, is_increase=is_increase)

    assert message in caught.value.message


def test_tags_are_limited_in_characters_and_number(kinesis: Any) -> None:
    stream = kinesis.catalog.get(kinesis.transaction, "s")

    with pytest.raises(ServiceError, match="Some tags contain invalid characters"):
        tags.add_tags(kinesis.catalog, stream, {"a": "!"})
    with pytest.raises(ServiceError, match="some tags contained illegal characters"):
        tags.add_tags(kinesis.catalog, stream, {"a": "%"})
    with pytest.raises(ServiceError, match="cannot have more than 10 tags"):
        tags.add_tags(kinesis.catalog, stream, {str(n): "x" for n in range(51)})
    tagged = tags.add_tags(kinesis.catalog, stream, {"a": "1", "b": "2"})
    assert tags.remove_tags(kinesis.catalog, tagged, ["a"]).tags == {"b": "2"}


def test_a_consumer_is_registered_described_and_deregistered(kinesis: Any) -> None:
    made = kinesis.run(consumers.register_consumer, "RegisterStreamConsumer", StreamARN=ARN, ConsumerName="fanout")[
        "Consumer"
    ]

    described = kinesis.run(consumers.describe_consumer, "DescribeStreamConsumer", ConsumerARN=made["ConsumerARN"])
    listed = kinesis.run(consumers.list_consumers, "ListStreamConsumers", StreamARN=ARN)

    assert made["ConsumerARN"] == f"{ARN}/consumer/fanout:1800000000"
    assert described["ConsumerDescription"] == {**made, "StreamARN": ARN}
    assert listed["Consumers"] == [made]
    assert "has 1 registered consumers" in refused(kinesis, streams.delete_stream, "DeleteStream", StreamName="s")
    kinesis.run(consumers.deregister_consumer, "DeregisterStreamConsumer", StreamARN=ARN, ConsumerName="fanout")
    assert "Consumer fanout, account 123456789012 not found." in refused(
        kinesis, consumers.describe_consumer, "DescribeStreamConsumer", StreamARN=ARN, ConsumerName="fanout"
    )


@pytest.mark.parametrize(
    ("operation", "request_members", "message"),
    [
        (
            "PutRecord",
            {},
            "3 validation errors detected: "
            "Value null at 'partitionKey' failed to satisfy constraint: Member must not be null; "
            "Value null at 'data' failed to satisfy constraint: Member must not be null; "
            "Value null at 'streamName' failed to satisfy constraint: Member must not be null",
        ),
        (
            "DescribeStream",
            {"StreamName": "!"},
            "1 validation error detected: Value '!' at 'streamName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
        ),
        (
            "PutRecord",
            {"StreamName": "s", "PartitionKey": "a", "Data": bytes(1048577)},
            "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=1048577 cap=1048577]' at 'data' "
            "failed to satisfy constraint: Member must have length less than or equal to 1048576",
        ),
        (
            "PutRecords",
            {"StreamName": "s", "Records": [{"PartitionKey": "a", "Data": ""}, {"Data": ""}]},
            "1 validation error detected: Value null at 'records.2.member.partitionKey' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            "CreateStream",
            {"StreamName": "s", "ShardCount": 0},
            "1 validation error detected: Value '0' at 'shardCount' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
        ),
    ],
)
def test_a_request_out_of_shape_gets_the_services_message(
    operation: str, request_members: dict[str, Any], message: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        check_request(request_members, SHAPES[operation])

    assert (caught.value.code, caught.value.message) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("request_members", "message"),
    [
        (
            {"StreamName": 3},
            "class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an String",
        ),
        ({"StreamName": True}, "class java.lang.Boolean can not be converted to an String"),
        ({"StreamName": []}, "Start of list found where not expected"),
        ({"Limit": "5"}, "class java.lang.String can not be converted to an Integer"),
        ({"Limit": {}}, "Start of structure or map found where not expected."),
    ],
)
def test_a_wrong_type_is_a_serialization_exception(request_members: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError) as caught:
        check_request(request_members, SHAPES["DescribeStream"])

    assert (caught.value.code, caught.value.message) == ("SerializationException", message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a", "Base64 encoded length is expected a multiple of 4 bytes but found: 1"),
        ("a=bb", "Invalid Base64 character: '='"),
        ("ab!d", "Invalid Base64 character: '!'"),
        ("aa==a", "expected a multiple of 4 bytes"),
    ],
)
def test_data_that_is_not_base64_is_a_serialization_exception(data: str, message: str) -> None:
    with pytest.raises(ServiceError) as caught:
        check_request({"Data": data}, SHAPES["PutRecord"])

    assert caught.value.code == "SerializationException"
    assert message in caught.value.message


@given(
    st.dictionaries(
        st.sampled_from(["Records", "StreamName", "Data", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=10,
        ),
    )
)
def test_no_request_is_a_crash(request_members: dict[str, Any]) -> None:
    with pytest.raises(ServiceError):
        check_request(request_members, {**SHAPES["PutRecords"]})


def test_a_retention_period_beyond_a_year_is_no_matter_of_shape() -> None:
    checked = check_request({"StreamName": "s", "RetentionPeriodHours": 9999}, SHAPES["IncreaseStreamRetentionPeriod"])

    with pytest.raises(ServiceError, match="Maximum allowed retention period is 8760 hours") as caught:
        streams.change_retention(Stream("s", 1, 0, ()), checked["RetentionPeriodHours"], is_increase=True)
    assert caught.value.code == "InvalidArgumentException"
