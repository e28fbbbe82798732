"""Who calls an AppSync API: the mode is chosen by the shape of the headers, then proven."""

import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.auth.authorizer import (
    CONNECT_OPERATION,
    AuthorizerCache,
    AuthorizerRequest,
    LambdaAuthorizer,
    SignatureRefused,
    accept_reply,
    refused,
)
from headwater.auth.identity import api_key_caller, cognito_caller, iam_caller, oidc_caller
from headwater.auth.jwt import InvalidToken, JwtVerifier, UnverifiedToken, looks_like_jwt, parse_jwt
from headwater.auth.key_sets import RenewedKeys
from headwater.auth.sigv4 import (
    ALGORITHM,
    SignableRequest,
    SignatureMismatch,
    SigV4Verifier,
    appsync_realtime_request,
    find_signature,
)
from headwater.errors import RequestError, ServiceError
from headwater.values.http import HttpRequest
from headwater.values.identity import AwsPrincipal, GraphQLCaller

_log = logging.getLogger(__name__)

_QUICK = f"{__name__}.api_key"
_MAX_KEY_CALLERS = 256

FindSecret = Callable[[str], tuple[AwsPrincipal, str] | None]
InvokeAuthorizer = Callable[[str, dict[str, Any]], Awaitable[Any]]


class ApiKeys:
    """The keys of an API with their expiry in epoch seconds."""

    def __init__(self, expiry_by_key: Mapping[str, float]) -> None:
        self._keys = [(key.encode(), expires) for key, expires in expiry_by_key.items()]

    def accepts(self, key: str, now: float) -> bool:
        found = False
        for known, expires in self._keys:
            found |= hmac.compare_digest(known, key.encode()) and now < expires
        return found


@dataclass(frozen=True, slots=True)
class UserPool:
    """One Cognito user pool; `client_id` is the API's AppIdClientRegex."""

    issuer: str
    keys: JwtVerifier
    client_id: re.Pattern[str] | None = None
    default_action: str = "ALLOW"


@dataclass(frozen=True, slots=True)
class OidcProvider:
    """One OpenID Connect issuer; the two lifetimes are milliseconds after `iat` and `auth_time`, 0 is no limit."""

    issuer: str
    keys: RenewedKeys
    client_id: re.Pattern[str] | None = None
    iat_ttl_ms: int = 0
    auth_ttl_ms: int = 0


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """The authorization modes of one API; a mode that is absent refuses its callers."""

    api_id: str
    account_id: str
    endpoint_path: str = "/graphql"
    api_keys: ApiKeys | None = None
    is_iam: bool = False
    user_pools: tuple[UserPool, ...] = ()
    oidc_providers: tuple[OidcProvider, ...] = ()
    authorizer: LambdaAuthorizer | None = None


# Not frozen: one is made for each request, and freezing costs 1 µs. Nothing changes it afterwards.
@dataclass(slots=True)
class AuthAttempt:
    """One try to be let in: header values by lower-case name, and the request as a signature would cover it."""

    headers: Mapping[str, str]
    signable: SignableRequest
    source_ip: tuple[str, ...]
    request_id: str = ""
    query: str = ""
    operation_name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    visible_headers: Mapping[str, Any] = field(default_factory=dict)


class AppSyncAuthenticator:
    """Authenticates HTTP requests, real-time connections and subscriptions of one API.

    `find_secret` gives the principal and secret of an access key the runtime issued; `invoke` runs the authorizer
    function with its event and returns the decoded reply, or raises.
    """

    def __init__(
        self,
        settings: AuthSettings,
        *,
        find_secret: FindSecret,
        invoke: InvokeAuthorizer | None = None,
        cache: AuthorizerCache | None = None,
    ) -> None:
        self._settings = settings
        self._find_secret = find_secret
        self._invoke = invoke
        self._cache = cache if cache is not None else AuthorizerCache()
        self._signatures = SigV4Verifier()
        self._key_callers: dict[tuple[str, ...], GraphQLCaller] = {}

    async def authenticate(self, attempt: AuthAttempt, *, now: float) -> GraphQLCaller:
        """Raises: RequestError `UnauthorizedException`."""
        authorization = attempt.headers.get("authorization", "")
        if authorization.startswith(ALGORITHM):
            return self._iam(attempt, now)
        api_key = attempt.headers.get("x-api-key")
        if api_key:
            return self._api_key(api_key, attempt, now)
        if not authorization:
            raise RequestError("Missing authorization header", "UnauthorizedException")
        token = _without_bearer(authorization)
        has_issuers = bool(self._settings.user_pools or self._settings.oidc_providers)
        if has_issuers and looks_like_jwt(token):
            return await self._token(parse_jwt(token), attempt, now)
        return await self._lambda(authorization, attempt, now)

    def quick_caller(self, request: HttpRequest, now: float) -> GraphQLCaller | None:
        """The caller of a request with a valid API key and nothing else; None where `authenticate` has to decide.

        What was read from the headers is kept with them; only the key is looked at again, which may have expired.
        """
        known: tuple[str, GraphQLCaller] | None = request.derived.get(_QUICK)
        if known is None:
            api_key = request.header("x-api-key")
            if not api_key or request.header("authorization"):
                return None
            known = request.derived[_QUICK] = (api_key, api_key_caller(source_ip_of(request)))
        keys = self._settings.api_keys
        return known[1] if keys is not None and keys.accepts(known[0], now) else None

    def quick_start(self, header: Mapping[str, str], source_ip: tuple[str, ...], now: float) -> GraphQLCaller | None:
        """The caller of a header object (lower-case names) with a valid API key and nothing else; as quick_caller."""
        api_key, keys = header.get("x-api-key"), self._settings.api_keys
        if not api_key or header.get("authorization") or keys is None or not keys.accepts(api_key, now):
            return None
        caller = self._key_callers.get(source_ip)
        if caller is None:
            if len(self._key_callers) >= _MAX_KEY_CALLERS:
                self._key_callers.clear()
            # The very same object each time: the engine knows its plan for it without comparing rights.
            caller = self._key_callers[source_ip] = api_key_caller(source_ip)
        return caller

    def _iam(self, attempt: AuthAttempt, now: float) -> GraphQLCaller:
        if not self._settings.is_iam:
            raise self._no_token()
        try:
            signature = find_signature(attempt.signable)
            found = self._find_secret(signature.access_key_id) if signature is not None else None
            if signature is None or found is None:
                raise refused()
            principal, secret = found
            if signature.service != "appsync":
                raise refused()
            self._signatures.verify(attempt.signable, signature, secret=secret, now=now)
        except ServiceError as error:
            _log.info("a signature was refused: %s", error.message)
            explained = error.explanation if isinstance(error, SignatureMismatch) else error.message
            raise SignatureRefused(explained) from error
        return iam_caller(principal, attempt.source_ip)

    def _no_token(self) -> RequestError:
        """What answers credentials of no mode of the API; recorded where a token was expected (community#198)."""
        if self._settings.authorizer is None and (self._settings.user_pools or self._settings.oidc_providers):
            return RequestError("Unable to parse JWT token.", "UnauthorizedException")
        return refused()

    def _api_key(self, key: str, attempt: AuthAttempt, now: float) -> GraphQLCaller:
        if self._settings.api_keys is None or not self._settings.api_keys.accepts(key, now):
            raise refused()
        return api_key_caller(attempt.source_ip)

    async def _token(self, token: UnverifiedToken, attempt: AuthAttempt, now: float) -> GraphQLCaller:
        issuer = token.claims.get("iss")
        try:
            for pool in self._settings.user_pools:
                if pool.issuer == issuer:
                    claims = pool.keys.verify(token, now=now)
                    check_pool_claims(pool, claims)
                    return cognito_caller(claims, attempt.source_ip, pool.default_action)
            for provider in self._oidc_providers(issuer):
                claims = await provider.keys.verify(token, now=now)
                check_oidc_claims(provider, claims, now)
                return oidc_caller(claims, attempt.source_ip)
        except InvalidToken as error:
            _log.info("a token was refused: %s", error)
            if error.is_expired:
                raise RequestError("Token has expired.", "UnauthorizedException") from error
            raise refused() from error
        raise refused()

    def _oidc_providers(self, issuer: Any) -> Iterable[OidcProvider]:
        providers = self._settings.oidc_providers
        is_only_mode = len(providers) == 1 and not (
            self._settings.api_keys or self._settings.is_iam or self._settings.user_pools or self._settings.authorizer
        )
        # The service skips the issuer check when OpenID Connect is the API's only mode.
        return providers if is_only_mode else [p for p in providers if p.issuer == issuer]

    async def _lambda(self, token: str, attempt: AuthAttempt, now: float) -> GraphQLCaller:
        authorizer = self._settings.authorizer
        if authorizer is None or self._invoke is None:
            raise self._no_token()
        if authorizer.identity_validation is not None and not authorizer.identity_validation.search(token):
            raise refused()
        cached = self._cache.get(token, now)
        if cached is not None:
            return cached
        request = AuthorizerRequest(
            token=token,
            api_id=self._settings.api_id,
            account_id=self._settings.account_id,
            request_id=attempt.request_id,
            query=attempt.query,
            operation_name=attempt.operation_name,
            variables=attempt.variables,
            headers=attempt.visible_headers,
        )
        try:
            reply = await self._invoke(authorizer.function, request.event())
        except (ServiceError, RequestError) as error:
            _log.warning("the authorizer %s failed: %s", authorizer.function, error)
            raise refused() from error
        caller, ttl_s = accept_reply(
            reply, api_id=self._settings.api_id, ttl_s=authorizer.ttl_s, source_ip=attempt.source_ip
        )
        if ttl_s > 0:
            self._cache.put(token, caller, expires=now + ttl_s)
        return caller

    def http_attempt(
        self,
        request: HttpRequest,
        *,
        request_id: str,
        query: str = "",
        operation_name: str | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> AuthAttempt:
        """A GraphQL request over HTTP, with what its body asks for."""
        known = request.derived.get(__name__)
        if known is None:
            known = (_first_values(request.headers), source_ip_of(request), visible_headers(request.headers))
            request.derived[__name__] = known
        headers, source_ip, visible = known
        return AuthAttempt(
            headers, SignableRequest.of(request), source_ip, request_id, query, operation_name, variables or {}, visible
        )

    def connect_attempt(self, header: Mapping[str, Any], *, request_id: str, source_ip: Sequence[str]) -> AuthAttempt:
        """A real-time connection with its header object."""
        headers = {name.lower(): str(value) for name, value in header.items()}
        return AuthAttempt(
            headers=headers,
            signable=appsync_realtime_request(self._settings.endpoint_path, headers, b"{}", is_connect=True),
            source_ip=tuple(source_ip),
            request_id=request_id,
            operation_name=CONNECT_OPERATION,
            visible_headers=headers,
        )

    def start_attempt(
        self,
        header: Mapping[str, Any],
        data: str,
        *,
        request_id: str,
        source_ip: Sequence[str],
        query: str = "",
        operation_name: str | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> AuthAttempt:
        """A subscription with the header object of its `extensions.authorization`; `data` is `payload.data`."""
        headers = {name.lower(): str(value) for name, value in header.items()}
        return AuthAttempt(
            headers=headers,
            signable=appsync_realtime_request(self._settings.endpoint_path, headers, data.encode(), is_connect=False),
            source_ip=tuple(source_ip),
            request_id=request_id,
            query=query,
            operation_name=operation_name,
            variables=variables or {},
            visible_headers=headers,
        )


def check_pool_claims(pool: UserPool, claims: Mapping[str, Any]) -> None:
    """An id token names its client in `aud`, an access token in `client_id`; other tokens are refused.

    Raises: InvalidToken.
    """
    use = claims.get("token_use")
    if use not in ("id", "access"):
        raise InvalidToken(f"token_use is {use!r}, expected id or access")
    client = str(claims.get("aud" if use == "id" else "client_id", ""))
    if pool.client_id is not None and not pool.client_id.fullmatch(client):
        raise InvalidToken(f"client {client!r} is not accepted")


def check_oidc_claims(provider: OidcProvider, claims: Mapping[str, Any], now: float) -> None:
    """Raises: InvalidToken if `iat` is missing or too old, or neither `aud` nor `azp` is an accepted client."""
    if "iat" not in claims:
        raise InvalidToken("claim iat is missing")
    for name, ttl_ms in (("iat", provider.iat_ttl_ms), ("auth_time", provider.auth_ttl_ms)):
        if ttl_ms and now * 1000 > float(claims.get(name, 0)) * 1000 + ttl_ms:
            raise InvalidToken(f"claim {name} is older than {ttl_ms} ms", is_expired=True)
    if provider.client_id is None:
        return
    audience = claims.get("aud", [])
    clients = [*(audience if isinstance(audience, list) else [audience]), claims.get("azp", "")]
    if not any(provider.client_id.fullmatch(str(client)) for client in clients):
        raise InvalidToken(f"clients {clients!r} are not accepted")


def source_ip_of(request: HttpRequest) -> tuple[str, ...]:
    """The entries of `x-forwarded-for` in order, then the peer."""
    forwarded = (part.strip() for part in request.header("x-forwarded-for").split(","))
    return (*(part for part in forwarded if part), request.peer)


def visible_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    """Headers as resolvers and authorizers see them: lower case, a repeated one as a list, without the cookie."""
    seen: dict[str, str | list[str]] = {}
    for name, value in headers:
        if name == "cookie":
            continue
        before = seen.get(name)
        if before is None:
            seen[name] = value
        else:
            seen[name] = [*before, value] if isinstance(before, list) else [before, value]
    return seen


def _first_values(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    first: dict[str, str] = {}
    for name, value in headers:
        first.setdefault(name, value)
    return first


def _without_bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else authorization
