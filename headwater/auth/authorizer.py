"""Lambda authorizers: the event they get, what their reply means, and how long it may be reused."""

import json
import logging
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import RequestError
from headwater.values.identity import GraphQLCaller

DEFAULT_TTL_S = 300.0
MAX_TTL_S = 3600.0
MAX_CACHED_REPLY_BYTES = 1_048_576
MAX_CONTEXT_BYTES = 5 * 1024 * 1024
CONNECT_OPERATION = "DeepDish:Connect"

_log = logging.getLogger(__name__)
_FIELD_ARN = re.compile(r"arn:[^:]*:appsync:[^:]*:[^:]*:apis/([^/]+)/types/([^/]+)/fields/(.+)")
_FIELD_NAME = re.compile(r"\w+\.\w+")


@dataclass(frozen=True, slots=True)
class LambdaAuthorizer:
    """The settings of an API's authorizer; `function` is a name or ARN, a TTL of 0 keeps nothing."""

    function: str
    ttl_s: float = DEFAULT_TTL_S
    identity_validation: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class AuthorizerRequest:
    """What the authorizer is told of the request; query and variables are empty at a real-time connect."""

    token: str
    api_id: str
    account_id: str
    request_id: str
    query: str = ""
    operation_name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)

    def event(self) -> dict[str, Any]:
        """Source: AppSync Developer Guide, "AWS_LAMBDA authorization"."""
        return {
            "authorizationToken": self.token,
            "requestContext": {
                "apiId": self.api_id,
                "accountId": self.account_id,
                "requestId": self.request_id,
                "queryString": self.query,
                "operationName": self.operation_name,
                "variables": dict(self.variables),
            },
            "requestHeaders": dict(self.headers),
        }


class AuthorizerCache:
    """Replies by token, at most `capacity` of them; the one used longest ago goes first."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, tuple[float, GraphQLCaller]] = OrderedDict()

    def get(self, token: str, now: float) -> GraphQLCaller | None:
        entry = self._entries.get(token)
        if entry is None:
            return None
        if now >= entry[0]:
            del self._entries[token]
            return None
        self._entries.move_to_end(token)
        return entry[1]

    def put(self, token: str, caller: GraphQLCaller, *, expires: float) -> None:
        self._entries[token] = (expires, caller)
        self._entries.move_to_end(token)
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)


class SignatureRefused(RequestError):
    """A signature that proves nothing; over HTTP that is as any other, the real-time channel gives `explanation`.

    Recorded in aws-mobile-appsync-sdk-js#561 and #750.
    """

    def __init__(self, explanation: str) -> None:
        super().__init__("You are not authorized to make this call.", "UnauthorizedException")
        self.explanation = explanation


def refused() -> RequestError:
    """The one answer to a caller that is not let in, whatever the reason was."""
    return RequestError("You are not authorized to make this call.", "UnauthorizedException")


def accept_reply(reply: Any, *, api_id: str, ttl_s: float, source_ip: Sequence[str]) -> tuple[GraphQLCaller, float]:
    """The caller an authorizer's reply lets in, and the seconds its reply may be reused.

    Raises: RequestError `UnauthorizedException` unless `isAuthorized` is true; also for nested `resolverContext`
    values, which the service does not support, and for `deniedFields` that are no list, which would deny nothing.
    """
    is_authorized = reply.get("isAuthorized") if isinstance(reply, Mapping) else None
    if not isinstance(reply, Mapping) or not isinstance(is_authorized, bool):
        _log.warning("the authorizer's reply has no isAuthorized of true or false: the caller is refused")
        raise refused()
    if not is_authorized:
        raise refused()
    context = reply.get("resolverContext") or {}
    if not isinstance(context, Mapping) or any(isinstance(v, dict | list) for v in context.values()):
        _log.warning("the authorizer's resolverContext is not a flat object: the caller is refused")
        raise refused()
    size_bytes = len(json.dumps(reply))
    if size_bytes > MAX_CONTEXT_BYTES:
        _log.warning("the authorizer's reply is above 5 MB: the caller is refused")
        raise refused()
    ttl = reply.get("ttlOverride")
    if isinstance(ttl, int | float) and not isinstance(ttl, bool):
        ttl_s = min(max(float(ttl), 0.0), MAX_TTL_S)
    if size_bytes >= MAX_CACHED_REPLY_BYTES:
        ttl_s = 0.0
    caller = GraphQLCaller(
        "AWS_LAMBDA",
        {"resolverContext": dict(context)},
        denied_fields=_denied_fields(reply.get("deniedFields"), api_id),
        source_ip=tuple(source_ip),
    )
    return caller, ttl_s


def _denied_fields(raw: Any, api_id: str) -> frozenset[str]:
    """Both forms as `Type.field`; an ARN of another API denies nothing here.

    Raises: RequestError if there are some and they are no list.
    """
    if raw is None:
        return frozenset()
    if not isinstance(raw, list):
        _log.warning("the authorizer's deniedFields are no list: the caller is refused")
        raise refused()
    denied = set()
    for entry in map(str, raw):
        arn = _FIELD_ARN.fullmatch(entry)
        if arn is not None:
            if arn[1] in (api_id, "*"):
                denied.add(f"{arn[2]}.{arn[3]}")
        elif _FIELD_NAME.fullmatch(entry):
            denied.add(entry)
        else:
            # Recorded in aws-appsync-community#272: "Mutation" and "Mutation.*" deny nothing, and nobody is told.
            _log.warning("%r in the authorizer's deniedFields denies nothing; expected Type.field or an ARN", entry)
    return frozenset(denied)
