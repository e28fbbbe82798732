"""Coerce variables and arguments, with the service's words for what does not fit."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from graphql import (
    ArgumentNode,
    EnumValueNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    Undefined,
    ValueNode,
    VariableNode,
    type_from_ast,
)
from graphql.utilities.coerce_input_value import coerce_default_value

from headwater.engine.scalars import SCALARS, ScalarFault, java_class, java_text
from headwater.errors import RequestError

# (value, variable name, name of the nearest input field) -> coerced value
Coercer = Callable[[Any, str, str], Any]
ArgumentBuilder = Callable[[Mapping[str, Any]], dict[str, Any]]


class _Absent(Enum):
    """A value that is not there; an enum, because copies of its member are the member."""

    MISSING = "MISSING"


_MISSING: Final = _Absent.MISSING


class VariableFault(ValueError):
    """A variable's value does not fit; `has_location` is whether the service points at its definition."""

    def __init__(self, message: str, *, has_location: bool = True) -> None:
        super().__init__(message)
        self.has_location = has_location


@dataclass(frozen=True, slots=True)
class VariablePlan:
    """One declared variable; `default` is `_MISSING` if it has none. `location` is a `locations[]` entry."""

    name: str
    type_text: str
    is_required: bool
    coerce: Coercer
    default: Any
    location: dict[str, Any]


class InputTypes:
    """The input types of one schema, compiled on first use."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._objects: dict[str, Coercer] = {}

    def variables(self, operation: OperationDefinitionNode) -> tuple[VariablePlan, ...]:
        """The variables an operation declares; the document is validated, so every type is an input type."""
        plans = []
        for definition in operation.variable_definitions or ():
            input_type = type_from_ast(self._schema, definition.type)
            default: Any = _MISSING
            if definition.default_value is not None:
                default = self.literal(definition.default_value, input_type)({})
            start = definition.loc.start_token if definition.loc else None
            plans.append(
                VariablePlan(
                    definition.variable.name.value,
                    str(input_type),
                    isinstance(input_type, GraphQLNonNull),
                    self.coercer(input_type),
                    default,
                    {"line": start.line if start else 1, "column": start.column if start else 1, "sourceName": None},
                )
            )
        return tuple(plans)

    def coercer(self, input_type: Any) -> Coercer:
        """Compile the coercion of a JSON value. The result raises VariableFault."""
        if isinstance(input_type, GraphQLNonNull):
            return _required(self.coercer(input_type.of_type), str(input_type))
        if isinstance(input_type, GraphQLList):
            return _list(self.coercer(input_type.of_type))
        if isinstance(input_type, GraphQLEnumType):
            return _enum(input_type)
        if isinstance(input_type, GraphQLInputObjectType):
            return self._object(input_type)
        return _scalar(input_type.name)

    def _object(self, input_type: GraphQLInputObjectType) -> Coercer:
        known = self._objects.get(input_type.name)
        if known is not None:
            return known
        fields: list[tuple[str, Coercer, bool, str, Any]] = []

        def coerce(value: Any, variable: str, place: str) -> Any:
            if value is None:
                return None
            if not isinstance(value, dict):
                raise VariableFault(
                    f"Variable '{place}' has an invalid value. Expected type 'Map' but was "
                    f"'{java_class(value)}'. Variables for input objects must be an instance of "
                    "type 'Map'."
                )
            coerced: dict[str, Any] = {}
            for name, coerce_field, is_required, type_text, default in fields:
                if name in value:
                    coerced[name] = coerce_field(value[name], variable, name)
                elif default is not _MISSING:
                    coerced[name] = copy.deepcopy(default)
                elif is_required:
                    raise _null_fault(variable, type_text)
            if not coerced.keys() >= value.keys():
                _refuse_unknown_fields(value, input_type)
            if input_type.is_one_of and (len(coerced) != 1 or None in coerced.values()):
                raise VariableFault(
                    f"Variable '{variable}' has an invalid value. Exactly one key must be specified for OneOf type "
                    f"'{input_type.name}'."
                )
            return coerced

        # Registered before its fields are compiled: input types may refer to themselves.
        self._objects[input_type.name] = coerce
        for name, field in input_type.fields.items():
            is_required = isinstance(field.type, GraphQLNonNull)
            fields.append((name, self.coercer(field.type), is_required, str(field.type), _default(field)))
        return coerce

    def literal(self, node: ValueNode, input_type: Any) -> Callable[[Mapping[str, Any]], Any]:
        """Compile a valid literal into a function of the variables; it returns `_MISSING` for an absent variable."""
        if isinstance(node, VariableNode):
            name = node.name.value
            return lambda variables: variables.get(name, _MISSING)
        if isinstance(input_type, GraphQLNonNull):
            input_type = input_type.of_type
        if isinstance(node, NullValueNode):
            return lambda variables: None
        if isinstance(input_type, GraphQLList):
            nodes = node.values if isinstance(node, ListValueNode) else (node,)
            items = [self.literal(item, input_type.of_type) for item in nodes]
            return lambda variables: [None if (v := item(variables)) is _MISSING else v for item in items]
        if isinstance(input_type, GraphQLInputObjectType) and isinstance(node, ObjectValueNode):
            return self._object_literal(node, input_type)
        if isinstance(input_type, GraphQLEnumType):
            value: Any = node.value if isinstance(node, EnumValueNode) else None
        else:
            value = SCALARS[input_type.name].literal(node)
        return lambda variables: copy.deepcopy(value) if value.__class__ in (dict, list) else value

    def _object_literal(
        self, node: ObjectValueNode, input_type: GraphQLInputObjectType
    ) -> Callable[[Mapping[str, Any]], Any]:
        given = {field.name.value: field.value for field in node.fields}
        parts: list[tuple[str, Callable[[Mapping[str, Any]], Any] | None, Any]] = [
            (name, self.literal(given[name], field.type) if name in given else None, _default(field))
            for name, field in input_type.fields.items()
        ]

        def build(variables: Mapping[str, Any]) -> dict[str, Any]:
            built: dict[str, Any] = {}
            for name, part, default in parts:
                value = part(variables) if part else _MISSING
                if value is _MISSING:
                    value = copy.deepcopy(default)
                if value is not _MISSING:
                    built[name] = value
            return built

        return build

    def arguments(
        self, definitions: Mapping[str, GraphQLArgument], nodes: tuple[ArgumentNode, ...] | list[ArgumentNode]
    ) -> ArgumentBuilder:
        """Compile a field's arguments. An omitted argument is absent, a null one present.

        The result raises RequestError where a nullable variable holds null for a non-null argument.
        """
        given = {node.name.value: node.value for node in nodes}
        if not definitions or not (given or any(_default(d) is not _MISSING for d in definitions.values())):
            return lambda variables: {}
        parts: list[tuple[str, Callable[[Mapping[str, Any]], Any] | None, Any, str]] = [
            (
                name,
                self.literal(given[name], definition.type) if name in given else None,
                _default(definition),
                str(definition.type) if isinstance(definition.type, GraphQLNonNull) else "",
            )
            for name, definition in definitions.items()
        ]

        def build(variables: Mapping[str, Any]) -> dict[str, Any]:
            built: dict[str, Any] = {}
            for name, part, default, required_type in parts:
                value = part(variables) if part else _MISSING
                if value is _MISSING:
                    value = default if default.__class__ not in (dict, list) else copy.deepcopy(default)
                if value is not _MISSING:
                    if value is None and required_type:
                        raise RequestError(
                            f"Argument '{name}' has coerced Null value for NonNull type '{required_type}'"
                        )
                    built[name] = value
            return built

        return build


def coerce_variables(plans: tuple[VariablePlan, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    """Coerce what the client sent; an omitted variable without default is absent, a null one present.

    Raises: VariableRefusal for the first variable that does not fit.
    """
    coerced: dict[str, Any] = {}
    for plan in plans:
        name = plan.name
        try:
            if name in values:
                coerced[name] = plan.coerce(values[name], name, name)
            elif plan.default is not _MISSING:
                default = plan.default
                coerced[name] = copy.deepcopy(default) if default.__class__ in (dict, list) else default
            elif plan.is_required:
                raise _null_fault(name, plan.type_text)
        except VariableFault as fault:
            raise VariableRefusal(str(fault), plan.location if fault.has_location else None) from fault
    return coerced


class VariableRefusal(RequestError):
    """A request whose variables do not fit; `location` is the entry for `locations`, if the service gives one."""

    def __init__(self, message: str, location: dict[str, Any] | None) -> None:
        super().__init__(message)
        self.location = location


def _default(definition: GraphQLArgument | GraphQLInputField) -> Any:
    value = coerce_default_value(definition)
    return _MISSING if value is Undefined else value


def _null_fault(variable: str, type_text: str) -> VariableFault:
    return VariableFault(f"Variable '{variable}' has coerced Null value for NonNull type '{type_text}'")


def _refuse_unknown_fields(value: dict[str, Any], input_type: GraphQLInputObjectType) -> None:
    for name in value:
        if name not in input_type.fields:
            # The service does not name the field, and its text ends with a space (aws-appsync-community#273).
            raise VariableFault(
                f"The variables input contains a field that is not defined for input object type '{input_type.name}' ",
                has_location=False,
            )


def _required(inner: Coercer, type_text: str) -> Coercer:
    def coerce(value: Any, variable: str, place: str) -> Any:
        if value is None:
            raise _null_fault(variable, type_text)
        return inner(value, variable, place)

    return coerce


def _list(inner: Coercer) -> Coercer:
    def coerce(value: Any, variable: str, place: str) -> Any:
        if value is None:
            return None
        items = value if isinstance(value, list) else [value]
        return [inner(item, variable, place) for item in items]

    return coerce


def _enum(enum: GraphQLEnumType) -> Coercer:
    names = frozenset(enum.values)

    def coerce(value: Any, variable: str, place: str) -> Any:
        if value is None or (isinstance(value, str) and value in names):
            return value
        raise VariableFault(
            f"Variable '{place}' has an invalid value. Invalid input for Enum '{enum.name}'. No value found for name "
            f"'{java_text(value)}'."
        )

    return coerce


def _scalar(name: str) -> Coercer:
    parse, fast_class = SCALARS[name].parse, SCALARS[name].fast_class
    exact_class: type | None = {"Int": int, "Float": float}.get(name)

    def coerce(value: Any, variable: str, place: str) -> Any:
        if value is None or value.__class__ is fast_class:
            return value
        # A number that may pass as it is; the others (too large, not finite, of another class) are looked at closely.
        if value.__class__ is exact_class and -(2**31) < value < 2**31:  # type: ignore[operator]  # a number
            return value
        try:
            return parse(value)
        except ScalarFault as fault:
            raise VariableFault(f"Variable '{place}' has an invalid value. {fault}") from fault

    return coerce
