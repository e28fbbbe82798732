"""What the platform itself writes into a function's log, in Lambda's text format and in its JSON format.

Source: Lambda developer guide, "Working with Lambda function logs", "Log-level filtering" and "Telemetry API Event
schema reference".
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

Status = Literal["success", "timeout", "error"]
_LEVELS = ("DEBUG", "INFO", "WARN")


@dataclass(frozen=True, slots=True)
class Report:
    """The accounts of one invocation; `init_ms` is None unless the environment started for it."""

    request_id: str
    duration_ms: float
    memory_mb: int
    used_bytes: int
    init_ms: float | None = None
    status: Status = "success"
    error_type: str = ""

    @property
    def billed_ms(self) -> int:
        return max(1, -int(-self.duration_ms // 1))

    @property
    def used_mb(self) -> int:
        return self.used_bytes // 1_048_576


class PlatformLines(Protocol):
    """One format; a line that is not written in it is None."""

    def start(self, request_id: str, version: str) -> str | None: ...

    def fault(self, text: str) -> str | None:
        """The platform's own words about a timeout or the end of a process."""
        ...

    def end(self, report: Report) -> str | None: ...

    def report(self, report: Report) -> str | None: ...

    def init_report(self, init_ms: float, status: Status, error_type: str) -> str | None:
        """The end of an initialization that failed."""
        ...


class TextLines:
    """START, END and REPORT."""

    def start(self, request_id: str, version: str) -> str | None:
        return f"START RequestId: {request_id} Version: {version}"

    def fault(self, text: str) -> str | None:
        return text

    def end(self, report: Report) -> str | None:
        return f"END RequestId: {report.request_id}"

    def report(self, report: Report) -> str | None:
        fields = [
            f"REPORT RequestId: {report.request_id}",
            f"Duration: {report.duration_ms:.2f} ms",
            f"Billed Duration: {report.billed_ms} ms",
            f"Memory Size: {report.memory_mb} MB",
            f"Max Memory Used: {report.used_mb} MB",
        ]
        if report.init_ms is not None:
            fields.append(f"Init Duration: {report.init_ms:.2f} ms")
        if report.status != "success":
            fields.append(f"Status: {report.status}")
        if report.error_type:
            fields.append(f"Error Type: {report.error_type}")
        return "\t".join(fields) + "\t"

    def init_report(self, init_ms: float, status: Status, error_type: str) -> str | None:
        fields = [f"INIT_REPORT Init Duration: {init_ms:.2f} ms", "Phase: init", f"Status: {status}"]
        return "\t".join([*fields, f"Error Type: {error_type}"] if error_type else fields)


class JsonLines:
    """Events of the telemetry schema, down to a system log level."""

    def __init__(self, clock: Callable[[], float], level: str | None) -> None:
        self._clock = clock
        self._least = _LEVELS.index(level) if level in _LEVELS else _LEVELS.index("INFO")

    def start(self, request_id: str, version: str) -> str | None:
        return self._event("INFO", "platform.start", {"requestId": request_id, "version": version})

    def fault(self, text: str) -> str | None:
        return None  # `platform.runtimeDone` says it

    def end(self, report: Report) -> str | None:
        record: dict[str, Any] = {"requestId": report.request_id, "status": report.status}
        if report.error_type:
            record["errorType"] = report.error_type
        level = "DEBUG" if report.status == "success" else "WARN"
        return self._event(level, "platform.runtimeDone", record)

    def report(self, report: Report) -> str | None:
        metrics: dict[str, Any] = {
            "durationMs": round(report.duration_ms, 3),
            "billedDurationMs": report.billed_ms,
            "memorySizeMB": report.memory_mb,
            "maxMemoryUsedMB": report.used_mb,
        }
        if report.init_ms is not None:
            metrics["initDurationMs"] = round(report.init_ms, 3)
        record = {"requestId": report.request_id, "metrics": metrics, "status": report.status}
        if report.error_type:
            record["errorType"] = report.error_type
        return self._event("INFO" if report.status == "success" else "WARN", "platform.report", record)

    def init_report(self, init_ms: float, status: Status, error_type: str) -> str | None:
        record: dict[str, Any] = {
            "initializationType": "on-demand",
            "phase": "init",
            "status": status,
            "metrics": {"durationMs": round(init_ms, 3)},
        }
        if error_type:
            record["errorType"] = error_type
        return self._event("WARN", "platform.initReport", record)

    def _event(self, level: str, kind: str, record: dict[str, Any]) -> str | None:
        if _LEVELS.index(level) < self._least:
            return None
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps({"time": moment, "type": kind, "record": record})
