"""The log of an API, line by line as AppSync writes it to the log group `/aws/appsync/apis/<id>`.

Source: AppSync Developer Guide, "Using CloudWatch to monitor and log GraphQL API data". The names and members of the
lines on handlers are inferred: the guide shows those of mapping templates only.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Protocol

import orjson

MAX_LINES: Final = 10_000
MAX_BYTES: Final = 32 * 1024 * 1024
# CloudWatch's limit of one event.
MAX_LINE_CHARACTERS: Final = 262_144
# "AWS AppSync will send up to 1 MB of logs per request. Logs exceeding this size will be truncated."
MAX_REQUEST_BYTES: Final = 1024 * 1024
# What a JSON line is reckoned with until somebody reads it.
_JSON_LINE_BYTES: Final = 400
_REQUESTS_UNDER_WAY: Final = 1_000
_HIDDEN_HEADERS: Final = frozenset({"authorization", "x-api-key", "x-amz-security-token", "cookie"})
# console.log says INFO, the others DEBUG and ERROR.
_LEVEL_OF_MESSAGE: Final = {"ERROR": 1, "INFO": 2, "DEBUG": 3}


class FieldLogLevel(IntEnum):
    """`LogConfig.FieldLogLevel`; each level has what those below it have."""

    NONE = 0
    ERROR = 1
    INFO = 2
    DEBUG = 3
    ALL = 4


@dataclass(frozen=True, slots=True)
class LogSettings:
    """An API's `LogConfig`; `is_verbose` adds headers, queries and what handlers made of their contexts."""

    level: FieldLogLevel = FieldLogLevel.NONE
    is_verbose: bool = False


class Outcome(Protocol):
    """What a handler came to."""

    @property
    def result(self) -> Any: ...

    @property
    def error(self) -> Any: ...

    @property
    def logs(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line with its place in the order of arrival, from 1."""

    number: int
    epoch_ms: int
    message: str


class ApiLog:
    """A ring of lines. What is not read is not formatted: most lines of a busy API are never looked at."""

    def __init__(self, api_arn: str, settings: LogSettings, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self._clock = clock
        self._api_arn = api_arn
        self._api_id = api_arn.rpartition("/")[2]
        self._lines: deque[tuple[int, float, str, str | dict[str, Any]]] = deque()
        self._bytes = 0
        # The bytes of the requests that wrote last, the longest silent one in front.
        self._request_bytes: dict[str, int] = {}
        self._number = 0
        self._arrived: asyncio.Event | None = None

    @property
    def last_number(self) -> int:
        return self._number

    def write(self, now: float, request_id: str, line: str | dict[str, Any]) -> None:
        """Keep a line of text, or the members of a JSON line; `now` is in epoch seconds.

        What a request writes beyond 1 MB is dropped.
        """
        if isinstance(line, str):
            line = line[:MAX_LINE_CHARACTERS]
        size = _size(line)
        written = self._request_bytes.pop(request_id, 0) + size
        self._request_bytes[request_id] = written
        if len(self._request_bytes) > _REQUESTS_UNDER_WAY:
            del self._request_bytes[next(iter(self._request_bytes))]
        if written > MAX_REQUEST_BYTES:
            return
        self._number += 1
        self._lines.append((self._number, now, request_id, line))
        self._bytes += size
        while len(self._lines) > MAX_LINES or self._bytes > MAX_BYTES:
            self._bytes -= _size(self._lines.popleft()[3])
        if self._arrived is not None:
            self._arrived.set()

    def write_headers(self, now: float, request_id: str, what: str, headers: Mapping[str, Any]) -> None:
        """`Request Headers` or `Response Headers`, with keys and tokens hidden."""
        shown = ", ".join(f"{name}=[{_header_text(name, value)}]" for name, value in headers.items())
        self.write(now, request_id, f"{what} Headers: {{{shown}}}")

    @property
    def wants_all(self) -> bool:
        """Whether it needs to know of each handler, and not just of those that printed or failed.

        From INFO on a verbose log has what each came to, as the guide warns those whose data is secret.
        """
        return self.wants_traces or (self.settings.is_verbose and self.settings.level >= FieldLogLevel.INFO)

    @property
    def wants_traces(self) -> bool:
        return self.settings.level is FieldLogLevel.ALL

    def resolver_arn(self, type_name: str, field_name: str) -> str:
        return f"{self._api_arn}/types/{type_name}/fields/{field_name}"

    def handler_ran(
        self, kind: str, call: Any, function: str | None, context: Mapping[str, Any], outcome: Outcome
    ) -> None:
        """Log what a handler printed, and as far as the level asks for it, what it was given and returned.

        `kind` is BeforeRequest, Request, Response or AfterResponse; `function` is the name of a pipeline's function.
        """
        level = self.settings.level
        now, request_id = self._clock(), call.request.request_id
        for message in outcome.logs:
            if _LEVEL_OF_MESSAGE.get(message.partition(" ")[0], 2) <= level:
                self.write(now, request_id, message)
        error = outcome.error
        if level is FieldLogLevel.NONE or (error is None and not self.wants_all):
            return
        line: dict[str, Any] = {"logType": f"{kind}FunctionEvaluation", "requestId": request_id}
        line |= {"graphQLAPIId": self._api_id, "path": call.path_list, "fieldName": call.field_name}
        line |= {"parentType": call.parent_type, "resolverArn": self.resolver_arn(call.parent_type, call.field_name)}
        if function is not None:
            line["functionName"] = function
        line["fieldInError"] = error is not None
        line["errors"] = [] if error is None else [error.message]
        if self.settings.is_verbose:
            line |= {"context": _without_secrets(context), "evaluationResult": outcome.result}
        # Formatted at once: contexts change afterwards.
        self.write(now, request_id, _json(line))

    def after(self, number: int) -> list[LogLine]:
        """The lines that came after a number, oldest first."""
        found = []
        for line in reversed(self._lines):
            if line[0] <= number:
                break
            found.append(line)
        return [
            LogLine(one, int(at * 1000), _message(request_id, what)) for one, at, request_id, what in reversed(found)
        ]

    async def wait_after(self, number: int, timeout_s: float) -> list[LogLine]:
        """Like `after`, but waits for the first line up to `timeout_s`."""
        if self._number <= number:
            self._arrived = asyncio.Event()
            try:
                await asyncio.wait_for(self._arrived.wait(), timeout_s)
            except TimeoutError:
                return []
        return self.after(number)


def _message(request_id: str, line: str | dict[str, Any]) -> str:
    """JSON lines name their request themselves; others begin with it."""
    if isinstance(line, dict):
        return _json(line)
    return line if line.startswith("{") else f"{request_id} {line}"


def _size(line: str | dict[str, Any]) -> int:
    return len(line) if isinstance(line, str) else _JSON_LINE_BYTES


def _header_text(name: str, value: Any) -> str:
    if name.lower() in _HIDDEN_HEADERS:
        return "****"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _without_secrets(context: Mapping[str, Any]) -> dict[str, Any]:
    request = context.get("request")
    headers = request.get("headers") if isinstance(request, Mapping) else None
    if not isinstance(request, Mapping) or not isinstance(headers, Mapping):
        return dict(context)
    shown = {name: "****" if name in _HIDDEN_HEADERS else value for name, value in headers.items()}
    return {**context, "request": {**request, "headers": shown}}


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()
