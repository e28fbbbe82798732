"""The event pattern language of EventBridge rules and Lambda filter criteria.

A pattern compiles to alternatives ($or multiplies them); each alternative maps a dotted field path to its value tests.
An event matches an alternative if every path has a matching value, all taken from the same elements of the arrays they
share, or is absent where absence is asked for.
Source: EventBridge user guide, "Comparison operators"; Lambda developer guide, "Filter rule syntax"; the order of
checks under arrays and the corner cases are those of aws/event-ruler as observed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from headwater.values.event_operators import (
    EventPatternError,
    EventValue,
    NumberText,
    Pairs,
    Test,
    exactly,
    leaf_value,
    operator_test,
    place_text,
    shown,
)

__all__ = ["EventMatcher", "EventPatternError", "Scope", "compile_pattern", "evaluate_pattern"]

Scope = Literal["eventbridge", "lambda"]
EventMatcher = Callable[[Mapping[str, Any]], bool]
_Membership = dict[int, int]
_Found = list[tuple[EventValue, _Membership]]
_RESERVED_IN_OR = frozenset(
    "exactly equals-ignore-case prefix suffix anything-but exists wildcard numeric cidr = < <= > >= regex not-wildcard "
    "not-equals-ignore-case date-after date-on-or-after date-before date-on-or-before in-date-range "
    "ip-address-in-range ip-address-not-in-range".split()
)
# $or multiplies alternatives; a pattern that exceeds this is refused rather than matched slowly.
_MAX_ALTERNATIVES = 1000


@dataclass(slots=True)
class _PathTests:
    tests: list[Test] = field(default_factory=list)
    allows_absence: bool = False


@dataclass(slots=True)
class _Step:
    """A node of the tree of field names that any alternative asks for; `path` is set where values are tested."""

    children: dict[str, "_Step"] = field(default_factory=dict)
    path: str | None = None


def compile_pattern(pattern: str | bytes | Mapping[str, Any], *, scope: Scope = "eventbridge") -> EventMatcher:
    """Turn a pattern, as JSON text or parsed, into a predicate of parsed events.

    Under "lambda" a number matches by its text (300 is not 300.0), under "eventbridge" by its value.
    Raises: EventPatternError.
    """
    alternatives = _Parser(scope).parse(_load(pattern))
    ordered = [sorted(alternative.items()) for alternative in alternatives]
    root = _tree(path for alternative in ordered for path, _ in alternative)

    def matches(event: Mapping[str, Any]) -> bool:
        fields: dict[str, _Found] = {}
        _Collector(fields).walk(root, event, {})
        return any(_matches(alternative, fields) for alternative in ordered)

    return matches


def evaluate_pattern(line: Mapping[str, Any]) -> dict[str, Any]:
    """Answer `{"pattern", "event", "scope"?}` with `{"result": bool}`, or `{"rejects": why}` for a bad pattern."""
    scope: Scope = "lambda" if line.get("scope") == "lambda" else "eventbridge"
    try:
        matches = compile_pattern(line.get("pattern") or "", scope=scope)
    except EventPatternError as error:
        return {"rejects": str(error)}
    event = line.get("event")
    if isinstance(event, str):
        try:
            event = json.loads(event, parse_float=NumberText, parse_int=NumberText)
        except ValueError as error:
            return {"unsupported": f"the event is not JSON: {error}"}
    if not isinstance(event, Mapping):
        return {"unsupported": "the event must be a JSON object"}
    return {"result": matches(event)}


# Matching


def _matches(alternative: list[tuple[str, _PathTests]], fields: Mapping[str, _Found]) -> bool:
    candidates: list[_Candidates] = []
    for path, wanted in alternative:
        values = fields.get(path, ())
        fitting = [membership for value, membership in values if any(test(value) for test in wanted.tests)]
        if not fitting and not wanted.allows_absence:
            return False
        candidates.append(_Candidates(values, fitting, wanted.allows_absence))
    # Without arrays every value goes with every other.
    if not any(membership for path, _ in alternative for _, membership in fields.get(path, ())):
        return all(bool(found.fitting) or not found.values for found in candidates)
    return _Search(candidates).succeeds(0, {})


@dataclass(slots=True)
class _Candidates:
    """The values of one path: the array elements of all of them, and of those that a test takes."""

    values: Sequence[tuple[EventValue, _Membership]]
    fitting: list[_Membership]
    allows_absence: bool
    at: dict[tuple[int, int], list[_Membership]] = field(default_factory=dict)
    shared: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.shared = set(self.fitting[0]).intersection(*self.fitting) if self.fitting else set()
        for membership in self.fitting:
            for place in membership.items():
                self.at.setdefault(place, []).append(membership)

    def near(self, membership: _Membership) -> list[_Membership]:
        """What may go with the elements decided on: all in the innermost of those, if that is an array of each."""
        for place in reversed(membership.items()):
            if place[0] in self.shared:
                return self.at.get(place, [])
        return self.fitting


class _Search:
    """Looks for array elements that fulfil all paths, never twice from the same choice that matters."""

    def __init__(self, candidates: list[_Candidates]) -> None:
        self._candidates = candidates
        # The arrays that the paths from each on are in: others' elements make no difference to them.
        self._arrays: list[set[int]] = [set()]
        for found in reversed(candidates):
            self._arrays.insert(0, self._arrays[0].union(*(membership for _, membership in found.values)))
        self._failed: set[tuple[int, tuple[tuple[int, int], ...]]] = set()

    def succeeds(self, index: int, membership: _Membership) -> bool:
        """Try to fulfil the paths from `index` on, given the array elements already decided on."""
        if index == len(self._candidates):
            return True
        arrays = self._arrays[index]
        membership = {array: element for array, element in membership.items() if array in arrays}
        key = (index, tuple(sorted(membership.items())))
        if key in self._failed:
            return False
        found = self._candidates[index]
        for other in found.near(membership):
            merged = _merge(membership, other)
            if merged is not None and self.succeeds(index + 1, merged):
                return True
        if found.allows_absence and all(_merge(membership, other) is None for _, other in found.values):
            return self.succeeds(index + 1, membership)
        self._failed.add(key)
        return False


def _merge(membership: _Membership, other: _Membership) -> _Membership | None:
    """Both memberships together, or None if they need two elements of one array."""
    if not other:
        return membership
    for array, element in other.items():
        if membership.get(array, element) != element:
            return None
    return {**membership, **other}


class _Collector:
    """Finds the values of an event that any alternative looks at, with the array elements they are in."""

    def __init__(self, fields: dict[str, _Found]) -> None:
        self._fields = fields
        self._arrays = 0

    def walk(self, step: _Step, value: Any, membership: _Membership) -> None:
        # Parsed JSON is asked for by its exact types first: `isinstance(…, Mapping)` took half of a match.
        kind = value.__class__
        if kind is dict or (kind is not str and isinstance(value, Mapping)):
            children = step.children
            if not children:
                return
            for name, member in value.items():
                below = children.get(name)
                if below is None and "." in name:
                    below = _descend(step, name)
                if below is not None:
                    self.walk(below, member, membership)
        elif isinstance(value, list | tuple):
            array = self._arrays
            self._arrays += 1
            for index, element in enumerate(value):
                is_nested = isinstance(element, Mapping | list | tuple)
                self.walk(step, element, {**membership, array: index} if is_nested else membership)
        elif step.path is not None:
            self._fields.setdefault(step.path, []).append((leaf_value(value), membership))


def _descend(step: _Step, name: str) -> _Step | None:
    below = step.children.get(name)
    if below is not None or "." not in name:
        return below
    node: _Step | None = step
    for part in name.split("."):
        if node is None:
            return None
        node = node.children.get(part)
    return node


def _tree(paths: Any) -> _Step:
    root = _Step()
    for path in paths:
        node = root
        for part in path.split("."):
            node = node.children.setdefault(part, _Step())
        node.path = path
    return root


# Parsing


def _load(pattern: str | bytes | Mapping[str, Any]) -> Any:
    if not isinstance(pattern, str | bytes):
        return _ordered(pattern)
    try:
        return json.loads(
            pattern,
            object_pairs_hook=Pairs,
            parse_float=NumberText,
            parse_int=NumberText,
            parse_constant=_refuse_constant,
        )
    except ValueError as error:
        raise EventPatternError(f"the pattern is not JSON: {error}") from error


def _refuse_constant(text: str) -> Any:
    raise EventPatternError(f"{text} is not JSON")


def _ordered(value: Any) -> Any:
    """A parsed pattern in the form `_load` gives for text."""
    if isinstance(value, Mapping):
        return Pairs((str(name), _ordered(member)) for name, member in value.items())
    if isinstance(value, list | tuple):
        return [_ordered(element) for element in value]
    if value is None or isinstance(value, str | bool):
        return value
    return NumberText(str(value))


class _Parser:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def parse(self, document: Any) -> list[dict[str, _PathTests]]:
        if not isinstance(document, Pairs):
            raise EventPatternError("the pattern must be an object")
        alternatives: list[dict[str, _PathTests]] = [{}]
        return self._object(document, (), alternatives, is_in_or=False)

    def _object(
        self,
        members: Pairs,
        path: tuple[str, ...],
        alternatives: list[dict[str, _PathTests]],
        *,
        is_in_or: bool,
    ) -> list[dict[str, _PathTests]]:
        if not members:
            raise EventPatternError(f"{place_text(path)}: empty objects are not allowed")
        for name, value in members:
            below = (*path, name)
            if name == "$or":
                alternatives = self._or(value, path, alternatives)
            elif is_in_or and name in _RESERVED_IN_OR:
                raise EventPatternError(f"{place_text(below)}: {name} is reserved and can't be a field inside $or")
            elif isinstance(value, Pairs):
                alternatives = self._object(value, below, alternatives, is_in_or=is_in_or)
            elif isinstance(value, list):
                tests = self._tests(value, below)
                for alternative in alternatives:
                    alternative[".".join(below)] = tests
            else:
                raise EventPatternError(f"{place_text(below)} must be an object or an array, not {shown(value)}")
        return alternatives

    def _or(
        self, branches: Any, path: tuple[str, ...], alternatives: list[dict[str, _PathTests]]
    ) -> list[dict[str, _PathTests]]:
        place = place_text((*path, "$or"))
        if not isinstance(branches, list) or isinstance(branches, Pairs):
            raise EventPatternError(f"{place} must be an array")
        if len(branches) < 2:
            raise EventPatternError(f"{place} needs at least two objects")
        multiplied: list[dict[str, _PathTests]] = []
        for branch in branches:
            if not isinstance(branch, Pairs):
                raise EventPatternError(f"{place}: only objects are allowed, not {shown(branch)}")
            copies = [dict(alternative) for alternative in alternatives]
            multiplied += self._object(branch, path, copies, is_in_or=True)
            if len(multiplied) > _MAX_ALTERNATIVES:
                raise EventPatternError(f"{place}: more than {_MAX_ALTERNATIVES} combinations of $or branches")
        return multiplied

    def _tests(self, values: list[Any], path: tuple[str, ...]) -> _PathTests:
        if not values:
            raise EventPatternError(f"{place_text(path)}: empty arrays are not allowed")
        result = _PathTests()
        for value in values:
            if isinstance(value, Pairs):
                if value and value[0] == ("exists", False) and len(value) == 1:
                    result.allows_absence = True
                else:
                    result.tests.append(operator_test(value, place_text(path)))
            elif isinstance(value, list):
                raise EventPatternError(f"{place_text(path)}: a value must be a string, number, true, false or null")
            else:
                result.tests.append(exactly(value, is_by_text=self._scope == "lambda"))
        return result
