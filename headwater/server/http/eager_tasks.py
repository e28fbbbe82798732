"""Start a coroutine at once, and make a Task only if it suspends: most requests are answered without one."""

import asyncio
import contextvars
import sys
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class FirstStep:
    """What `asyncio.current_task()` is during the first step: the Task that is made if the coroutine suspends.

    `asyncio.timeout` and `TaskGroup` keep a reference to the current task and use it later, so calls are passed on.
    """

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None

    def cancelling(self) -> int:
        return 0 if self.task is None else self.task.cancelling()

    def __getattr__(self, name: str) -> Any:
        if self.task is None:
            raise AttributeError(f"{name} is not available before the coroutine's first suspension")
        return getattr(self.task, name)


def start_eagerly(coro: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T | asyncio.Task[T]:
    """Run `coro` until it returns or first waits: its result, or the Task that goes on with it.

    Called outside any task. What the coroutine raises before it waits is raised here.
    """
    if sys.version_info >= (3, 12):
        task = asyncio.Task(coro, loop=loop, eager_start=True)
        return task.result() if task.done() else task
    first = FirstStep()
    context = contextvars.copy_context()
    asyncio.tasks._enter_task(loop, first)  # type: ignore[arg-type]  # a stand-in, see FirstStep
    try:
        waits_for = context.run(coro.send, None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        asyncio.tasks._leave_task(loop, first)  # type: ignore[arg-type]  # a stand-in, see FirstStep
    first.task = loop.create_task(_go_on(coro, waits_for), context=context)
    return first.task


@coroutine
def _go_on(coro: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Drive a coroutine that has been started: yields what it waits for, as the Task expects."""
    while True:
        failure: BaseException | None = None
        value = None
        try:
            value = yield waits_for
        except BaseException as error:
            failure = error
        try:
            waits_for = coro.send(value) if failure is None else coro.throw(failure)
        except StopIteration as stop:
            result: T = stop.value
            return result
