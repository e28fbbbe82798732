"""A certificate authority of one's own in the data directory: TLS for localhost and certificates for devices."""

import datetime
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headwater.errors import RequestError

_CA_DAYS = 3650
# Apple's platforms refuse server certificates that are valid for more than 825 days.
_SERVER_DAYS = 397
_RENEW_BEFORE = datetime.timedelta(days=30)
_CLIENT_DAYS = 3650
_MIN_RSA_BITS = 2048
_CLOCK_SKEW = datetime.timedelta(hours=1)
# What devices ask for on port 443 of AWS: MQTT with a certificate, MQTT with a custom authorizer.
_DEVICE_PROTOCOLS = ["x-amzn-mqtt-ca", "mqtt"]
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A device certificate as PEM texts; `private_key_pem` is None if the device made its own key.

    `certificate_id` is the SHA-256 of the DER form in lower-case hex, as AWS IoT names certificates.
    """

    certificate_id: str
    certificate_pem: str
    private_key_pem: str | None


class CertificateAuthority:
    """The CA of one data directory, made on first use. `now` is the caller's time, aware of its zone."""

    def __init__(self, directory: Path, now: datetime.datetime) -> None:
        self._directory = directory
        self._now = now
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.ca_file = directory / "ca.pem"
        self._key_file = directory / "ca.key"
        if not (self.ca_file.exists() and self._key_file.exists()):
            self._create()
        self.certificate = x509.load_pem_x509_certificate(self.ca_file.read_bytes())
        self._key = _load_key(self._key_file)

    def server_files(self, names: Sequence[str] = ()) -> tuple[Path, Path]:
        """Certificate chain and key for localhost and `names`; made again when it runs out or a name is new."""
        certificate_file, key_file = self._directory / "server.pem", self._directory / "server.key"
        wanted = _alternative_names((*_LOCAL_NAMES, *names))
        if not self._is_usable(certificate_file, key_file, wanted):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = self._sign(
                _common_name("localhost"),
                key.public_key(),
                datetime.timedelta(days=_SERVER_DAYS),
                ExtendedKeyUsageOID.SERVER_AUTH,
                wanted,
            )
            _write_private(key_file, _pem(key))
            _write_public(certificate_file, _pem(certificate) + _pem(self.certificate))
        return certificate_file, key_file

    def server_ssl_context(self, names: Sequence[str] = (), *, asks_for_client: bool = False) -> ssl.SSLContext:
        """TLS for a server; with `asks_for_client` it is for devices, which may show a certificate of this CA.

        A certificate of any other authority ends the handshake; who shows none is for the server to judge, by the
        protocol the client asks for with ALPN.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate_file, key_file = self.server_files(names)
        context.load_cert_chain(certificate_file, key_file)
        if asks_for_client:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(self.ca_file)
            context.set_alpn_protocols(_DEVICE_PROTOCOLS)
        return context

    def issue_client(
        self, common_name: str = "AWS IoT Certificate", *, lifetime: datetime.timedelta | None = None
    ) -> IssuedCertificate:
        """A certificate with a fresh key, as `CreateKeysAndCertificate` gives it."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._issue(_common_name(common_name), key.public_key(), _pem(key).decode(), lifetime)

    def issue_client_from_csr(self, csr_pem: str) -> IssuedCertificate:
        """A certificate for the key of a signing request.

        Raises: RequestError if the request is not PEM, not signed by its own key, or its key is too weak.
        """
        try:
            csr = x509.load_pem_x509_csr(csr_pem.encode())
        except ValueError as error:
            raise RequestError("the certificate signing request is not valid PEM", "InvalidRequestException") from error
        if not csr.is_signature_valid:
            raise RequestError("the certificate signing request is not signed by its key", "InvalidRequestException")
        key = csr.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
            raise RequestError(f"RSA keys need {_MIN_RSA_BITS} bits, got {key.key_size}", "InvalidRequestException")
        return self._issue(csr.subject, key, None)

    def _issue(
        self,
        subject: x509.Name,
        public_key: CertificatePublicKeyTypes,
        private_key_pem: str | None,
        lifetime: datetime.timedelta | None = None,
    ) -> IssuedCertificate:
        lifetime = lifetime or datetime.timedelta(days=_CLIENT_DAYS)
        certificate = self._sign(subject, public_key, lifetime, ExtendedKeyUsageOID.CLIENT_AUTH, None)
        return IssuedCertificate(
            certificate_id=certificate.fingerprint(hashes.SHA256()).hex(),
            certificate_pem=_pem(certificate).decode(),
            private_key_pem=private_key_pem,
        )

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Headwater"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Headwater local CA {x509.random_serial_number():x}"[:40]),
            ]
        )
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            self._builder(name, name, key.public_key(), datetime.timedelta(days=_CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_private(self._key_file, _pem(key))
        _write_public(self.ca_file, _pem(certificate))

    def _sign(
        self,
        subject: x509.Name,
        public_key: CertificatePublicKeyTypes,
        lifetime: datetime.timedelta,
        purpose: x509.ObjectIdentifier,
        names: list[x509.GeneralName] | None,
    ) -> x509.Certificate:
        issuer_key: ec.EllipticCurvePublicKey = self._key.public_key()
        builder = (
            self._builder(subject, self.certificate.subject, public_key, lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, public_key: CertificatePublicKeyTypes, lifetime: datetime.timedelta
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _CLOCK_SKEW)
            .not_valid_after(self._now + lifetime)
        )

    def _is_usable(self, certificate_file: Path, key_file: Path, wanted: list[x509.GeneralName]) -> bool:
        if not (certificate_file.exists() and key_file.exists()):
            return False
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        is_current = certificate.not_valid_after_utc - self._now > _RENEW_BEFORE
        is_ours = certificate.issuer == self.certificate.subject
        fits_key = certificate.public_key() == _load_key(key_file).public_key()
        return is_current and is_ours and fits_key and set(wanted) <= set(names)


def _alternative_names(names: Sequence[str]) -> list[x509.GeneralName]:
    found: dict[x509.GeneralName, None] = {}
    for name in names:
        try:
            found[x509.IPAddress(ipaddress.ip_address(name))] = None
        except ValueError:
            found[x509.DNSName(name)] = None
    return list(found)


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(item: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    if isinstance(item, x509.Certificate):
        return item.public_bytes(serialization.Encoding.PEM)
    return item.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} does not hold an EC key")
    return key


def _write_private(path: Path, data: bytes) -> None:
    _replace(path, data, 0o600)


def _write_public(path: Path, data: bytes) -> None:
    _replace(path, data, 0o644)


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Write beside and rename, so that a crash leaves the old file or the new one."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.chmod(temporary, mode)
    os.replace(temporary, path)
