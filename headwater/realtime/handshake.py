"""Read the credentials of a real-time connection from any of the three places clients put them.

Source: AppSync Developer Guide, "Building a real-time WebSocket client", and the clients' own source.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from headwater.errors import RemoteProtocolError
from headwater.values.json_text import parse_json

SUBPROTOCOL = "graphql-ws"

_HEADER_PREFIX = "header-"
_CREDENTIAL_NAMES = ("authorization", "x-api-key")
_MAX_HEADER_CHARACTERS = 64_000


class HandshakeRefused(RemoteProtocolError):
    """The connection is accepted only to be told `errors` in a `connection_error` frame."""

    def __init__(self, message: str, *, has_subprotocol: bool = True) -> None:
        super().__init__(message)
        self.errors: list[dict[str, Any]] = [{"message": message, "errorCode": 400}]
        self.subprotocol = SUBPROTOCOL if has_subprotocol else None


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """`header` is the credentials object with its names in lower case; `custom_headers` are the client's own.

    `lacks_payload`: the credentials come in the query without the `payload` that the service wants beside them.
    """

    header: dict[str, str]
    custom_headers: dict[str, str]
    lacks_payload: bool = False


def read_connect_request(
    raw_query: str, subprotocols: Sequence[str], headers: Iterable[tuple[str, str]]
) -> ConnectRequest:
    """The connection's credentials; `subprotocols` as offered, `headers` of the upgrade request in lower case.

    Query parameters other than `header` and `payload` are custom headers, as Amplify sends them.
    Raises: HandshakeRefused if `graphql-ws` is not offered, or no place holds an object with a host.
    """
    if SUBPROTOCOL not in subprotocols:
        raise HandshakeRefused("NoProtocolError", has_subprotocol=False)
    query = dict(parse_qsl(raw_query, keep_blank_values=True))
    encoded = next((entry[len(_HEADER_PREFIX) :] for entry in subprotocols if entry.startswith(_HEADER_PREFIX)), None)
    lacks_payload = encoded is None and "header" in query and "payload" not in query
    if encoded is None:
        encoded = query.get("header")
    header = _decoded(encoded) if encoded is not None else _from_request(headers)
    if not header.get("host"):
        raise HandshakeRefused("Required headers are missing.")
    custom = {name.lower(): value for name, value in query.items() if name not in ("header", "payload")}
    custom.pop("authorization", None)
    return ConnectRequest(header, custom, lacks_payload)


def lower_case_header(header: Mapping[str, Any]) -> dict[str, str]:
    """A credentials object with lower-case names; values that are no strings are dropped."""
    return {name.lower(): value for name, value in header.items() if isinstance(value, str)}


def request_headers(header: Mapping[str, str], custom: Mapping[str, str]) -> dict[str, str | list[str]]:
    """What resolvers see as `ctx.request.headers` of a subscription: all but the credentials' Authorization."""
    merged = {**custom, **header}
    return {name: value for name, value in merged.items() if name != "authorization"}


def _decoded(encoded: str) -> dict[str, str]:
    """The JSON object behind base64 or base64url, padded or not."""
    # A `+` of plain base64 reaches us as a space when the client did not percent-encode its query.
    text = encoded.strip("=").replace(" ", "+").replace("+", "-").replace("/", "_")
    if len(text) > _MAX_HEADER_CHARACTERS:
        raise HandshakeRefused("Required headers are missing.")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        value = parse_json(raw)
    except (binascii.Error, ValueError) as error:
        raise HandshakeRefused("Required headers are missing.") from error
    if not isinstance(value, dict):
        raise HandshakeRefused("Required headers are missing.")
    return lower_case_header(value)


def _from_request(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    header: dict[str, str] = {}
    for name, value in headers:
        header.setdefault(name, value)
    if not any(header.get(name) for name in _CREDENTIAL_NAMES):
        raise HandshakeRefused("Required headers are missing.")
    for name in [name for name in header if name.startswith("sec-websocket-") or name in _HOP_BY_HOP]:
        del header[name]
    return header


_HOP_BY_HOP = frozenset({"connection", "upgrade", "cookie"})
