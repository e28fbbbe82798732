"""The scenario's implementation on a stack in AWS: endpoints from its outputs, people made for the run and deleted."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from tests.support.deployed import stack_outputs
from tests.support.people import People

POLL_S = 0.5


class DeployedStack:
    """A stack of stage dev. Tenants are named after the run; `close` erases them and deletes their people."""

    def __init__(self, stack: str, run: str, *, patience_s: float) -> None:
        self._session = boto3.Session()
        self._outputs = stack_outputs(stack, self._session)
        self._deadline = time.monotonic() + patience_s
        self._kinesis = self._session.client("kinesis")
        pool = (self._outputs["UserPoolId"], self._outputs["UserPoolClientId"])
        self._people = People(self._session.client("cognito-idp"), *pool, run)
        self._tenants = (f"ops-{run}", f"other-{run}")
        self._tokens = {
            "admin": self._people.token(f"ops-{run}", "admin"),
            "operator": self._people.token(f"ops-{run}", "operator"),
            "viewer": self._people.token(f"ops-{run}", "viewer"),
            "stranger": self._people.token(f"other-{run}", "admin"),
        }

    async def execute(self, query: str, variables: dict[str, Any], caller: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._post, json.dumps({"query": query, "variables": variables}), caller)

    async def send_telemetry(self, device_id: str, payload: dict[str, Any]) -> None:
        name, data = self._outputs["TelemetryStreamName"], json.dumps(payload).encode()
        await asyncio.to_thread(self._kinesis.put_record, StreamName=name, PartitionKey=device_id, Data=data)

    async def wait(self) -> bool:
        await asyncio.sleep(POLL_S)
        return time.monotonic() < self._deadline

    def close(self) -> None:
        erase = "mutation E($id: ID!, $confirm: String!) { eraseTenant(tenantId: $id, confirm: $confirm) { status } }"
        for tenant_id in self._tenants:
            self._post(json.dumps({"query": erase, "variables": {"id": tenant_id, "confirm": tenant_id}}), "service")
        self._people.close()

    def _post(self, body: str, caller: str) -> dict[str, Any]:
        url = self._outputs["GraphQLUrl"]
        request = urllib.request.Request(url, body.encode(), self._headers(url, body, caller))
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                document: dict[str, Any] = json.loads(answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                document = json.loads(refusal.read())
        return document

    def _headers(self, url: str, body: str, caller: str) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if caller == "apiKey":
            return {**headers, "x-api-key": self._outputs["ApiKey"]}
        if caller == "service":
            request = AWSRequest("POST", url, data=body, headers=headers)
            credentials = self._session.get_credentials().get_frozen_credentials()
            SigV4Auth(credentials, "appsync", self._session.region_name).add_auth(request)
            return dict(request.headers.items())
        return {**headers, "authorization": self._tokens[caller]}
