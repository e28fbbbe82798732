"""The leaves of a policy: wildcard patterns with variables, and the condition operators."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Context = Mapping[str, Any]
Condition = Callable[[Context], bool]
Test = Callable[[str, Context], bool]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_CACHED_BINDINGS = 4096
# A wildcard as a regular expression; an escaped character never looks like one.
_ANY, _ANY_OF_PART = ".*", "[^:]*"


class UnresolvedVariable(Exception):
    """A policy variable has no value in the context: the statement that names it does not match."""


class Pattern:
    """A string with `*`, `?` and policy variables, e.g. `arn:aws:iot:*:*:client/${iot:ClientId}`.

    A variable's value is matched literally, so that a client id of `*` matches no other client. With `is_arn` a
    wildcard stays inside the colon-separated part it stands in, as ArnLike wants. Values bound once stay compiled,
    up to 4096 combinations.
    """

    __slots__ = ("_bound", "_flags", "_literals", "_static", "_variables", "text")

    def __init__(
        self, text: str, *, has_variables: bool = True, is_case_sensitive: bool = True, is_arn: bool = False
    ) -> None:
        self.text = text
        self._flags = re.DOTALL if is_case_sensitive else re.DOTALL | re.IGNORECASE
        self._variables: list[str] = []
        self._literals: list[list[str]] = []
        self._bound: dict[tuple[str, ...], re.Pattern[str]] = {}
        literal: list[str] = []
        position = colons = 0
        for match in _VARIABLE.finditer(text) if has_variables else ():
            plain = text[position : match.start()]
            literal += _glob(plain, colons if is_arn else 5)
            colons += plain.count(":")
            position = match.end()
            if match[1] in ("*", "?", "$"):
                literal.append(re.escape(match[1]))
                continue
            self._literals.append(literal)
            self._variables.append(match[1])
            literal = []
        self._literals.append(literal + _glob(text[position:], colons if is_arn else 5))
        self._static = None if self._variables else re.compile(_expression(self._literals[0]), self._flags)

    def matches(self, value: str, context: Context) -> bool:
        """Raises: UnresolvedVariable."""
        if self._static is not None:
            return self._static.fullmatch(value) is not None
        values = tuple([variable_value(context, name) for name in self._variables])
        compiled = self._bound.get(values)
        if compiled is None:
            if len(self._bound) >= _CACHED_BINDINGS:
                self._bound.clear()
            pairs = zip(self._literals, [*map(re.escape, values), ""], strict=True)
            tokens = [token for literal, value in pairs for token in (*literal, value)]
            compiled = self._bound[values] = re.compile(_expression(tokens), self._flags)
        return compiled.fullmatch(value) is not None


def _glob(text: str, colons: int) -> list[str]:
    """The regular expressions of a glob's characters; below five colons a wildcard does not cross the next one."""
    out = []
    for char in text:
        if char == ":":
            colons += 1
        if char == "*":
            out.append(_ANY if colons >= 5 else _ANY_OF_PART)
        elif char == "?":
            out.append("." if colons >= 5 else "[^:]")
        else:
            out.append(re.escape(char))
    return out


def _expression(tokens: Sequence[str]) -> str:
    """One regular expression, in which no wildcard but the last one tries a second time.

    If what follows a wildcard fits early, whatever fits later would do so too. Tried again they would take forever on
    a topic of 250 times `a` against `*a*a*a*a*a*b`.
    """
    runs: list[tuple[str, list[str]]] = [("", [])]
    for token in tokens:
        if token in (_ANY, _ANY_OF_PART):
            runs.append((token, []))
        else:
            runs[-1][1].append(token)
    (_, first), *middle = [(wildcard, "".join(fixed)) for wildcard, fixed in runs]
    if not middle:
        return first
    wildcard, last = middle.pop()
    return first + "".join(f"(?>{some}?{fixed})" for some, fixed in middle) + wildcard + last


def context_values(context: Context, key: str) -> list[str]:
    """The values of a condition key as strings, whose name is compared without case; empty if it is missing."""
    found = context.get(key)
    if found is None:
        lowered = key.lower()
        found = next((v for k, v in context.items() if k.lower() == lowered), None)
    if found is None:
        return []
    listed = found if isinstance(found, list | tuple | set | frozenset) else [found]
    return [str(v).lower() if isinstance(v, bool) else str(v) for v in listed]


def variable_value(context: Context, name: str) -> str:
    """The single value of a policy variable, or its default (`${aws:username, 'anonymous'}`).

    Raises: UnresolvedVariable if it has no value, or several.
    """
    key, comma, default = name.partition(",")
    found = context_values(context, key.strip())
    if len(found) == 1:
        return found[0]
    if comma and not found:
        return default.strip().strip("'")
    raise UnresolvedVariable(key.strip())


def parse_condition(operator: str, key: str, wanted: Sequence[Any], has_variables: bool) -> Condition:
    """One (operator, key) pair as a test of the context.

    A missing key fails a positive operator and passes a negated one, an `…IfExists` and a `ForAllValues:`.
    Raises: ValueError naming what is not understood.
    Source: IAM User Guide, "Condition operators" and "Multivalued context keys".
    """
    quantifier, _, name = operator.rpartition(":")
    if quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise ValueError(f"unknown quantifier {quantifier!r}, expected ForAllValues or ForAnyValue")
    if name == "Null":
        expected = {_boolean(str(w)) for w in wanted}
        return lambda context: (not context_values(context, key)) in expected
    is_optional = name.endswith("IfExists")
    positive, is_negated = _positive(name.removesuffix("IfExists"))
    tests = [_test(positive, str(w) if not isinstance(w, bool) else str(w).lower(), has_variables) for w in wanted]

    def holds(found: str, context: Context) -> bool:
        return any(test(found, context) for test in tests) is not is_negated

    def run(context: Context) -> bool:
        values = context_values(context, key)
        if not values:
            return quantifier == "ForAllValues" or (quantifier == "" and (is_optional or is_negated))
        if quantifier == "ForAnyValue" or (quantifier == "" and not is_negated):
            return any(holds(found, context) for found in values)
        return all(holds(found, context) for found in values)

    return run


def _positive(name: str) -> tuple[str, bool]:
    """`StringNotLike` is `StringLike` negated, `NotIpAddress` is `IpAddress` negated."""
    positive = name.replace("Not", "", 1)
    if positive not in (*_GLOBS, *_COMPARISONS):
        known = ", ".join(sorted((*_GLOBS, *_COMPARISONS, "Null")))
        raise ValueError(f"unknown operator {name!r}, expected one of {known} or a negated form")
    return positive, positive != name


def _test(name: str, wanted: str, has_variables: bool) -> Test:
    if name in _GLOBS:
        return Pattern(wanted, has_variables=has_variables, is_arn=name.startswith("Arn")).matches
    build = _COMPARISONS[name]
    if has_variables and _VARIABLE.search(wanted):
        return lambda found, context: build(_substitute(wanted, context))(found)
    compiled = build(wanted)
    return lambda found, context: compiled(found)


def _substitute(text: str, context: Context) -> str:
    return _VARIABLE.sub(lambda m: m[1] if m[1] in ("*", "?", "$") else variable_value(context, m[1]), text)


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a number") from error


def _date(text: str) -> Decimal:
    """Epoch seconds of an ISO 8601 date or of a number of seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return Decimal(text)
    parsed = datetime.fromisoformat(text)
    return Decimal(str((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()))


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() == "true"


def _network(wanted: str) -> Callable[[str], bool]:
    network = ipaddress.ip_network(wanted, strict=False)

    def test(found: str) -> bool:
        try:
            return ipaddress.ip_address(found) in network
        except ValueError:
            return False

    return test


def _compare(
    read: Callable[[str], Any], relation: Callable[[Any, Any], bool]
) -> Callable[[str], Callable[[str], bool]]:
    """A value of the request that cannot be read as the operator's type does not match."""

    def build(wanted: str) -> Callable[[str], bool]:
        bound = read(wanted)

        def test(found: str) -> bool:
            try:
                return relation(read(found), bound)
            except ValueError:
                return False

        return test

    return build


_GLOBS = ("StringLike", "ArnLike", "ArnEquals")
_RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda a, b: bool(a == b),
    "LessThan": lambda a, b: bool(a < b),
    "LessThanEquals": lambda a, b: bool(a <= b),
    "GreaterThan": lambda a, b: bool(a > b),
    "GreaterThanEquals": lambda a, b: bool(a >= b),
}
_COMPARISONS: Mapping[str, Callable[[str], Callable[[str], bool]]] = {
    "StringEquals": _compare(str, _RELATIONS["Equals"]),
    "StringEqualsIgnoreCase": _compare(str.lower, _RELATIONS["Equals"]),
    "BinaryEquals": _compare(str, _RELATIONS["Equals"]),
    "Bool": _compare(_boolean, _RELATIONS["Equals"]),
    "IpAddress": _network,
    **{f"Numeric{name}": _compare(_number, relation) for name, relation in _RELATIONS.items()},
    **{f"Date{name}": _compare(_date, relation) for name, relation in _RELATIONS.items()},
}
