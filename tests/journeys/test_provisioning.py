"""Fleet provisioning with the clients devices have: the AWS IoT SDK for Python, paho with CBOR, boto3, one command."""

import concurrent.futures
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from awscrt import io, mqtt
from awsiot import iotidentity, mqtt_connection_builder
from botocore.exceptions import ClientError

from tests.journeys.test_devices import Client, Key, connected
from tests.support.product import Product, eventually, run_cli

TEMPLATE = Path(__file__).parent / "fleet_stack" / "template.yaml"
PROVISION = "$aws/provisioning-templates/fleet/provision"
Future = concurrent.futures.Future[Any]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(tmp_path_factory.mktemp("fleet") / "data", template=TEMPLATE).start()
    yield running
    assert running.terminate() == 0, running.log()
    assert "Traceback" not in running.log().replace("RuntimeError: no such serial number", "")


@pytest.fixture(scope="module")
def claim(stack: Product, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a claim of the template `fleet`."""
    return write_claim(stack, tmp_path_factory.mktemp("claim"), "fleet")


def write_claim(stack: Product, folder: Path, template: str) -> Path:
    made = stack.boto3("iot").create_provisioning_claim(templateName=template)
    (folder / "device.pem").write_text(made["certificatePem"])
    (folder / "device.key").write_text(made["keyPair"]["PrivateKey"])
    (folder / "id").write_text(made["certificateId"])
    return folder


class Sdk:
    """The SDK's identity client behind one connection, with the answers of one kind of request."""

    def __init__(self, stack: Product, folder: Path, client_id: str) -> None:
        self.connection = mqtt_connection_builder.mtls_from_path(
            cert_filepath=str(folder / "device.pem"),
            pri_key_filepath=str(folder / "device.key"),
            ca_filepath=stack.ready["caFile"],
            endpoint="localhost",
            port=stack.ready["mqttTlsPort"],
            client_id=client_id,
            clean_session=True,
            client_bootstrap=io.ClientBootstrap.get_or_create_static_default(),
        )
        self.connection.connect().result(10)
        self.identity = iotidentity.IotIdentityClient(self.connection)

    def create_keys(self) -> Any:
        answer: Future = concurrent.futures.Future()
        wanted = iotidentity.CreateKeysAndCertificateSubscriptionRequest()
        for subscribe in (
            self.identity.subscribe_to_create_keys_and_certificate_accepted,
            self.identity.subscribe_to_create_keys_and_certificate_rejected,
        ):
            subscribe(wanted, mqtt.QoS.AT_LEAST_ONCE, answer.set_result)[0].result(10)
        self.identity.publish_create_keys_and_certificate(
            iotidentity.CreateKeysAndCertificateRequest(), mqtt.QoS.AT_LEAST_ONCE
        ).result(10)
        return answer.result(10)

    def create_from_csr(self, csr: str) -> Any:
        answer: Future = concurrent.futures.Future()
        wanted = iotidentity.CreateCertificateFromCsrSubscriptionRequest()
        for subscribe in (
            self.identity.subscribe_to_create_certificate_from_csr_accepted,
            self.identity.subscribe_to_create_certificate_from_csr_rejected,
        ):
            subscribe(wanted, mqtt.QoS.AT_LEAST_ONCE, answer.set_result)[0].result(10)
        self.identity.publish_create_certificate_from_csr(
            iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=csr), mqtt.QoS.AT_LEAST_ONCE
        ).result(10)
        return answer.result(10)

    def register(self, token: str | None, template: str = "fleet", **parameters: str) -> Any:
        answer: Future = concurrent.futures.Future()
        wanted = iotidentity.RegisterThingSubscriptionRequest(template_name=template)
        for subscribe in (
            self.identity.subscribe_to_register_thing_accepted,
            self.identity.subscribe_to_register_thing_rejected,
        ):
            subscribe(wanted, mqtt.QoS.AT_LEAST_ONCE, answer.set_result)[0].result(10)
        request = iotidentity.RegisterThingRequest(
            template_name=template, certificate_ownership_token=token, parameters=parameters
        )
        self.identity.publish_register_thing(request, mqtt.QoS.AT_LEAST_ONCE).result(10)
        return answer.result(15)

    def close(self) -> None:
        self.connection.disconnect().result(10)


@pytest.fixture
def sdk(stack: Product, claim: Path, request: pytest.FixtureRequest) -> Iterator[Sdk]:
    client = Sdk(stack, claim, f"new-{request.node.name[:60]}")
    yield client
    client.close()


def test_the_sdk_exchanges_a_claim_for_a_device_of_its_own(
    stack: Product, sdk: Sdk, claim: Path, tmp_path: Path
) -> None:
    made = sdk.create_keys()
    iot = stack.boto3("iot")
    pending = iot.describe_certificate(certificateId=made.certificate_id)["certificateDescription"]["status"]

    registered = sdk.register(made.certificate_ownership_token, SerialNumber="1")

    assert pending == "PENDING_ACTIVATION"
    assert registered.thing_name == "pump-1"
    assert registered.device_configuration == {"url": "https://seattle.example", "claim": (claim / "id").read_text()}
    thing = iot.describe_thing(thingName="pump-1")
    assert (thing["thingTypeName"], thing["attributes"]) == ("pump", {"serial": "1", "location": "Seattle"})
    assert iot.list_things_in_thing_group(thingGroupName="pumps")["things"].count("pump-1") == 1
    (tmp_path / "device.pem").write_text(made.certificate_pem)
    (tmp_path / "device.key").write_text(made.private_key)
    device = connected(stack, "pump-1", tmp_path)
    assert device.is_admitted
    assert device.publish("dt/pump/1", {"ts": 1})
    assert not device.publish("dt/pump/2", {"ts": 1})
    assert connected(stack, "pump-2", tmp_path).is_admitted is False


def test_a_signing_request_keeps_the_key_on_the_device(stack: Product, sdk: Sdk, tmp_path: Path) -> None:
    key = Key("csr-1")

    made = sdk.create_from_csr(key.signing_request)
    registered = sdk.register(made.certificate_ownership_token, SerialNumber="csr-1")

    device = connected(stack, registered.thing_name, key.write(tmp_path / "csr-1", made.certificate_pem))
    assert device.publish("dt/pump/csr-1", {})
    device.close()


def test_registering_a_thing_again_merges_as_the_template_says(stack: Product, sdk: Sdk) -> None:
    iot = stack.boto3("iot")
    sdk.register(sdk.create_keys().certificate_ownership_token, SerialNumber="again")
    iot.update_thing(thingName="pump-again", attributePayload={"attributes": {"note": "kept", "location": "moved"}})

    registered = sdk.register(sdk.create_keys().certificate_ownership_token, SerialNumber="again")

    assert registered.thing_name == "pump-again"
    attributes = iot.describe_thing(thingName="pump-again")["attributes"]
    assert attributes == {"note": "kept", "serial": "again", "location": "Seattle"}
    assert len(iot.list_thing_principals(thingName="pump-again")["principals"]) == 2


@pytest.mark.parametrize(
    ("template", "parameters", "status", "code", "message"),
    [
        ("fleet", {"SerialNumber": "blocked-1"}, 403, "AccessDenied", "User not authorized to perform this action."),
        ("fleet", {"SerialNumber": "broken-1"}, 403, "AccessDenied", "User not authorized to perform this action."),
        ("fleet", {"SerialNumber": "a b"}, 400, "InvalidParameters", "satisfy regular expression"),
    ],
)
def test_what_the_hook_or_the_registry_does_not_take_is_rejected(
    stack: Product, sdk: Sdk, template: str, parameters: dict[str, str], status: int, code: str, message: str
) -> None:
    token = sdk.create_keys().certificate_ownership_token

    rejected = sdk.register(token, template, **parameters)

    assert (rejected.status_code, rejected.error_code) == (status, code)
    assert message in rejected.error_message
    assert sdk.register(
        token, template, SerialNumber=f"after-{abs(hash(code + parameters['SerialNumber']))}"
    ).thing_name


def test_tokens_count_once_and_only_those_that_were_given(stack: Product, sdk: Sdk) -> None:
    token = sdk.create_keys().certificate_ownership_token
    sdk.register(token, SerialNumber="once")

    again = sdk.register(token, SerialNumber="twice")
    unknown = sdk.register("made-up", SerialNumber="twice")
    missing = sdk.register(None, SerialNumber="twice")

    for rejected in (again, unknown, missing):
        assert (rejected.status_code, rejected.error_code) == (400, "InvalidCertificateOwnershipToken")
    assert missing.error_message == "Certificate ownership token cannot be empty."
    rejected = sdk.create_from_csr("no request")
    assert (rejected.status_code, rejected.error_code) == (400, "InvalidParameters")


def test_a_role_that_may_not_register_things_does_not(stack: Product, tmp_path: Path) -> None:
    sdk = Sdk(stack, write_claim(stack, tmp_path, "denied"), "powerless")

    rejected = sdk.register(
        sdk.create_keys().certificate_ownership_token, "denied", SerialNumber="x", Location="Seattle"
    )

    assert (rejected.status_code, rejected.error_code) == (403, "AccessDenied")
    sdk.close()
    with pytest.raises(ClientError, match="not found"):
        stack.boto3("iot").describe_thing(thingName="pump-x")


def test_cbor_is_answered_in_cbor(stack: Product, claim: Path) -> None:
    client = connected(stack, "cbor-1", claim)
    for topic in ("$aws/certificates/create/cbor/accepted", f"{PROVISION}/cbor/accepted", f"{PROVISION}/cbor/rejected"):
        assert client.subscribe(topic)

    assert client.publish("$aws/certificates/create/cbor", b"")
    assert eventually(lambda: len(client.messages) == 1)
    made = cbor2.loads(client.messages[0][1])
    request = {"certificateOwnershipToken": made["certificateOwnershipToken"], "parameters": {"SerialNumber": "cbor"}}
    assert client.publish(f"{PROVISION}/cbor", cbor2.dumps(request))
    assert eventually(lambda: len(client.messages) == 2)
    assert client.publish(f"{PROVISION}/cbor", b"\xff\xff")
    assert eventually(lambda: len(client.messages) == 3)

    assert client.messages[1] == (f"{PROVISION}/cbor/accepted", client.messages[1][1])
    assert cbor2.loads(client.messages[1][1])["thingName"] == "pump-cbor"
    assert cbor2.loads(client.messages[2][1])["errorCode"] == "InvalidParameters"
    client.close()


def test_nobody_else_sees_keys_tokens_or_requests(stack: Product, claim: Path) -> None:
    asking, listening = connected(stack, "asking", claim), connected(stack, "listening", claim)
    nosy = Client("nosy").connect(stack.ready["mqttHost"], stack.ready["mqttPort"])
    for client in (asking, listening, nosy):
        assert client.subscribe("$aws/certificates/create/#")
        assert client.subscribe(f"{PROVISION}/#")

    assert asking.publish("$aws/certificates/create/json", b"{}")
    assert eventually(lambda: asking.messages)
    token = json.loads(asking.messages[0][1])["certificateOwnershipToken"]
    body = {"certificateOwnershipToken": token, "parameters": {"SerialNumber": "private"}}
    assert asking.publish(f"{PROVISION}/json", body)
    assert eventually(lambda: len(asking.messages) == 2)

    assert [topic for topic, _ in asking.messages] == [
        "$aws/certificates/create/json/accepted",
        f"{PROVISION}/json/accepted",
    ]
    assert (listening.messages, nosy.messages) == ([], [])
    for client in (asking, listening, nosy):
        client.close()


def test_a_claim_is_good_for_nothing_else(stack: Product, claim: Path, tmp_path: Path) -> None:
    client = connected(stack, "claimant", claim)

    assert not client.subscribe("dt/#")
    assert not client.publish("dt/pump/1", {})
    sdk = Sdk(stack, claim, "claimant-2")
    assert not connected(stack, "claimant-3", claim).publish("$aws/provisioning-templates/denied/provision/json", {})
    sdk.close()


def test_boto3_manages_templates_and_their_versions(stack: Product) -> None:
    iot = stack.boto3("iot")
    fleet = iot.describe_provisioning_template(templateName="fleet")
    body, role = fleet["templateBody"], fleet["provisioningRoleArn"]
    assert (fleet["enabled"], fleet["description"], fleet["type"]) == (
        True,
        "every device of the fleet",
        "FLEET_PROVISIONING",
    )
    assert fleet["preProvisioningHook"]["payloadVersion"] == "2020-04-01"

    made = iot.create_provisioning_template(templateName="own", templateBody=body, provisioningRoleArn=role)
    version = iot.create_provisioning_template_version(templateName="own", templateBody=body, setAsDefault=True)

    assert made["templateArn"] == "arn:aws:iot:us-east-1:123456789012:provisioningtemplate/own"
    assert (made["defaultVersionId"], version["versionId"]) == (1, 2)
    names = [one["templateName"] for one in iot.list_provisioning_templates()["templates"]]
    assert names == ["denied", "fleet", "own"]
    versions = iot.list_provisioning_template_versions(templateName="own")["versions"]
    assert [(one["versionId"], one["isDefaultVersion"]) for one in versions] == [(1, False), (2, True)]
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_provisioning_template_version(templateName="own", versionId=2)
    iot.update_provisioning_template(templateName="own", defaultVersionId=1, enabled=True)
    iot.delete_provisioning_template_version(templateName="own", versionId=2)
    assert iot.describe_provisioning_template(templateName="own")["defaultVersionId"] == 1
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException):
        iot.create_provisioning_template(templateName="own", templateBody=body, provisioningRoleArn=role)
    with pytest.raises(iot.exceptions.InvalidRequestException, match="no function of provisioning templates"):
        iot.create_provisioning_template(
            templateName="bad", templateBody=body.replace("Fn::Join", "Fn::If"), provisioningRoleArn=role
        )
    with pytest.raises(iot.exceptions.InvalidRequestException, match="JITP"):
        iot.create_provisioning_template(templateName="bad", templateBody=body, provisioningRoleArn=role, type="JITP")
    iot.delete_provisioning_template(templateName="own")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_provisioning_template(templateName="own")


def test_boto3_registers_a_thing_by_a_template_of_its_own(stack: Product) -> None:
    iot = stack.boto3("iot")
    body = {
        "Parameters": {"CSR": {"Type": "String"}, "Name": {"Type": "String"}},
        "Resources": {
            "t": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}, "ThingGroups": ["pumps"]}},
            "c": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}}},
            "p": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": json.dumps(ALLOW_CONNECT)}},
        },
    }

    done = iot.register_thing(
        templateBody=json.dumps(body), parameters={"CSR": Key("x").signing_request, "Name": "by-boto3"}
    )

    assert done["certificatePem"].startswith("-----BEGIN CERTIFICATE-----")
    assert set(done["resourceArns"]) == {"t", "c", "p"}
    assert iot.list_thing_principals(thingName="by-boto3")["principals"] == [done["resourceArns"]["c"]]
    (policy,) = iot.list_attached_policies(target=done["resourceArns"]["c"])["policies"]
    assert policy["policyArn"] == done["resourceArns"]["p"]
    with pytest.raises(iot.exceptions.InvalidRequestException, match="Cannot resolve reference value: CSR"):
        iot.register_thing(templateBody=json.dumps(body), parameters={"Name": "x"})


def provision(stack: Product, *arguments: str, timeout_s: float = 110) -> Any:
    return run_cli("device", "provision", *arguments, "--data-dir", str(stack.data_dir), timeout_s=timeout_s)


def test_one_command_registers_a_thousand_devices(stack: Product, tmp_path: Path) -> None:
    out = tmp_path / "fleet"

    done = provision(stack, "fleet", "--count", "1000", "--out", str(out), "--param", "SerialNumber=%04d")

    assert done.returncode == 0, done.stderr
    assert "1,000 devices are registered" in done.stdout
    names = sorted(folder.name for folder in out.iterdir() if folder.is_dir())
    assert (len(names), names[0], names[-1]) == (1000, "pump-0001", "pump-1000")
    keys = {(folder / "device.key").read_bytes() for folder in out.iterdir() if folder.is_dir()}
    assert len(keys) == 1000
    assert (out / "pump-0500" / "device.key").stat().st_mode & 0o777 == 0o600
    assert json.loads((out / "pump-0500" / "configuration.json").read_text())["url"] == "https://seattle.example"
    assert stack.boto3("iot").describe_thing(thingName="pump-1000")["attributes"]["serial"] == "1000"
    device = connected(stack, "pump-0500", out / "pump-0500")
    assert device.publish("dt/pump/0500", {})
    device.close()


def test_the_command_says_which_devices_were_rejected(stack: Product, claim: Path, tmp_path: Path) -> None:
    out = tmp_path / "fleet"

    done = provision(
        stack, "fleet", "--count", "2", "--out", str(out), "--param", "SerialNumber=blocked-%d", "--claim", str(claim)
    )
    again = provision(stack, "fleet", "--out", str(out))
    absent = provision(stack, "none", "--out", str(tmp_path / "none"))
    same = provision(stack, "fleet", "--count", "2", "--out", str(tmp_path / "x"), "--param", "SerialNumber=1")
    unclaimed = provision(stack, "fleet", "--out", str(tmp_path / "y"), "--claim", str(tmp_path))

    assert [one.returncode for one in (done, again, absent, same, unclaimed)] == [2, 2, 2, 2, 2]
    assert done.stderr.count("AccessDenied: User not authorized") == 2
    assert "is not empty" in again.stderr
    assert "no provisioning template" in absent.stderr
    assert "%d" in same.stderr
    assert "holds no claim" in unclaimed.stderr


ALLOW_CONNECT = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}],
}
