"""Functions that decide about devices: asked with a document, their JSON answer given back in time or not at all."""

import asyncio
from typing import Any

import orjson

from headwater.errors import ServiceError
from headwater.functions.service import FunctionService


class DecidingFunctions:
    """Calls functions of the stack by their ARN."""

    def __init__(self, functions: FunctionService) -> None:
        self._functions = functions

    def exists(self, arn: str) -> bool:
        """Whether there is such a function."""
        try:
            self._functions.config(arn)
        except ServiceError:
            return False
        return True

    async def ask(self, function_arn: str, payload: bytes, *, timeout_s: float) -> Any:
        """The answer of a function. Raises: ServiceError, also if it fails, takes too long or answers no JSON."""
        try:
            result = await asyncio.wait_for(self._functions.invoke(function_arn, payload), timeout_s)
        except TimeoutError:
            raise ServiceError("FunctionTimeout", f"{function_arn} took longer than {timeout_s:g} s") from None
        if result.function_error:
            shown = result.payload[:200].decode(errors="replace")
            raise ServiceError("FunctionFailed", f"{function_arn} failed: {shown}")
        try:
            return orjson.loads(result.payload)
        except orjson.JSONDecodeError as error:
            raise ServiceError("FunctionFailed", f"the answer of {function_arn} is no JSON") from error
