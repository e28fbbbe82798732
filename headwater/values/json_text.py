"""JSON from outside: read with a bound on how deep it is nested."""

from typing import Any, Final

import orjson

# orjson reads 1024 levels and writes 254, and Python's own recursion ends before 1000. With this bound at every way in,
# whatever is made of a value here (contexts, events and requests add a few levels) can be written again.
MAX_LEVELS: Final = 200


class NestedTooDeeply(ValueError):
    """A JSON value of more than MAX_LEVELS levels."""

    def __init__(self) -> None:
        super().__init__(f"it is nested more than {MAX_LEVELS} levels deep")


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises: ValueError if it is no JSON, NestedTooDeeply if it is nested too deeply."""
    value = orjson.loads(text)
    # Each level takes two brackets: most texts are too short to need the look.
    if len(text) > 2 * MAX_LEVELS and _count_opening(text) > MAX_LEVELS and _is_deep(value):
        raise NestedTooDeeply
    return value


def _count_opening(text: str | bytes) -> int:
    if isinstance(text, str):
        return text.count("[") + text.count("{")
    return text.count(b"[") + text.count(b"{")


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_LEVELS):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
