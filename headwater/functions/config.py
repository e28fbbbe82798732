"""What a function is, what an invocation gives back, and how the names of a function are read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from headwater.errors import ServiceError

LATEST = "$LATEST"
_PLACE = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
)
# The service's own patterns (recorded): of a reference to a function, of a new function's name, of a qualifier.
REFERENCE_PATTERN = _PLACE + r"([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
NEW_NAME_PATTERN = _PLACE + r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
QUALIFIER_PATTERN = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
# A qualifier of its own may hold what one within a name may not.
_REFERENCE = re.compile(
    r"(?:arn:(?:aws[a-zA-Z-]*)?:lambda:)?(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?(?P<name>[a-zA-Z0-9_.-]+)(?::(?P<qualifier>[a-zA-Z0-9_.$-]+))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class EventInvokeConfig:
    """How asynchronous invocations of a function end; times in seconds, destinations are ARNs.

    Source: Lambda API Reference, PutFunctionEventInvokeConfig; defaults are Lambda's (2 retries, 6 hours).
    """

    maximum_retry_attempts: int = 2
    maximum_event_age_s: float = 21600
    on_success: str | None = None
    on_failure: str | None = None
    dead_letter: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """A function as its template states it.

    `code_dir` is the task root, `layers` are unpacked layer folders (their `python/` goes on the path).
    `reserved_concurrency` None is unreserved, 0 throttles every invocation. `aliases` maps alias names to versions,
    `alias_weights` those that share their calls to the other version and its part, 0 to 1. `versions` are those that
    run what `$LATEST` runs, as a template's do; a published version is a configuration of its own, with `version`.
    These, `event_invokes` (by qualifier) and the concurrency are looked up at `$LATEST`. With `debug_port` the function
    has one environment, under a debugger on that loopback port, and no timeout. `runtime` says what runs it,
    `runtime_name` what its template asked for.
    """

    name: str
    arn: str
    handler: str
    code_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 3
    memory_mb: int = 128
    layers: tuple[Path, ...] = ()
    reserved_concurrency: int | None = None
    runtime: Literal["python", "node"] = "python"
    runtime_name: str = "python3.12"
    role_arn: str = ""
    description: str = ""
    version: str = LATEST
    aliases: Mapping[str, str] = field(default_factory=dict)
    alias_weights: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    versions: tuple[str, ...] = ()
    event_invoke: EventInvokeConfig = EventInvokeConfig()
    event_invokes: Mapping[str, EventInvokeConfig] = field(default_factory=dict)
    log_format: Literal["Text", "JSON"] = "Text"
    log_level: str | None = None
    system_log_level: str | None = None
    log_group: str = ""
    debug_port: int | None = None

    @property
    def log_group_name(self) -> str:
        return self.log_group or f"/aws/lambda/{self.name}"

    @property
    def key(self) -> str:
        """The function and its version, unique in an instance."""
        return self.name if self.version == LATEST else f"{self.name}:{self.version}"


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """The end of one invocation; `log_tail` is the last 4 KB of its log, `payload` the response or the error JSON."""

    payload: bytes
    function_error: Literal["Unhandled", "Handled"] | None
    request_id: str
    log_tail: str
    duration_ms: float
    status_code: int = 200
    executed_version: str = LATEST


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One log line of a function; `request_id` is empty outside of an invocation."""

    function_name: str
    log_stream: str
    request_id: str
    epoch_ms: int
    message: str


LogSink = Callable[[LogEvent], None]


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function reference taken apart; parts that were not given are None."""

    name: str
    qualifier: str | None = None
    account_id: str | None = None
    region: str | None = None


def parse_function_name(reference: str) -> FunctionName:
    """Read a name, a partial ARN or an ARN, each with or without `:qualifier`.

    Raises: ServiceError ValidationException when the text is none of these.
    Source: Lambda API Reference, Invoke, "FunctionName".
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ServiceError(
            "ValidationException",
            f"1 validation error detected: Value '{reference}' at 'functionName' failed to satisfy constraint: Member "
            f"must satisfy regular expression pattern: {REFERENCE_PATTERN}",
        )
    return FunctionName(match["name"], match["qualifier"], match["account"], match["region"])
