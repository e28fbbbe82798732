"""The event pattern language of EventBridge rules and Lambda filter criteria.

A pattern compiles to alternatives ($or multiplies them); each alternative maps a dotted field path to its value tests.
An event matches an alternative if every path has a matching value, all taken from the same elements of the arrays they
share, or is absent where absence is asked for.
Source: EventBridge user guide, "Comparison operators"; Lambda developer guide, "Filter rule syntax"; the order of
checks under arrays and the corner cases are those of aws/event-ruler as observed.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple

from headwater.errors import HeadwaterError

Scope = Literal["eventbridge", "lambda"]
EventMatcher = Callable[[Mapping[str, Any]], bool]
_Test = Callable[["_Value"], bool]
_Membership = dict[int, int]

_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_IPV6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")
_RESERVED_IN_OR = frozenset(
    "exactly equals-ignore-case prefix suffix anything-but exists wildcard numeric cidr = < <= > >= regex not-wildcard "
    "not-equals-ignore-case date-after date-on-or-after date-before date-on-or-before in-date-range "
    "ip-address-in-range ip-address-not-in-range".split()
)
# $or multiplies alternatives; a pattern that exceeds this is refused rather than matched slowly.
_MAX_ALTERNATIVES = 1000


class EventPatternError(HeadwaterError):
    """The pattern is not valid; the message says where and why."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its members in order, repeated names kept."""


class _Number(str):
    """A JSON number by its text."""


class _Value(NamedTuple):
    """A leaf of an event. `text` is the characters of a string, or the JSON text of anything else."""

    is_string: bool
    text: str
    number: float | None


@dataclass(slots=True)
class _PathTests:
    tests: list[_Test] = field(default_factory=list)
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
        fields: dict[str, list[tuple[_Value, _Membership]]] = {}
        _Collector(fields).walk(root, event, {})
        return any(_matches_from(alternative, 0, fields, {}) for alternative in ordered)

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
            event = json.loads(event, parse_float=_Number, parse_int=_Number)
        except ValueError as error:
            return {"unsupported": f"the event is not JSON: {error}"}
    if not isinstance(event, Mapping):
        return {"unsupported": "the event must be a JSON object"}
    return {"result": matches(event)}


# Matching


def _matches_from(
    alternative: list[tuple[str, _PathTests]],
    index: int,
    fields: Mapping[str, list[tuple[_Value, _Membership]]],
    membership: _Membership,
) -> bool:
    """Try to fulfil the paths from `index` on, given the array elements already decided on."""
    if index == len(alternative):
        return True
    path, wanted = alternative[index]
    is_absent = True
    for value, value_membership in fields.get(path, ()):
        merged = _merge(membership, value_membership)
        if merged is None:
            continue
        is_absent = False
        if any(test(value) for test in wanted.tests) and _matches_from(alternative, index + 1, fields, merged):
            return True
    return is_absent and wanted.allows_absence and _matches_from(alternative, index + 1, fields, membership)


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

    def __init__(self, fields: dict[str, list[tuple[_Value, _Membership]]]) -> None:
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
            self._fields.setdefault(step.path, []).append((_leaf(value), membership))


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


def _leaf(value: Any) -> _Value:
    if isinstance(value, str) and not isinstance(value, _Number):
        return _Value(True, value, None)
    if value is None:
        return _Value(False, "null", None)
    if isinstance(value, bool):
        return _Value(False, "true" if value else "false", None)
    text = str(value)
    return _Value(False, text, _comparable(text))


def _comparable(text: str) -> float | None:
    """The number as a double if that is exact, which event-ruler needs to compare by value."""
    try:
        exact = Decimal(text)
        number = float(exact)
        return number if Decimal(repr(number)) == exact else None
    except (InvalidOperation, ValueError, OverflowError):
        return None


# Parsing


def _load(pattern: str | bytes | Mapping[str, Any]) -> Any:
    if not isinstance(pattern, str | bytes):
        return _ordered(pattern)
    try:
        return json.loads(
            pattern,
            object_pairs_hook=_Pairs,
            parse_float=_Number,
            parse_int=_Number,
            parse_constant=_refuse_constant,
        )
    except ValueError as error:
        raise EventPatternError(f"the pattern is not JSON: {error}") from error


def _refuse_constant(text: str) -> Any:
    raise EventPatternError(f"{text} is not JSON")


def _ordered(value: Any) -> Any:
    """A parsed pattern in the form `_load` gives for text."""
    if isinstance(value, Mapping):
        return _Pairs((str(name), _ordered(member)) for name, member in value.items())
    if isinstance(value, list | tuple):
        return [_ordered(element) for element in value]
    if value is None or isinstance(value, str | bool):
        return value
    return _Number(str(value))


class _Parser:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def parse(self, document: Any) -> list[dict[str, _PathTests]]:
        if not isinstance(document, _Pairs):
            raise EventPatternError("the pattern must be an object")
        alternatives: list[dict[str, _PathTests]] = [{}]
        return self._object(document, (), alternatives, is_in_or=False)

    def _object(
        self,
        members: _Pairs,
        path: tuple[str, ...],
        alternatives: list[dict[str, _PathTests]],
        *,
        is_in_or: bool,
    ) -> list[dict[str, _PathTests]]:
        if not members:
            raise EventPatternError(f"{_place(path)}: empty objects are not allowed")
        for name, value in members:
            below = (*path, name)
            if name == "$or":
                alternatives = self._or(value, path, alternatives)
            elif is_in_or and name in _RESERVED_IN_OR:
                raise EventPatternError(f"{_place(below)}: {name} is reserved and can't be a field inside $or")
            elif isinstance(value, _Pairs):
                alternatives = self._object(value, below, alternatives, is_in_or=is_in_or)
            elif isinstance(value, list):
                tests = self._tests(value, below)
                for alternative in alternatives:
                    alternative[".".join(below)] = tests
            else:
                raise EventPatternError(f"{_place(below)} must be an object or an array, not {_shown(value)}")
        return alternatives

    def _or(
        self, branches: Any, path: tuple[str, ...], alternatives: list[dict[str, _PathTests]]
    ) -> list[dict[str, _PathTests]]:
        place = _place((*path, "$or"))
        if not isinstance(branches, list) or isinstance(branches, _Pairs):
            raise EventPatternError(f"{place} must be an array")
        if len(branches) < 2:
            raise EventPatternError(f"{place} needs at least two objects")
        multiplied: list[dict[str, _PathTests]] = []
        for branch in branches:
            if not isinstance(branch, _Pairs):
                raise EventPatternError(f"{place}: only objects are allowed, not {_shown(branch)}")
            copies = [dict(alternative) for alternative in alternatives]
            multiplied += self._object(branch, path, copies, is_in_or=True)
            if len(multiplied) > _MAX_ALTERNATIVES:
                raise EventPatternError(f"{place}: more than {_MAX_ALTERNATIVES} combinations of $or branches")
        return multiplied

    def _tests(self, values: list[Any], path: tuple[str, ...]) -> _PathTests:
        if not values:
            raise EventPatternError(f"{_place(path)}: empty arrays are not allowed")
        result = _PathTests()
        for value in values:
            if isinstance(value, _Pairs):
                if value and value[0] == ("exists", False) and len(value) == 1:
                    result.allows_absence = True
                else:
                    result.tests.append(_operator(value, _place(path)))
            elif isinstance(value, list):
                raise EventPatternError(f"{_place(path)}: a value must be a string, number, true, false or null")
            else:
                result.tests.append(_exactly(value, is_by_text=self._scope == "lambda"))
        return result


def _exactly(value: Any, *, is_by_text: bool) -> _Test:
    wanted = _leaf(value)
    if wanted.is_string:
        address = _address(wanted.text)
        if address is not None:
            return lambda found: _address(found.text) == address
        return lambda found: found.is_string and found.text == wanted.text
    if wanted.number is None or is_by_text:
        return lambda found: not found.is_string and found.text == wanted.text
    return lambda found: not found.is_string and (found.number == wanted.number or found.text == wanted.text)


def _operator(expression: _Pairs, place: str) -> _Test:
    if not expression:
        raise EventPatternError(f"{place}: match expression name not found")
    if len(expression) > 1:
        raise EventPatternError(f"{place}: only one key allowed in match expression")
    name, operand = expression[0]
    match name:
        case "exactly":
            text = _text(operand, place, name)
            return lambda found: found.is_string and found.text == text
        case "prefix" | "suffix" | "wildcard" | "equals-ignore-case":
            return _text_test(name, operand, place)
        case "anything-but":
            return _anything_but(operand, place)
        case "numeric":
            return _numeric(operand, place)
        case "exists":
            if operand is not True:
                raise EventPatternError(f"{place}: exists must be true or false, not {_shown(operand)}")
            return lambda found: True
        case "cidr":
            return _cidr(_text(operand, place, name), place)
    raise EventPatternError(f"{place}: unrecognized match type {name}")


def _text_test(name: str, operand: Any, place: str) -> _Test:
    """prefix, suffix (both also with equals-ignore-case inside), wildcard and equals-ignore-case."""
    if isinstance(operand, _Pairs) and name in ("prefix", "suffix"):
        if len(operand) != 1 or operand[0][0] != "equals-ignore-case":
            raise EventPatternError(f"{place}: {name} takes a string or one equals-ignore-case")
        expression = _any_case(_text(operand[0][1], place, "equals-ignore-case"))
        pattern = re.compile(expression + ".*" if name == "prefix" else ".*" + expression, re.DOTALL)
        return lambda found: found.is_string and pattern.fullmatch(found.text) is not None
    text = _text(operand, place, name)
    match name:
        case "prefix":
            return lambda found: found.is_string and found.text.startswith(text)
        case "suffix":
            return lambda found: found.is_string and found.text.endswith(text)
        case "wildcard":
            pattern = re.compile(_wildcard(text, place), re.DOTALL)
        case _:
            pattern = re.compile(_any_case(text), re.DOTALL)
    return lambda found: found.is_string and pattern.fullmatch(found.text) is not None


def _anything_but(operand: Any, place: str) -> _Test:
    """Any value but the listed ones: strings or numbers, or one nested operator over strings."""
    if isinstance(operand, _Pairs):
        if len(operand) != 1 or operand[0][0] not in ("prefix", "suffix", "wildcard", "equals-ignore-case"):
            raise EventPatternError(
                f"{place}: anything-but takes prefix, suffix, wildcard or equals-ignore-case, not {_shown(operand)}"
            )
        name, listed = operand[0]
        texts = listed if isinstance(listed, list) and not isinstance(listed, _Pairs) else [listed]
        if not texts or (name in ("prefix", "suffix") and "" in texts):
            raise EventPatternError(f"{place}: an empty {name} is not allowed in anything-but")
        excluded = [_text_test(name, _text(text, place, name), place) for text in texts]
        return lambda found: not any(test(found) for test in excluded)
    values = operand if isinstance(operand, list) else [operand]
    if values and all(isinstance(value, _Number) for value in values):
        numbers = [_comparable(value) for value in values]
        if None in numbers:
            raise EventPatternError(f"{place}: cannot compare number {values[numbers.index(None)]}")
        return lambda found: found.is_string or found.number is None or found.number not in numbers
    if values and all(isinstance(value, str) and not isinstance(value, _Number) for value in values):
        return lambda found: not (found.is_string and found.text in values)
    raise EventPatternError(f"{place}: anything-but takes strings or numbers, not a mixture or other values")


def _numeric(operand: Any, place: str) -> _Test:
    terms = operand if isinstance(operand, list) and not isinstance(operand, _Pairs) else None
    if terms is None or len(terms) not in (2, 4):
        raise EventPatternError(f"{place}: numeric must be an array of one or two comparisons")
    bounds = [_bound(operator, number, place) for operator, number in zip(terms[::2], terms[1::2], strict=True)]
    (first, low), (last, high) = bounds[0], bounds[-1]
    if len(bounds) == 2 and not (first in (">", ">=") and last in ("<", "<=")):
        raise EventPatternError(f"{place}: a numeric range is > or >= and then < or <=")
    if len(bounds) == 2 and low >= high:
        raise EventPatternError(f"{place}: bottom must be less than top")

    def is_within(found: _Value) -> bool:
        number = None if found.is_string else found.number
        return number is not None and all(_compare(number, operator, bound) for operator, bound in bounds)

    return is_within


def _bound(operator: Any, number: Any, place: str) -> tuple[str, float]:
    if operator not in ("=", "<", "<=", ">", ">=") or isinstance(operator, _Number):
        raise EventPatternError(f"{place}: unrecognized numeric range operator: {_shown(operator)}")
    if not isinstance(number, _Number):
        raise EventPatternError(f"{place}: value of {operator} must be numeric, not {_shown(number)}")
    value = _comparable(number)
    if value is None:
        raise EventPatternError(f"{place}: cannot compare number {number}")
    return operator, value


def _compare(number: float, operator: str, bound: float) -> bool:
    if operator[-1] == "=" and number == bound:
        return True
    return number < bound if operator[0] == "<" else operator[0] == ">" and number > bound


def _wildcard(text: str, place: str) -> str:
    """A regular expression; `*` is any characters, `\\*` and `\\\\` are themselves."""
    expression = ""
    index = 0
    while index < len(text):
        character = text[index]
        following = text[index + 1 : index + 2]
        if character == "*":
            if following == "*":
                raise EventPatternError(f"{place}: consecutive wildcard characters at position {index}")
            expression += ".*"
        elif character == "\\":
            if following not in ("*", "\\"):
                raise EventPatternError(f"{place}: invalid escape character at position {index}")
            expression += re.escape(following)
            index += 1
        else:
            expression += re.escape(character)
        index += 1
    return expression


def _any_case(text: str) -> str:
    """A regular expression for the text with each character in lower or upper case."""
    parts = []
    for character in text:
        forms = sorted({character.lower(), character.upper()})
        parts.append("(?:" + "|".join(re.escape(form) for form in forms) + ")")
    return "".join(parts)


def _cidr(text: str, place: str) -> _Test:
    address_text, slash, bits_text = text.partition("/")
    address = _address(address_text)
    if not slash or "/" in bits_text or address is None:
        raise EventPatternError(f"{place}: malformed CIDR {text!r}")
    is_number = re.fullmatch(r"\+?[0-9]+", bits_text) is not None
    if not is_number or int(bits_text) >= address.max_prefixlen:
        raise EventPatternError(f"{place}: mask bits of {text!r} must be a number below {address.max_prefixlen}")
    network = ipaddress.ip_network((address, int(bits_text)), strict=False)

    def is_inside(found: _Value) -> bool:
        other = _address(found.text)
        return other is not None and other.version == network.version and other in network

    return is_inside


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        if _IPV4.fullmatch(text):
            return ipaddress.IPv4Address(".".join(str(int(part)) for part in text.split(".")))
        return ipaddress.IPv6Address(text) if _IPV6.fullmatch(text) else None
    except ValueError:
        return None


def _text(operand: Any, place: str, name: str) -> str:
    if not isinstance(operand, str) or isinstance(operand, _Number):
        raise EventPatternError(f"{place}: {name} must be a string, not {_shown(operand)}")
    return operand


def _place(path: tuple[str, ...]) -> str:
    return ".".join(path) or "pattern"


def _shown(value: Any) -> str:
    if isinstance(value, _Pairs):
        return "{" + ", ".join(name for name, _ in value) + "}"
    return str(value) if isinstance(value, _Number) else json.dumps(value, default=str)
