"""Node.js functions: CommonJS and ES modules through our Runtime API client."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headwater.functions.config import FunctionConfig, InvokeResult, LogEvent
from headwater.functions.service import FunctionService

HANDLERS = Path(__file__).parent / "handlers" / "node"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


class Functions:
    """A service with Node functions, and what it logged."""

    def __init__(self) -> None:
        self.log: list[LogEvent] = []
        self.service = FunctionService(account_id="123456789012", region="us-east-1", log=self.log.append)

    async def invoke(self, handler: str, event: Any = None, **config: Any) -> InvokeResult:
        name = handler.replace("/", "_").replace(".", "_")
        arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
        config = {"code_dir": HANDLERS, "timeout_s": 10, **config}
        made = FunctionConfig(name, arn, handler, runtime="node", runtime_name="nodejs22.x", **config)
        self.service.register(made)
        return await self.service.invoke(name, json.dumps(event).encode())

    async def call(self, handler: str, event: Any = None, **config: Any) -> Any:
        return json.loads((await self.invoke(handler, event, **config)).payload)


@pytest.fixture
async def functions() -> AsyncIterator[Functions]:
    subject = Functions()
    await subject.service.start()
    yield subject
    await subject.service.close()


@pytest.mark.parametrize("event", [{"a": [1, 2.5, None, "ä😀"]}, [], "text", None, 0])
async def test_event_and_response_pass_unchanged(functions: Functions, event: Any) -> None:
    assert await functions.call("app.echo", event) == event


async def test_es_module_with_top_level_await_runs(functions: Functions) -> None:
    answer = await functions.call("esm/module.handler", 1)

    assert answer == {"prepared": "ready", "base": "module.mjs", "event": 1}


async def test_context_has_lambdas_members(functions: Functions) -> None:
    result = await functions.invoke("app.context")

    assert json.loads(result.payload) == {
        "name": "app_context",
        "arn": "arn:aws:lambda:us-east-1:123456789012:function:app_context",
        "memory": "128",
        "hasTime": True,
        "id": result.request_id,
        "runtime": "AWS_Lambda_nodejs22.x",
    }


async def test_callback_answers(functions: Functions) -> None:
    assert await functions.call("app.callsBack", 7) == {"late": 7}


async def test_handler_that_neither_returns_nor_calls_back_ends_with_null(functions: Functions) -> None:
    assert await functions.call("app.returnsNothing") is None


async def test_nested_handler_is_found(functions: Functions) -> None:
    assert await functions.call("app.inner.handler") == "inner"


@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [("app.throws", "RangeError", "broken"), ("app.callsBackWithError", "TypeError", "no")],
)
async def test_error_has_type_message_and_trace(functions: Functions, handler: str, kind: str, message: str) -> None:
    result = await functions.invoke(handler)

    document = json.loads(result.payload)
    assert result.function_error == "Unhandled"
    assert (document["errorType"], document["errorMessage"]) == (kind, message)
    assert document["trace"][0] == f"{kind}: {message}"


async def test_rejection_nobody_handles_ends_the_process(functions: Functions) -> None:
    document = await functions.call("app.rejectsLater")

    assert document["errorType"] == "Runtime.UnhandledPromiseRejection"
    assert document["errorMessage"] == "nobody listens"


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("missing.handler", "Runtime.ImportModuleError"),
        ("app.missing", "Runtime.HandlerNotFound"),
        ("app", "Runtime.MalformedHandlerName"),
    ],
)
async def test_handler_that_cannot_be_loaded_is_an_init_error(functions: Functions, handler: str, kind: str) -> None:
    assert (await functions.call(handler))["errorType"] == kind


async def test_console_lines_are_log_events_of_the_invocation(functions: Functions) -> None:
    result = await functions.invoke("app.prints")

    lines = [event.message for event in functions.log if event.request_id == result.request_id]
    assert any(line.endswith(f"\t{result.request_id}\tINFO\tone\ntwo {{ a: 1 }}") for line in lines)
    assert any(line.endswith("\tERROR\tbad") for line in lines)


@pytest.mark.parametrize("handler", ["app.hangs", "app.spins"])
async def test_timeout_kills_and_the_next_invocation_starts_anew(functions: Functions, handler: str) -> None:
    document = await functions.call(handler, timeout_s=1)

    assert document["errorType"] == "Sandbox.Timedout"


async def test_process_is_reused(functions: Functions) -> None:
    assert await functions.call("app.pid") == await functions.call("app.pid")


async def test_process_dies_with_a_killed_runtime(tmp_path: Path) -> None:
    script = (
        "import asyncio, json, os, signal, sys\n"
        "from pathlib import Path\n"
        "from headwater.functions.config import FunctionConfig\n"
        "from headwater.functions.service import FunctionService\n"
        "async def main():\n"
        "    service = FunctionService(account_id='123456789012', region='us-east-1')\n"
        f"    config = FunctionConfig('f', 'arn', 'app.pid', Path({str(HANDLERS)!r}), runtime='node')\n"
        "    service.register(config)\n"
        "    print((await service.invoke('f', b'null')).payload.decode(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    process_id = int(ended.stdout)

    for _ in range(200):
        if not _is_alive(process_id):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"node {process_id} outlived its runtime")


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
        with open(f"/proc/{process_id}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, ProcessLookupError):
        return False
