"""A chain read from a template: what it finds, and what it refuses by name."""

from pathlib import Path

import pytest

from headwater.deploy.loading import load_template
from headwater.errors import TemplateError
from headwater.plan.chain import Chain, read_chain

TEMPLATE = """
Metadata:
  Headwater:
    Plan:
      Functions:
        In: {Writes: [{Per: Message, Bytes: 100, Days: Kept, SeenBy: Fan}]}
        Fan: {Publishes: [{Together: 25}]}
Parameters:
  Kept: {Type: Number, Default: 30}
Resources:
  Stream: {Type: 'AWS::Kinesis::Stream', Properties: {ShardCount: 3, RetentionPeriodHours: 48}}
  Table: {Type: 'AWS::DynamoDB::Table', Properties: {BillingMode: PAY_PER_REQUEST, TableName: t}}
  In: {Type: 'AWS::Lambda::Function', Properties: {MemorySize: 512, Architectures: [arm64]}}
  Fan: {Type: 'AWS::Lambda::Function', Properties: {}}
  ReadStream:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {FunctionName: !Ref In, EventSourceArn: !GetAtt Stream.Arn, BatchSize: 500}
  ReadTable:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {FunctionName: !Ref Fan, EventSourceArn: 'arn:aws:dynamodb:us-east-1:1:table/t/stream/x'}
"""


def chain(tmp_path: Path, text: str = TEMPLATE) -> Chain:
    path = tmp_path / "template.yaml"
    path.write_text(text)
    return read_chain(load_template(path, {}, "us-east-1", None))


def test_functions_are_found_behind_their_mappings_with_aws_defaults(tmp_path: Path) -> None:
    found = chain(tmp_path)

    assert (found.shards, found.retention_hours, found.has_recovery, found.days) == (3, 48, False, {"Kept": 30})
    assert (found.ingest.name, found.ingest.batch_size, found.ingest.memory_gb) == ("In", 500, 0.5)
    assert found.ingest.architecture == "arm64"
    (fan,) = found.on_table
    assert (fan.name, fan.batch_size, fan.parallelization, fan.memory_gb) == ("Fan", 100, 1, 0.125)
    assert fan.architecture == "x86_64"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("        In: {W", "        Gone: {W", "no function Gone"),
        ("SeenBy: Fan", "SeenBy: In", "SeenBy names In"),
        ("Days: Kept", "Days: Lost", "'Lost' is no parameter"),
        ("ShardCount: 3", "ShardCount: many", "Stream.*whole number, found 'many'"),
        ("ShardCount: 3", "StreamModeDetails: {StreamMode: ON_DEMAND}", "Stream.*ON_DEMAND"),
        ("BillingMode: PAY_PER_REQUEST, ", "", "Table.*PROVISIONED"),
        ("!GetAtt Stream.Arn", "'arn:aws:sqs:us-east-1:1:q'", "In: it reads one Kinesis or table stream, found 0"),
        ("'arn:aws:dynamodb:us-east-1:1:table/t/stream/x'", "!GetAtt Stream.Arn", "found In, Fan"),
        ("    Plan:\n", "    Other:\n", "there is none"),
    ],
)
def test_what_cannot_be_planned_is_refused_by_name(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert old in TEMPLATE

    with pytest.raises(TemplateError, match=named):
        chain(tmp_path, TEMPLATE.replace(old, new))


def test_a_second_stream_or_table_is_refused(tmp_path: Path) -> None:
    for kind in ("AWS::Kinesis::Stream", "AWS::DynamoDB::Table"):
        with pytest.raises(TemplateError, match=f"one {kind}, found 2"):
            chain(tmp_path, f"{TEMPLATE}  Other: {{Type: '{kind}', Properties: {{BillingMode: PAY_PER_REQUEST}}}}\n")
