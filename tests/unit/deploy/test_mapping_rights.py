"""A mapping whose role may not read its source, or reach its destination, is warned about as AWS refuses it."""

from pathlib import Path

import pytest

from headwater.deploy.compiled import Compiled
from headwater.deploy.loading import load_template
from headwater.deploy.options import UpOptions
from headwater.deploy.rehearsal import rehearse

TEMPLATE = """
Resources:
  Stream: {Type: AWS::Kinesis::Stream, Properties: {Name: s, ShardCount: 1}}
  Letters: {Type: AWS::SQS::Queue, Properties: {QueueName: letters}}
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: q}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: reader
      AssumeRolePolicyDocument: {Statement: []}
      ManagedPolicyArns: [%s]
      Policies:
        - {PolicyName: p, PolicyDocument: {Statement: [%s]}}
  F:
    Type: AWS::Lambda::Function
    Properties: {Handler: index.handler, Runtime: python3.12, Role: !GetAtt Role.Arn, Code: {ZipFile: 'x = 1'}}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !Ref F
      EventSourceArn: !GetAtt %s.Arn
%s
"""
OF_STREAM = """      StartingPosition: LATEST
      DestinationConfig: {OnFailure: {Destination: !GetAtt Letters.Arn}}
"""
LETTERS = "{Effect: Allow, Action: 'sqs:SendMessage', Resource: !GetAtt Letters.Arn}"
STREAM_ARN = "arn:aws:kinesis:us-east-1:123456789012:stream/s"
KINESIS = "arn:aws:iam::aws:policy/service-role/AWSLambdaKinesisExecutionRole"
SQS = "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"


@pytest.mark.parametrize(
    ("managed", "statement", "source", "expected"),
    [
        (KINESIS, LETTERS, "Stream", []),
        (
            "",
            LETTERS,
            "Stream",
            [
                "AWS would refuse the mapping Mapping: the role reader does not grant "
                f"kinesis:GetRecords on {STREAM_ARN}, kinesis:GetShardIterator on {STREAM_ARN}, "
                f"kinesis:DescribeStream on {STREAM_ARN}"
            ],
        ),
        (
            KINESIS,
            "",
            "Stream",
            [
                "on AWS nothing the mapping Mapping gives up on would reach its destination: the role reader does not "
                "grant sqs:SendMessage on arn:aws:sqs:us-east-1:123456789012:letters"
            ],
        ),
        (SQS, "", "Queue", []),
        (
            "",
            "{Effect: Allow, Action: ['sqs:ReceiveMessage', 'sqs:DeleteMessage'], Resource: '*'}",
            "Queue",
            [
                "AWS would refuse the mapping Mapping: the role reader does not grant sqs:GetQueueAttributes on "
                "arn:aws:sqs:us-east-1:123456789012:q"
            ],
        ),
    ],
)
async def test_missing_rights_are_warned_about(
    managed: str, statement: str, source: str, expected: list[str], tmp_path: Path
) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(TEMPLATE % (managed, statement, source, OF_STREAM if source == "Stream" else ""))
    options = UpOptions(template=template)

    deployment = await rehearse(options, load_template(template, {}, options.region, None), Compiled())

    assert deployment.faults.found == []
    assert [line for line in deployment.warnings if "mapping" in line] == expected
