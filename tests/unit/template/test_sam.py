"""The SAM transform."""

import pytest

from headwater.errors import TemplateError
from headwater.template import Stack, StackEnvironment, judge, parse_template, transform_sam

SAM = "Transform: AWS::Serverless-2016-10-31\n"
FUNCTION = (
    SAM
    + """
Globals: {Function: {Runtime: python3.13, Policies: [AWSLambdaBasicExecutionRole]}}
Resources:
  Stream: {Type: AWS::Kinesis::Stream, Properties: {ShardCount: 1}}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: ./src
      Handler: app.handler
      Events:
        Records: {Type: Kinesis, Properties: {Stream: !GetAtt Stream.Arn, StartingPosition: LATEST, BatchSize: 10}}
"""
)


def test_a_function_with_an_event_becomes_plain_resources() -> None:
    document, code = transform_sam(parse_template(FUNCTION), {}, "us-east-1")

    resources = document.resources
    assert resources["WorkerRecords"]["Type"] == "AWS::Lambda::EventSourceMapping"
    location = resources["Worker"]["Properties"]["Code"]
    assert code.path_of(location["S3Bucket"], location["S3Key"]) == "./src"
    assert any(
        "AWSLambdaBasicExecutionRole" in str(arn) for arn in resources["WorkerRole"]["Properties"]["ManagedPolicyArns"]
    )


def test_every_transformed_resource_is_judged_and_live() -> None:
    document, _ = transform_sam(parse_template(FUNCTION), {}, "us-east-1")
    stack = Stack(document, StackEnvironment())

    findings = [
        finding
        for logical_id in stack.logical_ids()
        for finding in judge(logical_id, document.resources[logical_id], stack.properties(logical_id))
    ]

    assert [finding for finding in findings if finding.verdict == "refused"] == []


def test_graphql_api_code_and_schema_are_found_again() -> None:
    text = (
        SAM
        + """
Resources:
  Api:
    Type: AWS::Serverless::GraphQLApi
    Properties:
      SchemaUri: ./schema.graphql
      Auth: {Type: API_KEY}
      Functions: {f: {Runtime: {Name: APPSYNC_JS, Version: 1.0.0}, DataSource: NONE, CodeUri: ./f.js}}
      Resolvers: {Query: {a: {Runtime: {Name: APPSYNC_JS, Version: 1.0.0}, Pipeline: [f]}}}
"""
    )
    document, code = transform_sam(parse_template(text), {}, "us-east-1")

    schema = document.resources["ApiSchema"]["Properties"]["DefinitionS3Location"]
    function = document.resources["Apif"]["Properties"]["CodeS3Location"]
    assert code.path_of_uri(schema) == "./schema.graphql"
    assert code.path_of_uri(function) == "./f.js"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SAM + "Resources: {Site: {Type: AWS::Serverless::Api}}", "Site: AWS::Serverless::Api"),
        (SAM + "Resources: {F: {Type: AWS::Serverless::Function, Properties: {Oops: 1, CodeUri: .}}}", "[F]"),
        ("Transform: AWS::Include\nResources: {A: {Type: X}}", "the transform 'AWS::Include' does not run here"),
    ],
)
def test_refusals_name_the_resource(text: str, says: str) -> None:
    with pytest.raises(TemplateError) as refused:
        transform_sam(parse_template(text), {}, "us-east-1")

    assert says in str(refused.value)
