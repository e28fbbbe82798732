"""Provisioning templates by name, with their versions.

Source: AWS IoT API Reference, CreateProvisioningTemplate, CreateProvisioningTemplateVersion and the following.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from headwater.deploy.iot.database import Change, Changes, Document, Documents, IotDatabase, named_page, scanned_page
from headwater.deploy.iot.limits import conflict, exists, invalid, not_found
from headwater.deploy.provisioning.body import ProvisioningBody
from headwater.errors import ServiceError
from headwater.server.aws.permissions import Account
from headwater.values.arn import is_arn

TEMPLATE = "provisioning-template"
TYPE = "FLEET_PROVISIONING"
_NAME = re.compile(r"[0-9A-Za-z_-]{1,36}\Z")
_MAX_VERSIONS = 5
_MAX_DESCRIPTION_CHARACTERS = 500
_PAYLOAD_VERSION = "2020-04-01"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a template has beside its body; `hook_arn` is a function that is asked before anything is registered."""

    role_arn: str
    description: str = ""
    is_enabled: bool = False
    hook_arn: str | None = None


class ProvisioningTemplates:
    """Every method raises ServiceError."""

    def __init__(self, database: IotDatabase, account: Account, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._account = account
        self._clock = clock
        # What was parsed once, by its text: devices come by the thousand.
        self._bodies: dict[str, ProvisioningBody] = {}

    async def create(self, name: object, text: object, settings: Settings) -> Document:
        document = self._document(_checked_name(name), text, settings)

        def write(changes: Changes) -> Document:
            if changes.has(TEMPLATE, document["templateName"]):
                message = f"A provisioning template named {name} exists"
                raise exists(message, document["templateName"], document["templateArn"])
            changes.put(TEMPLATE, document["templateName"], document=document)
            return document

        return await self._database.write(write, Change())

    async def replace(self, name: str, text: object, settings: Settings) -> None:
        """A template as the stack has it; another body is a new version, the oldest one makes room."""
        document, now = self._document(_checked_name(name), text, settings), self._clock()

        def write(changes: Changes) -> None:
            existing = changes.get(TEMPLATE, name)
            if existing is None:
                changes.put(TEMPLATE, name, document=document)
                return
            changed = {**existing, "settings": asdict(settings)}
            if _default_version(existing)["templateBody"] != text:
                versions = dict(existing["versions"])
                if len(versions) >= _MAX_VERSIONS:
                    del versions[next(one for one in versions if one != str(existing["defaultVersionId"]))]
                changed = _with_version({**changed, "versions": versions}, text, now, is_default=True)
            changes.put(TEMPLATE, name, document=changed)

        await self._database.write(write, Change())

    def describe(self, name: str) -> Document:
        document = self._read(name)
        settings = Settings(**document["settings"])
        described = {
            **{member: document[member] for member in ("templateArn", "templateName", "creationDate")},
            "lastModifiedDate": document["lastModifiedDate"],
            "defaultVersionId": document["defaultVersionId"],
            "description": settings.description,
            "templateBody": _default_version(document)["templateBody"],
            "enabled": settings.is_enabled,
            "provisioningRoleArn": settings.role_arn,
            "type": TYPE,
        }
        if settings.hook_arn is not None:
            described["preProvisioningHook"] = {"payloadVersion": _PAYLOAD_VERSION, "targetArn": settings.hook_arn}
        return described

    def listed(self, *, token: str, size: int | None) -> tuple[list[Document], str]:
        rows, following = self._database.read(
            lambda documents: scanned_page(documents, TEMPLATE, lambda _: True, token, size)
        )
        members = ("templateArn", "templateName", "creationDate", "lastModifiedDate")
        listed = [
            {
                **{member: row[member] for member in members},
                "description": row["settings"]["description"],
                "enabled": row["settings"]["is_enabled"],
                "type": TYPE,
            }
            for row in rows
        ]
        return listed, following

    async def update(self, name: str, changed: Mapping[str, Any], default_version: int | None) -> None:
        """Change settings by their names here, and which version counts."""
        now = self._clock()

        def write(changes: Changes) -> None:
            document = _template_of(changes, name)
            settings = replace(Settings(**document["settings"]), **changed)
            if default_version is not None:
                _version_of(document, str(default_version))
            default = document["defaultVersionId"] if default_version is None else default_version
            kept = {"settings": asdict(settings), "defaultVersionId": default, "lastModifiedDate": now}
            changes.put(TEMPLATE, name, document={**document, **kept})

        await self._database.write(write, Change())

    async def delete(self, name: str) -> None:
        def write(changes: Changes) -> None:
            document = _template_of(changes, name)
            if len(document["versions"]) > 1:
                raise conflict(f"The template {name} has other versions than its default one; delete them first")
            changes.delete(TEMPLATE, name)

        await self._database.write(write, Change())

    # -- versions -------------------------------------------------------------------------------------------------

    async def create_version(self, name: str, text: object, *, is_default: bool) -> Document:
        self._fleet_body(text)
        now = self._clock()

        def write(changes: Changes) -> Document:
            document = _template_of(changes, name)
            if len(document["versions"]) >= _MAX_VERSIONS:
                message = f"The template {name} has {_MAX_VERSIONS} versions already"
                raise ServiceError("VersionsLimitExceededException", message, status=409)
            changed = _with_version(document, text, now, is_default=is_default)
            changes.put(TEMPLATE, name, document=changed)
            return {
                "templateArn": document["templateArn"],
                "templateName": name,
                "versionId": changed["lastVersionId"],
                "isDefaultVersion": is_default,
            }

        return await self._database.write(write, Change())

    def version(self, name: str, version_id: str) -> Document:
        document = self._read(name)
        version = _version_of(document, version_id)
        return {
            "versionId": int(version_id),
            "isDefaultVersion": int(version_id) == document["defaultVersionId"],
            **version,
        }

    def versions(self, name: str, *, token: str, size: int | None) -> tuple[list[Document], str]:
        document = self._read(name)
        shown, following = named_page(list(document["versions"]), token, size)
        rows = [
            {
                "versionId": int(number),
                "isDefaultVersion": int(number) == document["defaultVersionId"],
                "creationDate": document["versions"][number]["creationDate"],
            }
            for number in shown
        ]
        return rows, following

    async def delete_version(self, name: str, version_id: str) -> None:
        def write(changes: Changes) -> None:
            document = _template_of(changes, name)
            _version_of(document, version_id)
            if int(version_id) == document["defaultVersionId"]:
                raise conflict(f"Version {version_id} of {name} is the default one, which stays")
            kept = {number: one for number, one in document["versions"].items() if number != version_id}
            changes.put(TEMPLATE, name, document={**document, "versions": kept})

        await self._database.write(write, Change())

    # -- what devices are registered by ---------------------------------------------------------------------------

    def active(self, name: str) -> tuple[ProvisioningBody, Settings, str]:
        """Body, settings and ARN of a template that is enabled. Raises: ServiceError ResourceNotFoundException."""
        document = self._read(name)
        settings = Settings(**document["settings"])
        if not settings.is_enabled:
            raise invalid(f"The provisioning template {name} is not enabled")
        return self._fleet_body(_default_version(document)["templateBody"]), settings, document["templateArn"]

    def _fleet_body(self, text: object) -> ProvisioningBody:
        body = self._bodies.get(text) if isinstance(text, str) else None
        if body is None:
            body = ProvisioningBody.parse(text)
            body.check_for_fleets()
            if len(self._bodies) >= 64:
                self._bodies.clear()
            self._bodies[body.text] = body
        return body

    def _read(self, name: str) -> Document:
        return self._database.read(lambda documents: _template_of(documents, name))

    def _document(self, name: str, text: object, settings: Settings) -> Document:
        self._fleet_body(text)
        check_settings(settings)
        now = self._clock()
        document: Document = {
            "templateName": name,
            "templateArn": self._account.arn("iot", f"provisioningtemplate/{name}"),
            "creationDate": now,
            "settings": asdict(settings),
            "versions": {},
            "lastVersionId": 0,
        }
        return _with_version(document, text, now, is_default=True)


def check_settings(settings: Settings) -> None:
    """Raises: ServiceError InvalidRequestException."""
    if not is_arn(settings.role_arn) or ":role/" not in settings.role_arn:
        raise invalid(f"provisioningRoleArn {settings.role_arn[:200]!r} is not the ARN of a role")
    if settings.hook_arn is not None and settings.hook_arn.split(":")[2:3] != ["lambda"]:
        raise invalid(f"preProvisioningHook.targetArn {settings.hook_arn[:200]!r} is not the ARN of a function")
    if len(settings.description) > _MAX_DESCRIPTION_CHARACTERS:
        raise invalid(f"description has {len(settings.description)} characters; the limit is 500")


def hook_arn_of(hook: Mapping[str, Any]) -> str | None:
    """The function of a `preProvisioningHook`. Raises: ServiceError InvalidRequestException."""
    version = hook.get("payloadVersion", _PAYLOAD_VERSION)
    if version != _PAYLOAD_VERSION:
        raise invalid(f"preProvisioningHook.payloadVersion {version!r}, expected {_PAYLOAD_VERSION!r}")
    arn = hook.get("targetArn")
    if arn is not None and not isinstance(arn, str):
        raise invalid("preProvisioningHook.targetArn is text")
    return arn


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or _NAME.match(name) is None:
        raise invalid(f"templateName {str(name)[:60]!r} is not 1 to 36 letters, digits, _ and -")
    return name


def _template_of(documents: Documents, name: str) -> Document:
    found = documents.get(TEMPLATE, name) if _NAME.match(name) is not None else None
    if found is None:
        raise not_found(f"There is no provisioning template {name[:60]!r}")
    return found


def _default_version(document: Document) -> Any:
    return document["versions"][str(document["defaultVersionId"])]


def _version_of(document: Document, version_id: str) -> Any:
    found = document["versions"].get(version_id)
    if found is None:
        raise not_found(f"There is no version {version_id[:20]!r} of {document['templateName']}")
    return found


def _with_version(document: Document, text: object, now: float, *, is_default: bool) -> Document:
    number = document["lastVersionId"] + 1
    version = {"templateBody": text, "creationDate": now}
    return {
        **document,
        "versions": {**document["versions"], str(number): version},
        "lastVersionId": number,
        "defaultVersionId": number if is_default else document["defaultVersionId"],
        "lastModifiedDate": now,
    }
