"""The shared operations, answered by the running product: the JSON that Strawberry and moto give."""

import asyncio
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.operations.deployed_stack import DeployedStack
from tests.operations.scenario import run_scenario
from tests.support.product import Product, now_ms
from tests.support.subscriber import Subscriber

POLL_S = 0.05
STACK = os.environ.get("HEADWATER_STACK", "")


class RunningProduct:
    """Operations over HTTP, telemetry through the stream; `patience_s` is for the whole scenario."""

    def __init__(self, product: Product, run: str, *, patience_s: float) -> None:
        self._product = product
        self._deadline = time.monotonic() + patience_s
        self._kinesis = product.boto3("kinesis")
        (self._stream,) = self._kinesis.list_streams()["StreamNames"]
        self._tokens = {
            "admin": product.token("admin", tenant=f"ops-{run}"),
            "operator": product.token("operator", tenant=f"ops-{run}"),
            "viewer": product.token("viewer", tenant=f"ops-{run}"),
            "stranger": product.token("admin", tenant=f"other-{run}"),
        }

    async def execute(self, query: str, variables: dict[str, Any], caller: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._post, json.dumps({"query": query, "variables": variables}), caller)

    async def send_telemetry(self, device_id: str, payload: dict[str, Any]) -> None:
        data = json.dumps(payload).encode()
        await asyncio.to_thread(self._kinesis.put_record, StreamName=self._stream, PartitionKey=device_id, Data=data)

    async def wait(self) -> bool:
        await asyncio.sleep(POLL_S)
        return time.monotonic() < self._deadline

    def _post(self, body: str, caller: str) -> dict[str, Any]:
        url = self._product.ready["graphqlUrl"]
        request = urllib.request.Request(url, body.encode(), self._headers(url, body, caller))
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                document: dict[str, Any] = json.loads(answer.read())
        except urllib.error.HTTPError as refusal:
            # An answer as well: AppSync refuses a whole request with a status and errors[].
            with refusal:
                document = json.loads(refusal.read())
        return document

    def _headers(self, url: str, body: str, caller: str) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if caller == "apiKey":
            return {**headers, "x-api-key": self._product.ready["apiKey"]}
        if caller == "service":
            request = AWSRequest("POST", url, data=body, headers=headers)
            credentials = Credentials(self._product.ready["accessKeyId"], self._product.ready["secretAccessKey"])
            SigV4Auth(credentials, "appsync", self._product.ready["region"]).add_auth(request)
            return dict(request.headers.items())
        return {**headers, "authorization": self._tokens[caller]}


@pytest.mark.skipif(not STACK, reason="make test-aws STACK=… runs it on a deployed stack")
async def test_every_operation_answers_so_on_a_deployed_stack() -> None:
    at_ms = now_ms()
    run = f"r{at_ms}"
    stack = DeployedStack(STACK, run, patience_s=240)

    try:
        await run_scenario(stack, run=run, now_ms=at_ms)
    finally:
        stack.close()


async def test_every_operation_answers_as_the_scenario_says(product: Product) -> None:
    at_ms = now_ms()
    run = f"r{at_ms}"

    await run_scenario(RunningProduct(product, run, patience_s=60), run=run, now_ms=at_ms)


def test_a_partners_token_reads_and_subscribes_until_it_is_revoked(product: Product) -> None:
    admin = {"authorization": product.token("admin", tenant="partner-tests")}
    created = product.data(
        'mutation { createPartnerToken(input: {name: "erp"}) { token partnerToken { tokenId } } }', headers=admin
    )["createPartnerToken"]
    partner = {"authorization": created["token"]}
    register = 'mutation { registerDevice(input: {deviceId: "partner-1"}) { device { tenantId } } }'
    product.data(register, headers=admin)
    subscriber = Subscriber(product, "subscription { onDeviceState { deviceId tenantId } }", headers=partner)

    telemetry_record = json.dumps({"ts": now_ms(), "seq": 1, "temperature": 20}).encode()
    kinesis = product.boto3("kinesis")
    (stream,) = kinesis.list_streams()["StreamNames"]
    kinesis.put_record(StreamName=stream, PartitionKey="partner-1", Data=telemetry_record)

    assert product.data("{ listDevices { items { deviceId } } }", headers=partner)["listDevices"]["items"] == [
        {"deviceId": "partner-1"}
    ]
    assert product.graphql(register, headers=partner)["errors"][0]["errorType"] == "Unauthorized"
    assert subscriber.next_where(deviceId="partner-1")["tenantId"] == "partner-tests"

    revoke = "mutation R($id: ID!) { revokePartnerToken(tokenId: $id) { revokedAt } }"
    product.data(revoke, {"id": created["partnerToken"]["tokenId"]}, headers=admin)

    assert subscriber.events.get(timeout=15)["type"] in ("complete", "error")
    subscriber.close()
