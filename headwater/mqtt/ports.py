"""What the broker needs from the rest of the runtime, and the values that cross that border."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from headwater.mqtt.codec.packets import Connect, Properties, ReasonCode

Action = Literal["Connect", "Publish", "Subscribe", "Receive", "RetainPublish"]


@dataclass(frozen=True, slots=True)
class TransportInfo:
    """How a client reached us. `certificate_der` is the peer certificate of a TLS connection, `alpn` its protocol.

    `headers` (lower-case names) and `raw_query` are those of the WebSocket upgrade request.
    """

    kind: Literal["tcp", "tls", "websocket"] = "tcp"
    peer_ip: str = "127.0.0.1"
    peer_port: int = 0
    certificate_der: bytes | None = field(default=None, repr=False)
    server_name: str | None = None
    alpn: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    raw_query: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ClientContext:
    """An authenticated client. `principal_id` is what rules see as `principal()` and presence as principalIdentifier.

    `expires_at` (epoch seconds) ends the connection: a custom authorizer's disconnectAfterInSeconds, or a WebSocket's
    lifetime, which `expiry_reason` tells apart. `attributes` belong to whoever authenticated the client and are only
    passed on to `authorize`.
    """

    client_id: str
    principal_id: str = ""
    source_ip: str = ""
    thing_name: str | None = None
    expires_at: float | None = None
    expiry_reason: Literal["CUSTOMAUTH_TTL_EXPIRATION", "WEBSOCKET_TTL_EXPIRATION"] = "CUSTOMAUTH_TTL_EXPIRATION"
    attributes: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a client may not connect; `reason_code` is MQTT 5's, translated for 3.1.1."""

    reason_code: ReasonCode = ReasonCode.NOT_AUTHORIZED
    message: str = ""


class Publish(msgspec.Struct, frozen=True, gc=False):
    """One accepted MQTT publish, as rules and subscribers see it.

    `client` is None when the broker or an AWS API published it. With `basic_ingest_rule` set it goes to that topic rule
    alone and `topic` has no `$aws/rules/<rule>/` prefix. `received_at` and `expires_at` are epoch seconds.
    `properties` never holds a topic alias or subscription identifier.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties | None = None
    client: ClientContext | None = None
    received_at: float = 0.0
    basic_ingest_rule: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """A client came, went, subscribed or unsubscribed; `publish` is the MQTT message that says so."""

    event_type: Literal["connected", "disconnected", "subscribed", "unsubscribed"]
    client_id: str
    publish: Publish


class SessionStore(Protocol):
    """Where persistent sessions and retained messages outlive the process.

    Keys are at most 64 bytes and opaque; a value of None deletes its key. `save` is called with every change since the
    last call; a publish is acknowledged after the awaitable of the changes it caused completed.
    """

    def load(self) -> Iterable[tuple[bytes, bytes]]: ...

    def save(self, changes: Mapping[bytes, bytes | None]) -> Awaitable[None] | None: ...


class MemorySessionStore:
    """Keeps everything as long as this object lives: for `--memory`, and for tests of a restart."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        return list(self._values.items())

    def save(self, changes: Mapping[bytes, bytes | None]) -> Awaitable[None] | None:
        for key, value in changes.items():
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value
        return None


Authenticate = Callable[[Connect, TransportInfo], ClientContext | Refusal | Awaitable[ClientContext | Refusal]]
Authorize = Callable[[ClientContext, Action, str], bool]
OnPublish = Callable[[list[Publish]], Awaitable[None] | None]
OnLifecycle = Callable[[LifecycleEvent], None]
OnQuota = Callable[[str, str], None]
"""Called with the quota's name and the client id, once per connection and quota."""
