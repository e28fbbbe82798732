"""The environments of one function and the invocations that wait for them; plain bookkeeping without I/O."""

from collections import deque
from dataclasses import dataclass

from headwater.functions.config import FunctionConfig
from headwater.functions.worker.environment import ExecutionEnvironment, Invocation


@dataclass(frozen=True, slots=True)
class EnvironmentCounts:
    """A function's environments by state, and the invocations that wait for one."""

    total: int
    idle: int
    busy: int
    waiting: int


class FunctionPool:
    """Hands invocations to environments: first come, first served; the most recently used environment first.

    Reusing the warmest environment lets the others grow old and be reaped, as Lambda does.
    """

    def __init__(self, config: FunctionConfig) -> None:
        self.config = config
        self.in_flight = 0
        self.environments: set[ExecutionEnvironment] = set()
        self._idle: list[ExecutionEnvironment] = []
        self._waiting: deque[Invocation] = deque()

    @property
    def idle(self) -> list[ExecutionEnvironment]:
        """Idle environments, the longest idle first."""
        return self._idle

    def counts(self) -> EnvironmentCounts:
        busy = sum(environment.state == "busy" for environment in self.environments)
        return EnvironmentCounts(len(self.environments), len(self._idle), busy, len(self._waiting))

    @property
    def starting(self) -> int:
        return sum(environment.state == "starting" for environment in self.environments)

    @property
    def wants_environment(self) -> bool:
        """Whether invocations wait that no environment will soon be free for.

        One that is finishing asks for work within microseconds, so a caller that invokes again at once must not
        make a second one.
        """
        if not self._waiting:
            return False
        if self.config.debug_port is not None and self.environments:
            return False  # the port can be taken once
        coming = sum(environment.state in ("starting", "finishing") for environment in self.environments)
        return len(self._waiting) > coming

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def submit(self, invocation: Invocation) -> bool:
        """Start an invocation on an idle environment, or queue it; true if it started."""
        while self._idle:
            environment = self._idle.pop()
            if environment.state == "idle" and environment.invoke(invocation):
                return True
        self._waiting.append(invocation)
        return False

    def became_idle(self, environment: ExecutionEnvironment) -> None:
        while self._waiting:
            invocation = self._waiting.popleft()
            if invocation.future.done():
                continue  # its caller gave up
            if environment.invoke(invocation):
                return
            self._waiting.appendleft(invocation)
            return
        self._idle.append(environment)

    def ended(self, environment: ExecutionEnvironment) -> None:
        self.environments.discard(environment)
        if environment in self._idle:
            self._idle.remove(environment)

    def take_waiting(self) -> Invocation | None:
        """The oldest invocation that still waits, removed."""
        while self._waiting:
            invocation = self._waiting.popleft()
            if not invocation.future.done():
                return invocation
        return None

    def forget(self, invocation: Invocation) -> None:
        """Remove an invocation whose caller was cancelled."""
        if invocation in self._waiting:
            self._waiting.remove(invocation)

    def retire(self) -> None:
        self._idle.clear()
        for environment in list(self.environments):
            environment.retire()
