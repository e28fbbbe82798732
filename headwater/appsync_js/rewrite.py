"""Turns a module into code the engine can load: no imports or exports, and loops that count."""

import orjson
from tree_sitter import Node

from headwater.appsync_js.source_map import SourceMap
from headwater.appsync_js.syntax import FUNCTION_TYPES, SourceTree, string_value, text_of, walk

MAX_LOOP_ITERATIONS = 1000
# A function body instead of a real module: the engine reports no fault of a module's top level.
PREFIX = '(()=>{"use strict";const {library:__hw_library,tick:__hw_tick,at:__hw_at}=__headwater;const __hw_make=()=>{'
REGISTER = "__headwater.register(...__hw_make())"
CONSTANT_TYPES = FUNCTION_TYPES | {"string", "number", "true", "false", "null", "undefined"}


class _Edits:
    """Replacements and insertions by byte offset; insertions that end a construct come before those that begin one."""

    def __init__(self) -> None:
        self.replacements: list[tuple[int, int, bytes]] = []
        self.begins: dict[int, list[bytes]] = {}
        self.ends: dict[int, list[bytes]] = {}

    def replace(self, node: Node, text: str) -> None:
        """Keeps the number of lines, so that error positions stay those of the source."""
        kept = text + "\n" * (text_of(node).count("\n") - text.count("\n"))
        self.replacements.append((node.start_byte, node.end_byte, kept.encode()))

    def wrap(self, node: Node, before: str, after: str) -> None:
        self.begins.setdefault(node.start_byte, []).append(before.encode())
        self.ends.setdefault(node.end_byte, []).insert(0, after.encode())

    def insert_before(self, node: Node, text: str) -> None:
        self.begins.setdefault(node.start_byte, []).append(text.encode())

    def insert_after(self, node: Node, text: str) -> None:
        self.begins.setdefault(node.end_byte, []).append(text.encode())

    def apply(self, source: bytes) -> str:
        pieces: list[bytes] = []
        replaced = {start: (end, text) for start, end, text in self.replacements}
        offsets = sorted({0, len(source), *self.begins, *self.ends, *replaced})
        skipped_to = 0
        for position, offset in enumerate(offsets):
            if offset < skipped_to:
                continue
            pieces.extend(self.ends.get(offset, ()))
            pieces.extend(self.begins.get(offset, ()))
            start = offset
            if offset in replaced:
                start, text = replaced[offset]
                skipped_to = start
                pieces.append(text)
            following = next((other for other in offsets[position + 1 :] if other >= start), len(source))
            pieces.append(source[start:following])
        return b"".join(pieces).decode()


def rewrite_module(tree: SourceTree, source_map: SourceMap) -> str:
    """The module as a script that registers `request` and `response` when it runs; its names stay private.

    Every call of `console` learns its place in the sources, which the service's log lines begin with.
    """
    edits = _Edits()
    loops = 0
    for node in tree.nodes:
        if node.type == "import_statement":
            edits.replace(node, _import_text(node))
        elif node.type == "export_statement":
            _drop_export(node, edits)
        elif node.type == "for_in_statement":
            _count_loop(node, edits, loops)
            loops += 1
        elif node.type == "call_expression" and _is_log(node, tree):
            _place_log(node, edits, source_map)
    exports = tree.exports
    handlers = f"return [{exports['request']},{exports['response']}];"
    register = "__headwater.registerFactory(__hw_make)" if keeps_state(tree.root) else REGISTER
    return PREFIX + edits.apply(tree.source) + f"\n;{handlers}}};{register};}})();"


def keeps_state(root: Node) -> bool:
    """Whether a handler could leave something behind at the top level of its module for the next call.

    The service evaluates the module for every call, so such a module is run anew each time; one with functions and
    plain constants only is run once.
    """
    for statement in root.named_children:
        declaration = statement.child_by_field_name("declaration") or statement
        if declaration.type in ("import_statement", "export_statement", "function_declaration", "comment"):
            continue
        if declaration.type != "lexical_declaration" or text_of(declaration.child_by_field_name("kind")) != "const":
            return True
        for declarator in declaration.named_children:
            value = declarator.child_by_field_name("value")
            if declarator.type == "variable_declarator" and (value is None or value.type not in CONSTANT_TYPES):
                return True
    return False


def _import_text(node: Node) -> str:
    module = string_value(node.child_by_field_name("source"))
    source = f"__hw_library[{module!r}]"
    names: list[str] = []
    for child in walk(node):
        if child.type == "namespace_import":
            return f"const {text_of(child.named_children[-1])}={source};"
        if child.type == "import_specifier":
            name = text_of(child.child_by_field_name("name"))
            alias = text_of(child.child_by_field_name("alias"))
            # The globals are the same objects, and a second declaration would only shadow them.
            names.append(f"{name}:{alias}" if alias else name)
    return f"const {{{','.join(names)}}}={source};"


def _drop_export(node: Node, edits: _Edits) -> None:
    if node.child_by_field_name("declaration") is None:
        edits.replace(node, ";")
    else:
        edits.replace(node.children[0], "")


def _is_log(call: Node, tree: SourceTree) -> bool:
    callee = call.child_by_field_name("function")
    owner = callee.child_by_field_name("object") if callee is not None and callee.type == "member_expression" else None
    is_console = owner is not None and owner.type == "identifier" and text_of(owner) == "console"
    return is_console and owner is not None and tree.bindings.find(owner) is None


def _place_log(call: Node, edits: _Edits, source_map: SourceMap) -> None:
    """The place is the last argument, so that what stands before it keeps its columns."""
    arguments = call.child_by_field_name("arguments")
    if arguments is None or arguments.type != "arguments":
        return
    last = next((child for child in reversed(arguments.children[1:-1]) if child.type != "comment"), None)
    line, column = call.start_point
    place = orjson.dumps(source_map.place(line + 1, column + 1)).decode()
    comma = "" if last is None or last.type == "," else ","
    edits.insert_before(arguments.children[-1], f"{comma}__hw_at({place})")


def _count_loop(node: Node, edits: _Edits, number: int) -> None:
    body = node.child_by_field_name("body")
    if body is None:
        return
    counter = f"__hw_n{number}"
    check = f"if(++{counter}>{MAX_LOOP_ITERATIONS})__hw_tick({counter});"
    edits.wrap(node, f"{{let {counter}=0;", "}")
    if body.type == "statement_block":
        edits.insert_after(body.children[0], check)
    else:
        edits.wrap(body, "{" + check, "}")
