"""MQTT over WebSocket: accept an upgrade for the subprotocol `mqtt` and carry the broker's bytes in binary messages."""

from typing import TYPE_CHECKING

from headwater.mqtt.ports import TransportInfo
from headwater.server.http.websocket import WebSocketEndpoint, WebSocketLimits, WebSocketSender, offered_subprotocols
from headwater.server.mqtt.link import MqttLink
from headwater.values.http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from headwater.server.mqtt.server import MqttServer

SUBPROTOCOLS = ("mqtt", "mqttv3.1")

_UNSUPPORTED_DATA = 1003
_FULL_BYTES = 1024 * 1024


class MqttWebSocketAcceptor:
    """Serves `/mqtt` of an HTTP server; who authenticates the CONNECT sees the upgrade's headers and query."""

    def __init__(self, server: "MqttServer") -> None:
        self._server = server

    async def accept(self, request: HttpRequest) -> WebSocketEndpoint | HttpResponse:
        offered = offered_subprotocols(request)
        for subprotocol in SUBPROTOCOLS:
            if subprotocol in offered:
                return WebSocketCarrier(self._server, request, subprotocol)
        return HttpResponse(400, (("content-type", "text/plain"),), b"the WebSocket subprotocol must be mqtt")


class WebSocketCarrier:
    """One client. A message may hold any part of an MQTT packet or several of them (MQTT 5 section 6)."""

    __slots__ = ("_limits", "_link", "_request", "_sender", "_server", "_subprotocol")

    def __init__(self, server: "MqttServer", request: HttpRequest, subprotocol: str) -> None:
        self._server = server
        self._request = request
        self._subprotocol = subprotocol
        profile = server.broker.profile
        self._limits = WebSocketLimits(
            max_message_bytes=profile.max_packet_bytes,
            # The link stops writing at _FULL_BYTES; above it comes one loop turn's output at most.
            max_queued_bytes=_FULL_BYTES + 2 * profile.max_unsent_bytes + profile.max_packet_bytes,
        )
        self._sender: WebSocketSender | None = None
        self._link: MqttLink | None = None

    # WebSocketEndpoint

    @property
    def subprotocol(self) -> str | None:
        return self._subprotocol

    @property
    def limits(self) -> WebSocketLimits:
        return self._limits

    def on_open(self, sender: WebSocketSender) -> None:
        self._sender = sender
        request = self._request
        info = TransportInfo("websocket", request.peer, headers=request.headers, raw_query=request.raw_query)
        self._link = MqttLink(self._server, info, self)

    def on_text(self, text: str) -> None:
        if self._sender is not None:
            self._sender.close(_UNSUPPORTED_DATA, "MQTT is binary")

    def on_binary(self, data: bytes) -> None:
        if self._link is not None:
            self._link.data_received(data)

    def on_close(self, code: int, reason: str) -> None:
        if self._link is not None:
            self._link.lost()

    # Carrier

    @property
    def is_full(self) -> bool:
        return self._sender is not None and self._sender.queued_bytes > _FULL_BYTES

    def write(self, data: bytes) -> None:
        if self._sender is not None:
            self._sender.send_binary(data)

    def close(self) -> None:
        if self._sender is not None:
            self._sender.close()

    def pause_reading(self) -> None:
        if self._sender is not None:
            self._sender.pause_reading()

    def resume_reading(self) -> None:
        if self._sender is not None:
            self._sender.resume_reading()
