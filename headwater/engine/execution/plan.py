"""Compile a selection set, for one set of conditions and one caller's rights, into a tree that is quick to walk."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionSetNode,
    is_abstract_type,
    is_leaf_type,
)

from headwater.engine.calls import FieldCall, FieldResolver, RequestRefused
from headwater.engine.execution.codegen import CodeCache, generate_object, generate_value
from headwater.engine.execution.faults import document_error
from headwater.engine.execution.inputs import ArgumentBuilder, InputTypes
from headwater.engine.execution.selection import StaticSelection, is_included
from headwater.engine.scalars import SCALARS, ScalarFault, java_text

_INTROSPECTION: Final = ("__schema", "__type")
# Deeper selections would meet Python's recursion limit; the service's own depth limit ends at 75.
_MAX_LEVELS: Final = 100


class ShapeKind(Enum):
    """What a value of a type is made of."""

    LEAF = "LEAF"
    OBJECT = "OBJECT"
    ABSTRACT = "ABSTRACT"
    LIST = "LIST"


@dataclass(slots=True)
class Shape:
    """How to complete a value of one output type.

    `type_text` is the type without its own `!`. A leaf has `serialize` (None: the value passes as it is), a list its
    `element`, an object or abstract type its possible `objects` by type name. `has_batches` tells that a batched field
    is somewhere below.
    """

    kind: ShapeKind
    type_text: str
    is_required: bool
    is_pure: bool = True
    has_aliases: bool = False
    has_batches: bool = False
    serialize: Callable[[Any], Any] | None = None
    fast_class: type | None = None
    enum_names: frozenset[str] | None = None
    element: "Shape | None" = None
    objects: dict[str, "ObjectPlan"] = field(default_factory=dict)


@dataclass(slots=True)
class FieldPlan:
    """One response key of one object type.

    `refusal` is the (errorType, message) of a field that may not be completed at all. `complete_fast` completes a
    resolver's value if nothing is wrong with it and nothing below it needs a resolver. `selected` keeps the selection
    below a published field by real names. `resolve_now` and `resolve_each_now` are the resolver's, if it never waits
    (see FieldResolver).
    """

    response_key: str
    name: str
    parent_type: str
    nodes: list[FieldNode]
    location: dict[str, Any]
    shape: Shape
    build_arguments: ArgumentBuilder
    selection: StaticSelection
    resolver: FieldResolver | None = None
    refusal: tuple[str, str] | None = None
    complete_fast: Callable[[Any], Any] | None = None
    selected: Mapping[str, Any] | None = None
    resolve_now: Callable[[FieldCall], Any] | None = None
    resolve_each_now: Callable[[list[FieldCall]], list[Any]] | None = None
    is_introspection: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_introspection = self.name in _INTROSPECTION

    @property
    def has_batches_below(self) -> bool:
        return self.shape.has_batches

    @property
    def is_plain(self) -> bool:
        """Whether the field is read from its source and nothing below it has a resolver or is refused."""
        return self.resolver is None and self.refusal is None and self.shape.is_pure and not self.is_introspection


@dataclass(slots=True)
class ObjectPlan:
    """All fields of one object type. `fast` maps a source to its response, with None for the `special` fields.

    `sequences` are the fields of a root that runs them in order, those together whose handlers can run together.
    """

    type_name: str
    fields: tuple[FieldPlan, ...]
    special: tuple[FieldPlan, ...]
    is_tracked: bool
    fast: Callable[[Any], dict[str, Any]] | None = None
    sequences: tuple[tuple[FieldPlan, ...], ...] | None = None

    @property
    def is_pure(self) -> bool:
        return not self.special and not self.is_tracked


@dataclass(frozen=True, slots=True)
class PlanScope:
    """What a compilation depends on besides the selection.

    `is_projection` compiles for reading a completed response: no resolvers run and leaves pass as they are.
    """

    schema: GraphQLSchema
    inputs: InputTypes
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]
    is_allowed: Callable[[str, str], bool]
    resolvers: Mapping[tuple[str, str], FieldResolver]
    max_depth: int
    max_fields: int
    codes: CodeCache
    is_projection: bool = False
    published_fields: frozenset[str] = frozenset()


class PlanCompiler:
    """One compilation; counts its fields, because nested fragments can ask for exponentially many."""

    def __init__(self, scope: PlanScope) -> None:
        self._scope = scope
        self._field_count = 0
        # Plans in which nothing has to be resolved, by all they depend on, with the number of their fields. The aliases
        # of a fan-out mutation share a fragment: compiling it once takes 1 ms, 25 times 6 ms.
        self._pure: dict[Hashable, tuple[ObjectPlan, int]] = {}

    def compile_object(
        self,
        object_type: GraphQLObjectType,
        sets: list[SelectionSetNode],
        *,
        depth: int = 1,
        is_tracking: bool = False,
        is_tracked: bool = False,
    ) -> ObjectPlan:
        """`is_tracking`: a published mutation field is above, so that objects of abstract types must be remembered.

        Raises: RequestRefused if the selection expands to too many fields.
        """
        collected = self._collect(object_type, sets)
        selection = tuple((key, *map(id, nodes)) for key, nodes in collected.items())
        known = (object_type.name, depth, is_tracking, is_tracked, selection)
        kept = self._pure.get(known)
        if kept is not None:
            self._count(kept[1])
            return kept[0]
        before = self._field_count
        fields = tuple(
            self._field(object_type, key, nodes, depth=depth, is_tracking=is_tracking)
            for key, nodes in collected.items()
        )
        plan = ObjectPlan(
            object_type.name, fields, tuple(one for one in fields if not one.is_plain), is_tracked=is_tracked
        )
        plan.fast = None if is_tracked else generate_object(plan, self._scope.codes)
        if plan.is_pure:
            self._pure[known] = (plan, self._field_count - before)
        return plan

    def _count(self, fields: int) -> None:
        self._field_count += fields
        if self._field_count > self._scope.max_fields:
            raise _refused(f"The selection expands to more than {self._scope.max_fields} fields.")

    def _collect(self, object_type: GraphQLObjectType, sets: list[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        collected: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()

        def walk(selection_set: SelectionSetNode) -> None:
            for node in selection_set.selections:
                if not is_included(node, self._scope.variables):
                    continue
                if isinstance(node, FieldNode):
                    key = node.alias.value if node.alias else node.name.value
                    collected.setdefault(key, []).append(node)
                elif isinstance(node, InlineFragmentNode):
                    if self._applies(node.type_condition.name.value if node.type_condition else "", object_type):
                        walk(node.selection_set)
                elif isinstance(node, FragmentSpreadNode) and node.name.value not in visited:
                    visited.add(node.name.value)
                    fragment = self._scope.fragments[node.name.value]
                    if self._applies(fragment.type_condition.name.value, object_type):
                        walk(fragment.selection_set)

        for selection_set in sets:
            walk(selection_set)
        return collected

    def _applies(self, condition: str, object_type: GraphQLObjectType) -> bool:
        if not condition or condition == object_type.name:
            return True
        conditional: Any = self._scope.schema.type_map[condition]
        return is_abstract_type(conditional) and self._scope.schema.is_sub_type(conditional, object_type)

    def _field(
        self, parent: GraphQLObjectType, key: str, nodes: list[FieldNode], *, depth: int, is_tracking: bool
    ) -> FieldPlan:
        scope = self._scope
        self._count(1)
        if depth > _MAX_LEVELS:
            raise _refused(f"The selection has more than {_MAX_LEVELS} levels.")
        name = nodes[0].name.value
        definition = scope.schema.get_field(parent, name)
        assert definition is not None, f"validated document selects {parent.name}.{name}"
        refusal = self._refusal(parent.name, name, depth)
        resolver = None if scope.is_projection or refusal else scope.resolvers.get((parent.name, name))
        is_published = depth == 1 and name in scope.published_fields
        plan = FieldPlan(
            key,
            name,
            parent.name,
            nodes,
            _location(nodes[0]),
            self._field_shape(definition, nodes, refusal is not None, depth, is_tracking or is_published),
            scope.inputs.arguments(definition.args, list(nodes[0].arguments or ())),
            StaticSelection(scope.schema, nodes, definition.type, scope.fragments, scope.variables),
            resolver,
            refusal,
            resolve_now=getattr(resolver, "resolve_now", None),
            resolve_each_now=getattr(resolver, "resolve_each_now", None),
        )
        # Other fields are completed as part of their object, or with care.
        if plan.shape.is_pure and not plan.is_introspection and (resolver is not None or depth == 1):
            plan.complete_fast = generate_value(plan.shape, scope.codes)
        return plan

    def _refusal(self, parent: str, name: str, depth: int) -> tuple[str, str] | None:
        if name.startswith("__"):
            return None
        if not self._scope.is_allowed(parent, name):
            return "Unauthorized", f"Not Authorized to access {name} on type {parent}"
        if self._scope.max_depth and depth > self._scope.max_depth:
            return "QueryDepthLimitReached", f"Query depth limit of {self._scope.max_depth} reached."
        return None

    def _field_shape(
        self,
        definition: GraphQLField,
        nodes: list[FieldNode],
        is_refused: bool,
        depth: int,
        is_tracking: bool,
    ) -> Shape:
        sets = [node.selection_set for node in nodes if node.selection_set]
        if is_refused or nodes[0].name.value in _INTROSPECTION:
            is_required = isinstance(definition.type, GraphQLNonNull)
            return Shape(ShapeKind.LEAF, str(definition.type).rstrip("!"), is_required)
        return self._shape(definition.type, sets, depth=depth, is_tracking=is_tracking)

    def _shape(self, output_type: Any, sets: list[SelectionSetNode], *, depth: int, is_tracking: bool) -> Shape:
        is_required = isinstance(output_type, GraphQLNonNull)
        nullable = output_type.of_type if is_required else output_type
        text = str(nullable)
        if isinstance(nullable, GraphQLList):
            element = self._shape(nullable.of_type, sets, depth=depth, is_tracking=is_tracking)
            return Shape(
                ShapeKind.LIST,
                text,
                is_required,
                element.is_pure,
                element.has_aliases,
                element.has_batches,
                element=element,
            )
        if is_leaf_type(nullable):
            return self._leaf(nullable, text, is_required)
        is_abstract = is_abstract_type(nullable)
        members = list(self._scope.schema.get_possible_types(nullable)) if is_abstract else [nullable]
        is_tracked = is_tracking and is_abstract
        objects = {
            member.name: self.compile_object(
                member, sets, depth=depth + 1, is_tracking=is_tracking, is_tracked=is_tracked
            )
            for member in members
        }
        return Shape(
            ShapeKind.ABSTRACT if is_abstract else ShapeKind.OBJECT,
            text,
            is_required,
            is_pure=all(plan.is_pure for plan in objects.values()),
            has_aliases=is_tracked or any(_has_aliases(plan) for plan in objects.values()),
            has_batches=any(_has_batches(plan) for plan in objects.values()),
            objects=objects,
        )

    def _leaf(self, leaf_type: Any, text: str, is_required: bool) -> Shape:
        shape = Shape(ShapeKind.LEAF, text, is_required)
        if self._scope.is_projection:
            return shape
        if isinstance(leaf_type, GraphQLEnumType):
            shape.enum_names = frozenset(leaf_type.values)
            shape.serialize = _enum_serializer(leaf_type.name, shape.enum_names)
        elif leaf_type.name in SCALARS:
            shape.serialize = SCALARS[leaf_type.name].serialize
            shape.fast_class = SCALARS[leaf_type.name].fast_class
        return shape


def _refused(message: str) -> RequestRefused:
    return RequestRefused([document_error(message, None)])


def _has_aliases(plan: ObjectPlan) -> bool:
    return any(one.response_key != one.name or one.shape.has_aliases for one in plan.fields)


def _has_batches(plan: ObjectPlan) -> bool:
    return any(
        one.shape.has_batches or (one.resolver is not None and one.resolver.max_batch_size > 0) for one in plan.special
    )


def _location(node: FieldNode) -> dict[str, Any]:
    start = node.loc.start_token if node.loc else None
    return {"line": start.line if start else 1, "column": start.column if start else 1, "sourceName": None}


def _enum_serializer(name: str, names: frozenset[str]) -> Callable[[Any], Any]:
    def serialize(value: Any) -> Any:
        if isinstance(value, str) and value in names:
            return value
        raise ScalarFault(f"Invalid input for Enum '{name}'. No value found for name '{java_text(value)}'")

    return serialize
