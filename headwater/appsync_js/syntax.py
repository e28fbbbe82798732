"""APPSYNC_JS source as a syntax tree, with the few questions the rules ask of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import tree_sitter_javascript
from tree_sitter import Language, Node, Parser

FUNCTION_TYPES = frozenset(
    {
        "function_declaration",
        "function_expression",
        "arrow_function",
        "method_definition",
        "generator_function",
        "generator_function_declaration",
    }
)


@dataclass(frozen=True, slots=True)
class SourceTree:
    """The parsed source; byte offsets of nodes index `source`.

    `nodes` are all nodes in source order, made once because every rule looks at them. `functions` are those with a
    name, `exports` maps exported to local names.
    """

    source: bytes
    root: Node
    nodes: tuple[Node, ...]
    functions: dict[str, Node]
    exports: dict[str, str]

    @classmethod
    def parse(cls, code: str) -> "SourceTree":
        source = code.encode()
        parser = Parser(Language(tree_sitter_javascript.language()))
        root = parser.parse(source).root_node
        nodes = tuple(walk(root))
        return cls(source, root, nodes, _named_functions(nodes), _exported_names(root))


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, in source order, punctuation included."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(current.children))


def text_of(node: Node | None) -> str:
    """The source text of a node; empty for none."""
    return "" if node is None or node.text is None else node.text.decode()


def string_value(node: Node | None) -> str | None:
    """The value of a plain string literal without escapes, else None."""
    if node is None or node.type != "string":
        return None
    parts = [child for child in node.children if child.is_named]
    if any(child.type != "string_fragment" for child in parts):
        return None
    return "".join(text_of(child) for child in parts)


def bound_identifiers(pattern: Node) -> Iterator[Node]:
    """The identifiers a parameter or declaration pattern introduces."""
    if pattern.type in ("identifier", "shorthand_property_identifier_pattern"):
        yield pattern
    elif pattern.type in ("pair_pattern", "assignment_pattern", "object_assignment_pattern"):
        inner = pattern.child_by_field_name("value" if pattern.type == "pair_pattern" else "left")
        if inner is not None:
            yield from bound_identifiers(inner)
    elif pattern.type in ("object_pattern", "array_pattern", "rest_pattern", "formal_parameters"):
        for child in pattern.named_children:
            yield from bound_identifiers(child)


def parameters_of(function: Node) -> list[Node]:
    """The parameter patterns of a function; an arrow function may have one bare identifier."""
    single = function.child_by_field_name("parameter")
    if single is not None:
        return [single]
    formal = function.child_by_field_name("parameters")
    return [] if formal is None else [child for child in formal.named_children if child.type != "comment"]


def _named_functions(nodes: Iterable[Node]) -> dict[str, Node]:
    """Every function that has a name of its own or is the value of a variable, by that name."""
    functions: dict[str, Node] = {}
    for node in nodes:
        if node.type in ("function_declaration", "function_expression"):
            name = node.child_by_field_name("name")
            if name is not None:
                functions[text_of(name)] = node
        elif node.type == "variable_declarator":
            name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
            if name is not None and name.type == "identifier" and value is not None and value.type in FUNCTION_TYPES:
                functions[text_of(name)] = value
    return functions


def _exported_names(root: Node) -> dict[str, str]:
    exports: dict[str, str] = {}
    for statement in root.named_children:
        if statement.type != "export_statement":
            continue
        declaration = statement.child_by_field_name("declaration")
        if declaration is not None:
            exports.update((name, name) for name in declared_names(declaration))
        for clause in statement.named_children:
            if clause.type != "export_clause":
                continue
            for specifier in clause.named_children:
                if specifier.type == "export_specifier":
                    local = text_of(specifier.child_by_field_name("name"))
                    exports[text_of(specifier.child_by_field_name("alias")) or local] = local
    return exports


def declared_names(declaration: Node) -> list[str]:
    """The names a function, class or variable declaration introduces."""
    name = declaration.child_by_field_name("name")
    if name is not None:
        return [text_of(name)]
    return [
        text_of(identifier)
        for declarator in declaration.named_children
        if declarator.type == "variable_declarator"
        for pattern in [declarator.child_by_field_name("name")]
        if pattern is not None
        for identifier in bound_identifiers(pattern)
    ]
