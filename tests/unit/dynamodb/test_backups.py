"""Backups on demand, tables made from them, and the answers about point-in-time recovery."""

from typing import Any

import pytest

from headwater.dynamodb.tables.backups import MAX_ITEMS


def key(at: int) -> dict[str, Any]:
    return {"PK": {"S": f"p{at % 3}"}, "SK": {"S": f"{at:06d}"}}


def fill(table: Any, start: int, stop: int) -> None:
    for at in range(start, stop, 25):
        puts = [{"PutRequest": {"Item": {**key(n), "kind": {"S": "k"}}}} for n in range(at, min(at + 25, stop))]
        table("BatchWriteItem", RequestItems={"tab": puts})


@pytest.fixture
def indexed(dynamodb: Any) -> Any:
    index = {
        "IndexName": "byKind",
        "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    dynamodb.create(
        AttributeDefinitions=[{"AttributeName": "kind", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[index],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
        Tags=[{"Key": "a", "Value": "b"}],
    )
    return dynamodb


def backed_up(table: Any, name: str = "nightly") -> str:
    arn: str = table("CreateBackup", TableName="tab", BackupName=name)["BackupDetails"]["BackupArn"]
    return arn


def test_a_restored_table_has_the_items_of_the_backup_and_their_index_entries(indexed: Any) -> None:
    fill(indexed, 0, 30)
    arn = backed_up(indexed)
    fill(indexed, 30, 40)

    made = indexed("RestoreTableFromBackup", TargetTableName="copy", BackupArn=arn)["TableDescription"]

    assert (made["TableStatus"], made["ItemCount"], made["RestoreSummary"]["SourceBackupArn"]) == ("CREATING", 30, arn)
    assert indexed("Scan", TableName="copy", Select="COUNT")["Count"] == 30
    by_kind = {"KeyConditionExpression": "kind = :k", "ExpressionAttributeValues": {":k": {"S": "k"}}}
    assert indexed("Query", TableName="copy", IndexName="byKind", **by_kind)["Count"] == 30
    described = indexed("DescribeTable", TableName="copy")["Table"]
    assert described["ItemCount"] == 30
    assert described["GlobalSecondaryIndexes"][0]["IndexArn"].endswith("table/copy/index/byKind")
    assert "LatestStreamArn" not in described


def test_a_restored_table_and_its_source_are_not_linked(indexed: Any) -> None:
    fill(indexed, 0, 3)
    arn = backed_up(indexed)

    indexed("RestoreTableFromBackup", TargetTableName="copy", BackupArn=arn)
    indexed("DeleteItem", TableName="copy", Key=key(0))
    indexed("DeleteTable", TableName="tab")
    indexed.sweep()

    assert indexed("Scan", TableName="copy", Select="COUNT")["Count"] == 2
    assert indexed("RestoreTableFromBackup", TargetTableName="tab", BackupArn=arn)["TableDescription"]["ItemCount"] == 3


def test_an_index_of_a_large_restored_table_is_built_in_passes(indexed: Any) -> None:
    fill(indexed, 0, 600)
    arn = backed_up(indexed)

    indexed("RestoreTableFromBackup", TargetTableName="copy", BackupArn=arn)
    indexed.sweep()

    by_kind = {"KeyConditionExpression": "kind = :k", "ExpressionAttributeValues": {":k": {"S": "k"}}}
    assert indexed("Query", TableName="copy", IndexName="byKind", Select="COUNT", **by_kind)["Count"] == 600


def test_backups_are_described_listed_and_deleted(indexed: Any) -> None:
    fill(indexed, 0, 2)
    first = backed_up(indexed, "first")
    indexed.now += 10
    second = backed_up(indexed, "second")

    description = indexed("DescribeBackup", BackupArn=first)["BackupDescription"]

    assert description["BackupDetails"]["BackupStatus"] == "AVAILABLE"
    assert description["SourceTableDetails"]["ItemCount"] == 2
    assert description["SourceTableFeatureDetails"]["GlobalSecondaryIndexes"][0]["IndexName"] == "byKind"
    page = indexed("ListBackups", Limit=1)
    assert [entry["BackupArn"] for entry in page["BackupSummaries"]] == [first]
    rest = indexed("ListBackups", TableName="tab", ExclusiveStartBackupArn=page["LastEvaluatedBackupArn"])
    assert [entry["BackupArn"] for entry in rest["BackupSummaries"]] == [second]
    assert [e["BackupName"] for e in indexed("ListBackups", TimeRangeLowerBound=indexed.now)["BackupSummaries"]] == [
        "second"
    ]
    deleted = indexed("DeleteBackup", BackupArn=first)["BackupDescription"]
    assert deleted["BackupDetails"]["BackupStatus"] == "DELETED"
    assert indexed.error("DescribeBackup", BackupArn=first).code == "BackupNotFoundException"


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("CreateBackup", {"TableName": "none", "BackupName": "abc"}, "TableNotFoundException"),
        ("CreateBackup", {"TableName": "tab", "BackupName": "a"}, "ValidationException"),
        ("DescribeBackup", {"BackupArn": "x" * 40}, "BackupNotFoundException"),
        ("DescribeBackup", {"BackupArn": "x"}, "ValidationException"),
        ("DescribeBackup", {"BackupArn": 1}, "SerializationException"),
        ("ListBackups", {"TimeRangeLowerBound": "now"}, "SerializationException"),
        ("RestoreTableToPointInTime", {"TargetTableName": "copy"}, "ValidationException"),
        (
            "RestoreTableToPointInTime",
            {"TargetTableName": "copy", "SourceTableName": "none"},
            "SourceTableNotFoundException",
        ),
        (
            "RestoreTableToPointInTime",
            {"TargetTableName": "tab", "SourceTableName": "tab"},
            "TableAlreadyExistsException",
        ),
        (
            "RestoreTableToPointInTime",
            {"TargetTableName": "copy", "SourceTableName": "tab"},
            "PointInTimeRecoveryUnavailableException",
        ),
        ("UpdateContinuousBackups", {"TableName": "tab"}, "ValidationException"),
    ],
)
def test_wrong_requests_are_refused(indexed: Any, operation: str, request_: Any, code: str) -> None:
    assert indexed.error(operation, **request_).code == code


def test_what_a_restore_would_ignore_is_refused(indexed: Any) -> None:
    arn = backed_up(indexed)

    message = indexed.message(
        "RestoreTableFromBackup", TargetTableName="copy", BackupArn=arn, BillingModeOverride="PAY_PER_REQUEST"
    )

    assert message == "RestoreTableFromBackup with BillingModeOverride is not supported here"


def test_recovery_to_the_latest_time_only(indexed: Any) -> None:
    fill(indexed, 0, 5)
    enable = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 10}
    indexed("UpdateContinuousBackups", TableName="tab", PointInTimeRecoverySpecification=enable)

    made = indexed(
        "RestoreTableToPointInTime", SourceTableName="tab", TargetTableName="copy", UseLatestRestorableTime=True
    )

    assert made["TableDescription"]["ItemCount"] == 5
    described = indexed("DescribeContinuousBackups", TableName="tab")["ContinuousBackupsDescription"]
    assert described["PointInTimeRecoveryDescription"] == {
        "PointInTimeRecoveryStatus": "ENABLED",
        "RecoveryPeriodInDays": 10,
        "EarliestRestorableDateTime": indexed.now,
        "LatestRestorableDateTime": indexed.now,
    }
    request = {"SourceTableName": "tab", "TargetTableName": "old", "RestoreDateTime": indexed.now - 60}
    assert "earlier states are not kept" in indexed.message("RestoreTableToPointInTime", **request)


def test_a_large_table_is_refused_by_name(dynamodb: Any) -> None:
    dynamodb.create()
    fill(dynamodb, 0, MAX_ITEMS + 1)

    error = dynamodb.error("CreateBackup", TableName="tab", BackupName="abc")

    assert error.code == "LimitExceededException"
    assert "headwater data export" in error.message
