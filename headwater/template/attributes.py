"""What `Ref` and `Fn::GetAtt` give for each resource type: names, ARNs and local URLs, known before anything runs."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import TemplateError


@dataclass(frozen=True, slots=True)
class StackEnvironment:
    """Where a stack lives.

    `endpoint_url` is the AWS endpoint; `first_api` the logical id whose GraphQL URL has the contract's path;
    `secret` seeds API keys, so that they are stable in one data directory and unguessable elsewhere;
    `api_key` replaces the key of the API key resource `first_api_key`; `stream_labels` are those of the tables'
    streams by table name, `consumer_arns` those of stream consumers by logical id, known once those exist.
    """

    region: str = "us-east-1"
    account_id: str = "123456789012"
    stack_name: str = "headwater"
    endpoint_url: str = "http://127.0.0.1:8080"
    iot_endpoint: str = "localhost"
    first_api: str = ""
    first_api_key: str = ""
    api_key: str = ""
    secret: str = ""
    stream_labels: Mapping[str, str] = field(default_factory=dict)
    consumer_arns: Mapping[str, str] = field(default_factory=dict)

    def pseudo_parameters(self) -> dict[str, Any]:
        return {
            "AWS::AccountId": self.account_id,
            "AWS::Region": self.region,
            "AWS::StackName": self.stack_name,
            "AWS::StackId": f"arn:aws:cloudformation:{self.region}:{self.account_id}:stack/{self.stack_name}/local",
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NotificationARNs": [],
        }

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"

    def api_path(self, logical_id: str) -> str:
        """The path of an API: the contract's for the first one, one of its own for further ones."""
        return "/graphql" if logical_id == self.first_api else f"/apis/{logical_id}/graphql"

    def api_url(self, logical_id: str) -> str:
        """The GraphQL URL of an API."""
        return self.endpoint_url + self.api_path(logical_id)


@dataclass(frozen=True, slots=True)
class Named:
    """One resource as its attribute functions see it."""

    logical_id: str
    physical_id: str
    names: Callable[[], dict[str, Any]]
    environment: StackEnvironment

    def arn(self, service: str, prefix: str = "") -> str:
        return self.environment.arn(service, f"{prefix}{self.physical_id}")

    def stable(self, length: int, salt: str = "") -> str:
        """Lower-case letters and digits that stay the same for this logical id."""
        return stable_id(f"{self.environment.stack_name}/{self.logical_id}/{salt}", length)


def stable_id(seed: str, length: int) -> str:
    """A name in [a-z2-7] derived from a seed."""
    return base64.b32encode(hashlib.sha512(seed.encode()).digest()).decode().lower()[:length]


Attribute = Callable[[Named], Any]


def _api_arn(named: Named) -> str:
    return named.environment.arn("appsync", f"apis/{named.physical_id}")


def _of_api(suffix: Callable[[Named], str]) -> Attribute:
    return lambda named: named.environment.arn("appsync", f"apis/{named.names()['ApiId']}/{suffix(named)}")


def _queue_url(named: Named) -> str:
    return f"{named.environment.endpoint_url}/{named.environment.account_id}/{named.physical_id}"


def _table_stream(named: Named) -> str:
    label = named.environment.stream_labels.get(named.physical_id, "unknown")
    return named.environment.arn("dynamodb", f"table/{named.physical_id}/stream/{label}")


def _consumer_arn(named: Named) -> str:
    made = named.environment.consumer_arns.get(named.logical_id)
    return made or f"{named.names().get('StreamARN', '')}/consumer/{named.physical_id}:unknown"


def _pool_provider(named: Named) -> str:
    return f"cognito-idp.{named.environment.region}.amazonaws.com/{named.physical_id}"


def _iam_arn(kind: str) -> Attribute:
    return lambda named: f"arn:aws:iam::{named.environment.account_id}:{kind}/{named.physical_id}"


def _realtime_url(named: Named) -> str:
    return named.environment.api_url(named.logical_id).replace("http", "ws", 1) + "/realtime"


def _physical(named: Named) -> str:
    return named.physical_id


# The attribute "" is what Ref gives; a type without it gives its physical id.
ATTRIBUTES: dict[str, dict[str, Attribute]] = {
    "AWS::DynamoDB::Table": {"Arn": lambda n: n.arn("dynamodb", "table/"), "StreamArn": _table_stream},
    "AWS::Kinesis::Stream": {"Arn": lambda n: n.arn("kinesis", "stream/")},
    "AWS::Kinesis::StreamConsumer": {
        "": _consumer_arn,
        "ConsumerARN": _consumer_arn,
        "ConsumerName": _physical,
    },
    "AWS::SQS::Queue": {
        "": _queue_url,
        "Arn": lambda n: n.arn("sqs"),
        "QueueName": _physical,
        "QueueUrl": _queue_url,
    },
    "AWS::SNS::Topic": {
        "": lambda n: n.arn("sns"),
        "TopicArn": lambda n: n.arn("sns"),
        "TopicName": _physical,
    },
    "AWS::S3::Bucket": {
        "Arn": lambda n: f"arn:aws:s3:::{n.physical_id}",
        "DomainName": lambda n: f"{n.physical_id}.s3.amazonaws.com",
        "RegionalDomainName": lambda n: f"{n.physical_id}.s3.{n.environment.region}.amazonaws.com",
    },
    "AWS::Lambda::Function": {"Arn": lambda n: n.arn("lambda", "function:")},
    "AWS::Lambda::Alias": {
        "": lambda n: n.environment.arn("lambda", f"function:{n.names()['FunctionName']}:{n.names()['Name']}"),
        "AliasArn": lambda n: n.environment.arn("lambda", f"function:{n.names()['FunctionName']}:{n.names()['Name']}"),
    },
    "AWS::Lambda::Version": {
        "": lambda n: n.environment.arn("lambda", f"function:{n.names()['FunctionName']}:1"),
        "FunctionArn": lambda n: n.environment.arn("lambda", f"function:{n.names()['FunctionName']}:1"),
        "Version": lambda n: "1",
    },
    "AWS::Lambda::LayerVersion": {"": lambda n: n.environment.arn("lambda", f"layer:{n.physical_id}:1")},
    "AWS::Lambda::EventSourceMapping": {
        "": lambda n: event_source_mapping_id(n),
        "Id": lambda n: event_source_mapping_id(n),
        "EventSourceMappingArn": lambda n: n.environment.arn(
            "lambda", f"event-source-mapping:{event_source_mapping_id(n)}"
        ),
    },
    "AWS::IAM::Role": {"Arn": _iam_arn("role"), "RoleId": lambda n: "AROA" + n.stable(17).upper()},
    "AWS::IAM::ManagedPolicy": {"": _iam_arn("policy"), "PolicyArn": _iam_arn("policy")},
    "AWS::IAM::Policy": {"Id": _physical},
    "AWS::AppSync::GraphQLApi": {
        "": _api_arn,
        "Arn": _api_arn,
        "ApiId": _physical,
        "GraphQLUrl": lambda n: n.environment.api_url(n.logical_id),
        "RealtimeUrl": _realtime_url,
        "GraphQLDns": lambda n: n.environment.endpoint_url.split("://", 1)[1],
        "RealtimeDns": lambda n: n.environment.endpoint_url.split("://", 1)[1],
        "GraphQLEndpointArn": lambda n: n.environment.arn("appsync", f"endpoints/graphql-api/{n.physical_id}"),
    },
    "AWS::AppSync::GraphQLSchema": {"": lambda n: f"{n.names()['ApiId']}GraphQLSchema", "Id": _physical},
    "AWS::AppSync::ApiKey": {
        "": lambda n: _api_key_arn(n),
        "Arn": lambda n: _api_key_arn(n),
        "ApiKey": lambda n: _api_key(n),
        "ApiKeyId": lambda n: _api_key(n),
    },
    "AWS::AppSync::DataSource": {
        "": _of_api(lambda n: f"datasources/{n.names().get('Name', n.physical_id)}"),
        "DataSourceArn": _of_api(lambda n: f"datasources/{n.names().get('Name', n.physical_id)}"),
        "Name": lambda n: n.names().get("Name", n.physical_id),
    },
    "AWS::AppSync::FunctionConfiguration": {
        "": _of_api(lambda n: f"functions/{function_id(n)}"),
        "FunctionArn": _of_api(lambda n: f"functions/{function_id(n)}"),
        "FunctionId": lambda n: function_id(n),
        "Name": lambda n: n.names().get("Name", n.physical_id),
        "DataSourceName": lambda n: n.names().get("DataSourceName", ""),
    },
    "AWS::AppSync::Resolver": {
        "": _of_api(lambda n: f"types/{n.names()['TypeName']}/resolvers/{n.names()['FieldName']}"),
        "ResolverArn": _of_api(lambda n: f"types/{n.names()['TypeName']}/resolvers/{n.names()['FieldName']}"),
        "TypeName": lambda n: n.names()["TypeName"],
        "FieldName": lambda n: n.names()["FieldName"],
    },
    "AWS::IoT::TopicRule": {"Arn": lambda n: n.arn("iot", "rule/")},
    "AWS::IoT::Policy": {"Arn": lambda n: n.arn("iot", "policy/"), "Id": _physical},
    "AWS::IoT::Thing": {"Arn": lambda n: n.arn("iot", "thing/"), "Id": lambda n: n.stable(32)},
    "AWS::IoT::ThingType": {"Arn": lambda n: n.arn("iot", "thingtype/"), "Id": lambda n: n.stable(32)},
    "AWS::IoT::Authorizer": {"Arn": lambda n: n.arn("iot", "authorizer/")},
    "AWS::IoT::DomainConfiguration": {
        "Arn": lambda n: n.arn("iot", "domainconfiguration/") + "/local",
        "DomainType": lambda n: "CUSTOMER_MANAGED" if n.names().get("DomainName") else "AWS_MANAGED",
    },
    "AWS::IoT::ProvisioningTemplate": {"TemplateArn": lambda n: n.arn("iot", "provisioningtemplate/")},
    "AWS::IoT::ThingGroup": {"Arn": lambda n: n.arn("iot", "thinggroup/"), "Id": lambda n: n.stable(32)},
    "AWS::Cognito::UserPool": {
        "Arn": lambda n: n.arn("cognito-idp", "userpool/"),
        "ProviderName": _pool_provider,
        "ProviderURL": lambda n: f"https://{_pool_provider(n)}",
        "UserPoolId": _physical,
    },
    "AWS::Cognito::UserPoolClient": {"ClientId": _physical, "Name": _physical},
    "AWS::Events::Rule": {"Arn": lambda n: _rule_arn(n)},
    "AWS::Events::EventBus": {"Arn": lambda n: n.arn("events", "event-bus/"), "Name": _physical},
    "AWS::Scheduler::Schedule": {"Arn": lambda n: n.arn("scheduler", "schedule/default/")},
    "AWS::Scheduler::ScheduleGroup": {"Arn": lambda n: n.arn("scheduler", "schedule-group/")},
    "AWS::Logs::LogGroup": {"Arn": lambda n: n.arn("logs", "log-group:") + ":*"},
    "AWS::SSM::Parameter": {"Type": lambda n: "String", "Value": lambda n: n.names().get("Value", "")},
    "AWS::KMS::Key": {"Arn": lambda n: n.arn("kms", "key/"), "KeyId": _physical},
    "AWS::CloudWatch::Alarm": {"Arn": lambda n: n.arn("cloudwatch", "alarm:")},
    "AWS::WAFv2::WebACL": {"Arn": lambda n: n.arn("wafv2", "regional/webacl/")},
}

# The property that names a resource, where the template chose the name.
_NAME_PROPERTIES = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Kinesis::Stream": "Name",
    "AWS::Kinesis::StreamConsumer": "ConsumerName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": "PolicyName",
    "AWS::IoT::TopicRule": "RuleName",
    "AWS::IoT::Policy": "PolicyName",
    "AWS::IoT::Thing": "ThingName",
    "AWS::IoT::ThingType": "ThingTypeName",
    "AWS::IoT::ThingGroup": "ThingGroupName",
    "AWS::IoT::ProvisioningTemplate": "TemplateName",
    "AWS::IoT::Authorizer": "AuthorizerName",
    "AWS::IoT::DomainConfiguration": "DomainConfigurationName",
    "AWS::Events::Rule": "Name",
    "AWS::Events::EventBus": "Name",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::Scheduler::ScheduleGroup": "Name",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SSM::Parameter": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
}


def physical_id(kind: str, logical_id: str, names: dict[str, Any], environment: StackEnvironment) -> str:
    """The physical name: the one given, or one made of stack and logical id, the same at every start."""
    given = names.get(_NAME_PROPERTIES.get(kind, ""))
    if isinstance(given, str) and given:
        return given
    seed = f"{environment.stack_name}/{logical_id}"
    if kind == "AWS::AppSync::GraphQLApi":
        return stable_id(seed, 26)
    if kind == "AWS::Cognito::UserPool":
        return f"{environment.region}_{stable_id(seed, 9)}"
    if kind == "AWS::Cognito::UserPoolClient":
        return stable_id(seed, 26)
    if kind == "AWS::IoT::TopicRule":
        return f"{environment.stack_name}_{logical_id}".replace("-", "_")
    if kind == "AWS::S3::Bucket":
        return f"{environment.stack_name}-{logical_id}".lower()
    if kind == "AWS::SQS::Queue" and names.get("FifoQueue") in (True, "true"):
        return f"{environment.stack_name}-{logical_id}.fifo"
    return f"{environment.stack_name}-{logical_id}"


def attribute_of(
    kind: str,
    logical_id: str,
    attribute: str,
    physical: str,
    names: Callable[[], dict[str, Any]],
    environment: StackEnvironment,
) -> Any:
    """The value of `Fn::GetAtt`, or of `Ref` for the attribute ""."""
    table = ATTRIBUTES.get(kind, {})
    named = Named(logical_id, physical, names, environment)
    if attribute in table:
        return table[attribute](named)
    if attribute == "":
        return physical
    known = sorted(name for name in table if name)
    raise TemplateError(f"{logical_id}, a {kind}, has no attribute {attribute!r} here; it has {known or 'none'}")


def function_id(named: Named) -> str:
    """The id of a pipeline function, 26 characters as AppSync makes them."""
    return named.stable(26, "function")


def event_source_mapping_id(named: Named) -> str:
    """A UUID-shaped id that stays the same over restarts, since checkpoints are kept under it."""
    digest = hashlib.sha256(f"{named.environment.stack_name}/{named.logical_id}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


def _api_key(named: Named) -> str:
    environment = named.environment
    if environment.api_key and named.logical_id == environment.first_api_key:
        return environment.api_key
    return "da2-" + named.stable(26, environment.secret)


def _rule_arn(named: Named) -> str:
    bus = str(named.names().get("EventBusName") or "default").rsplit("/", 1)[-1]
    return named.arn("events", "rule/" if bus == "default" else f"rule/{bus}/")


def _api_key_arn(named: Named) -> str:
    return named.environment.arn("appsync", f"apis/{named.names()['ApiId']}/apikey/{_api_key(named)}")
