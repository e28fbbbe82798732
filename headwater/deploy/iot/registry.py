"""The device registry of an instance: things, groups, certificates and policies, in one database of the store."""

from collections.abc import Callable
from dataclasses import dataclass

from headwater.deploy.iot.certificates import (
    ACTIVE,
    CERTIFICATE,
    CLAIM,
    POLICY_OF,
    THING_OF,
    Certificates,
    certificate_of,
)
from headwater.deploy.iot.database import Document, Documents, IotDatabase
from headwater.deploy.iot.groups import ThingGroups, ancestors, inherited_groups
from headwater.deploy.iot.limits import is_thing_name
from headwater.deploy.iot.policies import POLICY, Policies, group_of_target, group_target
from headwater.deploy.iot.things import PRINCIPAL_OF, THING, Things, thing_of
from headwater.server.aws.permissions import Account
from headwater.server.http.tls import CertificateAuthority
from headwater.storage.store import Store


@dataclass(frozen=True, slots=True)
class Standing:
    """What the registry says of a client: its active certificates, the policies that count, its thing.

    Those are the policies of the certificates, and those of the groups of a thing they are attached to.

    `thing` is the thing of the client's id, whoever uses it; `is_attached` that the certificate belongs to it.
    """

    certificate_ids: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    thing: Document | None = None
    is_attached: bool = False


class DeviceRegistry:
    """Everything about devices that outlives their connections."""

    def __init__(
        self,
        store: Store,
        account: Account,
        open_authority: Callable[[], CertificateAuthority],
        *,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self.account = account
        self.database = IotDatabase(store)
        self.things = Things(self.database, account, clock=clock, new_id=new_id)
        self.certificates = Certificates(self.database, account, open_authority, clock=clock, new_id=new_id)
        self.policies = Policies(self.database, account, clock=clock, new_id=new_id)
        self.groups = ThingGroups(self.database, account, clock=clock, new_id=new_id)

    def is_active(self, certificate_id: str) -> bool:
        """Whether a certificate is registered and may be used."""
        document = self.database.read(lambda documents: documents.get(CERTIFICATE, certificate_id))
        return document is not None and document["status"] == ACTIVE

    def standing_of_certificate(self, certificate_id: str, client_id: str) -> Standing:
        """What a client may rely on that shows a certificate; `policies` are documents."""

        def read(documents: Documents) -> Standing:
            thing = documents.get(THING, client_id) if is_thing_name(client_id) else None
            is_attached = thing is not None and documents.has(THING_OF, certificate_id, client_id)
            active = _active(documents, [certificate_id])
            targets = _targets(documents, active, client_id if is_attached else "")
            texts = (*_texts(documents, targets), *_claims(documents, active))
            return Standing(active, texts, thing, is_attached)

        return self.database.read(read)

    def standing_of_thing(self, client_id: str) -> Standing:
        """What a client may rely on that shows no certificate but has a thing's name: all the thing's certificates."""

        def read(documents: Documents) -> Standing:
            thing = documents.get(THING, client_id) if is_thing_name(client_id) else None
            if thing is None:
                return Standing()
            active = _active(documents, documents.names_below(PRINCIPAL_OF, client_id))
            targets = _targets(documents, active, client_id if active else "")
            return Standing(active, _texts(documents, targets), thing, is_attached=bool(active))

        return self.database.read(read)

    def things_of(self, certificate_id: str) -> list[str]:
        """The names of the things a certificate is attached to."""
        return self.database.read(lambda documents: documents.names_below(THING_OF, certificate_id))

    def effective_policies(self, certificate_id: str, thing_name: str) -> list[Document]:
        """The policies of a certificate (if one is named) and of a thing's groups (if it is), by their names."""

        def read(documents: Documents) -> list[Document]:
            if certificate_id:
                certificate_of(documents, certificate_id)
            if thing_name:
                thing_of(documents, thing_name)
            targets = _targets(documents, (certificate_id,) if certificate_id else (), thing_name)
            return _policies(documents, targets)

        return self.database.read(read)


def groups_above(documents: Documents, target: str) -> list[str]:
    """The targets a group inherits policies from; none for a certificate."""
    name = group_of_target(target)
    return [] if name is None else [group_target(one) for one in ancestors(documents, name)]


def _active(documents: Documents, certificate_ids: list[str]) -> tuple[str, ...]:
    found = ((one, documents.get(CERTIFICATE, one)) for one in certificate_ids)
    return tuple(one for one, document in found if document is not None and document["status"] == ACTIVE)


def _targets(documents: Documents, certificate_ids: tuple[str, ...], thing_name: str) -> list[str]:
    groups = inherited_groups(documents, thing_name) if thing_name else ()
    return [*certificate_ids, *(group_target(name) for name in groups)]


def _policies(documents: Documents, targets: list[str]) -> list[Document]:
    names = {name for target in targets for name in documents.names_below(POLICY_OF, target)}
    found = (documents.get(POLICY, name) for name in sorted(names))
    return [document for document in found if document is not None]


def _texts(documents: Documents, targets: list[str]) -> tuple[str, ...]:
    return tuple(policy["policyDocument"] for policy in _policies(documents, targets))


def _claims(documents: Documents, certificate_ids: tuple[str, ...]) -> list[str]:
    found = (documents.get(CERTIFICATE, one) for one in certificate_ids)
    return [document[CLAIM]["policyDocument"] for document in found if document is not None and CLAIM in document]
