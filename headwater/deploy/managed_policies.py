"""The AWS managed policies that templates attach most, reduced to what can be called here.

Source: the policies' published documents; actions of services that do not run here are left out.
"""

from typing import Any


def _allow(*actions: str) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}


_LOGS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
_KINESIS_READ = (
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
    "kinesis:ListStreams",
    "kinesis:SubscribeToShard",
)
_TABLE_STREAM_READ = (
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
)
_QUEUE_READ = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

_THINGS_REGISTRATION = tuple(
    f"iot:{action}"
    for action in (
        *("AddThingToThingGroup", "AttachPolicy", "AttachPrincipalPolicy", "AttachThingPrincipal"),
        *("CreateCertificateFromCsr", "CreatePolicy", "CreateThing", "DescribeCertificate", "DescribeThing"),
        *("DescribeThingGroup", "DescribeThingType", "DetachPolicy", "DetachThingPrincipal", "GetPolicy"),
        *("ListAttachedPolicies", "ListPolicyPrincipals", "ListPrincipalPolicies", "ListPrincipalThings"),
        *("ListTargetsForPolicy", "ListThingGroupsForThing", "ListThingPrincipals", "RegisterCertificate"),
        *("RegisterThing", "RemoveThingFromThingGroup", "UpdateCertificate", "UpdateThing"),
        *("UpdateThingGroupsForThing",),
    )
)
MANAGED_POLICIES: dict[str, dict[str, Any]] = {
    "AWSLambdaBasicExecutionRole": _allow(*_LOGS),
    "AWSLambdaKinesisExecutionRole": _allow(*_LOGS, *_KINESIS_READ),
    "AWSLambdaDynamoDBExecutionRole": _allow(*_LOGS, *_TABLE_STREAM_READ),
    "AWSLambdaSQSQueueExecutionRole": _allow(*_LOGS, *_QUEUE_READ),
    "AWSLambdaVPCAccessExecutionRole": _allow(*_LOGS),
    "AWSIoTThingsRegistration": _allow(*_THINGS_REGISTRATION),
    "AWSLambdaRole": _allow("lambda:InvokeFunction"),
    "AWSLambda_FullAccess": _allow("lambda:*"),
    "AWSXRayDaemonWriteAccess": _allow("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    "AWSXrayWriteOnlyAccess": _allow("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
    "AWSAppSyncPushToCloudWatchLogs": _allow(*_LOGS),
    "AWSAppSyncInvokeFullAccess": _allow("appsync:GraphQL", "appsync:GetGraphqlApi", "appsync:ListGraphqlApis"),
    "AWSCodeDeployRoleForLambda": _allow("lambda:UpdateAlias", "lambda:GetAlias"),
    "AWSCodeDeployRoleForLambdaLimited": _allow("lambda:UpdateAlias", "lambda:GetAlias"),
    "AmazonDynamoDBFullAccess": _allow("dynamodb:*"),
    "AmazonDynamoDBReadOnlyAccess": _allow(
        "dynamodb:BatchGetItem",
        "dynamodb:Describe*",
        "dynamodb:List*",
        "dynamodb:GetItem",
        "dynamodb:Query",
        "dynamodb:Scan",
    ),
    "AmazonKinesisFullAccess": _allow("kinesis:*"),
    "AmazonKinesisReadOnlyAccess": _allow("kinesis:Get*", "kinesis:List*", "kinesis:Describe*"),
    "AmazonSQSFullAccess": _allow("sqs:*"),
    "AmazonSNSFullAccess": _allow("sns:*"),
    "AmazonS3FullAccess": _allow("s3:*"),
    "AmazonEventBridgeFullAccess": _allow("events:*", "scheduler:*"),
    "AWSIoTDataAccess": _allow("iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive", "iot:*Shadow*"),
    "AWSIoTFullAccess": _allow("iot:*"),
    "AdministratorAccess": _allow("*"),
    "CloudWatchLambdaInsightsExecutionRolePolicy": _allow(*_LOGS),
    "CloudWatchLogsFullAccess": _allow("logs:*"),
    "AmazonSSMReadOnlyAccess": _allow("ssm:Describe*", "ssm:Get*", "ssm:List*"),
}
