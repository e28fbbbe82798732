"""Find what is wrong with a literal, and print literals as graphql-java's syntax tree prints itself."""

from dataclasses import dataclass
from typing import Any

from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FloatValueNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    VariableNode,
)
from graphql.type import is_required_input_field

from headwater.engine.scalars import SCALARS, ScalarFault


@dataclass(frozen=True, slots=True)
class WrongValue:
    """The part of a literal that does not fit; `place` is its path below the argument: `.filter.limit`, `[2]`."""

    place: str
    node: Any
    reason: str


def value_text(node: Any) -> str:
    """`ObjectValue{objectFields=[ObjectField{name='a', value=IntValue{value=1}}]}`."""
    if isinstance(node, ObjectValueNode):
        fields = ", ".join(
            f"ObjectField{{name='{field.name.value}', value={value_text(field.value)}}}" for field in node.fields
        )
        return f"ObjectValue{{objectFields=[{fields}]}}"
    if isinstance(node, ListValueNode):
        return f"ArrayValue{{values=[{', '.join(map(value_text, node.values))}]}}"
    if isinstance(node, StringValueNode):
        return f"StringValue{{value='{node.value}'}}"
    if isinstance(node, IntValueNode | FloatValueNode):
        return f"{'Int' if isinstance(node, IntValueNode) else 'Float'}Value{{value={node.value}}}"
    if isinstance(node, BooleanValueNode):
        return f"BooleanValue{{value={'true' if node.value else 'false'}}}"
    if isinstance(node, EnumValueNode):
        return f"EnumValue{{name='{node.value}'}}"
    if isinstance(node, VariableNode):
        return f"VariableReference{{name='{node.name.value}'}}"
    return "NullValue{}"


def wrong_value(node: Any, input_type: Any, place: str = "") -> WrongValue | None:
    """The first part of a literal that does not fit its type, None if all does; variables always fit."""
    if isinstance(node, VariableNode):
        return None
    if isinstance(node, NullValueNode):
        return WrongValue(place, node, "must not be null") if isinstance(input_type, GraphQLNonNull) else None
    if isinstance(input_type, GraphQLNonNull):
        input_type = input_type.of_type
    if isinstance(input_type, GraphQLList):
        return _wrong_item(node, input_type.of_type, place)
    if isinstance(input_type, GraphQLInputObjectType):
        return _wrong_field(node, input_type, place)
    if isinstance(input_type, GraphQLEnumType):
        fits = isinstance(node, EnumValueNode) and node.value in input_type.values
    else:
        fits = _fits_scalar(node, input_type.name)
    return None if fits else WrongValue(place, node, f"is not a valid '{input_type.name}'")


def _fits_scalar(node: Any, name: str) -> bool:
    try:
        SCALARS[name].literal(node)
    except ScalarFault:
        return False
    return True


def _wrong_item(node: Any, item_type: Any, place: str) -> WrongValue | None:
    if not isinstance(node, ListValueNode):
        return wrong_value(node, item_type, place)
    for index, item in enumerate(node.values):
        wrong = wrong_value(item, item_type, f"{place}[{index}]")
        if wrong:
            return wrong
    return None


def _wrong_field(node: Any, input_type: GraphQLInputObjectType, place: str) -> WrongValue | None:
    if not isinstance(node, ObjectValueNode):
        return WrongValue(place, node, "must be an object type")
    given = {field.name.value: field for field in node.fields}
    required = (name for name, field in input_type.fields.items() if is_required_input_field(field))
    missing = [name for name in required if name not in given]
    if missing:
        return WrongValue(place, node, f"is missing required fields '[{', '.join(missing)}]'")
    for name, field in given.items():
        if name not in input_type.fields:
            return WrongValue(place, node, f"contains a field not in '{input_type.name}': '{name}'")
        wrong = wrong_value(field.value, input_type.fields[name].type, f"{place}.{name}")
        if wrong:
            return wrong
    return None
