"""The Lambda data source: Invoke, BatchInvoke and asynchronous invocation."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson

from headwater.datasource.ports import SourceCall, malformed, require, unsupported_operation
from headwater.errors import DataSourceError, ServiceError
from headwater.values.json_text import parse_json

MAX_BATCH_SIZE = 2000
OPERATIONS = ("Invoke", "BatchInvoke")


class InvokeReply(Protocol):
    """What an invocation came to; `function_error` is None for success."""

    @property
    def payload(self) -> bytes: ...
    @property
    def function_error(self) -> str | None: ...


Invoke = Callable[[bytes], Awaitable[InvokeReply]]
InvokeEvent = Callable[[bytes], Awaitable[Any]]


def is_batch_request(request: Any) -> bool:
    """Whether a request handler asked for one element of a batch."""
    return isinstance(request, dict) and request.get("operation") == "BatchInvoke" and not _is_event(request)


def _is_event(request: dict[str, Any]) -> bool:
    return request.get("invocationType") == "Event"


class LambdaSource:
    """One function; `invoke` waits for its reply, `invoke_event` hands the payload over and returns at once."""

    def __init__(self, invoke: Invoke, invoke_event: InvokeEvent | None = None) -> None:
        self._invoke = invoke
        self._invoke_event = invoke_event

    async def execute(self, request: Any, call: SourceCall) -> Any:
        """Run `{"operation": "Invoke"|"BatchInvoke", "payload", "invocationType"?}`; a batch of one here."""
        operation = require(request, "operation", str)
        if operation not in OPERATIONS:
            raise unsupported_operation(operation, OPERATIONS)
        payload = request.get("payload")
        invocation_type = request.get("invocationType") or "RequestResponse"
        if invocation_type not in ("RequestResponse", "Event"):
            raise malformed(f"Unsupported invocationType '{invocation_type}': expected RequestResponse or Event.")
        if _is_event(request):
            if self._invoke_event is None:
                raise malformed("This Lambda data source cannot be invoked asynchronously.")
            try:
                await self._invoke_event(orjson.dumps(payload))
            except ServiceError as error:
                raise _service_fault(error) from error
            return None
        if operation == "BatchInvoke":
            return (await self.invoke_batch([payload]))[0]
        return await self.invoke(payload)

    async def invoke(self, payload: Any, *, is_direct: bool = False) -> Any:
        """The function's reply.

        Raises: DataSourceError; its type is the exception's class for a direct resolver, `Lambda:Unhandled` with code.
        """
        try:
            reply = await self._invoke(orjson.dumps(payload))
        except ServiceError as error:
            raise _service_fault(error) from error
        if reply.function_error is not None:
            raise _function_fault(reply.payload, is_direct=is_direct)
        if not reply.payload:
            return None
        try:
            return parse_json(reply.payload)
        except ValueError as error:
            raise DataSourceError(f"The function's reply cannot be read: {error}", "Lambda:IllegalArgument") from error

    async def invoke_batch(self, payloads: list[Any]) -> list[Any]:
        """One invocation with the list of payloads; the reply's items in the same order."""
        return await self.invoke_list(payloads, is_direct=False)

    async def invoke_list(self, payloads: list[Any], *, is_direct: bool) -> list[Any]:
        """One invocation with a list as event. Raises: DataSourceError if the reply is no list of the same length."""
        reply = await self.invoke(payloads, is_direct=is_direct)
        if not isinstance(reply, list):
            raise DataSourceError(
                f"BatchInvoke expects a list as reply but got '{type(reply).__name__}' instead.",
                "Lambda:IllegalArgument",
            )
        if len(reply) != len(payloads):
            raise DataSourceError(
                f"BatchInvoke was given {len(payloads)} payloads but the reply has {len(reply)} items.",
                "Lambda:IllegalArgument",
            )
        return reply


def _function_fault(payload: bytes, *, is_direct: bool) -> DataSourceError:
    try:
        fault = parse_json(payload)
    except ValueError:
        fault = None
    if not isinstance(fault, dict):
        fault = {"errorMessage": payload.decode("utf-8", "replace")}
    message = str(fault.get("errorMessage") or "")
    exception = fault.get("errorType")
    if is_direct:
        return DataSourceError(message, str(exception or "Lambda:Unhandled"))
    return DataSourceError(message, "Lambda:Unhandled", error_info={"unhandledErrorType": exception})


def _service_fault(error: ServiceError) -> DataSourceError:
    code = "IllegalArgument" if error.code == "ResourceNotFoundException" else error.code
    return DataSourceError(error.message, f"Lambda:{code}")
