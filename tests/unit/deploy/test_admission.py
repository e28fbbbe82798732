"""How many callers a deciding function has at once, how many wait for it, and who is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headwater.deploy.iot.admission import Admission
from headwater.errors import ServiceError


class Function:
    """Invocations that end when the test says so; `most` ran at once."""

    def __init__(self) -> None:
        self.ends: list[asyncio.Future[Any]] = []
        self.most = 0

    async def invoke(self) -> Any:
        end = asyncio.get_running_loop().create_future()
        self.ends.append(end)
        self.most = max(self.most, sum(not one.done() for one in self.ends))
        return await end


async def turns() -> None:
    """Let everything go as far as it goes."""
    for _ in range(20):
        await asyncio.sleep(0)


async def code_of(work: Awaitable[Any]) -> str:
    with pytest.raises(ServiceError) as caught:
        await work
    return caught.value.code


def started(admission: Admission, invoke: Callable[[], Awaitable[Any]], count: int) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(admission.run(invoke, timeout_s=30)) for _ in range(count)]


async def test_a_few_run_the_next_wait_in_order_and_the_rest_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    function, admission = Function(), Admission("arn:f", running=2, waiting=3)

    tasks = started(admission, function.invoke, 9)
    await turns()
    refused = [await code_of(task) for task in tasks[5:]]
    for number in range(5):
        function.ends[number].set_result(number)
        await turns()

    assert refused == ["TooManyRequestsException"] * 4
    assert [await task for task in tasks[:5]] == [0, 1, 2, 3, 4]
    assert function.most == 2
    (line,) = caplog.records
    assert "arn:f is asked more often than it answers" in line.getMessage()


async def test_after_a_rush_everybody_is_let_in_again() -> None:
    function, admission = Function(), Admission("arn:f", running=1, waiting=0)
    first, refused = started(admission, function.invoke, 2)
    await turns()

    function.ends[0].set_result("first")
    answers = [await first, await code_of(refused)]
    second, *_ = started(admission, function.invoke, 1)
    await turns()
    function.ends[1].set_result("second")

    assert [*answers, await second] == ["first", "TooManyRequestsException", "second"]


async def test_who_has_no_turn_in_time_is_refused_and_leaves_the_queue() -> None:
    function, admission = Function(), Admission("arn:f", running=1, waiting=1)
    (first,) = started(admission, function.invoke, 1)
    await turns()

    late = [await code_of(admission.run(function.invoke, timeout_s=0.01)) for _ in range(3)]
    function.ends[0].set_result("first")

    assert late == ["TooManyRequestsException"] * 3
    assert (await first, len(function.ends)) == ("first", 1)


async def test_an_invocation_that_takes_too_long_keeps_its_turn_until_it_ends() -> None:
    function, admission = Function(), Admission("arn:f", running=1, waiting=5)

    too_long = await code_of(admission.run(function.invoke, timeout_s=0.01))
    (waiting,) = started(admission, function.invoke, 1)
    await turns()
    begun = len(function.ends)
    function.ends[0].set_exception(ServiceError("Late", "nobody waits for this"))
    await turns()
    function.ends[1].set_result("next")

    assert (too_long, begun, await waiting) == ("FunctionTimeout", 1, "next")


async def test_a_caller_that_has_gone_gives_back_what_it_had() -> None:
    function, admission = Function(), Admission("arn:f", running=1, waiting=1)
    running, waiting = started(admission, function.invoke, 2)
    await turns()

    running.cancel()
    waiting.cancel()
    await turns()
    (next_one,) = started(admission, function.invoke, 1)
    await turns()
    begun = len(function.ends)
    function.ends[0].set_result("nobody waits for this")
    await turns()
    function.ends[1].set_result("next")

    assert (begun, await next_one) == (1, "next")


async def test_a_failure_is_the_caller_s_and_gives_the_turn_back() -> None:
    admission = Admission("arn:f", running=1, waiting=0)

    async def fail() -> Any:
        raise ServiceError("ResourceNotFoundException", "gone")

    codes = [await code_of(admission.run(fail, timeout_s=1)) for _ in range(3)]

    assert codes == ["ResourceNotFoundException"] * 3
