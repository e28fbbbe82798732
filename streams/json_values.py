"""Any JSON in the table: as typed values where DynamoDB can hold them, as text where it cannot."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from streams.items import Attribute, Item, scalar
from streams.record import is_encodable

# Deeper is no data anybody means, and readers of JSON give up at some hundreds.
MAX_DEPTH = 100
# How deep Python reads JSON depends on its version and on who calls: 1000 levels at most, on 3.13 many more.
_READABLE_DEPTH = 500
# A string that never ends goes to the end: starting again at each of its quotes would take the square of its length.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
# DynamoDB has 32 levels; whether the attribute itself is one of them need not be known.
_NATIVE_DEPTH = 28
_MAX_NUMBER = 1e125
_MIN_NUMBER = 1e-130
_MAX_WHOLE = 10**38
_MAX_KEY_BYTES = 65_535


class JsonValueError(ValueError):
    """The value is no JSON that can be kept; the text says what was found and what was expected."""


def parse_json(data: bytes) -> Any:
    """Read a payload. Half a surrogate pair, which no UTF-8 text can hold, becomes U+FFFD.

    Raises: JsonValueError for what is no JSON, or nested too deep to be read.
    """
    try:
        text = data.decode("utf-8")
        if _is_unreadable(text):
            raise JsonValueError(f"nested too deep, at most {MAX_DEPTH} levels are accepted")
        value = json.loads(text, parse_constant=_refuse_constant)
        text = json.dumps(value, ensure_ascii=False)
        if is_encodable(text):
            return value
        return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except JsonValueError:
        raise
    except ValueError as error:
        raise JsonValueError(f"no JSON: {str(error)[:200]}") from error


def _is_unreadable(text: str) -> bool:
    if text.count("[") + text.count("{") <= _READABLE_DEPTH:
        return False
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > _READABLE_DEPTH:
                return True
        elif found[0] in "]}":
            depth -= 1
    return False


def checked_json(value: Any, max_bytes: int) -> Any:
    """Return a JSON value that can be kept and told of. Raises: JsonValueError."""
    for member, depth in _members(value):
        if depth >= MAX_DEPTH and isinstance(member, dict | list):
            raise JsonValueError(f"nested too deep, at most {MAX_DEPTH} levels are accepted")
        if type(member) is float and not math.isfinite(member):
            raise JsonValueError(f"{member} is no JSON number")
        if type(member) is str and not is_encodable(member):
            raise JsonValueError("half a surrogate pair, expected Unicode text")
    try:
        size_bytes = len(_text(value))
    except ValueError as error:
        # Python writes no whole number of more than 4300 digits.
        raise JsonValueError("a number has more than 4300 digits") from error
    if size_bytes > max_bytes:
        raise JsonValueError(f"{size_bytes} bytes, expected at most {max_bytes}")
    return value


def json_attributes(name: str, value: Any) -> Item:
    """Store a checked value under `name`, or its text under `<name>Json`; one of the two is there."""
    if all(_is_native(member, depth) for member, depth in _members(value)):
        return {name: _typed(value)}
    return {f"{name}Json": {"S": _text(value)}}


def stored_json(fields: Mapping[str, Any], name: str) -> Any:
    """Read what `json_attributes` stored, from an item without its types."""
    text = fields.get(f"{name}Json")
    return fields.get(name) if text is None else json.loads(text)


def _typed(value: Any) -> Attribute:
    if isinstance(value, dict):
        return {"M": {name: _typed(member) for name, member in value.items()}}
    if isinstance(value, list):
        return {"L": [_typed(member) for member in value]}
    return scalar(value)


def _members(value: Any) -> Iterator[tuple[Any, int]]:
    """Walk a value without recursion: everything in it, keys too, with the number of containers around it."""
    waiting = [(value, 0)]
    while waiting:
        member, depth = waiting.pop()
        yield member, depth
        if isinstance(member, dict):
            waiting += [(each, depth + 1) for pair in member.items() for each in pair]
            if "" in member:
                # A key like any other to JSON, and none to DynamoDB.
                yield _EMPTY_KEY, depth
        elif isinstance(member, list):
            waiting += [(each, depth + 1) for each in member]


_EMPTY_KEY = object()


def _is_native(member: Any, depth: int) -> bool:
    if member is _EMPTY_KEY or depth > _NATIVE_DEPTH:
        return False
    kind = type(member)
    if kind is int:
        return bool(-_MAX_WHOLE < member < _MAX_WHOLE)
    if kind is float:
        return bool(member == 0 or _MIN_NUMBER <= abs(member) < _MAX_NUMBER)
    if kind is dict:
        return all(len(name) <= _MAX_KEY_BYTES // 4 for name in member)
    return True


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
