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
    """A check that a top-level property, where given, has one of the values that work here."""

    def check(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        value = properties.get(path)
        if value is not None and str(value) not in allowed:
            yield path, f"{value!r}: {why}"

    return check


def required(*paths: str) -> Check:
    """A check that required properties are there."""

    def check(properties: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        for path in paths:
            if path not in properties:
                yield path, "missing: the resource type requires it"

    return check
