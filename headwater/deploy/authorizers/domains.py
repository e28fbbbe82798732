"""Domain configurations: which authorizer a host name has, and how its clients may come.

Source: AWS IoT API Reference, CreateDomainConfiguration; CloudFormation, AWS::IoT::DomainConfiguration.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from headwater.deploy.authorizers.named import NamedDocuments
from headwater.deploy.iot.database import Document, IotDatabase, scanned_page
from headwater.deploy.iot.limits import invalid
from headwater.server.aws.permissions import Account

DOMAIN = "domain-configuration"
ENABLED, DISABLED = "ENABLED", "DISABLED"
# How clients may authenticate: with whatever the port knows, or with an authorizer alone, then without ALPN too.
AUTHENTICATION_TYPES = ("DEFAULT", "CUSTOM_AUTH")
# Protocols a configuration may be for -> the kinds of transports that speak them.
PROTOCOLS: Mapping[str, tuple[str, ...]] = {
    "DEFAULT": ("tcp", "tls", "websocket", "http"),
    "SECURE_MQTT": ("tcp", "tls"),
    "MQTT_WSS": ("websocket",),
    "HTTPS": ("http",),
}
_NAME = re.compile(r"[\w.:-]{1,128}\Z", re.ASCII)
_HOST = re.compile(r"[a-zA-Z0-9.-]{1,253}\Z")
_MEMBERS = (
    *("domainName", "authorizerConfig", "serviceType", "domainConfigurationStatus"),
    *("authenticationType", "applicationProtocol"),
)


class Domains:
    """Documents are as DescribeDomainConfiguration gives them. Every method raises ServiceError."""

    def __init__(self, database: IotDatabase, account: Account, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._account = account
        self._clock = clock
        self._named = NamedDocuments(database, DOMAIN, "domain configuration", "domainConfigurationArn", _NAME)

    async def create(self, name: str, given: Mapping[str, Any]) -> Document:
        return await self._named.create(name, self._document(name, given))

    async def replace(self, name: str, given: Mapping[str, Any]) -> None:
        """A domain configuration as the template has it, whatever it was before."""
        await self._named.replace(name, self._document(name, given))

    def describe(self, name: str) -> Document:
        return self._named.describe(name)

    def listed(self, *, token: str, size: int | None) -> tuple[list[Document], str]:
        rows, following = self._database.read(
            lambda documents: scanned_page(documents, DOMAIN, lambda _: True, token, size)
        )
        members = ("domainConfigurationName", "domainConfigurationArn", "serviceType")
        return [{member: row[member] for member in members} for row in rows], following

    async def update(self, name: str, changed: Mapping[str, Any], *, removes_authorizer: bool) -> Document:
        now = self._clock()

        def after(before: Document) -> Document:
            document = {**before, **{member: value for member, value in changed.items() if value is not None}}
            if removes_authorizer:
                document.pop("authorizerConfig", None)
            if document["domainConfigurationStatus"] != before["domainConfigurationStatus"]:
                document["lastStatusChangeDate"] = now
            _check(document)
            return document

        return await self._named.change(name, after)

    async def delete(self, name: str) -> None:
        """Only one that is disabled."""

        def check(document: Document) -> None:
            if document["domainConfigurationStatus"] == ENABLED:
                raise invalid(f"The domain configuration {name} is ENABLED; disable it before it is deleted")

        await self._named.delete(name, check)

    def of_host(self, host: str) -> Document | None:
        """What counts for clients of a host name: its own configuration, else one for names that AWS manages."""
        found = self._database.read(lambda documents: [one for _, one in documents.below(DOMAIN)])
        enabled = [one for one in found if one["domainConfigurationStatus"] == ENABLED]
        own = [one for one in enabled if one.get("domainName", "").lower() == host.lower()]
        return next(iter([*own, *(one for one in enabled if "domainName" not in one)]), None)

    def _document(self, name: str, given: Mapping[str, Any]) -> Document:
        if _NAME.match(name) is None:
            raise invalid(f"domainConfigurationName {name[:150]!r} is not 1 to 128 of letters, digits, _ . : and -")
        document: Document = {
            "domainConfigurationName": name,
            "domainConfigurationArn": self._account.arn("iot", f"domainconfiguration/{name}/local"),
            "serviceType": "DATA",
            "domainConfigurationStatus": ENABLED,
            "authenticationType": "DEFAULT",
            "applicationProtocol": "DEFAULT",
            **{member: given[member] for member in _MEMBERS if given.get(member) is not None},
            "lastStatusChangeDate": self._clock(),
        }
        document["domainType"] = "CUSTOMER_MANAGED" if "domainName" in document else "AWS_MANAGED"
        _check(document)
        return document


def default_authorizer(domain: Mapping[str, Any] | None) -> tuple[str | None, bool]:
    """The authorizer of a domain configuration, and whether a client may name another one."""
    config = {} if domain is None else domain.get("authorizerConfig") or {}
    name = config.get("defaultAuthorizerName")
    return name, name is None or config.get("allowAuthorizerOverride") is True


def _check(document: Document) -> None:
    host = document.get("domainName")
    if host is not None and (not isinstance(host, str) or _HOST.match(host) is None):
        raise invalid(f"domainName {str(host)[:150]!r} is not a host name")
    if document["serviceType"] != "DATA":
        raise invalid(f"serviceType {document['serviceType']!r} does not work here, DATA does")
    for member, known in (
        ("domainConfigurationStatus", (ENABLED, DISABLED)),
        ("authenticationType", AUTHENTICATION_TYPES),
        ("applicationProtocol", tuple(PROTOCOLS)),
    ):
        if document[member] not in known:
            raise invalid(f"{member} {document[member]!r} does not work here; {', '.join(known)} do")
    config = document.get("authorizerConfig", {})
    if not isinstance(config, dict):
        raise invalid("authorizerConfig is an object")
    for member in config:
        if member not in ("defaultAuthorizerName", "allowAuthorizerOverride"):
            raise invalid(f"authorizerConfig.{member[:128]} is not known")
    if not isinstance(config.get("defaultAuthorizerName", ""), str):
        raise invalid("authorizerConfig.defaultAuthorizerName is text")
    if not isinstance(config.get("allowAuthorizerOverride", False), bool):
        raise invalid("authorizerConfig.allowAuthorizerOverride is true or false")
