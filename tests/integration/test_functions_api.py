"""The Lambda API as boto3 sees it."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.lambda_stack import LambdaStack, deployment_package, lambda_stack, until

ARN = "arn:aws:lambda:us-east-1:123456789012:function:echo"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LambdaStack]:
    async with lambda_stack(tmp_path) as subject:
        subject.register("echo", "app.echo", folder="basics", aliases={"live": "1"}, versions=("1",))
        subject.register("fail", "app.fail", folder="basics")
        subject.register("fail_at_length", "app.fail_at_length", folder="basics")
        yield subject


async def refused(stack: LambdaStack, operation: str, **request: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as refusal:
        await stack.call(operation, **request)
    error = refusal.value.response
    return error["Error"]["Code"], error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    "name",
    ["echo", ARN, "123456789012:function:echo", "echo:live", f"{ARN}:$LATEST", f"{ARN}:1"],
)
async def test_invoke_takes_names_arns_and_qualifiers(stack: LambdaStack, name: str) -> None:
    answer = await stack.call("invoke", FunctionName=name, Payload=b'{"a":1}')

    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == ("1" if name.endswith((":live", ":1")) else "$LATEST")
    assert "FunctionError" not in answer
    assert json.load(answer["Payload"]) == {"a": 1}


async def test_invoke_shows_the_functions_error_and_log(stack: LambdaStack) -> None:
    answer = await stack.call("invoke", FunctionName="fail", LogType="Tail")

    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorType"] == "ValueError"
    assert "the value is wrong" in base64.b64decode(answer["LogResult"]).decode()


async def test_an_error_above_the_limit_of_a_response_is_cut(stack: LambdaStack) -> None:
    answer = await stack.call("invoke", FunctionName="fail_at_length")

    error = json.load(answer["Payload"])
    assert answer["FunctionError"] == "Unhandled"
    assert set(error) == {"errorType", "errorMessage"}
    assert error["errorType"] == "ValueError"
    assert error["errorMessage"] == "x" * 262_144


async def test_invoke_without_a_payload_gives_an_empty_event(stack: LambdaStack) -> None:
    answer = await stack.call("invoke", FunctionName="echo")

    assert json.load(answer["Payload"]) == {}


async def test_dry_run_runs_nothing(stack: LambdaStack) -> None:
    answer = await stack.call("invoke", FunctionName="fail", InvocationType="DryRun")

    assert answer["StatusCode"] == 204


async def test_every_answer_has_a_request_id_of_its_own(stack: LambdaStack) -> None:
    answers = [
        await stack.call("list_functions"),
        await stack.call("put_function_concurrency", FunctionName="echo", ReservedConcurrentExecutions=1),
        await stack.call("delete_function_concurrency", FunctionName="echo"),
        await stack.call("invoke", FunctionName="echo", InvocationType="DryRun"),
        await stack.call("invoke", FunctionName="echo", InvocationType="Event"),
        await stack.call("invoke", FunctionName="echo"),
    ]

    assert len({answer["ResponseMetadata"]["RequestId"] for answer in answers}) == len(answers)


async def test_event_invocation_is_retried_twice_and_ends_at_the_destination(stack: LambdaStack) -> None:
    await stack.call(
        "put_function_event_invoke_config",
        FunctionName="fail",
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:failed"}},
    )

    answer = await stack.call("invoke", FunctionName="fail", InvocationType="Event", Payload=b'{"b":2}')
    await until(lambda: stack.deliveries)

    document = json.loads(stack.deliveries[0].body)
    assert answer["StatusCode"] == 202
    assert stack.slept == [60.0, 120.0]
    assert document["requestContext"] == {
        "requestId": answer["ResponseMetadata"]["RequestId"],
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:fail:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    }
    assert document["requestPayload"] == {"b": 2}
    assert document["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert document["responsePayload"]["errorMessage"] == "the value is wrong"


@pytest.mark.parametrize(
    ("request_", "code", "text", "status"),
    [
        (
            {"FunctionName": "absent"},
            "ResourceNotFoundException",
            "Function not found: arn:aws:lambda:us-east-1:123456789012:function:absent:$LATEST",
            404,
        ),
        ({"FunctionName": "echo", "Qualifier": "9"}, "ResourceNotFoundException", "function:echo:9", 404),
        ({"FunctionName": "echo:live", "Qualifier": "1"}, "InvalidParameterValueException", "derived qualifier", 400),
        ({"FunctionName": "echo", "Qualifier": "no!"}, "ValidationException", "Value 'no!' at 'qualifier'", 400),
        ({"FunctionName": "echo", "Qualifier": "a" * 129}, "ValidationException", "less than or equal to 128", 400),
        ({"FunctionName": "echo", "Qualifier": "$latest"}, "ResourceNotFoundException", "function:echo:$latest", 404),
        ({"FunctionName": "e!", "Qualifier": "no!"}, "ValidationException", "2 validation errors detected: ", 400),
        ({"FunctionName": "echo:$LATES"}, "ValidationException", "'echo:$LATES' at 'functionName'", 400),
        ({"FunctionName": ARN.rsplit(":", 1)[0]}, "ResourceNotFoundException", "function:function:$LATEST", 404),
        (
            {"FunctionName": ARN.replace("us-east-1", "eu-west-1")},
            "ResourceNotFoundException",
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
            404,
        ),
        ({"FunctionName": "echo", "Payload": b"{no json"}, "InvalidRequestContentException", "Could not parse", 400),
        ({"FunctionName": "echo", "Payload": b'"' + b"x" * 6_300_000 + b'"'}, "RequestTooLargeException", "", 413),
    ],
)
async def test_invoke_refuses(stack: LambdaStack, request_: dict[str, Any], code: str, text: str, status: int) -> None:
    found = await refused(stack, "invoke", **request_)

    assert (found[0], found[2]) == (code, status)
    assert text in found[1]


async def test_reserved_concurrency_of_zero_throttles(stack: LambdaStack) -> None:
    await stack.call("put_function_concurrency", FunctionName="echo", ReservedConcurrentExecutions=0)

    code, _, status = await refused(stack, "invoke", FunctionName="echo")
    await stack.call("delete_function_concurrency", FunctionName="echo")
    again = await stack.call("invoke", FunctionName="echo")

    assert (code, status) == ("TooManyRequestsException", 429)
    assert again["StatusCode"] == 200


async def test_function_from_a_zip_lives_until_it_is_deleted(stack: LambdaStack) -> None:
    code = {"ZipFile": deployment_package({"app.py": "def run(event, context):\n    return 'first'\n"})}
    created = await stack.call(
        "create_function",
        FunctionName="made",
        Runtime="python3.12",
        Role="arn:aws:iam::123456789012:role/r",
        Handler="app.run",
        Code=code,
        Timeout=5,
        Environment={"Variables": {"A": "1"}},
    )
    first = json.load((await stack.call("invoke", FunctionName="made"))["Payload"])

    package = deployment_package({"app.py": "def run(event, context):\n    return 'second'\n"})
    updated = await stack.call("update_function_code", FunctionName="made", ZipFile=package)
    second = json.load((await stack.call("invoke", FunctionName="made"))["Payload"])
    configured = await stack.call("update_function_configuration", FunctionName="made", Timeout=9)
    listed = await stack.call("list_functions")
    await stack.call("delete_function", FunctionName="made")

    assert (first, second) == ("first", "second")
    assert created["FunctionArn"] == "arn:aws:lambda:us-east-1:123456789012:function:made"
    assert created["CodeSha256"] != updated["CodeSha256"]
    assert configured["Timeout"] == 9
    assert configured["Environment"] == {"Variables": {"A": "1"}}
    assert {"made", "echo"} <= {entry["FunctionName"] for entry in listed["Functions"]}
    assert (await refused(stack, "get_function", FunctionName="made"))[0] == "ResourceNotFoundException"


async def test_function_from_a_zip_survives_a_restart(tmp_path: Path) -> None:
    package = deployment_package({"app.py": "def run(event, context):\n    return 'kept'\n"})
    async with lambda_stack(tmp_path) as stack:
        await stack.call(
            "create_function",
            FunctionName="made",
            Runtime="python3.12",
            Role="arn:aws:iam::123456789012:role/r",
            Handler="app.run",
            Code={"ZipFile": package},
        )

    async with lambda_stack(tmp_path) as stack:
        answer = await stack.call("invoke", FunctionName="made")

    assert json.load(answer["Payload"]) == "kept"


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"FunctionName": "echo"}, "ResourceConflictException", "Function already exist: echo"),
        ({"Runtime": "java21"}, "InvalidParameterValueException", "java21"),
        ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException", "Could not unzip"),
        ({"Code": {"ZipFile": deployment_package({"../x.py": ""})}}, "InvalidParameterValueException", "outside"),
        ({"Code": {"S3Bucket": "b" * 3, "S3Key": "k"}}, "InvalidParameterValueException", "ZipFile"),
        ({"Timeout": 901}, "ValidationException", "'901' at 'timeout'"),
        ({"MemorySize": 32_769}, "ValidationException", "less than or equal to 32768"),
        ({"Role": "r1"}, "ValidationException", "Value 'r1' at 'role'"),
        ({"FunctionName": "no name"}, "ValidationException", "'no name' at 'functionName'"),
        ({"FunctionName": "a" * 65}, "InvalidParameterValueException", "have length less than or equal to 64"),
        ({"FunctionName": ARN + "a" * 100}, "ValidationException", "have length less than or equal to 140"),
        ({"FunctionName": "!" * 141}, "ValidationException", "2 validation errors detected: "),
        ({"FunctionName": "made:1"}, "ValidationException", "Value 'made:1' at 'functionName'"),
        (
            {"FunctionName": "arn:aws:lambda:ap-southeast-1:123456789012:function:made"},
            "ResourceNotFoundException",
            "Functions from 'ap-southeast-1' are not reachable in this region ('us-east-1')",
        ),
        ({"FunctionName": "999999999999:function:made"}, "AccessDeniedException", "another account"),
        (
            {"FunctionName": "arn:aws:lambda:nowhere:123456789012:function:made"},
            "ValidationException",
            "must satisfy regular expression pattern: (arn:(aws",
        ),
        ({"Architectures": ["X86_64"]}, "ValidationException", "enum value set: [x86_64, arm64], Member must not be"),
        ({"Architectures": ["x86_64", "arm64"]}, "ValidationException", "Value '[x86_64, arm64]' at 'architectures'"),
        ({"Layers": ["arn:aws:lambda:us-east-1:1:layer:l:1"]}, "ValidationException", "at 'layers'"),
        (
            {"Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:l:1"]},
            "InvalidParameterValueException",
            "layer:l:1 does not exist",
        ),
        ({"Environment": {"Variables": {"A": "x" * 4096}}}, "InvalidParameterValueException", "exceeded the 4KB limit"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException", "reserved keys"),
        ({"PackageType": "Image"}, "InvalidParameterValueException", "Image is not supported"),
        ({"VpcConfig": {"SubnetIds": ["s"]}}, "InvalidParameterValueException", "VpcConfig"),
        ({"Tags": {str(number): "x" for number in range(51)}}, "InvalidParameterValueException", "tag limit"),
    ],
)
async def test_create_function_refuses(stack: LambdaStack, changes: dict[str, Any], code: str, text: str) -> None:
    request: dict[str, Any] = {
        "FunctionName": "new",
        "Runtime": "python3.12",
        "Role": "arn:aws:iam::123456789012:role/r",
        "Handler": "app.run",
        "Code": {"ZipFile": deployment_package({"app.py": ""})},
    }

    found = await refused(stack, "create_function", **{**request, **changes})

    assert found[0] == code
    assert text in found[1]


async def test_template_functions_are_not_changed_through_the_api(stack: LambdaStack) -> None:
    code, message, _ = await refused(stack, "delete_function", FunctionName="echo")

    assert code == "InvalidParameterValueException"
    assert "template" in message


async def test_waiters_and_descriptions_work(stack: LambdaStack) -> None:
    function = await stack.call("get_function", FunctionName="echo")
    configuration = await stack.call("get_function_configuration", FunctionName="echo")
    aliases = await stack.call("list_aliases", FunctionName="echo")
    alias = await stack.call("get_alias", FunctionName="echo", Name="live")
    versions = await stack.call("list_versions_by_function", FunctionName="echo")

    assert function["Configuration"]["State"] == "Active"
    assert configuration["FunctionArn"] == ARN
    assert aliases["Aliases"][0]["FunctionVersion"] == alias["FunctionVersion"] == "1"
    assert [version["Version"] for version in versions["Versions"]] == ["$LATEST", "1"]


async def test_operation_that_does_not_exist_here_says_so(stack: LambdaStack) -> None:
    code, message, _ = await refused(stack, "create_function_url_config", FunctionName="echo", AuthType="NONE")

    assert code == "UnknownOperationException"
    assert "Function URLs do not work here" in message


async def test_permissions_are_kept_shown_and_removed(stack: LambdaStack) -> None:
    request = {"StatementId": "events", "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"}
    rule = "arn:aws:events:us-east-1:123456789012:rule/r"

    await stack.call("add_permission", FunctionName="echo", SourceArn=rule, **request)
    shown = json.loads((await stack.call("get_policy", FunctionName="echo"))["Policy"])["Statement"]
    with pytest.raises(ClientError, match="already exists"):
        await stack.call("add_permission", FunctionName="echo", **request)
    await stack.call("remove_permission", FunctionName="echo", StatementId="events")

    assert [(one["Sid"], one["Principal"], one["Condition"]) for one in shown] == [
        ("events", {"Service": "events.amazonaws.com"}, {"ArnLike": {"AWS:SourceArn": rule}})
    ]
    with pytest.raises(ClientError, match="does not exist"):
        await stack.call("get_policy", FunctionName="echo")


async def test_what_cannot_be_set_is_told_truly(stack: LambdaStack) -> None:
    name = {"FunctionName": "echo"}

    urls = await stack.call("list_function_url_configs", **name)
    provisioned = await stack.call("list_provisioned_concurrency_configs", **name)
    signing = await stack.call("get_function_code_signing_config", **name)
    runtime = await stack.call("get_runtime_management_config", **name)

    assert (urls["FunctionUrlConfigs"], provisioned["ProvisionedConcurrencyConfigs"]) == ([], [])
    assert signing["FunctionName"] == "echo"
    assert (runtime["UpdateRuntimeOn"], runtime["FunctionArn"]) == ("Auto", ARN)
    assert (await refused(stack, "get_function_url_config", **name))[0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("operation", "request_", "text"),
    [
        ("create_function_url_config", {"AuthType": "NONE"}, "Function URLs do not work here"),
        ("invoke_with_response_stream", {}, "Response streaming does not work here"),
        (
            "put_provisioned_concurrency_config",
            {"Qualifier": "1", "ProvisionedConcurrentExecutions": 1},
            "Provisioned concurrency does not change",
        ),
    ],
)
async def test_what_does_not_work_is_refused_by_name(
    stack: LambdaStack, operation: str, request_: dict[str, Any], text: str
) -> None:
    code, message, _ = await refused(stack, operation, FunctionName="echo", **request_)

    assert code == "UnknownOperationException"
    assert text in message


async def test_failed_start_is_in_the_log_of_its_invocation(stack: LambdaStack) -> None:
    stack.register("broken", "app.absent", folder="basics")

    answer = await stack.call("invoke", FunctionName="broken", LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode().splitlines()

    assert json.load(answer["Payload"])["errorType"] == "Runtime.HandlerNotFound"
    assert any("Handler 'absent' missing on module 'app'" in line for line in log)
    assert any(line.startswith("INIT_REPORT") and "Runtime.HandlerNotFound" in line for line in log)
    assert [line.split(" ")[0] for line in log[-3:]] == ["START", "END", "REPORT"]
