"""IoT policies of the device registry with their versions, and the certificates and groups they are attached to.

Source: AWS IoT API Reference, CreatePolicy, CreatePolicyVersion, DeletePolicy, AttachPolicy, DetachPolicy.
"""

from collections.abc import Callable
from typing import Any

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
    MAX_POLICIES_OF_A_GROUP,
    MAX_POLICY_VERSIONS,
    check_policy_document,
    check_policy_name,
    check_thing_name,
    conflict,
    exists,
    invalid,
    not_found,
)
from headwater.deploy.iot.things import GROUP
from headwater.errors import ServiceError
from headwater.server.aws.permissions import Account
from headwater.values.arn import is_arn

POLICY = "policy"
_GROUP = "thinggroup/"


class Policies:
    """IoT policies by name, and what they are attached to. Every method raises ServiceError.

    `policyDocument` of a stored policy is that of its default version, the one that counts.
    """

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
        """A policy as the template has it: another text is a new version, the oldest one makes room."""
        document = self._document(name, text)
        now = self._clock()

        def write(changes: Changes) -> None:
            existing = changes.get(POLICY, name)
            if existing is None:
                changes.put(POLICY, name, document=document)
            elif existing["policyDocument"] != text:
                kept = _versions(existing)
                if len(kept) >= MAX_POLICY_VERSIONS:
                    del kept[next(one for one in kept if one != existing["defaultVersionId"])]
                number = _next_version(existing)
                kept[number] = {"policyDocument": text, "creationDate": now}
                changes.put(POLICY, name, document=_with_versions(existing, kept, number, now))

        await self._database.write(write, Change(is_for_everybody=True))

    def get(self, name: str) -> Document:
        """As GetPolicy gives it."""
        check_policy_name(name)
        found = self._database.read(lambda documents: policy_of(documents, name))
        return {member: value for member, value in found.items() if member not in ("versions", "lastVersion")}

    def listed(self, *, ascending: bool, token: str, size: int | None) -> tuple[list[Document], str]:
        rows = self._database.read(lambda documents: [(age_of(d), d) for _, d in documents.below(POLICY)])
        rows.sort(key=lambda row: row[0], reverse=not ascending)
        shown, following = page_of(rows, token, size)
        return [_named(row) for row in shown], following

    async def delete(self, name: str) -> None:
        check_policy_name(name)

        def write(changes: Changes) -> None:
            policy = policy_of(changes, name)
            if changes.names_below(TARGET_OF, name):
                raise conflict(
                    f"The policy cannot be deleted as the policy is attached to one or more principals (name={name})"
                )
            if len(_versions(policy)) > 1:
                raise conflict(
                    f"Cannot delete the policy because it has one or more policy versions attached to it (name={name})"
                )
            changes.delete(POLICY, name)

        await self._database.write(write, Change())

    # -- versions -------------------------------------------------------------------------------------------------

    async def create_version(self, name: str, text: object, *, is_default: bool) -> Document:
        check_policy_name(name)
        check_policy_document(text)
        now = self._clock()

        def write(changes: Changes) -> Document:
            policy = policy_of(changes, name)
            kept = _versions(policy)
            if len(kept) >= MAX_POLICY_VERSIONS:
                message = f"The policy {name} already has the maximum number of versions ({MAX_POLICY_VERSIONS})"
                raise ServiceError("VersionsLimitExceededException", message, status=409)
            number = _next_version(policy)
            kept[number] = {"policyDocument": text, "creationDate": now}
            default = number if is_default else policy["defaultVersionId"]
            changes.put(POLICY, name, document=_with_versions(policy, kept, default, now))
            return {
                "policyArn": policy["policyArn"],
                "policyDocument": text,
                "policyVersionId": number,
                "isDefaultVersion": is_default,
            }

        return await self._database.write(write, Change(is_for_everybody=is_default))

    def version(self, name: str, version_id: str) -> Document:
        """As GetPolicyVersion gives it."""
        policy = self._read(name)
        version = _version_of(policy, version_id)
        return {
            "policyArn": policy["policyArn"],
            "policyName": name,
            "policyDocument": version["policyDocument"],
            "policyVersionId": version_id,
            "isDefaultVersion": version_id == policy["defaultVersionId"],
            "creationDate": version["creationDate"],
            "lastModifiedDate": version["creationDate"],
            "generationId": policy["generationId"],
        }

    def versions(self, name: str) -> list[Document]:
        """The newest one first."""
        policy = self._read(name)
        return [
            {
                "versionId": number,
                "isDefaultVersion": number == policy["defaultVersionId"],
                "createDate": version["creationDate"],
            }
            for number, version in sorted(_versions(policy).items(), key=lambda one: int(one[0]), reverse=True)
        ]

    async def set_default_version(self, name: str, version_id: str) -> None:
        check_policy_name(name)
        now = self._clock()

        def write(changes: Changes) -> None:
            policy = policy_of(changes, name)
            _version_of(policy, version_id)
            changes.put(POLICY, name, document=_with_versions(policy, _versions(policy), version_id, now))

        await self._database.write(write, Change(is_for_everybody=True))

    async def delete_version(self, name: str, version_id: str) -> None:
        """Any version but the default one."""
        check_policy_name(name)
        now = self._clock()

        def write(changes: Changes) -> None:
            policy = policy_of(changes, name)
            _version_of(policy, version_id)
            if version_id == policy["defaultVersionId"]:
                raise conflict(f"Cannot delete the default version of a policy (name={name}, version={version_id})")
            kept = _versions(policy)
            del kept[version_id]
            changes.put(POLICY, name, document=_with_versions(policy, kept, policy["defaultVersionId"], now))

        await self._database.write(write, Change())

    # -- targets --------------------------------------------------------------------------------------------------

    async def attach(self, name: str, target: object) -> None:
        check_policy_name(name)
        key = target_of_arn(target)
        await self._database.write(lambda changes: attach_policy(changes, name, key), _changed(key))

    async def detach(self, name: str, target: object) -> None:
        """What is not attached is no error."""
        check_policy_name(name)
        key = target_of_arn(target)

        def write(changes: Changes) -> None:
            changes.delete(POLICY_OF, key, name)
            changes.delete(TARGET_OF, name, key)

        await self._database.write(write, _changed(key))

    def attached_to(
        self,
        target: object,
        *,
        token: str,
        size: int | None,
        above: Callable[[Documents, str], list[str]] = lambda documents, key: [],
    ) -> tuple[list[Document], str]:
        """The policies of a target and of the targets that `above` finds for it."""
        key = target_of_arn(target)

        def read(documents: Documents) -> list[tuple[str, Document]]:
            _check_target(documents, key)
            names = {name for one in (key, *above(documents, key)) for name in documents.names_below(POLICY_OF, one)}
            return [(name, policy_of(documents, name)) for name in sorted(names)]

        shown, following = page_of(self._database.read(read), token, size)
        return [_named(row) for row in shown], following

    def targets_of(self, name: str, *, token: str, size: int | None) -> tuple[list[str], str]:
        """The ARNs of the certificates and groups a policy is attached to."""
        check_policy_name(name)

        def read(documents: Documents) -> list[str]:
            policy_of(documents, name)
            return [self._arn(one) for one in documents.names_below(TARGET_OF, name)]

        return named_page(self._database.read(read), token, size)

    def put(self, changes: Changes, name: str, text: str) -> None:
        """Write a policy if there is none of this name. Raises: ServiceError."""
        document = self._document(name, text)
        if not changes.has(POLICY, name):
            changes.put(POLICY, name, document=document)

    def _arn(self, key: str) -> str:
        return self._account.arn("iot", key if key.startswith(_GROUP) else f"cert/{key}")

    def _read(self, name: str) -> Document:
        check_policy_name(name)
        return self._database.read(lambda documents: policy_of(documents, name))

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


def group_target(name: str) -> str:
    """The key under which the policies of a thing group are kept; a certificate's is its id."""
    return _GROUP + name


def group_of_target(key: str) -> str | None:
    """The thing group of such a key; None for a certificate's."""
    return key.removeprefix(_GROUP) if key.startswith(_GROUP) else None


def target_of_arn(target: object) -> str:
    """The key of a certificate or thing group. Raises: ServiceError InvalidRequestException for anything else."""
    text = target if isinstance(target, str) else ""
    resource = text.split(":", 5)[5] if is_arn(text) else ""
    if resource.startswith(_GROUP):
        return group_target(check_thing_name(resource.removeprefix(_GROUP), "thingGroupName"))
    return certificate_of_arn(target)


def attach_policy(changes: Changes, name: str, key: str) -> None:
    """What `attach` writes. Raises: ServiceError."""
    policy_of(changes, name)
    _check_target(changes, key)
    attached = changes.names_below(POLICY_OF, key)
    limit = MAX_POLICIES_OF_A_GROUP if key.startswith(_GROUP) else MAX_POLICIES_OF_A_CERTIFICATE
    if name not in attached and len(attached) >= limit:
        what = "thing group" if key.startswith(_GROUP) else "certificate"
        raise ServiceError("LimitExceededException", f"a {what} has at most {limit} policies", status=410)
    changes.put(POLICY_OF, key, name, document={})
    changes.put(TARGET_OF, name, key, document={})


def _check_target(documents: Documents, key: str) -> None:
    if not key.startswith(_GROUP):
        certificate_of(documents, key)
    elif not documents.has(GROUP, key.removeprefix(_GROUP)):
        raise not_found(f"Thing group {key.removeprefix(_GROUP)} not found")


def _changed(key: str) -> Change:
    return Change(is_for_everybody=True) if key.startswith(_GROUP) else Change(certificate_id=key)


def _versions(policy: Document) -> dict[str, Any]:
    """By number, the oldest first; a policy that never had another version keeps none."""
    first = {"policyDocument": policy["policyDocument"], "creationDate": policy["creationDate"]}
    return dict(policy.get("versions") or {policy["defaultVersionId"]: first})


def _version_of(policy: Document, version_id: str) -> Any:
    found = _versions(policy).get(version_id)
    if found is None:
        if not (version_id.isascii() and version_id.isdecimal()):
            raise invalid(f"policyVersionId {version_id[:20]!r} is not a number")
        raise not_found(f"Policy version not found (name={policy['policyName']}, version={version_id})")
    return found


def _next_version(policy: Document) -> str:
    """Numbers of deleted versions do not come back."""
    return str(int(policy.get("lastVersion") or policy["defaultVersionId"]) + 1)


def _with_versions(policy: Document, versions: dict[str, Any], default: str, now: float) -> Document:
    newest = max(int(policy.get("lastVersion") or 0), *(int(number) for number in versions))
    return {
        **policy,
        "policyDocument": versions[default]["policyDocument"],
        "defaultVersionId": default,
        "lastModifiedDate": now,
        "versions": versions,
        "lastVersion": newest,
    }


def _named(document: Document) -> Document:
    return {name: document[name] for name in ("policyName", "policyArn")}
