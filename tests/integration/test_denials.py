"""What a role is told that may not do something, as boto3 shows it to the function that asked: by service."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.product import Device, Product, eventually

SESSION = "arn:aws:sts::123456789012:assumed-role"
ARN = "arn:aws:{}:us-east-1:123456789012:{}"
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: worker
      AssumeRolePolicyDocument: {}
      Policies:
        - PolicyName: p
          PolicyDocument:
            Version: '2012-10-17'
            Statement:
              - {Effect: Allow, Action: 'dynamodb:*', Resource: '*'}
              - {Effect: Deny, Action: 'dynamodb:DeleteItem', Resource: '*'}
  Keys:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: collect, Runtime: python3.11, Handler: keys.handler, CodeUri: ., Role: !GetAtt Role.Arn}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: readings
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: failed}}
  RuleRole:
    Type: AWS::IAM::Role
    Properties:
      RoleName: rule
      AssumeRolePolicyDocument: {}
      Policies:
        - PolicyName: p
          PolicyDocument:
            Version: '2012-10-17'
            Statement: [{Effect: Allow, Action: 'sqs:SendMessage', Resource: '*'}]
  Rule:
    Type: AWS::IoT::TopicRule
    Properties:
      RuleName: denied
      TopicRulePayload:
        AwsIotSqlVersion: '2016-03-23'
        Sql: SELECT * FROM 'denied'
        Actions: [{DynamoDBv2: {PutItem: {TableName: readings}, RoleArn: !GetAtt RuleRole.Arn}}]
        ErrorAction: {Sqs: {QueueUrl: !Ref Queue, RoleArn: !GetAtt RuleRole.Arn, UseBase64: false}}
"""
KEYS = """
import os
def handler(event, context):
    return [os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]]
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("denials")
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "keys.py").write_text(KEYS)
    running = Product(folder / "data", template=folder / "template.yaml").start()
    yield running
    assert running.terminate() == 0, running.log()


@pytest.fixture(scope="module")
def keys(product: Product) -> list[str]:
    """The access key that the function has."""
    found: list[str] = json.loads(product.boto3("lambda").invoke(FunctionName="collect")["Payload"].read())
    return found


def client(product: Product, keys: list[str], service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=product.ready["awsEndpointUrl"],
        region_name="us-east-1",
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def told(action: str, resource: str, why: str = "") -> str:
    why = why or f"because no identity-based policy allows the {action} action"
    return f"User: {SESSION}/worker/collect is not authorized to perform: {action} on resource: {resource} {why}"


@pytest.mark.parametrize(
    ("service", "operation", "request_", "code", "status", "message"),
    [
        (
            "dynamodb",
            "delete_item",
            {"TableName": "readings", "Key": {"id": {"S": "1"}}},
            "AccessDeniedException",
            400,
            told(
                "dynamodb:DeleteItem",
                ARN.format("dynamodb", "table/readings"),
                "with an explicit deny in an identity-based policy",
            ),
        ),
        (
            "kinesis",
            "put_record",
            {"StreamName": "s", "Data": b"", "PartitionKey": "p"},
            "AccessDeniedException",
            400,
            told("kinesis:PutRecord", ARN.format("kinesis", "stream/s")),
        ),
        (
            "sqs",
            "send_message_batch",
            {
                "QueueUrl": "http://localhost/123456789012/failed",
                "Entries": [{"Id": "1", "MessageBody": "x"}],
            },
            "AccessDenied",
            400,
            told("sqs:sendmessage", ARN.format("sqs", "failed")),
        ),
        (
            "sns",
            "publish",
            {"TopicArn": ARN.format("sns", "t"), "Message": "x"},
            "AuthorizationError",
            403,
            told("SNS:Publish", ARN.format("sns", "t")),
        ),
        (
            "s3",
            "put_object",
            {"Bucket": "bucket", "Key": "a/b", "Body": b""},
            "AccessDenied",
            403,
            told("s3:PutObject", '"arn:aws:s3:::bucket/a/b"'),
        ),
        (
            "lambda",
            "invoke",
            {"FunctionName": "collect"},
            "AccessDeniedException",
            403,
            told("lambda:InvokeFunction", ARN.format("lambda", "function:collect")),
        ),
        (
            "events",
            "put_events",
            {"Entries": [{"Source": "s", "DetailType": "d", "Detail": "{}"}]},
            "AccessDeniedException",
            400,
            told("events:PutEvents", ARN.format("events", "event-bus/default")),
        ),
        (
            "scheduler",
            "get_schedule",
            {"Name": "s"},
            "AccessDeniedException",
            403,
            told("scheduler:GetSchedule", ARN.format("scheduler", "schedule/default/s")),
        ),
        (
            "iot",
            "describe_thing",
            {"thingName": "t"},
            "AccessDeniedException",
            403,
            told("iot:DescribeThing", ARN.format("iot", "thing/t")),
        ),
        ("iot-data", "publish", {"topic": "a/b", "payload": b""}, "ForbiddenException", 403, "Forbidden"),
        ("iot-data", "get_thing_shadow", {"thingName": "t"}, "ForbiddenException", 403, "Forbidden"),
    ],
)
def test_a_role_is_told_in_the_words_of_the_service(
    product: Product,
    keys: list[str],
    service: str,
    operation: str,
    request_: dict[str, Any],
    code: str,
    status: int,
    message: str,
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(client(product, keys, service), operation)(**request_)

    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["Error"]["Message"]) == (code, message)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_session_is_named_after_its_function(product: Product, keys: list[str]) -> None:
    identity = client(product, keys, "sts").get_caller_identity()

    assert identity["Arn"] == f"{SESSION}/worker/collect"
    assert identity["UserId"] == f"{keys[0]}:collect"


def test_the_session_of_a_topic_rule_has_eight_letters(product: Product) -> None:
    device = Device(product, "d-1")
    device.publish("denied", {"id": "1"})
    device.close()

    sqs = product.boto3("sqs")
    url = sqs.get_queue_url(QueueName="failed")["QueueUrl"]
    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    (failure,) = json.loads(message["Body"])["failures"]
    user = failure["errorMessage"].split("User: ")[1].split(" ")[0]
    prefix, _, session = user.rpartition("/")
    assert prefix == f"{SESSION}/rule"
    assert len(session) == 8
    assert session.isalnum()
