"""The operating system process of an execution environment: what it inherits, how it is watched and ended."""

import asyncio
import contextlib
import importlib.util
import os
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from headwater.functions.config import FunctionConfig

Client = Literal["awslambdaric", "bootstrap", "node"]
_LAUNCHER = Path(__file__).with_name("launcher.py")
# A process may have started another while the others were looked for.
_KILLING_PASSES = 5
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def available_client() -> Client:
    """AWS's own runtime client where its native part is installed (Linux wheels only), else ours."""
    has_native = importlib.util.find_spec("runtime_client") and importlib.util.find_spec("awslambdaric")
    return "awslambdaric" if has_native else "bootstrap"


def environment_variables(config: FunctionConfig, *, region: str, api_address: str, log_stream: str) -> dict[str, str]:
    """Exactly what the function's process sees: Lambda's variables and the configured ones, nothing of the parent's.

    A configured variable never overrides one that Lambda reserves.
    Source: Lambda developer guide, "Defined runtime environment variables".
    """
    layer_paths = [str(layer / "python") for layer in config.layers]
    interpreter_dir = os.path.dirname(sys.executable)
    is_node = config.runtime == "node"
    reserved = {
        "AWS_LAMBDA_FUNCTION_NAME": config.name,
        "AWS_LAMBDA_FUNCTION_VERSION": config.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory_mb),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": config.log_group_name,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_RUNTIME_API": api_address,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{_running_runtime(config)}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "LAMBDA_TASK_ROOT": str(config.code_dir),
        "LAMBDA_RUNTIME_DIR": interpreter_dir,
        "_HANDLER": config.handler,
    }
    if config.log_format == "JSON":
        reserved["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        reserved["AWS_LAMBDA_LOG_LEVEL"] = config.log_level or "INFO"
    configured = {name: value for name, value in config.environment.items() if name not in reserved}
    defaults = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        # X-Ray's SDK raises where no segment is open unless it is told this, as it is on Lambda.
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "PATH": os.pathsep.join((_node_dir() if is_node else interpreter_dir, "/usr/local/bin", "/usr/bin", "/bin")),
    }
    if is_node:
        # Read for CommonJS only, as on Lambda.
        defaults["NODE_PATH"] = os.pathsep.join(str(layer / "nodejs" / "node_modules") for layer in config.layers)
        return {**defaults, **configured, **reserved}
    defaults["PYTHONPATH"] = os.pathsep.join([str(config.code_dir), *layer_paths])
    defaults["PYTHONIOENCODING"] = "utf-8"
    if "PYTHONPATH" in configured:
        configured["PYTHONPATH"] = os.pathsep.join((defaults["PYTHONPATH"], configured["PYTHONPATH"]))
    return {**defaults, **configured, **reserved}


def _running_runtime(config: FunctionConfig) -> str:
    if config.runtime == "node":
        return config.runtime_name
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _node_dir() -> str:
    """The folder of the first `node` on the runtime's own path."""
    return os.path.dirname(shutil.which("node") or "")


class WorkerProcess:
    """A running function process; it dies with the parent and takes its own children along when killed.

    `log_fd` is the non-blocking read end of its standard output and error.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, log_fd: int, lifeline_fd: int) -> None:
        self._process = process
        self._mark = _mark(process.pid)
        self._lifeline_fd = lifeline_fd
        self._exit_fd = -1
        self.log_fd = log_fd

    @property
    def process_id(self) -> int:
        return self._process.pid

    def watch_exit(self, loop: asyncio.AbstractEventLoop, ended: Callable[[int], None]) -> None:
        """Call `ended` once on the loop with the exit status, negative for a signal."""
        if hasattr(os, "pidfd_open"):
            self._exit_fd = os.pidfd_open(self._process.pid)
            loop.add_reader(self._exit_fd, self._reap, loop, ended)
            return

        def wait() -> None:
            status = self._process.wait()
            with contextlib.suppress(RuntimeError):  # the loop may have ended first
                loop.call_soon_threadsafe(ended, status)

        threading.Thread(target=wait, name="function-exit", daemon=True).start()

    def _reap(self, loop: asyncio.AbstractEventLoop, ended: Callable[[int], None]) -> None:
        status = self._process.poll()
        if status is None:
            return
        loop.remove_reader(self._exit_fd)
        os.close(self._exit_fd)
        self._exit_fd = -1
        ended(status)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def kill_escaped(self) -> None:
        """End what the handler started in a session of its own, which `kill` does not reach.

        Such a process has another parent once its own is gone, and perhaps not one variable of its environment left,
        but still the worker's mark. Reads /proc (12 us a process); elsewhere does nothing.
        """
        if self._mark is None:
            return
        for _ in range(_KILLING_PASSES):
            marked = [
                int(name) for name in os.listdir("/proc") if name.isdecimal() and _has_mark(int(name), self._mark)
            ]
            if not marked:
                return
            for process_id in marked:
                _kill_marked(process_id, self._mark)

    def release(self) -> None:
        """Close what is still open; call it once, after the end of the process."""
        os.close(self.log_fd)
        os.close(self._lifeline_fd)

    def resident_bytes(self) -> int:
        """Resident set size, or 0 where /proc is not there."""
        try:
            with open(f"/proc/{self._process.pid}/statm", "rb", buffering=0) as statm:
                return int(statm.read().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            return 0


def spawn(client: Client, config: FunctionConfig, variables: Mapping[str, str]) -> WorkerProcess:
    """Start the runtime client of a function in its task root.

    Blocks for the 1-2 ms of vfork and exec. `-P` keeps this package's folder off the function's import path.
    Raises: OSError when the task root or the interpreter can't be used.
    """
    debug_port = "" if config.debug_port is None else str(config.debug_port)
    lifeline_read, lifeline_write = os.pipe()
    log_read, log_write = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", str(_LAUNCHER), str(lifeline_read), client, config.handler, debug_port],
            cwd=config.code_dir,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=log_write,
            stderr=log_write,
            pass_fds=(lifeline_read,),
            start_new_session=True,
        )
    except OSError:
        os.close(lifeline_write)
        os.close(log_read)
        raise
    finally:
        os.close(lifeline_read)
        os.close(log_write)
    os.set_blocking(log_read, False)
    return WorkerProcess(process, log_fd=log_read, lifeline_fd=lifeline_write)


def _mark(process_id: int) -> bytes | None:
    """Give a process a mark that all its descendants inherit, over fork, exec and a new session; None if it can't be.

    The mark is a resource limit that nothing here can reach (a hundred thousand years of real-time scheduling), for a
    limit can be read from outside and outlives a cleared environment.
    """
    if not hasattr(os, "pidfd_open") or not os.path.isdir("/proc/self"):
        return None
    limit = 2**61 + secrets.randbits(60)
    try:
        resource.prlimit(process_id, resource.RLIMIT_RTTIME, (limit, limit))
    except (OSError, ValueError):  # it has ended, or a lower limit is forced on this machine
        return None
    return str(limit).encode()


def _has_mark(process_id: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{process_id}/limits", "rb", buffering=0) as limits:
            return mark in limits.read().split()
    except OSError:  # gone
        return False


def _kill_marked(process_id: int, mark: bytes) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(process_id)
        try:
            # Asked again: the descriptor is of one process, while the number may have been given to another.
            if _has_mark(process_id, mark):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
