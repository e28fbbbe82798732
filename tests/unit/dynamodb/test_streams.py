import json
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import ServiceError

KEY = {"PK": {"S": "a"}, "SK": {"S": "b"}}


def put(table: Any, **attributes: Any) -> None:
    table("PutItem", TableName="tab", Item={**KEY, **attributes})


def arn_of(table: Any) -> str:
    return str(table("DescribeTable", TableName="tab")["Table"]["LatestStreamArn"])


def records(table: Any, arn: str | None = None, kind: str = "TRIM_HORIZON", **more: Any) -> Any:
    arn = arn or arn_of(table)
    shard = table.stream("DescribeStream", StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = table.stream("GetShardIterator", StreamArn=arn, ShardId=shard, ShardIteratorType=kind, **more)
    return table.stream("GetRecords", ShardIterator=iterator["ShardIterator"])


def source(table: Any) -> Any:
    return table.dynamodb.stream_source(arn_of(table))


def test_every_change_is_one_record_with_both_images(table: Any) -> None:
    put(table, n={"N": "1"})
    put(table, n={"N": "2"})
    table("DeleteItem", TableName="tab", Key=KEY)

    found = records(table)["Records"]

    assert [record["eventName"] for record in found] == ["INSERT", "MODIFY", "REMOVE"]
    changes = [record["dynamodb"] for record in found]
    assert [change.get("OldImage", {}).get("n") for change in changes] == [None, {"N": "1"}, {"N": "2"}]
    assert [change.get("NewImage", {}).get("n") for change in changes] == [{"N": "1"}, {"N": "2"}, None]
    assert all(change["Keys"] == KEY for change in changes)
    numbers = [change["SequenceNumber"] for change in changes]
    assert numbers == sorted(numbers, key=int)
    assert all(len(number) >= 21 for number in numbers)
    assert len({record["eventID"] for record in found}) == 3


def test_an_identical_put_emits_nothing_whatever_the_order_of_attributes_and_sets(table: Any) -> None:
    table("PutItem", TableName="tab", Item={**KEY, "s": {"SS": ["x", "y"]}, "n": {"N": "1"}})

    table("PutItem", TableName="tab", Item={"n": {"N": "1.0"}, "s": {"SS": ["y", "x"]}, **KEY})
    table("UpdateItem", TableName="tab", Key=KEY, UpdateExpression="REMOVE absent")

    assert len(records(table)["Records"]) == 1


def test_a_batch_write_records_what_each_item_was(table: Any) -> None:
    put(table, n={"N": "1"}, s={"SS": ["x", "y"]})
    put(table, SK={"S": "same"}, s={"SS": ["x", "y"]})
    items = [
        {**KEY, "n": {"N": "2"}, "s": {"SS": ["x", "y"]}},
        {**KEY, "SK": {"S": "same"}, "s": {"SS": ["y", "x"]}},
        {**KEY, "SK": {"S": "new"}},
    ]

    table("BatchWriteItem", RequestItems={"tab": [{"PutRequest": {"Item": item}} for item in items]})

    found = records(table)["Records"][2:]
    changes = [record["dynamodb"] for record in found]
    assert [record["eventName"] for record in found] == ["MODIFY", "INSERT"]
    assert changes[0]["OldImage"]["n"] == {"N": "1"}
    assert changes[0]["NewImage"] == items[0]
    assert "OldImage" not in changes[1]
    assert table("DescribeTable", TableName="tab")["Table"]["ItemCount"] == 3


@pytest.mark.parametrize(
    ("view_type", "images"),
    [
        ("KEYS_ONLY", set()),
        ("NEW_IMAGE", {"NewImage"}),
        ("OLD_IMAGE", {"OldImage"}),
        ("NEW_AND_OLD_IMAGES", {"NewImage", "OldImage"}),
    ],
)
def test_a_view_type_says_which_images_a_record_has(dynamodb: Any, view_type: str, images: set[str]) -> None:
    dynamodb.create(StreamSpecification={"StreamEnabled": True, "StreamViewType": view_type})
    put(dynamodb, n={"N": "1"})
    put(dynamodb, n={"N": "2"})

    change = records(dynamodb)["Records"][1]["dynamodb"]

    assert change.keys() & {"NewImage", "OldImage"} == images
    assert change["StreamViewType"] == view_type


def test_the_source_reads_on_behind_a_sequence_number(table: Any) -> None:
    for number in range(5):
        put(table, n={"N": str(number)})
    stream = source(table)
    (shard,) = stream.shards()

    first = stream.read(shard.shard_id, None, limit=2, max_bytes=1_000_000)
    rest = stream.read(shard.shard_id, first[-1].sequence_number, limit=10, max_bytes=1_000_000)

    assert [record.body["dynamodb"]["NewImage"]["n"]["N"] for record in first + rest] == ["0", "1", "2", "3", "4"]
    assert stream.latest(shard.shard_id) == rest[-1].sequence_number
    assert first[0].ordering_key == json.dumps(KEY, separators=(",", ":"))


def test_the_source_gives_one_record_even_above_the_byte_limit(table: Any) -> None:
    put(table, x={"S": "x" * 1000})
    put(table, x={"S": "y" * 1000})
    stream = source(table)

    assert len(stream.read(stream.shards()[0].shard_id, None, limit=10, max_bytes=10)) == 1


def test_the_source_starts_at_a_time(table: Any) -> None:
    put(table, n={"N": "1"})
    table.now += 60
    put(table, n={"N": "2"})
    stream = source(table)
    (shard,) = stream.shards()

    after = stream.at_timestamp(shard.shard_id, table.now - 30)

    (record,) = stream.read(shard.shard_id, after, limit=10, max_bytes=10_000)
    assert record.body["dynamodb"]["NewImage"]["n"] == {"N": "2"}


def test_a_listener_is_woken_after_commits_that_added_records(table: Any) -> None:
    woken: list[str] = []
    unlisten = source(table).listen(lambda: woken.append("now"))

    put(table, n={"N": "1"})
    put(table, n={"N": "1"})
    unlisten()
    put(table, n={"N": "2"})

    assert woken == ["now"]


def test_a_record_has_the_members_of_the_recorded_event(table: Any) -> None:
    put(table, n={"N": "1"})
    put(table, n={"N": "2"})
    path = Path(__file__).parents[2] / "events" / "dynamoStreamEvent.json"
    wanted = {"eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "dynamodb"}
    if path.exists():
        wanted = set(json.loads(path.read_text())["Records"][1]) - {"eventSourceARN"}

    stream = source(table)
    record = stream.read(stream.shards()[0].shard_id, None, limit=2, max_bytes=10_000)[1]

    assert record.body.keys() == wanted
    assert record.body["eventVersion"] == "1.1"


def test_records_are_trimmed_after_24_hours(table: Any) -> None:
    put(table, n={"N": "1"})
    table.now += 24 * 3600 + 1
    put(table, n={"N": "2"})

    assert len(records(table)["Records"]) == 1
    table.sweep()
    assert len(records(table)["Records"]) == 1


def test_an_iterator_expires_after_15_minutes(table: Any) -> None:
    shard = source(table).shards()[0].shard_id
    iterator = table.stream("GetShardIterator", StreamArn=arn_of(table), ShardId=shard, ShardIteratorType="LATEST")[
        "ShardIterator"
    ]
    table.now += 901

    with pytest.raises(ServiceError, match="ExpiredIteratorException"):
        table.stream("GetRecords", ShardIterator=iterator)


def test_latest_sees_only_what_comes_later(table: Any) -> None:
    put(table, n={"N": "1"})
    shard = source(table).shards()[0].shard_id
    iterator = table.stream("GetShardIterator", StreamArn=arn_of(table), ShardId=shard, ShardIteratorType="LATEST")[
        "ShardIterator"
    ]
    put(table, n={"N": "2"})

    answer = table.stream("GetRecords", ShardIterator=iterator)

    assert [record["dynamodb"]["NewImage"]["n"] for record in answer["Records"]] == [{"N": "2"}]
    assert table.stream("GetRecords", ShardIterator=answer["NextShardIterator"])["Records"] == []


def test_a_stream_switched_off_is_drained_and_then_ends(table: Any) -> None:
    put(table, n={"N": "1"})
    arn = arn_of(table)

    table("UpdateTable", TableName="tab", StreamSpecification={"StreamEnabled": False})

    answer = records(table, arn)
    assert len(answer["Records"]) == 1
    assert "NextShardIterator" not in answer
    assert table.stream("DescribeStream", StreamArn=arn)["StreamDescription"]["StreamStatus"] == "DISABLED"


def enable_ttl(table: Any) -> None:
    table("UpdateTimeToLive", TableName="tab", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})


def test_an_expired_item_is_removed_by_the_service_itself(table: Any) -> None:
    put(table, expires={"N": str(int(table.now) + 10)})
    enable_ttl(table)

    assert table.sweep() == 0
    table.now += 11
    assert table.sweep() == 1

    assert table("GetItem", TableName="tab", Key=KEY) == {}
    record = records(table)["Records"][-1]
    assert record["eventName"] == "REMOVE"
    assert record["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


@pytest.mark.parametrize("value", [{"S": "1"}, {"N": "1"}])
def test_text_and_times_long_past_never_expire(table: Any, value: Any) -> None:
    enable_ttl(table)
    put(table, expires=value)
    table.now += 100

    assert table.sweep() == 0


def test_a_time_to_live_put_off_does_not_expire(table: Any) -> None:
    enable_ttl(table)
    put(table, expires={"N": str(int(table.now) + 10)})
    put(table, expires={"N": str(int(table.now) + 1000)})
    table.now += 11

    assert table.sweep() == 0


def test_a_deleted_table_leaves_nothing_behind_after_the_sweep(table: Any) -> None:
    put(table, n={"N": "1"})
    table("DeleteTable", TableName="tab")
    table.now += 2 * 24 * 3600

    table.sweep()
    table.sweep()

    keys = table.store.read(lambda transaction: [key for key, _ in transaction.scan("dynamodb")])
    assert keys == [b"\x00space"]
    assert table.store.read(lambda transaction: list(transaction.scan("dynamodb-streams"))) == []


@pytest.mark.parametrize(("moment", "first"), [(0, 0), (100, 0), (101, 1), (160, 1), (161, 2), (220, 2), (221, None)])
def test_an_iterator_at_a_time_begins_with_the_first_record_made_then_or_later(
    table: Any, moment: int, first: int | None
) -> None:
    begin = table.now
    for position in range(3):
        table.now = begin + 100 + 60 * position
        put(table, n={"N": str(position)})
    table.now += 60

    found = records(table, kind="AT_TIMESTAMP", Timestamp=begin + moment)["Records"]

    seen = [int(record["dynamodb"]["NewImage"]["n"]["N"]) for record in found]
    assert seen == ([] if first is None else list(range(first, 3)))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"ShardIteratorType": "AT_TIMESTAMP"}, "Timestamp must be provided when ShardIteratorType is AT_TIMESTAMP"),
        (
            {"ShardIteratorType": "LATEST", "Timestamp": 1},
            "Timestamp may not be provided when ShardIteratorType is LATEST",
        ),
        ({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 9e9}, "Timestamp may not be in the future: 9000000000.0"),
    ],
)
def test_an_iterator_at_a_time_needs_a_time_that_was(table: Any, request_: dict[str, Any], message: str) -> None:
    arn = arn_of(table)
    shard = table.stream("DescribeStream", StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]

    with pytest.raises(ServiceError) as caught:
        table.stream("GetShardIterator", StreamArn=arn, ShardId=shard, **request_)

    assert caught.value.message == message


def test_the_only_shard_of_a_stream_has_no_children(table: Any) -> None:
    arn = arn_of(table)
    shard = table.stream("DescribeStream", StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]

    children = table.stream("DescribeStream", StreamArn=arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard})
    with pytest.raises(ServiceError, match="ShardId must be provided in ShardFilter"):
        table.stream("DescribeStream", StreamArn=arn, ShardFilter={"Type": "CHILD_SHARDS"})

    assert children["StreamDescription"]["Shards"] == []
