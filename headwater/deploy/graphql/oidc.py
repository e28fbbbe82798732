"""OpenID Connect providers of GraphQL APIs: their keys are fetched at the start, and again when one is new."""

import asyncio
import logging
import re
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from headwater.auth.appsync import OidcProvider
from headwater.auth.jwt import InvalidToken, JwtVerifier
from headwater.auth.key_sets import RenewedKeys
from headwater.datasource.sources.http_client import AllowsHost, HttpFault, send_request
from headwater.errors import TemplateError

_log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 5.0
_NO_KEYS: Final = (HttpFault, InvalidToken, TimeoutError)
_PLACE: Final = "OpenIDConnectConfig.Issuer"


async def oidc_provider(config: Mapping[str, Any], allows: AllowsHost) -> OidcProvider:
    """The provider of an `OpenIDConnectConfig`. Hosts elsewhere than on this machine must be allowed.

    Raises: TemplateError if the issuer or its keys cannot be had.
    """
    issuer = config.get("Issuer")
    if not isinstance(issuer, str):
        raise TemplateError("missing: OPENID_CONNECT needs it", property_path=_PLACE)
    try:
        verifier = await _fetch_keys(issuer, allows)
    except _NO_KEYS as error:
        hint = f"the keys of {issuer} are fetched at the start, from this machine or a host given with --allow-host"
        raise TemplateError(f"{error or 'no answer in time'}; {hint}", property_path=_PLACE) from error

    async def fetch_again() -> JwtVerifier | None:
        try:
            return await _fetch_keys(issuer, allows)
        except _NO_KEYS as error:
            _log.warning("the keys of %s cannot be fetched again: %s", issuer, error or "no answer in time")
            return None

    return OidcProvider(
        issuer,
        RenewedKeys(verifier, fetch_again),
        pattern_of(config, "OpenIDConnectConfig", "ClientId"),
        iat_ttl_ms=int(config.get("IatTTL") or 0),
        auth_ttl_ms=int(config.get("AuthTTL") or 0),
    )


async def _fetch_keys(issuer: str, allows: AllowsHost) -> JwtVerifier:
    discovery = await _fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration", allows)
    return JwtVerifier(await _fetch(str(discovery.get("jwks_uri", "")), allows))


def pattern_of(config: Mapping[str, Any], place: str, name: str) -> re.Pattern[str] | None:
    """A setting that is a regular expression. Raises: TemplateError if it is none."""
    text = config.get(name)
    if not text:
        return None
    try:
        return re.compile(str(text))
    except re.error as error:
        raise TemplateError(f"{text!r} is no regular expression: {error}", property_path=f"{place}.{name}") from error


async def _fetch(url: str, allows: AllowsHost) -> dict[str, Any]:
    """The JSON object behind a URL. Raises: HttpFault, TimeoutError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HttpFault(f"{url!r} is no http or https URL")
    is_tls = parts.scheme == "https"
    head = f"GET {parts.path or '/'} HTTP/1.1\r\nhost: {parts.netloc}\r\naccept: application/json\r\n"
    reply = await asyncio.wait_for(
        send_request(
            parts.hostname,
            parts.port or (443 if is_tls else 80),
            f"{head}connection: close\r\n\r\n".encode(),
            ssl_context=ssl.create_default_context() if is_tls else None,
            allows=allows,
        ),
        _TIMEOUT_S,
    )
    if reply.status != 200:
        raise HttpFault(f"{url} answered {reply.status}")
    try:
        document = orjson.loads(reply.body)
    except ValueError as error:
        raise HttpFault(f"{url} did not answer JSON") from error
    if not isinstance(document, dict):
        raise HttpFault(f"{url} answered no JSON object")
    return document
