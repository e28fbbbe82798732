"""Operands compiled to closures over an item and the request's values."""

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headwater.dynamodb.expressions.nodes import Call, Operand, Path, ValueRef
from headwater.dynamodb.expressions.tokens import ExpressionFault, RequestExpressionFault
from headwater.dynamodb.items.attributes import Item, Value, type_of

Values = Mapping[str, Value]
Resolve = Callable[[Item, Values], Value | None]
ValueCheck = Callable[[Values], None]


def resolve_path(item: Item, parts: Sequence[str | int]) -> Value | None:
    """The value at a document path, or None."""
    value = item.get(parts[0])  # type: ignore[arg-type]  # the first part of a path is a name
    for part in parts[1:]:
        if value is None:
            return None
        if isinstance(part, int):
            members = value.get("L")
            value = members[part] if members is not None and part < len(members) else None
        else:
            fields = value.get("M")
            value = fields.get(part) if fields is not None else None
    return value


def compile_operand(operand: Operand) -> Resolve:
    """A closure that gives the operand's value, or None if the item has none there."""
    if isinstance(operand, ValueRef):
        name = operand.name
        return lambda item, values: values[name]
    if isinstance(operand, Path):
        parts = operand.parts
        if len(parts) == 1:
            head = parts[0]
            return lambda item, values: item.get(head)  # type: ignore[arg-type]  # a name, as above
        return lambda item, values: resolve_path(item, parts)
    assert operand.function == "size"
    argument = compile_operand(operand.arguments[0])
    return lambda item, values: size_of(argument(item, values))


def size_of(value: Value | None) -> Value | None:
    """What `size` gives: UTF-16 code units of a text, bytes or members; nothing for numbers, booleans and null.

    Source of the code units: paritysuite/dynamodb-conformance, "counts UTF-16 code units (3), not UTF-8 bytes (6)".
    """
    if value is None:
        return None
    kind = type_of(value)
    content = value[kind]
    if kind in {"N", "BOOL", "NULL"}:
        return None
    if kind == "B":
        return {"N": str(len(b64decode(content)))}
    if kind == "S" and not content.isascii():
        return {"N": str(len(content.encode("utf-16-le", "surrogatepass")) // 2)}
    return {"N": str(len(content))}


def static_type(operand: Operand, values: Values) -> str | None:
    """The type known before an item is seen: that of a value, or of a function's result."""
    if isinstance(operand, ValueRef):
        return type_of(values[operand.name])
    if isinstance(operand, Call):
        return {"size": "N", "list_append": "L", "+": "N", "-": "N"}.get(operand.function)
    return None


def check_operands(function: str, operands: Sequence[Operand], allowed: frozenset[str]) -> ValueCheck:
    """A check that no operand has a type the operator or function can never take."""

    def check(values: Values) -> None:
        for operand in operands:
            kind = static_type(operand, values)
            if kind is not None and kind not in allowed:
                raise ExpressionFault(
                    "Incorrect operand type for operator or function; "
                    f"operator or function: {function}, operand type: {kind}"
                )

    return check


def always(message: str, fault: type[ExpressionFault] = ExpressionFault) -> ValueCheck:
    """A check that fails whatever the values are: a fault that the service reports only after the missing values."""

    def check(values: Values) -> None:
        raise fault(message)

    return check


def require_values(used: Sequence[str], values: Mapping[str, Any]) -> None:
    """Raise for the first placeholder without a value."""
    for name in used:
        if name not in values:
            raise RequestExpressionFault(
                f"An expression attribute value used in expression is not defined; attribute value: {name}"
            )
