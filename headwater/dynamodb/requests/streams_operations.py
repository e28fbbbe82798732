"""The input of every operation of DynamoDB Streams, its members in the order in which their faults are reported."""

from collections.abc import Mapping

from headwater.dynamodb.requests.kinds import NAME_PATTERN, choice, structure
from headwater.dynamodb.requests.shapes import Members, Shape

_ARN = Shape("string", is_required=True, minimum=37, maximum=1024)
_SHARD_ID = Shape("string", is_required=True, minimum=28, maximum=65)
_ITERATOR_TYPE = choice(
    "AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON", "AT_TIMESTAMP", is_required=True
)
_INPUTS: Mapping[str, Mapping[str, Shape]] = {
    "ListStreams": {
        "TableName": Shape("string", pattern=NAME_PATTERN, minimum=3, maximum=1024),
        "Limit": Shape("number", minimum=1, maximum=100, java="Integer"),
        "ExclusiveStartStreamArn": Shape("string", minimum=37, maximum=1024),
    },
    "DescribeStream": {
        "StreamArn": _ARN,
        "Limit": Shape("number", minimum=1, maximum=100, java="Integer"),
        "ExclusiveStartShardId": Shape("string", minimum=28, maximum=65),
        "ShardFilter": structure(
            "ShardFilter", Type=choice("CHILD_SHARDS"), ShardId=Shape("string", minimum=28, maximum=65)
        ),
    },
    "GetShardIterator": {
        "StreamArn": _ARN,
        "ShardId": _SHARD_ID,
        "ShardIteratorType": _ITERATOR_TYPE,
        "SequenceNumber": Shape("string", minimum=21, maximum=40),
        "Timestamp": Shape("time", java="Date"),
    },
    "GetRecords": {
        "ShardIterator": Shape("string", is_required=True, minimum=1, maximum=2048),
        "Limit": Shape("number", minimum=1, maximum=1000, java="Integer"),
    },
}

STREAMS_MEMBERS = {operation: Members(members) for operation, members in _INPUTS.items()}
