"""Flow 1/8: one MQTT client between its socket and the broker, whatever carries the bytes."""

import asyncio
import logging
import socket
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from headwater.mqtt.codec.packets import ReasonCode
from headwater.mqtt.connection import ConnectRequested, Event
from headwater.mqtt.inbound import PublishBatch
from headwater.mqtt.ports import ClientContext, Refusal, TransportInfo

if TYPE_CHECKING:
    from headwater.server.mqtt.server import MqttServer

logger = logging.getLogger(__name__)

# Reading stops while this many publishes wait for their durable work, so that a fast client cannot fill the memory.
_MAX_OUTSTANDING = 4000
# Linux has it; elsewhere acknowledgements are as late as the system has them.
_TCP_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class Carrier(Protocol):
    """The socket under a link: TCP, TLS or WebSocket."""

    @property
    def is_full(self) -> bool:
        """Whether the peer reads too slowly for more to be written now."""
        ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """Close after what was written has gone out, or after a few seconds."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class MqttLink:
    """Feeds a connection of the broker and does for it what needs waiting: authentication and durable work."""

    __slots__ = ("_carrier", "_is_closing", "_is_reading", "_outstanding", "_server", "connection")

    def __init__(self, server: "MqttServer", transport: TransportInfo, carrier: Carrier) -> None:
        self._server = server
        self._carrier = carrier
        self._outstanding = 0
        self._is_reading = True
        self._is_closing = False
        server.begin()
        self.connection = server.broker.open(transport, server.clock(), self._wake)
        server.links.add(self)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing goes back to the client for what it sent last, now or when durable work is done."""
        return not (self._outstanding or self.connection.has_output)

    def data_received(self, data: bytes) -> None:
        """Parse everything that came together; its PUBACKs leave in one write."""
        if not self._is_closing:
            self._handle(self.connection.receive(data, self._server.clock()))

    def lost(self) -> None:
        """The socket is gone."""
        self._is_closing = True
        self._server.links.discard(self)
        self.connection.lost(self._server.clock())

    def flush(self) -> None:
        """Write what the connection has for its client; the server calls it once per loop turn."""
        connection, carrier = self.connection, self._carrier
        if carrier.is_full and not connection.is_closed:
            self.stall()
            return
        data = connection.outgoing()
        if self._is_closing:
            return
        if data:
            carrier.write(data)
        if connection.is_closed:
            self._is_closing = True
            if connection.close_message:
                logger.info("MQTT connection closed: %s", connection.close_message, extra=self._context())
            carrier.close()

    def stall(self) -> None:
        """The client does not read: QoS 0 is dropped and QoS 1 waits in its session until it does."""
        self.connection.pause()
        self._server.stalled.add(self)

    def unstall(self) -> bool:
        """Go on if the client reads again."""
        if self._carrier.is_full and not self._is_closing:
            return False
        self.connection.resume()
        self._wake()
        return True

    def _wake(self) -> None:
        self._server.flush_later(self)

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, ConnectRequested):
                self._authenticate(event)
            else:
                self._hand_on(event)

    def _hand_on(self, batch: PublishBatch) -> None:
        server = self._server
        try:
            work = server.commit(batch.publishes)
        except Exception as error:
            server.note_failure("publishes were not handed on", error, self._context())
            self.connection.reject(batch)
            return
        if work is None:
            self.connection.acknowledge(batch)
            return
        self._outstanding += len(batch.publishes)
        if self._outstanding > _MAX_OUTSTANDING:
            self._set_reading(wanted=False)
        server.run(work).add_done_callback(partial(self._finish, batch))

    def _finish(self, batch: PublishBatch, work: "asyncio.Future[object]") -> None:
        if work.cancelled():
            self.connection.reject(batch)
        elif (error := work.exception()) is not None:
            self._server.note_failure("publishes are not acknowledged", error, self._context())
            self.connection.reject(batch)
        else:
            self.connection.acknowledge(batch)
        self._outstanding -= len(batch.publishes)
        if self._outstanding <= _MAX_OUTSTANDING // 2:
            self._set_reading(wanted=True)

    def _authenticate(self, request: ConnectRequested) -> None:
        server = self._server
        try:
            outcome = server.authenticate(request.connect, self.connection.transport)
        except Exception:
            logger.exception("authentication failed to run", extra=self._context())
            outcome = Refusal(ReasonCode.SERVER_UNAVAILABLE)
        if isinstance(outcome, ClientContext | Refusal):
            self._handle(self.connection.authenticated(outcome, server.clock()))
        else:
            self._set_reading(wanted=False)
            server.run(self._await_authentication(outcome))

    async def _await_authentication(self, outcome: Awaitable[ClientContext | Refusal]) -> None:
        try:
            decided = await outcome
        except Exception:
            logger.exception("authentication failed to run", extra=self._context())
            decided = Refusal(ReasonCode.SERVER_UNAVAILABLE)
        self._handle(self.connection.authenticated(decided, self._server.clock()))
        self._set_reading(wanted=True)

    def _set_reading(self, *, wanted: bool) -> None:
        if wanted is self._is_reading or self._is_closing:
            return
        self._is_reading = wanted
        if wanted:
            self._carrier.resume_reading()
        else:
            self._carrier.pause_reading()

    def _context(self) -> dict[str, str]:
        client = self.connection.client
        return {
            "client_id": "" if client is None else client.client_id,
            "peer": self.connection.transport.peer_ip,
        }


class TcpCarrier(asyncio.Protocol):
    """MQTT over TCP or TLS."""

    __slots__ = ("_is_full", "_link", "_server", "_socket", "_transport")

    _LINGER_S = 1.0
    _CLOSE_TIMEOUT_S = 5.0
    _MAX_BUFFERED = 1024 * 1024

    def __init__(self, server: "MqttServer") -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._link: MqttLink | None = None
        self._is_full = False

    @property
    def is_full(self) -> bool:
        return self._is_full

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        # Closing while the peer still sends would answer with a reset, which throws away the DISCONNECT it has not
        # read yet. So end our side, read on for a moment, and cut off a peer that takes nothing.
        later = self._server.loop.call_later
        if transport.can_write_eof():
            transport.write_eof()
            later(self._LINGER_S, transport.close)
        else:
            transport.close()
        later(self._CLOSE_TIMEOUT_S, transport.abort)

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without the base class.
        stream = cast(asyncio.Transport, transport)
        self._transport = stream
        self._socket = stream.get_extra_info("socket")
        stream.set_write_buffer_limits(high=self._MAX_BUFFERED)
        described = self._describe(stream)
        if described.kind == "tls" and described.certificate_der is None and not self._server.admits(described):
            logger.info("a TLS client without a certificate is cut off", extra={"peer": described.peer_ip})
            stream.abort()
            return
        self._link = MqttLink(self._server, described, self)

    def data_received(self, data: bytes) -> None:
        if self._link is None:
            return
        self._link.data_received(data)
        if _TCP_QUICKACK is not None and self._socket is not None and self._link.is_quiet:
            # A client that acknowledges and then publishes holds its publish back until we confirm the first segment
            # (Nagle), which the kernel puts off for 40 ms when we have nothing to send.
            self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)

    def pause_writing(self) -> None:
        self._is_full = True
        if self._link is not None:
            self._link.stall()

    def resume_writing(self) -> None:
        self._is_full = False
        if self._link is not None and self._link.unstall():
            self._server.stalled.discard(self._link)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = self._socket = None
        if self._link is not None:
            self._link.lost()

    def _describe(self, transport: asyncio.Transport) -> TransportInfo:
        peer = transport.get_extra_info("peername") or ("", 0)
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            return TransportInfo("tcp", peer[0], peer[1])
        return TransportInfo(
            "tls",
            peer[0],
            peer[1],
            certificate_der=tls.getpeercert(binary_form=True),
            server_name=self._server.server_names.get(tls),
            alpn=tls.selected_alpn_protocol(),
        )
