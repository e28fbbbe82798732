"""Verdicts on functions and their event sources."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from headwater.template.tables.type_table import TypeTable, required, table


def _runtime_is_known(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    runtime = str(properties.get("Runtime", ""))
    if properties.get("PackageType") == "Image":
        yield "PackageType", "'Image': container images do not run here; give CodeUri and Handler"
    elif not runtime.startswith(("python3.", "nodejs")):
        yield "Runtime", f"{runtime!r}: functions run on python3.x here, and on nodejs*.x where `node` is installed"


def _source_is_known(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    arn = str(properties.get("EventSourceArn", ""))
    if arn.split(":")[2:3] not in (["kinesis"], ["dynamodb"], ["sqs"]):
        yield "EventSourceArn", f"{arn!r}: event sources here are Kinesis, DynamoDB Streams and SQS"


def _principal_is_known(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if properties.get("Action") not in ("lambda:InvokeFunction", "lambda:InvokeFunctionUrl"):
        yield "Action", f"{properties.get('Action')!r}: a permission here allows lambda:InvokeFunction"


def _calls_are_shared_by_two(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Source: Lambda API Reference, AliasRoutingConfiguration; CloudFormation has a list for the API's map."""
    path = "RoutingConfig.AdditionalVersionWeights"
    routing = properties.get("RoutingConfig") or {}
    entries = routing.get("AdditionalVersionWeights") if isinstance(routing, Mapping) else routing
    if not entries:
        return
    if not isinstance(entries, list) or len(entries) > 1 or not isinstance(entries[0], Mapping):
        yield path, f"{entries!r}: expected a list of one FunctionVersion with its FunctionWeight"
        return
    number, weight = str(entries[0].get("FunctionVersion", "")), str(entries[0].get("FunctionWeight"))
    version = str(properties.get("FunctionVersion", "1"))
    if not number.isdecimal() or not version.isdecimal():
        yield path, f"{version} and {number or 'nothing'}: an alias shares its calls between two numbered versions"
    elif number == version:
        yield path, f"version {number} is the alias's own"
    if not re.fullmatch(r"0(\.\d+)?|1(\.0+)?", weight):
        yield path, f"the FunctionWeight {weight} is not from 0 to 1"


COMPUTE: dict[str, TypeTable] = {
    "AWS::Lambda::Function": table(
        live="""FunctionName Handler Runtime Role Code Environment Timeout MemorySize Layers PackageType
            ReservedConcurrentExecutions DeadLetterConfig Description LoggingConfig""",
        deploy_only="""Tags TracingConfig Architectures EphemeralStorage KmsKeyArn SnapStart RuntimeManagementConfig
            RecursiveLoop CodeSigningConfigArn""",
        refused={
            "VpcConfig": "functions run on this machine's network; move it behind a Condition",
            "FileSystemConfigs": "EFS does not run here",
            "ImageConfig": "container images do not run here",
        },
        checks=(_runtime_is_known,),
    ),
    "AWS::Lambda::EventSourceMapping": table(
        live="""FunctionName EventSourceArn BatchSize MaximumBatchingWindowInSeconds ParallelizationFactor
            StartingPosition StartingPositionTimestamp BisectBatchOnFunctionError MaximumRetryAttempts
            MaximumRecordAgeInSeconds FunctionResponseTypes TumblingWindowInSeconds
            DestinationConfig.OnFailure.Destination FilterCriteria Enabled ScalingConfig""",
        deploy_only="Tags MetricsConfig KmsKeyArn",
        refused={
            "LoggingConfig": "AWS takes it for Kafka only",
            "Topics": "Kafka does not run here",
            "Queues": "Amazon MQ does not run here",
            "SelfManagedEventSource": "Kafka does not run here",
            "SourceAccessConfigurations": "Kafka and Amazon MQ do not run here",
            "AmazonManagedKafkaEventSourceConfig": "Kafka does not run here",
            "DocumentDBEventSourceConfig": "DocumentDB does not run here",
            "ProvisionedPollerConfig": "Kafka does not run here",
        },
        checks=(required("FunctionName"), _source_is_known),
    ),
    "AWS::Lambda::EventInvokeConfig": table(
        live="FunctionName Qualifier MaximumRetryAttempts MaximumEventAgeInSeconds DestinationConfig",
        checks=(required("FunctionName"),),
    ),
    "AWS::Lambda::Permission": table(
        live="Action FunctionName Principal SourceArn SourceAccount EventSourceToken PrincipalOrgID",
        checks=(_principal_is_known,),
    ),
    "AWS::Lambda::Version": table(
        live="FunctionName Description", deploy_only="ProvisionedConcurrencyConfig CodeSha256"
    ),
    "AWS::Lambda::Alias": table(
        live="FunctionName FunctionVersion Name Description RoutingConfig.AdditionalVersionWeights",
        deploy_only="ProvisionedConcurrencyConfig",
        checks=(_calls_are_shared_by_two,),
    ),
    "AWS::Lambda::LayerVersion": table(
        live="LayerName Content Description CompatibleRuntimes",
        deploy_only="CompatibleArchitectures LicenseInfo",
    ),
    "AWS::Lambda::LayerVersionPermission": TypeTable(verdict="deploy-only"),
}
