"""The device registry: what may be registered, attached and removed, in the words of the service."""

import datetime
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from headwater.deploy.iot.registry import DeviceRegistry
from headwater.errors import ServiceError
from headwater.server.aws.permissions import Account
from headwater.server.http.tls import CertificateAuthority
from headwater.storage.store import Store

ACCOUNT = Account("us-east-1", "123456789012")
ALLOW_ALL = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
)


def registry_on(store: Store, directory: Path) -> DeviceRegistry:
    numbers = iter(range(10_000))
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return DeviceRegistry(
        store,
        ACCOUNT,
        lambda: CertificateAuthority(directory / "tls", now),
        clock=lambda: float(next(numbers)),
        new_id=lambda: f"id-{next(numbers)}",
    )


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[DeviceRegistry]:
    store = Store.open(None)
    yield registry_on(store, tmp_path)
    await store.close()


def signing_request(key: Any = None) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "d")])
    private = key or ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(private, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


async def issue(registry: DeviceRegistry) -> tuple[str, str]:
    """Id and ARN of a new active certificate."""
    issued = await registry.certificates.create_from_csr(signing_request(), is_active=True)
    return issued["certificateId"], issued["certificateArn"]


async def test_a_certificate_is_known_by_the_hash_of_its_der_form(registry: DeviceRegistry) -> None:
    issued = await registry.certificates.create_with_key(is_active=False)

    certificate = x509.load_pem_x509_certificate(issued["certificatePem"].encode())
    assert issued["certificateId"] == certificate.fingerprint(hashes.SHA256()).hex()
    assert "PRIVATE KEY" in issued["keyPair"]["PrivateKey"]
    assert registry.certificates.describe(issued["certificateId"])["status"] == "INACTIVE"
    assert "PRIVATE" not in str(registry.certificates.describe(issued["certificateId"]))


@pytest.mark.parametrize(
    "request_text",
    [
        None,
        5,
        "",
        "x" * 4097,
        "garbage",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\n\xe9\n-----END CERTIFICATE REQUEST-----\n",
        signing_request().replace("M", "N", 3),
        signing_request(rsa.generate_private_key(65537, 1024)),
    ],
)
async def test_a_signing_request_nobody_can_use_is_an_invalid_request(
    registry: DeviceRegistry, request_text: object
) -> None:
    with pytest.raises(ServiceError) as refused:
        await registry.certificates.create_from_csr(request_text, is_active=True)

    assert refused.value.code == "InvalidRequestException"
    assert registry.certificates.listed(ascending=True, token="", size=None) == ([], "")


async def test_a_thing_is_made_once_and_again_only_if_it_is_the_same(registry: DeviceRegistry) -> None:
    first = await registry.things.create("t", None, {"a": "1"})

    assert await registry.things.create("t", None, {"a": "1"}) == first
    with pytest.raises(ServiceError) as refused:
        await registry.things.create("t", None, {"a": "2"})
    assert (refused.value.code, refused.value.status) == ("ResourceAlreadyExistsException", 409)
    assert refused.value.fields["resourceArn"] == first["thingArn"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a.b", "é", "x" * 129, "a\x00b", "a\n"])
async def test_a_name_no_thing_can_have_is_an_invalid_request(registry: DeviceRegistry, name: str) -> None:
    with pytest.raises(ServiceError, match="failed to satisfy constraint") as refused:
        await registry.things.create(name)

    assert refused.value.code == "InvalidRequestException"


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"a": "x" * 801}, "length between 0 and 800"),
        ({"a" * 129: "x"}, "length between 1 and 128"),
        ({"a": "has space"}, "regular expression"),
        ({"a b": "x"}, "regular expression"),
        ({"a": 5}, "is text, found int"),
        ({f"a{n}": "x" for n in range(4)}, "without a thing type has at most 3"),
    ],
)
async def test_attributes_hold_to_the_limits(registry: DeviceRegistry, attributes: dict[str, Any], why: str) -> None:
    with pytest.raises(ServiceError, match=why):
        await registry.things.create("t", None, attributes)


async def test_a_thing_with_a_type_has_up_to_50_attributes(registry: DeviceRegistry) -> None:
    await registry.things.create_type("pump", {})

    await registry.things.create("t", "pump", {f"a{n}": "x" * 800 for n in range(50)})

    with pytest.raises(ServiceError, match="with a thing type has at most 50"):
        await registry.things.create("u", "pump", {f"a{n}": "" for n in range(51)})
    with pytest.raises(ServiceError, match="Thing type valve not found"):
        await registry.things.create("v", "valve")


async def test_an_update_merges_replaces_and_removes_attributes(registry: DeviceRegistry) -> None:
    await registry.things.create("t", None, {"a": "1", "b": "2"})
    options: dict[str, Any] = {"type_name": None, "removes_type": False}

    await registry.things.update("t", attributes={"c": "3", "a": ""}, merges=True, expected_version=1, **options)
    merged = registry.things.describe("t")
    await registry.things.update("t", attributes={"d": "4"}, merges=False, expected_version=None, **options)

    assert (merged["attributes"], merged["version"]) == ({"b": "2", "c": "3"}, 2)
    assert registry.things.describe("t")["attributes"] == {"d": "4"}
    with pytest.raises(ServiceError) as refused:
        await registry.things.update("t", attributes={}, merges=True, expected_version=1, **options)
    assert refused.value.code == "VersionConflictException"


async def test_what_is_attached_cannot_be_deleted(registry: DeviceRegistry) -> None:
    certificate_id, arn = await issue(registry)
    await registry.things.create("t")
    await registry.policies.create("p", ALLOW_ALL)
    await registry.policies.attach("p", arn)
    await registry.certificates.attach_thing("t", arn)

    codes = []
    for deletion in (
        registry.things.delete("t"),
        registry.policies.delete("p"),
        registry.certificates.delete(certificate_id, detaches_policies=True),
    ):
        with pytest.raises(ServiceError) as refused:
            await deletion
        codes.append(refused.value.code)
    assert codes == ["InvalidRequestException", "DeleteConflictException", "CertificateStateException"]
    await registry.certificates.set_status(certificate_id, "INACTIVE")
    with pytest.raises(ServiceError, match="Things must be detached"):
        await registry.certificates.delete(certificate_id, detaches_policies=True)
    await registry.certificates.detach_thing("t", arn)
    with pytest.raises(ServiceError, match="policies must be detached"):
        await registry.certificates.delete(certificate_id, detaches_policies=False)
    await registry.certificates.delete(certificate_id, detaches_policies=True)
    await registry.policies.delete("p")
    await registry.things.delete("t")
    await registry.things.delete("t")


async def test_attachments_are_listed_from_both_ends(registry: DeviceRegistry) -> None:
    _, arn = await issue(registry)
    await registry.things.create("t")
    await registry.policies.create("p", ALLOW_ALL)

    await registry.policies.attach("p", arn)
    await registry.policies.attach("p", arn)
    await registry.certificates.attach_thing("t", arn)

    assert registry.policies.attached_to(arn, token="", size=None)[0] == [
        {"policyName": "p", "policyArn": "arn:aws:iot:us-east-1:123456789012:policy/p"}
    ]
    assert registry.policies.targets_of("p", token="", size=None)[0] == [arn]
    assert registry.certificates.things_of(arn, token="", size=None)[0] == ["t"]
    assert registry.certificates.principals_of("t", token="", size=None)[0] == [arn]
    await registry.policies.detach("p", arn)
    assert registry.policies.targets_of("p", token="", size=None)[0] == []


async def test_a_certificate_has_at_most_ten_policies(registry: DeviceRegistry) -> None:
    _, arn = await issue(registry)
    for number in range(10):
        await registry.policies.create(f"p{number}", ALLOW_ALL)
        await registry.policies.attach(f"p{number}", arn)
    await registry.policies.create("one-too-many", ALLOW_ALL)

    with pytest.raises(ServiceError) as refused:
        await registry.policies.attach("one-too-many", arn)

    assert (refused.value.code, refused.value.status) == ("LimitExceededException", 410)


@pytest.mark.parametrize(
    "target",
    [
        None,
        7,
        "",
        "cert/abc",
        "us-east-1:0a0a0a0a-cognito-identity",
        "arn:aws:iot:us-east-1:123456789012:thinggroup/x y",
        "arn:aws:iot:us-east-1:123456789012:thing/x",
        "arn:aws:iot:us-east-1:123456789012:cert/short",
        "arn:aws:iot:us-east-1:123456789012:cert/" + "g" * 64,
    ],
)
async def test_a_target_that_is_no_certificate_is_an_invalid_request(registry: DeviceRegistry, target: object) -> None:
    await registry.policies.create("p", ALLOW_ALL)

    with pytest.raises(ServiceError) as refused:
        await registry.policies.attach("p", target)

    assert refused.value.code == "InvalidRequestException"


async def test_what_does_not_exist_is_named(registry: DeviceRegistry) -> None:
    unknown = "arn:aws:iot:us-east-1:123456789012:cert/" + "a" * 64
    _, arn = await issue(registry)
    await registry.policies.create("p", ALLOW_ALL)

    for attachment in (
        registry.policies.attach("p", unknown),
        registry.policies.attach("q", arn),
        registry.certificates.attach_thing("t", arn),
    ):
        with pytest.raises(ServiceError) as refused:
            await attachment
        assert (refused.value.code, refused.value.status) == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"Version": "2012-10-17"},
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"Version": "2012-10-17", "Statement": []}',
        '{"Version": "1999-01-01", "Statement": []}',
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Maybe", "Action": "iot:*", "Resource": "*"}]}',
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": 5, "Resource": "*"}]}',
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*"}]}',
        '{"Version": "2012-10-17", "Statement": "all"}',
        "[" * 2000,
        ALLOW_ALL + " " * 10 + "x",
        json.dumps({"Version": "2012-10-17", "Statement": [], "Id": "x" * 2048}),
    ],
)
async def test_a_broken_policy_document_is_refused(registry: DeviceRegistry, document: object) -> None:
    with pytest.raises(ServiceError) as refused:
        await registry.policies.create("p", document)

    expected = "MalformedPolicyException" if isinstance(document, str) else "InvalidRequestException"
    assert refused.value.code == expected
    assert registry.policies.listed(ascending=True, token="", size=None) == ([], "")


async def test_white_space_does_not_count_for_the_size_of_a_policy(registry: DeviceRegistry) -> None:
    await registry.policies.create("p", ALLOW_ALL + " \n" * 4000)

    assert registry.policies.get("p")["defaultVersionId"] == "1"


async def test_lists_come_in_pages_that_neither_repeat_nor_skip(registry: DeviceRegistry) -> None:
    for number in range(7):
        await registry.policies.create(f"p{number}", ALLOW_ALL)
    seen: list[str] = []
    token = ""

    while True:
        rows, token = registry.policies.listed(ascending=False, token=token, size=3)
        seen += [row["policyName"] for row in rows]
        if rows[0]["policyName"] == "p6":
            # The row the token names goes between two pages.
            await registry.policies.delete("p4")
        if not token:
            break

    assert seen == ["p6", "p5", "p4", "p3", "p2", "p1", "p0"]
    with pytest.raises(ServiceError, match="not a token"):
        registry.policies.listed(ascending=True, token="%%%", size=3)


async def test_things_are_found_by_type_and_attribute(registry: DeviceRegistry) -> None:
    await registry.things.create_type("pump", {})
    await registry.things.create("a", "pump", {"site": "north-1"})
    await registry.things.create("b", None, {"site": "north-2"})
    await registry.things.create("c")

    def names(**wanted: Any) -> list[str]:
        query: dict[str, Any] = {"type_name": "", "attribute": "", "value": "", "is_prefix": False}
        return [row["thingName"] for row in registry.things.listed(**{**query, **wanted}, token="", size=None)[0]]

    assert names() == ["a", "b", "c"]
    assert names(type_name="pump") == ["a"]
    assert names(attribute="site", value="north-2") == ["b"]
    assert names(attribute="site", value="north", is_prefix=True) == ["a", "b"]


async def test_things_come_in_pages_by_name_whatever_is_removed_meanwhile(registry: DeviceRegistry) -> None:
    for name in ("a", "a-1", "b", "c", "ca", "d"):
        await registry.things.create(name)
    query: dict[str, Any] = {"type_name": "", "attribute": "", "value": "", "is_prefix": False}

    first, token = registry.things.listed(**query, token="", size=2)
    await registry.things.delete("a-1")
    second, last = registry.things.listed(**query, token=token, size=4)

    assert [row["thingName"] for row in (*first, *second)] == ["a", "a-1", "b", "c", "ca", "d"]
    assert last == ""


async def test_the_registry_is_there_after_a_restart(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data")
    registry = registry_on(store, tmp_path)
    certificate_id, arn = await issue(registry)
    await registry.policies.create("p", ALLOW_ALL)
    await registry.policies.attach("p", arn)
    await store.close()

    again = Store.open(tmp_path / "data")
    found = registry_on(again, tmp_path)

    assert found.is_active(certificate_id)
    assert found.standing_of_certificate(certificate_id, "t").policies == (ALLOW_ALL,)
    await again.close()
