"""Sets of document paths: overlap checks, projection of an item, projection expressions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.dynamodb.expressions.nodes import Faults, OperandParser, Path
from headwater.dynamodb.expressions.tokens import Cursor
from headwater.dynamodb.items.attributes import Item, Value

# Path parts to subtrees; an empty tree is a whole value.
PathTree = dict[str | int, Any]


def check_overlap(paths: Sequence[Path], faults: Faults) -> None:
    """Add a fault if two paths overlap or take one value for a map and a list at once."""
    if len(paths) < 2:
        return
    for at, later in enumerate(paths):
        for earlier in paths[:at]:
            _check_pair(earlier, later, faults)


def _check_pair(one: Path, other: Path, faults: Faults) -> None:
    shown = f"must remove or rewrite one of these paths; path one: {one}, path two: {other}"
    for left, right in zip(one.parts, other.parts, strict=False):
        if isinstance(left, int) is not isinstance(right, int):
            faults.add("conflict", f"Two document paths conflict with each other; {shown}")
            return
        if left != right:
            return
    faults.add("overlap", f"Two document paths overlap with each other; {shown}")


def path_tree(paths: Sequence[Path]) -> PathTree:
    """The paths as one tree."""
    tree: PathTree = {}
    for path in paths:
        node = tree
        for part in path.parts:
            node = node.setdefault(part, {})
    return tree


def project(item: Item, tree: PathTree) -> Item:
    """The parts of an item that the paths name, in the tree's order; lists are closed up."""
    result: Item = {}
    for name, subtree in tree.items():
        value = item.get(name)  # type: ignore[arg-type]  # top-level parts are names
        if value is None:
            continue
        chosen = _project_value(value, subtree) if subtree else value
        if chosen is not None:
            result[name] = chosen  # type: ignore[index]  # as above
    return result


def _project_value(value: Value, tree: PathTree) -> Value | None:
    if "M" in value:
        fields = {}
        for name, subtree in tree.items():
            member = value["M"].get(name) if isinstance(name, str) else None
            chosen = _project_value(member, subtree) if member is not None and subtree else member
            if chosen is not None:
                fields[name] = chosen
        return {"M": fields} if fields else None
    if "L" in value:
        members = []
        for index in sorted(part for part in tree if isinstance(part, int)):
            if index >= len(value["L"]):
                break
            member = value["L"][index]
            chosen = _project_value(member, tree[index]) if tree[index] else member
            if chosen is not None:
                members.append(chosen)
        return {"L": members} if members else None
    return None


@dataclass(frozen=True, slots=True)
class CompiledProjection:
    """A projection expression ready to run."""

    tree: PathTree
    used_names: frozenset[str]
    nested_heads: frozenset[str]
    path_heads: frozenset[str]


def compile_projection(text: str, names: Mapping[str, str], parameter: str) -> CompiledProjection:
    """Parse a projection expression.

    Raises: ExpressionFault.
    """
    cursor = Cursor(text, parameter)
    faults = Faults(("reserved", "index", "depth", "name", "overlap", "conflict"))
    parser = OperandParser(cursor, names, faults)
    paths = [parser.path()]
    while cursor.takes(","):
        paths.append(parser.path())
    cursor.expect_end()
    check_overlap(paths, faults)
    faults.raise_first()
    return CompiledProjection(
        path_tree(paths),
        frozenset(parser.used_names),
        frozenset(parser.nested_heads),
        frozenset(parser.path_heads),
    )
