"""The input shapes of the Kinesis operations that are supported, in the service's order of checking.

Source: Kinesis Data Streams API Reference; the order as observed on the service.
"""

from collections.abc import Mapping

from headwater.kinesis.validation import (
    Shape,
    at_least,
    at_most,
    each_length,
    matches,
    max_length,
    min_length,
    one_of,
)

MAX_RECORD_BYTES = 1 << 20
MAX_RECORDS_PER_REQUEST = 500

_NAME_PATTERN = r"[a-zA-Z0-9_.-]+"
_NAME = (matches(_NAME_PATTERN), min_length(1), max_length(128))
_ARN = (matches(r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+"), min_length(1), max_length(2048))
_RESOURCE = (matches(r"arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+"), min_length(1), max_length(2048))
_CONSUMER_PATTERN = r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+"
_CONSUMER = (matches(_CONSUMER_PATTERN), min_length(1), max_length(2048))
_NUMBER = (matches(r"0|([1-9]\d{0,128})"),)
_HASH = (matches(r"0|([1-9]\d{0,38})"),)
_LIMIT = (at_least(1), at_most(10000))

_name = Shape("String", True, _NAME)
_optional_name = Shape("String", rules=_NAME)
_stream_arn = Shape("String", rules=_ARN)
_count = Shape("Integer", True, (at_least(1), at_most(100_000)))
_limit = Shape("Integer", rules=_LIMIT)
_token = Shape("String", rules=(min_length(1), max_length(1_048_576)))
_text = Shape("String")
_metrics = Shape("List", True, (min_length(1), max_length(7)), element=_text)
_mode = Shape("Structure", members={"StreamMode": Shape("String", True, (one_of("PROVISIONED", "ON_DEMAND"),))})
_required_mode = Shape("Structure", True, members=_mode.members)
_record_size = Shape("Integer", rules=(at_least(1024), at_most(10240)))


def _tags(limit: int, *, is_required: bool) -> Shape:
    keys = each_length(1, 128, what="Map keys", of=lambda tags: tags.keys())
    values = each_length(0, 256, what="Map value", of=lambda tags: tags.values())
    return Shape("Map", is_required, (min_length(1), max_length(limit), keys, values), element=_text)


def _tag_keys(limit: int) -> Shape:
    return Shape("List", True, (min_length(1), max_length(limit), each_length(1, 128)), element=_text)


def _of_stream(**members: Shape) -> dict[str, Shape]:
    """Members before the stream's name, which an ARN may stand in for."""
    stream = Shape("String", True, _NAME, unless="StreamARN")
    return {**members, "StreamName": stream, "StreamARN": _stream_arn}


def _of_resource(**members: Shape) -> dict[str, Shape]:
    return {**members, "ResourceARN": Shape("String", True, _RESOURCE)}


def _data(limit: int) -> Shape:
    return Shape("Blob", True, (max_length(limit),))


def _key() -> Shape:
    return Shape("String", True, (min_length(1), max_length(256)))


def put_record_shape(max_record_bytes: int = MAX_RECORD_BYTES) -> Mapping[str, Shape]:
    """The shape of PutRecord on a stream whose record limit was raised."""
    return _of_stream(
        SequenceNumberForOrdering=Shape("String", rules=_NUMBER),
        PartitionKey=_key(),
        ExplicitHashKey=Shape("String", rules=_HASH),
        Data=_data(max_record_bytes),
    )


def put_records_shape(max_record_bytes: int = MAX_RECORD_BYTES) -> Mapping[str, Shape]:
    """The shape of PutRecords on a stream whose record limit was raised."""
    entry = Shape(
        "Structure",
        members={
            "PartitionKey": _key(),
            "ExplicitHashKey": Shape("String", rules=_HASH),
            "Data": _data(max_record_bytes),
        },
        java_name="com.amazonaws.kinesis.v20131202.PutRecordsRequestEntry@c965e310",
    )
    rules = (min_length(1), max_length(MAX_RECORDS_PER_REQUEST))
    return _of_stream(Records=Shape("List", True, rules, element=entry))


SHAPES: Mapping[str, Mapping[str, Shape]] = {
    "AddTagsToStream": _of_stream(Tags=_tags(10, is_required=True)),
    "CreateStream": {
        # Without it a stream is made in on-demand mode (LocalStack, test_create_stream_without_shard_count).
        "ShardCount": Shape("Integer", True, _count.rules, unless="StreamName"),
        "StreamName": _name,
        "StreamModeDetails": _mode,
        "Tags": _tags(200, is_required=False),
        "MaxRecordSizeInKiB": _record_size,
    },
    "DecreaseStreamRetentionPeriod": _of_stream(RetentionPeriodHours=Shape("Integer", True, (at_least(1),))),
    "DeleteResourcePolicy": _of_resource(),
    "DeleteStream": _of_stream(EnforceConsumerDeletion=Shape("Boolean")),
    "DeregisterStreamConsumer": {
        "StreamARN": _stream_arn,
        "ConsumerName": _optional_name,
        "ConsumerARN": Shape("String", rules=_CONSUMER),
    },
    "DescribeLimits": {},
    "DescribeStream": _of_stream(Limit=_limit, ExclusiveStartShardId=_optional_name),
    "DescribeStreamConsumer": {
        "StreamARN": _stream_arn,
        "ConsumerName": _optional_name,
        "ConsumerARN": Shape("String", rules=_CONSUMER),
    },
    "DescribeStreamSummary": _of_stream(),
    "DisableEnhancedMonitoring": _of_stream(ShardLevelMetrics=_metrics),
    "EnableEnhancedMonitoring": _of_stream(ShardLevelMetrics=_metrics),
    "GetRecords": {
        "Limit": _limit,
        "ShardIterator": Shape("String", True, (min_length(1), max_length(512))),
        "StreamARN": _stream_arn,
    },
    "GetResourcePolicy": _of_resource(),
    "GetShardIterator": {
        "ShardId": _name,
        "ShardIteratorType": Shape(
            "String",
            True,
            (one_of("AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"),),
        ),
        "StartingSequenceNumber": Shape("String", rules=_NUMBER),
        **_of_stream(),
        "Timestamp": Shape("Timestamp"),
    },
    "IncreaseStreamRetentionPeriod": _of_stream(RetentionPeriodHours=Shape("Integer", True, (at_least(1),))),
    "ListShards": {
        "ExclusiveStartShardId": _optional_name,
        "MaxResults": _limit,
        "NextToken": _token,
        "StreamCreationTimestamp": Shape("Timestamp"),
        "StreamName": _optional_name,
        "StreamARN": _stream_arn,
        "ShardFilter": Shape(
            "Structure",
            members={
                "Type": Shape(
                    "String",
                    True,
                    (
                        one_of(
                            "AFTER_SHARD_ID",
                            "AT_TRIM_HORIZON",
                            "FROM_TRIM_HORIZON",
                            "AT_LATEST",
                            "AT_TIMESTAMP",
                            "FROM_TIMESTAMP",
                        ),
                    ),
                ),
                "ShardId": _optional_name,
                "Timestamp": Shape("Timestamp"),
            },
        ),
    },
    "ListStreamConsumers": {
        "StreamARN": Shape("String", True, _ARN),
        "NextToken": _token,
        "MaxResults": _limit,
        "StreamCreationTimestamp": Shape("Timestamp"),
    },
    "ListStreams": {"Limit": _limit, "ExclusiveStartStreamName": _optional_name, "NextToken": _token},
    "ListTagsForResource": _of_resource(),
    "ListTagsForStream": _of_stream(
        Limit=Shape("Integer", rules=(at_least(1), at_most(50))),
        ExclusiveStartTagKey=Shape("String", rules=(min_length(1), max_length(128))),
    ),
    "MergeShards": _of_stream(ShardToMerge=_name, AdjacentShardToMerge=_name),
    "PutRecord": put_record_shape(),
    "PutRecords": put_records_shape(),
    "PutResourcePolicy": _of_resource(Policy=Shape("String", True)),
    "RegisterStreamConsumer": {
        "StreamARN": Shape("String", True, _ARN),
        "ConsumerName": _name,
        "Tags": _tags(200, is_required=False),
    },
    "RemoveTagsFromStream": _of_stream(TagKeys=_tag_keys(50)),
    "SplitShard": {"NewStartingHashKey": Shape("String", True, _HASH), **_of_stream(), "ShardToSplit": _name},
    "StartStreamEncryption": _of_stream(
        EncryptionType=Shape("String", True, (one_of("NONE", "KMS"),)),
        KeyId=Shape("String", True, (min_length(1), max_length(2048))),
    ),
    "StopStreamEncryption": _of_stream(
        EncryptionType=Shape("String", True, (one_of("NONE", "KMS"),)),
        KeyId=Shape("String", True, (min_length(1), max_length(2048))),
    ),
    "SubscribeToShard": {"ConsumerARN": Shape("String", True, _CONSUMER), "ShardId": _name},
    "TagResource": _of_resource(Tags=_tags(200, is_required=True)),
    "UntagResource": _of_resource(TagKeys=_tag_keys(50)),
    "UpdateMaxRecordSize": {
        "StreamARN": Shape("String", True, _ARN),
        "MaxRecordSizeInKiB": Shape("Integer", True, _record_size.rules),
    },
    "UpdateShardCount": _of_stream(
        TargetShardCount=_count,
        ScalingType=Shape("String", True, (one_of("UNIFORM_SCALING"),)),
    ),
    "DescribeAccountSettings": {},
    "UpdateStreamMode": {"StreamARN": Shape("String", True, _ARN), "StreamModeDetails": _required_mode},
}

# What the service adds to these operations and what is checked apart from their shapes.
DRY_RUNS = frozenset({"GetRecords", "GetShardIterator", "PutRecord", "PutRecords"})
_STREAM_ID = {"StreamId": "the service reserves it for future use; name the stream by StreamName or StreamARN"}
_WARM = "warm throughput belongs to a billing commitment that this account does not have"
UNSUPPORTED_MEMBERS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(SHAPES, _STREAM_ID),
    "CreateStream": {"WarmThroughputMiBps": _WARM},
    "UpdateStreamMode": {**_STREAM_ID, "WarmThroughputMiBps": _WARM},
}
