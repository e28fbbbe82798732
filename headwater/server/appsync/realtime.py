"""Flow 8/8: serve AppSync subscriptions over WebSocket and deliver what mutations publish."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from headwater.errors import RequestError
from headwater.realtime.connection import (
    MAX_EVENT_BYTES,
    RealtimeConnection,
    RealtimeLimits,
    StartRequested,
    StopRequested,
)
from headwater.realtime.explanation import PublishedEvents
from headwater.realtime.filters import argument_filter, compile_filter
from headwater.realtime.handshake import ConnectRequest, HandshakeRefused, read_connect_request, request_headers
from headwater.realtime.registry import Cohort, Delivery, Subscription, SubscriptionRegistry
from headwater.realtime.silence import SilenceWarnings
from headwater.realtime.websocket_frames import CloseCode, Opcode, frame_header
from headwater.server.appsync.log import Statistic
from headwater.server.http.eager_tasks import start_eagerly
from headwater.server.http.websocket import WebSocketEndpoint, WebSocketLimits, WebSocketSender, offered_subprotocols
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.identity import GraphQLCaller

logger = logging.getLogger(__name__)

_CONNECT_BODY = "{}"
_TIMER_TURN_S = 0.5
_REFUSED_OPEN_S = 1.0
_METERED_BYTES = 5 * 1024


class PreparedSubscription(Protocol):
    """A validated subscription. `arguments` holds no omitted ones; `group_key` is equal for equal selections."""

    @property
    def field_name(self) -> str: ...

    @property
    def arguments(self) -> Mapping[str, Any]: ...

    @property
    def mutation_fields(self) -> tuple[str, ...]: ...

    @property
    def group_key(self) -> Hashable: ...

    def project(self, response: Any) -> bytes:
        """The JSON of `{"data": …, "errors"?: …}` for a mutation's response."""
        ...

    def unselected_fields(self, selected: Mapping[str, Any]) -> list[str]:
        """Fields the subscriber wants and a mutation's selection lacks."""
        ...

    def refused_fields(self) -> list[str]:
        """Fields the subscriber wants and may not see."""
        ...

    def filter_fault(self, path: Sequence[str], values: Iterable[Any]) -> str | None:
        """Why events never have one of these values at a path; None if they can."""
        ...


class SubscriptionSetup(Protocol):
    """What a subscription resolver set through `extensions`, as the JSON it gave; None where it set nothing."""

    @property
    def filter(self) -> Any: ...

    @property
    def invalidation_filter(self) -> Any: ...


class Published(Protocol):
    """A completed mutation field; `response` and `selected`, the tree of what it selected, have real field names."""

    @property
    def mutation_field(self) -> str: ...

    @property
    def response(self) -> Any: ...

    @property
    def selected(self) -> Mapping[str, Any]: ...


Headers = Mapping[str, str | list[str]]
# header object (lower-case names), connect or start, the exact text a signature covers, source addresses
Authenticate = Callable[
    [Mapping[str, str], Literal["connect", "start"], str, tuple[str, ...]], GraphQLCaller | Awaitable[GraphQLCaller]
]
# query, variables, operation name, caller; raises RequestError, with `.errors` if there are several
Prepare = Callable[[str, Mapping[str, Any], str | None, GraphQLCaller], PreparedSubscription]
# None where the subscription has no resolver
RunResolver = Callable[[PreparedSubscription, GraphQLCaller, Headers], Awaitable[SubscriptionSetup | None] | None]


class AppSyncRealtime:
    """The real-time side of one API: accepts connections, keeps subscriptions, delivers and invalidates.

    `counters` are named as the CloudWatch metrics of the service and only rise; `metrics()` adds the current counts.
    """

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        prepare: Prepare,
        run_resolver: RunResolver,
        limits: RealtimeLimits | None = None,
        websocket_limits: WebSocketLimits | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.authenticate = authenticate
        self.prepare = prepare
        self.run_resolver = run_resolver
        self.limits = limits or RealtimeLimits()
        self.websocket_limits = websocket_limits or WebSocketLimits()
        self.registry: SubscriptionRegistry[RealtimeEndpoint] = SubscriptionRegistry()
        self.counters: Counter[str] = Counter()
        self._connection_ms = Statistic()
        self.timers = TimerWheel()
        self.tasks: set[asyncio.Task[None]] = set()
        self._active_connections = 0
        self.warnings = SilenceWarnings()
        self.events = PublishedEvents()
        self._wall_clock = wall_clock

    def metrics(self) -> dict[str, Any]:
        return {
            **self.counters,
            "ActiveConnections": self._active_connections,
            "ActiveSubscriptions": len(self.registry),
            "ConnectionDuration": self._connection_ms.snapshot(),
        }

    async def accept(self, request: HttpRequest) -> WebSocketEndpoint | HttpResponse:
        """Read and check the credentials; who is refused is let in to be told so, as the service does."""
        self.counters["ConnectRequests"] += 1
        try:
            connect = read_connect_request(request.raw_query, offered_subprotocols(request), request.headers)
        except HandshakeRefused as refused:
            return self._refused(refused.errors, refused.subprotocol, request)
        source_ip = _source_ip(request)
        try:
            caller = self.authenticate(connect.header, "connect", _CONNECT_BODY, source_ip)
            if not isinstance(caller, GraphQLCaller):
                caller = await caller
        except RequestError as error:
            refusal = {"errorType": error.error_type or "UnauthorizedException", "message": error.message}
            return self._refused([{**refusal, "errorCode": 401}], "graphql-ws", request)
        logger.info("real-time connection of %s with %s", request.peer, caller.mode)
        return RealtimeEndpoint(self, connect, source_ip)

    def publish(self, published: Published) -> int:
        """Deliver a completed mutation field to its subscribers; returns how many got it."""
        self.events.add(published, self._wall_clock())
        if not self.registry.has_subscribers(published.mutation_field):
            return 0
        count = 0
        fields: set[str] = set()
        self.warnings.check_filters(published, self.registry.filter_paths(published.mutation_field))
        for delivery in self.registry.match(published.mutation_field, published.response):
            if len(delivery.payload) > MAX_EVENT_BYTES:
                # The service drops silently: the publisher sees success and the subscribers nothing.
                self.counters["InboundMessageError"] += 1
                self.warnings.tell_dropped(published, len(delivery.payload))
            else:
                count += _deliver(delivery)
                fields.add(delivery.cohort.field_name)
                self._meter(delivery.cohort, len(delivery.payload))
                self.warnings.check_selection(published, delivery.cohort)
        # The service counts one inbound message for each subscription field a mutation reaches.
        self.counters["InboundMessageSuccess"] += len(fields)
        return count

    def invalidate(self, subscription_field: str, payload: Any) -> int:
        """End the subscriptions whose invalidation filter passes, and their connections; returns how many."""
        invalidated = self.registry.invalidated(subscription_field, payload)
        for subscription in invalidated:
            subscription.connection.end(subscription.subscription_id)
        for subscription in invalidated:
            subscription.connection.close(CloseCode.NORMAL, "Subscription complete.")
        self.counters["InvalidationRequestSuccess"] += 1
        self.counters["InvalidationSuccess"] += len(invalidated)
        return len(invalidated)

    async def close(self) -> None:
        """End starts that still wait for their resolvers; called when the servers have stopped."""
        self.timers.close()
        tasks = tuple(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def connection_opened(self) -> None:
        self._active_connections += 1
        self.counters["ConnectSuccess"] += 1

    def connection_closed(self, lasted_s: float) -> None:
        self._connection_ms.add(lasted_s * 1000)
        self._active_connections -= 1
        self.counters["DisconnectSuccess"] += 1

    def _refused(
        self, errors: list[dict[str, Any]], subprotocol: str | None, request: HttpRequest
    ) -> WebSocketEndpoint:
        logger.info("refused a real-time connection of %s: %s", request.peer, errors[0]["message"])
        self.counters["ConnectClientError"] += 1
        return RefusedEndpoint(errors, subprotocol, self.websocket_limits)

    def _meter(self, cohort: "Cohort[RealtimeEndpoint]", size_bytes: int) -> None:
        subscribers = len(cohort.heads)
        counters = self.counters
        counters["PublishDataMessageSuccess"] += subscribers
        counters["PublishDataMessageSize"] += subscribers * size_bytes
        counters["OutboundMessages"] += subscribers * -(-size_bytes // _METERED_BYTES)


def _deliver(delivery: "Delivery[RealtimeEndpoint]") -> int:
    """Queue one frame for each subscription of a cohort. Measured by bench/appsync.py (S1)."""
    heads = delivery.cohort.heads
    tail = delivery.payload + b"}"
    tail_bytes = len(tail)
    headers: dict[int, bytes] = {}
    for subscription, head in heads.items():
        size = len(head) + tail_bytes
        header = headers.get(size)
        if header is None:
            header = headers[size] = frame_header(Opcode.TEXT, size)
        subscription.connection.send_frame(b"".join((header, head, tail)))
    return len(heads)


class RealtimeEndpoint:
    """One accepted connection and its subscriptions."""

    __slots__ = (
        "_connection",
        "_custom_headers",
        "_opened_at",
        "_realtime",
        "_sender",
        "_source_ip",
        "_subscriptions",
        "send_frame",
    )

    def __init__(self, realtime: AppSyncRealtime, connect: ConnectRequest, source_ip: tuple[str, ...]) -> None:
        self._realtime = realtime
        self._custom_headers = connect.custom_headers
        self._source_ip = source_ip
        self._subscriptions: dict[str, Subscription[RealtimeEndpoint]] = {}
        self._connection: RealtimeConnection | None = None
        self._sender: WebSocketSender | None = None
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
        now = self._opened_at = asyncio.get_running_loop().time()
        self._sender = sender
        self.send_frame = sender.send_frames
        self._connection = RealtimeConnection(self._realtime.limits, now)
        self._realtime.connection_opened()
        self._realtime.timers.add(self, now)

    def on_text(self, text: str) -> None:
        connection = self._connection
        if connection is None:
            return
        loop = asyncio.get_running_loop()
        for event in connection.receive(text, loop.time()):
            if isinstance(event, StopRequested):
                self._forget(event.subscription_id)
                self._realtime.counters["UnsubscribeSuccess"] += 1
            else:
                self._start(connection, event, loop)
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
            self._realtime.connection_closed(asyncio.get_running_loop().time() - self._opened_at)
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
            headers = request_headers(start.authorization, self._custom_headers)
            setup = realtime.run_resolver(prepared, caller, headers)
            if setup is None:
                self._acknowledge(connection, start, self._subscription(start, prepared, None))
                return None
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
        if not connection.is_waiting(start):
            return
        # Registered first: an event that follows the acknowledgement at once is not missed.
        self._subscriptions[start.subscription_id] = subscription
        self._realtime.registry.add(subscription)
        connection.start_ack(start)
        self._realtime.counters["SubscribeSuccess"] += 1

    def _refuse(self, connection: RealtimeConnection, start: StartRequested, error: Exception) -> None:
        identifier, counters = start.subscription_id, self._realtime.counters
        if isinstance(error, RequestError):
            counters["SubscribeClientError"] += 1
            logger.info("refused subscription %s: %s", identifier, error.message)
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
        # An enhanced filter switches argument filtering off altogether.
        wanted = compile_filter(enhanced) if enhanced is not None else argument_filter(prepared.arguments)
        for group in wanted.groups:
            self._realtime.warnings.check_rules(prepared, group)
        self._realtime.warnings.check_rights(prepared)
        return Subscription(
            connection=self,
            subscription_id=start.subscription_id,
            field_name=prepared.field_name,
            mutation_fields=prepared.mutation_fields,
            filter=wanted,
            group_key=prepared.group_key,
            project=prepared.project,
            invalidation_filter=compile_filter(invalidation) if invalidation is not None else None,
            find_unselected=prepared.unselected_fields,
            find_fault=prepared.filter_fault,
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


def _source_ip(request: HttpRequest) -> tuple[str, ...]:
    forwarded = (part.strip() for part in request.header("x-forwarded-for").split(","))
    return (*(part for part in forwarded if part), request.peer)


def _errors_of(error: RequestError) -> list[dict[str, Any]]:
    errors = getattr(error, "errors", None)
    if isinstance(errors, list) and errors:
        return errors
    entry: dict[str, Any] = {}
    if error.error_type is not None:
        entry["errorType"] = error.error_type
    entry["message"] = error.message
    if error.data is not None:
        entry["data"] = error.data
    if error.error_info is not None:
        entry["errorInfo"] = error.error_info
    return [entry]
