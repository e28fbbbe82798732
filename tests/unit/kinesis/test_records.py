"""Records: routing, order, iterators, retention."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import ServiceError
from headwater.kinesis.iterators import LIFETIME_MS, ShardIterator, get_records, get_shard_iterator
from headwater.kinesis.records import put_record, put_records
from headwater.kinesis.sequence import SequenceNumber, shard_id_of, shard_index_of
from headwater.kinesis.shards import merge_shards, split_shard
from headwater.kinesis.streams import create_stream, delete_stream

HOUR_MS = 3_600_000
HALF = 1 << 127


def put(kinesis: Any, data: bytes = b"x", key: str = "d1", **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = kinesis.run(put_record, "PutRecord", StreamName="s", PartitionKey=key, Data=data, **more)
    return answer


def iterator(kinesis: Any, shard: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
    answer = kinesis.run(
        get_shard_iterator, "GetShardIterator", StreamName="s", ShardId=shard, ShardIteratorType=kind, **more
    )
    return str(answer["ShardIterator"])


def read(kinesis: Any, position: str, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = kinesis.run(get_records, "GetRecords", ShardIterator=position, **more)
    return answer


def data_of(answer: dict[str, Any]) -> list[bytes]:
    return [record["Data"] for record in answer["Records"]]


def test_a_key_goes_to_the_shard_whose_range_holds_its_md5(kinesis: Any) -> None:
    # MD5("a") begins with 0c, MD5("b") with 92: below and above half of the space.
    assert put(kinesis, key="a")["ShardId"] == "shardId-000000000000"
    assert put(kinesis, key="b")["ShardId"] == "shardId-000000000001"


def test_an_explicit_hash_key_overrides_the_partition_key(kinesis: Any) -> None:
    assert put(kinesis, key="a", ExplicitHashKey=str(HALF))["ShardId"] == "shardId-000000000001"
    assert put(kinesis, key="b", ExplicitHashKey=str(HALF - 1))["ShardId"] == "shardId-000000000000"
    with pytest.raises(ServiceError, match=r"must be in the range: \[0, 2\^128-1\]"):
        put(kinesis, ExplicitHashKey=str(1 << 128))


def test_sequence_numbers_have_56_digits_and_rise_while_the_clock_stands_or_goes_back(kinesis: Any) -> None:
    numbers = []
    for step_ms in (0, 0, 5000, -60_000, 0, 1):
        kinesis.now_ms += step_ms
        numbers.append(put(kinesis)["SequenceNumber"])

    assert {len(number) for number in numbers} == {56}
    assert [int(n) for n in numbers] == sorted({int(n) for n in numbers})


def test_arrival_times_never_fall_within_a_shard(kinesis: Any) -> None:
    put(kinesis)
    kinesis.now_ms -= 10_000
    put(kinesis)

    records = read(kinesis, iterator(kinesis, "shardId-000000000001"))["Records"]

    assert [r["ApproximateArrivalTimestamp"] for r in records] == [1_800_000_000.0] * 2


def test_records_come_back_in_order_by_every_kind_of_iterator(kinesis: Any) -> None:
    shard = "shardId-000000000001"
    numbers = []
    for number in range(5):
        numbers.append(put(kinesis, data=b"%d" % number)["SequenceNumber"])
        kinesis.now_ms += 1000
    latest = iterator(kinesis, shard, "LATEST")
    put(kinesis, data=b"5")

    def got(kind: str, **more: Any) -> bytes:
        return b"".join(data_of(read(kinesis, iterator(kinesis, shard, kind, **more))))

    assert got("TRIM_HORIZON") == b"012345"
    assert got("AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]) == b"2345"
    assert got("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[2]) == b"345"
    assert got("AT_TIMESTAMP", Timestamp=1_800_000_002) == b"2345"
    assert got("AT_TIMESTAMP", Timestamp=1_800_000_002.5) == b"345"
    assert got("AT_TIMESTAMP", Timestamp=0) == b"012345"
    assert got("LATEST") == b""
    assert data_of(read(kinesis, latest)) == [b"5"]


def test_the_next_iterator_goes_on_after_the_last_record(kinesis: Any) -> None:
    for number in range(3):
        put(kinesis, data=b"%d" % number)
    kinesis.now_ms += 700

    first = read(kinesis, iterator(kinesis, "shardId-000000000001"), Limit=2)
    second = read(kinesis, first["NextShardIterator"])
    put(kinesis, data=b"3")
    third = read(kinesis, second["NextShardIterator"])

    assert (data_of(first), first["MillisBehindLatest"]) == ([b"0", b"1"], 700)
    assert (data_of(second), second["MillisBehindLatest"]) == ([b"2"], 0)
    assert data_of(third) == [b"3"]


def test_an_answer_holds_at_most_ten_mebibytes(kinesis: Any) -> None:
    for _ in range(11):
        put(kinesis, data=bytes(1 << 20))

    answer = read(kinesis, iterator(kinesis, "shardId-000000000001"))

    assert len(answer["Records"]) == 9  # the partition keys count, so ten records are above it


def test_an_iterator_expires_after_five_minutes(kinesis: Any) -> None:
    position = iterator(kinesis, "shardId-000000000000")

    kinesis.now_ms += LIFETIME_MS
    read(kinesis, position)
    kinesis.now_ms += 1
    with pytest.raises(ServiceError, match="further in the future than the tolerated delay of 300000") as caught:
        read(kinesis, position)

    assert caught.value.code == "ExpiredIteratorException"


def test_an_iterator_of_a_deleted_stream_does_not_read_its_successor(kinesis: Any) -> None:
    position = iterator(kinesis, "shardId-000000000000")
    kinesis.run(delete_stream, "DeleteStream", StreamName="s")
    kinesis.run(create_stream, "CreateStream", StreamName="s", ShardCount=2)

    with pytest.raises(ServiceError, match=r"Shard shardId-000000000000 in stream s .* does not exist"):
        read(kinesis, position)


@given(st.text(min_size=1, max_size=300))
def test_no_text_is_taken_for_an_iterator(text: str) -> None:
    with pytest.raises(ServiceError, match="Invalid ShardIterator"):
        ShardIterator.decode(text)


def test_records_past_the_retention_period_are_neither_read_nor_kept(kinesis: Any) -> None:
    shard = "shardId-000000000001"
    for hour in range(5):
        put(kinesis, data=b"%d" % hour)
        kinesis.now_ms += HOUR_MS
    kinesis.now_ms += 21 * HOUR_MS + 1  # hours 0 to 2 are older than a day now

    assert data_of(read(kinesis, iterator(kinesis, shard))) == [b"3", b"4"]
    put(kinesis, data=b"5")
    kept = [v for k, v in kinesis.transaction.scan("kinesis", b"r", b"s")]
    assert len(kept) == 3
    assert data_of(read(kinesis, iterator(kinesis, shard))) == [b"3", b"4", b"5"]


def test_put_records_keeps_the_requests_order_and_answers_each_record(kinesis: Any) -> None:
    entries = [{"PartitionKey": key, "Data": key.encode()} for key in ("a", "b", "a", "d1")]

    answer = kinesis.run(put_records, "PutRecords", StreamName="s", Records=entries)

    assert answer["FailedRecordCount"] == 0
    assert [r["ShardId"][-1] for r in answer["Records"]] == ["0", "1", "0", "1"]
    assert data_of(read(kinesis, iterator(kinesis, "shardId-000000000000"))) == [b"a", b"a"]


def test_a_request_above_five_mebibytes_is_refused(kinesis: Any) -> None:
    entries = [{"PartitionKey": "a", "Data": bytes(1 << 20)}] * 5

    with pytest.raises(ServiceError, match="Records size exceeds 5 MB limit"):
        kinesis.run(put_records, "PutRecords", StreamName="s", Records=entries)


def test_a_drained_closed_shard_has_no_next_iterator_and_names_its_children(kinesis: Any) -> None:
    put(kinesis, key="a", data=b"before")
    kinesis.run(
        split_shard,
        "SplitShard",
        StreamName="s",
        ShardToSplit="shardId-000000000000",
        NewStartingHashKey=str(1 << 126),
    )
    put(kinesis, key="a", data=b"after")

    first = read(kinesis, iterator(kinesis, "shardId-000000000000"))
    last = read(kinesis, first["NextShardIterator"])

    assert data_of(first) == [b"before"]
    assert last["Records"] == []
    assert "NextShardIterator" not in last
    assert [(c["ShardId"][-1], c["ParentShards"]) for c in last["ChildShards"]] == [
        ("2", ["shardId-000000000000"]),
        ("3", ["shardId-000000000000"]),
    ]
    assert data_of(read(kinesis, iterator(kinesis, "shardId-000000000002"))) == [b"after"]


def test_children_of_a_merge_start_above_both_parents(kinesis: Any) -> None:
    kinesis.run(
        merge_shards,
        "MergeShards",
        StreamName="s",
        ShardToMerge="shardId-000000000000",
        AdjacentShardToMerge="shardId-000000000001",
    )

    answer = put(kinesis)

    assert answer["ShardId"] == "shardId-000000000002"
    assert SequenceNumber.parse(answer["SequenceNumber"]).created_s == kinesis.now_ms // 1000 + 1


@pytest.mark.parametrize(
    ("request_members", "message"),
    [
        ({"ShardIteratorType": "LATEST", "StartingSequenceNumber": "1"}, "Request specified LATEST and also"),
        ({"ShardIteratorType": "AT_SEQUENCE_NUMBER"}, "Request specified AT_SEQUENCE_NUMBER and no Starting"),
        ({"ShardIteratorType": "AT_TIMESTAMP"}, "Current request has no timestamp parameter"),
        ({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1_900_000_000}, "cannot be greater than"),
        (
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "9" * 60},
            "used in GetShardIterator on shard shardId-000000000000 in stream s under account 123456789012 is invalid.",
        ),
        (
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": str(SequenceNumber(1, 1))},
            "Invalid StartingSequenceNumber. It encodes shardId-000000000001",
        ),
        (
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": str(SequenceNumber(1, 0))},
            "is invalid because it did not come from this stream.",
        ),
    ],
)
def test_a_wrong_iterator_request_is_refused(kinesis: Any, request_members: dict[str, Any], message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        kinesis.run(get_shard_iterator, "GetShardIterator", StreamName="s", ShardId="0", **request_members)


def test_an_ordering_number_from_the_future_is_refused(kinesis: Any) -> None:
    number = put(kinesis)["SequenceNumber"]
    put(kinesis, SequenceNumberForOrdering=number)
    kinesis.now_ms -= 5000

    with pytest.raises(ServiceError, match="ExclusiveMinimumSequenceNumber"):
        put(kinesis, SequenceNumberForOrdering=number)


@given(
    st.integers(0, 16_000_000_000),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 16_000_000_000),
)
def test_a_sequence_number_survives_its_text(created_s: int, shard: int, index: int, time_s: int) -> None:
    number = SequenceNumber(created_s, shard, index, time_s)

    assert SequenceNumber.parse(str(number)) == number


def test_a_sequence_number_of_the_service_is_understood() -> None:
    number = "49590338271490256608559692538361571095921575989136588898"

    parsed = SequenceNumber.parse(number)

    assert (parsed.shard_index, parsed.version, parsed.time_s) == (6, 2, 1545084650)


@given(st.integers(0, 2**31 - 1))
def test_a_shard_id_survives_its_text(index: int) -> None:
    assert shard_index_of(shard_id_of(index)) == index


@given(
    puts=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(-5000, 5000)), max_size=40),
    limit=st.integers(1, 7),
)
def test_reading_page_by_page_gives_every_record_once_in_order_for_any_clock(
    make_kinesis: Callable[[], Any], puts: list[tuple[str, int]], limit: int
) -> None:
    subject = make_kinesis()
    subject.run(create_stream, "CreateStream", StreamName="s", ShardCount=3)
    expected: dict[str, list[bytes]] = {f"shardId-00000000000{n}": [] for n in range(3)}
    for number, (key, step_ms) in enumerate(puts):
        subject.now_ms += step_ms
        expected[put(subject, key=key, data=b"%d" % number)["ShardId"]].append(b"%d" % number)

    found: dict[str, list[bytes]] = {}
    for shard in expected:
        position = iterator(subject, shard)
        found[shard] = []
        while page := read(subject, position, Limit=limit):
            found[shard] += data_of(page)
            position = page["NextShardIterator"]
            if not page["Records"]:
                break

    assert found == expected
