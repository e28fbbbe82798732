"""DescribeTable, ListTables and the other answers about tables and the account."""

from typing import Any

from headwater.dynamodb.faults import table_not_found_by_name
from headwater.dynamodb.items.changes import counters
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.tables.model import Table
from headwater.values.transaction import ReadTransaction

DEFAULT_LIST_LIMIT = 100
# What an on-demand table serves from its first second on.
INITIAL_ON_DEMAND = {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000}


def find(session: Session, request: Request) -> Table:
    """The table a table operation names. Raises: ServiceError `ResourceNotFoundException`."""
    name = request["TableName"]
    table = session.catalog.find(session.transaction, name)
    if table is None:
        raise table_not_found_by_name(name)
    return table


def describe(transaction: ReadTransaction, table: Table) -> dict[str, Any]:
    """The TableDescription; counts are exact where the service's are up to six hours old."""
    _, count, size = counters(transaction, table)
    description = dict(table.document["description"])
    description.update(TableStatus="ACTIVE", ItemCount=count, TableSizeBytes=size)
    for member in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        if member in description:
            description[member] = [
                _index_entry(transaction, table, entry, is_global=member.startswith("Global"))
                for entry in description[member]
            ]
    description["WarmThroughput"] = _warm_throughput(description)
    if table.stream is not None:
        description["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": table.stream.view_type}
        description["LatestStreamLabel"] = table.stream.label
        description["LatestStreamArn"] = table.stream.arn
    return description


def _index_entry(
    transaction: ReadTransaction, table: Table, entry: dict[str, Any], *, is_global: bool
) -> dict[str, Any]:
    _, count, size = counters(transaction, table)
    result = {**entry, "ItemCount": count, "IndexSizeBytes": size}
    if is_global:
        index = table.index(entry["IndexName"])
        is_building = index is not None and index.is_building
        result["IndexStatus"] = "CREATING" if is_building else "ACTIVE"
        if is_building:
            result["Backfilling"] = True
        result["WarmThroughput"] = _warm_throughput(result)
    return result


def _warm_throughput(description: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, else what the capacity mode gives at once; zero provisioned units mean on-demand."""
    asked = description.get("WarmThroughput") or {}
    provisioned = description["ProvisionedThroughput"]
    read = provisioned["ReadCapacityUnits"] or INITIAL_ON_DEMAND["ReadUnitsPerSecond"]
    write = provisioned["WriteCapacityUnits"] or INITIAL_ON_DEMAND["WriteUnitsPerSecond"]
    return {
        "ReadUnitsPerSecond": asked.get("ReadUnitsPerSecond") or read,
        "WriteUnitsPerSecond": asked.get("WriteUnitsPerSecond") or write,
        "Status": "ACTIVE",
    }


def describe_table(session: Session, request: Request) -> Response:
    """DescribeTable."""
    return {"Table": describe(session.transaction, find(session, request))}


def list_tables(session: Session, request: Request) -> Response:
    """ListTables: names in order, paged."""
    names = session.catalog.names(session.transaction)
    start = request.get("ExclusiveStartTableName")
    if start is not None:
        names = [name for name in names if name > start]
    limit = request.get("Limit") or DEFAULT_LIST_LIMIT
    response: Response = {"TableNames": names[:limit]}
    if len(names) > limit:
        response["LastEvaluatedTableName"] = names[limit - 1]
    return response


def describe_limits(session: Session, request: Request) -> Response:
    """DescribeLimits: the quotas that the API Reference shows."""
    return {
        "AccountMaxReadCapacityUnits": 20000,
        "AccountMaxWriteCapacityUnits": 20000,
        "TableMaxReadCapacityUnits": 10000,
        "TableMaxWriteCapacityUnits": 10000,
    }


def describe_endpoints(session: Session, request: Request) -> Response:
    """DescribeEndpoints: the regional endpoint's name, as the service answers."""
    address = f"dynamodb.{session.catalog.region}.amazonaws.com"
    return {"Endpoints": [{"Address": address, "CachePeriodInMinutes": 1440}]}


def describe_time_to_live(session: Session, request: Request) -> Response:
    """DescribeTimeToLive."""
    table = find(session, request)
    if table.ttl_attribute is None:
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
    status = "ENABLING" if table.is_ttl_building else "ENABLED"
    return {"TimeToLiveDescription": {"TimeToLiveStatus": status, "AttributeName": table.ttl_attribute}}
