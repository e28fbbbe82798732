"""The shared operations, answered by Strawberry and moto."""

import base64
import json
from typing import Any

import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from streams import ingest
from tests.operations.scenario import run_scenario
from tests.strawberry_api.backend import LAMBDA_CONTEXT, Backend
from tests.strawberry_api.callers import API_KEY, SERVICE, person

RUN = "r1"
NOW_MS = 1_732_489_762_123


class StrawberryImplementation:
    """Telemetry goes through the ingestion handler at once, so there is nothing to wait for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._callers = {
            "admin": person(f"ops-{RUN}", "admin"),
            "operator": person(f"ops-{RUN}", "operator"),
            "viewer": person(f"ops-{RUN}", "viewer"),
            "stranger": person(f"other-{RUN}", "admin"),
            "apiKey": API_KEY,
            "service": SERVICE,
        }

    async def execute(self, query: str, variables: dict[str, Any], caller: str) -> dict[str, Any]:
        return await self._backend.execute(query, variables, self._callers[caller])

    async def send_telemetry(self, device_id: str, payload: dict[str, Any]) -> None:
        kinesis = {
            "partitionKey": device_id,
            "sequenceNumber": str(payload["seq"]),
            "data": base64.b64encode(json.dumps(payload).encode()).decode(),
            "approximateArrivalTimestamp": NOW_MS / 1000,
        }
        answer = ingest.handler(
            {"Records": [{"eventID": "shardId-000000000000:1", "kinesis": kinesis}]}, LAMBDA_CONTEXT
        )
        assert answer == {"batchItemFailures": []}

    async def wait(self) -> bool:
        return False


async def test_every_operation_answers_as_the_scenario_says(backend: Backend) -> None:
    await run_scenario(StrawberryImplementation(backend), run=RUN, now_ms=NOW_MS)


async def test_a_certificate_signing_request_is_answered_by_iot_core(backend: Backend) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dev-1")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    given = {
        "deviceId": "dev-1",
        "certificateSigningRequest": request.public_bytes(serialization.Encoding.PEM).decode(),
    }
    query = """mutation R($input: RegisterDeviceInput!) {
      registerDevice(input: $input) { certificatePem certificateId endpoint }
    }"""

    answer = await backend.execute(query, {"input": given}, person("acme", "admin"))

    registration = answer["data"]["registerDevice"]
    assert registration["certificatePem"].startswith("-----BEGIN CERTIFICATE-----")
    assert registration["endpoint"]
    iot = boto3.client("iot")
    (principal,) = iot.list_thing_principals(thingName="dev-1")["principals"]
    assert [policy["policyName"] for policy in iot.list_attached_policies(target=principal)["policies"]] == ["device"]
