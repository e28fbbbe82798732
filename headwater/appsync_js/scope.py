"""Rules of the APPSYNC_JS subset that look at names: globals, methods, functions as values, the context."""

from collections.abc import Iterator

from tree_sitter import Node

from headwater.appsync_js.syntax import (
    FUNCTION_TYPES,
    Bindings,
    SourceTree,
    parameters_of,
    text_of,
    walk,
)

Finding = tuple[Node, str, str]

ALLOWED_GLOBALS = frozenset(
    "NaN Infinity undefined util extensions runtime console Object String Number Boolean Array Math JSON "
    "parseInt parseFloat isNaN isFinite".split()
)
STATIC_METHODS = {
    "Object": frozenset("assign entries fromEntries hasOwn keys values".split()),
    "String": frozenset(["raw"]),
    "Number": frozenset(
        "isFinite isNaN isInteger isSafeInteger parseFloat parseInt MAX_SAFE_INTEGER MIN_SAFE_INTEGER".split()
    ),
    "Math": frozenset("random min max round floor ceil abs".split()),
    "Array": frozenset(["isArray"]),
    "JSON": frozenset(["parse", "stringify"]),
    "console": frozenset(["log", "error", "debug"]),
}
REFUSED_METHODS = frozenset(
    "copyWithin group groupToMap toLocaleString toLocaleDateString toLocaleTimeString charCodeAt codePointAt "
    "localeCompare matchAll match search padEnd padStart repeat toLocaleLowerCase toLocaleUpperCase isPrototypeOf "
    "propertyIsEnumerable".split()
)
ITERATOR_METHODS = frozenset(["entries", "keys", "values"])
CALL_METHODS = frozenset(["apply", "bind", "call"])
HIDDEN_PROPERTIES = frozenset(["constructor", "prototype", "__proto__"])
ARRAY_CALLBACKS = frozenset(
    "map find filter findIndex findLast findLastIndex forEach reduce reduceRight every some flatMap".split()
)
RESERVED_PREFIX = "__hw_"


def check_globals(tree: SourceTree) -> Iterator[Finding]:
    """Names that are declared nowhere around and are not among the documented globals."""
    for node in tree.nodes:
        if node.type not in ("identifier", "shorthand_property_identifier"):
            continue
        name = text_of(node)
        if name.startswith(RESERVED_PREFIX):
            yield node, "no-reserved-name", f"names may not begin with {RESERVED_PREFIX}"
        elif name not in ALLOWED_GLOBALS and not _is_specifier(node) and tree.bindings.find(node) is None:
            yield node, "no-unknown-global", f"{name} is not available in APPSYNC_JS"


def _is_specifier(node: Node) -> bool:
    return node.parent is not None and node.parent.type in ("import_specifier", "export_specifier")


def check_methods(tree: SourceTree) -> Iterator[Finding]:
    """Methods and properties the runtime does not have."""
    for node in tree.nodes:
        if node.type == "subscript_expression":
            index = text_of(node.child_by_field_name("index")).strip("'\"`")
            if index in HIDDEN_PROPERTIES:
                yield node, "no-prototype", f"{index} is not supported"
        if node.type != "member_expression":
            continue
        name = text_of(node.child_by_field_name("property"))
        owner = node.child_by_field_name("object")
        if name in HIDDEN_PROPERTIES:
            yield node, "no-prototype", f"{name} is not supported"
        elif owner is not None and owner.type == "identifier" and text_of(owner) in STATIC_METHODS:
            if name not in STATIC_METHODS[text_of(owner)]:
                yield node, "no-disallowed-methods", f"{text_of(owner)}.{name} is not supported"
        elif node.parent is not None and node.parent.type == "call_expression" and _is_callee(node):
            yield from _check_method_call(node, name)


def _is_callee(node: Node) -> bool:
    return node.parent is not None and node.parent.child_by_field_name("function") == node


def _check_method_call(node: Node, name: str) -> Iterator[Finding]:
    arguments = _arguments(node.parent)
    if name in CALL_METHODS:
        yield node, "no-function-methods", f"{name} is not supported"
    elif name == "sort" and arguments:
        yield node, "no-sort-function", "sort takes no arguments"
    elif name in REFUSED_METHODS or (name in ITERATOR_METHODS and not arguments):
        yield node, "no-disallowed-methods", f"the method {name} is not supported"


def _arguments(call: Node | None) -> list[Node]:
    arguments = None if call is None else call.child_by_field_name("arguments")
    return [] if arguments is None else [child for child in arguments.named_children if child.type != "comment"]


def check_functions(tree: SourceTree) -> Iterator[Finding]:
    """Functions as arguments or results, recursion, and names of functions that are assigned again."""
    bindings = tree.bindings
    for node in tree.nodes:
        if node.type == "call_expression":
            yield from _check_passing(node, bindings)
        elif _returns_function(node, bindings):
            yield node, "no-function-return", "a function may not return a function"
        elif _renames_function(node, bindings):
            yield node, "no-function-reassign", "a function may not get another name"
        elif node.type in ("assignment_expression", "augmented_assignment_expression"):
            left = node.child_by_field_name("left")
            if left is not None and left.type == "identifier" and bindings.function(left) is not None:
                yield node, "no-function-reassign", f"the function {text_of(left)} may not be assigned again"
    yield from _check_recursion(tree)


def _returns_function(node: Node, bindings: Bindings) -> bool:
    if node.type == "return_statement":
        return bool(node.named_children) and bindings.function(node.named_children[0]) is not None
    return node.type == "arrow_function" and bindings.function(node.child_by_field_name("body")) is not None


def _renames_function(node: Node, bindings: Bindings) -> bool:
    """`const other = name` and `other = name`."""
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
    elif node.type == "assignment_expression":
        value = node.child_by_field_name("right")
    else:
        return False
    return value is not None and value.type == "identifier" and bindings.function(value) is not None


def _check_passing(call: Node, bindings: Bindings) -> Iterator[Finding]:
    callee = call.child_by_field_name("function")
    if callee is not None and callee.type == "member_expression":
        method = text_of(callee.child_by_field_name("property"))
        if method in ARRAY_CALLBACKS or method == "sort":
            return
    for argument in _arguments(call):
        if bindings.function(argument) is not None:
            yield argument, "no-function-passing", "functions may be passed to the callbacks of arrays only"


def _check_recursion(tree: SourceTree) -> Iterator[Finding]:
    functions = {node.id: node for node in tree.nodes if node.type in FUNCTION_TYPES}
    calls = {key: _called(function, tree.bindings) for key, function in functions.items()}
    for key, function in functions.items():
        reached: set[int] = set()
        pending = list(calls[key])
        while pending:
            current = pending.pop()
            if current not in reached:
                reached.add(current)
                pending.extend(calls[current])
        if key in reached:
            yield function, "no-recursion", f"{_described(function)} calls itself"


def _described(function: Node) -> str:
    name = function.child_by_field_name("name")
    if name is None and function.parent is not None and function.parent.type == "variable_declarator":
        name = function.parent.child_by_field_name("name")
    return "a function without a name" if name is None else f"the function {text_of(name)}"


def _called(function: Node, bindings: Bindings) -> set[int]:
    return {
        called.id
        for node in walk(function)
        if node.type == "call_expression"
        for callee in [node.child_by_field_name("function")]
        if callee is not None and callee.type == "identifier"
        for called in [bindings.function(callee)]
        if called is not None
    }


def check_context_assignments(tree: SourceTree) -> Iterator[Finding]:
    """Assignments to the context of a handler or to its direct members; members of the stash may change."""
    for handler in ("request", "response"):
        function = tree.exported_function(handler)
        parameters = [] if function is None else parameters_of(function)
        if function is None or not parameters or parameters[0].type != "identifier":
            continue
        for node in walk(function):
            yield from _check_write(node, parameters[0], tree.bindings)


def _check_write(node: Node, context: Node, bindings: Bindings) -> Iterator[Finding]:
    if node.type in ("assignment_expression", "augmented_assignment_expression"):
        target = node.child_by_field_name("left")
    elif node.type == "unary_expression" and text_of(node.child_by_field_name("operator")) == "delete":
        target = node.child_by_field_name("argument")
    elif node.type == "for_in_statement" and node.child_by_field_name("kind") is None:
        target = node.child_by_field_name("left")
    else:
        return
    if target is None:
        return
    owner = (
        target.child_by_field_name("object") if target.type in ("member_expression", "subscript_expression") else target
    )
    binding = None if owner is None or owner.type != "identifier" else bindings.find(owner)
    if binding is not None and binding.identifier == context:
        yield node, "no-context-assignment", f"{text_of(target)} is read-only"
