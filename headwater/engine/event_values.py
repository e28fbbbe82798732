"""What an event of a subscription can hold at a path, to tell filters that no event answers."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from graphql import (
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_enum_type,
    is_leaf_type,
)

# How leaves are written in events; all other scalars are strings there, IDs and enums too.
_KINDS: Final = {"Int": "number", "Float": "number", "AWSTimestamp": "number", "Boolean": "Boolean"}


def filter_fault(schema: GraphQLSchema, output_type: Any, path: Sequence[str], values: Iterable[Any]) -> str | None:
    """Why values can never equal what an event of `output_type` has at `path`; None if they can.

    The service sets such a filter without a word, and its subscriber waits for ever.
    """
    current = output_type
    for depth, name in enumerate(path):
        if depth and _is_list(current):
            return f"{path[depth - 1]} is a list, into which filters do not look"
        named = get_named_type(current)
        if is_leaf_type(named):
            return f"{named.name} has no fields, and so no {name}"
        types = schema.get_possible_types(named) if is_abstract_type(named) else [named]
        found = [one.fields[name].type for one in types if name in one.fields]
        if not found:
            return f"{named.name} has no field {name}"
        current = found[0]
    leaf = get_named_type(current)
    if not is_leaf_type(leaf):
        scalars = [value for value in values if not isinstance(value, dict | list | None)]
        return f"it is an object of type {leaf.name}, never equal to {scalars[0]!r:.100}" if scalars else None
    kind = "string" if is_enum_type(leaf) else _KINDS.get(leaf.name, "string")
    for value in values:
        if _kind_of(value) not in (kind, None) and not (_is_list(current) and isinstance(value, list)):
            return f"it is a {kind} in events ({leaf.name}), never equal to {value!r:.100}"
    return None


def _is_list(output_type: Any) -> bool:
    nullable = output_type.of_type if isinstance(output_type, GraphQLNonNull) else output_type
    return isinstance(nullable, GraphQLList)


def _kind_of(value: Any) -> str | None:
    """The kind of a JSON value as filters compare it; None for null, which is equal to absent fields."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "list or object"
