"""Mathematical and bit functions of IoT SQL. Source: AWS IoT Core Developer Guide, "Functions"."""

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any

from headwater.rules.operators import remainder
from headwater.rules.values import (
    INT_LIMIT,
    UNDEFINED,
    double_result,
    floor_int,
    int_result,
    is_int,
    is_number,
    number_result,
    to_decimal,
)

# Room for 34 digits on either side of the point.
_WIDE = Context(prec=1100)


def _double(function: Callable[..., float]) -> Callable[..., Any]:
    def compute(*arguments: Any) -> Any:
        numbers = [to_decimal(argument) for argument in arguments]
        if not all(isinstance(number, Decimal) for number in numbers):
            return UNDEFINED
        try:
            return double_result(function(*map(float, numbers)))
        except (ValueError, OverflowError, ZeroDivisionError):
            return UNDEFINED

    return compute


def _rounding(mode: str) -> Callable[[Any], Any]:
    def compute(value: Any) -> Any:
        number = to_decimal(value)
        return int_result(number.to_integral_value(mode)) if isinstance(number, Decimal) else UNDEFINED

    return compute


def _bits(function: Callable[..., int]) -> Callable[..., Any]:
    def compute(*arguments: Any) -> Any:
        numbers = [floor_int(argument) for argument in arguments]
        if not all(is_int(number) and abs(number) < INT_LIMIT for number in numbers):
            return UNDEFINED
        return function(*numbers)

    return compute


def absolute(value: Any) -> Any:
    if is_int(value):
        return abs(value)
    number = to_decimal(value)
    return number_result(abs(number)) if isinstance(number, Decimal) else UNDEFINED


def sign(value: Any) -> Any:
    number = to_decimal(value)
    return (number > 0) - (number < 0) if isinstance(number, Decimal) else UNDEFINED


def truncate(value: Any, places: Any) -> Any:
    """`trunc(d, n)`: n is held to 0..34 and may be no String, which the documentation leaves out."""
    number, digits = to_decimal(value), floor_int(places)
    if not isinstance(number, Decimal) or not is_number(places) or not is_int(digits):
        return UNDEFINED
    digits = min(max(digits, 0), 34)
    if is_int(value):
        return value
    if -number.as_tuple().exponent <= digits:  # type: ignore[operator]  # finite numbers have an integer exponent
        return number_result(number)
    return number_result(number.quantize(Decimal(1).scaleb(-digits), ROUND_DOWN, _WIDE))


def nanvl(first: Any, second: Any) -> Any:
    """The second argument in place of a first that is Null or Undefined; NaN is no value here."""
    return second if first is None or first is UNDEFINED else first


MATH_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "abs": (absolute, (1,)),
    "acos": (_double(math.acos), (1,)),
    "asin": (_double(math.asin), (1,)),
    "atan": (_double(math.atan), (1,)),
    "atan2": (_double(math.atan2), (2,)),
    "bitand": (_bits(lambda a, b: a & b), (2,)),
    "bitor": (_bits(lambda a, b: a | b), (2,)),
    "bitxor": (_bits(lambda a, b: a ^ b), (2,)),
    "bitnot": (_bits(lambda a: ~a), (1,)),
    "ceil": (_rounding(ROUND_CEILING), (1,)),
    "cos": (_double(math.cos), (1,)),
    "cosh": (_double(math.cosh), (1,)),
    "exp": (_double(math.exp), (1,)),
    "floor": (_rounding(ROUND_FLOOR), (1,)),
    "ln": (_double(math.log), (1,)),
    "log": (_double(math.log10), (1,)),
    "mod": (remainder, (2,)),
    "nanvl": (nanvl, (2,)),
    "power": (_double(math.pow), (2,)),
    "remainder": (remainder, (2,)),
    "round": (_rounding(ROUND_HALF_UP), (1,)),
    "sign": (sign, (1,)),
    "sin": (_double(math.sin), (1,)),
    "sinh": (_double(math.sinh), (1,)),
    "sqrt": (_double(math.sqrt), (1,)),
    "tan": (_double(math.tan), (1,)),
    "tanh": (_double(math.tanh), (1,)),
    "trunc": (truncate, (2,)),
}
