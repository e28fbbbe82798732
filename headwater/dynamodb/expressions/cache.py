"""Compiled expressions, kept by their text and placeholders."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from headwater.dynamodb.expressions.conditions import CompiledCondition, compile_condition
from headwater.dynamodb.expressions.paths import CompiledProjection, compile_projection
from headwater.dynamodb.expressions.tokens import ExpressionFault
from headwater.dynamodb.expressions.updates import CompiledUpdate, compile_update

T = TypeVar("T")
MAX_ENTRIES = 2048


class ExpressionCache:
    """Compiles each (kind, text, names) once; when full, the oldest entry goes."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Any, ...], Any] = {}

    def condition(self, text: str, names: Mapping[str, str], parameter: str) -> CompiledCondition:
        """A condition, filter or key condition expression. Raises: ExpressionFault."""
        return self._compiled(compile_condition, text, names, parameter)

    def update(self, text: str, names: Mapping[str, str]) -> CompiledUpdate:
        """An update expression. Raises: ExpressionFault."""
        return self._compiled(compile_update, text, names, "UpdateExpression")

    def projection(self, text: str, names: Mapping[str, str]) -> CompiledProjection:
        """A projection expression. Raises: ExpressionFault."""
        return self._compiled(compile_projection, text, names, "ProjectionExpression")

    def _compiled(
        self,
        compile_text: Callable[[str, Mapping[str, str], str], T],
        text: str,
        names: Mapping[str, str],
        parameter: str,
    ) -> T:
        key = (compile_text, text, *names.items())
        found = self._entries.get(key)
        if found is None:
            try:
                found = compile_text(text, names, parameter)
            except RecursionError:
                raise ExpressionFault("The expression has exceeded the maximum nesting depth;") from None
            if len(self._entries) >= MAX_ENTRIES:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = found
        return cast(T, found)
