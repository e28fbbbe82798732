"""Custom authorizers by name, the one used by default, and the domain configurations that choose one.

Source: AWS IoT API Reference, CreateAuthorizer, UpdateAuthorizer, DeleteAuthorizer, SetDefaultAuthorizer.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from headwater.deploy.authorizers.named import NamedDocuments
from headwater.deploy.iot.database import Change, Changes, Document, Documents, IotDatabase, page_of
from headwater.deploy.iot.limits import conflict, exists, invalid, not_found
from headwater.server.aws.permissions import Account

AUTHORIZER, DEFAULT = "authorizer", "default-authorizer"
ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
_NAME = re.compile(r"[\w=,@-]{1,128}\Z", re.ASCII)
_TOKEN_KEY_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}\Z")
_MAX_KEYS = 2
_MIN_KEY_BITS = 2048
_MEMBERS = (
    *("authorizerFunctionArn", "tokenKeyName", "tokenSigningPublicKeys"),
    *("status", "signingDisabled", "enableCachingForHttp"),
)


class Authorizers:
    """Documents are as DescribeAuthorizer gives them. Every method raises ServiceError."""

    def __init__(self, database: IotDatabase, account: Account, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._account = account
        self._clock = clock
        self._named = NamedDocuments(database, AUTHORIZER, "authorizer", "authorizerArn", _NAME)

    async def create(self, name: str, given: Mapping[str, Any]) -> Document:
        return await self._named.create(name, self._document(name, given))

    async def replace(self, name: str, given: Mapping[str, Any]) -> None:
        """An authorizer as the template has it, whatever it was before."""
        await self._named.replace(name, self._document(name, given))

    def describe(self, name: str) -> Document:
        return self._named.describe(name)

    def listed(self, *, status: str, ascending: bool, token: str, size: int | None) -> tuple[list[Document], str]:
        rows = self._database.read(
            lambda documents: [
                (name, {member: found[member] for member in ("authorizerName", "authorizerArn")})
                for name, found in documents.below(AUTHORIZER)
                if not status or found["status"] == status
            ]
        )
        return page_of(rows if ascending else rows[::-1], token, size)

    async def update(self, name: str, changed: Mapping[str, Any]) -> Document:
        """Change members; whether tokens are signed cannot be."""
        now = self._clock()

        def after(before: Document) -> Document:
            document = {**before, **{member: value for member, value in changed.items() if value is not None}}
            _check(document)
            document["lastModifiedDate"] = now
            return document

        return await self._named.change(name, after)

    async def delete(self, name: str) -> None:
        """Only an authorizer that is not active."""

        def check(document: Document) -> None:
            if document["status"] == ACTIVE:
                raise conflict(f"The authorizer {name} is ACTIVE; set it INACTIVE before it is deleted")

        await self._named.delete(name, check)

    # -- the default ----------------------------------------------------------------------------------------------

    async def set_default(self, name: str) -> Document:
        def write(changes: Changes) -> Document:
            document = self._named.of(changes, name)
            current = changes.get(DEFAULT, "name")
            if current is not None and current["name"] != name:
                raise exists(f"{current['name']} is the default authorizer; clear it first", current["name"], "")
            changes.put(DEFAULT, "name", document={"name": name})
            return document

        return await self._database.write(write, Change())

    def default(self) -> Document:
        """The default authorizer. Raises: ServiceError ResourceNotFoundException if there is none."""

        def read(documents: Documents) -> Document:
            current = documents.get(DEFAULT, "name")
            if current is None:
                raise not_found("There is no default authorizer")
            return self._named.of(documents, current["name"])

        return self._database.read(read)

    @property
    def default_name(self) -> str | None:
        """The name of the default authorizer, whether it still exists or not."""
        current = self._database.read(lambda documents: documents.get(DEFAULT, "name"))
        return None if current is None else current["name"]

    async def clear_default(self) -> None:
        def write(changes: Changes) -> None:
            if not changes.delete(DEFAULT, "name"):
                raise not_found("There is no default authorizer")

        await self._database.write(write, Change())

    def _document(self, name: str, given: Mapping[str, Any]) -> Document:
        if _NAME.match(name) is None:
            raise invalid(f"authorizerName {name[:150]!r} is not 1 to 128 of letters, digits, _ = , @ and -")
        now = self._clock()
        document: Document = {
            "authorizerName": name,
            "authorizerArn": self._account.arn("iot", f"authorizer/{name}"),
            "status": INACTIVE,
            "signingDisabled": False,
            "enableCachingForHttp": False,
            **{member: given[member] for member in _MEMBERS if given.get(member) is not None},
            "creationDate": now,
            "lastModifiedDate": now,
        }
        _check(document)
        return document


def _check(document: Document) -> None:
    arn = document.get("authorizerFunctionArn")
    if not isinstance(arn, str) or arn.split(":")[2:3] != ["lambda"]:
        raise invalid(f"authorizerFunctionArn {str(arn)[:200]!r} is not the ARN of a function")
    if document["status"] not in (ACTIVE, INACTIVE):
        raise invalid(f"status {document['status']!r}, expected {ACTIVE} or {INACTIVE}")
    for member in ("signingDisabled", "enableCachingForHttp"):
        if not isinstance(document[member], bool):
            raise invalid(f"{member} is true or false, found {str(document[member])[:100]!r}")
    key_name, keys = document.get("tokenKeyName"), document.get("tokenSigningPublicKeys") or {}
    if key_name is not None and (not isinstance(key_name, str) or _TOKEN_KEY_NAME.match(key_name) is None):
        raise invalid(f"tokenKeyName {str(key_name)[:150]!r} is not 1 to 128 of letters, digits, _ and -")
    if not isinstance(keys, dict) or len(keys) > _MAX_KEYS:
        raise invalid(f"tokenSigningPublicKeys is an object of at most {_MAX_KEYS} keys")
    for name, pem in keys.items():
        load_key(name, pem)
    if not document["signingDisabled"] and (key_name is None or not keys):
        raise invalid("tokenKeyName and tokenSigningPublicKeys are needed unless signingDisabled is true")


def load_key(name: str, pem: object) -> rsa.RSAPublicKey:
    """A key that signs tokens. Raises: ServiceError InvalidRequestException."""
    try:
        key = load_pem_public_key(pem.encode() if isinstance(pem, str) else b"")
    except (ValueError, UnsupportedAlgorithm) as error:
        raise invalid(f"tokenSigningPublicKeys.{name[:128]} is no public key in PEM: {error}") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _MIN_KEY_BITS:
        raise invalid(f"tokenSigningPublicKeys.{name[:128]} is not an RSA key of at least {_MIN_KEY_BITS} bits")
    return key
