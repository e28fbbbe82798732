"""Registers what a provisioning template asks for, in one commit: thing, certificate, policies and what joins them.

Source: AWS IoT Core Developer Guide, "Provisioning templates", "Override settings".
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from headwater.deploy.iot.certificates import PENDING, certificate_of, put_principal, put_status
from headwater.deploy.iot.database import Change, Changes, Document
from headwater.deploy.iot.groups import regroup
from headwater.deploy.iot.policies import attach_policy
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.iot.things import GROUP_OF, THING
from headwater.deploy.provisioning.body import Wanted, WantedCertificate, WantedThing
from headwater.errors import ServiceError

Authorize = Callable[[str, str], None]
"""Called with an action and a resource's ARN before it is done. Raises: ServiceError AccessDeniedException."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What was registered; `resource_arns` by the template's names."""

    thing_name: str
    certificate_id: str
    resource_arns: Mapping[str, str]


class Registration:
    """Every method raises ServiceError."""

    def __init__(self, registry: DeviceRegistry, *, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._registry = registry
        self._clock = clock
        self._new_id = new_id

    async def register(
        self, wanted: Wanted, certificate_id: str, authorize: Authorize, also: Callable[[Changes], None] | None = None
    ) -> Registered:
        """Register with a certificate that exists; `also` is part of the same commit."""
        account = self._registry.account
        for action, resource in _needed(wanted, certificate_id):
            authorize(action, account.arn("iot", resource))
        thing_id, now = self._new_id(), self._clock()
        thing_name = wanted.thing.name if wanted.thing is not None else ""

        def write(changes: Changes) -> Registered:
            if wanted.certificate is not None:
                self._certificate(changes, certificate_id, wanted.certificate, now)
            if wanted.thing is not None:
                self._thing(changes, wanted.thing, thing_id)
                put_principal(changes, thing_name, certificate_id)
            for name in self._policies(changes, wanted):
                attach_policy(changes, name, certificate_id)
            if also is not None:
                also(changes)
            return Registered(thing_name, certificate_id, self._arns(wanted, certificate_id))

        return await self._registry.database.write(write, Change(certificate_id, thing_name))

    def _certificate(self, changes: Changes, certificate_id: str, wanted: WantedCertificate, now: float) -> None:
        status = certificate_of(changes, certificate_id)["status"]
        if status not in (PENDING, wanted.status) and not _overrides(wanted.overrides, "Status", "certificate"):
            return
        if status != wanted.status:
            put_status(changes, certificate_id, wanted.status, now)

    def _thing(self, changes: Changes, wanted: WantedThing, thing_id: str) -> None:
        existing = changes.get(THING, wanted.name)
        attributes, type_name = dict(wanted.attributes or {}), wanted.type_name
        if existing is not None:
            attributes, type_name = _merged(existing, wanted)
        self._registry.things.put(
            changes,
            wanted.name,
            thing_id=existing["thingId"] if existing is not None else thing_id,
            type_name=type_name,
            attributes=attributes,
            version=existing["version"] + 1 if existing is not None else 1,
        )
        if wanted.groups is None:
            return
        before = changes.names_below(GROUP_OF, wanted.name)
        if existing is None:
            regroup(changes, wanted.name, wanted.groups, ())
        elif _overrides(wanted.overrides, "ThingGroups", wanted.name):
            merges = wanted.overrides["ThingGroups"] == "MERGE"
            gone = () if merges else [name for name in before if name not in wanted.groups]
            regroup(changes, wanted.name, wanted.groups, gone)

    def _policies(self, changes: Changes, wanted: Wanted) -> Iterator[str]:
        for policy in wanted.policies.values():
            if policy.document is not None:
                self._registry.policies.put(changes, _hash(policy.document), policy.document)
            yield policy.name or _hash(policy.document or "")

    def _arns(self, wanted: Wanted, certificate_id: str) -> Mapping[str, str]:
        arn = self._registry.account.arn
        found: dict[str, str] = {}
        if wanted.thing is not None:
            found[wanted.logical_ids["thing"]] = arn("iot", f"thing/{wanted.thing.name}")
        if wanted.certificate is not None:
            found[wanted.logical_ids["certificate"]] = arn("iot", f"cert/{certificate_id}")
        for logical_id, policy in wanted.policies.items():
            found[logical_id] = arn("iot", f"policy/{policy.name or _hash(policy.document or '')}")
        return found


def _needed(wanted: Wanted, certificate_id: str) -> Iterator[tuple[str, str]]:
    """The permissions of the provisioning role, as actions on resources."""
    certificate = f"cert/{certificate_id}"
    yield "iot:UpdateCertificate", certificate
    if wanted.thing is not None:
        thing = f"thing/{wanted.thing.name}"
        yield "iot:CreateThing", thing
        yield "iot:AttachThingPrincipal", certificate
        for group in wanted.thing.groups or ():
            yield "iot:AddThingToThingGroup", f"thinggroup/{group}"
    for policy in wanted.policies.values():
        if policy.document is not None:
            yield "iot:CreatePolicy", f"policy/{_hash(policy.document)}"
        yield "iot:AttachPolicy", certificate


def _merged(existing: Document, wanted: WantedThing) -> tuple[dict[str, Any], str | None]:
    """Attributes and type of a thing that exists. What a template does not mention is left as it is."""
    attributes, type_name = dict(existing["attributes"]), existing.get("thingTypeName")
    if wanted.attributes is not None and _overrides(wanted.overrides, "AttributePayload", wanted.name):
        merges = wanted.overrides["AttributePayload"] == "MERGE"
        attributes = {**attributes, **wanted.attributes} if merges else dict(wanted.attributes)
    has_other_type = wanted.type_name is not None and wanted.type_name != type_name
    if has_other_type and _overrides(wanted.overrides, "ThingTypeName", wanted.name):
        type_name = wanted.type_name
    return attributes, type_name


def _overrides(settings: Mapping[str, str], name: str, what: str) -> bool:
    """Whether a property of something that exists is written. Without a setting it is left as it is.

    Raises: ServiceError ResourceConflictsException for FAIL.
    """
    setting = settings.get(name, "DO_NOTHING")
    if setting == "FAIL":
        raise ServiceError("ResourceConflictsException", f"{what} exists, and {name} is set to FAIL", status=409)
    return setting != "DO_NOTHING"


def _hash(document: str) -> str:
    """The name of a policy the template gives no name."""
    return sha256(document.encode()).hexdigest()
