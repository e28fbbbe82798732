"""Functions in real worker processes, with AWS's runtime client and with ours."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headwater.functions.config import FunctionConfig, LogEvent
from headwater.functions.service import FunctionService
from headwater.functions.worker.process import Client, available_client

HANDLERS = Path(__file__).parent / "handlers" / "basics"
CLIENTS: list[Client] = ["awslambdaric", "bootstrap"]


class Functions:
    """A service and what it logged."""

    def __init__(self, client: Client) -> None:
        self.log: list[LogEvent] = []
        self.service = FunctionService(
            account_id="123456789012", region="us-east-1", client=client, log=self.log.append
        )

    def register(self, handler: str, **config: Any) -> None:
        arn = f"arn:aws:lambda:us-east-1:123456789012:function:{handler}"
        module = config.pop("module", "app")
        config.setdefault("code_dir", HANDLERS)
        self.service.register(FunctionConfig(handler, arn, f"{module}.{handler}", **config))

    async def call(self, handler: str, event: Any = None, **config: Any) -> Any:
        """The parsed payload; an error's type and message for a function error."""
        self.register(handler, **config)
        result = await self.service.invoke(handler, json.dumps(event).encode())
        return json.loads(result.payload)


@pytest.fixture(params=CLIENTS)
async def functions(request: pytest.FixtureRequest) -> AsyncIterator[Functions]:
    if request.param == "awslambdaric" and available_client() != "awslambdaric":
        pytest.skip("awslambdaric has no native part here")
    subject = Functions(request.param)
    await subject.service.start()
    yield subject
    await subject.service.close()


@pytest.mark.parametrize("event", [{"a": [1, 2.5, None, "ä😀"]}, [], "text", None, 0])
async def test_event_and_response_pass_unchanged(functions: Functions, event: Any) -> None:
    assert await functions.call("echo", event) == event


async def test_environment_is_used_again(functions: Functions) -> None:
    functions.register("count")

    answers = [(await functions.service.invoke("count", b"{}")).payload for _ in range(3)]

    assert answers == [b"1", b"2", b"3"]


async def test_handler_imports_its_neighbours(functions: Functions) -> None:
    assert await functions.call("imported") == "beside the handler"


async def test_environment_variables_are_lambdas_and_the_configured_ones(
    functions: Functions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "x")
    layer = tmp_path / "layer"

    answer = await functions.call(
        "environment", memory_mb=256, layers=(layer,), environment={"TABLE": "devices", "AWS_REGION": "nowhere"}
    )

    variables = answer["variables"]
    for changing in ("AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME", "_X_AMZN_TRACE_ID", "LC_CTYPE", "PATH"):
        variables.pop(changing, None)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert variables == {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "environment",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/environment",
        "AWS_REGION": "us-east-1",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LAMBDA_RUNTIME_DIR": os.path.dirname(sys.executable),
        "LAMBDA_TASK_ROOT": str(HANDLERS),
        "LANG": "en_US.UTF-8",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": f"{HANDLERS}:{layer / 'python'}",
        "TABLE": "devices",
        "TZ": ":UTC",
        "_HANDLER": "app.environment",
    }
    assert answer["cwd"] == str(HANDLERS)
    assert answer["path"][:2] == [str(HANDLERS), str(layer / "python")]


async def test_context_describes_the_invocation(functions: Functions) -> None:
    functions.register("describe", timeout_s=7, memory_mb=512)

    result = await functions.service.invoke(
        "describe", b"{}", trace_header="Root=1-5759e988-bd862e3fe1be46a994272793", client_context='{"custom":{"a":1}}'
    )

    answer = json.loads(result.payload)
    assert 5000 < answer.pop("remaining") <= 7000
    assert answer == {
        "request": result.request_id,
        "function": "describe",
        "arn": "arn:aws:lambda:us-east-1:123456789012:function:describe",
        "memory": "512",
        "group": "/aws/lambda/describe",
        "trace": "Root=1-5759e988-bd862e3fe1be46a994272793",
        "custom": {"a": 1},
    }


async def test_exception_is_an_unhandled_function_error(functions: Functions) -> None:
    functions.register("fail")

    result = await functions.service.invoke("fail", b"{}")

    error = json.loads(result.payload)
    assert result.function_error == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "the value is wrong")
    assert error["requestId"] == result.request_id
    assert "in fail" in error["stackTrace"][0]


async def test_response_that_is_no_json_is_a_function_error(functions: Functions) -> None:
    functions.register("unserializable")

    result = await functions.service.invoke("unserializable", b"{}")

    assert result.function_error == "Unhandled"


@pytest.mark.parametrize("handler", ["hang", "spin"])
async def test_timeout_kills_the_environment_and_the_next_invocation_gets_a_new_one(
    functions: Functions, handler: str
) -> None:
    functions.register(handler, timeout_s=0.3)

    first = await functions.service.invoke(handler, b"{}")
    second = await functions.service.invoke(handler, b"{}")

    for result in (first, second):
        assert result.function_error == "Unhandled"
        assert json.loads(result.payload) == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {result.request_id} Error: Task timed out after 0.30 seconds",
        }
    assert first.duration_ms >= 300
    assert "Task timed out after 0.30 seconds" in first.log_tail


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        ("leave", "Runtime exited with error: exit status 3"),
        ("leave_quietly", "Runtime exited without providing a reason"),
        ("segfault", "Runtime exited with error: signal: segmentation fault"),
    ],
)
async def test_process_that_ends_fails_its_invocation(functions: Functions, handler: str, reason: str) -> None:
    functions.register(handler)

    result = await functions.service.invoke(handler, b"{}")

    assert json.loads(result.payload) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {result.request_id} Error: {reason}",
    }


async def test_environment_killed_while_idle_is_replaced(functions: Functions) -> None:
    functions.register("hang_on_poison")
    first = json.loads((await functions.service.invoke("hang_on_poison", b"{}")).payload)

    os.kill(first, signal.SIGKILL)
    second = json.loads((await functions.service.invoke("hang_on_poison", b"{}")).payload)

    assert second != first


@pytest.mark.parametrize(
    ("handler", "config", "error_type", "text"),
    [
        ("absent", {}, "Runtime.HandlerNotFound", "Handler 'absent' missing on module 'app'"),
        ("echo", {"module": "nowhere"}, "Runtime.ImportModuleError", "Unable to import module 'nowhere'"),
        ("echo", {"module": "fails_to_start"}, "RuntimeError", "no configuration"),
    ],
)
async def test_failed_start_is_the_result_of_the_invocation(
    functions: Functions, handler: str, config: dict[str, Any], error_type: str, text: str
) -> None:
    functions.register(handler, **config)

    for _ in range(2):
        result = await functions.service.invoke(handler, b"{}")

        error = json.loads(result.payload)
        assert result.function_error == "Unhandled"
        assert error["errorType"] == error_type
        assert text in error["errorMessage"]
        assert error["requestId"] == ""


async def test_missing_task_root_is_the_result_of_the_invocation(functions: Functions, tmp_path: Path) -> None:
    error = await functions.call("echo", code_dir=tmp_path / "nowhere")

    assert error["errorType"] == "Runtime.InvalidEntrypoint"


async def test_what_the_handler_prints_is_its_log(functions: Functions) -> None:
    functions.register("write")

    result = await functions.service.invoke("write", b"{}")

    messages = [event.message for event in functions.log]
    request_id = result.request_id
    assert messages[0] == f"START RequestId: {request_id} Version: $LATEST"
    assert {"to stdout", "to stderr"} <= set(messages)
    assert any(line.startswith("[WARNING]") and line.endswith(f"{request_id}\tto the log") for line in messages)
    assert messages[-2] == f"END RequestId: {request_id}"
    assert messages[-1].startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert "Init Duration" in messages[-1]
    assert {event.request_id for event in functions.log} == {request_id}
    assert result.log_tail.splitlines() == messages


async def test_much_output_keeps_every_line_and_a_short_tail(functions: Functions) -> None:
    functions.register("write_much", timeout_s=20)

    result = await functions.service.invoke("write_much", b"{}")

    lines = [event.message for event in functions.log if event.message.startswith("line ")]
    assert len(lines) == 20_000
    assert len(result.log_tail.encode()) <= 4096
    assert "line 19999 " in result.log_tail


async def test_output_that_is_no_text_is_kept_readable(functions: Functions) -> None:
    assert await functions.call("write_garbage") == "ok"

    assert any("no newline" in event.message for event in functions.log)


async def test_response_over_six_megabytes_is_refused_and_the_function_recovers(functions: Functions) -> None:
    functions.register("answer_size", timeout_s=20)

    refused = await functions.service.invoke("answer_size", b'{"size":7000000}')
    accepted = await functions.service.invoke("answer_size", b'{"size":6000000}')

    assert json.loads(refused.payload) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    assert refused.function_error == "Unhandled"
    assert len(accepted.payload) == 6_000_002


async def test_memory_limit_ends_the_environment(functions: Functions) -> None:
    functions.register("grow", timeout_s=20)

    result = await functions.service.invoke("grow", b"{}")

    assert json.loads(result.payload)["errorType"] == "Runtime.OutOfMemory"


async def test_address_space_alone_is_not_memory(functions: Functions) -> None:
    assert await functions.call("map_much", timeout_s=10) == "ok"


@pytest.mark.parametrize(
    "handler", ["leave_child", "leave_child_in_its_own_session", "leave_child_without_environment"]
)
async def test_children_of_the_worker_end_with_it(handler: str, functions: Functions) -> None:
    if handler != "leave_child" and not os.path.isdir("/proc/self"):
        pytest.skip("needs /proc")
    child = await functions.call(handler)

    await functions.service.close()

    assert await asyncio.to_thread(_has_ended, child)


@pytest.mark.parametrize("client", CLIENTS)
def test_workers_end_when_the_runtime_is_killed(client: Client) -> None:
    """Idle, sleeping and spinning workers alike."""
    with subprocess.Popen(
        [sys.executable, str(HANDLERS / "runtime_process.py"), client], stdout=subprocess.PIPE, text=True
    ) as runtime:
        assert runtime.stdout is not None
        workers = [int(text) for text in runtime.stdout.readline().split()]

        runtime.kill()
        runtime.wait()

    assert len(workers) == 3
    assert all(_has_ended(worker) for worker in workers)


def _has_ended(process_id: int) -> bool:
    """Wait for the end of a process; one that waits to be reaped has ended."""
    for _ in range(500):
        stat = Path(f"/proc/{process_id}/stat")
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False
