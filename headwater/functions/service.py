"""Functions in their own processes: register, warm, invoke, reload; concurrency as Lambda and the machine allow."""

import asyncio
import json
import logging
import os
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from headwater.errors import ServiceError
from headwater.functions.async_invocation import AsyncInvoker, Delivery, EventJournal, Sleep
from headwater.functions.config import (
    LATEST,
    EventInvokeConfig,
    FunctionConfig,
    InvokeResult,
    LogSink,
    parse_function_name,
)
from headwater.functions.pool import EnvironmentCounts, FunctionPool
from headwater.functions.qualifiers import resolve_version
from headwater.functions.worker.environment import ExecutionEnvironment, Invocation
from headwater.functions.worker.process import Client, available_client

_LOGGER = logging.getLogger(__name__)
MAX_REQUEST_BYTES = 6_291_456  # a response may have a hundred more
MAX_EVENT_BYTES = 1_048_576
_REAP_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class MachineLimits:
    """What one machine carries.

    `concurrency` is the account's limit: invocations running or waiting. `environments` counts processes;
    invocations beyond it wait their function's turn. `starting` bounds simultaneous cold starts, which would
    otherwise slow each other down. Idle environments beyond `idle_s` are ended. `queued_events` bounds accepted
    asynchronous invocations, `event_concurrency` those that run at once for one function.
    """

    concurrency: int = 1000
    environments: int = 128
    starting: int = max(4, 2 * (os.cpu_count() or 1))
    idle_s: float = 600.0
    queued_events: int = 10_000
    event_concurrency: int = max(4, 2 * (os.cpu_count() or 1))


# The variables that give a function its role's keys and the endpoint, which no API call shows.
Credentials = Callable[[FunctionConfig], Mapping[str, str]]


class FunctionService:
    """All functions of one instance. Not thread-safe: lives on one event loop."""

    def __init__(
        self,
        *,
        account_id: str,
        region: str,
        clock: Callable[[], float] = time.time,
        log: LogSink | None = None,
        deliver: Delivery | None = None,
        limits: MachineLimits = MachineLimits(),
        client: Client | None = None,
        sleep: Sleep = asyncio.sleep,
        journal: EventJournal | None = None,
        credentials: Credentials | None = None,
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self.account_id = account_id
        self.region = region
        self.clock = clock
        self._log = log
        self._credentials = credentials
        self._limits = limits
        self._client: Client = client or available_client()
        self._random_unit = random_unit
        # By `FunctionConfig.key`: a function's name is its $LATEST.
        self._pools: dict[str, FunctionPool] = {}
        self._retired: set[ExecutionEnvironment] = set()
        self._turns: deque[FunctionPool] = deque()
        self._in_flight = 0
        self._starts: set[asyncio.Task[None]] = set()
        self._warming: dict[str, list[asyncio.Future[None]]] = {}
        self._reaper: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.reloads = 0
        self._events = AsyncInvoker(
            self._invoke_for_event,
            clock=clock,
            sleep=sleep,
            deliver=deliver,
            capacity=limits.queued_events,
            concurrency=limits.event_concurrency,
            journal=journal,
        )

    async def start(self) -> None:
        """Begin to reap idle environments; functions start on their first invocation."""
        self._reaper = asyncio.get_running_loop().call_later(_REAP_EVERY_S, self._reap)

    def resume_events(self) -> int:
        """Run the asynchronous invocations that an earlier run accepted; call it when all functions are registered."""
        return self._events.resume(self._event_config)

    async def close(self, *, grace_s: float = 0.0) -> None:
        """Wait up to `grace_s` for running invocations, then end every environment."""
        deadline = asyncio.get_running_loop().time() + grace_s
        await self._events.close()
        while self._in_flight and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        self._is_closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        for task in list(self._starts):
            await asyncio.gather(task, return_exceptions=True)
        everything = [*self._retired, *(e for pool in self._pools.values() for e in pool.environments)]
        for environment in everything:
            environment.stop()
        while any(environment.state != "stopped" for environment in everything):
            await asyncio.sleep(0.002)

    # Registration

    def register(self, config: FunctionConfig) -> None:
        """Add a function or one version of it, or replace it.

        If anything changes that its processes see, the old environments finish what they run and end.
        """
        pool = self._pools.get(config.key)
        if pool is None:
            self._pools[config.key] = FunctionPool(config)
            return
        old, pool.config = pool.config, config
        if _seen_by_processes(config) != _seen_by_processes(old):
            self._retire(pool)

    def unregister(self, name: str, version: str = LATEST) -> None:
        """Remove one version, or with `$LATEST` the function and all its versions.

        Raises: ServiceError ResourceNotFoundException.
        """
        config = self._find(name if version == LATEST else f"{name}:{version}").config
        gone = [pool for pool in self._pools_of(config.name) if version in (LATEST, pool.config.version)]
        for pool in gone:
            del self._pools[pool.config.key]
            self._retire(pool)

    def reload(self, name: str) -> None:
        """Use the code as it is now: idle environments end, busy ones after their invocation.

        `reloads` counts these, for what is remembered of code.
        """
        self.reloads += 1
        code_dir = self._find(name).config.code_dir
        for pool in self._pools_of(name):
            if pool.config.code_dir == code_dir:
                self._retire(pool)

    def functions(self) -> list[FunctionConfig]:
        """Every function's `$LATEST`."""
        return [pool.config for pool in self._pools.values() if pool.config.version == LATEST]

    def _pools_of(self, name: str) -> list[FunctionPool]:
        return [pool for pool in self._pools.values() if pool.config.name == name]

    def environment_counts(self, name: str) -> EnvironmentCounts:
        return self._find(name).counts()

    def config(self, name_or_arn: str) -> FunctionConfig:
        """Raises: ServiceError ResourceNotFoundException."""
        return self._find(name_or_arn).config

    def _retire(self, pool: FunctionPool) -> None:
        self._retired |= pool.environments
        pool.retire()
        pool.environments = set()
        self._serve(pool)

    # Invocation

    async def warm(self, name: str, count: int = 1) -> None:
        """Start environments until `count` exist, and return when they have ended their initialization."""
        pool = self._find(name)
        loop = asyncio.get_running_loop()
        missing = count - len(pool.environments)
        if missing <= 0:
            return
        ready: list[asyncio.Future[None]] = [loop.create_future() for _ in range(missing)]
        self._warming.setdefault(pool.config.key, []).extend(ready)
        for _ in range(missing):
            self._spawn(pool)
        await asyncio.gather(*ready)

    async def invoke(
        self,
        name_or_arn: str,
        payload: bytes,
        *,
        trace_header: str | None = None,
        client_context: str | None = None,
        request_id: str | None = None,
    ) -> InvokeResult:
        """Run a function with a JSON payload and wait for its end.

        `client_context` is base64-decoded JSON. A function's own failure is in the result.
        Raises: ServiceError ResourceNotFoundException, TooManyRequestsException, RequestTooLargeException.
        """
        pool, version = self._resolve(name_or_arn)
        self._admit(pool, payload)
        loop = asyncio.get_running_loop()
        invocation = Invocation(
            request_id or _new_request_id(),
            name_or_arn if name_or_arn.startswith("arn:") else pool.config.arn,
            payload,
            _header_text(trace_header) or self._new_trace_header(),
            _header_text(client_context),
            loop.create_future(),
        )
        pool.in_flight += 1
        self._in_flight += 1
        try:
            if not pool.submit(invocation):
                self._serve(pool)
            result = await invocation.future
            return result if version == LATEST else replace(result, executed_version=version)
        finally:
            pool.in_flight -= 1
            self._in_flight -= 1
            if not invocation.future.done() or invocation.future.cancelled():
                pool.forget(invocation)

    async def invoke_event(
        self,
        name_or_arn: str,
        payload: bytes,
        *,
        trace_header: str | None = None,
        client_context: str | None = None,
    ) -> str:
        """Queue an asynchronous invocation and give its request id.

        Raises: ServiceError ResourceNotFoundException, RequestTooLargeException, TooManyRequestsException (queue full).
        """
        config = self._event_config(name_or_arn)
        if len(payload) > MAX_EVENT_BYTES:
            raise _too_large(len(payload), MAX_EVENT_BYTES)
        arn = name_or_arn if name_or_arn.startswith("arn:") else config.arn
        # One trace for all attempts and for the record of their end.
        trace_header = _header_text(trace_header) or self._new_trace_header()
        return await self._events.submit(config, arn, payload, trace_header=trace_header, client_context=client_context)

    async def _invoke_for_event(
        self, arn: str, payload: bytes, request_id: str, trace_header: str | None, client_context: str | None
    ) -> InvokeResult:
        return await self.invoke(
            arn, payload, trace_header=trace_header, client_context=client_context, request_id=request_id
        )

    def _event_config(self, name_or_arn: str) -> FunctionConfig:
        """The configuration, with the settings for asynchronous calls by the reference's qualifier.

        Raises: ServiceError ResourceNotFoundException.
        """
        config = self._find(name_or_arn).config
        qualifier = parse_function_name(name_or_arn).qualifier
        if qualifier is None or qualifier == LATEST:
            return config
        latest = self._pools[config.name].config
        default = EventInvokeConfig(dead_letter=config.event_invoke.dead_letter)
        settings = latest.event_invokes.get(qualifier, default)
        return replace(config, event_invoke=settings, reserved_concurrency=latest.reserved_concurrency)

    def _find(self, name_or_arn: str) -> FunctionPool:
        return self._resolve(name_or_arn)[0]

    def _resolve(self, name_or_arn: str) -> tuple[FunctionPool, str]:
        """The environments for a reference, and the version that it means."""
        pool = self._pools.get(name_or_arn)
        if pool is not None:
            return pool, pool.config.version
        parsed = parse_function_name(name_or_arn)
        latest = self._pools.get(parsed.name)
        is_here = parsed.account_id in (None, self.account_id) and parsed.region in (None, self.region)
        arn = f"arn:aws:lambda:{self.region}:{self.account_id}:function:{parsed.name}"
        qualified = arn if parsed.qualifier is None else f"{arn}:{parsed.qualifier}"
        if latest is None or not is_here:
            raise _not_found(qualified)
        version = resolve_version(latest.config, parsed.qualifier, self._random_unit)
        published = self._pools.get(f"{parsed.name}:{version}")
        if published is not None:
            return published, version
        if version not in (LATEST, *latest.config.versions, *latest.config.aliases.values()):
            raise _not_found(qualified)
        return latest, version

    def _admit(self, pool: FunctionPool, payload: bytes) -> None:
        if self._is_closed:
            raise ServiceError("ServiceException", "The runtime is shutting down.", status=500)
        if len(payload) > MAX_REQUEST_BYTES:
            raise _too_large(len(payload), MAX_REQUEST_BYTES)
        reserved = self._pools[pool.config.name].config.reserved_concurrency
        if reserved is not None and sum(one.in_flight for one in self._pools_of(pool.config.name)) >= reserved:
            raise _throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        if self._in_flight >= self._limits.concurrency:
            raise _throttled("ConcurrentInvocationLimitExceeded")

    def _new_trace_header(self) -> str:
        token = os.urandom(16).hex()
        return f"Root=1-{int(self.clock()):08x}-{token[:24]};Parent={token[16:]};Sampled=0"

    # Environments

    def _serve(self, pool: FunctionPool) -> None:
        """Give a function the environments it waits for, or its turn in the queue for them."""
        while pool.wants_environment:
            if not self._may_spawn():
                if pool not in self._turns:
                    self._turns.append(pool)
                return
            self._spawn(pool)

    def _may_spawn(self) -> bool:
        pools = self._pools.values()
        if sum(pool.starting for pool in pools) >= self._limits.starting:
            return False
        count = sum(len(pool.environments) for pool in pools) + len(self._retired)
        if count < self._limits.environments:
            return True
        idle = [environment for pool in pools for environment in pool.idle]
        if idle:  # its end gives the turn
            min(idle, key=lambda environment: environment.idle_since).retire()
        return False

    def _spawn(self, pool: FunctionPool) -> None:
        stamp = time.strftime("%Y/%m/%d", time.gmtime(self.clock()))
        config = pool.config
        granted = self._credentials(config) if self._credentials is not None else {}
        environment = ExecutionEnvironment(
            # The function's own variables win, as they do over what Lambda sets and does not reserve.
            replace(config, environment={**granted, **config.environment}),
            self,
            region=self.region,
            client="node" if config.runtime == "node" else self._client,
            log_stream=f"{stamp}/[{config.version}]{uuid.uuid4().hex}",
            clock=self.clock,
            sink=self._log,
        )
        pool.environments.add(environment)
        task = asyncio.get_running_loop().create_task(environment.start())
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    def environment_idle(self, environment: ExecutionEnvironment) -> None:
        """Part of EnvironmentOwner."""
        self._end_warming(environment)
        pool = self._pools.get(environment.config.key)
        if pool is None or environment not in pool.environments:
            environment.stop()
            return
        pool.became_idle(environment)
        if self._turns:
            self._next_turn()

    def environment_ended(self, environment: ExecutionEnvironment, init_error: bytes | None) -> None:
        """Part of EnvironmentOwner."""
        self._end_warming(environment)
        self._retired.discard(environment)
        pool = self._pools.get(environment.config.key)
        if pool is not None:
            pool.ended(environment)
            if init_error is not None:
                self._fail_waiting(pool, environment, init_error)
            self._serve(pool)
        self._next_turn()

    def _end_warming(self, environment: ExecutionEnvironment) -> None:
        waiting = self._warming.get(environment.config.key)
        if waiting:
            future = waiting.pop()
            if not future.done():
                future.set_result(None)

    def _fail_waiting(self, pool: FunctionPool, environment: ExecutionEnvironment, init_error: bytes) -> None:
        invocation = pool.take_waiting()
        if invocation is not None:
            environment.fail(invocation, init_error)
        elif not self._is_closed:  # an environment that was starting when the service closed was ended by us
            _LOGGER.error("function %s does not start: %s", pool.config.name, _init_reason(init_error))

    def _next_turn(self) -> None:
        for _ in range(len(self._turns)):
            if not self._may_spawn():
                return
            pool = self._turns.popleft()
            if pool.wants_environment:
                self._spawn(pool)
                if pool.wants_environment:
                    self._turns.append(pool)  # behind the others: one environment a turn

    def _reap(self) -> None:
        now = asyncio.get_running_loop().time()
        for pool in self._pools.values():
            for environment in list(pool.idle):
                if now - environment.idle_since > self._limits.idle_s:
                    environment.retire()
        self._reaper = asyncio.get_running_loop().call_later(_REAP_EVERY_S, self._reap)


def _new_request_id() -> str:
    """A version 4 UUID, in a third of the time uuid.uuid4 and str take."""
    token = os.urandom(16).hex()
    return f"{token[:8]}-{token[8:12]}-4{token[13:16]}-{'89ab'[int(token[16], 16) & 3]}{token[17:20]}-{token[20:]}"


def _header_text(value: str | None) -> str | None:
    """A header value that can't end its line."""
    return None if value is None else value.replace("\r", "").replace("\n", "")


def _init_reason(init_error: bytes) -> str:
    """What ended an initialization, in one line: type, message and the place in the user's code."""
    try:
        document = json.loads(init_error)
        reason = f"{document['errorType']}: {document['errorMessage']}"
        stack = [str(frame).strip() for frame in document.get("stackTrace") or []]
    except (ValueError, KeyError, TypeError, AttributeError):
        return init_error.decode("utf-8", "replace")
    place = " ".join(stack[-1].split()) if stack else ""
    return f"{reason} ({place})" if place else reason


def _seen_by_processes(config: FunctionConfig) -> FunctionConfig:
    """What is left of a configuration without what only its callers notice."""
    return replace(
        config,
        reserved_concurrency=None,
        event_invoke=EventInvokeConfig(),
        event_invokes={},
        aliases={},
        alias_weights={},
        versions=(),
        description="",
    )


def _not_found(arn: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"Function not found: {arn}", status=404, fields={"Type": "User"})


def _throttled(reason: str) -> ServiceError:
    return ServiceError(
        "TooManyRequestsException", "Rate Exceeded.", status=429, fields={"Reason": reason, "Type": "User"}
    )


def _too_large(size: int, limit: int) -> ServiceError:
    return ServiceError(
        "RequestTooLargeException",
        f"{size} byte payload is too large for the RequestResponse invocation type (limit {limit} bytes)"
        if limit == MAX_REQUEST_BYTES
        else f"{size} byte payload is too large for the Event invocation type (limit {limit} bytes)",
        status=413,
    )
