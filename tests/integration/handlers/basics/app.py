"""Handlers that succeed, fail, hang and crash, for the tests of execution environments."""

import ctypes
import json
import logging
import os
import subprocess
import sys
import threading
import time
from typing import Any

import helper  # type: ignore[import-not-found]  # it is beside this file only in the function

CALLS = 0


def echo(event: Any, context: Any) -> Any:
    return event


def count(event: Any, context: Any) -> Any:
    global CALLS
    CALLS += 1
    return CALLS


def imported(event: Any, context: Any) -> Any:
    return helper.NAME


def environment(event: Any, context: Any) -> Any:
    return {"variables": dict(os.environ), "cwd": os.getcwd(), "path": sys.path}


def describe(event: Any, context: Any) -> Any:
    client = context.client_context
    return {
        "request": context.aws_request_id,
        "function": context.function_name,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "remaining": context.get_remaining_time_in_millis(),
        "group": context.log_group_name,
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "custom": client.custom if client else None,
    }


def fail(event: Any, context: Any) -> Any:
    raise ValueError("the value is wrong")


def fail_at_length(event: Any, context: Any) -> Any:
    raise ValueError("x" * 12_000_000)


def hang(event: Any, context: Any) -> Any:
    time.sleep(60)


def spin(event: Any, context: Any) -> Any:
    while True:
        pass


def leave(event: Any, context: Any) -> Any:
    os._exit(3)


def leave_quietly(event: Any, context: Any) -> Any:
    sys.exit(0)


def segfault(event: Any, context: Any) -> Any:
    ctypes.string_at(0)


def hang_on_poison(event: Any, context: Any) -> Any:
    if event.get("poison"):
        time.sleep(60)
    return os.getpid()


def write(event: Any, context: Any) -> Any:
    print("to stdout")  # noqa: T201
    print("to stderr", file=sys.stderr)  # noqa: T201
    logging.getLogger().warning("to the log")
    return


def write_much(event: Any, context: Any) -> Any:
    for index in range(20_000):
        print(f"line {index} " + "x" * 50)  # noqa: T201


def write_garbage(event: Any, context: Any) -> Any:
    os.write(1, b"\xff\xfe\x00 no newline")
    return "ok"


def answer_size(event: Any, context: Any) -> Any:
    return "x" * event["size"]


def unserializable(event: Any, context: Any) -> Any:
    return {1, 2}


def grow(event: Any, context: Any) -> Any:
    kept = []
    while True:
        kept.append(bytearray(b"x" * 8_000_000))
        time.sleep(0.01)


def map_much(event: Any, context: Any) -> Any:
    stacks = []
    for _ in range(30):
        thread = threading.Thread(target=time.sleep, args=(0.05,))
        thread.start()
        stacks.append(thread)
    for thread in stacks:
        thread.join()
    return "ok"


def leave_child(event: Any, context: Any) -> Any:
    child = subprocess.Popen(["sleep", "600"])
    return child.pid


def leave_child_in_its_own_session(event: Any, context: Any) -> Any:
    """A grandchild, so that its parent is gone as well."""
    script = "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=-3).pid)"
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)


def leave_child_without_environment(event: Any, context: Any) -> Any:
    """As above, and nothing of the worker's environment is left to it."""
    start = "['/bin/sleep', '600'], start_new_session=True, stdout=-3, env={}"
    script = f"import subprocess; print(subprocess.Popen({start}).pid)"
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)


def wait_for(event: Any, context: Any) -> Any:
    deadline = time.monotonic() + 20
    while not os.path.exists(event["file"]) and time.monotonic() < deadline:
        time.sleep(0.005)
    return json.dumps({"pid": os.getpid()})
