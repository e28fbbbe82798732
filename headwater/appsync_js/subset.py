"""The APPSYNC_JS language subset: what the service refuses is refused at load, with line, column and rule."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tree_sitter import Node

from headwater.appsync_js.members import MODULES, check_members
from headwater.appsync_js.scope import (
    check_context_assignments,
    check_functions,
    check_globals,
    check_methods,
)
from headwater.appsync_js.syntax import FUNCTION_TYPES, SourceTree, string_value, text_of, walk
from headwater.errors import TemplateError

MAX_CODE_BYTES = 32 * 1024
MAX_REPORTED = 20


@dataclass(frozen=True, slots=True)
class Violation:
    """One refused construct; `line` and `column` count from 1."""

    line: int
    column: int
    rule: str
    message: str

    @classmethod
    def at(cls, node: Node, rule: str, message: str) -> "Violation":
        return cls(node.start_point[0] + 1, node.start_point[1] + 1, rule, message)


STATEMENT_RULES = {
    "try_statement": ("no-try", "try, catch and finally are not supported"),
    "throw_statement": ("no-throw", "throw is not supported: use util.error()"),
    "while_statement": ("no-while", "while is not supported: use for-of"),
    "do_statement": ("no-while", "do-while is not supported: use for-of"),
    "for_statement": ("no-for", "for(;;) is not supported: use for-of or for-in"),
    "continue_statement": ("no-continue", "continue is not supported"),
    "labeled_statement": ("no-labels", "labels are not supported"),
    "with_statement": ("no-with", "with is not supported"),
    "debugger_statement": ("no-debugger", "debugger is not supported"),
    "update_expression": ("no-unary", "++ and -- are not supported: use += 1 and -= 1"),
    "regex": ("no-regex", "regular expression literals are not supported: use util.matches()"),
    "await_expression": ("no-await", "await is not supported"),
    "yield_expression": ("no-yield", "yield is not supported"),
    "generator_function": ("no-generators", "generators are not supported"),
    "generator_function_declaration": ("no-generators", "generators are not supported"),
    "class": ("no-classes", "classes are not supported"),
    "class_declaration": ("no-classes", "classes are not supported"),
    "new_expression": ("no-new", "new is not supported"),
    "this": ("no-this", "this is not supported"),
    "super": ("no-classes", "super is not supported"),
    "meta_property": ("no-meta", "new.target and import.meta are not supported"),
}


def check_subset(tree: SourceTree) -> list[Violation]:
    """Every construct of a module that the service would refuse, in source order."""
    syntax = list(_check_syntax(tree.root))
    if syntax:
        return syntax
    checks: tuple[Callable[[SourceTree], Iterable[tuple[Node, str, str]]], ...] = (
        _check_tokens,
        _check_imports,
        _check_exports,
        check_globals,
        check_members,
        check_methods,
        check_functions,
        check_context_assignments,
    )
    found = [Violation.at(*finding) for check in checks for finding in check(tree)]
    if len(tree.source) > MAX_CODE_BYTES:
        found.append(
            Violation(1, 1, "code-size", f"the code is {len(tree.source)} bytes, the limit is {MAX_CODE_BYTES}")
        )
    return sorted(found, key=lambda violation: (violation.line, violation.column))


def enforce_subset(tree: SourceTree, name: str) -> None:
    """Raises: TemplateError with one line `name:line:column: message (rule)` for each violation."""
    violations = check_subset(tree)
    if violations:
        lines = [f"{name}:{v.line}:{v.column}: {v.message} ({v.rule})" for v in violations[:MAX_REPORTED]]
        raise TemplateError("\n".join(lines))


def _check_syntax(root: Node) -> Iterator[Violation]:
    if not root.has_error:
        return
    for node in walk(root):
        if node.type == "ERROR" or node.is_missing:
            near = text_of(node).split("\n")[0][:40]
            yield Violation.at(node, "syntax", f"syntax error near {near!r}" if near else "syntax error")
            return


def _check_tokens(tree: SourceTree) -> Iterator[tuple[Node, str, str]]:
    for node in tree.nodes:
        if node.is_named and node.type in STATEMENT_RULES:
            yield node, *STATEMENT_RULES[node.type]
        elif node.type in ("unary_expression", "binary_expression"):
            yield from _check_operator(node)
        elif node.type in FUNCTION_TYPES:
            yield from _check_function_kind(node)
        elif node.type == "for_in_statement" and any(child.type == "await" for child in node.children):
            yield node, "no-await", "for await is not supported"
        elif node.type == "number" and text_of(node).endswith("n"):
            yield node, "no-bigint", "BigInt literals are not supported"


def _check_operator(node: Node) -> Iterator[tuple[Node, str, str]]:
    operator = text_of(node.child_by_field_name("operator"))
    if node.type == "unary_expression" and operator == "~":
        yield node, "no-unary", "~ is not supported"
    elif node.type == "binary_expression" and operator == "in":
        yield node, "no-in", "the in operator is not supported: use Object.hasOwn()"
    elif node.type == "binary_expression" and operator == "instanceof":
        yield node, "no-instanceof", "instanceof is not supported"


def _check_function_kind(node: Node) -> Iterator[tuple[Node, str, str]]:
    kinds = {child.type for child in node.children if not child.is_named}
    if "async" in kinds:
        yield node, "no-async", "async functions are not supported"
    if node.type == "method_definition" and "*" in kinds:
        yield node, "no-generators", "generators are not supported"
    if node.type == "method_definition" and kinds & {"get", "set", "static"}:
        yield node, "no-accessors", "getters and setters are not supported"


def _check_imports(tree: SourceTree) -> Iterator[tuple[Node, str, str]]:
    for node in tree.nodes:
        if node.type == "import_statement":
            source = string_value(node.child_by_field_name("source"))
            if source not in MODULES:
                yield node, "imports", f"only {', '.join(MODULES)} may be imported, not {source}"
            elif any(child.type == "identifier" for clause in node.named_children for child in clause.named_children):
                yield node, "imports", f"{source} has no default export: import names or * as a name"
        elif node.type == "call_expression" and _callee_type(node) == "import":
            yield node, "imports", "dynamic import is not supported"


def _callee_type(call: Node) -> str:
    function = call.child_by_field_name("function")
    return "" if function is None else function.type


def _check_exports(tree: SourceTree) -> Iterator[tuple[Node, str, str]]:
    for statement in tree.root.named_children:
        if statement.type != "export_statement":
            continue
        if statement.child_by_field_name("source") is not None:
            yield statement, "exports", "re-exporting another module is not supported"
        elif any(child.type == "default" for child in statement.children):
            yield statement, "exports", "a default export is not supported: export request and response"
    for handler in ("request", "response"):
        if handler not in tree.exports:
            yield tree.root, "exports", f"the module has to export a function {handler}"
