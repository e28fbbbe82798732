"""The parameters from before expressions, turned into what expressions compile to."""

from collections.abc import Callable, Mapping
from typing import Any

from headwater.dynamodb.expressions.conditions import begins_with, contains, ordered
from headwater.dynamodb.expressions.key_conditions import KeyCondition
from headwater.dynamodb.expressions.nodes import Path, ValueRef
from headwater.dynamodb.expressions.paths import PathTree, path_tree
from headwater.dynamodb.expressions.updates import Action, CompiledUpdate
from headwater.dynamodb.faults import invalid, validation
from headwater.dynamodb.items.attributes import (
    Item,
    Value,
    check_name,
    normalise_value,
    sortable,
    type_of,
    values_equal,
    wrong_type,
)
from headwater.dynamodb.operations.parameters import Matches
from headwater.dynamodb.session import Request

_SCALARS = frozenset({"S", "N", "B"})
_SCALARS_AND_SETS = _SCALARS | {"SS", "NS", "BS"}
# Operator to (fewest values, most values, allowed types; None is any)
_OPERATORS: Mapping[str, tuple[int, int, frozenset[str] | None]] = {
    "EQ": (1, 1, None),
    "NE": (1, 1, None),
    "LE": (1, 1, _SCALARS),
    "LT": (1, 1, _SCALARS),
    "GE": (1, 1, _SCALARS),
    "GT": (1, 1, _SCALARS),
    "CONTAINS": (1, 1, _SCALARS),
    "NOT_CONTAINS": (1, 1, _SCALARS),
    "BEGINS_WITH": (1, 1, frozenset({"S", "B"})),
    "IN": (1, 1 << 30, _SCALARS),
    "BETWEEN": (2, 2, _SCALARS),
    "NULL": (0, 0, None),
    "NOT_NULL": (0, 0, None),
}
_COMPARISONS = {"LE": "<=", "LT": "<", "GE": ">=", "GT": ">"}
_KEY_OPERATORS = {"EQ": "=", **_COMPARISONS, "BETWEEN": "BETWEEN", "BEGINS_WITH": "begins_with"}
EMPTY_NAMES: frozenset[str] = frozenset()


def attributes_to_get(request: Request) -> PathTree | None:
    """AttributesToGet as a tree of top-level names. Raises: ServiceError `ValidationException`."""
    names = request.get("AttributesToGet")
    if names is None:
        return None
    if not isinstance(names, list):
        raise wrong_type(names, "String")
    for at, name in enumerate(names):
        check_name(name)
        if name in names[:at]:
            raise invalid(f"Duplicate value in attribute name: {name}")
    return {name: {} for name in names}


def attribute_updates(request: Request) -> CompiledUpdate | None:
    """AttributeUpdates as an update. Raises: ServiceError `ValidationException`."""
    updates = request.get("AttributeUpdates")
    if updates is None:
        return None
    if not isinstance(updates, dict):
        raise wrong_type(updates, "Map")
    actions = []
    values: dict[str, Value] = {}
    for name, update in updates.items():
        check_name(name)
        kind = update.get("Action") or "PUT"
        value = None if update.get("Value") is None else normalise_value(update["Value"])[0]
        _check_update(kind, value)
        path = Path((name,))
        if value is None:
            actions.append(Action("REMOVE", path, None))
            continue
        values[name] = value
        actions.append(Action("SET" if kind == "PUT" else kind, path, ValueRef(name)))
    return _LegacyUpdate(tuple(actions), values)


class _LegacyUpdate(CompiledUpdate):
    """An update that brings its own values."""

    __slots__ = ("_own_values",)
    _own_values: Mapping[str, Value]

    def __init__(self, actions: tuple[Action, ...], values: Mapping[str, Value]) -> None:
        paths = [action.path for action in actions]
        CompiledUpdate.__init__(self, actions, path_tree(paths), EMPTY_NAMES, (), EMPTY_NAMES, ())
        object.__setattr__(self, "_own_values", values)

    def apply(self, item: Item, values: Mapping[str, Value]) -> Item:
        # ADD appends to a list here, which the expression of that name does not do.
        result = item
        for action in self.actions:
            result = self._apply_one(action, result)
        return result

    def _apply_one(self, action: Action, item: Item) -> Item:
        name = str(action.path.parts[0])
        existing = item.get(name)
        operand = self._own_values.get(name)
        if existing is not None and operand is not None and action.kind in {"ADD", "DELETE"}:
            if type_of(operand) not in existing:
                raise validation("Type mismatch for attribute to update")
            if "L" in operand:
                return {**item, name: {"L": existing["L"] + operand["L"]}}
        single = CompiledUpdate((action,), {}, EMPTY_NAMES, (), EMPTY_NAMES, ())
        return CompiledUpdate.apply(single, item, self._own_values)

    def static_types(self, values: Mapping[str, Value]) -> dict[str, str | None]:
        return {name: type_of(value) for name, value in self._own_values.items()}


def _check_update(kind: str, value: Value | None) -> None:
    if value is None:
        if kind != "DELETE":
            raise invalid("Only DELETE action is allowed when no attribute value is specified")
        return
    value_type = type_of(value)
    if kind == "DELETE" and value_type not in {"SS", "NS", "BS"}:
        raise invalid(f"DELETE action with value is not supported for the type {value_type}")
    if kind == "ADD" and value_type not in {"L", "SS", "NS", "BS", "N"}:
        raise invalid(f"ADD action is not supported for the type {value_type}")
    if kind not in {"PUT", "ADD", "DELETE"}:
        raise invalid(f"Unknown AttributeUpdates Action: {kind}")


def expected(request: Request) -> Matches | None:
    """Expected and ConditionalOperator as a function. Raises: ServiceError `ValidationException`."""
    conditions = request.get("Expected")
    operator = request.get("ConditionalOperator")
    if conditions is None or not conditions:
        _refuse_lone_operator(operator)
        return None
    return _join(operator, [_expected(name, condition) for name, condition in conditions.items()])


def filter_conditions(request: Request, member: str) -> tuple[Matches | None, frozenset[str]]:
    """QueryFilter or ScanFilter as a function, and the attributes it names."""
    conditions = request.get(member)
    operator = request.get("ConditionalOperator")
    if not conditions:
        _refuse_lone_operator(operator)
        return None, EMPTY_NAMES
    tests = []
    for name, condition in conditions.items():
        kind, values = _condition_values(condition)
        tests.append(_test(name, kind, values))
    return _join(operator, tests), frozenset(conditions)


def key_conditions(request: Request) -> Mapping[str, KeyCondition] | None:
    """KeyConditions in the form of a key condition expression."""
    conditions = request.get("KeyConditions")
    if conditions is None:
        return None
    found = {}
    for name, condition in conditions.items():
        kind, values = _condition_values(condition)
        found[name] = KeyCondition(_KEY_OPERATORS.get(kind, kind), tuple(values))
    if not 1 <= len(found) <= (2 if request.get("IndexName") is None else 8):
        raise validation("Conditions can be of length 1 or 2 only")
    return found


def _refuse_lone_operator(operator: str | None) -> None:
    if operator is not None:
        raise invalid("ConditionalOperator cannot be used without Filter or Expected")


def _join(operator: str | None, tests: list[Matches]) -> Matches:
    if operator == "OR":
        return lambda item: any(test(item) for test in tests)
    return lambda item: all(test(item) for test in tests)


def _expected(name: str, condition: Mapping[str, Any]) -> Matches:
    operator = condition.get("ComparisonOperator")
    exists, value, values = condition.get("Exists"), condition.get("Value"), condition.get("AttributeValueList")
    if values is not None and value is not None:
        raise invalid(f"Value and AttributeValueList cannot be used together for Attribute: {name}")
    if operator is not None:
        return _expected_comparison(name, operator, condition)
    if values is not None:
        raise invalid(f"AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}")
    if exists is False:
        if value is not None:
            raise invalid(f"Value cannot be used when Exists is false for Attribute: {name}")
        return lambda item: name not in item
    if value is None:
        shown = "null" if exists is None else "true"
        raise invalid(f"Value must be provided when Exists is {shown} for Attribute: {name}")
    wanted = normalise_value(value)[0]
    return lambda item: values_equal(item.get(name), wanted)


def _expected_comparison(name: str, operator: str, condition: Mapping[str, Any]) -> Matches:
    if condition.get("Exists") is not None:
        raise invalid(f"Exists and ComparisonOperator cannot be used together for Attribute: {name}")
    values = condition.get("AttributeValueList")
    if values is None and condition.get("Value") is not None:
        values = [condition["Value"]]
    if values is None and operator not in {"NULL", "NOT_NULL"}:
        raise invalid(
            f"Value or AttributeValueList must be used with ComparisonOperator: {operator} for Attribute: {name}"
        )
    kind, checked = _condition_values({"ComparisonOperator": operator, "AttributeValueList": values or []})
    test = _test(name, kind, checked)
    if kind == "NOT_CONTAINS":
        # Here, unlike in a filter, an absent attribute does not meet it.
        return lambda item: name in item and test(item)
    return test


def _condition_values(condition: Mapping[str, Any]) -> tuple[str, list[Value]]:
    operator = str(condition.get("ComparisonOperator"))
    values = [normalise_value(value)[0] for value in condition.get("AttributeValueList") or ()]
    if operator not in _OPERATORS:
        raise invalid(f"ComparisonOperator {operator} is not valid")
    fewest, most, allowed = _OPERATORS[operator]
    if not fewest <= len(values) <= most:
        raise invalid(f"Invalid number of argument(s) for the {operator} ComparisonOperator")
    if len({type_of(value) for value in values}) > 1:
        raise invalid("AttributeValues inside AttributeValueList must be of same type")
    for value in values:
        if allowed is not None and type_of(value) not in allowed:
            raise invalid(f"ComparisonOperator {operator} is not valid for {type_of(value)} AttributeValue type")
    if operator == "BETWEEN" and sortable(values[0]) > sortable(values[1]):
        raise validation(
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
        )
    return operator, values


def _test(name: str, operator: str, values: list[Value]) -> Matches:
    if operator == "NULL":
        return lambda item: name not in item
    if operator == "NOT_NULL":
        return lambda item: name in item
    if operator == "IN":
        return lambda item: any(values_equal(item.get(name), value) for value in values)
    if operator == "BETWEEN":
        low, high = values
        return lambda item: ordered(">=", item.get(name), low) and ordered("<=", item.get(name), high)
    wanted = values[0]
    if operator in _COMPARISONS:
        comparison = _COMPARISONS[operator]
        return lambda item: ordered(comparison, item.get(name), wanted)
    test = _TESTS[operator]
    return lambda item: test(item.get(name), wanted)


_TESTS: Mapping[str, Callable[[Value | None, Value], bool]] = {
    "EQ": values_equal,
    "NE": lambda value, wanted: not values_equal(value, wanted),
    "CONTAINS": contains,
    "NOT_CONTAINS": lambda value, wanted: not contains(value, wanted),
    "BEGINS_WITH": begins_with,
}
