"""Compiled expressions, kept by their text and placeholders."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from headwater.dynamodb.expressions.conditions import CompiledCondition, compile_condition
from headwater.dynamodb.expressions.paths import CompiledProjection, compile_projection
from headwater.dynamodb.expressions.tokens import ExpressionFault
from headwater.dynamodb.expressions.updates import CompiledUpdate, compile_update

T = TypeVar("T")
MAX_ENTRIES = 2048
# Longer placeholders than this in all are not kept.
_MAX_PLACEHOLDER_CHARACTERS = 4096
Compiled = CompiledCondition | CompiledUpdate | CompiledProjection


class ExpressionCache:
    """Compiles each (kind, text, names) once; when full, the oldest entry goes."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Any, ...], Any] = {}
        self._accepted: dict[tuple[Any, ...], Mapping[str, Compiled]] = {}

    def accepted(self, shape: tuple[Any, ...]) -> Mapping[str, Compiled] | None:
        """The expressions, by parameter, of a request that was right and has left `accept` the same shape."""
        try:
            return self._accepted.get(shape)
        except TypeError:  # something of another JSON type than text, which its own check will name
            return None

    def accept(self, shape: tuple[Any, ...], compiled: Mapping[str, Compiled]) -> None:
        """Remember that nothing but the values of such a request can be wrong.

        A shape is all of its expressions and placeholders, without the values.
        """
        if sum(len(text) for part in shape if part for text in part if text) > _MAX_PLACEHOLDER_CHARACTERS:
            return
        if len(self._accepted) >= MAX_ENTRIES:
            del self._accepted[next(iter(self._accepted))]
        self._accepted[shape] = compiled

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
