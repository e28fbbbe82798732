"""The local certificate authority, and plain and TLS on one port."""

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from headwater.errors import RequestError
from headwater.server.http.tls import CertificateAuthority
from tests.integration.raw_http import connected, serving

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def authority(directory: Path, now: datetime.datetime | None = None) -> CertificateAuthority:
    return CertificateAuthority(directory, now or datetime.datetime.now(datetime.UTC))


def signing_request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dev-1")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def test_the_authority_is_made_once(tmp_path: Path) -> None:
    first = authority(tmp_path).certificate
    second = authority(tmp_path).certificate

    assert first == second
    assert first.not_valid_after_utc - first.not_valid_before_utc > datetime.timedelta(days=3650)


def test_private_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    authority(tmp_path).server_files()

    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600


def test_the_server_certificate_is_kept_until_it_runs_out(tmp_path: Path) -> None:
    def serial(now: datetime.datetime, *names: str) -> int:
        chain, _ = authority(tmp_path, now).server_files(names)
        return x509.load_pem_x509_certificate(chain.read_bytes()).serial_number

    first = serial(NOW)

    assert serial(NOW + datetime.timedelta(days=300)) == first
    with_name = serial(NOW, "box.local")
    assert with_name != first
    assert serial(NOW) == with_name
    assert serial(NOW + datetime.timedelta(days=380)) not in (first, with_name)


async def test_plain_and_tls_share_one_port(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    client_context = ssl.create_default_context(cafile=str(ca.ca_file))

    async with serving(ssl_context=ca.server_ssl_context()) as (_, port):
        for context in (client_context, None, client_context, None):
            async with connected(port, context) as client:
                client.write(GET + GET)
                answers = [await client.answer(), await client.answer()]
                assert [answer.body for answer in answers] == [b"GET /a? ", b"GET /a? "]


async def test_a_client_that_does_not_trust_the_authority_harms_nobody(tmp_path: Path) -> None:
    async with serving(ssl_context=authority(tmp_path).server_ssl_context()) as (_, port):
        with pytest.raises(ssl.SSLError):
            async with connected(port, ssl.create_default_context()):
                pass
        async with connected(port) as client:
            client.write(GET)
            assert (await client.answer()).status == 200


async def test_the_loop_is_not_blocked_by_half_a_client_hello(tmp_path: Path) -> None:
    async with serving(ssl_context=authority(tmp_path).server_ssl_context()) as (_, port), connected(port) as half:
        half.write(b"\x16\x03\x01")
        await asyncio.sleep(0)
        async with connected(port) as client:
            client.write(GET)
            assert (await client.answer()).status == 200


def test_a_device_certificate_from_a_signing_request_keeps_its_key_and_name(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    ca = authority(tmp_path)

    issued = ca.issue_client_from_csr(signing_request(key))

    certificate = x509.load_pem_x509_certificate(issued.certificate_pem.encode())
    certificate.verify_directly_issued_by(ca.certificate)
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=dev-1"
    assert issued.private_key_pem is None
    assert len(issued.certificate_id) == 64


def test_a_device_certificate_with_a_fresh_key_brings_the_key(tmp_path: Path) -> None:
    issued = authority(tmp_path).issue_client()

    assert issued.private_key_pem is not None
    key = serialization.load_pem_private_key(issued.private_key_pem.encode(), password=None)
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem.encode())
    assert certificate.public_key() == key.public_key()


def test_signing_requests_that_are_broken_or_weak_are_refused(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    weak = signing_request(rsa.generate_private_key(65537, 1024))

    for text in ("no PEM", weak):
        with pytest.raises(RequestError) as caught:
            ca.issue_client_from_csr(text)
        assert caught.value.error_type == "InvalidRequestException"


async def ask(port: int, context: ssl.SSLContext) -> None:
    async with connected(port, context) as client:
        client.write(GET)
        await client.answer()


async def test_devices_are_asked_for_a_certificate_of_this_authority(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    issued = ca.issue_client("dev-1")
    client_file = tmp_path / "client.pem"
    client_file.write_text(issued.certificate_pem + (issued.private_key_pem or ""))
    with_certificate = ssl.create_default_context(cafile=str(ca.ca_file))
    with_certificate.load_cert_chain(client_file)
    without = ssl.create_default_context(cafile=str(ca.ca_file))

    async with serving(ssl_context=ca.server_ssl_context(asks_for_client=True)) as (_, port):
        async with connected(port, with_certificate) as client:
            client.write(GET)
            assert (await client.answer()).status == 200
        # A server of MQTT judges who shows none by the protocol it asks for, after the handshake.
        await ask(port, without)
