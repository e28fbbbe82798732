"""User pools: one signing key each, made in the data directory, and the tokens signed with it.

Sign-in flows do not run here; `headwater token` signs what a pool would have issued.
"""

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from headwater.auth.jwt import JwtVerifier, PoolKey, make_pool_key, sign_jwt
from headwater.errors import ServiceError
from headwater.values.http import HttpRequest, HttpResponse

_JWKS_PATH = "/.well-known/jwks.json"
_LONGEST_TOKEN_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class UserPoolKeys:
    """One pool with its key and the clients and groups the template gives it."""

    logical_id: str
    pool_id: str
    issuer: str
    key: PoolKey
    client_ids: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def verifier(self) -> JwtVerifier:
        """Of this pool's tokens; a rehearsal has no key, and no token to verify."""
        return JwtVerifier(self.key.jwks() if self.key.private_pem else {"keys": []})


@dataclass(slots=True)
class UserPools:
    """The stack's user pools by pool id; keys are kept in `<data-dir>/pools`."""

    directory: Path
    region: str
    make_key: Callable[[], PoolKey] = make_pool_key
    pools: dict[str, UserPoolKeys] = field(default_factory=dict)

    def add(self, logical_id: str, pool_id: str, client_ids: Sequence[str], groups: Sequence[str]) -> UserPoolKeys:
        """Register a pool; its key is made on first use."""
        issuer = f"https://cognito-idp.{self.region}.amazonaws.com/{pool_id}"
        pool = UserPoolKeys(logical_id, pool_id, issuer, self._key(pool_id), tuple(client_ids), tuple(groups))
        self.pools[pool_id] = pool
        return pool

    def _key(self, pool_id: str) -> PoolKey:
        path = self.directory / "pools" / f"{pool_id}.json"
        try:
            stored = orjson.loads(path.read_bytes())
            return PoolKey(stored["kid"], stored["private_pem"])
        except (OSError, ValueError, KeyError):
            key = self.make_key()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(".tmp")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(orjson.dumps({"kid": key.kid, "private_pem": key.private_pem}))
        temporary.replace(path)
        return key

    def jwks(self, request: HttpRequest) -> HttpResponse | None:
        """The answer to `GET /<poolId>/.well-known/jwks.json`, None for any other path."""
        if request.method != "GET" or not request.raw_path.endswith(_JWKS_PATH):
            return None
        pool = self.pools.get(request.raw_path[1 : -len(_JWKS_PATH)])
        if pool is None:
            return None
        headers = (("content-type", "application/json"), ("cache-control", "public, max-age=300"))
        return HttpResponse(200, headers, orjson.dumps(pool.key.jwks()))

    def issue(self, request: Mapping[str, Any], now: float) -> dict[str, str]:
        """Sign an id token and an access token.

        `request` has `username`, `claims`, `groups`, `seconds` and, with several pools, `pool` (a logical or pool id).
        Raises: ServiceError NotFound for an unknown pool, InvalidParameterException for a group it does not have and
        for a member of the wrong type.
        """
        _check_types(request)
        pool = self._find(str(request.get("pool") or ""))
        groups = [str(group) for group in request.get("groups") or []]
        for group in groups:
            if group not in pool.groups:
                known = ", ".join(pool.groups) or "none"
                raise ServiceError("InvalidParameterException", f"the pool has no group {group!r}; it has {known}")
        username = str(request.get("username") or "demo")
        seconds = min(max(int(request.get("seconds") or 3600), 1), _LONGEST_TOKEN_S)
        client_id = pool.client_ids[0] if pool.client_ids else "local"
        shared: dict[str, Any] = {
            "sub": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{pool.issuer}/{username}")),
            "iss": pool.issuer,
            "auth_time": int(now),
            "iat": int(now),
            "exp": int(now) + seconds,
            "jti": str(uuid.uuid4()),
        }
        if groups:
            shared["cognito:groups"] = groups
        claims = {str(name): str(value) for name, value in (request.get("claims") or {}).items()}
        id_claims = {**shared, "token_use": "id", "aud": client_id, "cognito:username": username, **claims}
        access_claims = {
            **shared,
            "token_use": "access",
            "client_id": client_id,
            "username": username,
            "scope": "aws.cognito.signin.user.admin",
        }
        return {"idToken": sign_jwt(pool.key, id_claims), "accessToken": sign_jwt(pool.key, access_claims)}

    def _find(self, name: str) -> UserPoolKeys:
        for pool in self.pools.values():
            if name in ("", pool.logical_id, pool.pool_id):
                return pool
        if not self.pools:
            raise ServiceError("ResourceNotFoundException", "the template has no user pool that could sign a token")
        known = ", ".join(pool.logical_id for pool in self.pools.values())
        raise ServiceError("ResourceNotFoundException", f"there is no user pool {name!r}; the template has {known}")


def _check_types(request: Mapping[str, Any]) -> None:
    for member, kind, expected in (
        ("claims", Mapping, "an object"),
        ("groups", list, "an array"),
        ("username", str, "text"),
        ("pool", str, "text"),
        ("seconds", int, "a whole number"),
    ):
        value = request.get(member)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ServiceError("InvalidParameterException", f"{member} is {value!r}, expected {expected}")
