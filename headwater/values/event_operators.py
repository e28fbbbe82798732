"""The comparison operators of event patterns, each as a test of one value.

Source: EventBridge user guide, "Comparison operators"; corner cases are those of aws/event-ruler as observed.
"""

import ipaddress
import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from headwater.errors import HeadwaterError

Test = Callable[["EventValue"], bool]

_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_IPV6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")


class EventPatternError(HeadwaterError):
    """The pattern is not valid; the message says where and why."""


class Pairs(list[tuple[str, Any]]):
    """A JSON object with its members in order, repeated names kept."""


class NumberText(str):
    """A JSON number by its text."""


class EventValue(NamedTuple):
    """A leaf of an event. `text` is the characters of a string, or the JSON text of anything else."""

    is_string: bool
    text: str
    number: float | None


def leaf_value(value: Any) -> EventValue:
    if isinstance(value, str) and not isinstance(value, NumberText):
        return EventValue(True, value, None)
    if value is None:
        return EventValue(False, "null", None)
    if isinstance(value, bool):
        return EventValue(False, "true" if value else "false", None)
    text = str(value)
    return EventValue(False, text, comparable(text))


def comparable(text: str) -> float | None:
    """The number as a double if that is exact, which event-ruler needs to compare by value."""
    try:
        exact = Decimal(text)
        number = float(exact)
        return number if Decimal(repr(number)) == exact else None
    except (InvalidOperation, ValueError, OverflowError):
        return None


def exactly(value: Any, *, is_by_text: bool) -> Test:
    wanted = leaf_value(value)
    if wanted.is_string:
        address = _address(wanted.text)
        if address is not None:
            return lambda found: _address(found.text) == address
        return lambda found: found.is_string and found.text == wanted.text
    if wanted.number is None or is_by_text:
        return lambda found: not found.is_string and found.text == wanted.text
    return lambda found: not found.is_string and (found.number == wanted.number or found.text == wanted.text)


def operator_test(expression: Pairs, place: str) -> Test:
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
                raise EventPatternError(f"{place}: exists must be true or false, not {shown(operand)}")
            return lambda found: True
        case "cidr":
            return _cidr(_text(operand, place, name), place)
    raise EventPatternError(f"{place}: unrecognized match type {name}")


def _text_test(name: str, operand: Any, place: str) -> Test:
    """prefix, suffix (both also with equals-ignore-case inside), wildcard and equals-ignore-case."""
    if isinstance(operand, Pairs) and name in ("prefix", "suffix"):
        if len(operand) != 1 or operand[0][0] != "equals-ignore-case":
            raise EventPatternError(f"{place}: {name} takes a string or one equals-ignore-case")
        text = _text(operand[0][1], place, "equals-ignore-case")
        if name == "suffix":
            return _ends_any_case(text)
        start = re.compile(_any_case(text))
        return lambda found: found.is_string and start.match(found.text) is not None
    text = _text(operand, place, name)
    match name:
        case "prefix":
            return lambda found: found.is_string and found.text.startswith(text)
        case "suffix":
            return lambda found: found.is_string and found.text.endswith(text)
        case "wildcard":
            parts = _wildcard(text, place)
            return lambda found: found.is_string and _fits(parts, found.text)
    pattern = re.compile(_any_case(text))
    return lambda found: found.is_string and pattern.fullmatch(found.text) is not None


def _anything_but(operand: Any, place: str) -> Test:
    """Any value but the listed ones: strings or numbers, or one nested operator over strings."""
    if isinstance(operand, Pairs):
        if len(operand) != 1 or operand[0][0] not in ("prefix", "suffix", "wildcard", "equals-ignore-case"):
            raise EventPatternError(
                f"{place}: anything-but takes prefix, suffix, wildcard or equals-ignore-case, not {shown(operand)}"
            )
        name, listed = operand[0]
        texts = listed if isinstance(listed, list) and not isinstance(listed, Pairs) else [listed]
        if not texts or (name in ("prefix", "suffix") and "" in texts):
            raise EventPatternError(f"{place}: an empty {name} is not allowed in anything-but")
        excluded = [_text_test(name, _text(text, place, name), place) for text in texts]
        return lambda found: not any(test(found) for test in excluded)
    values = operand if isinstance(operand, list) else [operand]
    if values and all(isinstance(value, NumberText) for value in values):
        numbers = [comparable(value) for value in values]
        if None in numbers:
            raise EventPatternError(f"{place}: cannot compare number {values[numbers.index(None)]}")
        return lambda found: found.is_string or found.number is None or found.number not in numbers
    if values and all(isinstance(value, str) and not isinstance(value, NumberText) for value in values):
        return lambda found: not (found.is_string and found.text in values)
    raise EventPatternError(f"{place}: anything-but takes strings or numbers, not a mixture or other values")


def _numeric(operand: Any, place: str) -> Test:
    terms = operand if isinstance(operand, list) and not isinstance(operand, Pairs) else None
    if terms is None or len(terms) not in (2, 4):
        raise EventPatternError(f"{place}: numeric must be an array of one or two comparisons")
    bounds = [_bound(operator, number, place) for operator, number in zip(terms[::2], terms[1::2], strict=True)]
    (first, low), (last, high) = bounds[0], bounds[-1]
    if len(bounds) == 2 and not (first in (">", ">=") and last in ("<", "<=")):
        raise EventPatternError(f"{place}: a numeric range is > or >= and then < or <=")
    if len(bounds) == 2 and low >= high:
        raise EventPatternError(f"{place}: bottom must be less than top")

    def is_within(found: EventValue) -> bool:
        number = None if found.is_string else found.number
        return number is not None and all(_compare(number, operator, bound) for operator, bound in bounds)

    return is_within


def _bound(operator: Any, number: Any, place: str) -> tuple[str, float]:
    if operator not in ("=", "<", "<=", ">", ">=") or isinstance(operator, NumberText):
        raise EventPatternError(f"{place}: unrecognized numeric range operator: {shown(operator)}")
    if not isinstance(number, NumberText):
        raise EventPatternError(f"{place}: value of {operator} must be numeric, not {shown(number)}")
    value = comparable(number)
    if value is None:
        raise EventPatternError(f"{place}: cannot compare number {number}")
    return operator, value


def _compare(number: float, operator: str, bound: float) -> bool:
    if operator[-1] == "=" and number == bound:
        return True
    return number < bound if operator[0] == "<" else operator[0] == ">" and number > bound


def _wildcard(text: str, place: str) -> list[str]:
    """The texts between the `*` of a wildcard, each of which is any characters; `\\*` and `\\\\` are themselves."""
    parts = [""]
    index = 0
    while index < len(text):
        character = text[index]
        following = text[index + 1 : index + 2]
        if character == "*":
            if following == "*":
                raise EventPatternError(f"{place}: consecutive wildcard characters at position {index}")
            parts.append("")
        elif character == "\\":
            if following not in ("*", "\\"):
                raise EventPatternError(f"{place}: invalid escape character at position {index}")
            parts[-1] += following
            index += 1
        else:
            parts[-1] += character
        index += 1
    return parts


def _fits(parts: list[str], text: str) -> bool:
    """Whether `text` is the parts in order with anything between them.

    Each part is taken where it comes first, which leaves the most for those after it, so nothing is tried twice; a
    regular expression took seconds for one value of 20 KB.
    """
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return text == first
    start, end = len(first), len(text) - len(last)
    if start > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in parts[1:-1]:
        found = text.find(part, start, end)
        if found < 0:
            return False
        start = found + len(part)
    return True


def _any_case(text: str) -> str:
    """A regular expression for the text with each character in lower or upper case."""
    parts = []
    for character in text:
        forms = sorted({character.lower(), character.upper()})
        parts.append("(?:" + "|".join(re.escape(form) for form in forms) + ")")
    return "".join(parts)


def _ends_any_case(text: str) -> Test:
    """Compare from the end, so that the text is looked for at one place only."""
    # Some characters are two or three in the other case, and those come in reverse too.
    forms = [sorted({character.lower(), character.upper()}) for character in reversed(text)]
    longest = sum(max(map(len, choice)) for choice in forms)
    expression = "".join("(?:" + "|".join(re.escape(form[::-1]) for form in choice) + ")" for choice in forms)
    pattern = re.compile(expression)
    return lambda found: found.is_string and pattern.match(found.text[::-1], 0, longest) is not None


def _cidr(text: str, place: str) -> Test:
    address_text, slash, bits_text = text.partition("/")
    address = _address(address_text)
    if not slash or "/" in bits_text or address is None:
        raise EventPatternError(f"{place}: malformed CIDR {text!r}")
    is_number = re.fullmatch(r"\+?[0-9]+", bits_text) is not None
    if not is_number or int(bits_text) >= address.max_prefixlen:
        raise EventPatternError(f"{place}: mask bits of {text!r} must be a number below {address.max_prefixlen}")
    network = ipaddress.ip_network((address, int(bits_text)), strict=False)

    def is_inside(found: EventValue) -> bool:
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
    if not isinstance(operand, str) or isinstance(operand, NumberText):
        raise EventPatternError(f"{place}: {name} must be a string, not {shown(operand)}")
    return operand


def place_text(path: tuple[str, ...]) -> str:
    return ".".join(path) or "pattern"


def shown(value: Any) -> str:
    if isinstance(value, Pairs):
        return "{" + ", ".join(name for name, _ in value) + "}"
    return str(value) if isinstance(value, NumberText) else json.dumps(value, default=str)
