"""How many environments a function gets, who waits, and what a reload does."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import ServiceError
from headwater.functions.service import MachineLimits
from tests.integration.lambda_stack import LambdaStack, lambda_stack, until


def start(stack: LambdaStack, name: str, file: Path) -> "asyncio.Future[Any]":
    """An invocation that runs until `file` exists."""
    return asyncio.ensure_future(stack.functions.invoke(name, json.dumps({"file": str(file)}).encode()))


def environments(stack: LambdaStack, name: str) -> int:
    return stack.functions.environment_counts(name).total


async def test_concurrent_invocations_get_environments_of_their_own(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        stack.register("wait", "app.wait_for", folder="basics", timeout_s=20)
        calls = [start(stack, "wait", tmp_path / "go") for _ in range(3)]
        await until(lambda: stack.functions.environment_counts("wait").busy == 3)

        (tmp_path / "go").touch()
        pids = {json.loads((await call).payload) for call in calls}

    assert len(pids) == 3


async def test_invocations_in_a_row_share_one_environment(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        stack.register("echo", "app.echo", folder="basics")
        for _ in range(20):
            await stack.functions.invoke("echo", b"{}")

        assert environments(stack, "echo") == 1


async def test_reserved_concurrency_throttles_what_exceeds_it(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        stack.register("wait", "app.wait_for", folder="basics", timeout_s=20, reserved_concurrency=1)
        first = start(stack, "wait", tmp_path / "go")
        await asyncio.sleep(0)

        with pytest.raises(ServiceError) as refusal:
            await stack.functions.invoke("wait", b"{}")
        (tmp_path / "go").touch()
        await first

    assert refusal.value.code == "TooManyRequestsException"
    assert refusal.value.fields["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


async def test_account_concurrency_throttles_what_exceeds_it(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path, limits=MachineLimits(concurrency=1)) as stack:
        stack.register("wait", "app.wait_for", folder="basics", timeout_s=20)
        stack.register("echo", "app.echo", folder="basics")
        first = start(stack, "wait", tmp_path / "go")
        await asyncio.sleep(0)

        with pytest.raises(ServiceError) as refusal:
            await stack.functions.invoke("echo", b"{}")
        (tmp_path / "go").touch()
        await first

    assert refusal.value.fields["Reason"] == "ConcurrentInvocationLimitExceeded"


async def test_function_waits_its_turn_and_an_idle_environment_makes_room(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path, limits=MachineLimits(environments=1)) as stack:
        stack.register("wait", "app.wait_for", folder="basics", timeout_s=20)
        stack.register("echo", "app.echo", folder="basics")
        first = start(stack, "wait", tmp_path / "go")
        await until(lambda: stack.functions.environment_counts("wait").busy == 1)
        second = asyncio.ensure_future(stack.functions.invoke("echo", b'"turn"'))
        await asyncio.sleep(0.05)
        assert not second.done()

        (tmp_path / "go").touch()
        await first

        assert (await second).payload == b'"turn"'
        assert environments(stack, "wait") == 0


async def test_cancelled_invocation_leaves_the_queue(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path, limits=MachineLimits(environments=1)) as stack:
        stack.register("wait", "app.wait_for", folder="basics", timeout_s=20)
        first = start(stack, "wait", tmp_path / "go")
        await until(lambda: stack.functions.environment_counts("wait").busy == 1)
        second = start(stack, "wait", tmp_path / "go")
        await asyncio.sleep(0)

        second.cancel()
        await asyncio.sleep(0)
        (tmp_path / "go").touch()
        await first

        assert stack.functions.environment_counts("wait").waiting == 0


async def test_reload_lets_the_running_invocation_finish(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        stack.register("wait", "app.wait_for", folder="basics", timeout_s=20)
        first = start(stack, "wait", tmp_path / "go")
        await until(lambda: stack.functions.environment_counts("wait").busy == 1)

        stack.functions.reload("wait")
        (tmp_path / "go").touch()
        old = json.loads((await first).payload)
        new = json.loads((await start(stack, "wait", tmp_path / "go")).payload)

    assert old != new


async def test_changed_code_is_used_after_a_reload(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text("def handler(event, context):\n    return 1\n")
    async with lambda_stack(tmp_path / "store") as stack:
        stack.register("f", folder=str(code))
        first = await stack.functions.invoke("f", b"{}")

        (code / "app.py").write_text("def handler(event, context):\n    return 'second'\n")
        stack.functions.reload("f")
        second = await stack.functions.invoke("f", b"{}")

    assert (first.payload, second.payload) == (b"1", b'"second"')


async def test_warm_starts_environments_before_they_are_needed(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        stack.register("echo", "app.echo", folder="basics")

        await stack.functions.warm("echo", 2)

        assert stack.functions.environment_counts("echo").idle == 2


async def test_warm_returns_when_the_function_does_not_start(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        stack.register("broken", "fails_to_start.handler", folder="basics")

        await stack.functions.warm("broken")

        assert environments(stack, "broken") == 0


async def test_close_waits_for_the_running_invocation(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        stack.register("wait", "app.wait_for", folder="basics", timeout_s=20)
        call = start(stack, "wait", tmp_path / "go")
        await until(lambda: stack.functions.environment_counts("wait").busy == 1)

        closing = asyncio.ensure_future(stack.functions.close(grace_s=10))
        (tmp_path / "go").touch()
        await closing

        assert (await call).function_error is None


async def test_close_ends_what_still_runs(tmp_path: Path) -> None:
    async with lambda_stack(tmp_path) as stack:
        stack.register("hang", "app.hang", folder="basics", timeout_s=60)
        call = asyncio.ensure_future(stack.functions.invoke("hang", b"{}"))
        await until(lambda: stack.functions.environment_counts("hang").busy == 1)

        await stack.functions.close()

        assert (await call).function_error == "Unhandled"
