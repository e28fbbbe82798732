"""The operators of IoT SQL on values. None of them raises: what does not fit is UNDEFINED."""

from collections.abc import Callable
from decimal import Decimal, DivisionByZero, InvalidOperation
from typing import Any

from headwater.rules.values import (
    DECIMAL_34,
    UNDEFINED,
    is_equal,
    is_int,
    number_result,
    to_boolean,
    to_decimal,
    to_string,
)

Operator = Callable[[Any, Any], Any]


def conjunction(left: Any, right: Any) -> Any:
    left, right = to_boolean(left), to_boolean(right)
    return UNDEFINED if left is UNDEFINED or right is UNDEFINED else left and right


def disjunction(left: Any, right: Any) -> Any:
    left, right = to_boolean(left), to_boolean(right)
    return UNDEFINED if left is UNDEFINED or right is UNDEFINED else left or right


def negation(value: Any) -> Any:
    value = to_boolean(value)
    return UNDEFINED if value is UNDEFINED else not value


def unequal(left: Any, right: Any) -> Any:
    equal = is_equal(left, right)
    return UNDEFINED if equal is UNDEFINED else not equal


def member(left: Any, right: Any) -> Any:
    """`x IN [array]`."""
    if left is UNDEFINED or not isinstance(right, list):
        return UNDEFINED
    return any(is_equal(left, item) is True for item in right)


def _comparison(compare: Callable[[Any, Any], bool]) -> Operator:
    def operator(left: Any, right: Any) -> Any:
        # Two ints or two floats are by far the most frequent operands of a WHERE clause.
        if type(left) is type(right) and type(left) in (int, float):
            return compare(left, right)
        left, right = to_decimal(left), to_decimal(right)
        if not (isinstance(left, Decimal) and isinstance(right, Decimal)):
            return UNDEFINED
        return compare(left, right)

    return operator


def _arithmetic(on_ints: Callable[[int, int], Any], on_decimals: Callable[[Decimal, Decimal], Decimal]) -> Operator:
    def operator(left: Any, right: Any) -> Any:
        try:
            if is_int(left) and is_int(right):
                return on_ints(left, right)
            left, right = to_decimal(left), to_decimal(right)
            if not (isinstance(left, Decimal) and isinstance(right, Decimal)):
                return UNDEFINED
            return number_result(on_decimals(left, right))
        except (ZeroDivisionError, DivisionByZero, InvalidOperation, OverflowError):
            return UNDEFINED

    return operator


def _divide_ints(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder_ints(left: int, right: int) -> int:
    return left - right * _divide_ints(left, right)


def add(left: Any, right: Any) -> Any:
    """`+`: concatenation as soon as one side is a String, else a sum."""
    if isinstance(left, str) or isinstance(right, str):
        left, right = to_string(left), to_string(right)
        return UNDEFINED if left is UNDEFINED or right is UNDEFINED else left + right
    return _sum(left, right)


def negate(value: Any) -> Any:
    """Unary minus."""
    return OPERATORS["-"](0, value)


_sum = _arithmetic(lambda a, b: a + b, DECIMAL_34.add)
remainder = _arithmetic(_remainder_ints, DECIMAL_34.remainder)

OPERATORS: dict[str, Operator] = {
    "OR": disjunction,
    "AND": conjunction,
    "IN": member,
    "=": is_equal,
    "<>": unequal,
    "<": _comparison(lambda a, b: bool(a < b)),
    "<=": _comparison(lambda a, b: bool(a <= b)),
    ">": _comparison(lambda a, b: bool(a > b)),
    ">=": _comparison(lambda a, b: bool(a >= b)),
    "+": add,
    "-": _arithmetic(lambda a, b: a - b, DECIMAL_34.subtract),
    "*": _arithmetic(lambda a, b: a * b, DECIMAL_34.multiply),
    "/": _arithmetic(_divide_ints, DECIMAL_34.divide),
    "%": remainder,
}
