"""Flow 8/8: one real-time connection: its messages, its subscriptions and how each of them starts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from headwater.auth.authorizer import SignatureRefused
from headwater.engine import channel_error
from headwater.errors import RequestError
from headwater.realtime.argument_filter import ArgumentFilter
from headwater.realtime.connection import RealtimeConnection, RealtimeLimits, StartRequested, StopRequested
from headwater.realtime.filters import FilterRefused, compile_filter
from headwater.realtime.handshake import ConnectRequest, request_headers
from headwater.realtime.registry import Projection, Subscription, SubscriptionFilter
from headwater.realtime.websocket_frames import CloseCode
from headwater.server.http.eager_tasks import start_eagerly
from headwater.server.http.websocket import WebSocketLimits, WebSocketSender
from headwater.values.identity import GraphQLCaller

if TYPE_CHECKING:
    from headwater.server.appsync.realtime import AppSyncRealtime

logger = logging.getLogger(__name__)

_TIMER_TURN_S = 0.5
_REFUSED_OPEN_S = 1.0


class PreparedSubscription(Protocol):
    """A validated subscription. `arguments` holds no omitted ones."""

    @property
    def arguments(self) -> Mapping[str, Any]: ...

    @property
    def projection(self) -> Projection: ...

    @property
    def has_resolver(self) -> bool: ...


class SubscriptionSetup(Protocol):
    """What a subscription resolver set through `extensions`, as the JSON it gave; None where it set nothing."""

    @property
    def filter(self) -> Any: ...

    @property
    def invalidation_filter(self) -> Any: ...


Headers = Mapping[str, str | list[str]]
# header object (lower-case names), connect or start, the exact text a signature covers, source addresses
Authenticate = Callable[
    [Mapping[str, str], Literal["connect", "start"], str, tuple[str, ...]], GraphQLCaller | Awaitable[GraphQLCaller]
]
# query, variables, operation name, caller; raises RequestError, with `.errors` if there are several
Prepare = Callable[[str, dict[str, Any], str | None, GraphQLCaller], PreparedSubscription]
# called where the subscription has one, with the id of the request, empty where nothing is logged
RunResolver = Callable[[PreparedSubscription, GraphQLCaller, Headers, str], Awaitable[SubscriptionSetup | None]]


class RealtimeEndpoint:
    """One accepted connection and its subscriptions."""

    __slots__ = (
        "_connection",
        "_custom_headers",
        "_loop",
        "_opened_at",
        "_realtime",
        "_sender",
        "_source_ip",
        "_subscriptions",
        "send_frame",
    )

    def __init__(self, realtime: "AppSyncRealtime", connect: ConnectRequest, source_ip: tuple[str, ...]) -> None:
        self._realtime = realtime
        self._custom_headers = connect.custom_headers
        self._source_ip = source_ip
        self._subscriptions: dict[str, Subscription[RealtimeEndpoint]] = {}
        self._connection: RealtimeConnection | None = None
        self._sender: WebSocketSender | None = None
        # Kept, because asking for the running loop asks the system for the process.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened_at = 0.0
        self.send_frame: Callable[[bytes], None] = _send_nowhere

    @property
    def subprotocol(self) -> str:
        return "graphql-ws"

    @property
    def limits(self) -> WebSocketLimits:
        return self._realtime.websocket_limits

    @property
    def next_timeout(self) -> float | None:
        return self._connection.next_timeout() if self._connection else None

    # WebSocketEndpoint

    def on_open(self, sender: WebSocketSender) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._opened_at = self._loop.time()
        self._sender = sender
        self.send_frame = sender.send_frames
        self._connection = RealtimeConnection(self._realtime.limits, now)
        self._realtime.connection_opened()
        self._realtime.timers.add(self, now)

    def on_text(self, text: str) -> None:
        connection, loop = self._connection, self._loop
        if connection is None or loop is None:
            return
        for event in connection.receive(text, loop.time()):
            if isinstance(event, StartRequested):
                self._start(connection, event, loop)
            elif isinstance(event, StopRequested):
                self._forget(event.subscription_id)
                self._realtime.counters["UnsubscribeSuccess"] += 1
            else:
                self._realtime.message_refused(event)
        if connection.has_exceeded_rate:
            self._realtime.warnings.tell_rate(self._realtime.limits.max_starts_per_s)
        self._flush()

    def on_binary(self, data: bytes) -> None:
        self.close(CloseCode.UNSUPPORTED_DATA, "messages are JSON text")

    def on_close(self, code: int, reason: str) -> None:
        for identifier in tuple(self._subscriptions):
            self._forget(identifier)
        if self._connection is not None:
            self._connection.close(code, reason)
            self._realtime.connection_closed(code, asyncio.get_running_loop().time() - self._opened_at)
        self._connection = None
        self._sender = None
        self.send_frame = _send_nowhere

    # the server's side

    def end(self, subscription_id: str) -> None:
        """Complete a subscription the client did not stop."""
        self._forget(subscription_id)
        if self._connection is not None:
            self._connection.complete(subscription_id)
            self._flush()

    def close(self, code: int, reason: str) -> None:
        if self._connection is not None:
            self._connection.close(code, reason)
            self._flush()

    def tick(self, now: float) -> None:
        if self._connection is not None:
            self._connection.tick(now)
            self._flush()

    # starting a subscription

    def _start(self, connection: RealtimeConnection, start: StartRequested, loop: asyncio.AbstractEventLoop) -> None:
        """Start a subscription, at once if neither its caller nor its resolver has to be waited for."""
        realtime = self._realtime
        if realtime.log is not None:
            realtime.log.began(start, self._custom_headers)
        caller = realtime.authenticate(start.authorization, "start", start.data, self._source_ip)
        if isinstance(caller, GraphQLCaller):
            rest = self._start_for(connection, start, caller)
        else:
            rest = self._authenticate(connection, start, caller)
        if rest is not None:
            outcome = start_eagerly(rest, loop)
            if outcome is not None:
                realtime.tasks.add(outcome)
                outcome.add_done_callback(realtime.tasks.discard)

    async def _authenticate(
        self, connection: RealtimeConnection, start: StartRequested, known: Awaitable[GraphQLCaller]
    ) -> None:
        try:
            caller = await known
        except SignatureRefused as error:
            self._refuse(connection, start, RequestError(error.explanation, "BadRequestException"))
        except RequestError as error:
            if error.error_type == "UnauthorizedException":
                logger.info("a subscription's credentials were refused: %s", error.message)
                error = RequestError("Valid authorization header not provided.", "UnauthorizedException")
            self._refuse(connection, start, error)
        except Exception as error:
            self._refuse(connection, start, error)
        else:
            rest = self._start_for(connection, start, caller)
            if rest is not None:
                await rest
        self._flush()

    def _start_for(
        self, connection: RealtimeConnection, start: StartRequested, caller: GraphQLCaller
    ) -> Coroutine[Any, Any, None] | None:
        """Start a subscription of a known caller; the rest, if its resolver has to be waited for."""
        realtime = self._realtime
        try:
            prepared = realtime.prepare(start.query, start.variables, start.operation_name, caller)
            if not prepared.has_resolver:
                self._acknowledge(connection, start, self._subscription(start, prepared, None))
                return None
            headers = request_headers(start.authorization, self._custom_headers)
            setup = realtime.run_resolver(prepared, caller, headers, start.request_id)
        except Exception as error:
            self._refuse(connection, start, error)
            return None
        return self._set_up(connection, start, prepared, setup)

    async def _set_up(
        self,
        connection: RealtimeConnection,
        start: StartRequested,
        prepared: PreparedSubscription,
        setup: Awaitable[SubscriptionSetup | None],
    ) -> None:
        try:
            self._acknowledge(connection, start, self._subscription(start, prepared, await setup))
        except Exception as error:
            self._refuse(connection, start, error)
        self._flush()

    def _acknowledge(
        self, connection: RealtimeConnection, start: StartRequested, subscription: Subscription["RealtimeEndpoint"]
    ) -> None:
        # The client may have stopped it or left while its resolver ran.
        if not connection.start_ack(start):
            return
        log = self._realtime.log
        if log is not None:
            existing = (one.projection.field_name for one in self._subscriptions.values())
            log.registered(start, subscription.projection.field_name, existing)
        # The acknowledgement is written later, so an event that follows it at once is not missed.
        self._subscriptions[start.subscription_id] = subscription
        self._realtime.registry.add(subscription)
        self._realtime.counters["SubscribeSuccess"] += 1

    def _refuse(self, connection: RealtimeConnection, start: StartRequested, error: Exception) -> None:
        identifier, counters = start.subscription_id, self._realtime.counters
        if self._realtime.log is not None:
            self._realtime.log.refused(start, _status_of(error))
        if isinstance(error, RequestError):
            counters["SubscribeClientError"] += 1
            if isinstance(error, FilterRefused):
                self._realtime.warnings.tell_refused_filter(error.detail)
            elif error.error_type == "Unauthorized":
                self._realtime.warnings.tell_denied(error.message)
            # What should have been signed, behind the first line, has the client's session token.
            logger.info("refused subscription %s: %s", identifier, error.message.partition("\n")[0])
            connection.refuse_start(start, _errors_of(error))
        else:
            counters["SubscribeServerError"] += 1
            logger.error("subscription %s failed to start", identifier, exc_info=error)
            connection.refuse_start(start, [{"errorType": "InternalFailure", "message": "Internal failure."}])

    def _subscription(
        self, start: StartRequested, prepared: PreparedSubscription, setup: SubscriptionSetup | None
    ) -> Subscription["RealtimeEndpoint"]:
        """Raises: RequestError for a filter that may not be set."""
        enhanced = setup.filter if setup is not None else None
        invalidation = setup.invalidation_filter if setup is not None else None
        warnings, projection = self._realtime.warnings, prepared.projection
        wanted: SubscriptionFilter
        # An enhanced filter switches argument filtering off altogether.
        if enhanced is not None:
            wanted = compile_filter(enhanced)
            for group in wanted.groups:
                warnings.check_rules(projection, group)
        else:
            wanted = ArgumentFilter(prepared.arguments)
            warnings.check_arguments(projection, prepared.arguments)
        warnings.check_rights(projection)
        return Subscription(
            self,
            start.subscription_id,
            projection,
            wanted,
            compile_filter(invalidation) if invalidation is not None else None,
        )

    def _forget(self, subscription_id: str) -> None:
        subscription = self._subscriptions.pop(subscription_id, None)
        if subscription is not None:
            self._realtime.registry.remove(subscription)

    def _flush(self) -> None:
        connection, sender = self._connection, self._sender
        if connection is None or sender is None:
            return
        for text in connection.outgoing():
            sender.send_text(text)
        if connection.closing is not None:
            sender.close(*connection.closing)


class RefusedEndpoint:
    """A connection that is opened only to say why it is not accepted.

    It is closed behind the client's first message: some clients (gql) send `connection_init` before they read, and
    a connection closed under them hides the reason.
    """

    def __init__(self, errors: list[dict[str, Any]], subprotocol: str | None, limits: WebSocketLimits) -> None:
        self.subprotocol = subprotocol
        self.limits = limits
        self._errors = errors
        self._sender: WebSocketSender | None = None
        self._timer: asyncio.TimerHandle | None = None

    def on_open(self, sender: WebSocketSender) -> None:
        connection = RealtimeConnection(RealtimeLimits(), 0.0)
        connection.refuse_connection(self._errors)
        for text in connection.outgoing():
            sender.send_text(text)
        self._sender = sender
        self._timer = asyncio.get_running_loop().call_later(_REFUSED_OPEN_S, sender.close)

    def on_text(self, text: str) -> None:
        if self._sender is not None:
            self._sender.close(CloseCode.NORMAL)

    def on_binary(self, data: bytes) -> None:
        self.on_text("")

    def on_close(self, code: int, reason: str) -> None:
        self._sender = None
        if self._timer is not None:
            self._timer.cancel()


class TimerWheel:
    """Ticks all endpoints of an API from one timer: slots of one second, looked at twice a second."""

    def __init__(self) -> None:
        self._slots: dict[int, list[RealtimeEndpoint]] = {}
        self._handle: asyncio.TimerHandle | None = None

    def add(self, endpoint: RealtimeEndpoint, now: float) -> None:
        timeout = endpoint.next_timeout
        if timeout is None:
            return
        self._slots.setdefault(int(timeout), []).append(endpoint)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(_TIMER_TURN_S, self._turn)

    def close(self) -> None:
        self._slots.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _turn(self) -> None:
        self._handle = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for slot in [slot for slot in self._slots if slot <= now]:
            for endpoint in self._slots.pop(slot):
                endpoint.tick(now)
                self.add(endpoint, now)
        if self._slots and self._handle is None:
            self._handle = loop.call_later(_TIMER_TURN_S, self._turn)


def _send_nowhere(frame: bytes) -> None:
    """Stands in for the sender of a connection that is not open."""


def _status_of(error: Exception) -> int:
    if not isinstance(error, RequestError):
        return 500
    return 401 if error.error_type in ("Unauthorized", "UnauthorizedException") else 400


def _errors_of(error: RequestError) -> list[dict[str, Any]]:
    errors = getattr(error, "errors", None)
    return errors if isinstance(errors, list) and errors else [channel_error(error)]
