"""Direct Lambda resolvers: the whole context as the event, the reply as the result."""

from collections.abc import Sequence
from typing import Any

from headwater.datasource.runs import ResolverRun
from headwater.datasource.sources.lambda_source import LambdaSource
from headwater.errors import DataSourceError

# AppSync keeps to itself why a function calls a caller unauthorized.
UNAUTHORIZED_TYPE = "UnauthorizedException"
UNAUTHORIZED_TEXT = "You are not authorized to make this call."


async def event_batches(source: LambdaSource, runs: Sequence[ResolverRun], *, is_batched: bool) -> None:
    """Invoke the function for the runs and set each run's result or error.

    Not batched, there is one run and its event is the context; batched, the event is the list of contexts and the
    reply a list of `{"data", "errorMessage", "errorType"}` or null, of the same length and order.
    """
    try:
        if not is_batched:
            (run,) = runs
            run.succeed(await source.invoke(run.event(), is_direct=True))
            return
        replies = await source.invoke_list([run.event() for run in runs], is_direct=True)
    except DataSourceError as error:
        for run in runs:
            run.fail(error)
        return
    for run, reply in zip(runs, replies, strict=True):
        _take_reply(run, reply)


def _take_reply(run: ResolverRun, reply: Any) -> None:
    if not isinstance(reply, dict):
        run.succeed(None)
    elif reply.get("errorMessage") is not None or reply.get("errorType") is not None:
        message = str(reply.get("errorMessage") or "")
        run.fail(DataSourceError(message, str(reply.get("errorType") or "Lambda:Unhandled"), data=reply.get("data")))
    else:
        run.succeed(reply.get("data"))


def direct_result(run: ResolverRun) -> Any:
    """The default response: the result, or the error with the result as its data. Raises: DataSourceError."""
    if run.error is None:
        return run.result
    error_type = run.error["type"]
    message = UNAUTHORIZED_TEXT if error_type == UNAUTHORIZED_TYPE else run.error["message"]
    data = run.result
    run.error = None
    raise DataSourceError(message, error_type, data=data)
