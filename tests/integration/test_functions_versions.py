"""Published versions, aliases and what is set by them, as boto3 sees them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from headwater.functions.config import EventInvokeConfig, FunctionConfig
from tests.integration.lambda_stack import LambdaStack, deployment_package, lambda_stack, until

ARN = "arn:aws:lambda:us-east-1:123456789012:function:made"
ROLE = "arn:aws:iam::123456789012:role/r"
SOURCE = """
import os
def run(event, context):
    if event.get("fail"):
        raise ValueError("told to")
    return {"text": TEXT, "variable": os.environ.get("A"), "version": context.function_version,
            "arn": context.invoked_function_arn}
"""


def package(text: str) -> bytes:
    return deployment_package({"app.py": f"TEXT = {text!r}\n{SOURCE}"})


async def create(stack: LambdaStack, **changes: Any) -> dict[str, Any]:
    request = {
        "FunctionName": "made",
        "Runtime": "python3.12",
        "Role": ROLE,
        "Handler": "app.run",
        "Code": {"ZipFile": package("first")},
        "Timeout": 5,
    }
    made: dict[str, Any] = await stack.call("create_function", **{**request, **changes})
    return made


async def run(stack: LambdaStack, name: str = "made", **request: Any) -> dict[str, Any]:
    answer = await stack.call("invoke", FunctionName=name, **request)
    return {**json.load(answer["Payload"]), "executed": answer["ExecutedVersion"]}


async def refusal(stack: LambdaStack, operation: str, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        await stack.call(operation, FunctionName="made", **request)
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LambdaStack]:
    async with lambda_stack(tmp_path) as subject:
        yield subject


async def two_versions(stack: LambdaStack) -> None:
    """Version 1 says first, version 2 and `$LATEST` say second."""
    await create(stack, Publish=True)
    await stack.call("update_function_code", FunctionName="made", ZipFile=package("second"), Publish=True)


async def test_version_keeps_the_code_and_the_configuration_it_was_published_with(stack: LambdaStack) -> None:
    await create(stack, Environment={"Variables": {"A": "1"}})
    published = await stack.call("publish_version", FunctionName="made", Description="the first")

    await stack.call("update_function_code", FunctionName="made", ZipFile=package("second"))
    await stack.call("update_function_configuration", FunctionName="made", Environment={"Variables": {"A": "2"}})
    old, new = await run(stack, "made:1"), await run(stack)

    assert (published["Version"], published["FunctionArn"]) == ("1", f"{ARN}:1")
    assert published["Description"] == "the first"
    assert old == {"text": "first", "variable": "1", "version": "1", "arn": f"{ARN}:1", "executed": "1"}
    assert (new["text"], new["variable"], new["version"], new["executed"]) == ("second", "2", "$LATEST", "$LATEST")


async def test_created_function_is_published_without_a_qualified_arn(stack: LambdaStack) -> None:
    made = await create(stack, Publish=True)

    assert (made["Version"], made["FunctionArn"]) == ("1", ARN)


async def test_states_go_as_waiters_expect(stack: LambdaStack) -> None:
    created = await create(stack)
    active = await stack.call("get_function_configuration", FunctionName="made")
    updating = await stack.call("update_function_configuration", FunctionName="made", Timeout=4)
    updated = await stack.call("get_function_configuration", FunctionName="made")

    assert (created["State"], created["StateReasonCode"]) == ("Pending", "Creating")
    assert (active["State"], active["LastUpdateStatus"]) == ("Active", "Successful")
    assert updating["LastUpdateStatus"] == "InProgress"
    assert updated["LastUpdateStatus"] == "Successful"
    assert "StateReason" not in updated


async def test_dead_letter_queue_is_set_and_taken_away(stack: LambdaStack) -> None:
    dead, failed = (f"arn:aws:sqs:us-east-1:123456789012:{name}" for name in ("dead", "failed"))
    await create(stack, DeadLetterConfig={"TargetArn": dead})
    await stack.call(
        "put_function_event_invoke_config",
        FunctionName="made",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": failed}},
    )

    async def targets_of_a_failure() -> list[str]:
        stack.deliveries.clear()
        await stack.call("invoke", FunctionName="made", InvocationType="Event", Payload=b'{"fail": 1}')
        await until(lambda: any(delivery.arn == failed for delivery in stack.deliveries))
        return [delivery.arn for delivery in stack.deliveries]

    before = await targets_of_a_failure()
    await stack.call("update_function_configuration", FunctionName="made", DeadLetterConfig={"TargetArn": ""})
    after = await targets_of_a_failure()
    wrong = await refusal(
        stack, "update_function_configuration", DeadLetterConfig={"TargetArn": "arn:aws:s3:::bucket-of-mine"}
    )

    assert before == [dead, failed]
    assert after == [failed]
    assert "must be an SQS queue or an SNS topic" in wrong[1]


async def test_publishing_without_a_change_gives_the_last_version(stack: LambdaStack) -> None:
    await create(stack)
    first = await stack.call("publish_version", FunctionName="made", Description="v1")
    again = await stack.call("publish_version", FunctionName="made")
    await stack.call("update_function_configuration", FunctionName="made", Description="changed")
    second = await stack.call("publish_version", FunctionName="made")

    listed = await stack.call("list_versions_by_function", FunctionName="made")

    assert (first["Version"], again["Version"], second["Version"]) == ("1", "1", "2")
    assert [(one["Version"], one["Description"]) for one in listed["Versions"]] == [
        ("$LATEST", "changed"),
        ("1", "v1"),
        ("2", "changed"),
    ]
    assert listed["Versions"][0]["FunctionArn"] == f"{ARN}:$LATEST"


async def test_end_of_a_change_has_a_revision_of_its_own(stack: LambdaStack) -> None:
    created = await create(stack)
    active = await stack.call("get_function_configuration", FunctionName="made")
    changed = await stack.call("update_function_configuration", FunctionName="made", Description="d")
    coded = await stack.call("update_function_code", FunctionName="made", ZipFile=package("second"))
    current = await stack.call("get_function_configuration", FunctionName="made")

    revisions = [one["RevisionId"] for one in (created, active, changed, coded, current)]
    refused = await refusal(stack, "publish_version", RevisionId=coded["RevisionId"])
    await stack.call("publish_version", FunctionName="made", RevisionId=current["RevisionId"])

    assert len(set(revisions)) == 5
    assert refused[0] == "PreconditionFailedException"


async def test_update_that_publishes_answers_with_the_version_it_began(stack: LambdaStack) -> None:
    await create(stack)

    answer = await stack.call("update_function_code", FunctionName="made", ZipFile=package("second"), Publish=True)
    version = await stack.call("get_function_configuration", FunctionName="made", Qualifier=answer["Version"])

    assert (answer["Version"], answer["State"], answer["StateReasonCode"]) == ("1", "Pending", "Creating")
    assert "LastUpdateStatus" not in answer
    assert (version["State"], version["RevisionId"]) == ("Active", answer["RevisionId"])


async def test_lists_have_no_states_and_an_environment_only_where_one_was_given(stack: LambdaStack) -> None:
    await create(stack, Publish=True)
    await create(stack, FunctionName="empty", Environment={"Variables": {}})

    listed = [
        *(await stack.call("list_functions"))["Functions"],
        *(await stack.call("list_versions_by_function", FunctionName="made"))["Versions"],
    ]
    shown = await stack.call("get_function_configuration", FunctionName="made")

    assert [one["FunctionName"] for one in listed] == ["empty", "made", "made", "made"]
    assert not any({"State", "LastUpdateStatus"} & one.keys() for one in listed)
    assert [one.get("Environment") for one in listed] == [{"Variables": {}}, None, None, None]
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")


async def test_code_of_versions_and_layers_counts_for_the_account(stack: LambdaStack) -> None:
    async def size() -> int:
        return int((await stack.call("get_account_settings"))["AccountUsage"]["TotalCodeSize"])

    made = (await create(stack))["CodeSize"]
    sizes = [await size()]
    await stack.call("publish_version", FunctionName="made")
    sizes.append(await size())
    content = deployment_package({"python/words.py": ""})
    await stack.call("publish_layer_version", LayerName="words", Content={"ZipFile": content})
    sizes.append(await size())
    await stack.call("delete_layer_version", LayerName="words", VersionNumber=1)
    sizes.append(await size())

    assert sizes == [made, 2 * made, 2 * made + len(content), 2 * made]


@pytest.mark.parametrize(
    ("operation", "request_", "expected"),
    [
        ("put_function_concurrency", {"ReservedConcurrentExecutions": 1}, f"Function not found: {ARN}:$LATEST"),
        ("create_alias", {"Name": "a", "FunctionVersion": "7"}, f"Function not found: {ARN}:7"),
        (
            "put_function_event_invoke_config",
            {},
            "You must specify at least one of error handling or destination setting.",
        ),
    ],
)
async def test_answer_about_a_function_that_does_not_exist(
    stack: LambdaStack, operation: str, request_: dict[str, Any], expected: str
) -> None:
    assert (await refusal(stack, operation, **request_))[1] == expected


async def test_principal_of_a_permission_is_an_account_a_role_or_a_service_of_aws(stack: LambdaStack) -> None:
    await create(stack)
    policy = {"Action": "lambda:InvokeFunction", "StatementId": "s"}

    refused = await refusal(stack, "add_permission", Principal="invalid.nonaws.com", **policy)
    await stack.call("add_permission", FunctionName="made", Principal="alexa-appkit.amazon.com", **policy)

    assert refused[1] == "The provided principal was invalid. Please check the principal and try again."


async def test_publish_refuses_what_is_not_the_latest(stack: LambdaStack) -> None:
    await create(stack)

    revision = await refusal(stack, "publish_version", RevisionId="old")
    code = await refusal(stack, "publish_version", CodeSha256="other")

    assert revision[0] == "PreconditionFailedException"
    assert code[0] == "InvalidParameterValueException"
    assert "CodeSHA256 (other) is different from current CodeSHA256 in $LATEST" in code[1]


async def test_deleted_version_is_gone_and_its_number_is_not_given_again(stack: LambdaStack) -> None:
    await two_versions(stack)

    await stack.call("delete_function", FunctionName="made", Qualifier="2")
    republished = await stack.call("publish_version", FunctionName="made")

    assert await refusal(stack, "invoke", Qualifier="2") == (
        "ResourceNotFoundException",
        f"Function not found: {ARN}:2",
    )
    assert republished["Version"] == "3"


async def test_alias_follows_its_version(stack: LambdaStack) -> None:
    await two_versions(stack)
    made = await stack.call("create_alias", FunctionName="made", Name="live", FunctionVersion="1", Description="d")

    before = await run(stack, "made:live")
    updated = await stack.call("update_alias", FunctionName="made", Name="live", FunctionVersion="2")
    after = await run(stack, "made", Qualifier="live")

    assert {key: made[key] for key in ("AliasArn", "Name", "FunctionVersion", "Description")} == {
        "AliasArn": f"{ARN}:live",
        "Name": "live",
        "FunctionVersion": "1",
        "Description": "d",
    }
    assert (before["text"], before["executed"], before["arn"]) == ("first", "1", f"{ARN}:live")
    assert (after["text"], after["executed"]) == ("second", "2")
    assert (updated["Description"], updated["RevisionId"] != made["RevisionId"]) == ("d", True)


async def test_alias_shares_its_calls_by_weight(stack: LambdaStack) -> None:
    await two_versions(stack)
    weights = {"AdditionalVersionWeights": {"2": 1.0}}
    await stack.call("create_alias", FunctionName="made", Name="live", FunctionVersion="1", RoutingConfig=weights)

    shared = await run(stack, "made:live")
    unshared = await stack.call("update_alias", FunctionName="made", Name="live", RoutingConfig={})

    assert shared["executed"] == "2"
    assert "RoutingConfig" not in unshared
    assert (await run(stack, "made:live"))["executed"] == "1"


async def test_aliases_are_listed_by_version_and_deleted(stack: LambdaStack) -> None:
    await two_versions(stack)
    for name, version in (("a", "1"), ("b", "2"), ("c", "1")):
        await stack.call("create_alias", FunctionName="made", Name=name, FunctionVersion=version)

    of_first = await stack.call("list_aliases", FunctionName="made", FunctionVersion="1")
    page = await stack.call("list_aliases", FunctionName="made", MaxItems=2)
    rest = await stack.call("list_aliases", FunctionName="made", MaxItems=2, Marker=page["NextMarker"])
    in_use = await refusal(stack, "delete_function", Qualifier="1")
    await stack.call("delete_alias", FunctionName="made", Name="b")
    await stack.call("delete_alias", FunctionName="made", Name="never")

    assert [alias["Name"] for alias in of_first["Aliases"]] == ["a", "c"]
    assert [alias["Name"] for alias in (*page["Aliases"], *rest["Aliases"])] == ["a", "b", "c"]
    assert in_use[0] == "ResourceConflictException"
    assert (await refusal(stack, "get_alias", Name="b")) == (
        "ResourceNotFoundException",
        f"Cannot find alias arn: {ARN}:b",
    )


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        ({"Name": "2024"}, "ValidationException", "Value '2024' at 'name'"),
        ({"FunctionVersion": "10"}, "ResourceNotFoundException", f"Function not found: {ARN}:10"),
        ({"Name": "there"}, "ResourceConflictException", f"Alias already exists: {ARN}:there"),
        ({"weights": {"2": 2.0}}, "ValidationException", "Value '{2=2.0}'"),
        ({"weights": {"2": 2}}, "ValidationException", "Value '{2=2.0}'"),
        ({"weights": {"$LATEST": 0.5}}, "ValidationException", "Map keys must satisfy"),
        ({"weights": {"1": 0.5}}, "InvalidParameterValueException", "already included in routing configuration"),
        ({"weights": {"10": 0.5}}, "ResourceNotFoundException", f"Function not found: {ARN}:10"),
        ({"weights": {"1": 0.5, "2": 0.5}}, "InvalidParameterValueException", "cannot be greater than 1"),
        (
            {"FunctionVersion": "$LATEST", "weights": {"1": 0.5}},
            "InvalidParameterValueException",
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ),
    ],
)
async def test_create_alias_refuses(stack: LambdaStack, request_: dict[str, Any], code: str, text: str) -> None:
    await two_versions(stack)
    await stack.call("create_alias", FunctionName="made", Name="there", FunctionVersion="1")
    weights = {"RoutingConfig": {"AdditionalVersionWeights": request_.pop("weights")}} if "weights" in request_ else {}

    found = await refusal(stack, "create_alias", **{"Name": "new", "FunctionVersion": "1", **weights, **request_})

    assert found[0] == code
    assert text in found[1]


async def test_update_alias_refuses_an_old_revision_and_an_unknown_name(stack: LambdaStack) -> None:
    await two_versions(stack)
    await stack.call("create_alias", FunctionName="made", Name="live", FunctionVersion="1")

    old = await refusal(stack, "update_alias", Name="live", FunctionVersion="2", RevisionId="old")
    unknown = await refusal(stack, "update_alias", Name="never", FunctionVersion="2")

    assert old[0] == "PreconditionFailedException"
    assert unknown == ("ResourceNotFoundException", f"Alias not found: {ARN}:never")


async def test_everything_set_through_the_api_survives_a_restart(tmp_path: Path) -> None:
    policy = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"}
    async with lambda_stack(tmp_path) as stack:
        await two_versions(stack)
        await stack.call("create_alias", FunctionName="made", Name="live", FunctionVersion="1")
        await stack.call("put_function_concurrency", FunctionName="made", ReservedConcurrentExecutions=7)
        await stack.call("put_function_event_invoke_config", FunctionName="made:live", MaximumRetryAttempts=1)
        await stack.call("add_permission", FunctionName="made", Qualifier="live", **policy)
        await stack.call("tag_resource", Resource=ARN, Tags={"a": "b"})

    async with lambda_stack(tmp_path) as stack:
        ran = await run(stack, "made:live")
        function = await stack.call("get_function", FunctionName="made")
        events = await stack.call("list_function_event_invoke_configs", FunctionName="made")
        statements = json.loads((await stack.call("get_policy", FunctionName="made:live"))["Policy"])["Statement"]

    assert (ran["text"], ran["executed"]) == ("first", "1")
    assert function["Concurrency"] == {"ReservedConcurrentExecutions": 7}
    assert function["Tags"] == {"a": "b"}
    assert [one["FunctionArn"] for one in events["FunctionEventInvokeConfigs"]] == [f"{ARN}:live"]
    assert statements[0]["Resource"] == f"{ARN}:live"


async def test_function_whose_runtime_is_gone_does_not_keep_the_others_from_coming_back(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        await create(stack)
        await create(stack, FunctionName="gone")
    kept = tmp_path / "gone" / "function.json"
    kept.write_text(kept.read_text().replace("python3.12", "java21"))

    async with lambda_stack(tmp_path) as stack:
        listed = await stack.call("list_functions")

    assert [one["FunctionName"] for one in listed["Functions"]] == ["made"]


async def test_versions_and_aliases_of_a_template_function_run_its_code(tmp_path: Path) -> None:
    for start in (1, 2):
        async with lambda_stack(tmp_path) as stack:
            stack.register("echo", "app.echo", folder="basics")
            if start == 1:
                await stack.call("publish_version", FunctionName="echo")
                await stack.call("create_alias", FunctionName="echo", Name="live", FunctionVersion="1")
            else:
                stack.restore()

            answer = await stack.call("invoke", FunctionName="echo", Qualifier="live", Payload=b'{"a":1}')

            assert (json.load(answer["Payload"]), answer["ExecutedVersion"]) == ({"a": 1}, "1")


@pytest.mark.parametrize("is_stated", [False, True], ids=["beside the template", "against the template"])
async def test_settings_of_a_template_function_survive_unless_the_template_states_them(
    tmp_path: Path, is_stated: bool
) -> None:
    stated: dict[str, Any] = {
        "reserved_concurrency": 9,
        "event_invoke": EventInvokeConfig(maximum_retry_attempts=0, dead_letter="arn:aws:sqs:us-east-1:123456789012:d"),
    }
    policy = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com"}
    async with lambda_stack(tmp_path) as stack:
        arn = stack.register("echo", "app.echo", folder="basics", **(stated if is_stated else {}))
        await stack.call("put_function_concurrency", FunctionName="echo", ReservedConcurrentExecutions=7)
        await stack.call("put_function_event_invoke_config", FunctionName="echo", MaximumRetryAttempts=1)
        await stack.call("add_permission", FunctionName="echo", **policy)
        await stack.call("tag_resource", Resource=arn, Tags={"a": "b"})

    async with lambda_stack(tmp_path) as stack:
        stack.register("echo", "app.echo", folder="basics", **(stated if is_stated else {}))
        stack.restore()
        function = await stack.call("get_function", FunctionName="echo")
        events = await stack.call("get_function_event_invoke_config", FunctionName="echo")
        statements = json.loads((await stack.call("get_policy", FunctionName="echo"))["Policy"])["Statement"]
        kept = stack.functions.config("echo").event_invoke

    assert function["Concurrency"]["ReservedConcurrentExecutions"] == (9 if is_stated else 7)
    assert events["MaximumRetryAttempts"] == kept.maximum_retry_attempts == (0 if is_stated else 1)
    assert function["Tags"] == {"a": "b"}
    assert [one["Sid"] for one in statements] == ["s"]


async def test_nothing_is_kept_of_a_template_function_whose_settings_were_taken_away(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        arn = stack.register("echo", "app.echo", folder="basics")
        await stack.call("put_function_concurrency", FunctionName="echo", ReservedConcurrentExecutions=7)
        await stack.call("tag_resource", Resource=arn, Tags={"a": "b"})
        await stack.call("delete_function_concurrency", FunctionName="echo")
        await stack.call("untag_resource", Resource=arn, TagKeys=["a"])

    assert list(tmp_path.glob("echo/*")) == []


async def test_function_of_the_template_has_the_digest_of_its_code(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path / "made") as stack:
        code = tmp_path / "code"
        code.mkdir()
        (code / "app.py").write_text("def handler(event, context): return 1\n")
        arn = "arn:aws:lambda:us-east-1:123456789012:function:coded"
        stack.functions.register(FunctionConfig("coded", arn, "app.handler", code, versions=("1",)))

        before = await stack.call("get_function_configuration", FunctionName="coded")
        numbered = await stack.call("get_function_configuration", FunctionName="coded", Qualifier="1")
        (code / "app.py").write_text("def handler(event, context): return 22\n")
        stack.functions.reload("coded")
        after = await stack.call("get_function_configuration", FunctionName="coded")

    assert (before["CodeSize"], after["CodeSize"]) == (38, 39)
    assert len(before["CodeSha256"]) == 44
    assert before["CodeSha256"] == numbered["CodeSha256"] != after["CodeSha256"]


async def test_function_of_the_template_wins_over_one_made_before(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        await create(stack)

    async with lambda_stack(tmp_path) as stack:
        stack.register("made", "app.echo", folder="basics")
        stack.restore()

        answer = await stack.call("invoke", FunctionName="made", Payload=b'{"a":1}')
        changed = await refusal(stack, "update_function_configuration", Timeout=5)

    assert json.load(answer["Payload"]) == {"a": 1}
    assert "comes from the template" in changed[1]


async def test_deleted_alias_of_a_template_function_does_not_come_back(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        stack.register("made", "app.echo", folder="basics")
        await stack.call("create_alias", FunctionName="made", Name="newest", FunctionVersion="$LATEST")
        await stack.call("delete_alias", FunctionName="made", Name="newest")

    async with lambda_stack(tmp_path) as stack:
        stack.register("made", "app.echo", folder="basics")
        stack.restore()

        assert (await stack.call("list_aliases", FunctionName="made"))["Aliases"] == []


async def test_publishing_leaves_running_environments_alone(stack: LambdaStack) -> None:
    stack.register("count", "app.count", folder="basics")
    before = await stack.call("invoke", FunctionName="count")

    await stack.call("publish_version", FunctionName="count")
    await stack.call("create_alias", FunctionName="count", Name="live", FunctionVersion="1")
    after = await stack.call("invoke", FunctionName="count:live")

    assert (json.load(before["Payload"]), json.load(after["Payload"])) == (1, 2)


async def test_alias_of_the_template_is_changed_there(stack: LambdaStack) -> None:
    stack.register("made", "app.echo", folder="basics", aliases={"live": "1"}, versions=("1",))

    update = await refusal(stack, "update_alias", Name="live", FunctionVersion="1")
    delete = await refusal(stack, "delete_alias", Name="live")

    assert "comes from the template" in update[1]
    assert "comes from the template" in delete[1]
    assert (await stack.call("publish_version", FunctionName="made"))["Version"] == "1"


async def test_policies_belong_to_their_qualifier(stack: LambdaStack) -> None:
    await two_versions(stack)
    await stack.call("create_alias", FunctionName="made", Name="live", FunctionVersion="1")
    granted = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    before = await stack.call("get_function_configuration", FunctionName="made")

    await stack.call("add_permission", FunctionName="made", Qualifier="1", **granted)
    await stack.call("add_permission", FunctionName="made", Qualifier="live", **granted)
    after = await stack.call("get_function_configuration", FunctionName="made")
    of_version = await stack.call("get_policy", FunctionName="made", Qualifier="1")
    version = await stack.call("get_function_configuration", FunctionName="made", Qualifier="1")

    assert json.loads(of_version["Policy"])["Statement"][0]["Resource"] == f"{ARN}:1"
    assert of_version["RevisionId"] == version["RevisionId"]
    assert before["RevisionId"] == after["RevisionId"]
    assert (await refusal(stack, "get_policy"))[1] == "The resource you requested does not exist."


@pytest.mark.parametrize(
    ("operation", "request_", "code", "text"),
    [
        ("add_permission", {"StatementId": "a.b"}, "ValidationException", "'a.b' at 'statementId'"),
        ("add_permission", {"Principal": "nobody"}, "InvalidParameterValueException", "principal was invalid"),
        ("add_permission", {"Qualifier": "$LATEST"}, "InvalidParameterValueException", "policies for $LATEST"),
        ("add_permission", {"Qualifier": "42"}, "ResourceNotFoundException", f"Function not found: {ARN}:42"),
        ("add_permission", {"Qualifier": "never"}, "ResourceNotFoundException", f"Cannot find alias arn: {ARN}:never"),
        ("add_permission", {"RevisionId": "old"}, "PreconditionFailedException", "Call the GetPolicy API"),
        ("remove_permission", {"StatementId": "x"}, "ResourceNotFoundException", "No policy is associated with"),
        ("get_policy", {"Qualifier": "42"}, "ResourceNotFoundException", "The resource you requested does not exist."),
    ],
)
async def test_permissions_refuse(
    stack: LambdaStack, operation: str, request_: dict[str, Any], code: str, text: str
) -> None:
    await create(stack)
    granted = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}

    found = await refusal(stack, operation, **{**(granted if operation == "add_permission" else {}), **request_})

    assert found[0] == code
    assert text in found[1]


async def test_reserved_concurrency_is_shared_by_the_versions(stack: LambdaStack) -> None:
    await two_versions(stack)
    await stack.call("put_function_concurrency", FunctionName="made", ReservedConcurrentExecutions=0)

    throttled = await refusal(stack, "invoke", Qualifier="1")
    too_many = await refusal(stack, "put_function_concurrency", ReservedConcurrentExecutions=901)
    with pytest.raises(ClientError, match="Aliases and versions do not support this operation"):
        await stack.call("put_function_concurrency", FunctionName="made:1", ReservedConcurrentExecutions=1)

    assert throttled[0] == "TooManyRequestsException"
    assert "below its minimum value of [100]" in too_many[1]


async def test_event_invoke_settings_belong_to_their_qualifier(stack: LambdaStack) -> None:
    await two_versions(stack)
    await stack.call("create_alias", FunctionName="made", Name="live", FunctionVersion="1")
    queue = "arn:aws:sqs:us-east-1:123456789012:failed"
    put = await stack.call(
        "put_function_event_invoke_config",
        FunctionName="made",
        Qualifier="live",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": queue}},
    )

    await stack.call("invoke", FunctionName="made:live", InvocationType="Event", Payload=b'{"fail":true}')
    await until(lambda: stack.deliveries)

    document = json.loads(stack.deliveries[0].body)
    assert put["FunctionArn"] == f"{ARN}:live"
    assert "MaximumEventAgeInSeconds" not in put
    assert document["requestContext"]["functionArn"] == f"{ARN}:live"
    assert document["requestContext"]["approximateInvokeCount"] == 1
    assert document["responseContext"]["executedVersion"] == "1"
    assert (await refusal(stack, "get_function_event_invoke_config")) == (
        "ResourceNotFoundException",
        f"The function {ARN}:$LATEST doesn't have an EventInvokeConfig",
    )


async def test_event_invoke_settings_are_merged_by_update_and_replaced_by_put(stack: LambdaStack) -> None:
    await create(stack)
    name = {"FunctionName": "made"}
    await stack.call("put_function_event_invoke_config", **name, MaximumRetryAttempts=2, MaximumEventAgeInSeconds=60)

    updated = await stack.call("update_function_event_invoke_config", **name, MaximumRetryAttempts=0)
    replaced = await stack.call("put_function_event_invoke_config", **name, MaximumRetryAttempts=1)
    await stack.call("delete_function_event_invoke_config", **name)

    assert (updated["MaximumRetryAttempts"], updated["MaximumEventAgeInSeconds"]) == (0, 60)
    assert "MaximumEventAgeInSeconds" not in replaced
    assert replaced["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    assert (await stack.call("list_function_event_invoke_configs", **name))["FunctionEventInvokeConfigs"] == []


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        ({}, "InvalidParameterValueException", "You must specify at least one of error handling"),
        ({"destination": ARN}, "InvalidParameterValueException", "as a destination for itself"),
        ({"destination": f"{ARN}-absent"}, "InvalidParameterValueException", f"ARN {ARN}-absent is invalid"),
        ({"destination": "arn:aws:iam:us-east-1:123456789012:x"}, "InvalidParameterValueException", "does not work"),
        ({"destination": "arn:aws:_-/!:us-east-1:123456789012:x"}, "ValidationException", "onFailure.destination"),
        ({"Qualifier": "never", "MaximumRetryAttempts": 1}, "ResourceNotFoundException", "doesn't exist"),
    ],
)
async def test_event_invoke_settings_refuse(stack: LambdaStack, request_: dict[str, Any], code: str, text: str) -> None:
    await create(stack)
    destination = request_.pop("destination", None)
    config = {"DestinationConfig": {"OnFailure": {"Destination": destination}}} if destination else {}

    found = await refusal(stack, "put_function_event_invoke_config", **request_, **config)

    assert found[0] == code
    assert text in found[1]


async def test_layer_lies_on_the_path_of_the_functions_that_name_it(tmp_path: Path) -> None:
    layer = deployment_package({"python/shared_words.py": "WORD = 'layered'\n"})
    code = deployment_package(
        {"app.py": "import shared_words\ndef run(event, context):\n    return shared_words.WORD\n"}
    )
    async with lambda_stack(tmp_path) as stack:
        published = await stack.call(
            "publish_layer_version", LayerName="words", Content={"ZipFile": layer}, CompatibleRuntimes=["python3.12"]
        )
        arn = published["LayerVersionArn"]
        made = await create(stack, Code={"ZipFile": code}, Layers=[arn])
        await stack.call("delete_layer_version", LayerName="words", VersionNumber=1)
        twice = await refusal(stack, "update_function_configuration", Layers=[arn, arn])

    async with lambda_stack(tmp_path) as stack:
        answer = await stack.call("invoke", FunctionName="made")
        second = await stack.call("publish_layer_version", LayerName="words", Content={"ZipFile": layer})
        listed = await stack.call("list_layers")
        versions = await stack.call("list_layer_versions", LayerName="words")
        by_arn = await stack.call("get_layer_version_by_arn", Arn=second["LayerVersionArn"])
        gone = await absent_layer(stack)

    assert json.load(answer["Payload"]) == "layered"
    assert made["Layers"] == [{"Arn": arn, "CodeSize": len(layer)}]
    assert "Two different versions of the same layer" in twice[1]
    assert (published["Version"], second["Version"], by_arn["Version"]) == (1, 2, 2)
    assert listed["Layers"][0]["LatestMatchingVersion"]["Version"] == 2
    assert [one["Version"] for one in versions["LayerVersions"]] == [2]
    assert gone == "ResourceNotFoundException"


async def test_layers_published_at_the_same_time_get_a_number_each(stack: LambdaStack) -> None:
    packages = [deployment_package({f"python/part_{number}.py": "x = 1\n"}) for number in range(4)]

    published = await asyncio.gather(
        *(stack.call("publish_layer_version", LayerName="parts", Content={"ZipFile": one}) for one in packages),
        no_layer(stack, b"no zip"),
    )

    found = {}
    for number in range(1, 5):
        version = await stack.call("get_layer_version", LayerName="parts", VersionNumber=number)
        folder = Path(urlsplit(version["Content"]["Location"]).path)
        assert [path.name[:5] for path in (folder / "python").iterdir()] == ["part_"]
        found[number] = version["Content"]["CodeSha256"]
    assert found == {one["Version"]: one["Content"]["CodeSha256"] for one in published[:4]}
    assert {path.name for path in folder.parent.iterdir()} == {"1", "2", "3", "4", "layers.json"}


async def no_layer(stack: LambdaStack, archive: bytes) -> None:
    with pytest.raises(ClientError, match="Could not unzip"):
        await stack.call("publish_layer_version", LayerName="parts", Content={"ZipFile": archive})


async def absent_layer(stack: LambdaStack) -> str:
    with pytest.raises(ClientError) as refused:
        await stack.call("get_layer_version", LayerName="words", VersionNumber=1)
    return str(refused.value.response["Error"]["Code"])


async def test_tags_are_added_listed_and_removed(stack: LambdaStack) -> None:
    await create(stack, Tags={"a": "1"})

    await stack.call("tag_resource", Resource=ARN, Tags={"a": "2", "b": "3"})
    await stack.call("untag_resource", Resource=ARN, TagKeys=["b", "c"])

    assert (await stack.call("list_tags", Resource=ARN))["Tags"] == {"a": "2"}


@pytest.mark.parametrize(
    ("resource", "code", "text"),
    [
        ("arn:aws:something", "ValidationException", "Value 'arn:aws:something' at 'resource'"),
        (f"{ARN}-absent", "ResourceNotFoundException", f"Function not found: {ARN}-absent"),
        (f"{ARN}:live", "InvalidParameterValueException", "Tags on function aliases and versions are not supported"),
        (
            "arn:aws:lambda:us-east-1:123456789012:event-source-mapping:00000000-0000-0000-0000-000000000000",
            "ResourceNotFoundException",
            "Event source mapping not found",
        ),
    ],
)
async def test_tags_refuse(stack: LambdaStack, resource: str, code: str, text: str) -> None:
    await create(stack)

    with pytest.raises(ClientError) as refused:
        await stack.call("tag_resource", Resource=resource, Tags={"a": "b"})

    assert refused.value.response["Error"]["Code"] == code
    assert text in refused.value.response["Error"]["Message"]


async def test_functions_are_listed_in_pages_and_with_their_versions(stack: LambdaStack) -> None:
    await two_versions(stack)
    stack.register("echo", "app.echo", folder="basics")

    page = await stack.call("list_functions", MaxItems=1)
    rest = await stack.call("list_functions", MaxItems=1, Marker=page["NextMarker"])
    everything = await stack.call("list_functions", FunctionVersion="ALL")
    settings = await stack.call("get_account_settings")

    assert [one["FunctionName"] for one in (*page["Functions"], *rest["Functions"])] == ["echo", "made"]
    assert "NextMarker" not in rest
    assert [(one["FunctionName"], one["Version"]) for one in everything["Functions"]] == [
        ("echo", "$LATEST"),
        ("made", "$LATEST"),
        ("made", "1"),
        ("made", "2"),
    ]
    assert settings["AccountUsage"]["FunctionCount"] == 2
