"""Who may register a certificate that was just made: tokens that end after an hour, and with them the certificate.

Source: AWS IoT Core Developer Guide, "Device provisioning MQTT API".
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256

from headwater.deploy.iot.certificates import CERTIFICATE, CLAIM_END, PENDING, POLICY_OF, THING_OF
from headwater.deploy.iot.database import Change, Changes, Document, Documents, IotDatabase
from headwater.errors import ServiceError

OWNERSHIP = "certificate-ownership"
LIFETIME_S = 3600.0


class Ownership:
    """Only a hash of each token is kept."""

    def __init__(self, database: IotDatabase, *, clock: Callable[[], float], new_token: Callable[[], str]) -> None:
        self._database = database
        self._clock = clock
        self._new_token = new_token

    def issue(self) -> tuple[str, Callable[[Changes, str], None]]:
        """A token that proves for an hour who asked for a certificate; the second part keeps it for a certificate.

        It belongs to the commit that makes the certificate: one without a token would stay for ever.
        """
        token, expiration = self._new_token(), self._clock() + LIFETIME_S

        def keep(changes: Changes, certificate_id: str) -> None:
            document: Document = {"certificateId": certificate_id, "expiration": expiration}
            changes.put(OWNERSHIP, _hash(token), document=document)

        return token, keep

    def certificate_of(self, token: object) -> str:
        """The certificate a token stands for. Raises: ServiceError InvalidCertificateOwnershipToken."""
        if not isinstance(token, str) or not token:
            raise _refused("Certificate ownership token cannot be empty.")
        found = self._database.read(lambda documents: documents.get(OWNERSHIP, _hash(token)))
        if found is None:
            raise _refused("Certificate ownership token is not valid.")
        if found["expiration"] <= self._clock():
            raise _refused("Certificate ownership token has expired.")
        certificate_id: str = found["certificateId"]
        return certificate_id

    def spend(self, changes: Changes, token: str) -> None:
        """A token registers once. Raises: ServiceError if another request was faster."""
        if not changes.delete(OWNERSHIP, _hash(token)):
            raise _refused("Certificate ownership token is not valid.")

    async def sweep(self) -> None:
        """Forget tokens that have ended, delete their certificates nobody registered, and claims that have ended."""
        now = self._clock()

        def due(documents: Documents, kind: str) -> list[tuple[str, Document]]:
            return [(key, one) for key, one in documents.below(kind) if one["expiration"] <= now]

        def write(changes: Changes) -> None:
            for key, document in due(changes, OWNERSHIP):
                changes.delete(OWNERSHIP, key)
                _forget_pending(changes, document["certificateId"])

        if self._database.read(lambda documents: due(documents, OWNERSHIP)):
            await self._database.write(write, Change())
        for certificate_id, _ in self._database.read(lambda documents: due(documents, CLAIM_END)):
            # A commit each, for its change ends the connections of the claim.
            await self._database.write(partial(_forget_claim, certificate_id), Change(certificate_id))


def _forget_claim(certificate_id: str, changes: Changes) -> None:
    changes.delete(CLAIM_END, certificate_id)
    changes.delete(CERTIFICATE, certificate_id)


def _forget_pending(changes: Changes, certificate_id: str) -> None:
    certificate = changes.get(CERTIFICATE, certificate_id)
    is_attached = changes.names_below(POLICY_OF, certificate_id) or changes.names_below(THING_OF, certificate_id)
    if certificate is not None and certificate["status"] == PENDING and not is_attached:
        changes.delete(CERTIFICATE, certificate_id)


def _refused(message: str) -> ServiceError:
    return ServiceError("InvalidCertificateOwnershipToken", message)


def _hash(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
