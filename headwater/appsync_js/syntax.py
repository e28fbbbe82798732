"""APPSYNC_JS source as a syntax tree, with the few questions the rules ask of it and of its names."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

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
BLOCK_TYPES = frozenset({"program", "statement_block", "switch_body", "for_in_statement", "for_statement"})


@dataclass(frozen=True, slots=True)
class SourceTree:
    """The parsed source; byte offsets of nodes index `source`.

    `nodes` are all nodes in source order, made once because every rule looks at them; `exports` maps exported to
    local names.
    """

    source: bytes
    root: Node
    nodes: tuple[Node, ...]
    exports: dict[str, str]
    bindings: "Bindings"

    @classmethod
    def parse(cls, code: str) -> "SourceTree":
        source = code.encode()
        parser = Parser(Language(tree_sitter_javascript.language()))
        root = parser.parse(source).root_node
        nodes = tuple(walk(root))
        return cls(source, root, nodes, _exported_names(root), Bindings.of(nodes))

    def exported_function(self, name: str) -> Node | None:
        """The function exported as `name`, where its declaration shows it."""
        binding = self.bindings.top_level(self.exports.get(name, ""))
        return None if binding is None else binding.function


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


@dataclass(frozen=True, slots=True)
class Binding:
    """One declared name; `function` is the function it names, where that can be told from the declaration."""

    identifier: Node
    function: Node | None = None


@dataclass(frozen=True, slots=True)
class Bindings:
    """The names of every scope, by the id of the node that opens it."""

    root: Node
    scopes: dict[int, dict[str, Binding]] = field(default_factory=dict)

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> "Bindings":
        """`nodes` are all nodes of a tree in source order."""
        ordered = iter(nodes)
        root = next(ordered)
        bindings = cls(root)
        for node in ordered:
            for scope, binding in _declarations(node):
                bindings.scopes.setdefault(scope.id, {})[text_of(binding.identifier)] = binding
        return bindings

    def find(self, identifier: Node) -> Binding | None:
        """The declaration an identifier refers to; None for a global of the runtime."""
        name = text_of(identifier)
        scope = identifier.parent
        while scope is not None:
            binding = self.scopes.get(scope.id, {}).get(name)
            if binding is not None:
                return binding
            scope = scope.parent
        return None

    def function(self, node: Node | None) -> Node | None:
        """The function that an expression is or names."""
        if node is None or node.type in FUNCTION_TYPES:
            return node
        if node.type != "identifier":
            return None
        binding = self.find(node)
        return None if binding is None else binding.function

    def top_level(self, name: str) -> Binding | None:
        """A declaration at the top level of the module."""
        return self.scopes.get(self.root.id, {}).get(name)


def _declarations(node: Node) -> Iterator[tuple[Node, Binding]]:
    """The names a node declares, each with the node that opens its scope."""
    if node.type in FUNCTION_TYPES:
        for pattern in parameters_of(node):
            yield from ((node, Binding(identifier)) for identifier in bound_identifiers(pattern))
    if node.type in ("function_declaration", "function_expression"):
        name = node.child_by_field_name("name")
        if name is not None:
            # The name of a function expression is known in that expression alone.
            scope = _block_around(node) if node.type == "function_declaration" else node
            yield scope, Binding(name, node)
    elif node.type == "variable_declarator":
        yield from _variables(node)
    elif node.type == "for_in_statement" and node.child_by_field_name("kind") is not None:
        left = node.child_by_field_name("left")
        if left is not None:
            yield from ((node, Binding(identifier)) for identifier in bound_identifiers(left))
    elif node.type in ("import_specifier", "namespace_import"):
        yield _block_around(node), Binding(node.child_by_field_name("alias") or node.named_children[-1])


def _variables(declarator: Node) -> Iterator[tuple[Node, Binding]]:
    name, value = declarator.child_by_field_name("name"), declarator.child_by_field_name("value")
    if name is None:
        return
    is_var = declarator.parent is not None and declarator.parent.type == "variable_declaration"
    scope = _function_around(declarator) if is_var else _block_around(declarator)
    function = value if value is not None and value.type in FUNCTION_TYPES and name.type == "identifier" else None
    yield from ((scope, Binding(identifier, function)) for identifier in bound_identifiers(name))


def _block_around(node: Node) -> Node:
    scope = node.parent
    while scope is not None and scope.parent is not None and scope.type not in BLOCK_TYPES:
        scope = scope.parent
    return node if scope is None else scope


def _function_around(node: Node) -> Node:
    scope = node.parent
    while scope is not None and scope.parent is not None and scope.type not in FUNCTION_TYPES:
        scope = scope.parent
    return node if scope is None else scope
