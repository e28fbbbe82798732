"""The stack on AWS as tests/support/deployed.py sees it, played by the local product: all but Cognito's sign-in."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.support.deployed import DeployedProduct
from tests.support.people import People
from tests.support.product import Device, Product, eventually, now_ms, telemetry
from tests.support.subscriber import Subscriber


class LocalPeople(People):
    """People whose tokens the local product signs: it refuses sign-in flows."""

    def __init__(self, product: Product) -> None:
        self._product = product

    def token(self, tenant_id: str, *groups: str) -> str:
        return self._product.token(*groups, tenant=tenant_id)

    def close(self) -> None:
        pass


class LocalStack(DeployedProduct):
    """Where the local product's authority and port are not AWS's."""

    def __init__(self, product: Product, session: boto3.Session) -> None:
        ready = product.ready
        outputs = {
            "GraphQLUrl": ready["graphqlUrl"],
            "RealtimeUrl": ready["realtimeUrl"],
            "ApiKey": ready["apiKey"],
            "TelemetryRuleName": product.telemetry_rule,
            "TelemetryStreamName": product.telemetry_stream,
            "IngestDeadLettersUrl": product.queue_url("IngestDeadLetters"),
        }
        super().__init__(outputs, session, LocalPeople(product))
        self.mqtt_tls_port = ready["mqttTlsPort"]
        self._ca_file: str = ready["caFile"]

    def ca_file(self) -> str:
        return self._ca_file


@pytest.fixture
def stack(product: Product, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStack]:
    # As a person has them who runs `make test-aws`.
    for name, value in (
        ("AWS_ENDPOINT_URL", product.ready["awsEndpointUrl"]),
        ("AWS_ACCESS_KEY_ID", product.ready["accessKeyId"]),
        ("AWS_SECRET_ACCESS_KEY", product.ready["secretAccessKey"]),
        ("AWS_DEFAULT_REGION", product.ready["region"]),
    ):
        monkeypatch.setenv(name, value)
    deployed = LocalStack(product, boto3.Session())
    yield deployed
    deployed.close()


def test_a_device_of_a_stack_has_a_certificate_and_is_gone_after_the_run(product: Product, stack: LocalStack) -> None:
    # A run that was killed left it.
    left = 'mutation { registerDevice(input: {deviceId: "deployed-1", tenantId: "demo"}) { device { deviceId } } }'
    product.graphql_signed(left)
    device = Device(stack, "deployed-1")
    subscriber = Subscriber(stack, 'subscription { onDeviceState(deviceId: "deployed-1") { deviceId seq } }')

    device.publish("devices/deployed-1/telemetry", telemetry(now_ms(), 1, temperature=20))
    device.publish(f"$aws/rules/{stack.telemetry_rule}/devices/deployed-1/telemetry", telemetry(now_ms(), 2, x=1))

    assert subscriber.next_where(deviceId="deployed-1", seq=2)
    admin = {"authorization": stack.token("admin")}
    assert stack.data('{ getDevice(deviceId: "deployed-1") { deviceId } }', headers=admin)["getDevice"]
    subscriber.close()
    device.close()
    stack.close()
    assert product.data('{ getDevice(deviceId: "deployed-1") { deviceId } }')["getDevice"] is None
    things = [thing["thingName"] for thing in product.boto3("iot").list_things()["things"]]
    assert "deployed-1" not in things


def test_dead_letters_of_a_stack_are_read_from_its_outputs(stack: LocalStack) -> None:
    device = Device(stack, "deployed-2")

    device.publish("devices/deployed-2/telemetry", b"{broken")

    def letters() -> list[str]:
        found = stack.messages("IngestDeadLetters")
        return [letter["reason"] for letter in found if letter["deviceId"] == "deployed-2"]

    assert eventually(letters) == ["MalformedJson"]
    device.close()


def test_tenants_of_a_run_are_its_own_and_erased_with_it(product: Product, stack: LocalStack) -> None:
    tenant = stack.tenant("acme")
    assert tenant == f"acme-{stack.run}"
    admin = {"authorization": stack.token("admin", tenant=tenant)}
    stack.data('mutation { registerDevice(input: {deviceId: "deployed-3"}) { device { deviceId } } }', headers=admin)

    stack.close()

    read = {"authorization": product.token("admin", tenant=tenant)}
    query = "query($id: ID!) { getTenantErasure(tenantId: $id) { status } }"
    assert eventually(lambda: product.data(query, {"id": tenant}, read)["getTenantErasure"]["status"] == "DONE", 60)
    assert product.data("{ listDevices { items { deviceId } } }", headers=read)["listDevices"]["items"] == []


def test_the_names_in_use_are_outputs_of_the_template() -> None:
    from tests.template.template_file import load_template

    outputs = set(load_template()["Outputs"])
    source = "".join(
        path.read_text()
        for path in (Path(__file__).parents[1] / "support" / "deployed.py", Path(__file__).parent / "test_telemetry.py")
    )

    used = {name for name in outputs if f'"{name}"' in source}
    assert {"GraphQLUrl", "RealtimeUrl", "ApiKey", "UserPoolId", "UserPoolClientId", "TelemetryRuleName"} <= used
    assert "IngestDeadLettersUrl" in outputs
