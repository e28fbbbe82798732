"""Which parts of ctx a handler names, so that only those cross into the engine."""

from dataclasses import dataclass, field

from tree_sitter import Node

from headwater.appsync_js.syntax import (
    Bindings,
    SourceTree,
    parameters_of,
    string_value,
    text_of,
    walk,
)

CONTEXT_PARTS = (
    "arguments",
    "identity",
    "source",
    "request",
    "info",
    "prev",
    "stash",
    "result",
    "error",
    "env",
    "outErrors",
)
NAME_TYPES = frozenset(["property_identifier", "identifier", "shorthand_property_identifier_pattern"])
ENTROPY_NAMES = frozenset("autoId autoUlid autoKsuid randomDouble randomWithinRange random".split())


@dataclass(frozen=True, slots=True)
class ContextUsage:
    """The parts of ctx one handler may touch, named as AppSync names them.

    `names_selection_set` is false only where the code cannot read `info.selectionSetList` or `selectionSetGraphQL`.
    """

    parts: frozenset[str]
    names_selection_set: bool = False
    # In a fixed order: it is the order of the members of ctx that the code sees.
    ordered: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ordered", tuple(sorted(self.parts)))

    @property
    def keeps_stash(self) -> bool:
        return "stash" in self.parts


class _Escapes(Exception):
    """ctx is used in a way this scan does not follow."""


def context_usage(tree: SourceTree, handler: str) -> ContextUsage:
    """The usage of the exported function `handler`; every part where ctx itself is passed on or computed into."""
    function = tree.exported_function(handler)
    try:
        if function is None:
            raise _Escapes
        names = _parameter_names(function, 0, tree.bindings, set())
    except _Escapes:
        names = set(CONTEXT_PARTS)
    identifiers = {text_of(node) for node in tree.nodes if node.type in NAME_TYPES}
    if "authType" in identifiers:
        names.add("identity")
    if "args" in names:
        names.add("arguments")
    parts = frozenset(names) & frozenset(CONTEXT_PARTS)
    return ContextUsage(parts, "info" in parts and (b"selectionSet" in tree.source or computes_members(tree)))


def returns_result(tree: SourceTree) -> bool:
    """Whether the response handler is nothing but `return ctx.result`, so that it cannot change what it is given."""
    function = tree.exported_function("response")
    parameters = [] if function is None else parameters_of(function)
    body = None if function is None else function.child_by_field_name("body")
    if body is None or len(parameters) != 1 or parameters[0].type != "identifier":
        return False
    if body.type == "statement_block":
        statements = [child for child in body.named_children if child.type != "comment"]
        if len(statements) != 1 or statements[0].type != "return_statement" or not statements[0].named_children:
            return False
        body = statements[0].named_children[0]
    return body.type == "member_expression" and text_of(body) == f"{text_of(parameters[0])}.result"


def needs_entropy(tree: SourceTree) -> bool:
    """Whether the code can draw random numbers."""
    return any(_draws(node) for node in tree.nodes)


def _draws(node: Node) -> bool:
    if node.type == "subscript_expression":
        return text_of(node.child_by_field_name("object")) in ("util", "Math", "util.math")
    return node.type in NAME_TYPES and text_of(node) in ENTROPY_NAMES


def computes_members(tree: SourceTree) -> bool:
    """Whether the code reads members by a name that is only known when it runs."""
    return any(
        node.type == "subscript_expression"
        and string_value(node.child_by_field_name("index")) is None
        and text_of(node.child_by_field_name("index")).isdigit() is False
        for node in tree.nodes
    )


def _parameter_names(function: Node, index: int, bindings: Bindings, seen: set[tuple[int, int]]) -> set[str]:
    """The members of the index-th argument that a function reads, directly or by passing it to a known function."""
    key = (function.id, index)
    if key in seen:
        return set()
    seen.add(key)
    parameters = parameters_of(function)
    if len(parameters) <= index:
        uses_rest = any(parameter.type == "rest_pattern" for parameter in parameters)
        if uses_rest or any(text_of(node) == "arguments" and node.type == "identifier" for node in walk(function)):
            raise _Escapes
        return set()
    pattern = parameters[index]
    if pattern.type == "object_pattern":
        return _pattern_names(pattern)
    if pattern.type != "identifier":
        raise _Escapes
    name = text_of(pattern)
    names: set[str] = set()
    for node in walk(function):
        if node.type == "shorthand_property_identifier" and text_of(node) == name:
            raise _Escapes
        if node.type == "identifier" and text_of(node) == name and node != pattern:
            names |= _use_names(node, bindings, seen)
    return names


def _pattern_names(pattern: Node) -> set[str]:
    names: set[str] = set()
    for child in pattern.named_children:
        if child.type == "shorthand_property_identifier_pattern":
            names.add(text_of(child))
        elif child.type == "object_assignment_pattern":
            names.add(text_of(child.child_by_field_name("left")))
        elif child.type == "pair_pattern":
            key = child.child_by_field_name("key")
            literal = string_value(key)
            if literal is None and (key is None or key.type != "property_identifier"):
                raise _Escapes
            names.add(text_of(key) if literal is None else literal)
        elif child.type != "comment":
            raise _Escapes
    return names


def _use_names(node: Node, bindings: Bindings, seen: set[tuple[int, int]]) -> set[str]:
    parent = node.parent
    if parent is None:
        raise _Escapes
    if parent.type == "member_expression" and parent.child_by_field_name("object") == node:
        return {text_of(parent.child_by_field_name("property"))}
    if parent.type == "subscript_expression" and parent.child_by_field_name("object") == node:
        literal = string_value(parent.child_by_field_name("index"))
        if literal is not None:
            return {literal}
    if parent.type == "variable_declarator" and parent.child_by_field_name("value") == node:
        pattern = parent.child_by_field_name("name")
        if pattern is not None and pattern.type == "object_pattern":
            return _pattern_names(pattern)
    if parent.type == "arguments" and parent.parent is not None:
        callee = parent.parent.child_by_field_name("function")
        target = bindings.function(callee)
        if target is not None:
            given = [child for child in parent.named_children if child.type != "comment"]
            return _parameter_names(target, given.index(node), bindings, seen)
    raise _Escapes
