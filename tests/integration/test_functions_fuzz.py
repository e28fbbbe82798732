"""Requests of wrong JSON types and shapes: the Lambda API answers each with a client's error, or takes it."""

import asyncio
import base64
import http.client
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.integration.lambda_stack import LambdaStack, deployment_package, lambda_stack

ARN = "arn:aws:lambda:us-east-1:123456789012:function:made"
PACKAGE = {"ZipFile": base64.b64encode(deployment_package({"app.py": "def run(e, c): return 1"})).decode()}
CREATE = {
    "FunctionName": "other",
    "Runtime": "python3.12",
    "Role": "arn:aws:iam::123456789012:role/r",
    "Handler": "app.run",
    "Code": PACKAGE,
}
STREAM = {
    "FunctionName": "made",
    "EventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/s",
    "StartingPosition": "LATEST",
}
VALUES: list[Any] = [
    None,
    5,
    -1,
    1.5,
    True,
    "",
    "x" * 3000,
    [],
    [5],
    [None],
    {},
    {"a": 5},
    10**30,
    {"Variables": {"A": 5}},
    {"OnFailure": {"Destination": 5}},
    {"OnFailure": 5},
    {"Filters": 5},
    {"Filters": [{"Pattern": 5}]},
    {"AdditionalVersionWeights": {"1": "x"}},
    [f"arn:aws:lambda:us-east-1:123456789012:layer:l:{'9' * 5000}"],
    {"MaximumConcurrency": "x"},
    {"ZipFile": "!!"},
    {"S3Bucket": 5, "S3Key": []},
    {"LogFormat": 5},
    {"TargetArn": 5},
]
OPERATIONS: dict[tuple[str, str], tuple[dict[str, Any], str]] = {
    ("POST", "/2015-03-31/functions"): (
        CREATE,
        "FunctionName Runtime Role Handler Code Timeout MemorySize Environment Layers Tags LoggingConfig Publish "
        "DeadLetterConfig Description VpcConfig PackageType Architectures",
    ),
    ("PUT", "/2015-03-31/functions/made/configuration"): ({}, "Timeout Environment Layers Role Runtime RevisionId"),
    ("PUT", "/2015-03-31/functions/made/code"): ({}, "ZipFile S3Bucket RevisionId Publish"),
    ("POST", "/2015-03-31/functions/made/versions"): ({}, "Description CodeSha256 RevisionId"),
    ("POST", "/2015-03-31/functions/made/aliases"): (
        {"Name": "n", "FunctionVersion": "1"},
        "Name FunctionVersion Description RoutingConfig",
    ),
    ("PUT", "/2015-03-31/functions/made/aliases/live"): ({}, "FunctionVersion RoutingConfig Description RevisionId"),
    ("POST", "/2015-03-31/functions/made/policy"): (
        {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "x.amazonaws.com"},
        "StatementId Action Principal SourceArn RevisionId",
    ),
    ("PUT", "/2019-09-25/functions/made/event-invoke-config"): (
        {},
        "MaximumRetryAttempts MaximumEventAgeInSeconds DestinationConfig",
    ),
    ("PUT", "/2017-10-31/functions/made/concurrency"): ({}, "ReservedConcurrentExecutions"),
    ("POST", f"/2017-03-31/tags/{quote(ARN, safe='')}"): ({}, "Tags"),
    ("POST", "/2018-10-31/layers/words/versions"): ({"Content": PACKAGE}, "Content CompatibleRuntimes LicenseInfo"),
    ("POST", "/2015-03-31/event-source-mappings"): (
        STREAM,
        "FunctionName EventSourceArn Enabled BatchSize FilterCriteria StartingPosition StartingPositionTimestamp "
        "DestinationConfig FunctionResponseTypes ScalingConfig Tags MetricsConfig BisectBatchOnFunctionError",
    ),
}
BODIES = [b"{", b"[]", b"5", b"null", b"\xff", b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}"]
PATHS = [
    "/2015-03-31/functions?MaxItems=x",
    "/2015-03-31/functions?Marker=99999",
    "/2015-03-31/functions/%00/",
    "/2015-03-31/functions/made:a:b",
    "/2015-03-31/functions/made?Qualifier=%00",
    f"/2015-03-31/functions/{'x' * 5000}",
    "/2015-03-31/",
    "/2018-10-31/layers/l/versions/x",
    "/2018-10-31/layers/l/versions/99999999999999999999",
    "/2018-10-31/layers/l/versions/--5",
    f"/2018-10-31/layers/l/versions/{'9' * 5000}",
    f"/2018-10-31/layers?find=LayerVersion&Arn=arn:aws:lambda:us-east-1:123456789012:layer:l:{'9' * 5000}",
    f"/2018-10-31/layers?MaxItems={'9' * 5000}",
    f"/2018-10-31/layers?Marker={'9' * 5000}",
    "/2018-10-31/layers/..%2f..%2fx/versions",
    "/2018-10-31/layers?find=LayerVersion&Arn=x",
    "/2017-03-31/tags/x",
    "/2015-03-31/event-source-mappings?FunctionName=%ff",
]


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LambdaStack]:
    async with lambda_stack(tmp_path / "lambda") as subject:
        await subject.create_stream("s")
        code = {"ZipFile": base64.b64decode(PACKAGE["ZipFile"])}
        await subject.call("create_function", **{**CREATE, "FunctionName": "made", "Code": code})
        await subject.call("publish_version", FunctionName="made")
        await subject.call("create_alias", FunctionName="made", Name="live", FunctionVersion="1")
        yield subject


def requests() -> Iterator[tuple[str, str, bytes]]:
    for (method, path), (base, members) in OPERATIONS.items():
        for member, value in itertools.product(members.split(), VALUES):
            yield method, path, json.dumps({**base, member: value}).encode()
        for body in BODIES:
            yield method, path, body
    for method, path in itertools.product(("GET", "DELETE", "PUT", "POST"), PATHS):
        yield method, path, b""


def statuses(url: str) -> list[tuple[int, str, str, bytes]]:
    """What is neither taken nor a client's error."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=20)
    found = []
    for method, path, body in requests():
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if not 200 <= answer.status < 500:
            found.append((answer.status, method, path, body[:200]))
    connection.close()
    return found


async def test_no_request_of_a_wrong_shape_is_a_servers_error(stack: LambdaStack, tmp_path: Path) -> None:
    found = await asyncio.to_thread(statuses, stack.lambda_client.meta.endpoint_url)

    assert found == []
    assert {path.name for path in tmp_path.iterdir()} <= {"lambda", "lambda-layers"}
