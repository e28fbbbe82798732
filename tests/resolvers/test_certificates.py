"""Things and certificates on moto's IoT Core: what registration makes, removal takes away."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from resolvers.certificates import issue_certificate, revoke_certificates
from tests.strawberry_api.moto_aws import in_moto


@pytest.fixture
def iot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("DEVICE_POLICY_NAME", "device"),
    ):
        monkeypatch.setenv(name, value)
    with in_moto():
        client = boto3.client("iot")
        client.create_policy(policyName="device", policyDocument="{}")
        yield client


def signing_request() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dev-1")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.PEM).decode()


def test_revoking_takes_the_certificate_its_policies_and_the_thing(iot: Any) -> None:
    issue_certificate("dev-1", signing_request())

    assert revoke_certificates("dev-1") == 1

    assert iot.list_things()["things"] == []
    assert iot.list_certificates()["certificates"] == []
    assert iot.list_targets_for_policy(policyName="device")["targets"] == []


def test_revoking_again_or_without_a_thing_does_nothing(iot: Any) -> None:
    issue_certificate("dev-1", signing_request())
    revoke_certificates("dev-1")

    assert revoke_certificates("dev-1") == 0
    assert revoke_certificates("never-there") == 0


def test_a_revocation_that_stopped_half_way_is_taken_up(iot: Any) -> None:
    certificate_id = issue_certificate("dev-1", signing_request())["certificateId"]
    iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")

    assert revoke_certificates("dev-1") == 1

    assert iot.list_certificates()["certificates"] == []


def test_a_certificate_that_another_thing_has_too_stays(iot: Any) -> None:
    certificate_id = issue_certificate("dev-1", signing_request())["certificateId"]
    arn = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["certificateArn"]
    iot.create_thing(thingName="dev-2")
    iot.attach_thing_principal(thingName="dev-2", principal=arn)

    assert revoke_certificates("dev-1") == 0

    assert iot.list_principal_things(principal=arn)["things"] == ["dev-2"]
    (kept,) = iot.list_certificates()["certificates"]
    assert kept["status"] == "ACTIVE"


def test_a_registration_that_fails_half_way_leaves_no_certificate(iot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE_POLICY_NAME", "no-such-policy")

    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        issue_certificate("dev-1", signing_request())

    assert iot.list_certificates()["certificates"] == []


def test_a_device_whose_id_no_thing_can_have_has_nothing_to_revoke(iot: Any) -> None:
    assert revoke_certificates("pump.1") == 0
