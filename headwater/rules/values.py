"""The types of IoT SQL, their conversions, and the way to JSON and back.

Int is `int`; Decimal is `float` (as payloads are read) or `decimal.Decimal` (exact to 34 digits); Null is None;
Undefined is the sentinel below. Bytes stand for a payload that is no JSON.
Source: AWS IoT Core Developer Guide, "Data types" and "Conversions"; SQL version 2016-03-23 unless said otherwise.
"""

import base64
import json
import re
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, Final

import orjson


class _Undefined:
    """The value of what does not exist; it is left out of every JSON object."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Undefined"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = _Undefined()
# Overflow and division by zero give Infinity and NaN, which are no Decimals here: no computation raises.
DECIMAL_34: Final = Context(prec=34, Emin=-999, Emax=999, traps=[])
INT_LIMIT: Final = 10**34
# Deeper JSON is no payload anybody sends, and could not be written again.
MAXIMUM_JSON_DEPTH: Final = 128
MAXIMUM_TEXT: Final = 1024 * 1024
_DECIMAL_TEXT = re.compile(r"-?\d+(\.\d+)?([eE]-?\d+)?", re.ASCII)
# A double keeps 15 digits for certain, and no exponent of three; such numbers take the slow, exact reader. They are
# found by the shape of the text, many times faster than by a regular expression: digits and points are 0, signs +.
_SHAPE = bytes(
    48 if byte in b"0123456789." else 101 if byte in b"eE" else 43 if byte in b"+-" else 32 for byte in range(256)
)
_LONG = b"0" * 16


def parse_json(payload: bytes) -> Any:
    """The value of a JSON payload; UNDEFINED for bytes that are no JSON, or go beyond numbers and depth of the SQL."""
    shape = payload.translate(_SHAPE)
    try:
        if _LONG in shape or b"0e000" in shape or b"0e+000" in shape:
            value = json.loads(
                payload.decode(), parse_float=_read_decimal, parse_int=_read_int, parse_constant=_refuse_number
            )
        else:
            value = orjson.loads(payload)
    except (ValueError, RecursionError, InvalidOperation):
        return UNDEFINED
    if payload.count(b"[") + payload.count(b"{") > MAXIMUM_JSON_DEPTH and _is_deeper(value, MAXIMUM_JSON_DEPTH):
        return UNDEFINED
    return value


def _read_decimal(text: str) -> float | Decimal:
    number = DECIMAL_34.create_decimal(text)
    return short_decimal(number) if number.is_finite() else _refuse_number(text)


def _read_int(text: str) -> int | float | Decimal:
    return int(text) if len(text) <= 34 else _read_decimal(text)


def _refuse_number(text: str) -> Any:
    raise ValueError(f"{text[:40]} is no number of IoT SQL")


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [child for node in level if isinstance(node, (dict, list)) for child in _children(node)]
        if not level:
            return False
    return any(isinstance(node, (dict, list)) for node in level)


def _children(node: Any) -> Any:
    return node.values() if isinstance(node, dict) else node


def to_json(value: Any) -> bytes:
    """The outgoing payload: JSON text, the bytes themselves, or nothing for Undefined.

    Raises: ValueError for a value that cannot be written, as one that is nested too deep.
    """
    if isinstance(value, bytes):
        return value
    if value is UNDEFINED:
        return b""
    try:
        return orjson.dumps(value, default=_written)
    except TypeError:
        # orjson takes no integer above 64 bits; everything else it refuses is refused again.
        try:
            return orjson.dumps(_without_long_ints(value), default=_written)
        except (TypeError, RecursionError) as error:
            raise ValueError(f"the result cannot be written as JSON: {error}") from error


def _written(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(decimal_text(value).encode())
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _without_long_ints(value: Any) -> Any:
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        return Decimal(value)
    if isinstance(value, dict):
        return {key: _without_long_ints(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_without_long_ints(child) for child in value]
    return value


def is_int(value: Any) -> bool:
    return type(value) is int


def is_decimal(value: Any) -> bool:
    return type(value) is float or type(value) is Decimal


def is_number(value: Any) -> bool:
    return type(value) in (int, float, Decimal)


def exact(value: Any) -> Decimal:
    """A number as a Decimal; a float becomes the shortest text that reads as the same float."""
    return Decimal(repr(value)) if type(value) is float else Decimal(value)


def to_decimal(value: Any) -> Any:
    """Implicit conversion to Decimal: numbers and numeric text; Null stays Null; else UNDEFINED."""
    kind = type(value)
    if kind is int or kind is float or kind is Decimal:
        return exact(value)
    if kind is str and _DECIMAL_TEXT.fullmatch(value):
        number = DECIMAL_34.create_decimal(value)
        return number if number.is_finite() else UNDEFINED
    return None if value is None else UNDEFINED


def to_int(value: Any) -> Any:
    """Implicit conversion to Int: Decimal to the nearest, text is parsed and cut; else UNDEFINED."""
    if type(value) is int:
        return value
    number = to_decimal(value)
    if number is None or number is UNDEFINED:
        return number
    return int_result(number if isinstance(value, str) else number.to_integral_value(ROUND_HALF_UP))


def floor_int(value: Any) -> Any:
    """An argument that a function rounds down to an Int; UNDEFINED if it is no number.

    What is beyond 34 digits is held to them: such an index or count is out of every bound anyway.
    """
    if type(value) is int:
        return value
    number = to_decimal(value)
    if number is None or number is UNDEFINED:
        return UNDEFINED
    if number.adjusted() >= 34:
        return -INT_LIMIT if number < 0 else INT_LIMIT
    return int(number.to_integral_value(ROUND_FLOOR))


def to_boolean(value: Any) -> Any:
    """Implicit conversion to Boolean: only Booleans and "true"/"false" in any case; else UNDEFINED."""
    if type(value) is bool:
        return value
    if type(value) is str:
        return {"true": True, "false": False}.get(value.lower(), UNDEFINED)
    return UNDEFINED


def to_string(value: Any) -> Any:
    """Implicit conversion to String; Null and Undefined give UNDEFINED."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if is_decimal(value):
        return decimal_text(exact(value))
    if isinstance(value, (dict, list)):
        return to_json(value).decode()
    return UNDEFINED


def decimal_text(value: Decimal) -> str:
    """A Decimal as text: plain where it is short, scientific where plain would be mostly zeros."""
    normal = value.normalize(DECIMAL_34)
    if -7 <= normal.adjusted() <= 34:
        return format(normal, "f")
    return str(normal)


def int_result(value: Decimal) -> Any:
    """A number as an Int, its decimal places cut; UNDEFINED beyond the 34 digits of an Int."""
    return int(value) if value.adjusted() < 34 else UNDEFINED


def number_result(value: Decimal) -> Any:
    """A computed Decimal as a value; not-a-number and infinity are UNDEFINED."""
    return short_decimal(value) if value.is_finite() else UNDEFINED


def short_decimal(value: Decimal) -> float | Decimal:
    """A Decimal as the float that reads as the same number, where there is one."""
    as_float = float(value)
    return as_float if exact(as_float) == value else DECIMAL_34.plus(value)


def double_result(value: float) -> Any:
    """A result computed in double precision; not-a-number and infinity are UNDEFINED."""
    return UNDEFINED if value != value or value in (float("inf"), float("-inf")) else value


def whole_as_int(value: Any) -> Any:
    """What version 2016-03-23 writes of a number: a Decimal without decimal places is an Int."""
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) < 1e34 else value
    if type(value) is Decimal and value == value.to_integral_value() and value.adjusted() < 34:
        return int(value)
    return value


def cast(value: Any, type_name: str) -> Any:
    """Explicit `cast(x AS T)`; adds Boolean <-> number to the implicit conversions, and Decimal -> Int rounds down."""
    if value is None or value is UNDEFINED:
        return UNDEFINED
    if type_name == "String":
        return to_string(value)
    if type_name == "Boolean":
        return bool(value != 0) if is_number(value) else to_boolean(value)
    if type(value) is bool:
        return int(value) if type_name == "Int" else float(value)
    number = to_decimal(value)
    if number is UNDEFINED:
        return UNDEFINED
    if type_name == "Int":
        return int_result(number.to_integral_value(ROUND_FLOOR))
    return double_result(float(number)) if type_name == "Double" else number_result(DECIMAL_34.plus(number))


def is_equal(left: Any, right: Any) -> Any:
    """`=`: deep, numbers by value, mismatched types are unequal, Undefined on either side is UNDEFINED."""
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    return _same(left, right)


def _same(left: Any, right: Any) -> bool:
    if is_number(left) and is_number(right):
        return bool(left == right) if type(left) is type(right) else exact(left) == exact(right)
    if type(left) is not type(right):
        return False
    if type(left) is dict:
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if type(left) is list:
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
