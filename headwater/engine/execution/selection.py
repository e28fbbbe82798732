"""`ctx.info`: the selection below a field as the service lists and prints it."""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    print_ast,
)


class StaticSelection:
    """What `ctx.info` says of a field in one document; computed when first asked for and then kept."""

    __slots__ = ("_fragments", "_graphql", "_list", "_nodes", "_schema", "_type", "_variables")

    def __init__(
        self,
        schema: GraphQLSchema,
        nodes: list[FieldNode],
        output_type: Any,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, Any],
    ) -> None:
        self._schema = schema
        self._nodes = nodes
        self._type = output_type
        self._fragments = fragments
        self._variables = variables
        self._list: tuple[str, ...] | None = None
        self._graphql: str | None = None

    @property
    def selection_set_list(self) -> list[str]:
        """Response keys, nested with `/`, parents before children, fragments expanded."""
        if self._list is None:
            sets = [node.selection_set for node in self._nodes if node.selection_set]
            self._list = tuple(dict.fromkeys(self._entries(sets, get_named_type(self._type), "")))
        return list(self._list)

    @property
    def selection_set_graphql(self) -> str:
        """The selection set printed with two-space indentation; empty for a leaf."""
        if self._graphql is None:
            sets = [node.selection_set for node in self._nodes if node.selection_set]
            if len(sets) > 1:
                selections = tuple(selection for one in sets for selection in one.selections)
                sets = [SelectionSetNode(selections=selections)]
            self._graphql = print_ast(sets[0]) if sets else ""
        return self._graphql

    def _entries(self, sets: list[SelectionSetNode], parent: Any, prefix: str) -> Iterator[str]:
        merged: dict[str, list[FieldNode]] = {}
        for one in sets:
            for node in self._fields(one, parent):
                merged.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
        for key, nodes in merged.items():
            yield prefix + key
            below = [node.selection_set for node in nodes if node.selection_set]
            if below:
                definition = self._schema.get_field(parent, nodes[0].name.value)
                if definition is not None:
                    yield from self._entries(below, get_named_type(definition.type), f"{prefix}{key}/")

    def _fields(self, selection_set: SelectionSetNode, parent: Any) -> Iterator[FieldNode]:
        """The fields that apply; of an interface or union only those of its own, not of its members."""
        for node in selection_set.selections:
            if not is_included(node, self._variables):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                if node.type_condition is None or self._covers(node.type_condition.name.value, parent):
                    yield from self._fields(node.selection_set, parent)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments[node.name.value]
                if self._covers(fragment.type_condition.name.value, parent):
                    yield from self._fields(fragment.selection_set, parent)

    def _covers(self, condition: str, parent: Any) -> bool:
        if condition == parent.name:
            return True
        conditional: Any = self._schema.type_map[condition]
        if not is_abstract_type(conditional):
            return False
        return isinstance(parent, GraphQLObjectType) and self._schema.is_sub_type(conditional, parent)


class RequestSelection:
    """A StaticSelection with one request's variables."""

    __slots__ = ("_static", "_variables")

    def __init__(self, static: StaticSelection, variables: dict[str, Any]) -> None:
        self._static = static
        self._variables = variables

    @property
    def selection_set_list(self) -> list[str]:
        return self._static.selection_set_list

    @property
    def selection_set_graphql(self) -> str:
        return self._static.selection_set_graphql

    @property
    def variables(self) -> dict[str, Any]:
        return self._variables


def is_included(node: SelectionNode, variables: Mapping[str, Any]) -> bool:
    """Whether `@skip` and `@include` let a selection stand."""
    for directive in node.directives or ():
        if directive.name.value in ("skip", "include"):
            for argument in directive.arguments or ():
                given: Any = argument.value
                value = variables.get(given.name.value) if isinstance(given, VariableNode) else given.value
                if bool(value) is (directive.name.value == "skip"):
                    return False
    return True
