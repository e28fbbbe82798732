"""Backups of a table on demand, tables made from them, and what is said of point-in-time recovery."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from headwater.dynamodb.faults import validation
from headwater.dynamodb.items.changes import count_copies, counters
from headwater.dynamodb.items.keys import after_prefix
from headwater.dynamodb.session import Request, Response, Session
from headwater.dynamodb.tables.backfill import begin_backfill
from headwater.dynamodb.tables.describe import describe
from headwater.dynamodb.tables.model import (
    DATABASE,
    Document,
    Table,
    discard_space,
    new_space,
    space_bytes,
    store_table,
)
from headwater.errors import ServiceError

BACKUP_PREFIX = b"\x00backup:"
# A copy is one commit, during which nobody else writes: about a tenth of a second.
MAX_ITEMS = 25_000
DEFAULT_RECOVERY_DAYS = 35
# The service can go back to five minutes ago.
_LATEST_RESTORABLE_S = 300.0
_PAGE = 100
_ARN = re.compile(r"arn:aws:dynamodb:[^:]+:[0-9]{12}:table/([^/]+)/backup/([0-9]{14,}-[0-9a-f]{8})\Z")
_OF_SOURCE = ("TableName", "TableId", "TableArn", "KeySchema", "ProvisionedThroughput")


def create_backup(session: Session, request: Request) -> Response:
    """CreateBackup: a copy of the items, there at once.

    Raises: ServiceError `TableNotFoundException`; `LimitExceededException` for a table of more than 25,000 items,
    which `headwater data export` saves.
    """
    table = _source(session, request["TableName"])
    _, count, size = counters(session.transaction, table)
    _refuse_large(table, count)
    space = new_space(session.transaction)
    _copy_items(session, table.space, space_bytes(space))
    name = f"{int(session.now * 1000):014d}-{session.fresh_id[:8]}"
    details = {
        "BackupArn": f"{table.document['description']['TableArn']}/backup/{name}",
        "BackupName": request["BackupName"],
        "BackupSizeBytes": size,
        "BackupStatus": "AVAILABLE",
        "BackupType": "USER",
        "BackupCreationDateTime": session.now,
    }
    backup = {"details": details, "table": table.document, "space": space, "count": count, "bytes": size}
    session.transaction.put(DATABASE, _key(table.name, name), orjson.dumps(backup))
    return {"BackupDetails": details}


def describe_backup(session: Session, request: Request) -> Response:
    """DescribeBackup. Raises: ServiceError `BackupNotFoundException`."""
    return {"BackupDescription": _described(_backup(session, request["BackupArn"])[1])}


def delete_backup(session: Session, request: Request) -> Response:
    """DeleteBackup. Raises: ServiceError `BackupNotFoundException`."""
    key, backup = _backup(session, request["BackupArn"])
    session.transaction.delete(DATABASE, key)
    discard_space(session.transaction, space_bytes(backup["space"]))
    backup["details"]["BackupStatus"] = "DELETED"
    return {"BackupDescription": _described(backup)}


def list_backups(session: Session, request: Request) -> Response:
    """ListBackups, the oldest of a table first."""
    if request.get("BackupType") in {"SYSTEM", "AWS_BACKUP"}:
        return {"BackupSummaries": []}
    name = request.get("TableName")
    found = [_summary(backup) for backup in _backups(session, None if name is None else name.rpartition("/")[2])]
    low, high = request.get("TimeRangeLowerBound"), request.get("TimeRangeUpperBound")
    found = [
        entry
        for entry in found
        if (low is None or entry["BackupCreationDateTime"] >= low)
        and (high is None or entry["BackupCreationDateTime"] < high)
    ]
    start = request.get("ExclusiveStartBackupArn")
    arns = [entry["BackupArn"] for entry in found]
    if start is not None:
        if start not in arns:
            raise validation("The provided starting backup ARN is invalid")
        found = found[arns.index(start) + 1 :]
    limit = request.get("Limit") or _PAGE
    response: Response = {"BackupSummaries": found[:limit]}
    if len(found) > limit:
        response["LastEvaluatedBackupArn"] = found[limit - 1]["BackupArn"]
    return response


def restore_table_from_backup(session: Session, request: Request) -> Response:
    """RestoreTableFromBackup: a new table without stream, time to live and tags, as the service makes it.

    Raises: ServiceError `BackupNotFoundException` or `TableAlreadyExistsException`.
    """
    _, backup = _backup(session, request["BackupArn"])
    summary = {
        "SourceBackupArn": backup["details"]["BackupArn"],
        "SourceTableArn": backup["table"]["description"]["TableArn"],
    }
    size = (backup["count"], backup["bytes"])
    return _restore(session, request, backup["table"], space_bytes(backup["space"]), size, summary)


def restore_table_to_point_in_time(session: Session, request: Request) -> Response:
    """RestoreTableToPointInTime, to the latest time only: the items as they are now.

    Raises: ServiceError `SourceTableNotFoundException`, `TableAlreadyExistsException`, or
    `PointInTimeRecoveryUnavailableException` where recovery was not enabled.
    """
    name = request.get("SourceTableName") or request.get("SourceTableArn")
    if name is None:
        raise validation("Either SourceTableName or SourceTableArn must be specified in the request")
    table = session.catalog.find(session.transaction, name)
    if table is None:
        raise ServiceError("SourceTableNotFoundException", f"Source table not found: {name}")
    _refuse_present(session, request)
    if table.document.get("recovery") is None:
        raise ServiceError(
            "PointInTimeRecoveryUnavailableException",
            f"Point in time recovery is not enabled for table '{table.name}'",
        )
    if request.get("RestoreDateTime") is not None:
        raise validation("RestoreDateTime is not supported here: earlier states are not kept")
    _, count, size = counters(session.transaction, table)
    _refuse_large(table, count)
    summary = {"SourceTableArn": table.document["description"]["TableArn"]}
    return _restore(session, request, table.document, table.space, (count, size), summary)


def describe_continuous_backups(session: Session, request: Request) -> Response:
    """DescribeContinuousBackups. Raises: ServiceError `TableNotFoundException`."""
    return _continuous(session, _source(session, request["TableName"]).document)


def update_continuous_backups(session: Session, request: Request) -> Response:
    """UpdateContinuousBackups. Raises: ServiceError `TableNotFoundException`."""
    table = _source(session, request["TableName"])
    specification = request["PointInTimeRecoverySpecification"]
    document: Document = {**table.document}
    if specification["PointInTimeRecoveryEnabled"]:
        known = document.get("recovery") or {"since": session.now, "days": DEFAULT_RECOVERY_DAYS}
        document["recovery"] = {**known, "days": specification.get("RecoveryPeriodInDays") or known["days"]}
    else:
        document.pop("recovery", None)
    store_table(session.transaction, document)
    return _continuous(session, document)


def _continuous(session: Session, document: Mapping[str, Any]) -> Response:
    recovery = document.get("recovery")
    point_in_time: dict[str, Any] = {"PointInTimeRecoveryStatus": "DISABLED"}
    if recovery is not None:
        point_in_time = {
            "PointInTimeRecoveryStatus": "ENABLED",
            "RecoveryPeriodInDays": recovery["days"],
            "EarliestRestorableDateTime": recovery["since"],
            "LatestRestorableDateTime": max(recovery["since"], session.now - _LATEST_RESTORABLE_S),
        }
    return {
        "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": point_in_time,
        }
    }


def _source(session: Session, name: str) -> Table:
    table = session.catalog.find(session.transaction, name)
    if table is None:
        raise ServiceError("TableNotFoundException", f"Table not found: {name}")
    return table


def _refuse_large(table: Table, count: int) -> None:
    if count > MAX_ITEMS:
        raise ServiceError(
            "LimitExceededException",
            f"Table {table.name} has {count} items; more than {MAX_ITEMS} are saved with `headwater data export`",
        )


def _refuse_present(session: Session, request: Request) -> None:
    name = request["TargetTableName"]
    if session.catalog.find(session.transaction, name) is not None:
        raise ServiceError("TableAlreadyExistsException", f"Table already exists: {name}")


def _key(table: str, name: str) -> bytes:
    return BACKUP_PREFIX + f"{table}/{name}".encode()


def _backup(session: Session, arn: str) -> tuple[bytes, dict[str, Any]]:
    match = _ARN.match(arn)
    key = None if match is None else _key(match[1], match[2])
    raw = None if key is None else session.transaction.get(DATABASE, key)
    if key is None or raw is None:
        raise ServiceError("BackupNotFoundException", f"Backup not found: {arn}")
    return key, orjson.loads(raw)


def _backups(session: Session, table: str | None) -> Iterator[dict[str, Any]]:
    prefix = BACKUP_PREFIX if table is None else _key(table, "")
    for _, raw in session.transaction.scan(DATABASE, prefix, after_prefix(prefix)):
        yield orjson.loads(raw)


def _summary(backup: Mapping[str, Any]) -> dict[str, Any]:
    source = backup["table"]["description"]
    return {
        **{member: source[member] for member in ("TableName", "TableId", "TableArn")},
        **backup["details"],
    }


def _described(backup: Mapping[str, Any]) -> dict[str, Any]:
    source = backup["table"]["description"]
    features: dict[str, Any] = {
        member: source[member] for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes") if member in source
    }
    table = {
        **{member: source[member] for member in _OF_SOURCE},
        "TableCreationDateTime": source["CreationDateTime"],
        "TableSizeBytes": backup["bytes"],
        "ItemCount": backup["count"],
        "BillingMode": (source.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED"),
    }
    description = {"BackupDetails": backup["details"], "SourceTableDetails": table}
    if features:
        description["SourceTableFeatureDetails"] = features
    return description


def _copy_items(session: Session, source: bytes, target: bytes) -> None:
    for key, raw in session.transaction.scan(DATABASE, source, after_prefix(source)):
        session.transaction.put(DATABASE, target + key[len(source) :], raw)


def _restore(
    session: Session,
    request: Request,
    source: Mapping[str, Any],
    source_space: bytes,
    size: tuple[int, int],
    summary: dict[str, Any],
) -> Response:
    _refuse_present(session, request)
    arn = session.catalog.table_arn(request["TargetTableName"])
    indexes = {
        member: [{**entry, "IndexArn": f"{arn}/index/{entry['IndexName']}"} for entry in source["description"][member]]
        for member in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        if member in source["description"]
    }
    document: Document = {
        "description": {
            **source["description"],
            **indexes,
            "TableName": request["TargetTableName"],
            "TableArn": arn,
            "TableId": session.fresh_id,
            "CreationDateTime": session.now,
            "DeletionProtectionEnabled": False,
            "RestoreSummary": {**summary, "RestoreDateTime": session.now, "RestoreInProgress": False},
        },
        "space": new_space(session.transaction),
        "indexSpaces": {name: new_space(session.transaction) for name in source["indexSpaces"]},
        "tags": {},
    }
    table = store_table(session.transaction, document)
    _copy_items(session, source_space, table.space)
    count_copies(session, table, *size)
    for name in document["indexSpaces"]:
        begin_backfill(session, document, name)
    table = store_table(session.transaction, document)
    answer = describe(session.transaction, table)
    answer.update(TableStatus="CREATING", ItemCount=size[0], TableSizeBytes=size[1])
    return {"TableDescription": answer}
