"""A stack on AWS with the face of the local product: endpoints and names from its outputs, your credentials.

Everything a run makes carries its name or is remembered, and goes with `close`: people, devices with their data and
certificates, tenants.
"""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import paho.mqtt.client as mqtt
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.people import People
from tests.support.product import Product, now_ms

MQTT_TLS_PORT = 8883
TENANT = "demo"
_REGISTER = """mutation($input: RegisterDeviceInput!) {
  registerDevice(input: $input) { certificatePem endpoint } }"""
_REMOVE = "mutation($id: ID!) { removeDevice(deviceId: $id, eraseData: true) { deviceId } }"
_ERASE = "mutation($id: ID!, $confirm: String!) { eraseTenant(tenantId: $id, confirm: $confirm) { status } }"


def stack_outputs(stack: str, session: boto3.Session) -> dict[str, str]:
    """A stack's outputs by key."""
    described = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}


class DeployedProduct(Product):
    """A stack of stage dev. Devices get certificates of their own in the tenant `demo`, which the API key reads."""

    def __init__(self, outputs: Mapping[str, str], session: boto3.Session, people: People | None = None) -> None:
        super().__init__(Path(os.devnull))
        self.run = f"r{now_ms()}"
        self._outputs = outputs
        self._session = session
        self._people = people or People(
            session.client("cognito-idp"), outputs["UserPoolId"], outputs["UserPoolClientId"], self.run
        )
        self._keys = tempfile.TemporaryDirectory()
        self._devices: dict[str, str] = {}
        self._tenants: set[str] = set()
        self.ready = {
            "graphqlUrl": outputs["GraphQLUrl"],
            "realtimeUrl": outputs["RealtimeUrl"],
            "apiKey": outputs["ApiKey"],
            "region": session.region_name,
        }

    def start(self) -> "DeployedProduct":
        """It runs already."""
        return self

    def close(self) -> None:
        """Delete what the run made; goes on where something is gone already, and raises the first other failure."""
        with contextlib.ExitStack() as cleaning:
            cleaning.callback(self._keys.cleanup)
            cleaning.callback(self._people.close)
            for tenant_id in self._tenants:
                cleaning.callback(self.graphql_signed, _ERASE, {"id": tenant_id, "confirm": tenant_id})
            for device_id in self._devices:
                cleaning.callback(self._remove, device_id)

    def log(self) -> str:
        return "its logs are in CloudWatch"

    def tenant(self, name: str) -> str:
        tenant_id = f"{name}-{self.run}"
        self._tenants.add(tenant_id)
        return tenant_id

    @property
    def telemetry_rule(self) -> str:
        return self._outputs["TelemetryRuleName"]

    @property
    def telemetry_stream(self) -> str:
        return self._outputs["TelemetryStreamName"]

    def queue_url(self, queue: str) -> str:
        return self._outputs[f"{queue}Url"]

    def boto3(self, service: str) -> Any:
        return self._session.client(service)

    def token(self, *groups: str, tenant: str = TENANT, username: str = "") -> str:
        return self._people.token(tenant, *groups)

    def graphql_signed(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        body = self.body(query, variables)
        request = AWSRequest("POST", self.ready["graphqlUrl"], data=body, headers={"content-type": "application/json"})
        credentials = self._session.get_credentials()
        assert credentials is not None, "AWS credentials are needed"
        SigV4Auth(credentials.get_frozen_credentials(), "appsync", self.ready["region"]).add_auth(request)
        return self.graphql(query, variables, dict(request.headers.items()))

    def connect(self, client: mqtt.Client, client_id: str) -> None:
        folder = Path(self._keys.name) / client_id
        if client_id not in self._devices:
            self._register(client_id, folder)
        client.tls_set(self.ca_file(), certfile=str(folder / "device.pem"), keyfile=str(folder / "device.key"))
        client.connect(self._devices[client_id], self.mqtt_tls_port)

    # Other values where the service is not AWS's: tests/journeys/test_deployed.py runs this class on the local product.
    mqtt_tls_port = MQTT_TLS_PORT

    def ca_file(self) -> str | None:
        """None: the system's authorities, among them Amazon's."""
        return None

    def _register(self, device_id: str, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        pem = request.public_bytes(Encoding.PEM).decode()
        wanted = {"deviceId": device_id, "tenantId": TENANT, "certificateSigningRequest": pem}
        answer = self.graphql_signed(_REGISTER, {"input": wanted})
        if [error.get("errorType") for error in answer.get("errors", [])] == ["DeviceExists"]:
            # A run that was killed left it.
            self._remove(device_id)
            answer = self.graphql_signed(_REGISTER, {"input": wanted})
        assert "errors" not in answer, answer["errors"]
        registered = answer["data"]["registerDevice"]
        folder.mkdir(parents=True)
        (folder / "device.pem").write_text(registered["certificatePem"])
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "device.key").write_bytes(private)
        self._devices[device_id] = registered["endpoint"]

    def _remove(self, device_id: str) -> None:
        answer = self.graphql_signed(_REMOVE, {"id": device_id})
        kinds = {error.get("errorType") for error in answer.get("errors", [])}
        assert kinds <= {"NotFound"}, answer
