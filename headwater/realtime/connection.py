"""AppSync's real-time protocol on one connection, from message text to message text, without a socket.

Source: AppSync Developer Guide, "Building a real-time WebSocket client"; error shapes are those seen on the service.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Any, Literal

import msgspec
import orjson

from headwater.realtime.handshake import lower_case_header
from headwater.realtime.rates import RateWindow
from headwater.values.json_text import parse_json

CONNECTION_TIMEOUT_MS = 300_000
MAX_EVENT_BYTES = 240 * 1024

KEEP_ALIVE = '{"type":"ka"}'
_ACK = f'{{"type":"connection_ack","payload":{{"connectionTimeoutMs":{CONNECTION_TIMEOUT_MS}}}}}'


@dataclass(frozen=True, slots=True)
class RealtimeLimits:
    """Quotas and times of an API's connections; None switches a quota off.

    `keep_alive_s` leaves room for a coarse timer: clients count on one frame a minute. With `uses_object_errors` a
    rate error carries an object instead of a list, the form that only the Swift client reads. Without
    `enforces_rates` a client that starts too fast is served, and `has_exceeded_rate` of its connection tells. The
    last three are for the whole API.
    """

    max_subscriptions: int | None = 200
    max_starts_per_s: int | None = None
    keep_alive_s: float = 59.0
    init_timeout_s: float | None = 300.0
    lifetime_s: float = 24 * 3600.0
    uses_object_errors: bool = False
    enforces_rates: bool = True
    max_connects_per_s: int | None = None
    max_inbound_per_s: int | None = None
    max_invalidations_per_s: int | None = None


class StartRequested(msgspec.Struct, eq=False):
    """The client subscribes. `data` is the exact text its signature covers, `authorization` its credentials.

    A log sets `request_id` and `began_at`, in epoch seconds.
    """

    subscription_id: str
    query: str
    variables: dict[str, Any]
    operation_name: str | None
    data: str
    authorization: Mapping[str, str]
    request_id: str = ""
    began_at: float = 0.0


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The client ended a subscription; `complete` is already queued."""

    subscription_id: str


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A message that is answered with an error at once; `reason` tells a developer what AppSync's answer does not."""

    kind: Literal["start", "stop", "message"]
    reason: str


Event = StartRequested | StopRequested | MessageRefused


class _State(IntEnum):
    OPEN = auto()
    READY = auto()
    CLOSED = auto()


class RealtimeConnection:
    """One authenticated connection. A `start` is answered later by `start_ack` or `error` with its id."""

    __slots__ = (
        "_expires_at",
        "_init_deadline",
        "_keep_alive_at",
        "_limits",
        "_outgoing",
        "_pending",
        "_starts",
        "_state",
        "closing",
        "has_exceeded_rate",
    )

    def __init__(self, limits: RealtimeLimits, now: float) -> None:
        self.closing: tuple[int, str] | None = None
        self.has_exceeded_rate = False
        self._limits = limits
        self._state = _State.OPEN
        self._outgoing: list[str] = []
        # A subscription is in here from `start` on, with the request until it is answered. Ids may be used again
        # while an earlier request is still being decided, so the answer names the request, not the id.
        self._pending: dict[str, StartRequested | None] = {}
        self._starts = RateWindow(limits.max_starts_per_s)
        self._keep_alive_at = now + limits.keep_alive_s
        self._expires_at = now + limits.lifetime_s
        self._init_deadline = None if limits.init_timeout_s is None else now + limits.init_timeout_s

    @property
    def subscription_ids(self) -> tuple[str, ...]:
        return tuple(self._pending)

    # the client's side

    def receive(self, text: str, now: float) -> list[Event]:
        """Take one message; what needs no decision is answered at once. Malformed messages are answered, not fatal."""
        if self._state is _State.CLOSED:
            return []
        start = _read_start(text)
        if start is not None:
            self._init_deadline = None
            return self._take_start(start, now)
        try:
            message = parse_json(text)
        except ValueError:
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        name = kind if isinstance(kind, str) else ""
        transition = _TRANSITIONS.get((self._state, name))
        if transition is None:
            return self._unsupported("message", _OTHER_PROTOCOL if name in _OTHER_TYPES else _NO_MESSAGE)
        self._init_deadline = None
        return transition(self, message, now)

    def _on_init(self, message: Mapping[str, Any], now: float) -> list[Event]:
        self._state = _State.READY
        self._outgoing += (_ACK, KEEP_ALIVE)
        self._keep_alive_at = now + self._limits.keep_alive_s
        return []

    def _on_start(self, message: Mapping[str, Any], now: float) -> list[Event]:
        start = _parse_start(message)
        if start is None:
            return self._unsupported("start", _NO_START)
        return self._take_start(start, now)

    def _take_start(self, start: StartRequested, now: float) -> list[Event]:
        identifier = start.subscription_id
        limit = self._limits.max_subscriptions
        if identifier in self._pending:
            text = "Duplicated operation with id"
            self._error(identifier, [{"errorType": "DuplicatedOperationError", "message": f"{text} {identifier}"}])
        elif limit is not None and len(self._pending) >= limit:
            text = f"Max number of {limit} subscriptions reached"
            self._error(identifier, {"errorType": "MaxSubscriptionsReachedError", "message": text})
        elif self._exceeds_rate(now):
            text = "Rate limit exceeded"
            error = {"errorType": "LimitExceededError", "message": text}
            self._error(None, error if self._limits.uses_object_errors else [error])
        elif not start.authorization:
            text = "Valid authorization header not provided."
            self._error(identifier, [{"errorType": "UnauthorizedException", "message": text}])
        else:
            self._pending[identifier] = start
            return [start]
        return [MessageRefused("start", text)]

    def _on_stop(self, message: Mapping[str, Any], now: float) -> list[Event]:
        identifier = message.get("id")
        if not isinstance(identifier, str):
            return self._unsupported("stop", _NO_STOP)
        was_started = identifier in self._pending
        self._pending.pop(identifier, None)
        self._send({"id": identifier, "type": "complete"})
        return [StopRequested(identifier)] if was_started else []

    def _exceeds_rate(self, now: float) -> bool:
        if not self._starts.exceeds(now):
            return False
        self.has_exceeded_rate = not self._limits.enforces_rates
        return self._limits.enforces_rates

    # the server's side

    def is_waiting(self, start: StartRequested) -> bool:
        """Whether a `start` is still to be answered; false when the client stopped it or is gone."""
        return self._pending.get(start.subscription_id) is start

    def start_ack(self, start: StartRequested) -> bool:
        """Answer a `start`; false if it is not waiting any more."""
        identifier = start.subscription_id
        if self._pending.get(identifier) is not start:
            return False
        self._pending[identifier] = None
        self._outgoing.append(f'{{"id":{orjson.dumps(identifier).decode()},"type":"start_ack"}}')
        return True

    def refuse_start(self, start: StartRequested, errors: Sequence[Mapping[str, Any]]) -> None:
        """Answer a `start` with errors. An operation that is no subscription is answered without its id."""
        if not self.is_waiting(start):
            return
        del self._pending[start.subscription_id]
        if any(error.get("errorType") == "UnsupportedOperation" for error in errors):
            self._unsupported("start", "")
        else:
            self._error(start.subscription_id, list(errors))

    def data(self, subscription_id: str, payload: str) -> bool:
        """Send an event, `payload` being JSON; false if it is not sent: too large, or not subscribed."""
        is_active = subscription_id in self._pending and self._pending[subscription_id] is None
        if not is_active or len(payload.encode()) > MAX_EVENT_BYTES:
            return False
        identifier = orjson.dumps(subscription_id).decode()
        self._outgoing.append(f'{{"id":{identifier},"type":"data","payload":{payload}}}')
        return True

    def complete(self, subscription_id: str) -> None:
        """End a subscription from the server's side."""
        if subscription_id in self._pending:
            del self._pending[subscription_id]
            self._send({"id": subscription_id, "type": "complete"})

    def refuse_connection(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Tell why the connection is not accepted, and close."""
        self._send({"type": "connection_error", "payload": {"errors": list(errors)}})
        self.close(1000, "")

    def close(self, code: int, reason: str) -> None:
        if self.closing is None:
            self.closing = (code, reason)
        self._state = _State.CLOSED
        self._pending = {}

    def outgoing(self) -> list[str]:
        """Messages to write, in order; empties the queue. `closing` tells whether to close behind them."""
        messages, self._outgoing = self._outgoing, []
        return messages

    # time

    def next_timeout(self) -> float | None:
        """When to call `tick`."""
        if self._state is _State.CLOSED:
            return None
        timeout = min(self._keep_alive_at, self._expires_at)
        return timeout if self._init_deadline is None else min(timeout, self._init_deadline)

    def tick(self, now: float) -> None:
        if self._state is _State.CLOSED:
            return
        if now >= self._expires_at:
            self.close(1001, "connections last at most 24 hours")
        elif self._init_deadline is not None and now >= self._init_deadline:
            self.close(1008, "connection_init did not arrive in time")
        elif now >= self._keep_alive_at:
            self._outgoing.append(KEEP_ALIVE)
            self._keep_alive_at = now + self._limits.keep_alive_s

    # messages

    def _send(self, message: Mapping[str, Any]) -> None:
        self._outgoing.append(orjson.dumps(message).decode())

    def _error(self, subscription_id: str | None, errors: Any) -> None:
        message: dict[str, Any] = {} if subscription_id is None else {"id": subscription_id}
        self._send({**message, "type": "error", "payload": {"errors": errors}})

    def _unsupported(self, kind: Literal["start", "stop", "message"], reason: str) -> list[Event]:
        text = "unknown not supported through the realtime channel"
        self._error(None, [{"errorType": "UnsupportedOperation", "message": text}])
        return [MessageRefused(kind, reason)]


_NO_MESSAGE = "it is no JSON object of type connection_init, start or stop"
_OTHER_PROTOCOL = (
    "it is of the protocol graphql-transport-ws (urql, Apollo's GraphQLWsLink); AppSync speaks an older one, "
    "graphql-ws, for which there are Amplify and aws-appsync-subscription-link"
)
_OTHER_TYPES = frozenset({"subscribe", "complete", "ping", "pong"})
_NO_START = (
    "a start has an id, the operation as JSON text in payload.data, with query and variables, and the credentials in "
    "payload.extensions.authorization"
)
_NO_STOP = "a stop has the id of a subscription"


class _Extensions(msgspec.Struct, forbid_unknown_fields=True):
    authorization: dict[str, str]


class _StartPayload(msgspec.Struct, forbid_unknown_fields=True):
    data: str
    extensions: _Extensions


class _Start(msgspec.Struct, forbid_unknown_fields=True):
    """A `start` message as clients send it."""

    id: str
    type: Literal["start"]
    payload: _StartPayload


_START_DECODER = msgspec.json.Decoder(_Start)


def _read_start(text: str) -> StartRequested | None:
    """The `start` in a message; None for what has to be looked at member by member, which costs 1 us more."""
    try:
        message = _START_DECODER.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None
    authorization = message.payload.extensions.authorization
    for name in authorization:
        if not name.islower():
            authorization = lower_case_header(authorization)
            break
    return _start(message.id, message.payload.data, authorization)


def _parse_start(message: Mapping[str, Any]) -> StartRequested | None:
    """A `start` message; None if it has another shape, e.g. Apollo's old `payload.query`."""
    identifier, payload = message.get("id"), message.get("payload")
    data = payload.get("data") if isinstance(payload, dict) else None
    if not isinstance(identifier, str) or not isinstance(payload, dict) or not isinstance(data, str):
        return None
    extensions = payload.get("extensions")
    authorization = extensions.get("authorization") if isinstance(extensions, dict) else None
    return _start(identifier, data, lower_case_header(authorization) if isinstance(authorization, dict) else {})


def _start(identifier: str, data: str, authorization: Mapping[str, str]) -> StartRequested | None:
    """The `start` of the operation in `data`; None if that has another shape."""
    try:
        operation = parse_json(data)
    except ValueError:
        return None
    if not isinstance(operation, dict) or not isinstance(operation.get("query"), str):
        return None
    variables, name = operation.get("variables"), operation.get("operationName")
    if variables is not None and not isinstance(variables, dict):
        return None
    return StartRequested(
        identifier, operation["query"], variables or {}, name if isinstance(name, str) else None, data, authorization
    )


_Transition = Callable[[RealtimeConnection, Mapping[str, Any], float], list[Event]]

# `connection_init` is optional on the service: a client may start at once. Sent again it is acknowledged again.
_TRANSITIONS: Mapping[tuple[_State, str], _Transition] = {
    (_State.OPEN, "connection_init"): RealtimeConnection._on_init,
    (_State.OPEN, "start"): RealtimeConnection._on_start,
    (_State.OPEN, "stop"): RealtimeConnection._on_stop,
    (_State.READY, "connection_init"): RealtimeConnection._on_init,
    (_State.READY, "start"): RealtimeConnection._on_start,
    (_State.READY, "stop"): RealtimeConnection._on_stop,
}
