"""The operators of IoT SQL on values. None of them raises: what does not fit is UNDEFINED."""

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from headwater.rules.values import (
    DECIMAL_34,
    INT_LIMIT,
    MAXIMUM_TEXT,
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
    if type(left) is bool and type(right) is bool:
        return left and right
    left, right = to_boolean(left), to_boolean(right)
    return UNDEFINED if left is UNDEFINED or right is UNDEFINED else left and right


def disjunction(left: Any, right: Any) -> Any:
    if type(left) is bool and type(right) is bool:
        return left or right
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


def _comparison(compare: Callable[[Any, Any], Any]) -> Operator:
    def compute(left: Any, right: Any) -> Any:
        # Two ints or two floats are by far the most frequent operands of a WHERE clause; an int that a double
        # holds exactly compares with a float as their texts do.
        kind, other = type(left), type(right)
        if (kind is int or kind is float) and (
            kind is other or ((other is int or other is float) and abs(left) < _EXACT and abs(right) < _EXACT)
        ):
            return compare(left, right)
        left, right = to_decimal(left), to_decimal(right)
        if not (isinstance(left, Decimal) and isinstance(right, Decimal)):
            return UNDEFINED
        return compare(left, right)

    return compute


_EXACT = 1 << 53


def _arithmetic(on_ints: Callable[[int, int], int], on_decimals: Callable[[Decimal, Decimal], Decimal]) -> Operator:
    def compute(left: Any, right: Any) -> Any:
        if is_int(left) and is_int(right):
            try:
                result = on_ints(left, right)
            except ZeroDivisionError:
                return UNDEFINED
            return result if -INT_LIMIT < result < INT_LIMIT else number_result(DECIMAL_34.create_decimal(result))
        left, right = to_decimal(left), to_decimal(right)
        if not (isinstance(left, Decimal) and isinstance(right, Decimal)):
            return UNDEFINED
        return number_result(on_decimals(left, right))

    return compute


def _divide_ints(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder_ints(left: int, right: int) -> int:
    return left - right * _divide_ints(left, right)


def add(left: Any, right: Any) -> Any:
    """`+`: concatenation as soon as one side is a String, else a sum."""
    if isinstance(left, str) or isinstance(right, str):
        left, right = to_string(left), to_string(right)
        if left is UNDEFINED or right is UNDEFINED or len(left) + len(right) > MAXIMUM_TEXT:
            return UNDEFINED
        return left + right
    return _sum(left, right)


def negate(value: Any) -> Any:
    """Unary minus."""
    return _difference(0, value)


_difference = _arithmetic(lambda a, b: a - b, DECIMAL_34.subtract)
_sum = _arithmetic(lambda a, b: a + b, DECIMAL_34.add)
remainder = _arithmetic(_remainder_ints, DECIMAL_34.remainder)

OPERATORS: dict[str, Operator] = {
    "OR": disjunction,
    "AND": conjunction,
    "IN": member,
    "=": is_equal,
    "<>": unequal,
    "<": _comparison(operator.lt),
    "<=": _comparison(operator.le),
    ">": _comparison(operator.gt),
    ">=": _comparison(operator.ge),
    "+": add,
    "-": _difference,
    "*": _arithmetic(lambda a, b: a * b, DECIMAL_34.multiply),
    "/": _arithmetic(_divide_ints, DECIMAL_34.divide),
    "%": remainder,
}
