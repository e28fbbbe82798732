"""Flow 1/8: who a device is and what it may do: certificates, IoT policies and signatures behind the MQTT ports.

Source: AWS IoT Core Developer Guide, "Client authentication", "Authorization", "Device communication protocols".
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol

from cryptography import x509

from headwater.auth.sigv4 import SignableRequest, Signature, SigV4Verifier, find_signature
from headwater.deploy.authorizers.credentials import Presented
from headwater.deploy.authorizers.custom import CustomAuthentication, CustomSession, decision_context
from headwater.deploy.iot.database import Change
from headwater.deploy.iot.registry import DeviceRegistry, Standing
from headwater.deploy.iot.variables import certificate_variables, thing_variables
from headwater.errors import ServiceError
from headwater.mqtt.broker import Broker
from headwater.mqtt.codec.packets import Connect, ReasonCode
from headwater.mqtt.ports import Action, ClientContext, Refusal, TransportInfo
from headwater.values.identity import AwsPrincipal
from headwater.values.loopback import is_loopback, is_own_origin
from headwater.values.policy import PolicyDocument, decide

_log = logging.getLogger(__name__)
_CREDENTIAL = "credential"
_CACHED_DOCUMENTS = 1024
_SIGNING_SERVICE = "iotdevicegateway"
_WEBSOCKET_PATH = "/mqtt"
_SIGNED = "X-Amz-Signature="
_CUSTOM_PROTOCOL = "mqtt"
_SESSION_TOKEN = "X-Amz-Security-Token="
_WEBSOCKET_LIFETIME_S = 24 * 3600
_RESOURCES: Mapping[Action, str] = {
    "Connect": "client",
    "Publish": "topic",
    "Receive": "topic",
    "RetainPublish": "topic",
    "Subscribe": "topicfilter",
}


class Keys(Protocol):
    """The access keys of the stack and what their owners may do."""

    def find_secret(self, access_key_id: str) -> tuple[AwsPrincipal, str] | None: ...

    def is_allowed(self, principal: AwsPrincipal, action: str, resource: str) -> bool: ...


@dataclass(slots=True)
class Credential:
    """What a client has shown: a certificate, the access key of a role, what an authorizer took, or nothing.

    `judged` is what followed from it as of a generation of the registry.
    """

    certificate_id: str = ""
    certificate: Mapping[str, Any] | None = None
    principal: AwsPrincipal | None = None
    custom: CustomSession | None = None
    judged: "tuple[int, _Judged] | None" = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """`policies` None is a client that may do everything."""

    policies: tuple[PolicyDocument, ...] | None
    context: Mapping[str, Any]


class DeviceAccess:
    """The broker's `authenticate` and `authorize`.

    A client certificate stands for itself. Without one a client must be on this machine, unless
    `trusts_strangers`: with the name of a registered thing it may do what the thing's certificates may, with any
    other name everything. Keys the instance issued are verified and held to their policies.
    """

    def __init__(
        self,
        registry: DeviceRegistry,
        keys: Keys,
        custom: CustomAuthentication,
        *,
        clock: Callable[[], float],
        trusts_strangers: bool = False,
    ) -> None:
        self._registry = registry
        self._keys = keys
        self._custom = custom
        self._clock = clock
        self._trusts_strangers = trusts_strangers
        self._signatures = SigV4Verifier()
        self._documents: dict[str, PolicyDocument] = {}
        # Certificates that clients have shown since the start: at most those of the registry.
        self._shown: set[str] = set()
        self._broker: Broker | None = None

    def watch(self, broker: Broker) -> None:
        """Let every change of the registry reach the clients it concerns."""
        self._broker = broker
        self._custom.watch(broker)
        self._registry.database.listen(self._changed)

    def authenticate(
        self, connect: Connect, transport: TransportInfo
    ) -> ClientContext | Refusal | Awaitable[ClientContext | Refusal]:
        """Who a client is, by its certificate, an authorizer, its signature, or for lack of all."""
        if transport.certificate_der is not None and transport.alpn != _CUSTOM_PROTOCOL:
            return self._by_certificate(connect, transport)
        presented = self._custom.presented(connect, transport)
        authorizer = self._custom.authorizer_of(presented, transport.kind, is_bare=_is_bare(transport))
        if authorizer is not None:
            return self._by_authorizer(connect, transport, authorizer, presented)
        if transport.kind == "tls":
            return Refusal(ReasonCode.NOT_AUTHORIZED, "no client certificate, and no authorizer to ask")
        if transport.kind == "websocket":
            return self._by_signature(connect, transport)
        return self._by_name(connect, transport)

    def authorize(self, client: ClientContext, action: Action, resource: str) -> bool:
        """Whether a client may do something; the caller keeps the answer until a change concerns the client."""
        credential = client.attributes.get(_CREDENTIAL)
        if not isinstance(credential, Credential):
            return False
        account = self._registry.account
        if credential.principal is not None:
            arn = account.arn("iot", f"{_RESOURCES[action]}/{resource}")
            return self._keys.is_allowed(credential.principal, f"iot:{action}", arn)
        arn = account.arn("iot", f"{_RESOURCES[action]}/{resource}")
        if credential.custom is not None:
            context = decision_context(client.client_id, client.source_ip)
            return decide(credential.custom.grant.policies, f"iot:{action}", arn, context).allowed
        judged = self._judge(client, credential)
        if judged.policies is None:
            return True
        return decide(judged.policies, f"iot:{action}", arn, judged.context).allowed

    # -- who a client is ------------------------------------------------------------------------------------------

    def _by_certificate(self, connect: Connect, transport: TransportInfo) -> ClientContext | Refusal:
        """The TLS layer has checked who issued the certificate, when it is valid, and that the client has its key."""
        if transport.certificate_der is None:
            return Refusal(ReasonCode.NOT_AUTHORIZED, "no client certificate")
        certificate_id = sha256(transport.certificate_der).hexdigest()
        if not self._registry.is_active(certificate_id):
            _log.warning("%s: the certificate %s is not registered and active", connect.client_id, certificate_id)
            return Refusal(ReasonCode.NOT_AUTHORIZED, f"the certificate {certificate_id} is not active")
        self._shown.add(certificate_id)
        variables = certificate_variables(x509.load_der_x509_certificate(transport.certificate_der), certificate_id)
        standing = self._registry.standing_of_certificate(certificate_id, connect.client_id)
        return self._client(
            connect,
            transport,
            Credential(certificate_id, variables),
            principal_id=certificate_id,
            thing_name=connect.client_id if standing.is_attached else None,
        )

    async def _by_authorizer(
        self, connect: Connect, transport: TransportInfo, authorizer: str, presented: Presented
    ) -> ClientContext | Refusal:
        try:
            grant = await self._custom.decide(authorizer, presented)
        except ServiceError as error:
            _log.warning("%s: %s", connect.client_id, error.message)
            return Refusal(ReasonCode.NOT_AUTHORIZED, error.message)
        session = CustomSession(authorizer, presented, grant)
        client = self._client(
            connect,
            transport,
            Credential(custom=session),
            principal_id=grant.principal_id,
            thing_name=None,
            lifetime_s=grant.disconnect_after_s,
        )
        self._custom.keep_fresh(client, session)
        return client

    def _by_signature(self, connect: Connect, transport: TransportInfo) -> ClientContext | Refusal:
        """A WebSocket whose upgrade was signed, or one of this machine that was not."""
        request = SignableRequest("GET", _WEBSOCKET_PATH, transport.raw_query, transport.headers, b"")
        try:
            signature = find_signature(request)
            if signature is None:
                return self._by_name(connect, transport)
            found = self._keys.find_secret(signature.access_key_id)
            if found is None:
                return self._by_name(connect, transport)
            principal, secret = found
            if signature.service != _SIGNING_SERVICE:
                return Refusal(
                    ReasonCode.NOT_AUTHORIZED, f"signed for {signature.service!r}, expected {_SIGNING_SERVICE!r}"
                )
            self._verify(request, signature, secret)
        except ServiceError as error:
            _log.warning("%s: %s", connect.client_id, error.message)
            return Refusal(ReasonCode.NOT_AUTHORIZED, error.message)
        return self._client(
            connect, transport, Credential(principal=principal), principal_id=principal.access_key_id, thing_name=None
        )

    def _verify(self, request: SignableRequest, signature: Signature, secret: str) -> None:
        """Raises: ServiceError InvalidSignatureException.

        IoT's clients leave the session token out of what they sign. Most append it, which tells them from those who
        sign it; the AWS Common Runtime writes it before the signature, so there both have to be tried.
        """
        try:
            self._signatures.verify(request, signature, secret=secret, now=self._clock())
        except ServiceError:
            parts = request.query.split("&")
            query = "&".join(sorted(parts, key=lambda part: part.startswith(_SESSION_TOKEN)))
            if query == request.query:
                raise
            self._signatures.verify(replace(request, query=query), signature, secret=secret, now=self._clock())

    def _by_name(self, connect: Connect, transport: TransportInfo) -> ClientContext | Refusal:
        """A client that shows nothing we know."""
        if not (self._trusts_strangers or is_loopback(transport.peer_ip)):
            return Refusal(ReasonCode.NOT_AUTHORIZED, "clients of other machines need a certificate or a signature")
        if not is_own_origin(next((value for name, value in transport.headers if name == "origin"), None)):
            return Refusal(ReasonCode.NOT_AUTHORIZED, "pages of other origins need a signature")
        standing = self._registry.standing_of_thing(connect.client_id)
        if standing.thing is None:
            return self._client(connect, transport, Credential(), principal_id=connect.username or "", thing_name=None)
        if not standing.policies:
            _log.warning(
                "%s is a registered thing without a policy on an active certificate, so it may do nothing",
                connect.client_id,
            )
        first = standing.certificate_ids[0] if standing.certificate_ids else ""
        return self._client(connect, transport, Credential(), principal_id=first, thing_name=connect.client_id)

    def _client(
        self,
        connect: Connect,
        transport: TransportInfo,
        credential: Credential,
        *,
        principal_id: str,
        thing_name: str | None,
        lifetime_s: int | None = None,
    ) -> ClientContext:
        is_limited = transport.kind == "websocket" and lifetime_s is None
        if is_limited:
            lifetime_s = _WEBSOCKET_LIFETIME_S
        return ClientContext(
            client_id=connect.client_id,
            principal_id=principal_id,
            source_ip=transport.peer_ip,
            thing_name=thing_name,
            expires_at=None if lifetime_s is None else self._clock() + lifetime_s,
            expiry_reason="WEBSOCKET_TTL_EXPIRATION" if is_limited else "CUSTOMAUTH_TTL_EXPIRATION",
            attributes={_CREDENTIAL: credential},
        )

    # -- what it may do -------------------------------------------------------------------------------------------

    def _judge(self, client: ClientContext, credential: Credential) -> _Judged:
        generation = self._registry.database.generation
        if credential.judged is not None and credential.judged[0] == generation:
            return credential.judged[1]
        if credential.certificate_id:
            standing = self._registry.standing_of_certificate(credential.certificate_id, client.client_id)
        else:
            standing = self._registry.standing_of_thing(client.client_id)
        if not credential.certificate_id and standing.thing is None:
            judged = _Judged(None, {})
        else:
            policies = tuple(self._parsed(text) for text in standing.policies)
            judged = _Judged(policies, _context(client, credential, standing))
        credential.judged = (generation, judged)
        return judged

    def _parsed(self, text: str) -> PolicyDocument:
        document = self._documents.get(text)
        if document is None:
            if len(self._documents) >= _CACHED_DOCUMENTS:
                self._documents.clear()
            document = self._documents[text] = PolicyDocument.parse(text)
        return document

    def _changed(self, change: Change) -> None:
        """Ask again for the clients a change concerns; end those whose certificate is no longer active."""
        broker, certificate_id = self._broker, change.certificate_id
        if broker is None:
            return
        if change.is_for_everybody:
            broker.forget_authorizations()
            return
        names = set(self._registry.things_of(certificate_id)) if certificate_id else set()
        for name in names | {change.thing_name}:
            session = broker.session(name)
            if session is not None and session.connection is not None:
                session.connection.forget_authorizations()
        # Registering a device changes a certificate that nobody shows yet; that must not cost a look at every client.
        if certificate_id in self._shown:
            self._certificate_changed(broker, certificate_id)

    def _certificate_changed(self, broker: Broker, certificate_id: str) -> None:
        is_active = self._registry.is_active(certificate_id)
        if not is_active:
            self._shown.discard(certificate_id)
        for connection in broker.connections():
            client = connection.client
            credential = None if client is None else client.attributes.get(_CREDENTIAL)
            if client is None or not isinstance(credential, Credential) or credential.certificate_id != certificate_id:
                continue
            if is_active:
                connection.forget_authorizations()
            else:
                broker.disconnect(client.client_id, self._clock())


def _is_bare(transport: TransportInfo) -> bool:
    """Whether a client came by a way on which AWS asks the default authorizer, and showed nothing else."""
    if transport.kind == "websocket":
        return _SIGNED not in transport.raw_query
    return transport.kind == "tls"


def _context(client: ClientContext, credential: Credential, standing: Standing) -> Mapping[str, Any]:
    context: dict[str, Any] = {"iot:ClientId": client.client_id, "aws:SourceIp": client.source_ip}
    context.update(thing_variables(standing.thing if standing.is_attached else None))
    context.update(credential.certificate or {})
    return context
