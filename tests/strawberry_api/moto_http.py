"""moto behind the protocols that deployed code speaks over its own connection, for tests of whole handlers.

One server for the process; what it hands calls to is made anew for each test.
"""

import gc
import json
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.strawberry_api.moto_aws import REGION, create_queue, create_table, in_moto

ACCOUNT = "123456789012"
CONTEXT = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=256,
    invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:function",
    aws_request_id="00000000-0000-0000-0000-000000000000",
    get_remaining_time_in_millis=lambda: 30_000,
)
_CLIENTS = {"DynamoDB_20120810": "dynamodb", "AmazonSQS": "sqs"}


class MotoEndpoint(ThreadingHTTPServer):
    """DynamoDB and SQS by moto; notes what is sent to any path (iot-data, Scheduler, GraphQL), and answers it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.daemon_threads = True
        self.clients: dict[str, Any] = {}
        self.posted: list[tuple[str, Any]] = []
        self.sent: list[tuple[str, str]] = []
        self.answers: list[tuple[int, Any]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def item(self, partition: str, sort: str) -> dict[str, Any]:
        """An item as the table has it; empty when there is none."""
        key = {"PK": {"S": partition}, "SK": {"S": sort}}
        found: dict[str, Any] = self.clients["dynamodb"].get_item(TableName="headwater", Key=key).get("Item", {})
        return found

    def messages(self, queue_url: str) -> list[Any]:
        """Take what lies in a queue."""
        received = self.clients["sqs"].receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in received.get("Messages", [])]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, MotoEndpoint)
        body = self.rfile.read(int(self.headers["content-length"]))
        prefix, _, operation = self.headers.get("x-amz-target", "").partition(".")
        if prefix:
            status, answer = self._call(self.server.clients[_CLIENTS[prefix]], operation, json.loads(body))
        else:
            self.server.sent.append((self.command, self.path))
            self.server.posted.append((self.path, json.loads(body or b"null")))
            status, answer = self.server.answers.pop(0) if self.server.answers else (200, {})
        text = json.dumps(answer, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_DELETE = do_POST

    def _call(self, client: Any, operation: str, request: dict[str, Any]) -> tuple[int, Any]:
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        try:
            answer = getattr(client, method)(**request)
        except ClientError as error:
            details = error.response["Error"]
            refusal = {"__type": f"com.amazonaws#{details['Code']}", "message": details["Message"]}
            reasons = error.response.get("CancellationReasons")
            if reasons:
                refusal["CancellationReasons"] = reasons
            return error.response["ResponseMetadata"]["HTTPStatusCode"], refusal
        del answer["ResponseMetadata"]
        return 200, answer

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@cache
def _endpoint() -> MotoEndpoint:
    return MotoEndpoint()


def forget_clients() -> None:
    """Let every handler begin as in a fresh environment: they keep their clients, and those their connections."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in ("iot", "resolvers", "streams"):
                for member in list(vars(module).values()):
                    if hasattr(member, "cache_clear"):
                        member.cache_clear()
        gc.collect()


@contextmanager
def deployed(patch: pytest.MonkeyPatch) -> Iterator[MotoEndpoint]:
    """The table and queues, and the environment that the template gives functions."""
    endpoint = _endpoint()
    for name in ("AWS_ENDPOINT_URL", "DEMAND_AWARE"):
        patch.delenv(name, raising=False)
    variables = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "TABLE_NAME": "headwater",
        "AUTO_REGISTER": "true",
        "PACK_HISTORY": "false",
        "RETENTION_DAYS": "30",
        "AGGREGATE_RETENTION_DAYS": "400",
        "DEVICE_POLICY_NAME": "device",
        "GRAPHQL_URL": f"{endpoint.url}/graphql",
        "COMMAND_TIMEOUT_ARN": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:timeout",
        "SCHEDULE_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/schedule",
    }
    for name, value in variables.items():
        patch.setenv(name, value)
    with in_moto():
        create_table()
        patch.setenv("DEAD_LETTER_QUEUE_URL", create_queue("dead-letters"))
        patch.setenv("ERASURE_QUEUE_URL", create_queue("erasure"))
        endpoint.clients = {name: boto3.client(name, region_name=REGION) for name in _CLIENTS.values()}
        endpoint.posted, endpoint.sent, endpoint.answers = [], [], []
        # From here on: the clients above go to moto itself.
        for name in ("DYNAMODB", "SQS", "SCHEDULER", "IOT_DATA_PLANE"):
            patch.setenv(f"AWS_ENDPOINT_URL_{name}", endpoint.url)
        forget_clients()
        yield endpoint
        forget_clients()
