"""Functions that decide about devices and callers: asked with a document, answering with JSON in time or not at all."""

from typing import Any

from headwater.deploy.iot.admission import Admission
from headwater.errors import ServiceError
from headwater.functions.service import FunctionService
from headwater.values.json_text import parse_json


class DecidingFunctions:
    """Calls functions of the stack by their ARN, each a few times at once: anybody may cause such calls."""

    def __init__(self, functions: FunctionService) -> None:
        self._functions = functions
        self._admissions: dict[str, Admission] = {}

    def exists(self, arn: str) -> bool:
        """Whether there is such a function."""
        try:
            self._functions.config(arn)
        except ServiceError:
            return False
        return True

    async def ask(self, function_arn: str, payload: bytes, *, timeout_s: float) -> Any:
        """The answer of a function.

        Raises: ServiceError, also if it has no turn in time, fails, takes too long or answers no JSON.
        """
        admission = self._admissions.get(function_arn)
        if admission is None:
            self._functions.config(function_arn)  # so that there are no more of them than functions
            admission = self._admissions[function_arn] = Admission(function_arn)
        result = await admission.run(lambda: self._functions.invoke(function_arn, payload), timeout_s=timeout_s)
        if result.function_error:
            shown = result.payload[:200].decode(errors="replace")
            raise ServiceError("FunctionFailed", f"{function_arn} failed: {shown}")
        try:
            return parse_json(result.payload)
        except ValueError as error:
            raise ServiceError("FunctionFailed", f"the answer of {function_arn} cannot be read: {error}") from error
