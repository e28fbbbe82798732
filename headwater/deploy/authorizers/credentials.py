"""What a client shows for a custom authorizer: its name, a token and the token's signature, wherever they are.

Source: AWS IoT Core Developer Guide, "Connecting to AWS IoT Core by using custom authentication".
"""

import base64
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from headwater.deploy.authorizers.authorizers import load_key
from headwater.errors import ServiceError

NAME, SIGNATURE = "x-amz-customauthorizer-name", "x-amz-customauthorizer-signature"


@dataclass(frozen=True, slots=True)
class Presented:
    """All a client sent that an authorizer may look at; `headers` have lower-case names, `query` has no `?`.

    `has_mqtt` and `has_http` say which protocols there are. `username` holds its query string.
    """

    server_name: str
    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""
    username: str | None = None
    password: bytes | None = None
    client_id: str | None = None
    has_mqtt: bool = True
    has_http: bool = False
    connection_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def value(self, name: str) -> str | None:
        """The value of a header, or of a parameter of the query or the user name; the first there is."""
        for found, value in self.headers:
            if found == name.lower():
                return unquote(value) if name == SIGNATURE else value
        for text in (self.query, (self.username or "").partition("?")[2]):
            for found, value in _parameters(text):
                if found == name:
                    return value
        return None

    def event(self, token: str | None, *, is_verified: bool) -> dict[str, Any]:
        """What the authorizer's function is given. Source: developer guide, "Defining your Lambda function"."""
        # There is always TLS on AWS; on a plain port here a function sees what it would see there.
        data: dict[str, Any] = {"tls": {"serverName": self.server_name}}
        if self.has_http:
            data["http"] = {"headers": dict(self.headers), "queryString": f"?{self.query}" if self.query else ""}
        if self.has_mqtt:
            mqtt = {
                "username": self.username,
                "password": None if self.password is None else base64.b64encode(self.password).decode(),
                "clientId": self.client_id or None,
            }
            data["mqtt"] = {name: value for name, value in mqtt.items() if value is not None}
        event: dict[str, Any] = {
            "signatureVerified": is_verified,
            "protocols": list(data),
            "protocolData": data,
            "connectionMetadata": {"id": self.connection_id},
        }
        return event if token is None else {"token": token, **event}


def verified_token(authorizer: Mapping[str, Any], token: str | None, signature: str | None) -> None:
    """Raises: ServiceError UnauthorizedException for a token none of the authorizer's keys has signed."""
    if token is None or signature is None:
        raise _unauthorized(f"the authorizer needs a token in {authorizer['tokenKeyName']} and its signature")
    try:
        signed = base64.b64decode("".join(signature.split()), validate=True)
    except ValueError as error:
        raise _unauthorized("the token's signature is not base64") from error
    for name, pem in authorizer["tokenSigningPublicKeys"].items():
        try:
            load_key(name, pem).verify(signed, token.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            continue
        return
    raise _unauthorized("the token's signature is not one of the authorizer's keys")


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    """A signature in base64 holds +, which clients do not always encode: here it stays a +."""
    for part in text.split("&"):
        name, separator, value = part.partition("=")
        if separator:
            yield unquote(name), unquote(value)


def _unauthorized(message: str) -> ServiceError:
    return ServiceError("UnauthorizedException", message, status=401)
