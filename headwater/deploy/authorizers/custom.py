"""Flow 1/8: devices that an authorizer's function lets in, over MQTT and HTTP, and what it lets them do.

Source: AWS IoT Core Developer Guide, "Custom authentication and authorization".
"""

import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from headwater.deploy.authorizers.authorizers import ACTIVE, Authorizers
from headwater.deploy.authorizers.credentials import NAME, SIGNATURE, Presented, verified_token
from headwater.deploy.authorizers.domains import PROTOCOLS, Domains, default_authorizer
from headwater.deploy.authorizers.grants import Grant, read_grant
from headwater.errors import ServiceError
from headwater.mqtt.broker import Broker
from headwater.mqtt.codec.packets import Connect, ReasonCode
from headwater.mqtt.ports import ClientContext, TransportInfo

_log = logging.getLogger(__name__)
FUNCTION_TIMEOUT_S = 5.0
# The shortest refresh there is. A timer of a whole day would keep what a client has shown, up to 128 KB, for a day
# after it has gone.
_LONGEST_TIMER_S = 300


class InvokeFunction(Protocol):
    """Runs a function and gives its JSON answer. Raises: ServiceError for one that fails."""

    def __call__(self, function_arn: str, payload: bytes, /, *, timeout_s: float) -> Awaitable[Any]: ...


class Later(Protocol):
    """Starts work after a delay."""

    def __call__(self, delay_s: float, work: Callable[[], Coroutine[Any, Any, None]], /) -> None: ...


@dataclass(slots=True)
class CustomSession:
    """One connection an authorizer let in; `grant` is its newest answer."""

    authorizer: str
    presented: Presented
    grant: Grant


class CustomAuthentication:
    """Finds the authorizer of a client, asks it, and asks it again when its answer is to be refreshed."""

    def __init__(
        self,
        authorizers: Authorizers,
        domains: Domains,
        *,
        invoke: InvokeFunction,
        later: Later,
        clock: Callable[[], float],
        endpoint: str,
    ) -> None:
        self._authorizers = authorizers
        self._domains = domains
        self._invoke = invoke
        self._later = later
        self._clock = clock
        self._endpoint = endpoint
        self._broker: Broker | None = None

    def watch(self, broker: Broker) -> None:
        """The broker whose connections end when a refresh does not let them stay."""
        self._broker = broker

    def admits_without_certificate(self, transport: TransportInfo) -> bool:
        """Whether a TLS client may go on that has shown none: with ALPN `mqtt`, or where nothing else counts."""
        if transport.alpn == "mqtt":
            return True
        domain = self._domains.of_host(transport.server_name or self._endpoint)
        return domain is not None and domain["authenticationType"] == "CUSTOM_AUTH"

    def authorizer_of(self, presented: Presented, kind: str, *, is_bare: bool) -> str | None:
        """The name of the authorizer that decides, None if none does; `is_bare` clients have shown nothing else."""
        named = presented.value(NAME)
        domain = self._domains.of_host(presented.server_name)
        if domain is not None and kind not in PROTOCOLS[domain["applicationProtocol"]]:
            domain = None
        default, may_override = default_authorizer(domain)
        if named is not None:
            return named if may_override else default
        return (default or self._authorizers.default_name) if is_bare else None

    def presented(self, connect: Connect, transport: TransportInfo) -> Presented:
        """What an MQTT client shows.

        Credentials in a WebSocket's upgrade are judged before there is any CONNECT, so no function sees that one.
        """
        upgrade = Presented("", transport.headers, transport.raw_query)
        is_upgrade = upgrade.value(NAME) is not None
        host = next((value for name, value in transport.headers if name == "host"), "")
        return Presented(
            server_name=transport.server_name or host.rpartition(":")[0] or host or self._endpoint,
            headers=transport.headers,
            query=transport.raw_query,
            username=None if is_upgrade else connect.username,
            password=None if is_upgrade else connect.password,
            client_id=None if is_upgrade else connect.client_id,
            has_mqtt=not is_upgrade,
            has_http=transport.kind == "websocket",
        )

    async def decide(self, authorizer_name: str, presented: Presented) -> Grant:
        """Ask the authorizer. Raises: ServiceError UnauthorizedException, also when its function fails."""
        try:
            authorizer = self._authorizers.describe(authorizer_name)
        except ServiceError as error:
            raise _unauthorized(error.message) from error
        if authorizer["status"] != ACTIVE:
            raise _unauthorized(f"the authorizer {authorizer_name} is not active")
        key_name = authorizer.get("tokenKeyName")
        token = presented.value(key_name) if key_name else None
        is_signed = not authorizer["signingDisabled"]
        if is_signed:
            verified_token(authorizer, token, presented.value(SIGNATURE))
        event = presented.event(token, is_verified=is_signed)
        try:
            answer = await self._invoke(
                authorizer["authorizerFunctionArn"], json.dumps(event).encode(), timeout_s=FUNCTION_TIMEOUT_S
            )
            grant = read_grant(answer)
        except ServiceError as error:
            _log.error("the authorizer %s cannot be used: %s", authorizer_name, error.message)
            raise _unauthorized(f"the authorizer {authorizer_name} failed") from error
        if grant is None:
            raise _unauthorized(f"the authorizer {authorizer_name} says that the client is not authenticated")
        return grant

    def keep_fresh(self, client: ClientContext, session: CustomSession) -> None:
        """Ask again as often as the answers say, until the connection ends."""
        self._wait(client, session, session.grant.refresh_after_s)

    def _wait(self, client: ClientContext, session: CustomSession, rest_s: int) -> None:
        delay_s = min(rest_s, _LONGEST_TIMER_S)
        self._later(delay_s, lambda: self._refresh(client, session, rest_s - delay_s))

    async def _refresh(self, client: ClientContext, session: CustomSession, rest_s: int) -> None:
        broker = self._broker
        connection = None if broker is None else broker.connection_of(client)
        if broker is None or connection is None:
            return
        if rest_s:
            self._wait(client, session, rest_s)
            return
        try:
            session.grant = await self.decide(session.authorizer, session.presented)
        except Exception as error:
            # Whatever it was, nobody has said that the client may stay.
            if not isinstance(error, ServiceError):
                _log.exception("the authorizer %s could not be asked", session.authorizer)
            _log.warning("%s is disconnected: %s", client.client_id, error)
            broker.end(client, ReasonCode.NOT_AUTHORIZED, "AUTH_ERROR", self._clock())
            return
        connection.forget_authorizations()
        self.keep_fresh(client, session)


def decision_context(client_id: str, source_ip: str) -> Mapping[str, Any]:
    """The policy variables of a client without a certificate or a thing."""
    return {"iot:ClientId": client_id, "aws:SourceIp": source_ip, "iot:Connection.Thing.IsAttached": False}


def _unauthorized(message: str) -> ServiceError:
    return ServiceError("UnauthorizedException", message, status=401)
