"""The shape of a verdict table."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Check = Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class TypeTable:
    """Verdicts on one resource type's properties.

    `live` and `deploy_only` are dotted paths; `refused` gives what to do; `checks` yield (path, why) for values
    that are refused although their property is live.
    """

    live: frozenset[str] = frozenset()
    deploy_only: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    verdict: Literal["live", "deploy-only", "refused"] = "live"
    why: str = ""

    def has_paths_below(self, path: str) -> bool:
        """Whether children of a property have verdicts of their own."""
        prefix = path + "."
        return any(name.startswith(prefix) for name in (*self.live, *self.deploy_only, *self.refused))


def table(
    live: str = "",
    deploy_only: str = "",
    refused: Mapping[str, str] | None = None,
    checks: tuple[Check, ...] = (),
) -> TypeTable:
    """A table of a live type; paths are separated by white space."""
    return TypeTable(frozenset(live.split()), frozenset(deploy_only.split()), dict(refused or {}), checks)


def one_of(path: str, allowed: tuple[str, ...], why: str) -> Check:
    """A check that a property, where given, has one of the values that work here; Booleans are `true` and `false`."""

    def check(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        value = _value_at(properties, path)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if value is not None and text not in allowed:
            yield path, f"{value!r}: {why}"

    return check


def whole_number(path: str, low: int, high: int) -> Check:
    """A check that a property, where given, is a whole number within bounds, both included."""

    def check(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        value = _value_at(properties, path)
        # Templates may write numbers as strings.
        is_number = not isinstance(value, bool) and str(value).isascii() and str(value).isdigit()
        if value is not None and not (is_number and low <= int(value) <= high):
            yield path, f"{value!r}: expected a whole number from {low} to {high}"

    return check


def _value_at(properties: Mapping[str, Any], path: str) -> Any:
    value: Any = properties
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def required(*paths: str) -> Check:
    """A check that required properties are there."""

    def check(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        for path in paths:
            if path not in properties:
                yield path, "missing: the resource type requires it"

    return check
