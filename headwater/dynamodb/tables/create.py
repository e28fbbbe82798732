"""CreateTable: the request checked, the table made."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from headwater.dynamodb.faults import invalid, validation
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.tables.describe import INITIAL_ON_DEMAND, describe
from headwater.dynamodb.tables.model import Document, new_space, store_table
from headwater.errors import ServiceError

MAX_LOCAL_INDEXES = 5
MAX_GLOBAL_INDEXES = 20
MAX_TAGS = 50
# Of each kind, in a global index.
MAX_KEY_ATTRIBUTES = 4
MAX_TAG_KEY = 128
MAX_TAG_VALUE = 256
_KEY_ID = re.compile(r"(?:mrk-)?[0-9a-f-]{32,36}\Z")
_TAG_TEXT = re.compile(r"[\w\s+\-=.:/@]*\Z")
MAX_CAPACITY_UNITS = 1_000_000_000_000


def create_table(session: Session, request: Request) -> Response:
    """CreateTable; the table is ACTIVE at once, and the answer says CREATING as the service's does.

    Raises: ServiceError `ValidationException` or `ResourceInUseException`.
    """
    check_create(request)
    name = request["TableName"]
    if session.catalog.find(session.transaction, name) is not None:
        raise ServiceError("ResourceInUseException", f"Table already exists: {name}")
    document: Document = {
        "description": _description(session, request),
        "space": new_space(session.transaction),
        "indexSpaces": {},
        "tags": checked_tags({}, request.get("Tags") or ()),
    }
    for index in _all_indexes(request):
        document["indexSpaces"][index["IndexName"]] = new_space(session.transaction)
    specification = request.get("StreamSpecification")
    if specification is not None and specification.get("StreamEnabled"):
        enable_stream(session, document, specification)
    table = store_table(session.transaction, document)
    return {"TableDescription": _as_creating(describe(session.transaction, table), request)}


def _as_creating(description: dict[str, Any], request: Request) -> dict[str, Any]:
    """A new table as the answer shows it: what the service sets only once the table is there is not in it yet.

    Source: LocalStack's recordings of the service, `test_table_crud` and `test_gsi_with_billing_mode`.
    """
    description["TableStatus"] = "CREATING"
    if "BillingModeSummary" in description:
        description["BillingModeSummary"] = {"BillingMode": request["BillingMode"]}
    _warm_up(description, request)
    indexes = description.get("GlobalSecondaryIndexes", ())
    for index, given in zip(indexes, request.get("GlobalSecondaryIndexes") or (), strict=True):
        index["IndexStatus"] = "CREATING"
        _warm_up(index, given)
    return description


def _warm_up(description: dict[str, Any], given: Mapping[str, Any]) -> None:
    if given.get("WarmThroughput") is None:
        del description["WarmThroughput"]
    else:
        description["WarmThroughput"]["Status"] = "UPDATING"


def checked_tags(present: Mapping[str, str], tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The tags after some are set. Raises: ServiceError `ValidationException` for a bad one or too many."""
    for tag in tags:
        for member, longest in (("Key", MAX_TAG_KEY), ("Value", MAX_TAG_VALUE)):
            text = tag[member]
            if len(text) > longest or not _TAG_TEXT.match(text) or (member == "Key" and not text):
                raise invalid(f"Tag {member} {text[:40]!r} must have 1 to {longest} of the allowed characters")
    result = {**present, **{tag["Key"]: tag["Value"] for tag in tags}}
    if len(result) > MAX_TAGS:
        raise invalid(f"The number of tags exceeds the limit of {MAX_TAGS}")
    return result


def _description(session: Session, request: Request) -> dict[str, Any]:
    name = request["TableName"]
    arn = session.catalog.table_arn(name)
    is_on_demand = request.get("BillingMode") == "PAY_PER_REQUEST"
    description: dict[str, Any] = {
        "TableName": name,
        "TableArn": arn,
        "TableId": session.fresh_id,
        "AttributeDefinitions": request["AttributeDefinitions"],
        "KeySchema": request["KeySchema"],
        "CreationDateTime": session.now,
        "ProvisionedThroughput": throughput(request.get("ProvisionedThroughput")),
    }
    if is_on_demand:
        description["BillingModeSummary"] = {
            "BillingMode": "PAY_PER_REQUEST",
            "LastUpdateToPayPerRequestDateTime": session.now,
        }
    for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        indexes = request.get(member)
        if indexes:
            description[member] = [
                index_description(arn, index, is_global=member.startswith("Global")) for index in indexes
            ]
    for member in ("OnDemandThroughput", "WarmThroughput"):
        if request.get(member) is not None:
            description[member] = request[member]
    table_class = request.get("TableClass")
    if table_class is not None:
        description["TableClassSummary"] = {"TableClass": table_class}
    if request.get("SSESpecification") is not None:
        set_encryption(session, description, request["SSESpecification"])
    description["DeletionProtectionEnabled"] = bool(request.get("DeletionProtectionEnabled"))
    return description


def set_encryption(session: Session, description: dict[str, Any], specification: Mapping[str, Any]) -> None:
    """Describe the encryption asked for; switched off there is the service's own, which no description shows.

    Raises: ServiceError `ValidationException` for a key without KMS.
    """
    key = specification.get("KMSMasterKeyId")
    if not specification.get("Enabled"):
        if key is not None or specification.get("SSEType") is not None:
            raise invalid("SSEType and KMSMasterKeyId can only be specified when Enabled is true")
        description.pop("SSEDescription", None)
        return
    if specification.get("SSEType") == "AES256":
        raise invalid("SSEType AES256 is not supported")
    if key is None or _KEY_ID.match(key):
        key = f"arn:aws:kms:{session.catalog.region}:{session.catalog.account_id}:key/{key or 'aws'}"
    description["SSEDescription"] = {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key}


def index_description(table_arn: str, index: Mapping[str, Any], *, is_global: bool) -> dict[str, Any]:
    """The stored description of an index."""
    entry: dict[str, Any] = {
        "IndexName": index["IndexName"],
        "KeySchema": index["KeySchema"],
        "Projection": index["Projection"],
        "IndexArn": f"{table_arn}/index/{index['IndexName']}",
    }
    if is_global:
        entry["ProvisionedThroughput"] = throughput(index.get("ProvisionedThroughput"))
        for member in ("OnDemandThroughput", "WarmThroughput"):
            if index.get(member) is not None:
                entry[member] = index[member]
    return entry


def throughput(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The ProvisionedThroughput of a description; zeros for on-demand."""
    given = given or {}
    return {
        "NumberOfDecreasesToday": 0,
        "ReadCapacityUnits": given.get("ReadCapacityUnits", 0),
        "WriteCapacityUnits": given.get("WriteCapacityUnits", 0),
    }


def enable_stream(session: Session, document: Document, specification: Mapping[str, Any]) -> None:
    """Give the table a stream of its own label; earlier streams of the table stay readable."""
    moment = datetime.fromtimestamp(session.now, UTC)
    label = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}"
    document["stream"] = {
        "arn": f"{document['description']['TableArn']}/stream/{label}",
        "label": label,
        "space": new_space(session.transaction),
        "shardId": f"shardId-{int(session.now * 1000):020d}-{session.fresh_id.replace('-', '')[:8]}",
        "viewType": specification["StreamViewType"],
    }


def check_stream(specification: Mapping[str, Any] | None) -> None:
    """StreamEnabled and StreamViewType together. Raises: ServiceError `ValidationException`."""
    if specification is None:
        return
    if specification["StreamEnabled"] and specification.get("StreamViewType") is None:
        raise invalid("StreamViewType must be specified when StreamEnabled is true")
    if not specification["StreamEnabled"] and specification.get("StreamViewType") is not None:
        raise invalid("StreamViewType cannot be specified when StreamEnabled is false")


def check_create(request: Request) -> None:
    """The rules between the members of a CreateTable request. Raises: ServiceError `ValidationException`."""
    _check_billing(request)
    check_stream(request.get("StreamSpecification"))
    check_warm(request.get("WarmThroughput"), request.get("BillingMode"), "table")
    names = [entry["AttributeName"] for entry in request["AttributeDefinitions"]]
    if len(set(names)) != len(names):
        raise invalid(
            f"Duplicate AttributeName in AttributeDefinitions: {next(n for n in names if names.count(n) > 1)}"
        )
    schema = request["KeySchema"]
    if len(schema) > len(names):
        raise validation("Invalid KeySchema: Some index key attribute have no definition")
    _check_schema(schema, names)
    has_indexes = request.get("LocalSecondaryIndexes") is not None or request.get("GlobalSecondaryIndexes") is not None
    if not has_indexes and len(schema) != len(names):
        raise invalid(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in "
            "AttributeDefinitions"
        )
    seen: set[str] = set()
    if request.get("LocalSecondaryIndexes") is not None:
        _check_local_indexes(request, names, seen)
    if request.get("GlobalSecondaryIndexes") is not None:
        _check_global_indexes(request, names, seen)
    used = {entry["AttributeName"] for index in [request, *_all_indexes(request)] for entry in index["KeySchema"]}
    if has_indexes and used != set(names):
        raise invalid(
            "Some AttributeDefinitions are not used. AttributeDefinitions: "
            f"[{', '.join(sorted(names))}], keys used: [{', '.join(sorted(used))}]"
        )


def _all_indexes(request: Request) -> list[Mapping[str, Any]]:
    return [*(request.get("GlobalSecondaryIndexes") or ()), *(request.get("LocalSecondaryIndexes") or ())]


def _check_billing(request: Request) -> None:
    given = request.get("ProvisionedThroughput")
    if request.get("BillingMode") == "PAY_PER_REQUEST":
        if given is not None:
            raise invalid(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
            )
        return
    if not given or not given.get("ReadCapacityUnits") or not given.get("WriteCapacityUnits"):
        raise invalid("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
    check_bounds(given)


def exceeds_bounds(given: Mapping[str, Any] | None) -> bool:
    """Whether a throughput is larger than any may be."""
    return given is not None and any(
        given[member] > MAX_CAPACITY_UNITS for member in ("ReadCapacityUnits", "WriteCapacityUnits")
    )


def check_bounds(given: Mapping[str, Any] | None) -> None:
    """The largest throughput. Raises: ServiceError `ValidationException`."""
    for member in ("ReadCapacityUnits", "WriteCapacityUnits"):
        if given is not None and given[member] > MAX_CAPACITY_UNITS:
            raise validation(f"Given value {given[member]} for {member} is out of bounds")


def _check_schema(schema: Sequence[Mapping[str, Any]], names: list[str]) -> None:
    keys = [entry["AttributeName"] for entry in schema]
    if any(key not in names for key in keys):
        raise invalid(
            "Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(keys)}], AttributeDefinitions: [{', '.join(sorted(names))}]"
        )
    if len(keys) > 1 and keys[0] == keys[1]:
        raise validation("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if schema[0]["KeyType"] != "HASH":
        raise validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(schema) > 1 and schema[1]["KeyType"] != "RANGE":
        raise validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")


def _check_wide_schema(schema: Sequence[Mapping[str, Any]], names: list[str]) -> None:
    """A global index with several attributes in a key: HASH before RANGE, four of each."""
    keys = [entry["AttributeName"] for entry in schema]
    kinds = [entry["KeyType"] for entry in schema]
    if any(key not in names for key in keys):
        _check_schema(schema, names)
    if len(set(keys)) != len(keys):
        raise validation("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if kinds[0] != "HASH":
        raise validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if kinds != sorted(kinds):
        raise validation("Invalid KeySchema: HASH key elements must come before RANGE key elements")
    for kind in ("HASH", "RANGE"):
        if kinds.count(kind) > MAX_KEY_ATTRIBUTES:
            raise validation(f"Invalid KeySchema: more than {MAX_KEY_ATTRIBUTES} {kind} key elements")


def _check_local_indexes(request: Request, names: list[str], seen: set[str]) -> None:
    indexes = request["LocalSecondaryIndexes"]
    table_hash = request["KeySchema"][0]["AttributeName"]
    if not indexes:
        raise invalid("List of LocalSecondaryIndexes is empty")
    if len(request["KeySchema"]) != 2:
        raise invalid(
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex"
        )
    for index in indexes:
        _check_schema(index["KeySchema"], names)
        name, index_hash = index["IndexName"], index["KeySchema"][0]["AttributeName"]
        if len(index["KeySchema"]) != 2:
            raise invalid(f"Index KeySchema does not have a range key for index: {name}")
        if index_hash != table_hash:
            raise invalid(
                "Index KeySchema does not have the same leading hash key as table KeySchema for index: "
                f"{name}. index hash key: {index_hash}, table hash key: {table_hash}"
            )
        check_projection(index["Projection"])
        _check_unique(name, seen)
    if len(indexes) > MAX_LOCAL_INDEXES:
        raise invalid("Number of LocalSecondaryIndexes exceeds per-table limit of 5")


def _check_global_indexes(request: Request, names: list[str], seen: set[str]) -> None:
    indexes = request["GlobalSecondaryIndexes"]
    if not indexes:
        raise invalid("List of GlobalSecondaryIndexes is empty")
    for index in indexes:
        check_global_index(index, names, request.get("BillingMode"))
        _check_unique(index["IndexName"], seen)
    if len(indexes) > MAX_GLOBAL_INDEXES:
        raise invalid("GlobalSecondaryIndex count exceeds the per-table limit of 20")


def check_global_index(index: Mapping[str, Any], names: list[str], billing_mode: str | None) -> None:
    """The rules of one global index. Raises: ServiceError `ValidationException`."""
    if len(index["KeySchema"]) > 2 or all(entry["KeyType"] == "HASH" for entry in index["KeySchema"][1:]):
        _check_wide_schema(index["KeySchema"], names)
    else:
        _check_schema(index["KeySchema"], names)
    check_projection(index["Projection"])
    has_throughput = index.get("ProvisionedThroughput") is not None
    if billing_mode == "PAY_PER_REQUEST" and has_throughput:
        raise invalid(
            f"ProvisionedThroughput should not be specified for index: {index['IndexName']} when BillingMode is "
            "PAY_PER_REQUEST"
        )
    if billing_mode != "PAY_PER_REQUEST" and not has_throughput:
        raise invalid(f"ProvisionedThroughput must be specified for index: {index['IndexName']}")
    check_warm(index.get("WarmThroughput"), billing_mode, f"index {index['IndexName']}")


def check_warm(warm: Mapping[str, Any] | None, billing_mode: str | None, what: str) -> None:
    """Warm throughput is never below what an on-demand table begins with. Raises: ServiceError."""
    if warm is None or billing_mode != "PAY_PER_REQUEST":
        return
    for member, initial in INITIAL_ON_DEMAND.items():
        if warm.get(member) is not None and warm[member] < initial:
            raise invalid(
                f"Requested {member} for WarmThroughput for {what} is lower than initial throughput for OnDemand"
            )


def check_projection(projection: Mapping[str, Any]) -> None:
    """ProjectionType and NonKeyAttributes together. Raises: ServiceError `ValidationException`."""
    kind = projection.get("ProjectionType")
    attributes = projection.get("NonKeyAttributes")
    if kind is None:
        raise invalid("Unknown ProjectionType: null")
    if attributes is not None and kind != "INCLUDE":
        raise invalid(f"ProjectionType is {kind}, but NonKeyAttributes is specified")
    if attributes is not None and len(set(attributes)) != len(attributes):
        raise invalid(f"Duplicate NonKeyAttributes: [{', '.join(attributes)}]")
    if kind == "INCLUDE" and not attributes:
        raise invalid("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")


def _check_unique(name: str, seen: set[str]) -> None:
    if name in seen:
        raise invalid(f"Duplicate index name: {name}")
    seen.add(name)
