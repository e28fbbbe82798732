"""Flow 7/8: resolve the fields of an operation and complete its response."""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from typing import Any, TypeVar

from headwater.engine.calls import FieldCall, FieldResolver, PublishedMutation
from headwater.engine.execution.codegen import Bail
from headwater.engine.execution.completion import (
    Bubble,
    Job,
    Run,
    Slot,
    complete,
    complete_field,
    complete_object,
    select_data,
)
from headwater.engine.execution.faults import FieldPath, field_error
from headwater.engine.execution.plan import FieldPlan, ObjectPlan
from headwater.engine.execution.published import real_names, selected_tree
from headwater.engine.execution.selection import RequestSelection
from headwater.engine.scalars import ScalarFault
from headwater.errors import RequestError

T = TypeVar("T")

# Fields whose handlers run together in one call of their engine, which has one time limit.
_MAX_TOGETHER = 64


# What is left to resolve is yielded; when it has been, the generator goes on.
Steps = Generator[list[Job], None, dict[str, Any] | None]


def query_steps(run: Run, plan: ObjectPlan) -> Steps:
    """The `data` of a query; the errors are in the run.

    Sibling fields resolve concurrently, and what is below one starts without waiting for the others.
    """
    if len(plan.fields) == 1:
        # Alone it needs no order.
        return (yield from mutation_steps(run, plan, frozenset(), []))
    try:
        data = complete_object(run, plan, {}, None, None)
    except Bubble:
        return None
    left = _run_at_once(run, run.jobs)
    if left:
        yield left
    return None if run.is_data_null else data


def mutation_steps(
    run: Run, plan: ObjectPlan, published_fields: frozenset[str], published: list[PublishedMutation]
) -> Steps:
    """The `data` of a mutation. `published` grows as fields complete, so that a time-out keeps what has happened.

    A root field that may not be null and is ends the operation; the fields after it do not run.
    """
    data: dict[str, Any] = {}
    if plan.sequences is None:
        plan.sequences = _sequences(plan.fields)
    for together in plan.sequences:
        # The next field starts when all below this one is done.
        run.jobs = []
        one = together[0]
        key = one.response_key
        if len(together) > 1:
            _resolve_roots_now(run, together, data)
        elif one.resolve_now is not None:
            _resolve_root_now(run, one, data)
        else:
            try:
                data[key] = complete_field(run, one, {}, (None, key), data, None)
            except Bubble:
                return None
        if run.jobs:
            left = _run_at_once(run, run.jobs)
            if left:
                yield left
        if run.is_data_null:
            return None
        for one in together:
            value = data[one.response_key]
            if value is not None and one.name in published_fields:
                if one.selected is None:
                    one.selected = selected_tree(one)
                published.append(PublishedMutation(one.name, real_names(run, one.shape, value), one.selected))
    return data


def _sequences(fields: Sequence[FieldPlan]) -> tuple[tuple[FieldPlan, ...], ...]:
    """Fields in order; those of one resolver that never waits together, where none of them can end the operation."""
    found: list[list[FieldPlan]] = []
    for one in fields:
        last = found[-1] if found else []
        if (
            last
            and len(last) < _MAX_TOGETHER
            and _is_free(one)
            and _is_free(last[0])
            and one.resolver is last[0].resolver
        ):
            last.append(one)
        else:
            found.append([one])
    return tuple(map(tuple, found))


def _is_free(plan: FieldPlan) -> bool:
    """Whether what comes after a root field does not depend on how it ends, and nothing below it has to be resolved."""
    return plan.resolve_each_now is not None and plan.complete_fast is not None and not plan.shape.is_required


def execute(run: Run, steps: Steps) -> dict[str, Any] | Coroutine[Any, Any, dict[str, Any] | None] | None:
    """What the steps return, or the coroutine that resolves what they have to wait for.

    Most operations wait for nothing or for one data source, and a coroutine and a task cost more than a small one does.
    """
    try:
        left = next(steps)
    except StopIteration as stop:
        data: dict[str, Any] | None = stop.value
        return data
    return _execute_rest(run, steps, left)


async def _execute_rest(run: Run, steps: Steps, left: list[Job]) -> dict[str, Any] | None:
    while True:
        await _run_jobs(run, left)
        try:
            left = next(steps)
        except StopIteration as stop:
            data: dict[str, Any] | None = stop.value
            return data


def _resolve_root_now(run: Run, plan: FieldPlan, data: dict[str, Any]) -> None:
    """Resolve and finish a root field whose resolver never waits; what is left below it is in `run.jobs`.

    Measured by bench/appsync_requests.py (S3): slot and job are only made where something is out of the ordinary.
    """
    key = plan.response_key
    path: FieldPath = (None, key)
    resolve_now = plan.resolve_now
    assert resolve_now is not None, "chosen for it"
    call: FieldCall | None = None
    value: Any
    try:
        call = _call(run, plan, None, path)
        value = resolve_now(call)
    except RequestError as error:
        value = error
    _put_root(run, plan, call, value, data)


def _resolve_roots_now(run: Run, plans: Sequence[FieldPlan], data: dict[str, Any]) -> None:
    """As _resolve_root_now for fields of one resolver, whose handlers run one after the other.

    Measured by bench/appsync_targeted.py (S2).
    """
    values: list[Any] = []
    calls: list[FieldCall] = []
    for plan in plans:
        try:
            calls.append(_call(run, plan, None, (None, plan.response_key)))
            values.append(None)
        except RequestError as error:
            values.append(error)
    resolve_each_now = plans[0].resolve_each_now
    assert resolve_each_now is not None, "chosen for it"
    results = iter(resolve_each_now(calls) if calls else ())
    left = iter(calls)
    for plan, refused in zip(plans, values, strict=True):
        if refused is None:
            _put_root(run, plan, next(left), next(results), data)
        else:
            _put_root(run, plan, None, refused, data)


def _put_root(run: Run, plan: FieldPlan, call: FieldCall | None, value: Any, data: dict[str, Any]) -> None:
    """Finish a root field with what its resolver gave."""
    key = plan.response_key
    if (
        plan.complete_fast is not None
        and call is not None
        and not call.appended
        and not isinstance(value, RequestError)
    ):
        # Not contextlib.suppress: it costs more than completing a small object.
        try:
            data[key] = plan.complete_fast(value)
        except (Bail, ScalarFault):
            pass
        else:
            return
    data[key] = None
    _settle(run, Job(plan, None, (None, key), Slot(data, key, plan.shape.is_required, None)), call, value)


def _run_at_once(run: Run, jobs: list[Job]) -> list[Job]:
    """Run a job that never waits, and then the one below it; what is left."""
    while len(jobs) == 1 and jobs[0].plan.resolve_now is not None:
        jobs = _run_now(run, jobs[0])
    return jobs


async def _run_jobs(run: Run, jobs: list[Job]) -> None:
    if not jobs:
        return
    if len(jobs) == 1 and not _batch_size(jobs[0]):
        started = await _run_job(run, jobs[0]) if jobs[0].plan.resolve_now is None else _run_now(run, jobs[0])
        if started:
            await _run_jobs(run, started)
        return
    groups: dict[int, list[Job]] = {}
    work: list[Awaitable[None]] = []
    for job in jobs:
        # Siblings with a batched field below them finish together, so that its calls are siblings too.
        if _batch_size(job) or job.plan.has_batches_below:
            groups.setdefault(id(job.plan), []).append(job)
        else:
            work.append(_run_with_below(run, job))
    work += [_run_group(run, group) for group in groups.values()]
    if len(work) == 1:
        await work[0]
    else:
        await _together(work)


async def _together(work: Sequence[Awaitable[T]]) -> list[T]:
    """The results of all, in order; the first failure that is no GraphQL error cancels the others and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        unfinished = [task for task in tasks if not task.done()]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.gather(*unfinished, return_exceptions=True)


def _batch_size(job: Job) -> int:
    return job.plan.resolver.max_batch_size if job.plan.resolver else 0


def _call(run: Run, plan: FieldPlan, source: Any, path: FieldPath) -> FieldCall:
    """The call that resolves a field. Raises: RequestError if it may not be made."""
    run.resolver_count += 1
    if run.resolver_count > run.max_resolvers:
        message = f"Resolver execution limit of {run.max_resolvers} reached."
        raise RequestError(message, "ResolverExecutionLimitReached")
    arguments = plan.build_arguments(run.variables)
    info = RequestSelection(plan.selection, run.raw_variables)
    above = None if path[0] is None else source
    return FieldCall(plan.parent_type, plan.name, arguments, above, info, run.context, None, path)


async def _run_with_below(run: Run, job: Job) -> None:
    started = await _run_job(run, job)
    if started:
        await _run_jobs(run, started)


async def _run_job(run: Run, job: Job) -> list[Job]:
    """Resolve and finish one field; the jobs below it, which the caller runs."""
    plan = job.plan
    assert plan.resolver is not None, "a job is made for a resolver"
    call: FieldCall | None = None
    value: Any
    try:
        call = _call(run, plan, job.source, job.path)
        value = await plan.resolver.resolve(call)
    except RequestError as error:
        value = error
    return _settle(run, job, call, value)


def _run_now(run: Run, job: Job) -> list[Job]:
    """As _run_job, for a resolver that never waits."""
    plan = job.plan
    assert plan.resolve_now is not None, "chosen for it"
    call: FieldCall | None = None
    value: Any
    try:
        call = _call(run, plan, job.source, job.path)
        value = plan.resolve_now(call)
    except RequestError as error:
        value = error
    return _settle(run, job, call, value)


def _settle(run: Run, job: Job, call: FieldCall | None, value: Any) -> list[Job]:
    """Take a resolver's value or error; the jobs below the field, which are `run.jobs` too."""
    if call is not None and call.appended:
        for appended in call.appended:
            _record(run, job, appended)
    started: list[Job] = []
    run.jobs = started
    _finish(run, job, value)
    return started


def _call_of(run: Run, job: Job) -> FieldCall | None:
    """The call of a job; None, with the error recorded, if it may not be made."""
    try:
        return _call(run, job.plan, job.source, job.path)
    except RequestError as error:
        _finish(run, job, error)
        return None


async def _run_group(run: Run, jobs: list[Job]) -> None:
    """Jobs of one field, resolved in batches or each for itself, and finished together."""
    pairs = [(job, call) for job in jobs if (call := _call_of(run, job)) is not None]
    resolver = jobs[0].plan.resolver
    if not pairs or resolver is None:
        return
    calls = [call for _, call in pairs]
    size = resolver.max_batch_size
    if size:
        chunks = [calls[start : start + size] for start in range(0, len(calls), size)]
        answers = await _together([_batch_values(resolver, chunk) for chunk in chunks])
        values = [value for answer in answers for value in answer]
    else:
        values = await _together([_value(resolver, call) for call in calls])
    await _finish_all(run, pairs, values)


async def _value(resolver: FieldResolver, call: FieldCall) -> Any:
    """What a resolver gives, a GraphQL error included."""
    try:
        return await resolver.resolve(call)
    except RequestError as error:
        return error


async def _batch_values(resolver: FieldResolver, calls: list[FieldCall]) -> list[Any]:
    try:
        values = await resolver.resolve_batch(calls)
    except RequestError as error:
        return [error] * len(calls)
    if len(values) != len(calls):
        message = f"The batch answered {len(values)} results for {len(calls)} calls."
        return [RequestError(message, "BatchInvoke")] * len(calls)
    return values


async def _finish_all(run: Run, pairs: list[tuple[Job, FieldCall]], values: list[Any]) -> None:
    started: list[Job] = []
    run.jobs = started
    for (job, call), value in zip(pairs, values, strict=True):
        for error in call.appended or ():
            _record(run, job, error)
        if isinstance(value, Exception) and not isinstance(value, RequestError):
            raise value
        _finish(run, job, value)
    if started:
        await _run_jobs(run, started)


def _record(run: Run, job: Job, error: RequestError) -> None:
    entry = field_error(job.path, job.plan.location, error)
    if entry["data"] is not None:
        entry["data"] = select_data(job.plan.shape, entry["data"])
    run.errors.append(entry)


def _finish(run: Run, job: Job, value: Any) -> None:
    """Put a resolver's value or error where it belongs; what is left to resolve below is added to `run.jobs`."""
    plan: FieldPlan = job.plan
    slot = job.slot
    if isinstance(value, RequestError):
        _record(run, job, value)
        if slot.is_required:
            slot.put_null(run)
        return
    if plan.complete_fast is not None:
        try:
            slot.container[slot.key] = plan.complete_fast(value)
        except (Bail, ScalarFault):
            pass
        else:
            return
    try:
        slot.container[slot.key] = complete(run, plan, plan.shape, value, job.path, slot)
    except Bubble:
        slot.put_null(run)
