"""DeleteTable, UpdateTable, UpdateTimeToLive and the tags of a table."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from headwater.dynamodb.faults import invalid, validation
from headwater.dynamodb.requests.shapes import constraint_error
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.streams import retire_stream
from headwater.dynamodb.tables.backfill import begin_backfill
from headwater.dynamodb.tables.create import (
    check_bounds,
    check_global_index,
    check_projection,
    check_stream,
    checked_tags,
    enable_stream,
    exceeds_bounds,
    index_description,
    set_encryption,
    throughput,
)
from headwater.dynamodb.tables.describe import describe, find
from headwater.dynamodb.tables.model import (
    DATABASE,
    TABLE_PREFIX,
    Document,
    Table,
    discard_space,
    new_space,
    space_bytes,
    store_table,
)
from headwater.errors import ServiceError


def delete_table(session: Session, request: Request) -> Response:
    """DeleteTable: the name is free at once, the items go with the sweeper."""
    table = find(session, request)
    if table.document["description"].get("DeletionProtectionEnabled"):
        raise validation(
            f"1 validation error detected: Table '{table.name}' can't be deleted while DeletionProtectionEnabled is "
            "set to True"
        )
    description = describe(session.transaction, table)
    description["TableStatus"] = "DELETING"
    for member in (
        "AttributeDefinitions",
        "KeySchema",
        "CreationDateTime",
        "GlobalSecondaryIndexes",
        "LocalSecondaryIndexes",
        "WarmThroughput",
    ):
        description.pop(member, None)
    transaction = session.transaction
    transaction.delete(DATABASE, TABLE_PREFIX + table.name.encode())
    transaction.delete(DATABASE, table.counter_key)
    for space in (table.space, *(index.space for index in table.indexes)):
        discard_space(transaction, space)
    if table.ttl_attribute is not None:
        discard_space(transaction, table.ttl_space)
    if table.stream is not None:
        retire_stream(session, table)
    return {"TableDescription": description}


def update_table(session: Session, request: Request) -> Response:
    """UpdateTable: throughput, billing mode, stream, global indexes, deletion protection; all take effect at once."""
    _check_update(request)
    table = find(session, request)
    document: Document = orjson.loads(orjson.dumps(table.document))
    description = document["description"]
    _update_billing(session, description, request)
    if request.get("DeletionProtectionEnabled") is not None:
        description["DeletionProtectionEnabled"] = request["DeletionProtectionEnabled"]
    for member in ("OnDemandThroughput", "WarmThroughput"):
        if request.get(member) is not None:
            description[member] = {**description.get(member, {}), **request[member]}
    if request.get("TableClass") is not None:
        description["TableClassSummary"] = {"TableClass": request["TableClass"]}
    if request.get("SSESpecification") is not None:
        set_encryption(session, description, request["SSESpecification"])
    if request.get("StreamSpecification") is not None:
        _update_stream(session, table, document, request["StreamSpecification"])
    for update in request.get("GlobalSecondaryIndexUpdates") or ():
        _update_index(session, document, request, update)
    updated = store_table(session.transaction, document)
    answer = describe(session.transaction, updated)
    answer["TableStatus"] = "UPDATING"
    return {"TableDescription": answer}


def _check_update(request: Request) -> None:
    """The rules between the members, before the table is looked up."""
    updates = request.get("GlobalSecondaryIndexUpdates")
    known = (
        "ProvisionedThroughput",
        "BillingMode",
        "StreamSpecification",
        "DeletionProtectionEnabled",
        "SSESpecification",
        "TableClass",
        "OnDemandThroughput",
        "WarmThroughput",
    )
    if not updates and all(request.get(member) is None for member in known):
        raise validation(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates "
            "or SSESpecification or ReplicaUpdates is required"
        )
    given = request.get("ProvisionedThroughput")
    if request.get("BillingMode") == "PROVISIONED" and given is None:
        raise invalid("ProvisionedThroughput must be specified when BillingMode is PROVISIONED")
    check_bounds(given)
    check_stream(request.get("StreamSpecification"))
    seen: set[str] = set()
    for update in updates or ():
        parts = [update[kind] for kind in ("Update", "Create", "Delete") if update.get(kind) is not None]
        if not parts:
            raise invalid(
                "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, "
                "GlobalSecondaryIndexUpdate.Delete must not be null"
            )
        if len(parts) > 1:
            raise invalid("Only one of GlobalSecondaryIndexUpdate.Update, Create and Delete may be given at once")
        name = parts[0]["IndexName"]
        if name in seen:
            raise invalid(f"Only one global secondary index update per index is allowed simultaneously. Index: {name}")
        seen.add(name)
        if update.get("Create") is not None:
            check_projection(update["Create"]["Projection"])
    if sum(update.get("Update") is None for update in updates or ()) > 1:
        raise _one_at_a_time()


def _one_at_a_time() -> ServiceError:
    return ServiceError(
        "LimitExceededException",
        "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
    )


def _update_billing(session: Session, description: dict[str, Any], request: Request) -> None:
    mode, given = request.get("BillingMode"), request.get("ProvisionedThroughput")
    summary = description.get("BillingModeSummary")
    is_on_demand = summary is not None and summary["BillingMode"] == "PAY_PER_REQUEST"
    if mode == "PAY_PER_REQUEST":
        if given is not None:
            raise invalid(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
            )
        description["BillingModeSummary"] = {
            "BillingMode": mode,
            "LastUpdateToPayPerRequestDateTime": session.now,
        }
        for entry in (description, *description.get("GlobalSecondaryIndexes", ())):
            entry["ProvisionedThroughput"] = throughput(None)
        return
    if mode == "PROVISIONED" and summary is not None:
        summary["BillingMode"] = mode
    if given is None:
        return
    if is_on_demand and mode is None:
        raise invalid(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
        )
    old = description["ProvisionedThroughput"]
    if not is_on_demand and all(old[member] == given[member] for member in ("ReadCapacityUnits", "WriteCapacityUnits")):
        raise validation(
            "The provisioned throughput for the table will not change. The requested value equals the current value. "
            f"Current ReadCapacityUnits provisioned for the table: {old['ReadCapacityUnits']}. "
            f"Requested ReadCapacityUnits: {given['ReadCapacityUnits']}. "
            f"Current WriteCapacityUnits provisioned for the table: {old['WriteCapacityUnits']}. "
            f"Requested WriteCapacityUnits: {given['WriteCapacityUnits']}. "
            "Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
        )
    is_increase = any(given[member] > old[member] for member in ("ReadCapacityUnits", "WriteCapacityUnits"))
    changed = {**old, **given}
    changed["LastIncreaseDateTime" if is_increase else "LastDecreaseDateTime"] = session.now
    changed["NumberOfDecreasesToday"] += not is_increase
    description["ProvisionedThroughput"] = changed


def _update_stream(session: Session, table: Table, document: Document, specification: Mapping[str, Any]) -> None:
    if specification.get("StreamEnabled"):
        if table.stream is not None:
            raise validation(f"Table already has an enabled stream: TableName: {table.name}")
        enable_stream(session, document, specification)
        return
    if table.stream is None:
        raise validation(f"Table has no stream to disable: TableName: {table.name}")
    retire_stream(session, table)
    document["stream"] = None


def _update_index(session: Session, document: Document, request: Request, update: Mapping[str, Any]) -> None:
    description = document["description"]
    indexes = description.setdefault("GlobalSecondaryIndexes", [])
    if update.get("Create") is not None:
        _create_index(session, document, request, update["Create"])
    elif update.get("Delete") is not None:
        name = update["Delete"]["IndexName"]
        _require_index(indexes, name)
        description["GlobalSecondaryIndexes"] = [entry for entry in indexes if entry["IndexName"] != name]
        discard_space(session.transaction, space_bytes(document["indexSpaces"].pop(name)))
        _forget_building(document, name)
        _drop_unused_definitions(description)
    elif update.get("Update") is not None:
        name = update["Update"]["IndexName"]
        given = update["Update"].get("ProvisionedThroughput")
        if all(entry["IndexName"] != name for entry in indexes) and exceeds_bounds(given):
            raise validation(
                "This operation cannot be performed with given input values. Please contact DynamoDB service team for "
                "more info: Action Blocked: IndexUpdate"
            )
        entry = _require_index(indexes, name)
        check_bounds(given)
        if given is not None:
            entry["ProvisionedThroughput"] = throughput(given)
        for member in ("OnDemandThroughput", "WarmThroughput"):
            if update["Update"].get(member) is not None:
                entry[member] = {**entry.get(member, {}), **update["Update"][member]}
    if not description["GlobalSecondaryIndexes"]:
        del description["GlobalSecondaryIndexes"]


def _forget_building(document: Document, name: str | None) -> None:
    if document.get("building"):
        document["building"] = [other for other in document["building"] if other != name]


def _require_index(indexes: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for entry in indexes:
        if entry["IndexName"] == name:
            return entry
    raise ServiceError("ResourceNotFoundException", "Requested resource not found")


def _drop_unused_definitions(description: dict[str, Any]) -> None:
    schemas = [description["KeySchema"]]
    for member in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        schemas.extend(entry["KeySchema"] for entry in description.get(member, ()))
    used = {entry["AttributeName"] for schema in schemas for entry in schema}
    description["AttributeDefinitions"] = [
        entry for entry in description["AttributeDefinitions"] if entry["AttributeName"] in used
    ]


def _create_index(session: Session, document: Document, request: Request, create: Mapping[str, Any]) -> None:
    description = document["description"]
    definitions = {entry["AttributeName"]: entry for entry in description["AttributeDefinitions"]}
    for entry in request.get("AttributeDefinitions") or ():
        known = definitions.setdefault(entry["AttributeName"], entry)
        if known["AttributeType"] != entry["AttributeType"]:
            raise invalid(
                "Attributes cannot be redefined. Please check that your attribute has the same type as previously "
                f"defined. Existing schema: {known['AttributeName']}:{known['AttributeType']} "
                f"New schema: {entry['AttributeName']}:{entry['AttributeType']}"
            )
    summary = description.get("BillingModeSummary") or {}
    mode = request.get("BillingMode") or summary.get("BillingMode")
    given = [entry["AttributeName"] for entry in request.get("AttributeDefinitions") or ()]
    check_global_index(create, given, mode)
    name = create["IndexName"]
    existing = [*description["GlobalSecondaryIndexes"], *description.get("LocalSecondaryIndexes", ())]
    if any(other is not None for other in document.get("building") or ()):
        raise _one_at_a_time()
    if any(entry["IndexName"] == name for entry in existing):
        raise validation(f"Attempting to create an index which already exists: {name}")
    description["AttributeDefinitions"] = list(definitions.values())
    entry = index_description(description["TableArn"], create, is_global=True)
    description["GlobalSecondaryIndexes"].append(entry)
    document["indexSpaces"][name] = new_space(session.transaction)
    begin_backfill(session, document, name)


def update_time_to_live(session: Session, request: Request) -> Response:
    """UpdateTimeToLive."""
    table = find(session, request)
    specification = request["TimeToLiveSpecification"]
    name = specification["AttributeName"]
    document: Document = orjson.loads(orjson.dumps(table.document))
    if specification["Enabled"]:
        if table.ttl_attribute is not None:
            if table.ttl_attribute == name:
                raise validation("TimeToLive is already enabled")
            raise _other_attribute(table.ttl_attribute)
        document["ttl"] = {"attribute": name, "space": new_space(session.transaction)}
        begin_backfill(session, document, None)
        store_table(session.transaction, document)
    else:
        if table.ttl_attribute is None:
            raise validation("TimeToLive is already disabled")
        if table.ttl_attribute != name:
            raise _other_attribute(table.ttl_attribute)
        document["ttl"] = None
        _forget_building(document, None)
        discard_space(session.transaction, table.ttl_space)
        store_table(session.transaction, document)
    return {"TimeToLiveSpecification": {"AttributeName": name, "Enabled": specification["Enabled"]}}


def _other_attribute(name: str) -> ServiceError:
    return validation(f"TimeToLive is active on a different AttributeName: current AttributeName is {name}")


def tag_resource(session: Session, request: Request) -> Response:
    """TagResource."""
    arn = _resource_arn(session, request, "TagResource", "Tags")
    if not request["Tags"]:
        raise validation("Atleast one Tag needs to be provided as Input.")
    table = _table_of_arn(session, arn)
    document: Document = orjson.loads(orjson.dumps(table.document))
    document["tags"] = checked_tags(document["tags"], request["Tags"])
    store_table(session.transaction, document)
    return {}


def untag_resource(session: Session, request: Request) -> Response:
    """UntagResource; keys that are not there are ignored."""
    arn = _resource_arn(session, request, "UntagResource", "TagKeys")
    if not request["TagKeys"]:
        raise validation("Atleast one Tag Key needs to be provided as Input.")
    table = _table_of_arn(session, arn, shows_arn=False)
    document: Document = orjson.loads(orjson.dumps(table.document))
    for key in request["TagKeys"]:
        document["tags"].pop(key, None)
    store_table(session.transaction, document)
    return {}


def list_tags_of_resource(session: Session, request: Request) -> Response:
    """ListTagsOfResource: all of them, 50 at most, in one page; so there is no token that a page before gave.

    Source: Alternator's tests, recorded on the service, read more than ten at once.
    """
    table = _table_of_arn(session, _resource_arn(session, request, "ListTagsOfResource"))
    if request.get("NextToken") is not None:
        raise validation("Invalid NextToken")
    return {"Tags": [{"Key": key, "Value": value} for key, value in table.document["tags"].items()]}


_ANY_ARN = re.compile(r".+:.+:.+:.+:.+:.+/.+\Z")
_TABLE_ARN = re.compile(r"arn:aws:dynamodb:.+:([0-9]+):table/([^/]{3,})\Z")


def _resource_arn(session: Session, request: Request, operation: str, member: str | None = None) -> str:
    """The ARN, checked in the service's order; text that is no ARN at all fails the service's authorization."""
    arn = request.get("ResourceArn")
    if arn is None:
        raise validation("Invalid TableArn")
    if not _ANY_ARN.match(arn) or _account_of(arn) not in {None, session.catalog.account_id}:
        raise ServiceError(
            "AccessDeniedException",
            f"User: arn:aws:iam::{session.catalog.account_id}:root is not authorized to perform: "
            f"dynamodb:{operation} on resource: {arn or '*'}",
        )
    if member is not None and request.get(member) is None:
        shown = member[0].lower() + member[1:]
        raise constraint_error([f"Value null at '{shown}' failed to satisfy constraint: Member must not be null"])
    if not _TABLE_ARN.match(arn):
        raise validation(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    return str(arn)


def _account_of(arn: str) -> str | None:
    match = _TABLE_ARN.match(arn)
    return match and match.group(1)


def _table_of_arn(session: Session, arn: str, *, shows_arn: bool = True) -> Table:
    match = _TABLE_ARN.match(arn)
    assert match is not None
    table = session.catalog.find(session.transaction, match.group(2))
    if table is None:
        detail = f": ResourcArn: {arn} not found" if shows_arn else ""
        raise ServiceError("ResourceNotFoundException", f"Requested resource not found{detail}")
    return table
