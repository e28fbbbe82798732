"""Which actions on which resources a request needs: nothing is free because a table does not know it."""

import pytest

from headwater.server.aws.permissions import Account, Permission, permissions_of, rest_permissions_of

ACCOUNT = Account("us-east-1", "1")


def test_a_service_without_a_table_is_not_open_to_every_role() -> None:
    assert rest_permissions_of("polly", "GET", "/v1/voices", ACCOUNT) == [Permission("polly:GET", ("*",))]
    assert permissions_of("AmazonSSM", "GetParameter", {}, ACCOUNT) == [Permission("ssm:GetParameter", ("*",))]


def test_every_name_a_request_gives_must_be_allowed() -> None:
    sqs = permissions_of("AmazonSQS", "SendMessage", {"QueueName": "mine", "QueueUrl": "http://x/1/theirs"}, ACCOUNT)
    kinesis = permissions_of(
        "Kinesis_20131202",
        "PutRecord",
        {"StreamName": "theirs", "ResourceARN": "arn:aws:kinesis:us-east-1:1:stream/mine"},
        ACCOUNT,
    )

    assert sqs[0].resources == ("arn:aws:sqs:us-east-1:1:mine", "arn:aws:sqs:us-east-1:1:theirs")
    assert kinesis[0].resources == (
        "arn:aws:kinesis:us-east-1:1:stream/mine",
        "arn:aws:kinesis:us-east-1:1:stream/theirs",
    )


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "functions/F/invocations", "lambda:InvokeFunction"),
        ("GET", "functions/F", "lambda:GetFunction"),
        ("DELETE", "functions/F", "lambda:DeleteFunction"),
        ("PUT", "functions/F/code", "lambda:UpdateFunctionCode"),
        ("PUT", "functions/F/configuration", "lambda:UpdateFunctionConfiguration"),
        ("POST", "functions", "lambda:CreateFunction"),
        ("POST", "event-source-mappings", "lambda:CreateEventSourceMapping"),
        ("DELETE", "event-source-mappings/u", "lambda:DeleteEventSourceMapping"),
        ("POST", "functions/F/versions", "lambda:PublishVersion"),
        ("POST", "functions/F/aliases", "lambda:CreateAlias"),
        ("PUT", "functions/F/aliases/A", "lambda:UpdateAlias"),
        ("GET", "functions/F/event-invoke-config/list", "lambda:ListFunctionEventInvokeConfigs"),
        ("DELETE", "functions/F/policy/S", "lambda:RemovePermission"),
        ("POST", "tags/arn%3Aaws%3Alambda", "lambda:TagResource"),
        ("POST", "layers/L/versions", "lambda:PublishLayerVersion"),
        ("GET", "account-settings", "lambda:GetAccountSettings"),
    ],
)
def test_lambda_calls_need_their_own_action(method: str, path: str, action: str) -> None:
    assert [one.action for one in rest_permissions_of("lambda", method, f"/2015-03-31/{path}", ACCOUNT)] == [action]


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("F", "function:F"),
        ("F:live", "function:F:live"),
        ("123456789012:F", "function:F"),
        ("123456789012:function:F", "function:F"),
        ("secret:Allowed", "function:secret:Allowed"),
    ],
)
def test_a_functions_qualifier_is_no_name(name: str, resource: str) -> None:
    (needed,) = rest_permissions_of("lambda", "POST", f"/2015-03-31/functions/{name}/invocations", ACCOUNT)

    assert needed.resources == (f"arn:aws:lambda:us-east-1:1:{resource}",)
