"""The input of every operation of DynamoDB, its members in the order in which the service reports their faults."""

from collections.abc import Mapping

from headwater.dynamodb.requests.kinds import NAME_PATTERN, choice, list_of, structure
from headwater.dynamodb.requests.shapes import Members, Shape

_STRING = Shape("string")
_REQUIRED_STRING = Shape("string", is_required=True)
_BOOLEAN = Shape("boolean")
_TABLE_NAME = Shape("string", is_required=True, pattern=NAME_PATTERN, minimum=3, maximum=255)
_INDEX_NAME = Shape("string", pattern=NAME_PATTERN, minimum=3, maximum=255)
_REQUIRED_INDEX_NAME = Shape("string", is_required=True, pattern=NAME_PATTERN, minimum=3, maximum=255)
_CAPACITY = choice("INDEXES", "TOTAL", "NONE")
_METRICS = choice("SIZE", "NONE")
_RETURN_VALUES = choice("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")
_ON_FAILURE = choice("ALL_OLD", "NONE")
_OPERATOR = choice("OR", "AND")
_ITEM = Shape("values", is_required=True, java="AttributeValue")
_VALUES = Shape("values", java="AttributeValue")
_NAMES = Shape("map", element=_STRING, java="java.lang.String")
_NAMES_TO_GET = list_of(_STRING, 1, 255)
_COMPARISONS = (
    "IN",
    "NULL",
    "BETWEEN",
    "LT",
    "NOT_CONTAINS",
    "EQ",
    "GT",
    "NOT_NULL",
    "NE",
    "LE",
    "BEGINS_WITH",
    "GE",
    "CONTAINS",
)
_VALUE_LIST = list_of(Shape("value"))
_EXPECTED = Shape(
    "map",
    java="ExpectedAttributeValue",
    element=structure(
        "ExpectedAttributeValue",
        in_list=True,
        AttributeValueList=_VALUE_LIST,
        ComparisonOperator=choice(*_COMPARISONS),
        Exists=_BOOLEAN,
        Value=Shape("value"),
    ),
)
_CONDITIONS = Shape(
    "map",
    java="Condition",
    element=structure(
        "Condition",
        in_list=True,
        AttributeValueList=_VALUE_LIST,
        ComparisonOperator=choice(*_COMPARISONS, is_required=True),
    ),
)
_UPDATES = Shape(
    "map",
    java="AttributeValueUpdate",
    element=structure("AttributeValueUpdate", in_list=True, Action=_STRING, Value=Shape("value")),
)
_LIMIT = Shape("number", minimum=1, java="Integer")
_PLACEHOLDERS: Mapping[str, Shape] = {"ExpressionAttributeValues": _VALUES, "ExpressionAttributeNames": _NAMES}
_UNITS = Shape("number", minimum=1, is_required=True, java="Long")
_THROUGHPUT = structure("ProvisionedThroughput", WriteCapacityUnits=_UNITS, ReadCapacityUnits=_UNITS)
_REQUIRED_THROUGHPUT = structure(
    "ProvisionedThroughput", is_required=True, WriteCapacityUnits=_UNITS, ReadCapacityUnits=_UNITS
)
_WARM = structure(
    "WarmThroughput",
    ReadUnitsPerSecond=Shape("number", minimum=1, java="Long"),
    WriteUnitsPerSecond=Shape("number", minimum=1, java="Long"),
)
_ON_DEMAND = structure(
    "OnDemandThroughput",
    MaxReadRequestUnits=Shape("number", java="Long"),
    MaxWriteRequestUnits=Shape("number", java="Long"),
)
_MORE_THROUGHPUT: Mapping[str, Shape] = {"OnDemandThroughput": _ON_DEMAND, "WarmThroughput": _WARM}
_SSE = structure(
    "SSESpecification",
    Enabled=_BOOLEAN,
    SSEType=choice("AES256", "KMS"),
    KMSMasterKeyId=_STRING,
)
_ATTRIBUTE_NAME = Shape("string", is_required=True, minimum=1, maximum=255)
_PROJECTION = structure(
    "Projection",
    is_required=True,
    ProjectionType=choice("ALL", "INCLUDE", "KEYS_ONLY"),
    NonKeyAttributes=list_of(Shape("string", minimum=1, maximum=255), 1),
)


_KEY_ELEMENT = structure(
    "KeySchemaElement",
    in_list=True,
    AttributeName=_ATTRIBUTE_NAME,
    KeyType=choice("HASH", "RANGE", is_required=True),
)
_KEY_SCHEMA = list_of(_KEY_ELEMENT, 1, 2, is_required=True)
# Four attributes of each kind.
_GLOBAL_KEY_SCHEMA = list_of(_KEY_ELEMENT, 1, 8, is_required=True)
_DEFINITION = structure(
    "AttributeDefinition",
    in_list=True,
    AttributeName=_ATTRIBUTE_NAME,
    AttributeType=choice("B", "N", "S", is_required=True),
)
_LOCAL_INDEX = structure(
    "LocalSecondaryIndex",
    in_list=True,
    IndexName=_REQUIRED_INDEX_NAME,
    KeySchema=_KEY_SCHEMA,
    Projection=_PROJECTION,
)
_GLOBAL_INDEX = structure(
    "GlobalSecondaryIndex",
    in_list=True,
    IndexName=_REQUIRED_INDEX_NAME,
    KeySchema=_GLOBAL_KEY_SCHEMA,
    Projection=_PROJECTION,
    ProvisionedThroughput=_THROUGHPUT,
    OnDemandThroughput=_ON_DEMAND,
    WarmThroughput=_WARM,
)
_STREAM = structure(
    "StreamSpecification",
    StreamEnabled=Shape("boolean", is_required=True),
    StreamViewType=choice("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY"),
)
_TAG = structure("Tag", in_list=True, Key=_REQUIRED_STRING, Value=_REQUIRED_STRING)
_BILLING = choice("PROVISIONED", "PAY_PER_REQUEST")
_TABLE_OPERATION: Mapping[str, Shape] = {"TableName": Shape("string", is_required=True, pattern=NAME_PATTERN)}
_INDEX_UPDATE = structure(
    "GlobalSecondaryIndexUpdate",
    in_list=True,
    Update=structure(
        "UpdateGlobalSecondaryIndexAction",
        IndexName=_REQUIRED_INDEX_NAME,
        ProvisionedThroughput=_THROUGHPUT,
        OnDemandThroughput=_ON_DEMAND,
        WarmThroughput=_WARM,
    ),
    Create=structure(
        "CreateGlobalSecondaryIndexAction",
        Projection=_PROJECTION,
        IndexName=_REQUIRED_INDEX_NAME,
        ProvisionedThroughput=_THROUGHPUT,
        OnDemandThroughput=_ON_DEMAND,
        WarmThroughput=_WARM,
        KeySchema=_GLOBAL_KEY_SCHEMA,
    ),
    Delete=structure("DeleteGlobalSecondaryIndexAction", IndexName=_REQUIRED_INDEX_NAME),
)
_BATCH_NAMES = (3, 255)
_BACKUP_ARN = Shape("string", is_required=True, minimum=37, maximum=1024)
_NEW_NAME = Shape("string", is_required=True, pattern=NAME_PATTERN, minimum=3, maximum=255)
_TIME = Shape("time", java="Date")


def _action(java: str, **members: Shape) -> Shape:
    """One kind of action of TransactWriteItems."""
    common = {
        "TableName": _TABLE_NAME,
        "ConditionExpression": _STRING,
        **_PLACEHOLDERS,
        "ReturnValuesOnConditionCheckFailure": _ON_FAILURE,
    }
    return Shape("structure", members=Members({**common, **members}), java=java)


_INPUTS: Mapping[str, Mapping[str, Shape]] = {
    "PutItem": {
        "ReturnConsumedCapacity": _CAPACITY,
        "TableName": _TABLE_NAME,
        "Item": _ITEM,
        "ConditionalOperator": _OPERATOR,
        "Expected": _EXPECTED,
        "ReturnValues": _RETURN_VALUES,
        "ReturnItemCollectionMetrics": _METRICS,
        "ConditionExpression": _STRING,
        **_PLACEHOLDERS,
        "ReturnValuesOnConditionCheckFailure": _ON_FAILURE,
    },
    "GetItem": {
        "ReturnConsumedCapacity": _CAPACITY,
        "AttributesToGet": _NAMES_TO_GET,
        "TableName": _TABLE_NAME,
        "Key": _ITEM,
        "ConsistentRead": _BOOLEAN,
        "ProjectionExpression": _STRING,
        "ExpressionAttributeNames": _NAMES,
    },
    "UpdateItem": {
        "ReturnConsumedCapacity": _CAPACITY,
        "TableName": _TABLE_NAME,
        "ReturnItemCollectionMetrics": _METRICS,
        "ReturnValues": _RETURN_VALUES,
        "Key": _ITEM,
        "ConditionalOperator": _OPERATOR,
        "Expected": _EXPECTED,
        "AttributeUpdates": _UPDATES,
        "ConditionExpression": _STRING,
        "UpdateExpression": _STRING,
        **_PLACEHOLDERS,
        "ReturnValuesOnConditionCheckFailure": _ON_FAILURE,
    },
    "DeleteItem": {
        "ReturnConsumedCapacity": _CAPACITY,
        "TableName": _TABLE_NAME,
        "ReturnValues": _RETURN_VALUES,
        "ReturnItemCollectionMetrics": _METRICS,
        "Key": _ITEM,
        "ConditionalOperator": _OPERATOR,
        "Expected": _EXPECTED,
        "ConditionExpression": _STRING,
        **_PLACEHOLDERS,
        "ReturnValuesOnConditionCheckFailure": _ON_FAILURE,
    },
    "Query": {
        "Select": choice("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"),
        "IndexName": _INDEX_NAME,
        "ReturnConsumedCapacity": _CAPACITY,
        "QueryFilter": _CONDITIONS,
        "TableName": _TABLE_NAME,
        "ConditionalOperator": _OPERATOR,
        "AttributesToGet": _NAMES_TO_GET,
        "Limit": Shape("number", minimum=1, java="Integer", is_terse=True),
        "KeyConditions": _CONDITIONS,
        "ExclusiveStartKey": _VALUES,
        "ConsistentRead": _BOOLEAN,
        "ScanIndexForward": _BOOLEAN,
        "KeyConditionExpression": _STRING,
        "FilterExpression": _STRING,
        "ProjectionExpression": _STRING,
        **_PLACEHOLDERS,
    },
    "Scan": {
        "Select": choice("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"),
        "IndexName": _INDEX_NAME,
        "TotalSegments": Shape("number", minimum=1, maximum=1_000_000, java="Integer"),
        "ReturnConsumedCapacity": _CAPACITY,
        "TableName": _TABLE_NAME,
        "ConditionalOperator": _OPERATOR,
        "ScanFilter": _CONDITIONS,
        "Segment": Shape("number", minimum=0, maximum=999_999, java="Integer"),
        "Limit": _LIMIT,
        "AttributesToGet": _NAMES_TO_GET,
        "ExclusiveStartKey": _VALUES,
        "ConsistentRead": _BOOLEAN,
        "FilterExpression": _STRING,
        "ProjectionExpression": _STRING,
        **_PLACEHOLDERS,
    },
    "BatchGetItem": {
        "RequestItems": Shape(
            "map",
            is_required=True,
            minimum=1,
            is_terse=True,
            key_length=_BATCH_NAMES,
            java="KeysAndAttributes",
            element=structure(
                "KeysAndAttributes",
                in_list=True,
                Keys=Shape(
                    "list",
                    element=Shape("values", java="AttributeValue", is_generic=True, in_list=True),
                    minimum=1,
                    maximum=100,
                    is_required=True,
                    is_terse=True,
                ),
                AttributesToGet=_NAMES_TO_GET,
                ConsistentRead=_BOOLEAN,
                ProjectionExpression=_STRING,
                ExpressionAttributeNames=_NAMES,
            ),
        ),
        "ReturnConsumedCapacity": _CAPACITY,
    },
    "BatchWriteItem": {
        "ReturnConsumedCapacity": _CAPACITY,
        "ReturnItemCollectionMetrics": _METRICS,
        "RequestItems": Shape(
            "map",
            is_required=True,
            key_length=_BATCH_NAMES,
            value_length=(1, 25),
            java="java.util.List<com.amazonaws.dynamodb.v20120810.WriteRequest>",
            element=list_of(
                structure(
                    "WriteRequest",
                    in_list=True,
                    printed=("PutRequest", "DeleteRequest"),
                    DeleteRequest=structure("DeleteRequest", Key=_ITEM),
                    PutRequest=structure("PutRequest", Item=_ITEM),
                ),
                is_generic=True,
            ),
        ),
    },
    "TransactWriteItems": {
        "ClientRequestToken": Shape("string", minimum=1, maximum=36),
        "ReturnConsumedCapacity": _CAPACITY,
        "ReturnItemCollectionMetrics": _METRICS,
        "TransactItems": list_of(
            structure(
                "TransactWriteItem",
                in_list=True,
                ConditionCheck=_action("ConditionCheck", Key=_ITEM, ConditionExpression=_REQUIRED_STRING),
                Put=_action("Put", Item=_ITEM),
                Delete=_action("Delete", Key=_ITEM),
                Update=_action("Update", Key=_ITEM, UpdateExpression=_REQUIRED_STRING),
            ),
            1,
            100,
            is_required=True,
        ),
    },
    "TransactGetItems": {
        "ReturnConsumedCapacity": _CAPACITY,
        "TransactItems": list_of(
            structure(
                "TransactGetItem",
                in_list=True,
                Get=structure(
                    "Get",
                    is_required=True,
                    Key=_ITEM,
                    TableName=_TABLE_NAME,
                    ProjectionExpression=_STRING,
                    ExpressionAttributeNames=_NAMES,
                ),
            ),
            1,
            100,
            is_required=True,
        ),
    },
    "CreateTable": {
        "AttributeDefinitions": list_of(_DEFINITION, is_required=True),
        **_TABLE_OPERATION,
        "BillingMode": _BILLING,
        "ProvisionedThroughput": _THROUGHPUT,
        "KeySchema": _KEY_SCHEMA,
        "GlobalSecondaryIndexes": list_of(_GLOBAL_INDEX),
        "LocalSecondaryIndexes": list_of(_LOCAL_INDEX),
        "StreamSpecification": _STREAM,
        "Tags": list_of(_TAG),
        "TableClass": choice("STANDARD", "STANDARD_INFREQUENT_ACCESS"),
        "DeletionProtectionEnabled": _BOOLEAN,
        "SSESpecification": _SSE,
        **_MORE_THROUGHPUT,
    },
    "DescribeTable": _TABLE_OPERATION,
    "DeleteTable": _TABLE_OPERATION,
    "UpdateTable": {
        **_TABLE_OPERATION,
        "ProvisionedThroughput": _THROUGHPUT,
        "BillingMode": _BILLING,
        "GlobalSecondaryIndexUpdates": list_of(_INDEX_UPDATE),
        "AttributeDefinitions": list_of(_DEFINITION),
        "StreamSpecification": _STREAM,
        "TableClass": choice("STANDARD", "STANDARD_INFREQUENT_ACCESS"),
        "DeletionProtectionEnabled": _BOOLEAN,
        "SSESpecification": _SSE,
        **_MORE_THROUGHPUT,
    },
    "ListTables": {
        "Limit": Shape("number", minimum=1, maximum=100, java="Integer"),
        "ExclusiveStartTableName": Shape("string", pattern=NAME_PATTERN, minimum=3, maximum=255),
    },
    "DescribeTimeToLive": _TABLE_OPERATION,
    "UpdateTimeToLive": {
        **_TABLE_OPERATION,
        "TimeToLiveSpecification": structure(
            "TimeToLiveSpecification",
            is_required=True,
            Enabled=Shape("boolean", is_required=True),
            AttributeName=Shape("string", is_required=True, minimum=1, maximum=255),
        ),
    },
    "DescribeContinuousBackups": _TABLE_OPERATION,
    "UpdateContinuousBackups": {
        **_TABLE_OPERATION,
        "PointInTimeRecoverySpecification": structure(
            "PointInTimeRecoverySpecification",
            is_required=True,
            PointInTimeRecoveryEnabled=Shape("boolean", is_required=True),
            RecoveryPeriodInDays=Shape("number", minimum=1, maximum=35, java="Integer"),
        ),
    },
    "CreateBackup": {
        **_TABLE_OPERATION,
        "BackupName": Shape("string", is_required=True, pattern=NAME_PATTERN, minimum=3, maximum=255),
    },
    "DescribeBackup": {"BackupArn": _BACKUP_ARN},
    "DeleteBackup": {"BackupArn": _BACKUP_ARN},
    "ListBackups": {
        "TableName": Shape("string", pattern=NAME_PATTERN, minimum=1, maximum=1024),
        "Limit": Shape("number", minimum=1, maximum=100, java="Integer"),
        "TimeRangeLowerBound": _TIME,
        "TimeRangeUpperBound": _TIME,
        "ExclusiveStartBackupArn": Shape("string", minimum=37, maximum=1024),
        "BackupType": choice("USER", "SYSTEM", "AWS_BACKUP", "ALL"),
    },
    "RestoreTableFromBackup": {"TargetTableName": _NEW_NAME, "BackupArn": _BACKUP_ARN},
    "RestoreTableToPointInTime": {
        "SourceTableName": Shape("string", pattern=NAME_PATTERN, minimum=3, maximum=255),
        "SourceTableArn": Shape("string", minimum=1, maximum=1024),
        "TargetTableName": _NEW_NAME,
        "UseLatestRestorableTime": _BOOLEAN,
        "RestoreDateTime": _TIME,
    },
    "TagResource": {"ResourceArn": _STRING, "Tags": list_of(_TAG)},
    "UntagResource": {"ResourceArn": _STRING, "TagKeys": list_of(_STRING)},
    "ListTagsOfResource": {"ResourceArn": _STRING, "NextToken": _STRING},
    "DescribeLimits": {},
    "DescribeEndpoints": {},
}
MEMBERS = {operation: Members(members) for operation, members in _INPUTS.items()}
_OVERRIDES = (
    "BillingModeOverride",
    "GlobalSecondaryIndexOverride",
    "LocalSecondaryIndexOverride",
    "OnDemandThroughputOverride",
    "ProvisionedThroughputOverride",
    "SSESpecificationOverride",
    "VectorIndexOverride",
)
# Members of the API that would change what a caller sees and have no effect here.
UNSUPPORTED: Mapping[str, tuple[str, ...]] = {
    "CreateTable": ("GlobalTableSettingsReplicationMode", "GlobalTableSourceArn", "ResourcePolicy", "VectorIndexes"),
    "UpdateTable": (
        "DisassociationProtectionEnabled",
        "GlobalTableSettingsReplicationMode",
        "GlobalTableWitnessUpdates",
        "MultiRegionConsistency",
        "ReplicaUpdates",
        "VectorIndexUpdates",
    ),
    "RestoreTableFromBackup": _OVERRIDES,
    "RestoreTableToPointInTime": _OVERRIDES,
}
