"""Roles against calls: every call of a run is allowed by its function's role, and what a role allows is called.

The run is tests/operations/recorded_calls.py: the shared scenario, the rest of the API, and all device events.
"""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from headwater.values.policy import PolicyDocument, decide
from tests.template.template_file import ROOT, load_template, resources_of_type

TEMPLATE = load_template()
FUNCTIONS = resources_of_type(TEMPLATE, "AWS::Serverless::Function")
# The event source mapping, the log and asynchronous invocation act in the role's name.
BY_AWS = re.compile(
    r"logs:|kinesis:|dynamodb:(DescribeStream|GetRecords|GetShardIterator|ListStreams)$|sqs:(?!SendMessage)"
)
# What a run without faults does not reach, and where it is tested.
NOT_REACHED = {
    # A registration that fails half-way: tests/resolvers/test_certificates.py.
    "RegisterDeviceFunction": {
        "iot:DeleteCertificate",
        "iot:DetachPolicy",
        "iot:DetachThingPrincipal",
        "iot:ListAttachedPolicies",
        "iot:ListPrincipalThings",
        "iot:UpdateCertificate",
    },
    # The service is no AWS call of its own kind here: tests/streams/test_publish.py signs it.
    "FanoutFunction": {"appsync:GraphQL", "sqs:SendMessage"},
    # Handed over by Lambda after the last attempt.
    "AggregateFunction": {"sqs:SendMessage"},
    "CommandTimeoutFunction": {"sqs:SendMessage"},
    "PresenceFunction": {"sqs:SendMessage"},
    # PassRole is asked for by the scheduler; tests/resolvers/test_functions.py closes a command that cannot be sent.
    "SendCommandFunction": {"iam:PassRole", "dynamodb:UpdateItem"},
    # A device that is removed while its desired state is set: tests/resolvers/test_device_shadow.py.
    "DeviceShadowFunction": {"iot:DeleteThingShadow"},
    # Of stage prod: tests/journeys/test_canary.py runs it with its role, whose every permission it needs to succeed.
    "CanaryFunction": {"appsync:GraphQL", "iot:Publish"},
    # After a minute of work: tests/resolvers/test_erasure.py.
    "EraseFunction": {"sqs:SendMessage"},
}


@pytest.fixture(scope="module")
def recorded() -> set[tuple[str, str]]:
    """(function, action) of every call."""
    command = [sys.executable, "-m", "tests.operations.recorded_calls"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr
    return {(function, action) for function, action in json.loads(done.stdout.splitlines()[-1])}


def policies(logical_id: str) -> list[dict[str, Any]]:
    role_id = f"{logical_id.removesuffix('Function')}Role"
    attached = resources_of_type(TEMPLATE, "AWS::IAM::Policy").values()
    own = [
        *TEMPLATE["Resources"][role_id]["Properties"]["Policies"],
        *(policy for policy in attached if {"Ref": role_id} in policy["Roles"]),
    ]
    return [statement for policy in own for statement in policy["PolicyDocument"]["Statement"]]


def granted(logical_id: str) -> set[str]:
    found: set[str] = set()
    for statement in policies(logical_id):
        found |= {statement["Action"]} if isinstance(statement["Action"], str) else set(statement["Action"])
    return found


@pytest.mark.parametrize("logical_id", FUNCTIONS)
def test_a_role_allows_every_call_its_function_made(logical_id: str, recorded: set[tuple[str, str]]) -> None:
    documents = [
        PolicyDocument.parse(
            {
                "Version": "2012-10-17",
                "Statement": [{**statement, "Resource": "*"} for statement in policies(logical_id)],
            }
        )
    ]

    refused = {action for name, action in recorded if name == logical_id and not decide(documents, action, "*").allowed}

    assert refused == set()


@pytest.mark.parametrize("logical_id", FUNCTIONS)
def test_a_role_allows_nothing_that_its_function_never_calls(logical_id: str, recorded: set[tuple[str, str]]) -> None:
    called = {action for name, action in recorded if name == logical_id}

    unused = {action for action in granted(logical_id) - called if not BY_AWS.match(action)}

    assert unused - NOT_REACHED.get(logical_id, set()) == set()
    # An exception that is no longer one is taken out.
    assert NOT_REACHED.get(logical_id, set()) <= unused
