"""Presence: the MQTT messages AWS IoT Core publishes when a client comes, goes, subscribes or unsubscribes.

Source: AWS IoT developer guide, "Lifecycle events".
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

from headwater.mqtt.ports import ClientContext, LifecycleEvent, Publish

DisconnectReason = Literal[
    "AUTH_ERROR",
    "CLIENT_INITIATED_DISCONNECT",
    "CLIENT_ERROR",
    "CONNECTION_LOST",
    "CUSTOMAUTH_TTL_EXPIRATION",
    "DUPLICATE_CLIENTID",
    "FORBIDDEN_ACCESS",
    "MQTT_KEEP_ALIVE_TIMEOUT",
    "SERVER_ERROR",
    "SERVER_INITIATED_DISCONNECT",
    "THROTTLED",
    "WEBSOCKET_TTL_EXPIRATION",
]

SubscriptionEvent = Literal["subscribed", "unsubscribed"]

# A client that stays away longer starts again at version 0.
VERSION_RESET_S = 3600.0


def connected(client: ClientContext, session_identifier: str, version: int, now: float) -> LifecycleEvent:
    body = _body(client, session_identifier, "connected", now)
    body |= {"ipAddress": client.source_ip, "versionNumber": version}
    return _event("connected", client, "presence", body, now)


def disconnected(
    client: ClientContext, session_identifier: str, version: int, now: float, *, reason: DisconnectReason
) -> LifecycleEvent:
    """`versionNumber` is that of the connect it ends."""
    body = _body(client, session_identifier, "disconnected", now)
    body |= {
        "clientInitiatedDisconnect": reason == "CLIENT_INITIATED_DISCONNECT",
        "disconnectReason": reason,
        "versionNumber": version,
    }
    return _event("disconnected", client, "presence", body, now)


def subscriptions_changed(
    event_type: SubscriptionEvent,
    client: ClientContext,
    session_identifier: str,
    topic_filters: Sequence[str],
    now: float,
) -> LifecycleEvent:
    body = _body(client, session_identifier, event_type, now)
    body["topics"] = list(topic_filters)
    return _event(event_type, client, "subscriptions", body, now)


def _body(client: ClientContext, session_identifier: str, event_type: str, now: float) -> dict[str, Any]:
    return {
        "clientId": client.client_id,
        "timestamp": int(now * 1000),
        "eventType": event_type,
        "sessionIdentifier": session_identifier,
        "principalIdentifier": client.principal_id,
    }


def _event(
    event_type: Literal["connected", "disconnected", "subscribed", "unsubscribed"],
    client: ClientContext,
    family: str,
    body: dict[str, Any],
    now: float,
) -> LifecycleEvent:
    topic = f"$aws/events/{family}/{event_type}/{client.client_id}"
    payload = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return LifecycleEvent(event_type, client.client_id, Publish(topic, payload, received_at=now))
