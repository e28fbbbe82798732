"""Run the whole API and all device events on moto, and print which function made which call: [[function, action], …].

A process of its own, because handlers keep their clients: `python -m tests.operations.recorded_calls`. Each function
signs with a key named after it; a proxy before moto reads it.
"""

import asyncio
import base64
import importlib
import json
import re
import sys
import threading
import urllib.request
from collections.abc import Iterable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
from moto.server import ThreadedMotoServer

from headwater.deploy.iot.operations import OPERATIONS
from tests.operations.scenario import run_scenario
from tests.operations.test_operations import NOW_MS, RUN, StrawberryImplementation
from tests.resolvers.test_certificates import signing_request
from tests.strawberry_api.backend import LAMBDA_CONTEXT, Backend
from tests.strawberry_api.callers import person
from tests.strawberry_api.moto_aws import REGION, create_queue, create_table, stream_event
from tests.template.template_file import load_template, resources_of_type

FUNCTIONS = resources_of_type(load_template(), "AWS::Serverless::Function")
ACCOUNT = "123456789012"
_CREDENTIAL = re.compile(r"Credential=(\w+)/\d+/[\w-]+/(\w+)/")


class Recorder(ThreadingHTTPServer):
    """Hands requests on to moto and notes (function, action) of each."""

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.calls: set[tuple[str, str]] = set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        server = self.server
        assert isinstance(server, Recorder)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        for action in actions(self.command, self.path, self.headers, body):
            server.calls.add((caller(self.headers), action))
        if self.path.startswith("/retainedMessage"):
            # moto has no retained messages: here is one of the device that the run removes.
            self._answer(
                200,
                {},
                json.dumps({"retainedTopics": [{"topic": "devices/dev-1/x", "lastModifiedTime": NOW_MS}]}).encode(),
            )
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        request = urllib.request.Request(
            server.target + self.path, body or None, headers | {"Host": self.headers["host"]}, method=self.command
        )
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except HTTPError as refusal:
            answer = refusal
        with answer:
            content = answer.read()
        self._answer(answer.status, dict(answer.headers), content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _forward

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the calls are noted."""


def caller(headers: Message) -> str:
    match = _CREDENTIAL.search(headers.get("authorization", ""))
    return match[1] if match else ""


def actions(method: str, path: str, headers: Message, body: bytes) -> list[str]:
    """What IAM asks for: the operation, of a transaction its parts."""
    target = headers.get("x-amz-target", "")
    if target.startswith("DynamoDB_"):
        operation = target.partition(".")[2]
        if operation == "TransactWriteItems":
            parts = {kind for part in json.loads(body)["TransactItems"] for kind in part}
            return [f"dynamodb:{kind}Item" for kind in parts]
        return [f"dynamodb:{operation}"]
    if target.startswith("AmazonSQS."):
        # A batch needs the permission of its parts.
        return [f"sqs:{target.partition('.')[2].removesuffix('Batch')}"]
    service = match[2] if (match := _CREDENTIAL.search(headers.get("authorization", ""))) else ""
    if service == "scheduler":
        return ["scheduler:CreateSchedule"]
    segments = path.partition("?")[0].strip("/").split("/")
    if service == "iotdata":
        return data_actions(method, segments, path)
    return [f"iot:{known.name}" for known in OPERATIONS if known.method == method and fits(known.path, segments)]


def data_actions(method: str, segments: list[str], path: str) -> list[str]:
    """The IoT data plane's operations, by path."""
    if segments[0] == "topics":
        return ["iot:Publish", "iot:RetainPublish"] if "retain=true" in path else ["iot:Publish"]
    if segments[-1] == "shadow":
        return [f"iot:{ {'GET': 'Get', 'POST': 'Update', 'DELETE': 'Delete'}[method] }ThingShadow"]
    if segments[:3] == ["api", "things", "shadow"]:
        return ["iot:ListNamedShadowsForThing"]
    if segments == ["retainedMessage"]:
        return ["iot:ListRetainedMessages"]
    raise AssertionError(f"{method} {path} is of no known operation")


def fits(path: str, parts: list[str]) -> bool:
    pattern = path.split("/")
    return len(pattern) == len(parts) and all(
        one.startswith("{") or one == other for one, other in zip(pattern, parts, strict=True)
    )


def recorded() -> Iterable[tuple[str, str]]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    recorder = Recorder(f"http://{host}:{port}")
    thread = threading.Thread(target=recorder.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        try:
            run_all(patch, f"http://127.0.0.1:{recorder.server_address[1]}")
        finally:
            recorder.shutdown()
            thread.join()
            recorder.server_close()
            moto.stop()
    return sorted(recorder.calls)


class Attributed(Backend):
    """The second implementation, with the key of the function it invokes."""

    patch: pytest.MonkeyPatch

    def invoke(self, resolver: dict[str, Any], event: Any) -> Any:
        (function_id, _) = self._source(resolver)["LambdaConfig"]["LambdaFunctionArn"]["Fn::GetAtt"]
        become(self.patch, function_id)
        return super().invoke(resolver, event)


def become(patch: pytest.MonkeyPatch, logical_id: str) -> None:
    patch.setenv("AWS_ACCESS_KEY_ID", logical_id)
    # boto3's session keeps the first credentials it finds.
    boto3.setup_default_session()


def run_all(patch: pytest.MonkeyPatch, url: str) -> None:
    variables = {
        "AWS_ENDPOINT_URL": url,
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "TABLE_NAME": "headwater",
        "AUTO_REGISTER": "true",
        "PACK_HISTORY": "false",
        "RETENTION_DAYS": "30",
        "AGGREGATE_RETENTION_DAYS": "400",
        "GRAPHQL_URL": "http://127.0.0.1:9/graphql",
        "DEMAND_AWARE": "true",
        "DEVICE_POLICY_NAME": "device",
        "COMMAND_TIMEOUT_ARN": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:timeout",
        "SCHEDULE_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/schedule",
    }
    for name, value in variables.items():
        patch.setenv(name, value)
    become(patch, "Test")
    patch.setenv("DEAD_LETTER_QUEUE_URL", create_queue("dead-letters"))
    patch.setenv("ERASURE_QUEUE_URL", create_queue("erasure"))
    create_table()
    boto3.client("iot", region_name=REGION).create_policy(policyName="device", policyDocument="{}")
    backend = Attributed("headwater")
    backend.patch = patch
    asyncio.run(_run_operations(backend))
    _run_events(patch)


async def _run_operations(backend: Attributed) -> None:
    class Scenario(StrawberryImplementation):
        async def send_telemetry(self, device_id: str, payload: dict[str, Any]) -> None:
            become(backend.patch, "IngestFunction")
            await super().send_telemetry(device_id, payload)

    await run_scenario(Scenario(backend), run=RUN, now_ms=NOW_MS)
    admin = person("lp", "admin")
    given = {"deviceId": "dev-1", "siteId": "a", "certificateSigningRequest": signing_request()}
    register = "mutation R($i: RegisterDeviceInput!) { registerDevice(input: $i) { certificateId } }"
    assert "errors" not in await backend.execute(register, {"i": given}, admin)
    for query in (
        'mutation { updateDevice(input: {deviceId: "dev-1", siteId: "b"}) { deviceId } }',
        'mutation { sendCommand(input: {deviceId: "dev-1", name: "x"}) { commandId } }',
        'mutation { setDesiredState(deviceId: "dev-1", desired: "{}") { version } }',
        'query { getDeviceShadow(deviceId: "dev-1") { version } }',
        'mutation { createPartnerToken(input: {name: "x"}) { partnerToken { tokenId } token } }',
        'query { listAggregates(deviceId: "dev-1", from: "2024-11-24T00:00:00Z") { nextToken } }',
        "query { listDevices { items { state { seq } presence { since } } } }",
        'mutation { removeDevice(deviceId: "dev-1", eraseData: true) { deviceId } }',
        'mutation { eraseTenant(tenantId: "lp", confirm: "lp") { status } }',
        # Once more: what runs is resumed.
        'mutation { eraseTenant(tenantId: "lp", confirm: "lp") { status } }',
    ):
        answer = await backend.execute(query, {}, admin)
        assert "errors" not in answer, answer
        if "createPartnerToken" in query:
            token = answer["data"]["createPartnerToken"]
            call(backend.patch, "AuthorizePartnerFunction", {"authorizationToken": token["token"]})
            revoke = f'mutation {{ revokePartnerToken(tokenId: "{token["partnerToken"]["tokenId"]}") {{ tokenId }} }}'
            assert "errors" not in await backend.execute(revoke, {}, admin)


def _run_events(patch: pytest.MonkeyPatch) -> None:
    call(patch, "IngestFunction", kinesis_event(("dev-9", {"ts": NOW_MS, "seq": 1, "temperature": 99}), ("bad id", {})))
    keys = {"PK": {"S": "DEV#dev-9#2024-11-24"}, "SK": {"S": f"TS#{NOW_MS:013d}#{1:016d}"}}
    call(patch, "AggregateFunction", {"Records": [{"dynamodb": {"Keys": keys}}], "isFinalInvokeForWindow": True})
    become(patch, "Test")
    changes = stream_event("headwater")
    call(patch, "FanoutFunction", changes)
    lifecycle = {"clientId": "dev-9", "timestamp": NOW_MS, "eventType": "connected", "versionNumber": 1}
    call(patch, "PresenceFunction", lifecycle)
    payload = base64.b64encode(b'{"status":"SUCCEEDED"}').decode()
    reply = {"deviceId": "dev-9", "commandId": "c", "payload": payload, "receivedAt": NOW_MS}
    call(patch, "ReplyFunction", reply)
    call(patch, "ReplyFunction", {**reply, "payload": ""})
    call(patch, "CommandTimeoutFunction", {"deviceId": "dev-9", "commandId": "c"})
    alarm = {"deviceId": "dev-9", "ts": NOW_MS, "seq": 1, "name": "x", "receivedAt": NOW_MS}
    call(patch, "AlarmFunction", alarm)
    call(patch, "AlarmFunction", {**alarm, "seq": "x"})
    call(patch, "RegisterDeviceFunction", appsync_event("registerDevice", {"input": {"deviceId": "dev-7"}}))
    refused = {"deviceId": "dev-6", "certificateSigningRequest": "garbage"}
    with pytest.raises(Exception, match="CreateCertificateFromCsr"):
        call(patch, "RegisterDeviceFunction", appsync_event("registerDevice", {"input": refused}))
    certificate = {"deviceId": "dev-8", "certificateSigningRequest": signing_request()}
    call(patch, "RegisterDeviceFunction", appsync_event("registerDevice", {"input": certificate}))
    for message in ({"tenantId": "lp"}, {"tenantId": "lp", "deviceId": "dev-1", "removedAt": NOW_MS, "before": NOW_MS}):
        call(patch, "EraseFunction", {"Records": [{"body": json.dumps(message)}]})


def appsync_event(field: str, arguments: dict[str, Any]) -> dict[str, Any]:
    info = {"parentTypeName": "Mutation", "fieldName": field, "variables": {}, "selectionSetList": []}
    identity = person("lp", "admin").identity
    return {"arguments": arguments, "identity": identity, "source": None, "request": {"headers": {}}, "info": info}


def kinesis_event(*payloads: tuple[str, Any]) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventID": f"shardId-000000000000:{place}",
                "kinesis": {
                    "partitionKey": device_id,
                    "sequenceNumber": str(place),
                    "data": base64.b64encode(json.dumps(payload).encode()).decode(),
                    "approximateArrivalTimestamp": NOW_MS / 1000,
                },
            }
            for place, (device_id, payload) in enumerate(payloads)
        ]
    }


def call(patch: pytest.MonkeyPatch, logical_id: str, event: Any) -> Any:
    become(patch, logical_id)
    module, _, name = FUNCTIONS[logical_id]["Handler"].rpartition(".")
    return getattr(importlib.import_module(module), name)(event, LAMBDA_CONTEXT)


if __name__ == "__main__":
    # The last line is the answer: handlers log before it.
    sys.stdout.write("\n" + json.dumps(list(recorded())) + "\n")
