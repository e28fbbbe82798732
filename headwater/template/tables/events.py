"""Verdicts on event buses, rules, schedules and topics."""

from collections.abc import Iterable, Mapping
from typing import Any

from headwater.template.tables.type_table import TypeTable, one_of, required, table

_NO_SERVICE = "this target does not run here; functions, queues, streams, topics, event buses and GraphQL APIs do"
_TARGET_REFUSED = (
    "EcsParameters",
    "BatchParameters",
    "HttpParameters",
    "RedshiftDataParameters",
    "RunCommandParameters",
    "SageMakerPipelineParameters",
)


def _fires(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if "EventPattern" not in properties and "ScheduleExpression" not in properties:
        yield "EventPattern", "missing: a rule has an EventPattern or a ScheduleExpression"


EVENTS: dict[str, TypeTable] = {
    "AWS::Events::Rule": table(
        live="""Name EventBusName EventPattern ScheduleExpression State Description RoleArn Targets.Id Targets.Arn
            Targets.Input Targets.InputPath Targets.InputTransformer Targets.RoleArn Targets.DeadLetterConfig
            Targets.SqsParameters Targets.KinesisParameters Targets.RetryPolicy
            Targets.AppSyncParameters.GraphQLOperation""",
        deploy_only="Tags",
        refused={f"Targets.{name}": _NO_SERVICE for name in _TARGET_REFUSED},
        checks=(_fires,),
    ),
    "AWS::Events::EventBus": table(
        live="Name",
        deploy_only="Tags Description KmsKeyIdentifier LogConfig Policy",
        refused={
            "EventSourceName": "partner event buses do not run here",
            "DeadLetterConfig": "give the targets of the rules a DeadLetterConfig",
        },
        checks=(required("Name"),),
    ),
    "AWS::Events::EventBusPolicy": TypeTable(verdict="deploy-only"),
    "AWS::Events::Archive": TypeTable(verdict="refused", why="events are not archived here; add a rule with a queue"),
    "AWS::Events::ApiDestination": TypeTable(verdict="refused", why=_NO_SERVICE),
    "AWS::Events::Connection": TypeTable(verdict="refused", why=_NO_SERVICE),
    "AWS::Scheduler::Schedule": table(
        live="""Name GroupName ScheduleExpression ScheduleExpressionTimezone StartDate EndDate State Description
            FlexibleTimeWindow Target.Arn Target.RoleArn Target.Input Target.SqsParameters Target.KinesisParameters
            Target.EventBridgeParameters Target.DeadLetterConfig Target.RetryPolicy""",
        deploy_only="KmsKeyArn",
        refused={
            "Target.EcsParameters": _NO_SERVICE,
            "Target.SageMakerPipelineParameters": _NO_SERVICE,
        },
        checks=(required("ScheduleExpression", "FlexibleTimeWindow", "Target"),),
    ),
    "AWS::SNS::Topic": table(
        live="TopicName DisplayName Subscription.Protocol Subscription.Endpoint",
        deploy_only="Tags KmsMasterKeyId TracingConfig SignatureVersion DeliveryStatusLogging",
        refused={
            "FifoTopic": "FIFO topics do not run here; send to a FIFO queue",
            "ContentBasedDeduplication": "FIFO topics do not run here; send to a FIFO queue",
            "ArchivePolicy": "FIFO topics do not run here; send to a FIFO queue",
            "DataProtectionPolicy": "messages are not inspected here",
        },
    ),
    "AWS::SNS::Subscription": table(
        live="TopicArn Protocol Endpoint RawMessageDelivery FilterPolicy FilterPolicyScope RedrivePolicy Region",
        deploy_only="DeliveryPolicy",
        refused={"SubscriptionRoleArn": "Firehose does not run here"},
        checks=(
            required("TopicArn", "Protocol", "Endpoint"),
            one_of("Protocol", ("sqs", "lambda"), "queues (sqs) and functions (lambda) can subscribe here"),
        ),
    ),
    "AWS::Scheduler::ScheduleGroup": table(live="Name", deploy_only="Tags"),
}
