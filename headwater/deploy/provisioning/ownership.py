"""Who may register a certificate that was just made: tokens that end after an hour, and with them the certificate.

Source: AWS IoT Core Developer Guide, "Device provisioning MQTT API".
"""

from collections.abc import Callable
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

    async def issue(self, certificate_id: str) -> str:
        """A token that proves for an hour who asked for a certificate."""
        token = self._new_token()
        document: Document = {"certificateId": certificate_id, "expiration": self._clock() + LIFETIME_S}
        await self._database.write(lambda changes: changes.put(OWNERSHIP, _hash(token), document=document), Change())
        return token

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
            for certificate_id, _ in due(changes, CLAIM_END):
                changes.delete(CLAIM_END, certificate_id)
                changes.delete(CERTIFICATE, certificate_id)

        if self._database.read(lambda documents: due(documents, OWNERSHIP) or due(documents, CLAIM_END)):
            await self._database.write(write, Change())


def _forget_pending(changes: Changes, certificate_id: str) -> None:
    certificate = changes.get(CERTIFICATE, certificate_id)
    is_attached = changes.names_below(POLICY_OF, certificate_id) or changes.names_below(THING_OF, certificate_id)
    if certificate is not None and certificate["status"] == PENDING and not is_attached:
        changes.delete(CERTIFICATE, certificate_id)


def _refused(message: str) -> ServiceError:
    return ServiceError("InvalidCertificateOwnershipToken", message)


def _hash(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
