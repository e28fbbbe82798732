"""One execution environment: a worker process, its Runtime API listener, and the invocation it runs.

States and what moves them:
    starting  -> idle (client asks for work) | stopped (init error, exit, init timeout)
    idle      -> busy (invoke) | stopped (retired, exit)
    busy      -> finishing (response or error posted) | stopped (timeout, memory limit, exit)
    finishing -> idle (client asks again) | stopped (exit)
"""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from headwater.functions.config import FunctionConfig, InvokeResult, LogSink
from headwater.functions.worker.logs import EnvironmentLog
from headwater.functions.worker.platform_lines import JsonLines, Report, Status, TextLines
from headwater.functions.worker.process import Client, WorkerProcess, environment_variables, spawn
from headwater.functions.worker.runtime_api import MAX_RESPONSE_BYTES, RuntimeChannel

INIT_LIMIT_S = 10.0
# How often a running invocation's resident memory is looked at. RLIMIT_AS would limit address space instead, which
# Lambda's cgroup does not count: a boto3 worker with 20 threads maps 1.2 GB and holds 47 MB (measured).
_WATCH_S = 0.1
# Characters of an error that is above the limit of a response; each is 12 bytes of JSON at most.
_CUT_MESSAGE = 256 * 1024
_MEMORY_SAMPLE_S = 0.25

State = Literal["starting", "idle", "busy", "finishing", "stopped"]


@dataclass(slots=True, eq=False)
class Invocation:
    """One synchronous call on its way; `future` gets its result."""

    request_id: str
    function_arn: str
    payload: bytes
    trace_header: str
    client_context: str | None
    future: "asyncio.Future[InvokeResult]" = field(repr=False)


class EnvironmentOwner(Protocol):
    """Who decides what an environment does next."""

    def environment_idle(self, environment: "ExecutionEnvironment") -> None: ...

    def environment_ended(self, environment: "ExecutionEnvironment", init_error: bytes | None) -> None:
        """`init_error` is the payload to give to an invocation if the environment never became idle."""
        ...


class ExecutionEnvironment:
    """A worker of one function; runs one invocation at a time."""

    def __init__(
        self,
        config: FunctionConfig,
        owner: EnvironmentOwner,
        *,
        region: str,
        client: Client,
        log_stream: str,
        clock: Callable[[], float],
        sink: LogSink | None,
    ) -> None:
        self.config = config
        self.state: State = "starting"
        self.is_retiring = False
        self.idle_since = 0.0
        self._owner = owner
        self._region = region
        self._client: Client = client
        self._log_stream = log_stream
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        lines = JsonLines(clock, config.system_log_level) if config.log_format == "JSON" else TextLines()
        self._log = EnvironmentLog(config.name, log_stream, clock=clock, sink=sink, version=config.version, lines=lines)
        self._server: asyncio.Server | None = None
        self._worker: WorkerProcess | None = None
        self._channel: RuntimeChannel | None = None
        self._invocation: Invocation | None = None
        self._started_at = time.perf_counter()  # uvloop's clock has whole milliseconds only
        self._init_ms: float | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._init_error: bytes | None = None
        self._kill_reason: Literal["", "timeout", "memory"] = ""
        self._max_resident = 0
        self._sampled_at = 0.0

    @property
    def process_id(self) -> int | None:
        return self._worker.process_id if self._worker else None

    async def start(self) -> None:
        """Listen, spawn and return; the owner hears when the environment is idle or has failed."""
        try:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind(("127.0.0.1", 0))
            address = "{}:{}".format(*listener.getsockname())
            self._server = await self._loop.create_server(lambda: RuntimeChannel(self), sock=listener)
            variables = environment_variables(
                self.config, region=self._region, api_address=address, log_stream=self._log_stream
            )
            self._started_at = time.perf_counter()
            self._worker = spawn(self._client, self.config, variables)
        except OSError as error:  # no such task root, or the machine is out of descriptors or processes
            self._init_error = _error_payload("Runtime.InvalidEntrypoint", f"Error: {error}")
            self._stopped()
            return
        self._loop.add_reader(self._worker.log_fd, self._log.read_from, self._worker.log_fd)
        self._worker.watch_exit(self._loop, self._exited)
        self._deadline = self._loop.time() + INIT_LIMIT_S + self.config.timeout_s
        self._timer = self._loop.call_at(self._deadline, self._watch)

    def invoke(self, invocation: Invocation) -> bool:
        """Hand over an invocation; false if the idle client turns out to be gone.

        Only in state idle.
        """
        assert self.state == "idle"
        assert self._channel is not None
        timeout_s = self.config.timeout_s if self.config.debug_port is None else 900.0
        deadline_ms = int((self._clock() + timeout_s) * 1000)
        head = (
            f"Lambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {invocation.function_arn}\r\n"
            f"Lambda-Runtime-Trace-Id: {invocation.trace_header}\r\n"
        )
        if invocation.client_context is not None:
            head += f"Lambda-Runtime-Client-Context: {invocation.client_context}\r\n"
        if not self._channel.send_invocation(head.encode("latin-1", "replace"), invocation.payload):
            return False
        self.state = "busy"
        self._invocation = invocation
        self._log.begin(invocation.request_id)
        now = self._loop.time()
        self._started_at = time.perf_counter()
        self._deadline = now + self.config.timeout_s
        self._timer = self._loop.call_at(min(self._deadline, now + _WATCH_S), self._watch)
        return True

    def fail(self, invocation: Invocation, init_error: bytes) -> None:
        """End an invocation that waited for this environment, which did not start."""
        payload, kind = _init_failure(init_error, invocation.request_id)
        tail = self._log.fail(self._report(invocation, 0.0, status="error", error_type=kind))
        invocation.future.set_result(InvokeResult(payload, "Unhandled", invocation.request_id, tail, 0.0))

    def stop(self) -> None:
        """Kill the process; a running invocation ends with Runtime.ExitError."""
        self.is_retiring = True
        if self._worker is not None:
            self._worker.kill()

    def retire(self) -> None:
        """Stop now if nothing runs, else after the running invocation."""
        self.is_retiring = True
        if self.state == "idle":
            self.stop()

    # Runtime API events

    def client_is_ready(self, channel: RuntimeChannel) -> None:
        if self.state == "starting":
            self._init_ms = (time.perf_counter() - self._started_at) * 1000
        elif self.state == "busy" or self.state == "stopped":
            return  # a client that forgets its invocation waits until the timeout, as in Lambda
        self._cancel_timer()
        self._channel = channel
        self.state = "idle"
        self.idle_since = self._loop.time()
        if self.is_retiring:
            self.stop()
            return
        self._owner.environment_idle(self)

    def is_running(self, request_id: str) -> bool:
        return self._invocation is not None and self._invocation.request_id == request_id

    def client_answered(self, payload: bytes) -> None:
        if len(payload) > MAX_RESPONSE_BYTES:
            text = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
            self._finish(_error_payload("Function.ResponseSizeTooLarge", text), error="Unhandled")
        else:
            self._finish(payload, error=None)

    def client_failed(self, payload: bytes) -> None:
        self._finish(payload if len(payload) <= MAX_RESPONSE_BYTES else _cut_error(payload), error="Unhandled")

    def client_failed_to_start(self, payload: bytes) -> None:
        self._init_error = payload

    # Endings

    def _finish(
        self,
        payload: bytes,
        *,
        error: Literal["Unhandled"] | None,
        status: Status = "success",
        error_type: str = "",
    ) -> None:
        invocation, self._invocation = self._invocation, None
        assert invocation is not None
        now = self._loop.time()
        duration_ms = (time.perf_counter() - self._started_at) * 1000
        if self.state == "busy":
            self.state = "finishing"
        if self._worker is not None and self.state != "stopped":
            if now - self._sampled_at > _MEMORY_SAMPLE_S:
                self._sample_memory(now)
            self._log.read_from(self._worker.log_fd)
        tail = self._log.end(self._report(invocation, duration_ms, status=status, error_type=error_type))
        self._init_ms = None
        if not invocation.future.done():
            invocation.future.set_result(InvokeResult(payload, error, invocation.request_id, tail, duration_ms))

    def _report(self, invocation: Invocation, duration_ms: float, *, status: Status, error_type: str) -> Report:
        return Report(
            invocation.request_id,
            duration_ms,
            self.config.memory_mb,
            self._max_resident,
            self._init_ms,
            status,
            error_type,
        )

    def _watch(self) -> None:
        now = self._loop.time()
        if now >= self._deadline and self.config.debug_port is None:
            self._kill_reason = "timeout"
        elif self._sample_memory(now) > self.config.memory_mb * 1_048_576:
            self._kill_reason = "memory"
        else:
            soon = now + _WATCH_S
            self._timer = self._loop.call_at(min(self._deadline, soon) if now < self._deadline else soon, self._watch)
            return
        if self._worker is not None:
            self._worker.kill()

    def _sample_memory(self, now: float) -> int:
        self._sampled_at = now
        resident = self._worker.resident_bytes() if self._worker else 0
        self._max_resident = max(self._max_resident, resident)
        return resident

    def _exited(self, status: int) -> None:
        worker = self._worker
        assert worker is not None
        self._log.read_from(worker.log_fd)
        if self._invocation is not None:
            payload = self._exit_payload(status)
            is_timeout = self._kill_reason == "timeout"
            kind = "" if is_timeout else _error_type(payload)
            self._finish(payload, error="Unhandled", status="timeout" if is_timeout else "error", error_type=kind)
        elif self.state == "starting" and self._init_error is None:
            self._init_error = self._exit_payload(status)
        self._loop.remove_reader(worker.log_fd)
        worker.kill()  # what the handler left running in its process group
        worker.kill_escaped()
        worker.release()
        self._stopped()

    def _exit_payload(self, status: int) -> bytes:
        request_id = self._invocation.request_id if self._invocation else ""
        prefix = f"RequestId: {request_id} " if request_id else ""
        if self._kill_reason == "timeout":
            text = f"Task timed out after {self.config.timeout_s:.2f} seconds"
            stamp = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
            self._log.fault(f"{stamp}Z {request_id} {text}")
            return _error_payload("Sandbox.Timedout", f"{prefix}Error: {text}")
        kind = "Runtime.OutOfMemory" if self._kill_reason == "memory" else "Runtime.ExitError"
        message = f"{prefix}Error: {exit_text(status)}"
        self._log.fault(message)
        return _error_payload(kind, message)

    def _stopped(self) -> None:
        self._cancel_timer()
        was_starting = self.state == "starting"
        self.state = "stopped"
        if was_starting and self._init_error is not None:
            init_ms = (time.perf_counter() - self._started_at) * 1000
            is_timeout = self._kill_reason == "timeout"
            kind = "" if is_timeout else _error_type(self._init_error)
            self._log.init_failed(init_ms, "timeout" if is_timeout else "error", kind)
        if self._channel is not None:
            self._channel.close()
        if self._server is not None:
            self._server.close()
        self._owner.environment_ended(self, self._init_error if was_starting else None)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def exit_text(status: int) -> str:
    """How Lambda words the end of a runtime process; `status` is negative for a signal."""
    if status == 0:
        return "Runtime exited without providing a reason"
    if status > 0:
        return f"Runtime exited with error: exit status {status}"
    names = {6: "aborted", 7: "bus error", 9: "killed", 11: "segmentation fault", 15: "terminated"}
    return f"Runtime exited with error: signal: {names.get(-status, -status)}"


def _error_type(payload: bytes) -> str:
    try:
        return str(json.loads(payload)["errorType"])
    except (ValueError, KeyError, TypeError):
        return "Runtime.Unknown"


def _init_failure(init_error: bytes, request_id: str) -> tuple[bytes, str]:
    """What an invocation gets for a failed start, and the type of the error.

    The platform's own words get the request id; what the client reported keeps the empty one that it has (recorded on
    AWS).
    """
    kind = _error_type(init_error)
    try:
        document = json.loads(init_error)
    except ValueError:
        return init_error, kind
    if not isinstance(document, dict):
        return init_error, kind
    if "requestId" not in document and str(document.get("errorMessage", "")).startswith("Error: "):
        document["errorMessage"] = f"RequestId: {request_id} {document['errorMessage']}"
    return json.dumps(document, ensure_ascii=False).encode(), kind


def _cut_error(payload: bytes) -> bytes:
    """The error by its type and the beginning of its message, without its stack."""
    try:
        error = json.loads(payload)
    except ValueError:
        error = None
    if not isinstance(error, dict):
        error = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": payload[:_CUT_MESSAGE].decode("latin-1")}
    kind, message = str(error.get("errorType", "")), str(error.get("errorMessage", ""))
    return _error_payload(kind[:_CUT_MESSAGE], message[:_CUT_MESSAGE])


def _error_payload(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()
