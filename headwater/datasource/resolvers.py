"""Unit and pipeline resolvers: request handler, data source, response handler, in AppSync's order."""

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.appsync_js import ContextUsage, JsModule
from headwater.datasource.direct_lambda import direct_result, event_batches
from headwater.datasource.ports import Call, DataSource, SubscriptionSetup
from headwater.datasource.runs import Entropy, Evict, Observer, ResolverRun
from headwater.datasource.sources.lambda_source import LambdaSource, is_batch_request
from headwater.datasource.sources.none_source import NoneSource, payload_of
from headwater.errors import DataSourceError, RequestError, TemplateError


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """What all resolvers of an API share: environment variables, random source, its cache's eviction, its log."""

    environment: Mapping[str, str] = field(default_factory=dict)
    entropy: Entropy = secrets.token_bytes
    evict: Evict | None = None
    observer: Observer | None = None

    def start(self, call: Call) -> ResolverRun:
        """The run of a resolver for one call."""
        return ResolverRun(call, self.environment, self.entropy, self.evict, self.observer)


class Step:
    """A request and response handler around one data source: a unit resolver's only step, or an AppSync function.

    Without code the data source must be Lambda: it is invoked directly with the context.
    """

    def __init__(
        self,
        name: str,
        module: JsModule | None,
        data_source: DataSource,
        *,
        max_batch_size: int = 0,
        is_function: bool = True,
    ) -> None:
        if module is None and not isinstance(data_source, LambdaSource):
            raise TemplateError(f"{name} has no code: only a Lambda data source can be called without")
        self.name = name
        self.function = name if is_function else None
        self.module = module
        self.data_source = data_source
        self.max_batch_size = max_batch_size

    def execute_now(self, run: ResolverRun) -> Any:
        """Run a step on the NONE data source, which waits for nothing. Raises: RequestError.

        Measured by bench/appsync_requests.py: both handlers cost a third less in one crossing.
        """
        module = self.module
        assert module is not None, "only Lambda steps have none"
        both = module.usage_of_both
        if both is None:
            request = self._ask(run, module)
            if run.is_done:
                return request
        else:
            handler, outcome = run.run_both(module, both)
            if handler == "response" or outcome.is_early_return:
                return outcome.result
            request = outcome.result
        run.succeed(payload_of(request))
        return self._answer(run, module)

    def execute_each_now(self, runs: Sequence[ResolverRun], both: ContextUsage) -> list[Any]:
        """As execute_now for each run in order; a failed one gives its exception. `both` is what its handlers read.

        Measured by bench/appsync_targeted.py: the aliases of a fan-out mutation cross together.
        """
        module = self.module
        assert module is not None, "only Lambda steps have none"
        contexts = [run.context(both) for run in runs]
        outcomes = module.call_each(contexts, now_ms=runs[0].call.request.now * 1000)
        results: list[Any] = []
        for run, context, (handler, outcome) in zip(runs, contexts, outcomes, strict=True):
            try:
                run.take_both(module, context, handler, outcome)
                if handler == "response" or outcome.is_early_return:
                    results.append(outcome.result)
                else:
                    run.succeed(payload_of(outcome.result))
                    results.append(self._answer(run, module))
            except RequestError as error:
                results.append(error)
        return results

    async def execute(self, run: ResolverRun) -> Any:
        """Run the step for one call. Raises: RequestError."""
        if self.module is None:
            await self._invoke_directly([run])
            return direct_result(run)
        request = self._ask(run, self.module)
        if run.is_done:
            return request
        if is_batch_request(request) and isinstance(self.data_source, LambdaSource):
            await self._invoke_batch([run], [request])
        else:
            # Written out: a coroutine more for each field costs as much as the NONE data source does.
            try:
                run.succeed(await self.data_source.execute(request, run.source_call(self.name)))
            except DataSourceError as error:
                run.fail(error)
        return self._answer(run, self.module)

    async def execute_all(self, runs: Sequence[ResolverRun]) -> list[Any]:
        """Run the step for several calls, with one invocation for each batch; a failed call gives its exception."""
        results: list[Any] = [None] * len(runs)
        waiting: list[tuple[int, Any]] = []
        batched: list[tuple[int, Any]] = []
        for index, run in enumerate(runs):
            if self.module is None:
                batched.append((index, None))
                continue
            try:
                request = self._ask(run, self.module)
            except RequestError as error:
                results[index] = error
                continue
            if run.is_done:
                results[index] = request
            elif is_batch_request(request) and isinstance(self.data_source, LambdaSource):
                batched.append((index, request))
            else:
                waiting.append((index, request))
        size = max(self.max_batch_size, 1)
        groups = [batched[start : start + size] for start in range(0, len(batched), size)]
        failures: dict[int, RequestError] = {}
        await asyncio.gather(
            *(self._execute_group(runs, group, failures) for group in groups),
            *(self._execute_one(runs, index, request, failures) for index, request in waiting),
        )
        for index, _ in (*batched, *waiting):
            results[index] = failures.get(index) or self._finish(runs[index])
        return results

    async def _execute_group(
        self, runs: Sequence[ResolverRun], group: list[tuple[int, Any]], failures: dict[int, RequestError]
    ) -> None:
        members = [runs[index] for index, _ in group]
        try:
            if self.module is None:
                await self._invoke_directly(members)
            else:
                await self._invoke_batch(members, [request for _, request in group])
        except RequestError as error:
            failures.update((index, error) for index, _ in group)

    async def _execute_one(
        self, runs: Sequence[ResolverRun], index: int, request: Any, failures: dict[int, RequestError]
    ) -> None:
        run = runs[index]
        try:
            run.succeed(await self.data_source.execute(request, run.source_call(self.name)))
        except DataSourceError as error:
            run.fail(error)
        except RequestError as error:
            failures[index] = error

    def _finish(self, run: ResolverRun) -> Any:
        try:
            return direct_result(run) if self.module is None else self._answer(run, self.module)
        except RequestError as error:
            return error

    def _ask(self, run: ResolverRun, module: JsModule) -> Any:
        run.is_done = False
        outcome = run.run_handler(module, "request", "Request", self.function)
        if outcome.is_early_return:
            run.is_done = True
            run.skips_to_end = outcome.skip_to == "END"
        return outcome.result

    def _answer(self, run: ResolverRun, module: JsModule) -> Any:
        outcome = run.run_handler(module, "response", "Response", self.function)
        run.error = None
        return outcome.result

    async def _invoke_batch(self, runs: Sequence[ResolverRun], requests: Sequence[Any]) -> None:
        source = self.data_source
        assert isinstance(source, LambdaSource)
        try:
            results = await source.invoke_batch([request.get("payload") for request in requests])
        except DataSourceError as error:
            for run in runs:
                run.fail(error)
            return
        for run, result in zip(runs, results, strict=True):
            run.succeed(result)

    async def _invoke_directly(self, runs: Sequence[ResolverRun]) -> None:
        source = self.data_source
        assert isinstance(source, LambdaSource)
        await event_batches(source, runs, is_batched=self.max_batch_size > 0)


class UnitResolver:
    """One data source behind one field.

    `module` is None for a direct Lambda resolver (see DirectLambdaResolver). `name` is `Type.field`; page tokens are
    bound to it.
    """

    def __init__(
        self,
        module: JsModule | None,
        data_source: DataSource,
        *,
        name: str,
        max_batch_size: int = 0,
        settings: ResolverSettings | None = None,
    ) -> None:
        self.max_batch_size = max_batch_size
        self._step = Step(name, module, data_source, max_batch_size=max_batch_size, is_function=False)
        self._settings = settings or ResolverSettings()
        is_observed = self._settings.observer is not None and self._settings.observer.wants_all
        is_immediate = module is not None and isinstance(data_source, NoneSource) and not max_batch_size
        # What resolves a field without waiting, for the engine; None where something has to be waited for.
        self.resolve_now = self._resolve_now if is_immediate and not is_observed else None
        # The same for several calls, where the handlers can run for all of them in one crossing.
        self._both = None if module is None or module.needs_entropy else module.usage_of_both
        self.resolve_each_now = self._resolve_each_now if self.resolve_now and self._both else None

    def _resolve_now(self, call: Call) -> Any:
        return self._step.execute_now(self._settings.start(call))

    def _resolve_each_now(self, calls: Sequence[Call]) -> list[Any]:
        assert self._both is not None, "offered where it is there"
        return self._step.execute_each_now([self._settings.start(call) for call in calls], self._both)

    def resolve(self, call: Call) -> Coroutine[Any, Any, Any]:
        """The field's value. Raises: RequestError, which nulls the field."""
        return self._step.execute(self._settings.start(call))

    async def resolve_batch(self, calls: Sequence[Call]) -> list[Any]:
        """One value or exception for each call, in order."""
        return await self._step.execute_all([self._settings.start(call) for call in calls])

    async def run_subscription(self, call: Call) -> SubscriptionSetup:
        """Run once when a subscription starts. Raises: RequestError, which refuses the subscription."""
        run = self._settings.start(call)
        result = await self._step.execute(run)
        return SubscriptionSetup(run.subscription_filter, run.invalidation_filter, result)


class DirectLambdaResolver(UnitResolver):
    """A Lambda function that receives the context as its event and answers with the field's value."""

    def __init__(
        self,
        data_source: LambdaSource,
        *,
        name: str,
        max_batch_size: int = 0,
        settings: ResolverSettings | None = None,
    ) -> None:
        super().__init__(None, data_source, name=name, max_batch_size=max_batch_size, settings=settings)


class PipelineResolver:
    """A request handler, up to ten AppSync functions in order, and a response handler, around one stash.

    Without code the request passes nothing on and the result is that of the last function.
    """

    MAX_FUNCTIONS = 10

    def __init__(
        self,
        module: JsModule | None,
        functions: Sequence[Step],
        *,
        name: str,
        settings: ResolverSettings | None = None,
    ) -> None:
        if len(functions) > self.MAX_FUNCTIONS:
            raise TemplateError(f"{name} has {len(functions)} functions, a pipeline takes {self.MAX_FUNCTIONS}")
        self.name = name
        self.max_batch_size = max((function.max_batch_size for function in functions), default=0)
        self._module = module
        self._functions = tuple(functions)
        self._settings = settings or ResolverSettings()

    async def resolve(self, call: Call) -> Any:
        """The field's value. Raises: RequestError, which nulls the field."""
        return await self._execute(self._settings.start(call))

    async def run_subscription(self, call: Call) -> SubscriptionSetup:
        """Run once when a subscription starts. Raises: RequestError, which refuses the subscription."""
        run = self._settings.start(call)
        result = await self._execute(run)
        return SubscriptionSetup(run.subscription_filter, run.invalidation_filter, result)

    async def resolve_batch(self, calls: Sequence[Call]) -> list[Any]:
        """One value or exception for each call, in order; the calls go through the functions side by side."""
        runs = [self._settings.start(call) for call in calls]
        results: list[Any] = [None] * len(runs)
        active: list[int] = []
        for index, run in enumerate(runs):
            try:
                if self._before(run):
                    active.append(index)
            except RequestError as error:
                results[index] = error
        for function in self._functions:
            values = await function.execute_all([runs[index] for index in active])
            still_active = []
            for index, value in zip(active, values, strict=True):
                if isinstance(value, RequestError):
                    results[index] = value
                elif not self._pass_on(runs[index], value):
                    still_active.append(index)
            active = still_active
        for index, run in enumerate(runs):
            if not isinstance(results[index], RequestError):
                results[index] = self._after_or_error(run)
        return results

    async def _execute(self, run: ResolverRun) -> Any:
        if self._before(run):
            for function in self._functions:
                if self._pass_on(run, await function.execute(run)):
                    break
        return self._after(run)

    def _before(self, run: ResolverRun) -> bool:
        """Run the request handler; false if it returned early, past all functions."""
        is_going_on = True
        if self._module is not None:
            outcome = run.run_handler(self._module, "request", "BeforeRequest")
            run.previous = outcome.result
            is_going_on = not outcome.is_early_return
        run.has_previous = True
        return is_going_on

    def _pass_on(self, run: ResolverRun, value: Any) -> bool:
        """Make a function's value the previous result; true if the pipeline ends here."""
        run.previous = value
        return run.is_done and run.skips_to_end

    def _after(self, run: ResolverRun) -> Any:
        run.succeed(run.previous)
        return (
            run.previous if self._module is None else run.run_handler(self._module, "response", "AfterResponse").result
        )

    def _after_or_error(self, run: ResolverRun) -> Any:
        try:
            return self._after(run)
        except RequestError as error:
            return error
