"""The operations of DynamoDB and DynamoDB Streams by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.dynamodb.faults import validation
from headwater.dynamodb.operations.batches import batch_get_item, batch_write_item
from headwater.dynamodb.operations.items import delete_item, get_item, put_item, update_item
from headwater.dynamodb.operations.queries import query, scan
from headwater.dynamodb.operations.transactions import transact_get_items, transact_write_items
from headwater.dynamodb.requests.operations import MEMBERS, UNSUPPORTED
from headwater.dynamodb.requests.shapes import Members, check_request, check_types
from headwater.dynamodb.requests.streams_operations import STREAMS_MEMBERS
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.streams import describe_stream, get_records, get_shard_iterator, list_streams
from headwater.dynamodb.tables.backups import (
    create_backup,
    delete_backup,
    describe_backup,
    describe_continuous_backups,
    list_backups,
    restore_table_from_backup,
    restore_table_to_point_in_time,
    update_continuous_backups,
)
from headwater.dynamodb.tables.create import create_table
from headwater.dynamodb.tables.describe import (
    describe_endpoints,
    describe_limits,
    describe_table,
    describe_time_to_live,
    list_tables,
)
from headwater.dynamodb.tables.update import (
    delete_table,
    list_tags_of_resource,
    tag_resource,
    untag_resource,
    update_table,
    update_time_to_live,
)

TARGET_PREFIX = "DynamoDB_20120810"
STREAMS_TARGET_PREFIX = "DynamoDBStreams_20120810"

_NO_MEMBERS = Members({})
# Table operations name these before they look at anything else.
_NAMED_FIRST = frozenset(
    {
        "CreateTable",
        "DescribeTable",
        "DeleteTable",
        "UpdateTable",
        "DescribeTimeToLive",
        "UpdateTimeToLive",
        "DescribeContinuousBackups",
    }
)

# Writes whose newer checks see an empty name before the older ones do, if nothing is missing.
_CHECKED_TWICE = frozenset({"PutItem", "UpdateItem", "DeleteItem"})


def check(operation: str, request: Any) -> None:
    """Check a request's shape.

    Raises: ServiceError `SerializationException` or `ValidationException`.
    """
    members = MEMBERS.get(operation) or STREAMS_MEMBERS.get(operation) or _NO_MEMBERS
    if operation in _NAMED_FIRST and isinstance(request, dict):
        check_types(members, request)
        name = request.get("TableName")
        if name is None:
            raise validation("The parameter 'TableName' is required but was not present in the request")
        if not 3 <= len(name) <= 255 and not name.startswith("arn:"):
            raise validation("TableName must be at least 3 characters long and at most 255 characters long")
    if (
        operation in _CHECKED_TWICE
        and isinstance(request, dict)
        and request.get("TableName") == ""
        and all(request.get(name) is not None for name in members.required)
    ):
        raise validation(
            "1 validation error detected: Value at 'TableName' failed to satisfy constraint: Member must have length "
            "greater than or equal to 1"
        )
    check_request(members, request)
    for member in UNSUPPORTED.get(operation, ()):
        if request.get(member) is not None:
            raise validation(f"{operation} with {member} is not supported here")


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation; `needs_id` says that it makes something with an id of its own."""

    run: Callable[[Session, Request], Response]
    is_write: bool = False
    needs_id: bool = False


OPERATIONS: Mapping[str, Operation] = {
    "PutItem": Operation(put_item, is_write=True),
    "GetItem": Operation(get_item),
    "UpdateItem": Operation(update_item, is_write=True),
    "DeleteItem": Operation(delete_item, is_write=True),
    "Query": Operation(query),
    "Scan": Operation(scan),
    "BatchGetItem": Operation(batch_get_item),
    "BatchWriteItem": Operation(batch_write_item, is_write=True),
    "TransactGetItems": Operation(transact_get_items),
    "TransactWriteItems": Operation(transact_write_items, is_write=True),
    "CreateTable": Operation(create_table, is_write=True, needs_id=True),
    "DescribeTable": Operation(describe_table),
    "UpdateTable": Operation(update_table, is_write=True, needs_id=True),
    "DeleteTable": Operation(delete_table, is_write=True),
    "ListTables": Operation(list_tables),
    "UpdateTimeToLive": Operation(update_time_to_live, is_write=True),
    "DescribeTimeToLive": Operation(describe_time_to_live),
    "TagResource": Operation(tag_resource, is_write=True),
    "UntagResource": Operation(untag_resource, is_write=True),
    "ListTagsOfResource": Operation(list_tags_of_resource),
    "DescribeLimits": Operation(describe_limits),
    "DescribeEndpoints": Operation(describe_endpoints),
    "DescribeContinuousBackups": Operation(describe_continuous_backups),
    "UpdateContinuousBackups": Operation(update_continuous_backups, is_write=True),
    "CreateBackup": Operation(create_backup, is_write=True, needs_id=True),
    "DescribeBackup": Operation(describe_backup),
    "DeleteBackup": Operation(delete_backup, is_write=True),
    "ListBackups": Operation(list_backups),
    "RestoreTableFromBackup": Operation(restore_table_from_backup, is_write=True, needs_id=True),
    "RestoreTableToPointInTime": Operation(restore_table_to_point_in_time, is_write=True, needs_id=True),
}
STREAMS_OPERATIONS: Mapping[str, Operation] = {
    "ListStreams": Operation(list_streams),
    "DescribeStream": Operation(describe_stream),
    "GetShardIterator": Operation(get_shard_iterator),
    "GetRecords": Operation(get_records),
}
