"""Every resource type and property has exactly one verdict."""

from typing import Any

import pytest

from headwater.template import judge
from headwater.template.tables import TYPE_TABLES


def verdicts(kind: str, properties: dict[str, Any]) -> dict[str, str]:
    return {
        finding.path: finding.verdict for finding in judge("R", {"Type": kind, "Properties": properties}, properties)
    }


def test_properties_are_live_deploy_only_or_refused() -> None:
    found = verdicts(
        "AWS::DynamoDB::Table",
        {"KeySchema": [], "AttributeDefinitions": [], "Tags": [], "KinesisStreamSpecification": {}, "Colour": "red"},
    )

    assert found == {
        "": "live",
        "KeySchema": "live",
        "AttributeDefinitions": "live",
        "Tags": "deploy-only",
        "KinesisStreamSpecification": "refused",
        "Colour": "refused",
    }


def test_nested_properties_have_verdicts_of_their_own() -> None:
    found = verdicts(
        "AWS::IoT::TopicRule",
        {
            "TopicRulePayload": {
                "Sql": "SELECT *",
                "Actions": [{"Kinesis": {}}, {"Firehose": {}}, {"CloudwatchLogs": {}}],
            }
        },
    )

    assert found["TopicRulePayload.Actions.Kinesis"] == "live"
    assert found["TopicRulePayload.Actions.Firehose"] == "refused"
    assert found["TopicRulePayload.Actions.CloudwatchLogs"] == "live"


def test_a_type_in_no_table_is_refused() -> None:
    assert verdicts("AWS::EC2::Instance", {}) == {"": "refused"}
    assert verdicts("Custom::Thing", {}) == {"": "refused"}


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ([{"FunctionVersion": "1", "FunctionWeight": "0.5"}], None),
        ([], None),
        ([{"FunctionVersion": "2", "FunctionWeight": 0.5}], "the alias's own"),
        ([{"FunctionVersion": "$LATEST", "FunctionWeight": 0.5}], "two numbered versions"),
        ([{"FunctionVersion": "1", "FunctionWeight": 1.5}], "not from 0 to 1"),
        ([{"FunctionVersion": "1"}], "not from 0 to 1"),
        ([{"FunctionWeight": 0.1}], "two numbered versions"),
        ([{"FunctionVersion": "1", "FunctionWeight": 0.1}, {"FunctionVersion": "3", "FunctionWeight": 0.1}], "one"),
        ({"1": 0.5}, "expected a list"),
        (["1"], "expected a list"),
    ],
)
def test_alias_shares_its_calls_between_two_numbered_versions(weights: Any, reason: str | None) -> None:
    properties = {
        "FunctionName": "f",
        "Name": "live",
        "FunctionVersion": "2",
        "RoutingConfig": {"AdditionalVersionWeights": weights},
    }

    found = judge("R", {"Type": "AWS::Lambda::Alias", "Properties": properties}, properties)

    refused = " ".join(finding.why for finding in found if finding.verdict == "refused")
    assert refused == "" if reason is None else reason in refused


@pytest.mark.parametrize(
    ("kind", "properties", "path"),
    [
        ("AWS::Lambda::Function", {"Runtime": "java21"}, "Runtime"),
        ("AWS::Lambda::Function", {"PackageType": "Image"}, "PackageType"),
        ("AWS::AppSync::DataSource", {"ApiId": "a", "Name": "n", "Type": "AMAZON_OPENSEARCH_SERVICE"}, "Type"),
        ("AWS::AppSync::Resolver", {"ApiId": "a", "TypeName": "Q", "FieldName": "f", "Code": ""}, "Runtime"),
        (
            "AWS::Lambda::EventSourceMapping",
            {"FunctionName": "f", "EventSourceArn": "arn:aws:kafka:x"},
            "EventSourceArn",
        ),
        ("AWS::IoT::TopicRule", {"TopicRulePayload": {"Actions": [{"Sqs": {}}] * 11}}, "TopicRulePayload.Actions"),
        ("AWS::AppSync::GraphQLSchema", {}, "ApiId"),
        ("AWS::AppSync::GraphQLApi", {"ApiType": "MERGED"}, "ApiType"),
        ("AWS::AppSync::GraphQLApi", {"Visibility": "SECRET"}, "Visibility"),
        ("AWS::AppSync::GraphQLApi", {"IntrospectionConfig": "OFF"}, "IntrospectionConfig"),
        ("AWS::AppSync::GraphQLApi", {"QueryDepthLimit": 76}, "QueryDepthLimit"),
        ("AWS::AppSync::GraphQLApi", {"QueryDepthLimit": "-1"}, "QueryDepthLimit"),
        ("AWS::AppSync::GraphQLApi", {"ResolverCountLimit": True}, "ResolverCountLimit"),
        ("AWS::AppSync::GraphQLApi", {"LogConfig": {"FieldLogLevel": "LOUD"}}, "LogConfig.FieldLogLevel"),
        ("AWS::AppSync::DataSource", {"DynamoDBConfig": {"Versioned": "true"}}, "DynamoDBConfig.Versioned"),
        ("AWS::AppSync::Resolver", {"Runtime": {"RuntimeVersion": "2.0.0"}}, "Runtime.RuntimeVersion"),
        ("AWS::AppSync::Resolver", {"MaxBatchSize": 2001}, "MaxBatchSize"),
        ("AWS::AppSync::Resolver", {"CachingConfig": {"Ttl": 0}}, "CachingConfig.Ttl"),
        ("AWS::AppSync::ApiCache", {"Ttl": "abc"}, "Ttl"),
        ("AWS::AppSync::ApiKey", {"Expires": "tomorrow"}, "Expires"),
        ("AWS::AppSync::GraphQLApi", {"AuthenticationType": "NONE"}, "AuthenticationType"),
        ("AWS::AppSync::GraphQLApi", {"AuthenticationType": "AWS_LAMBDA"}, "AuthenticationType"),
        (
            "AWS::AppSync::GraphQLApi",
            {
                "AuthenticationType": "API_KEY",
                "AdditionalAuthenticationProviders": [{"AuthenticationType": "API_KEY"}],
            },
            "AdditionalAuthenticationProviders",
        ),
        (
            "AWS::AppSync::GraphQLApi",
            {"AuthenticationType": "API_KEY", "AdditionalAuthenticationProviders": "AWS_IAM"},
            "AdditionalAuthenticationProviders",
        ),
        (
            "AWS::AppSync::GraphQLApi",
            {
                "AuthenticationType": "AMAZON_COGNITO_USER_POOLS",
                "UserPoolConfig": {"DefaultAction": "DENY"},
                "AdditionalAuthenticationProviders": [{"AuthenticationType": "AWS_IAM"}],
            },
            "UserPoolConfig",
        ),
    ],
)
def test_values_that_do_not_work_are_refused(kind: str, properties: dict[str, Any], path: str) -> None:
    findings = judge("R", {"Type": kind, "Properties": properties}, properties)

    refused = {finding.path: finding.why for finding in findings if finding.verdict == "refused"}
    assert path in refused
    assert refused[path]


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        (
            "AWS::AppSync::GraphQLApi",
            {"Name": "a", "AuthenticationType": "API_KEY", "ApiType": "GRAPHQL", "Visibility": "GLOBAL"},
        ),
        (
            "AWS::AppSync::GraphQLApi",
            {"Name": "a", "AuthenticationType": "API_KEY", "QueryDepthLimit": "75", "ResolverCountLimit": 0},
        ),
        (
            "AWS::AppSync::DataSource",
            {"ApiId": "a", "Name": "n", "Type": "AMAZON_DYNAMODB", "DynamoDBConfig": {"Versioned": False}},
        ),
    ],
)
def test_defaults_that_generators_write_out_are_live(kind: str, properties: dict[str, Any]) -> None:
    findings = judge("R", {"Type": kind, "Properties": properties}, properties)

    assert {finding.verdict for finding in findings} == {"live"}


@pytest.mark.parametrize("kind", sorted(TYPE_TABLES))
def test_no_property_has_two_verdicts(kind: str) -> None:
    table = TYPE_TABLES[kind]

    groups = [set(table.live), set(table.deploy_only), set(table.refused)]

    assert sum(map(len, groups)) == len(set().union(*groups))
