"""Device certificates of the registry, and the things they are attached to.

Source: AWS IoT API Reference, CreateCertificateFromCsr, UpdateCertificate, DeleteCertificate, AttachThingPrincipal.
"""

import datetime
from collections.abc import Callable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from headwater.deploy.iot.database import (
    Change,
    Changes,
    Document,
    Documents,
    IotDatabase,
    age_of,
    named_page,
    page_of,
)
from headwater.deploy.iot.limits import (
    MAX_CSR_CHARACTERS,
    check_certificate_id,
    check_thing_name,
    conflict,
    invalid,
    not_found,
)
from headwater.deploy.iot.things import PRINCIPAL_OF, thing_of
from headwater.errors import RequestError, ServiceError
from headwater.server.aws.permissions import Account
from headwater.server.http.tls import CertificateAuthority, IssuedCertificate
from headwater.values.arn import is_arn

CERTIFICATE = "certificate"
# In a certificate's document: what a provisioning claim may do; and the ids of claims with their end.
CLAIM, CLAIM_END = "claim", "claim-end"
POLICY_OF, TARGET_OF, THING_OF = "policy-of", "target-of", "thing-of"
ACTIVE, INACTIVE, PENDING = "ACTIVE", "INACTIVE", "PENDING_ACTIVATION"
_SETTABLE = (ACTIVE, INACTIVE, "REVOKED")


class Certificates:
    """Certificates by id, and the things they are attached to. Every method raises ServiceError."""

    def __init__(
        self,
        database: IotDatabase,
        account: Account,
        open_authority: Callable[[], CertificateAuthority],
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._database = database
        self._account = account
        self._open_authority = open_authority
        self._clock = clock
        self._new_id = new_id

    async def create_with_key(self, *, is_active: bool) -> Document:
        """CreateKeysAndCertificate: the private key is in the answer and nowhere else."""
        issued = self._open_authority().issue_client()
        document = await self._register(issued, ACTIVE if is_active else INACTIVE)
        private = issued.private_key_pem or ""
        return {**_issued(document), "keyPair": {"PublicKey": _public_key(issued), "PrivateKey": private}}

    async def create_from_csr(self, csr_pem: object, *, is_active: bool) -> Document:
        """CreateCertificateFromCsr."""
        return _issued(await self._register(self._sign(csr_pem), ACTIVE if is_active else INACTIVE))

    async def create_pending(
        self, csr_pem: object = None, *, also: Callable[[Changes, str], None] = lambda changes, certificate_id: None
    ) -> Document:
        """A certificate that counts once a provisioning template has registered it, with its key if there is no CSR.

        As the accepted documents of the device provisioning MQTT API have it, without the ownership token. `also` is
        part of the same commit.
        """
        issued = self._open_authority().issue_client() if csr_pem is None else self._sign(csr_pem)
        await self._register(issued, PENDING, also=also)
        answer = {"certificateId": issued.certificate_id, "certificatePem": issued.certificate_pem}
        return answer if csr_pem is not None else {**answer, "privateKey": issued.private_key_pem}

    async def create_claim(self, policy_document: str, lifetime: datetime.timedelta) -> Document:
        """CreateProvisioningClaim: a certificate for a while that may do what the document says."""
        issued = self._open_authority().issue_client(lifetime=lifetime)
        expiration = self._clock() + lifetime.total_seconds()
        await self._register(issued, ACTIVE, {"policyDocument": policy_document, "expiration": expiration})
        return {
            "certificateId": issued.certificate_id,
            "certificatePem": issued.certificate_pem,
            "keyPair": {"PublicKey": _public_key(issued), "PrivateKey": issued.private_key_pem or ""},
            "expiration": expiration,
        }

    def _sign(self, csr_pem: object) -> IssuedCertificate:
        if not isinstance(csr_pem, str) or not 0 < len(csr_pem) <= MAX_CSR_CHARACTERS:
            raise invalid(f"certificateSigningRequest is text of 1 to {MAX_CSR_CHARACTERS} characters")
        try:
            return self._open_authority().issue_client_from_csr(csr_pem)
        except RequestError as error:
            raise invalid(error.message) from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            # What the parser took as PEM may still hold an unknown kind of key or a name no certificate can have.
            raise invalid(f"the certificate signing request cannot be used: {error}") from error

    def describe(self, certificate_id: str) -> Document:
        """`certificateDescription`."""
        wanted = check_certificate_id(certificate_id)
        found = self._database.read(lambda documents: certificate_of(documents, wanted))
        return {member: value for member, value in found.items() if member != CLAIM}

    def listed(self, *, ascending: bool, token: str, size: int | None) -> tuple[list[Document], str]:
        """Certificates by the time they were made."""
        rows = self._database.read(lambda documents: [(age_of(d), d) for _, d in documents.below(CERTIFICATE)])
        rows.sort(key=lambda row: row[0], reverse=not ascending)
        members = ("certificateArn", "certificateId", "status", "certificateMode", "creationDate")
        shown, following = page_of(rows, token, size)
        return [{name: row[name] for name in members} for row in shown], following

    async def set_status(self, certificate_id: str, status: str) -> None:
        wanted = check_certificate_id(certificate_id)
        if status not in _SETTABLE:
            raise invalid(f"newStatus {status!r} is not one of {', '.join(_SETTABLE)}")
        now = self._clock()

        await self._database.write(
            lambda changes: put_status(changes, wanted, status, now), Change(certificate_id=wanted)
        )

    async def delete(self, certificate_id: str, *, detaches_policies: bool) -> None:
        """Only a certificate that is inactive, and that no thing and (unless forced) no policy is attached to."""
        wanted = check_certificate_id(certificate_id)

        def write(changes: Changes) -> None:
            document = certificate_of(changes, wanted)
            if document["status"] == ACTIVE:
                message = f"Certificate must be deactivated (not ACTIVE) before deletion. id={wanted}"
                raise ServiceError("CertificateStateException", message, status=406)
            policies = changes.names_below(POLICY_OF, wanted)
            arn = document["certificateArn"]
            if changes.names_below(THING_OF, wanted):
                raise conflict(f"Things must be detached before deletion (arn: {arn})")
            if policies and not detaches_policies:
                raise conflict(f"Certificate policies must be detached before deletion (arn: {arn})")
            for policy in policies:
                changes.delete(POLICY_OF, wanted, policy)
                changes.delete(TARGET_OF, policy, wanted)
            changes.delete(CERTIFICATE, wanted)

        await self._database.write(write, Change(certificate_id=wanted))

    async def attach_thing(self, thing_name: str, principal: str) -> None:
        certificate_id = certificate_of_arn(principal)
        check_thing_name(thing_name)

        await self._database.write(
            lambda changes: put_principal(changes, thing_name, certificate_id), Change(certificate_id, thing_name)
        )

    async def detach_thing(self, thing_name: str, principal: str) -> None:
        certificate_id = certificate_of_arn(principal)
        check_thing_name(thing_name)

        def write(changes: Changes) -> None:
            thing_of(changes, thing_name)
            changes.delete(THING_OF, certificate_id, thing_name)
            changes.delete(PRINCIPAL_OF, thing_name, certificate_id)

        await self._database.write(write, Change(certificate_id, thing_name))

    def things_of(self, principal: str, *, token: str, size: int | None) -> tuple[list[str], str]:
        """The names of the things a certificate is attached to."""
        certificate_id = certificate_of_arn(principal)

        def read(documents: Documents) -> list[str]:
            certificate_of(documents, certificate_id)
            return documents.names_below(THING_OF, certificate_id)

        return named_page(self._database.read(read), token, size)

    def principals_of(self, thing_name: str, *, token: str, size: int | None) -> tuple[list[str], str]:
        """The ARNs of the certificates attached to a thing."""
        check_thing_name(thing_name)

        def read(documents: Documents) -> list[str]:
            thing_of(documents, thing_name)
            return [self._arn(one) for one in documents.names_below(PRINCIPAL_OF, thing_name)]

        return named_page(self._database.read(read), token, size)

    async def _register(
        self,
        issued: IssuedCertificate,
        status: str,
        claim: Document | None = None,
        *,
        also: Callable[[Changes, str], None] = lambda changes, certificate_id: None,
    ) -> Document:
        now, certificate = self._clock(), x509.load_pem_x509_certificate(issued.certificate_pem.encode())
        document: Document = {
            "certificateArn": self._arn(issued.certificate_id),
            "certificateId": issued.certificate_id,
            "status": status,
            "certificatePem": issued.certificate_pem,
            "ownedBy": self._account.account_id,
            "creationDate": now,
            "lastModifiedDate": now,
            "customerVersion": 1,
            "generationId": self._new_id(),
            "certificateMode": "DEFAULT",
            "validity": {
                "notBefore": certificate.not_valid_before_utc.timestamp(),
                "notAfter": certificate.not_valid_after_utc.timestamp(),
            },
        }
        if claim is not None:
            document[CLAIM] = claim

        def write(changes: Changes) -> None:
            changes.put(CERTIFICATE, issued.certificate_id, document=document)
            if claim is not None:
                changes.put(CLAIM_END, issued.certificate_id, document={"expiration": claim["expiration"]})
            also(changes, issued.certificate_id)

        await self._database.write(write, Change())
        return document

    def _arn(self, certificate_id: str) -> str:
        return self._account.arn("iot", f"cert/{certificate_id}")


def certificate_of_arn(principal: object) -> str:
    """The id in a certificate's ARN. Raises: ServiceError InvalidRequestException for any other principal."""
    text = principal if isinstance(principal, str) else ""
    resource = text.split(":", 5)[5] if is_arn(text) else ""
    if not resource.startswith("cert/"):
        raise invalid(f"{text[:200]!r} is not the ARN of a certificate; other principals do not work here")
    return check_certificate_id(resource.removeprefix("cert/"))


def certificate_of(documents: Documents, certificate_id: str) -> Document:
    """Raises: ServiceError ResourceNotFoundException."""
    found = documents.get(CERTIFICATE, certificate_id)
    if found is None:
        raise not_found(f"The certificate given in the principal does not exist. id={certificate_id}")
    return found


def put_status(changes: Changes, certificate_id: str, status: str, now: float) -> None:
    """Change what a certificate counts for. Raises: ServiceError ResourceNotFoundException."""
    document = certificate_of(changes, certificate_id)
    version = document["customerVersion"] + 1
    changed = {**document, "status": status, "lastModifiedDate": now, "customerVersion": version}
    changes.put(CERTIFICATE, certificate_id, document=changed)


def put_principal(changes: Changes, thing_name: str, certificate_id: str) -> None:
    """Attach a certificate to a thing. Raises: ServiceError ResourceNotFoundException."""
    thing_of(changes, thing_name)
    certificate_of(changes, certificate_id)
    changes.put(THING_OF, certificate_id, thing_name, document={})
    changes.put(PRINCIPAL_OF, thing_name, certificate_id, document={})


def _issued(document: Document) -> Document:
    return {name: document[name] for name in ("certificateArn", "certificateId", "certificatePem")}


def _public_key(issued: IssuedCertificate) -> str:
    key = x509.load_pem_x509_certificate(issued.certificate_pem.encode()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
