"""Each handler alone: what it imports, and that its role allows what its code asks for."""

import ast
import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater.rules import Message, compile_rule, to_json
from tests.template.template_file import ROOT, load_template, resources_of_type

TEMPLATE = load_template()
FUNCTIONS = resources_of_type(TEMPLATE, "AWS::Serverless::Function")
HANDLERS = sorted({properties["Handler"] for properties in FUNCTIONS.values()})
PROBE = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
importlib.import_module(sys.argv[2])
print(json.dumps(sorted(sys.modules)))
"""
# What a call needs of IAM; transactions need the rights of their parts.
ACTIONS = {
    "BatchGetItem": {"dynamodb:BatchGetItem"},
    "BatchWriteItem": {"dynamodb:BatchWriteItem"},
    "DeleteItem": {"dynamodb:DeleteItem"},
    "GetItem": {"dynamodb:GetItem"},
    "PutItem": {"dynamodb:PutItem"},
    "Query": {"dynamodb:Query"},
    "UpdateItem": {"dynamodb:UpdateItem"},
    "TransactWriteItems": {"dynamodb:PutItem", "dynamodb:UpdateItem"},
    "SendMessage": {"sqs:SendMessage"},
    "SendMessageBatch": {"sqs:SendMessage"},
}


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the deployed code alone, as in its package."""
    folder = tmp_path_factory.mktemp("package")
    for name in ("streams", "iot", "resolvers"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_handler_imports_the_standard_library_powertools_and_its_own_code(handler: str, staged: Path) -> None:
    module = handler.rpartition(".")[0]

    result = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, str(staged), module], capture_output=True, text=True, check=True, timeout=60
    )

    modules = json.loads(result.stdout)
    top = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    installed = {name for name in top if not name.startswith(("__", "_distutils", "_virtualenv"))}
    # Powertools looks into botocore's empty top package.
    allowed = {"streams", "iot", "resolvers", "aws_lambda_powertools", "jmespath", "typing_extensions", "botocore"}
    assert installed <= allowed
    # boto3 is there on Lambda, but its import is what every cold start would wait for.
    assert "botocore.session" not in modules


@pytest.mark.parametrize(
    "logical_id",
    [
        "IngestFunction",
        "RegisterDeviceFunction",
        "UpdateDeviceFunction",
        "RemoveDeviceFunction",
        "SendCommandFunction",
        "DeviceFieldsFunction",
        "AuthorizePartnerFunction",
        "ListAggregatesFunction",
        "PartnerTokensFunction",
    ],
)
def test_a_role_allows_what_its_function_calls_and_no_more_of_the_table(logical_id: str) -> None:
    module = FUNCTIONS[logical_id]["Handler"].rpartition(".")[0]
    source = (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")

    needed = set().union(*(ACTIONS[operation] for operation in called_operations(source)))
    granted = {action for action in role_actions(logical_id) if action.startswith(("dynamodb:", "sqs:"))}

    if "TransactWriteItems" in called_operations(source) and logical_id.startswith(("Remove", "Register")):
        needed |= {"dynamodb:DeleteItem"}
    assert granted == needed


def called_operations(source: str) -> set[str]:
    """Names of AWS operations written in a module."""
    constants = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str) and value in ACTIONS}


def role_actions(logical_id: str) -> set[str]:
    role = TEMPLATE["Resources"][f"{logical_id.removesuffix('Function')}Role"]["Properties"]
    actions: set[str] = set()
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            actions |= set(as_list(statement["Action"]))
    return actions


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_no_role_names_a_wildcard_action_or_more_resources_than_it_must() -> None:
    # AWS gives these actions no resource to name.
    unscoped = {"iot:CreateCertificateFromCsr", "iot:DescribeEndpoint", "iot:ListRetainedMessages"}
    for name, role in resources_of_type(TEMPLATE, "AWS::IAM::Role").items():
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = set(as_list(statement["Action"]))
                assert not any("*" in action for action in actions), name
                assert "*" not in as_list(statement["Resource"]) or actions <= unscoped, name


def test_every_service_that_takes_a_source_account_is_held_to_this_one() -> None:
    for name, role in resources_of_type(TEMPLATE, "AWS::IAM::Role").items():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        if trust["Principal"]["Service"] != "lambda.amazonaws.com":
            assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}, name


@pytest.mark.parametrize("logical_id", FUNCTIONS)
def test_a_function_finds_in_its_environment_what_its_code_requires(logical_id: str) -> None:
    module = FUNCTIONS[logical_id]["Handler"].rpartition(".")[0]
    source = (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    required = {
        node.args[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "required"
        and isinstance(node.args[0], ast.Constant)
    }

    given = set(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"])
    given |= set(FUNCTIONS[logical_id].get("Environment", {}).get("Variables", {}))

    # These two Lambda sets itself.
    assert required <= given | {"AWS_REGION", "AWS_LAMBDA_FUNCTION_NAME"}


@pytest.mark.parametrize(
    ("rule_id", "topic"), [("AlarmRule", "devices/d/alarms"), ("ReplyRule", "devices/d/commands/c/reply")]
)
@pytest.mark.parametrize("payload", [b"\xff no json", b'{"status":"SUCCEEDED","result":1e200}'])
def test_a_device_event_reaches_its_function_as_it_was_sent(rule_id: str, topic: str, payload: bytes) -> None:
    sql = TEMPLATE["Resources"][rule_id]["Properties"]["TopicRulePayload"]
    rule = compile_rule(sql["Sql"], sql["AwsIotSqlVersion"])

    event = json.loads(to_json(rule.evaluate(rule.environment(Message(topic, payload, 1_732_489_762_123, bytes)))))

    assert base64.b64decode(event["payload"]) == payload
    assert event["deviceId"] == "d"
