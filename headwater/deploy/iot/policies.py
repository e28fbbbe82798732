"""IoT policies of the device registry, and the certificates they are attached to.

Source: AWS IoT API Reference, CreatePolicy, DeletePolicy, AttachPolicy, DetachPolicy.
"""

from collections.abc import Callable

from headwater.deploy.iot.certificates import POLICY_OF, TARGET_OF, certificate_of, certificate_of_arn
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
    MAX_POLICIES_OF_A_CERTIFICATE,
    check_policy_document,
    check_policy_name,
    conflict,
    exists,
    not_found,
)
from headwater.errors import ServiceError
from headwater.server.aws.permissions import Account

POLICY = "policy"


class Policies:
    """IoT policies by name, and the certificates they are attached to. Every method raises ServiceError."""

    def __init__(
        self, database: IotDatabase, account: Account, *, clock: Callable[[], float], new_id: Callable[[], str]
    ) -> None:
        self._database = database
        self._account = account
        self._clock = clock
        self._new_id = new_id

    async def create(self, name: str, text: object) -> Document:
        document = self._document(name, text)

        def write(changes: Changes) -> Document:
            if changes.has(POLICY, name):
                message = f"Policy cannot be created - name already exists (name={name})"
                raise exists(message, name, document["policyArn"])
            changes.put(POLICY, name, document=document)
            return document

        return await self._database.write(write, Change())

    async def replace(self, name: str, text: str) -> None:
        """A policy as the template has it, whatever it was before."""
        document = self._document(name, text)

        def write(changes: Changes) -> None:
            existing = changes.get(POLICY, name)
            kept = {} if existing is None else {"creationDate": existing["creationDate"]}
            changes.put(POLICY, name, document={**document, **kept})

        await self._database.write(write, Change(is_for_everybody=True))

    def get(self, name: str) -> Document:
        check_policy_name(name)
        return self._database.read(lambda documents: policy_of(documents, name))

    def listed(self, *, ascending: bool, token: str, size: int | None) -> tuple[list[Document], str]:
        rows = self._database.read(lambda documents: [(age_of(d), d) for _, d in documents.below(POLICY)])
        rows.sort(key=lambda row: row[0], reverse=not ascending)
        shown, following = page_of(rows, token, size)
        return [_named(row) for row in shown], following

    async def delete(self, name: str) -> None:
        check_policy_name(name)

        def write(changes: Changes) -> None:
            policy_of(changes, name)
            if changes.names_below(TARGET_OF, name):
                raise conflict(
                    f"The policy cannot be deleted as the policy is attached to one or more principals (name={name})"
                )
            changes.delete(POLICY, name)

        await self._database.write(write, Change())

    async def attach(self, name: str, target: object) -> None:
        check_policy_name(name)
        certificate_id = certificate_of_arn(target)

        def write(changes: Changes) -> None:
            policy_of(changes, name)
            certificate_of(changes, certificate_id)
            attached = changes.names_below(POLICY_OF, certificate_id)
            if name not in attached and len(attached) >= MAX_POLICIES_OF_A_CERTIFICATE:
                message = f"a certificate has at most {MAX_POLICIES_OF_A_CERTIFICATE} policies"
                raise ServiceError("LimitExceededException", message, status=410)
            changes.put(POLICY_OF, certificate_id, name, document={})
            changes.put(TARGET_OF, name, certificate_id, document={})

        await self._database.write(write, Change(certificate_id=certificate_id))

    async def detach(self, name: str, target: object) -> None:
        """What is not attached is no error."""
        check_policy_name(name)
        certificate_id = certificate_of_arn(target)

        def write(changes: Changes) -> None:
            changes.delete(POLICY_OF, certificate_id, name)
            changes.delete(TARGET_OF, name, certificate_id)

        await self._database.write(write, Change(certificate_id=certificate_id))

    def attached_to(self, target: object, *, token: str, size: int | None) -> tuple[list[Document], str]:
        certificate_id = certificate_of_arn(target)

        def read(documents: Documents) -> list[tuple[str, Document]]:
            certificate_of(documents, certificate_id)
            names = documents.names_below(POLICY_OF, certificate_id)
            return [(name, policy_of(documents, name)) for name in names]

        shown, following = page_of(self._database.read(read), token, size)
        return [_named(row) for row in shown], following

    def targets_of(self, name: str, *, token: str, size: int | None) -> tuple[list[str], str]:
        """The ARNs of the certificates a policy is attached to."""
        check_policy_name(name)

        def read(documents: Documents) -> list[str]:
            policy_of(documents, name)
            return [self._account.arn("iot", f"cert/{one}") for one in documents.names_below(TARGET_OF, name)]

        return named_page(self._database.read(read), token, size)

    def _document(self, name: str, text: object) -> Document:
        check_policy_name(name)
        check_policy_document(text)
        now = self._clock()
        return {
            "policyName": name,
            "policyArn": self._account.arn("iot", f"policy/{name}"),
            "policyDocument": text,
            "defaultVersionId": "1",
            "creationDate": now,
            "lastModifiedDate": now,
            "generationId": self._new_id(),
        }


def policy_of(documents: Documents, name: str) -> Document:
    """Raises: ServiceError ResourceNotFoundException."""
    found = documents.get(POLICY, name)
    if found is None:
        raise not_found(f"Policy not found (name={name})")
    return found


def _named(document: Document) -> Document:
    return {name: document[name] for name in ("policyName", "policyArn")}
