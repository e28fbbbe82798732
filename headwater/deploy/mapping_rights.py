"""What an event source mapping needs of its function's role: AWS refuses a mapping whose role may not read.

Source: Lambda Developer Guide, "Execution role permissions" of Kinesis, DynamoDB Streams, SQS and of destinations.
"""

from headwater.deploy.deployment import Deployment
from headwater.values.aws import service_of
from headwater.values.identity import AwsPrincipal

_READ = {
    "kinesis": ("kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:DescribeStream"),
    "dynamodb": ("dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:DescribeStream"),
    "sqs": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
}
_DELIVER = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "s3": "s3:PutObject"}


def warn_without_rights(
    deployment: Deployment, logical_id: str, role_arn: str, source_arn: str, destination_arn: str | None
) -> None:
    """Warn about what the role of a mapping's function does not grant; a role of no template may do everything."""
    role = role_arn.rsplit("/", 1)[-1]
    if not deployment.roles.has_role(role):
        return
    principal = AwsPrincipal("", deployment.roles.account_id, role)
    missing = [
        f"{action} on {arn}" for action, arn in _needed(source_arn) if not _may(deployment, principal, action, arn)
    ]
    if missing:
        deployment.warnings.append(
            f"AWS would refuse the mapping {logical_id}: the role {role} does not grant {', '.join(missing)}"
        )
    if destination_arn is not None:
        action = _DELIVER.get(service_of(destination_arn), "")
        target = f"{destination_arn.rstrip('/')}/*" if action == "s3:PutObject" else destination_arn
        if action and not _may(deployment, principal, action, target):
            deployment.warnings.append(
                f"on AWS nothing the mapping {logical_id} gives up on would reach its destination: the role {role} "
                f"does not grant {action} on {target}"
            )


def _needed(source_arn: str) -> list[tuple[str, str]]:
    stream_arn, is_consumer, _ = source_arn.partition("/consumer/")
    needed = [(action, stream_arn) for action in _READ.get(service_of(source_arn), ())]
    return [*needed, ("kinesis:SubscribeToShard", source_arn)] if is_consumer else needed


def _may(deployment: Deployment, principal: AwsPrincipal, action: str, arn: str) -> bool:
    # Counts as a use, so that the report of unused rights leaves these out.
    return deployment.roles.is_allowed(principal, action, arn)
