"""The input of every operation, its members in the order in which the service reports their faults."""

from collections.abc import Mapping

from headwater.dynamodb.requests.shapes import Members, Shape

_NAME = "[a-zA-Z0-9_.-]+"


def _structure(
    java: str, *, is_required: bool = False, in_list: bool = False, printed: tuple[str, ...] = (), **members: Shape
) -> Shape:
    return Shape(
        "structure",
        is_required=is_required,
        members=Members(members),
        java=java,
        in_list=in_list,
        printed=printed,
    )


def _list(
    element: Shape,
    minimum: int | None = None,
    maximum: int | None = None,
    *,
    is_required: bool = False,
    is_generic: bool = False,
) -> Shape:
    return Shape(
        "list", element=element, minimum=minimum, maximum=maximum, is_required=is_required, is_generic=is_generic
    )


def _choice(*choices: str, is_required: bool = False) -> Shape:
    return Shape("string", choices=choices, is_required=is_required)


_STRING = Shape("string")
_REQUIRED_STRING = Shape("string", is_required=True)
_BOOLEAN = Shape("boolean")
_TABLE_NAME = Shape("string", is_required=True, pattern=_NAME, minimum=3, maximum=255)
_INDEX_NAME = Shape("string", pattern=_NAME, minimum=3, maximum=255)
_REQUIRED_INDEX_NAME = Shape("string", is_required=True, pattern=_NAME, minimum=3, maximum=255)
_CAPACITY = _choice("INDEXES", "TOTAL", "NONE")
_METRICS = _choice("SIZE", "NONE")
_RETURN_VALUES = _choice("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")
_ON_FAILURE = _choice("ALL_OLD", "NONE")
_OPERATOR = _choice("OR", "AND")
_ITEM = Shape("values", is_required=True, java="AttributeValue")
_VALUES = Shape("values", java="AttributeValue")
_NAMES = Shape("map", element=_STRING, java="java.lang.String")
_NAMES_TO_GET = _list(_STRING, 1, 255)
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
_VALUE_LIST = _list(Shape("value"))
_EXPECTED = Shape(
    "map",
    java="ExpectedAttributeValue",
    element=_structure(
        "ExpectedAttributeValue",
        in_list=True,
        AttributeValueList=_VALUE_LIST,
        ComparisonOperator=_choice(*_COMPARISONS),
        Exists=_BOOLEAN,
        Value=Shape("value"),
    ),
)
_CONDITIONS = Shape(
    "map",
    java="Condition",
    element=_structure(
        "Condition",
        in_list=True,
        AttributeValueList=_VALUE_LIST,
        ComparisonOperator=_choice(*_COMPARISONS, is_required=True),
    ),
)
_UPDATES = Shape(
    "map",
    java="AttributeValueUpdate",
    element=_structure("AttributeValueUpdate", in_list=True, Action=_STRING, Value=Shape("value")),
)
_LIMIT = Shape("number", minimum=1, java="Integer")
_PLACEHOLDERS: Mapping[str, Shape] = {"ExpressionAttributeValues": _VALUES, "ExpressionAttributeNames": _NAMES}
_UNITS = Shape("number", minimum=1, is_required=True, java="Long")
_THROUGHPUT = _structure("ProvisionedThroughput", WriteCapacityUnits=_UNITS, ReadCapacityUnits=_UNITS)
_REQUIRED_THROUGHPUT = _structure(
    "ProvisionedThroughput", is_required=True, WriteCapacityUnits=_UNITS, ReadCapacityUnits=_UNITS
)
_WARM = _structure(
    "WarmThroughput",
    ReadUnitsPerSecond=Shape("number", minimum=1, java="Long"),
    WriteUnitsPerSecond=Shape("number", minimum=1, java="Long"),
)
_ON_DEMAND = _structure(
    "OnDemandThroughput",
    MaxReadRequestUnits=Shape("number", java="Long"),
    MaxWriteRequestUnits=Shape("number", java="Long"),
)
_MORE_THROUGHPUT: Mapping[str, Shape] = {"OnDemandThroughput": _ON_DEMAND, "WarmThroughput": _WARM}
_SSE = _structure(
    "SSESpecification",
    Enabled=_BOOLEAN,
    SSEType=_choice("AES256", "KMS"),
    KMSMasterKeyId=_STRING,
)
_ATTRIBUTE_NAME = Shape("string", is_required=True, minimum=1, maximum=255)
_PROJECTION = _structure(
    "Projection",
    is_required=True,
    ProjectionType=_choice("ALL", "INCLUDE", "KEYS_ONLY"),
    NonKeyAttributes=_list(Shape("string", minimum=1, maximum=255), 1),
)


_KEY_ELEMENT = _structure(
    "KeySchemaElement",
    in_list=True,
    AttributeName=_ATTRIBUTE_NAME,
    KeyType=_choice("HASH", "RANGE", is_required=True),
)
_KEY_SCHEMA = _list(_KEY_ELEMENT, 1, 2, is_required=True)
# Four attributes of each kind.
_GLOBAL_KEY_SCHEMA = _list(_KEY_ELEMENT, 1, 8, is_required=True)
_DEFINITION = _structure(
    "AttributeDefinition",
    in_list=True,
    AttributeName=_ATTRIBUTE_NAME,
    AttributeType=_choice("B", "N", "S", is_required=True),
)
_LOCAL_INDEX = _structure(
    "LocalSecondaryIndex",
    in_list=True,
    IndexName=_REQUIRED_INDEX_NAME,
    KeySchema=_KEY_SCHEMA,
    Projection=_PROJECTION,
)
_GLOBAL_INDEX = _structure(
    "GlobalSecondaryIndex",
    in_list=True,
    IndexName=_REQUIRED_INDEX_NAME,
    KeySchema=_GLOBAL_KEY_SCHEMA,
    Projection=_PROJECTION,
    ProvisionedThroughput=_THROUGHPUT,
    OnDemandThroughput=_ON_DEMAND,
    WarmThroughput=_WARM,
)
_STREAM = _structure(
    "StreamSpecification",
    StreamEnabled=Shape("boolean", is_required=True),
    StreamViewType=_choice("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY"),
)
_TAG = _structure("Tag", in_list=True, Key=_REQUIRED_STRING, Value=_REQUIRED_STRING)
_BILLING = _choice("PROVISIONED", "PAY_PER_REQUEST")
_TABLE_OPERATION: Mapping[str, Shape] = {"TableName": Shape("string", is_required=True, pattern=_NAME)}
_INDEX_UPDATE = _structure(
    "GlobalSecondaryIndexUpdate",
    in_list=True,
    Update=_structure(
        "UpdateGlobalSecondaryIndexAction",
        IndexName=_REQUIRED_INDEX_NAME,
        ProvisionedThroughput=_THROUGHPUT,
        OnDemandThroughput=_ON_DEMAND,
        WarmThroughput=_WARM,
    ),
    Create=_structure(
        "CreateGlobalSecondaryIndexAction",
        Projection=_PROJECTION,
        IndexName=_REQUIRED_INDEX_NAME,
        ProvisionedThroughput=_THROUGHPUT,
        OnDemandThroughput=_ON_DEMAND,
        WarmThroughput=_WARM,
        KeySchema=_GLOBAL_KEY_SCHEMA,
    ),
    Delete=_structure("DeleteGlobalSecondaryIndexAction", IndexName=_REQUIRED_INDEX_NAME),
)
_BATCH_NAMES = (3, 255)
_BACKUP_ARN = Shape("string", is_required=True, minimum=37, maximum=1024)
_NEW_NAME = Shape("string", is_required=True, pattern=_NAME, minimum=3, maximum=255)
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
        "Select": _choice("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"),
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
        "Select": _choice("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"),
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
            element=_structure(
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
            element=_list(
                _structure(
                    "WriteRequest",
                    in_list=True,
                    printed=("PutRequest", "DeleteRequest"),
                    DeleteRequest=_structure("DeleteRequest", Key=_ITEM),
                    PutRequest=_structure("PutRequest", Item=_ITEM),
                ),
                is_generic=True,
            ),
        ),
    },
    "TransactWriteItems": {
        "ClientRequestToken": Shape("string", minimum=1, maximum=36),
        "ReturnConsumedCapacity": _CAPACITY,
        "ReturnItemCollectionMetrics": _METRICS,
        "TransactItems": _list(
            _structure(
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
        "TransactItems": _list(
            _structure(
                "TransactGetItem",
                in_list=True,
                Get=_structure(
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
        "AttributeDefinitions": _list(_DEFINITION, is_required=True),
        **_TABLE_OPERATION,
        "BillingMode": _BILLING,
        "ProvisionedThroughput": _THROUGHPUT,
        "KeySchema": _KEY_SCHEMA,
        "GlobalSecondaryIndexes": _list(_GLOBAL_INDEX),
        "LocalSecondaryIndexes": _list(_LOCAL_INDEX),
        "StreamSpecification": _STREAM,
        "Tags": _list(_TAG),
        "TableClass": _choice("STANDARD", "STANDARD_INFREQUENT_ACCESS"),
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
        "GlobalSecondaryIndexUpdates": _list(_INDEX_UPDATE),
        "AttributeDefinitions": _list(_DEFINITION),
        "StreamSpecification": _STREAM,
        "TableClass": _choice("STANDARD", "STANDARD_INFREQUENT_ACCESS"),
        "DeletionProtectionEnabled": _BOOLEAN,
        "SSESpecification": _SSE,
        **_MORE_THROUGHPUT,
    },
    "ListTables": {
        "Limit": Shape("number", minimum=1, maximum=100, java="Integer"),
        "ExclusiveStartTableName": Shape("string", pattern=_NAME, minimum=3, maximum=255),
    },
    "DescribeTimeToLive": _TABLE_OPERATION,
    "UpdateTimeToLive": {
        **_TABLE_OPERATION,
        "TimeToLiveSpecification": _structure(
            "TimeToLiveSpecification",
            is_required=True,
            Enabled=Shape("boolean", is_required=True),
            AttributeName=Shape("string", is_required=True, minimum=1, maximum=255),
        ),
    },
    "DescribeContinuousBackups": _TABLE_OPERATION,
    "UpdateContinuousBackups": {
        **_TABLE_OPERATION,
        "PointInTimeRecoverySpecification": _structure(
            "PointInTimeRecoverySpecification",
            is_required=True,
            PointInTimeRecoveryEnabled=Shape("boolean", is_required=True),
            RecoveryPeriodInDays=Shape("number", minimum=1, maximum=35, java="Integer"),
        ),
    },
    "CreateBackup": {
        **_TABLE_OPERATION,
        "BackupName": Shape("string", is_required=True, pattern=_NAME, minimum=3, maximum=255),
    },
    "DescribeBackup": {"BackupArn": _BACKUP_ARN},
    "DeleteBackup": {"BackupArn": _BACKUP_ARN},
    "ListBackups": {
        "TableName": Shape("string", pattern=_NAME, minimum=1, maximum=1024),
        "Limit": Shape("number", minimum=1, maximum=100, java="Integer"),
        "TimeRangeLowerBound": _TIME,
        "TimeRangeUpperBound": _TIME,
        "ExclusiveStartBackupArn": Shape("string", minimum=37, maximum=1024),
        "BackupType": _choice("USER", "SYSTEM", "AWS_BACKUP", "ALL"),
    },
    "RestoreTableFromBackup": {"TargetTableName": _NEW_NAME, "BackupArn": _BACKUP_ARN},
    "RestoreTableToPointInTime": {
        "SourceTableName": Shape("string", pattern=_NAME, minimum=3, maximum=255),
        "SourceTableArn": Shape("string", minimum=1, maximum=1024),
        "TargetTableName": _NEW_NAME,
        "UseLatestRestorableTime": _BOOLEAN,
        "RestoreDateTime": _TIME,
    },
    "TagResource": {"ResourceArn": _STRING, "Tags": _list(_TAG)},
    "UntagResource": {"ResourceArn": _STRING, "TagKeys": _list(_STRING)},
    "ListTagsOfResource": {"ResourceArn": _STRING, "NextToken": _STRING},
    "DescribeLimits": {},
    "DescribeEndpoints": {},
}
_ARN = Shape("string", is_required=True, minimum=37, maximum=1024)
_SHARD_ID = Shape("string", is_required=True, minimum=28, maximum=65)
_ITERATOR_TYPE = _choice(
    "AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON", "AT_TIMESTAMP", is_required=True
)
_STREAMS_INPUTS: Mapping[str, Mapping[str, Shape]] = {
    "ListStreams": {
        "TableName": Shape("string", pattern=_NAME, minimum=3, maximum=1024),
        "Limit": Shape("number", minimum=1, maximum=100, java="Integer"),
        "ExclusiveStartStreamArn": Shape("string", minimum=37, maximum=1024),
    },
    "DescribeStream": {
        "StreamArn": _ARN,
        "Limit": Shape("number", minimum=1, maximum=100, java="Integer"),
        "ExclusiveStartShardId": Shape("string", minimum=28, maximum=65),
        "ShardFilter": _structure(
            "ShardFilter", Type=_choice("CHILD_SHARDS"), ShardId=Shape("string", minimum=28, maximum=65)
        ),
    },
    "GetShardIterator": {
        "StreamArn": _ARN,
        "ShardId": _SHARD_ID,
        "ShardIteratorType": _ITERATOR_TYPE,
        "SequenceNumber": Shape("string", minimum=21, maximum=40),
        "Timestamp": _TIME,
    },
    "GetRecords": {
        "ShardIterator": Shape("string", is_required=True, minimum=1, maximum=2048),
        "Limit": Shape("number", minimum=1, maximum=1000, java="Integer"),
    },
}

MEMBERS = {operation: Members(members) for operation, members in _INPUTS.items()}
STREAMS_MEMBERS = {operation: Members(members) for operation, members in _STREAMS_INPUTS.items()}
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
