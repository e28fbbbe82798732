"""Key conditions: a partition key and at most one range of sort keys, out of a condition tree."""

from collections.abc import Mapping
from dataclasses import dataclass

from headwater.dynamodb.expressions.nodes import Call, Condition, Junction, Path, ValueRef
from headwater.dynamodb.expressions.operands import Values
from headwater.dynamodb.faults import validation
from headwater.dynamodb.items.attributes import Value

_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class KeyCondition:
    """One condition on a key attribute: =, <, <=, >, >=, BETWEEN or begins_with."""

    operator: str
    values: tuple[Value, ...]


def key_conditions(tree: Condition, values: Values) -> Mapping[str, KeyCondition]:
    """The condition for each attribute.

    Raises: ServiceError `ValidationException` for anything a key condition cannot say.
    """
    found: dict[str, KeyCondition] = {}
    _collect(tree, values, found)
    return found


def _collect(tree: Condition, values: Values, found: dict[str, KeyCondition]) -> None:
    if isinstance(tree, Junction):
        if tree.operator != "AND":
            raise validation(f"Invalid operator used in KeyConditionExpression: {tree.operator}")
        for part in tree.parts:
            _collect(part, values, found)
        return
    if isinstance(tree, Call):
        _add(tree.function, tree.arguments, values, found, is_function=True)
        return
    _add(tree.operator, tree.operands, values, found, is_function=False)


def _add(
    operator: str,
    operands: tuple[Path | ValueRef | Call, ...],
    values: Values,
    found: dict[str, KeyCondition],
    *,
    is_function: bool,
) -> None:
    if operator in {"<>", "IN"} or (is_function and operator != "begins_with"):
        raise validation(f"Invalid operator used in KeyConditionExpression: {operator}")
    if operator in {"BETWEEN", "begins_with"} and not isinstance(operands[0], Path):
        raise validation(
            f"Invalid condition in KeyConditionExpression: {operator} operator must have the key attribute as its "
            "first operand"
        )
    name = ""
    for operand in operands:
        if isinstance(operand, Call):
            raise validation("KeyConditionExpressions cannot contain nested operations")
        if isinstance(operand, Path):
            if name:
                raise validation(
                    "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"
                )
            if len(operand.parts) > 1:
                raise validation("KeyConditionExpressions cannot have conditions on nested attributes")
            name = str(operand.parts[0])
    if not name:
        raise validation("Invalid condition in KeyConditionExpression: No key attribute specified")
    if name in found:
        raise validation("KeyConditionExpressions must only contain one condition per key")
    if not isinstance(operands[0], Path):
        operator = _MIRRORED[operator]
    chosen = tuple(values[operand.name] for operand in operands if isinstance(operand, ValueRef))
    found[name] = KeyCondition(operator, chosen)
