"""Flow 8/8: serve AppSync subscriptions over WebSocket and deliver what mutations publish."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from headwater.auth.appsync import source_ip_of
from headwater.auth.authorizer import SignatureRefused
from headwater.errors import RequestError
from headwater.realtime.connection import MAX_EVENT_BYTES, MessageRefused, RealtimeLimits
from headwater.realtime.explanation import PublishedEvents
from headwater.realtime.handshake import SUBPROTOCOL, HandshakeRefused, read_connect_request
from headwater.realtime.rates import RateWindow
from headwater.realtime.registry import Cohort, Delivery, SubscriptionRegistry
from headwater.realtime.silence import SilenceWarnings
from headwater.realtime.websocket_frames import CloseCode, Opcode, frame_header
from headwater.server.appsync.endpoint import (
    Authenticate,
    Prepare,
    RealtimeEndpoint,
    RefusedEndpoint,
    RunResolver,
    TimerWheel,
)
from headwater.server.appsync.log import Statistic, SubscriptionLog
from headwater.server.http.websocket import WebSocketEndpoint, WebSocketLimits, offered_subprotocols
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.identity import GraphQLCaller

logger = logging.getLogger(__name__)

_CONNECT_BODY = "{}"
_METERED_BYTES = 5 * 1024
_LIMIT_EXCEEDED = {"errorType": "LimitExceededError", "message": "Rate limit exceeded", "errorCode": 429}
# Protocol errors of the client.
_CLIENT_FAULTS = frozenset(
    {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.INVALID_DATA,
        CloseCode.POLICY_VIOLATION,
        CloseCode.MESSAGE_TOO_BIG,
    }
)
# Source: AppSync Developer Guide, "Real-time subscriptions" of the CloudWatch metrics. Those that stay 0 are of faults
# and quotas of the service that do not exist here.
_METRICS = (
    "ConnectRequests",
    "ConnectSuccess",
    "ConnectClientError",
    "ConnectServerError",
    "DisconnectSuccess",
    "DisconnectClientError",
    "DisconnectServerError",
    "SubscribeSuccess",
    "SubscribeClientError",
    "SubscribeServerError",
    "UnsubscribeSuccess",
    "UnsubscribeClientError",
    "UnsubscribeServerError",
    "PublishDataMessageSuccess",
    "PublishDataMessageClientError",
    "PublishDataMessageServerError",
    "PublishDataMessageSize",
    "OutboundMessages",
    "InboundMessageSuccess",
    "InboundMessageError",
    "InboundMessageFailure",
    "InboundMessageDelayed",
    "InboundMessageDropped",
    "InvalidationSuccess",
    "InvalidationRequestSuccess",
    "InvalidationRequestError",
    "InvalidationRequestFailure",
    "InvalidationRequestDropped",
)


class Published(Protocol):
    """A completed mutation field; `response` and `selected`, the tree of what it selected, have real field names."""

    @property
    def mutation_field(self) -> str: ...

    @property
    def response(self) -> Any: ...

    @property
    def selected(self) -> Mapping[str, Any]: ...


class AppSyncRealtime:
    """The real-time side of one API: accepts connections, keeps subscriptions, delivers and invalidates.

    `counters` are named as the CloudWatch metrics of the service and only rise; `metrics()` adds the current counts.
    `following` has the subscription fields that follow a mutation field. `log` is there where the API has one.
    """

    def __init__(
        self,
        *,
        authenticate: Authenticate,
        prepare: Prepare,
        run_resolver: RunResolver,
        following: Mapping[str, Sequence[str]],
        limits: RealtimeLimits | None = None,
        websocket_limits: WebSocketLimits | None = None,
        wall_clock: Callable[[], float] = time.time,
        log: SubscriptionLog | None = None,
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
        self._connects = RateWindow(self.limits.max_connects_per_s)
        self._inbound = RateWindow(self.limits.max_inbound_per_s)
        self._invalidations = RateWindow(self.limits.max_invalidations_per_s)
        self.warnings = SilenceWarnings()
        self.events = PublishedEvents()
        self.log = log
        self._following = following
        self._wall_clock = wall_clock

    def metrics(self) -> dict[str, Any]:
        return {
            **dict.fromkeys(_METRICS, 0),
            **self.counters,
            "ActiveConnections": self._active_connections,
            "ActiveSubscriptions": len(self.registry),
            "ConnectionDuration": self._connection_ms.snapshot(),
        }

    async def accept(self, request: HttpRequest) -> WebSocketEndpoint | HttpResponse:
        """Read and check the credentials; who is refused is let in to be told so, as the service does."""
        self.counters["ConnectRequests"] += 1
        offered = offered_subprotocols(request)
        is_over = self._connects.exceeds(self._wall_clock())
        if is_over and self._applies(self._connects, "real-time connections", "AWS would refuse some"):
            return self._refused([_LIMIT_EXCEEDED], SUBPROTOCOL, request)
        try:
            connect = read_connect_request(request.raw_query, offered, request.headers)
        except HandshakeRefused as refused:
            if refused.subprotocol is None:
                self.warnings.tell_other_protocol([one for one in offered if not one.startswith("header-")])
            return self._refused(refused.errors, refused.subprotocol, request)
        if connect.lacks_payload:
            self.warnings.tell_missing_payload()
        source_ip = source_ip_of(request)
        try:
            caller = self.authenticate(connect.header, "connect", _CONNECT_BODY, source_ip)
            if not isinstance(caller, GraphQLCaller):
                caller = await caller
        except SignatureRefused as error:
            refusal = {"errorType": "BadRequestException", "message": error.explanation, "errorCode": 400}
            return self._refused([refusal], SUBPROTOCOL, request)
        except RequestError as error:
            refusal = {"errorType": error.error_type or "UnauthorizedException", "message": error.message}
            return self._refused([{**refusal, "errorCode": 401}], SUBPROTOCOL, request)
        except Exception:
            # A connection that is refused with a status would hide from its client that the fault is not its own.
            logger.exception("a real-time connection of %s failed", request.peer)
            self.counters["ConnectServerError"] += 1
            failure = {"errorType": "InternalFailure", "message": "Internal failure.", "errorCode": 500}
            return RefusedEndpoint([failure], SUBPROTOCOL, self.websocket_limits)
        logger.info("real-time connection of %s with %s", request.peer, caller.mode)
        return RealtimeEndpoint(self, connect, source_ip)

    def publish(self, published: Published) -> int:
        """Deliver a completed mutation field to its subscribers; returns how many got it."""
        now = self._wall_clock()
        self.events.add(published, now)
        # The service counts one inbound message for each subscription field that follows the mutation.
        inbound = len(self._following.get(published.mutation_field, ()))
        is_over = self._inbound.exceeds(now, inbound)
        if is_over and self._applies(self._inbound, "inbound messages", "AWS would delay or drop some"):
            self.counters["InboundMessageDropped"] += inbound
            return 0
        if not self.registry.has_subscribers(published.mutation_field):
            self.counters["InboundMessageSuccess"] += inbound
            return 0
        count = 0
        dropped: set[str] = set()
        self.warnings.check_filters(published, self.registry.filter_paths(published.mutation_field))
        for delivery in self.registry.match(published.mutation_field, published.response):
            if len(delivery.payload) > MAX_EVENT_BYTES:
                # The service drops silently: the publisher sees success and the subscribers nothing.
                dropped.add(delivery.cohort.projection.field_name)
                self.warnings.tell_dropped(published, len(delivery.payload))
            else:
                count += _deliver(delivery)
                self._meter(delivery.cohort, len(delivery.payload))
                self.warnings.check_selection(published, delivery.cohort)
        self.counters["InboundMessageSuccess"] += inbound - len(dropped)
        self.counters["InboundMessageError"] += len(dropped)
        return count

    def invalidate(self, subscription_field: str, payload: Any) -> int:
        """End the subscriptions whose invalidation filter passes, and their connections; returns how many."""
        is_over = self._invalidations.exceeds(self._wall_clock())
        if is_over and self._applies(self._invalidations, "invalidations", "AWS would drop some"):
            self.counters["InvalidationRequestDropped"] += 1
            return 0
        invalidated = self.registry.invalidated(subscription_field, payload)
        for subscription in invalidated:
            subscription.connection.end(subscription.subscription_id)
        for subscription in invalidated:
            subscription.connection.close(CloseCode.NORMAL, "Subscription complete.")
        self.counters["InvalidationRequestSuccess"] += 1
        self.counters["InvalidationSuccess"] += len(invalidated)
        return len(invalidated)

    def _applies(self, window: RateWindow, what: str, consequence: str) -> bool:
        """Whether a quota that is exceeded holds; where quotas are observed it is told once."""
        if not self.limits.enforces_rates:
            self.warnings.tell_quota(what, window.limit, consequence)
        return self.limits.enforces_rates

    def refuse_invalidation(self, subscription_field: str) -> None:
        """A mutation asked for the end of subscriptions to a field that the schema has not."""
        self.counters["InvalidationRequestError"] += 1
        self.warnings.tell_unknown_field(subscription_field)

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

    def connection_closed(self, code: int, lasted_s: float) -> None:
        """A connection ended with a close code; 1006 is one that was cut."""
        if code == self.websocket_limits.slow_reader_code:
            queued = self.websocket_limits.max_queued_bytes
            logger.warning("a real-time client that did not read was dropped with %d bytes waiting for it", queued)
        self._connection_ms.add(lasted_s * 1000)
        self._active_connections -= 1
        self.counters["DisconnectClientError" if code in _CLIENT_FAULTS else "DisconnectSuccess"] += 1

    def message_refused(self, refused: MessageRefused) -> None:
        """A message was answered with an error at once."""
        if refused.kind == "start":
            self.counters["SubscribeClientError"] += 1
        elif refused.kind == "stop":
            self.counters["UnsubscribeClientError"] += 1
        self.warnings.tell_refused_message(refused.kind, refused.reason)

    def _refused(
        self, errors: list[dict[str, Any]], subprotocol: str | None, request: HttpRequest
    ) -> WebSocketEndpoint:
        # What should have been signed has the client's session token.
        logger.info("refused a real-time connection of %s: %s", request.peer, errors[0]["message"].partition("\n")[0])
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
    known_size, header = -1, b""
    for subscription, head in heads.items():
        size = len(head) + tail_bytes
        if size != known_size:
            # The ids of most clients have one length.
            known_size, header = size, frame_header(Opcode.TEXT, size)
        subscription.connection.send_frame(b"".join((header, head, tail)))
    return len(heads)
