"""One HTTP/1.1 connection: parse requests, call the handler in order, write answers, hand over upgrades."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import httptools

from headwater.errors import LocalProtocolError
from headwater.server.http.answers import encode_response, error_response
from headwater.server.http.eager_tasks import start_eagerly
from headwater.server.http.reader import BODY, HANDLING, HEAD, IDLE, LINGERING, Refused, RequestReader
from headwater.server.http.shared import HttpShared
from headwater.server.http.websocket import (
    WebSocketAcceptor,
    WebSocketConnection,
    is_websocket_upgrade,
    refuse_upgrade,
    upgrade_answer,
)
from headwater.values.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Larger answers, and what would come to more with those before, are written at once and not at the end of the turn.
_MAX_UNSENT_BYTES = 64 << 10
# Pipelined requests that may wait behind one that is handled; reading stops until they are answered.
_MAX_PENDING = 8


class HttpProtocol(RequestReader, asyncio.Protocol):
    """Requests of one connection are handled one after the other, so pipelined answers keep their order."""

    __slots__ = (
        "_deadline",
        "_has_eof",
        "_held_data",
        "_is_read_paused",
        "_is_write_paused",
        "_task",
        "_transport",
        "_unsent",
    )

    def __init__(self, shared: HttpShared) -> None:
        super().__init__(shared)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any other call
        self._task: asyncio.Future[HttpResponse] | None = None
        self._held_data: list[bytes] | None = None
        self._deadline: float | None = shared.now + shared.limits.head_timeout_s
        self._is_write_paused = False
        self._is_read_paused = False
        self._has_eof = False
        self._unsent = b""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # stream sockets only
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else ""
        self._is_tls = transport.get_extra_info("ssl_object") is not None
        self._shared.connections.add(self)
        if self._shared.is_draining:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._held_data is not None:
            # An upgrade is being decided: what follows belongs to the new protocol.
            self._held_data.append(data)
            self._transport.pause_reading()
            return
        if self._phase is LINGERING:
            return
        is_first = self._phase is IDLE
        if is_first and self._handle_known(data):
            return
        self._read_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._on_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._on_parser_error(error)
        if self._phase is HEAD or self._phase is BODY:
            self._check_unparsed(len(data))
        elif is_first:
            self._keep_head(data)
        if self._pending:
            self._advance()
        elif self._wants_continue:
            self._continue_if_due()
        if not self._is_armed:
            self._arm()
        if len(self._pending) >= _MAX_PENDING and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Answers still owed are sent to a peer that only stopped sending."""
        self._has_eof = True
        # Over TLS the request and the end may come in one turn, and the transport closes on return.
        self.flush()
        return (self._task is not None or bool(self._pending)) and not self._is_tls

    def pause_writing(self) -> None:
        self._is_write_paused = True
        self._arm()

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self._arm()
        self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        # A request under way goes on: its effects must not depend on whether the caller waits for the answer.
        self._shared.connections.discard(self)
        self._pending.clear()
        self._deadline = None
        self._unsent = b""
        self._forget_parser()

    # writing

    def _write(self, data: bytes) -> None:
        """Write at the end of this loop turn.

        A peer that sleeps is woken by what it is sent, which can cost as much as the whole answer; answers that leave
        together find it awake (bench/appsync_requests.py: 20 us less for each of 32 connections).
        """
        if len(self._unsent) + len(data) > _MAX_UNSENT_BYTES:
            self.flush()
            self._transport.write(data)
        elif self._unsent:
            self._unsent += data
        else:
            self._unsent = data
            batch = self._shared.batch
            if not batch.waiting:
                batch.schedule()
            batch.waiting.append(self)

    def flush(self) -> None:
        """Write what waits for the end of the turn."""
        if self._unsent:
            data, self._unsent = self._unsent, b""
            self._transport.write(data)

    def _close(self) -> None:
        self.flush()
        self._transport.close()

    def _continue_if_due(self) -> None:
        # The interim answer must not overtake the answers of earlier pipelined requests.
        if self._wants_continue and not self._pending and self._task is None:
            self._wants_continue = False
            self._write(_CONTINUE)

    # phases and deadlines

    def _arm(self) -> None:
        """Set the deadline of the phase the last bytes have led to. A phase that goes on keeps its deadline."""
        self._is_armed = True
        phase, limits = self._phase, self._shared.limits
        if self._is_write_paused:
            timeout_s = limits.write_timeout_s
        elif phase is IDLE:
            timeout_s = limits.idle_timeout_s
        elif phase is HEAD:
            timeout_s = limits.head_timeout_s
        elif phase is BODY:
            timeout_s = limits.body_timeout_s
        elif phase is LINGERING:
            timeout_s = limits.linger_s
        else:
            self._deadline = None
            return
        self._deadline = self._shared.now + timeout_s

    def check_deadline(self, now: float) -> None:
        """End what has taken too long; called by the server's sweep."""
        if self._deadline is None or now < self._deadline:
            return
        if self._is_write_paused or self._phase is LINGERING:
            if self._task is None or self._is_write_paused:
                self._transport.abort()
        elif self._phase is IDLE:
            self._transport.close()
        else:
            self._refuse(408, "RequestTimeout", "The request did not arrive in time.")
            self._arm()
            self._advance()

    def drain(self) -> None:
        """The server stops: close between requests, and after the one under way."""
        is_handling = self._task is not None or bool(self._pending) or self._held_data is not None
        if not is_handling and self._phase is not BODY:
            self._close()

    def abort(self) -> None:
        self._transport.abort()

    # handling

    def _advance(self) -> None:
        """Handle requests until one waits, the peer does not read, or none is left."""
        while self._pending and self._task is None and not self._is_write_paused:
            entry = self._pending.popleft()
            if isinstance(entry, Refused):
                self._pending.clear()
                self._write_refusal(entry.response)
                return
            self._handle(*entry)
        if self._is_read_paused and len(self._pending) < _MAX_PENDING and not self._transport.is_closing():
            self._is_read_paused = False
            self._transport.resume_reading()
        if self._task is None and not self._pending:
            self._continue_if_due()
            if self._has_eof:
                self._close()
            elif self._phase is HANDLING:
                self._phase = IDLE
                self._arm()

    def _handle_known(self, data: bytes) -> bool:
        """Handle a read between requests that needs no parser; false if it has to be parsed."""
        request = None if self._is_write_paused else self._known_request(data)
        if request is None:
            return False
        self._handle(request, True)
        if self._task is None and not self._is_write_paused:
            self._deadline = self._shared.now + self._shared.limits.idle_timeout_s
        else:
            self._phase = IDLE if self._task is None else HANDLING
            self._arm()
        return True

    def _handle(self, request: HttpRequest, keeps_alive: bool) -> None:
        """Answer a request, or begin to wait for its answer."""
        outcome: HttpResponse | asyncio.Future[HttpResponse]
        try:
            answer = self._shared.handler(request)
            if isinstance(answer, HttpResponse | asyncio.Future):
                outcome = answer
            else:
                coro: Coroutine[Any, Any, HttpResponse] = answer  # type: ignore[assignment]  # see HttpHandler
                outcome = start_eagerly(coro, self._shared.loop)
        except Exception:
            outcome = self._failed(request)
        if isinstance(outcome, HttpResponse):
            self._answer(request, keeps_alive, outcome)
        else:
            self._wait_for(outcome, request, keeps_alive)

    @staticmethod
    def _failed(request: HttpRequest) -> HttpResponse:
        logger.exception("the handler failed on %s %s", request.method, request.raw_path)
        return error_response(500, "InternalFailure", "Internal server error.")

    def _wait_for(self, task: asyncio.Future[HttpResponse], request: HttpRequest, keeps_alive: bool) -> None:
        self._task = task
        self._shared.tasks.add(task)
        task.add_done_callback(lambda done: self._on_handled(done, request, keeps_alive))

    def _on_handled(self, task: asyncio.Future[HttpResponse], request: HttpRequest, keeps_alive: bool) -> None:
        self._shared.tasks.discard(task)
        self._task = None
        if task.cancelled():
            self._transport.abort()
            return
        try:
            response = task.result()
        except Exception:
            response = self._failed(request)
        self._answer(request, keeps_alive, response)
        self._advance()

    def _answer(self, request: HttpRequest, keeps_alive: bool, response: HttpResponse) -> None:
        if self._transport.is_closing():
            return
        shared = self._shared
        is_last = not keeps_alive or shared.is_draining
        is_head = request.method == "HEAD"
        try:
            headers, has_close = shared.header_texts[response.headers]
            data = encode_response(
                response, headers, date=shared.date, is_head=is_head, is_last=is_last and not has_close
            )
        except LocalProtocolError:
            logger.exception("the handler's answer on %s cannot be sent", request.raw_path)
            response = error_response(500, "InternalFailure", "Internal server error.")
            headers, has_close = shared.header_texts[response.headers]
            data = encode_response(response, headers, date=shared.date, is_head=is_head, is_last=is_last)
        is_last = is_last or has_close
        self._write(data)
        if is_last:
            self._pending.clear()
            self._close()

    def _write_refusal(self, response: HttpResponse) -> None:
        """Write, and read on for a moment: closing on a peer that still sends would reset the answer away."""
        if self._transport.is_closing():
            return
        headers, _ = self._shared.header_texts[response.headers]
        date = self._shared.date
        self._write(encode_response(response, headers, date=date, is_head=False, is_last=True))
        self.flush()
        if self._has_eof or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._phase = LINGERING
        self._arm()

    # upgrades

    def _on_upgrade(self, rest: bytes) -> None:
        """The parser stopped behind a request that offers another protocol; `rest` follows it."""
        entry = self._pending[-1]
        assert not isinstance(entry, Refused)
        request, _ = entry
        acceptor = self._shared.acceptors.get(request.raw_path) if is_websocket_upgrade(request) else None
        if acceptor is None or self._shared.is_draining:
            # A server may ignore an upgrade (RFC 9110 §7.8): go on with HTTP behind it.
            self._parser = httptools.HttpRequestParser(self)
            if rest:
                self.data_received(rest)
            else:
                self._advance()
            return
        self._pending.pop()
        self._advance()
        if self._task is not None or self._pending:
            # Nobody pipelines in front of an upgrade; refusing is simpler than ordering two protocols.
            self._refuse(400, "MalformedHttpRequestException", "An upgrade may not follow unanswered requests.")
            return
        self._phase = HANDLING
        self._arm()
        self._held_data = [rest] if rest else []
        refused = refuse_upgrade(request)
        outcome = start_eagerly(self._decide_upgrade(acceptor, request, refused), self._shared.loop)
        if outcome is not None:
            self._shared.tasks.add(outcome)
            outcome.add_done_callback(self._shared.tasks.discard)

    async def _decide_upgrade(
        self, acceptor: WebSocketAcceptor, request: HttpRequest, refused: HttpResponse | None
    ) -> None:
        try:
            decision = refused or await acceptor.accept(request)
            head = b"" if isinstance(decision, HttpResponse) else upgrade_answer(request, decision.subprotocol)
        except Exception:
            logger.exception("the acceptor failed on %s", request.raw_path)
            decision, head = error_response(500, "InternalFailure", "Internal server error."), b""
        if isinstance(decision, HttpResponse):
            self._answer(request, False, decision)
            self._held_data = None
            return
        shared = self._shared
        connection = WebSocketConnection(
            self._transport, decision, batch=shared.batch, on_gone=shared.connections.discard
        )
        if self._transport.is_closing():
            connection.connection_lost(None)
            return
        early_data = b"".join(self._held_data or ())
        shared.connections.discard(self)
        shared.connections.add(connection)
        self._deadline = None
        self._forget_parser()
        self.flush()
        self._transport.set_protocol(connection)
        self._transport.resume_reading()
        self._transport.write(head)
        if self._is_write_paused:
            connection.pause_writing()
        connection.open(early_data)
