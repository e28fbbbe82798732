"""Checks a request against the shape of its operation, with the service's own messages."""

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.errors import ServiceError

Rule = tuple[Callable[[Any], bool], str]
_MAX_REPORTED = 10
_NOT_BASE64 = re.compile(r"[^a-zA-Z0-9+/=]|=[^=]")


@dataclass(frozen=True, slots=True)
class Shape:
    """One member: its type, whether it must be there, and its rules in the order the service reports them.

    `unless` names a member that stands in for a missing one; `element` is the shape of a list's members, `members`
    those of a structure; `java_name` is how the service prints a structure.
    """

    type: str
    is_required: bool = False
    rules: tuple[Rule, ...] = ()
    unless: str = ""
    element: "Shape | None" = None
    members: Mapping[str, "Shape"] = field(default_factory=dict)
    java_name: str = ""


def at_least(limit: int) -> Rule:
    return (lambda value: value >= limit, f"Member must have value greater than or equal to {limit}")


def at_most(limit: int) -> Rule:
    return (lambda value: value <= limit, f"Member must have value less than or equal to {limit}")


def min_length(limit: int) -> Rule:
    return (lambda value: len(value) >= limit, f"Member must have length greater than or equal to {limit}")


def max_length(limit: int) -> Rule:
    return (lambda value: len(value) <= limit, f"Member must have length less than or equal to {limit}")


def matches(pattern: str) -> Rule:
    compiled = re.compile(pattern, re.ASCII)
    return (
        lambda value: compiled.fullmatch(value) is not None,
        f"Member must satisfy regular expression pattern: {pattern}",
    )


def one_of(*allowed: str) -> Rule:
    return (lambda value: value in allowed, f"Member must satisfy enum value set: [{', '.join(allowed)}]")


def each_length(low: int, high: int, *, what: str = "Member", of: Callable[[Any], Any] = lambda value: value) -> Rule:
    """Every element (or what `of` gives of a map) has a length within limits."""
    return (
        lambda value: all(low <= len(item) <= high for item in of(value)),
        f"{what} must satisfy constraint: [Member must have length less than or equal to {high}, "
        f"Member must have length greater than or equal to {low}]",
    )


def check_request(request: Mapping[str, Any], members: Mapping[str, Shape]) -> dict[str, Any]:
    """The known members of a request with their blobs as bytes.

    Raises: ServiceError `SerializationException` for a wrong type, `ValidationException` for broken rules (at most
    ten, in the service's order).
    """
    checked = _convert_members(request, members)
    errors: list[str] = []
    _check_members(checked, members, "", errors)
    if errors:
        plural = "s" if len(errors) > 1 else ""
        message = f"{len(errors)} validation error{plural} detected: {'; '.join(errors)}"
        raise ServiceError("ValidationException", message)
    return checked


def _check_members(values: Mapping[str, Any], members: Mapping[str, Shape], path: str, errors: list[str]) -> None:
    for name, shape in members.items():
        value = values.get(name)
        where = f"{path}{name[0].lower()}{name[1:]}"
        if value is None:
            if shape.is_required and shape.unless not in values:
                _report(errors, "null", where, "Member must not be null")
            continue
        _check(value, shape, where, errors)


def _check(value: Any, shape: Shape, where: str, errors: list[str]) -> None:
    for test, message in shape.rules:
        if not test(value):
            _report(errors, f"'{_printed(value, shape)}'", where, message)
    if shape.members:
        _check_members(value, shape.members, f"{where}.", errors)
    elif shape.element is not None and isinstance(value, list):
        for number, item in enumerate(value, start=1):
            _check(item, shape.element, f"{where}.{number}.member", errors)


def _report(errors: list[str], value: str, where: str, message: str) -> None:
    if len(errors) < _MAX_REPORTED:
        errors.append(f"Value {value} at '{where}' failed to satisfy constraint: {message}")


def _printed(value: Any, shape: Shape) -> str:
    if isinstance(value, bytes):
        return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    if isinstance(value, list):
        printed = (shape.element.java_name if shape.element is not None else "") or ""
        return f"[{', '.join(printed or str(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={item}" for key, item in value.items()) + "}"
    return str(value)


def _convert_members(values: Mapping[str, Any], members: Mapping[str, Shape]) -> dict[str, Any]:
    converted = {}
    for name, shape in members.items():
        value = values.get(name)
        if value is not None:
            converted[name] = _convert(value, shape)
    return converted


def _convert(value: Any, shape: Shape) -> Any:
    if shape.type == "String" and isinstance(value, str):
        return value
    if shape.type == "Blob" and isinstance(value, bytes):
        return value
    return _CONVERTERS[shape.type](value, shape)


def _type_error(message: str) -> ServiceError:
    return ServiceError("SerializationException", message)


def _refuse_composite(value: Any) -> None:
    if isinstance(value, list):
        raise _type_error("Start of list found where not expected")
    if isinstance(value, dict):
        raise _type_error("Start of structure or map found where not expected.")


def _java_class(value: Any) -> str:
    if isinstance(value, bool):
        return "class java.lang.Boolean"
    if isinstance(value, int | float):
        return "class com.amazon.coral.value.json.numbers.TruncatingBigNumber"
    return "class java.lang.String"


def _to_string(value: Any, shape: Shape) -> str:
    _refuse_composite(value)
    raise _type_error(f"{_java_class(value)} can not be converted to an String")


def _to_integer(value: Any, shape: Shape) -> int:
    _refuse_composite(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _type_error(f"{_java_class(value)} can not be converted to an {shape.type}")
    if not math.isfinite(value):
        raise _type_error(f"{value} can not be converted to an {shape.type}")
    return min(math.floor(value), 2_147_483_647)


def _to_boolean(value: Any, shape: Shape) -> bool:
    _refuse_composite(value)
    if isinstance(value, bool):
        return value
    shown = f"'{value.upper()}'" if isinstance(value, str) else _java_class(value)
    raise _type_error(f"{shown} can not be converted to an Boolean")


def _to_timestamp(value: Any, shape: Shape) -> float:
    if hasattr(value, "timestamp"):  # CBOR has a type for points in time
        return float(value.timestamp())
    _refuse_composite(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _type_error(f"{_java_class(value)} can not be converted to milliseconds since epoch")
    return value


def _to_blob(value: Any, shape: Shape) -> bytes:
    _refuse_composite(value)
    if not isinstance(value, str):
        raise _type_error(f"{_java_class(value)} can not be converted to a Blob")
    if len(value) % 4:
        raise _type_error(
            f"'{value}' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes "
            f"but found: {len(value)}"
        )
    # The fast path first: a client's base64 is right.
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if base64.b64encode(decoded).decode() == value:
        return decoded
    wrong = _NOT_BASE64.search(value)
    if wrong:
        raise _type_error(f"'{value}' can not be converted to a Blob: Invalid Base64 character: '{wrong[0][0]}'")
    raise _type_error(f"'{value}' can not be converted to a Blob: Invalid last non-pad Base64 character dectected")


def _to_list(value: Any, shape: Shape) -> list[Any]:
    if isinstance(value, dict):
        raise _type_error("Start of structure or map found where not expected.")
    if not isinstance(value, list):
        raise _type_error("Expected list or null")
    element = shape.element
    return value if element is None else [_convert(item, element) for item in value if item is not None]


def _to_map(value: Any, shape: Shape) -> dict[str, Any]:
    if isinstance(value, list):
        raise _type_error("Start of list found where not expected")
    if not isinstance(value, dict):
        raise _type_error("Expected map or null")
    element = shape.element
    items = ((k, v) for k, v in value.items() if v is not None)
    return dict(items) if element is None else {str(key): _convert(item, element) for key, item in items}


def _to_structure(value: Any, shape: Shape) -> dict[str, Any]:
    if isinstance(value, list):
        raise _type_error("Start of list found where not expected")
    if not isinstance(value, dict):
        raise _type_error("Expected null")
    return _convert_members(value, shape.members)


_CONVERTERS: Mapping[str, Callable[[Any, Shape], Any]] = {
    "String": _to_string,
    "Integer": _to_integer,
    "Boolean": _to_boolean,
    "Timestamp": _to_timestamp,
    "Blob": _to_blob,
    "List": _to_list,
    "Map": _to_map,
    "Structure": _to_structure,
}
