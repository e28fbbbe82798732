from typing import Any

import pytest

from headwater.errors import ServiceError

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/tab"


def test_a_table_is_described_as_it_was_made(dynamodb: Any) -> None:
    made = dynamodb.create(Tags=[{"Key": "stage", "Value": "dev"}])["TableDescription"]
    dynamodb("PutItem", TableName="tab", Item={"PK": {"S": "a"}, "SK": {"S": "b"}})

    table = dynamodb("DescribeTable", TableName="tab")["Table"]

    assert made["TableStatus"] == "CREATING"
    assert table["TableStatus"] == "ACTIVE"
    assert table["TableArn"] == ARN
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert (table["ItemCount"], table["TableSizeBytes"]) == (1, 6)
    assert "LatestStreamArn" not in table
    assert dynamodb("ListTagsOfResource", ResourceArn=ARN) == {"Tags": [{"Key": "stage", "Value": "dev"}]}


def test_a_name_is_taken_once_and_free_after_the_delete(dynamodb: Any) -> None:
    dynamodb.create()
    dynamodb("PutItem", TableName="tab", Item={"PK": {"S": "a"}, "SK": {"S": "b"}})

    taken = dynamodb.error("CreateTable", TableName="tab", **_simple())
    dynamodb("DeleteTable", TableName="tab")
    dynamodb.create()

    assert taken.code == "ResourceInUseException"
    assert dynamodb("Scan", TableName="tab")["Count"] == 0


def _simple() -> dict[str, Any]:
    return {
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "PK", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }


def test_names_are_listed_in_pages(dynamodb: Any) -> None:
    for name in ("ccc", "aaa", "bbb"):
        dynamodb.create(name)

    first = dynamodb("ListTables", Limit=2)

    assert first == {"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"}
    assert dynamodb("ListTables", ExclusiveStartTableName="bbb") == {"TableNames": ["ccc"]}


def test_tags_are_set_and_taken_away(dynamodb: Any) -> None:
    dynamodb.create()

    dynamodb("TagResource", ResourceArn=ARN, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    dynamodb("UntagResource", ResourceArn=ARN, TagKeys=["a", "absent"])

    assert dynamodb("ListTagsOfResource", ResourceArn=ARN) == {"Tags": [{"Key": "b", "Value": "2"}]}


def test_time_to_live_is_switched_on_and_off(dynamodb: Any) -> None:
    dynamodb.create()
    specification = {"Enabled": True, "AttributeName": "ttl"}

    dynamodb("UpdateTimeToLive", TableName="tab", TimeToLiveSpecification=specification)
    assert dynamodb("DescribeTimeToLive", TableName="tab") == {
        "TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    }
    assert "already enabled" in dynamodb.message(
        "UpdateTimeToLive", TableName="tab", TimeToLiveSpecification=specification
    )
    dynamodb("UpdateTimeToLive", TableName="tab", TimeToLiveSpecification={**specification, "Enabled": False})
    assert dynamodb("DescribeTimeToLive", TableName="tab") == {
        "TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}
    }


def test_a_deleted_index_is_gone_and_its_definition_with_it(dynamodb: Any) -> None:
    dynamodb.create(
        AttributeDefinitions=[{"AttributeName": "g", "AttributeType": "S"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "byG",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )

    dynamodb("UpdateTable", TableName="tab", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "byG"}}])

    table = dynamodb("DescribeTable", TableName="tab")["Table"]
    assert "GlobalSecondaryIndexes" not in table
    assert [entry["AttributeName"] for entry in table["AttributeDefinitions"]] == ["PK", "SK"]


def test_a_protected_table_is_not_deleted(dynamodb: Any) -> None:
    dynamodb.create(DeletionProtectionEnabled=True)

    assert "can't be deleted while DeletionProtectionEnabled is set" in dynamodb.message("DeleteTable", TableName="tab")


@pytest.mark.parametrize("operation", ["DescribeTable", "DeleteTable", "DescribeTimeToLive"])
def test_an_unknown_table_is_named_in_the_answer(dynamodb: Any, operation: str) -> None:
    error = dynamodb.error(operation, TableName="nothing")

    assert error.code == "ResourceNotFoundException"
    assert error.message == "Requested resource not found: Table: nothing not found"


def test_warm_throughput_is_what_was_asked_for_or_what_the_mode_gives(dynamodb: Any) -> None:
    dynamodb.create("initial")
    asked = {"ReadUnitsPerSecond": 15000, "WriteUnitsPerSecond": 5000}
    dynamodb.create("warm", WarmThroughput=asked, OnDemandThroughput={"MaxReadRequestUnits": 10})

    initial = dynamodb("DescribeTable", TableName="initial")["Table"]["WarmThroughput"]
    warm = dynamodb("DescribeTable", TableName="warm")["Table"]

    assert initial == {"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000, "Status": "ACTIVE"}
    assert warm["WarmThroughput"] == {**asked, "Status": "ACTIVE"}
    assert warm["OnDemandThroughput"] == {"MaxReadRequestUnits": 10}


def test_warm_throughput_below_the_initial_one_is_refused(dynamodb: Any) -> None:
    with pytest.raises(ServiceError, match="lower than initial throughput for OnDemand"):
        dynamodb.create("cold", WarmThroughput={"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 3000})


def test_all_tags_come_at_once(dynamodb: Any) -> None:
    arn = dynamodb.create()["TableDescription"]["TableArn"]
    tags = [{"Key": f"k{number:02}", "Value": "v"} for number in range(50)]
    dynamodb("TagResource", ResourceArn=arn, Tags=tags)

    assert dynamodb("ListTagsOfResource", ResourceArn=arn) == {"Tags": tags}
    assert dynamodb.message("ListTagsOfResource", ResourceArn=arn, NextToken="x") == "Invalid NextToken"


def test_tags_of_a_table_in_another_account_are_not_shown(dynamodb: Any) -> None:
    other = "arn:aws:dynamodb:us-east-1:000000000000:table/tab"

    assert dynamodb.error("ListTagsOfResource", ResourceArn=other).code == "AccessDeniedException"


KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/"
KEY_ID = "eb30c228-fa25-4b27-94f6-d0f34b880a47"


@pytest.mark.parametrize(("given", "arn"), [(None, KEY_ARN + "aws"), (KEY_ID, KEY_ARN + KEY_ID), (KEY_ARN, KEY_ARN)])
def test_encryption_is_described_and_switched_off_again(dynamodb: Any, given: str | None, arn: str) -> None:
    dynamodb.create()
    specification = {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": given}

    on = dynamodb("UpdateTable", TableName="tab", SSESpecification=specification)
    off = dynamodb("UpdateTable", TableName="tab", SSESpecification={"Enabled": False})

    assert on["TableDescription"]["SSEDescription"] == {
        "Status": "ENABLED",
        "SSEType": "KMS",
        "KMSMasterKeyArn": arn,
    }
    assert "SSEDescription" not in off["TableDescription"]


def test_a_table_made_on_demand_takes_its_indexes_along(dynamodb: Any) -> None:
    units = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}
    dynamodb(
        "CreateTable",
        TableName="tab",
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
        ProvisionedThroughput=units,
        GlobalSecondaryIndexes=[
            {
                "IndexName": "same",
                "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
                "ProvisionedThroughput": units,
            }
        ],
    )

    updated = dynamodb("UpdateTable", TableName="tab", BillingMode="PAY_PER_REQUEST")["TableDescription"]

    none = {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
    assert updated["ProvisionedThroughput"] == none
    assert updated["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"] == none


def test_members_that_would_have_no_effect_are_refused(dynamodb: Any) -> None:
    dynamodb.create()

    message = dynamodb.message("UpdateTable", TableName="tab", ReplicaUpdates=[{"Create": {"RegionName": "eu-west-1"}}])

    assert message == "UpdateTable with ReplicaUpdates is not supported here"


def test_a_new_table_shows_only_what_the_service_knows_of_it_yet(dynamodb: Any) -> None:
    index = {
        "IndexName": "by-sort",
        "KeySchema": [{"AttributeName": "SK", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    warm = {"ReadUnitsPerSecond": 13_000, "WriteUnitsPerSecond": 5_000}

    plain = dynamodb.create("plain", GlobalSecondaryIndexes=[index])["TableDescription"]
    warmed = dynamodb.create("warmed", WarmThroughput=warm)["TableDescription"]
    described = dynamodb("DescribeTable", TableName="plain")["Table"]
    deleted = dynamodb("DeleteTable", TableName="plain")["TableDescription"]

    assert plain["BillingModeSummary"] == {"BillingMode": "PAY_PER_REQUEST"}
    assert "WarmThroughput" not in plain
    assert "WarmThroughput" not in plain["GlobalSecondaryIndexes"][0]
    assert warmed["WarmThroughput"] == {**warm, "Status": "UPDATING"}
    assert "LastUpdateToPayPerRequestDateTime" in described["BillingModeSummary"]
    assert described["WarmThroughput"]["Status"] == "ACTIVE"
    assert described["GlobalSecondaryIndexes"][0]["WarmThroughput"]["Status"] == "ACTIVE"
    assert "WarmThroughput" not in deleted


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        (
            {"StreamEnabled": False, "StreamViewType": "NEW_IMAGE"},
            "One or more parameter values were invalid: StreamViewType cannot be specified when StreamEnabled is false",
        ),
        (
            {"StreamEnabled": True},
            "One or more parameter values were invalid: StreamViewType must be specified when StreamEnabled is true",
        ),
    ],
)
def test_a_view_type_goes_with_an_enabled_stream_alone(dynamodb: Any, specification: Any, message: str) -> None:
    dynamodb.create("there")

    with pytest.raises(ServiceError) as created:
        dynamodb.create("tab", StreamSpecification=specification)
    updated = dynamodb.message("UpdateTable", TableName="there", StreamSpecification=specification)

    assert (created.value.message, updated) == (message, message)


def test_a_projection_is_checked_before_the_table_is_looked_up(dynamodb: Any) -> None:
    create = {
        "IndexName": "index",
        "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "INCLUDE"},
    }

    message = dynamodb.message("UpdateTable", TableName="absent", GlobalSecondaryIndexUpdates=[{"Create": create}])

    assert message == (
        "One or more parameter values were invalid: ProjectionType is INCLUDE, but NonKeyAttributes is not specified"
    )
