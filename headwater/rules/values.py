"""The types of IoT SQL, their conversions, and the way to JSON and back.

Int is `int`; Decimal is `float` (as payloads are read) or `decimal.Decimal` (exact to 34 digits); Null is None;
Undefined is the sentinel below. Bytes stand for a payload that is no JSON.
Source: AWS IoT Core Developer Guide, "Data types" and "Conversions"; SQL version 2016-03-23 unless said otherwise.
"""

import json
import re
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
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
DECIMAL_34: Final = Context(prec=34, Emin=-6143, Emax=6144)
_DECIMAL_TEXT = re.compile(r"-?\d+(\.\d+)?([eE]-?\d+)?")
# A double keeps 15 digits for certain; longer numbers take the slow, exact reader.
_LONG_NUMBER = re.compile(rb"\d[\d.]{15}")


def parse_json(payload: bytes) -> Any:
    """The value of a JSON payload; UNDEFINED for bytes that are no JSON."""
    try:
        if _LONG_NUMBER.search(payload):
            return json.loads(payload, parse_float=Decimal, parse_constant=_refuse_constant)
        return orjson.loads(payload)
    except (ValueError, RecursionError, InvalidOperation):
        return UNDEFINED


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON value")


def to_json(value: Any) -> bytes:
    """The outgoing payload: JSON text, the bytes themselves, or nothing for Undefined."""
    if isinstance(value, bytes):
        return value
    if value is UNDEFINED:
        return b""
    return orjson.dumps(value, default=_plain_number)


def _plain_number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(decimal_text(value).encode())
    if isinstance(value, int):
        return orjson.Fragment(str(value).encode())
    raise TypeError(f"{type(value).__name__} is no JSON value")


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
        return DECIMAL_34.create_decimal(value)
    return None if value is None else UNDEFINED


def to_int(value: Any) -> Any:
    """Implicit conversion to Int: Decimal to the nearest, text is parsed and cut; else UNDEFINED."""
    if type(value) is int:
        return value
    number = to_decimal(value)
    if number is None or number is UNDEFINED:
        return number
    if isinstance(value, str):
        return int(number)
    return int(number.to_integral_value(ROUND_HALF_UP))


def floor_int(value: Any) -> Any:
    """An argument that a function rounds down to an Int; UNDEFINED if it is no number."""
    number = to_decimal(value)
    if number is None or number is UNDEFINED or abs(number.adjusted()) > 40:
        return UNDEFINED
    return int(number.to_integral_value("ROUND_FLOOR"))


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
    exponent = normal.adjusted()
    if -7 <= exponent <= 34:
        return format(normal, "f")
    return str(normal)


def number_result(value: Decimal) -> Any:
    """A computed number as a value: whole decimals are Int, short ones float, long ones stay exact."""
    if not value.is_finite():
        return UNDEFINED
    if value == value.to_integral_value() and value.adjusted() <= 34:
        return int(value)
    return short_decimal(value)


def short_decimal(value: Decimal) -> float | Decimal:
    """A Decimal as the float that reads as the same number, where there is one."""
    as_float = float(value)
    return as_float if exact(as_float) == value else DECIMAL_34.plus(value)


def double_result(value: float) -> Any:
    """A result computed in double precision; not-a-number and infinity are UNDEFINED."""
    if value != value or value in (float("inf"), float("-inf")):
        return UNDEFINED
    return int(value) if value.is_integer() and abs(value) < 1e34 else value


def cast(value: Any, type_name: str) -> Any:
    """Explicit `cast(x AS T)`; adds Boolean <-> number to the implicit conversions, and Decimal -> Int rounds down."""
    if value is None or value is UNDEFINED:
        return UNDEFINED
    if type_name == "String":
        return to_string(value)
    if type_name == "Boolean":
        return bool(value != 0) if is_number(value) else to_boolean(value)
    if type(value) is bool:
        return int(value)
    number = to_decimal(value)
    if number is UNDEFINED:
        return UNDEFINED
    if type_name == "Int":
        return int(number.to_integral_value("ROUND_FLOOR"))
    return number_result(number)


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
