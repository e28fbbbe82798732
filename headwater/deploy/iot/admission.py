"""How many invocations strangers may cause at once: each deciding function has few turns and a queue with an end.

Whoever can open a connection can have an authorizer asked, and an execution environment is a process of some 40 MB.
Lambda has a thousand of them for an account; a machine has not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from headwater.errors import ServiceError

T = TypeVar("T")
_log = logging.getLogger(__name__)
RUNNING: Final = 10
WAITING: Final = 1000


class Admission:
    """Turns at one function, `name` in the log; whoever finds `waiting` others before it is refused."""

    def __init__(self, name: str, *, running: int = RUNNING, waiting: int = WAITING) -> None:
        self._name = name
        self._turns = asyncio.Semaphore(running)
        self._waiting = 0
        self._most_waiting = waiting
        self._is_refusing = False

    async def run(self, invoke: Callable[[], Awaitable[T]], *, timeout_s: float) -> T:
        """What `invoke` gives, which has `timeout_s` from its turn on; the turn has to come as soon, too.

        An invocation that takes longer goes on and keeps its turn, as its environment is not free before.
        Raises: ServiceError TooManyRequestsException without a turn, FunctionTimeout; what `invoke` raises.
        """
        await self._turn(timeout_s)
        task = asyncio.ensure_future(invoke())
        task.add_done_callback(self._end_turn)
        done, _ = await asyncio.wait((task,), timeout=timeout_s)
        if not done:
            raise ServiceError("FunctionTimeout", f"{self._name} took longer than {timeout_s:g} s")
        return task.result()

    async def _turn(self, timeout_s: float) -> None:
        if self._turns.locked() and self._waiting >= self._most_waiting:
            raise self._refusal(f"{self._waiting} wait for it already")
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._turns.acquire()
        except TimeoutError:
            raise self._refusal(f"no turn within {timeout_s:g} s") from None
        finally:
            self._waiting -= 1

    def _refusal(self, why: str) -> ServiceError:
        if not self._is_refusing:
            self._is_refusing = True
            _log.warning("%s is asked more often than it answers, and callers are refused: %s", self._name, why)
        return ServiceError("TooManyRequestsException", f"{self._name}: {why}", status=429)

    def _end_turn(self, task: asyncio.Future[Any]) -> None:
        self._turns.release()
        if not self._waiting:
            self._is_refusing = False
        if not task.cancelled():
            task.exception()  # of an invocation nobody waits for any more: it was refused, so it is not news
