"""What a caller is told whom its policies do not let do something, worded as the service words it.

Source: IAM User Guide, "Troubleshoot access denied error messages"; how SQS, SNS and S3 differ from it is what their
users have published (aws/serverless-application-model#3633, terraform-aws-control_tower_account_factory#151,
noobaa-core#10060).
"""

from headwater.errors import ServiceError
from headwater.values.aws import principal_arn
from headwater.values.identity import AwsPrincipal


def denial(principal: AwsPrincipal, action: str, resource: str, *, is_explicit: bool) -> ServiceError:
    """The error; `is_explicit` where a Deny statement refuses, and not just nothing allows."""
    service, _, operation = action.partition(":")
    if service == "sqs":
        action = action.lower()
    elif service == "sns":
        action = f"SNS:{operation}"
    shown = f'"{resource}"' if service == "s3" else resource
    why = (
        "with an explicit deny in an identity-based policy"
        if is_explicit
        else f"because no identity-based policy allows the {action} action"
    )
    who = principal_arn(principal)
    return ServiceError(
        "AccessDeniedException", f"User: {who} is not authorized to perform: {action} on resource: {shown} {why}"
    )
