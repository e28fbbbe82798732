"""The filter of a subscription without an enhanced one: every argument given equals the field of its name.

Each start makes one, so it is kept small: the rules it stands for are only written out to be explained.
"""

from collections.abc import Hashable, Mapping
from typing import Any

from headwater.realtime.filters import IndexKey, Path, Rule, filter_key, index_key, strictly_equal


class ArgumentFilter:
    """Passes what has the value of every argument; as CompiledFilter otherwise.

    `arguments` holds no omitted ones; an explicit null passes only where the field is null or absent.
    """

    __slots__ = ("_arguments", "_entry", "key")

    # An argument without whose value nothing passes. Of a single one it is the key as well.
    _entry: tuple[Path, IndexKey] | None

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        self._entry = None
        for name in arguments if len(arguments) == 1 else sorted(arguments):
            value = index_key(arguments[name])
            if value is not None:
                self._entry = (name,), value
                break
        # Equal for arguments that pass the same.
        self.key: Hashable = self._entry if len(arguments) == 1 and self._entry else filter_key(dict(arguments))

    def __call__(self, payload: Any) -> bool:
        """Whether a mutation's response passes."""
        if not isinstance(payload, dict):
            # A list has no fields: it passes only where nothing is asked of it.
            return not self._arguments
        for name, value in self._arguments.items():  # noqa: SIM110 - a generator would cost half as much again
            if not strictly_equal(payload.get(name), value):
                return False
        return True

    @property
    def groups(self) -> tuple[tuple[Rule, ...], ...]:
        """The one group of equalities that it is."""
        return (argument_rules(self._arguments),)

    def failed_rules(self, payload: Mapping[str, Any]) -> list[list[Rule]]:
        """The rules that do not hold, as the only group."""
        return [[rule for rule in self.groups[0] if not rule.passes(payload.get(rule.path[0]))]]

    def paths(self) -> list[Path]:
        """The fields it looks at."""
        if self._entry is not None and self._entry is self.key:
            return [self._entry[0]]
        return [(name,) for name in self._arguments]

    def index_entries(self) -> list[tuple[Path, IndexKey]] | None:
        """An argument without whose value nothing passes; None if there is none, or only lists and objects."""
        return None if self._entry is None else [self._entry]


def argument_rules(arguments: Mapping[str, Any]) -> tuple[Rule, ...]:
    """One equality for each argument, in the order of their names."""
    return tuple([_rule(name, arguments[name]) for name in sorted(arguments)])


def _rule(name: str, value: Any) -> Rule:
    key = index_key(value)
    return Rule((name,), lambda found: strictly_equal(found, value), None if key is None else (key,), "eq", value)
