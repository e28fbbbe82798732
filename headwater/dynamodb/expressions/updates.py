"""Update expressions: parse, check, and apply to an item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.dynamodb.expressions.nodes import Call, Faults, Operand, OperandParser, Path, ValueRef
from headwater.dynamodb.expressions.operands import (
    ValueCheck,
    Values,
    always,
    check_operands,
    require_values,
    resolve_path,
    static_type,
)
from headwater.dynamodb.expressions.paths import PathTree, check_overlap, path_tree
from headwater.dynamodb.expressions.tokens import Cursor, ExpressionFault, RequestExpressionFault
from headwater.dynamodb.faults import validation
from headwater.dynamodb.items.attributes import TYPE_NAMES, Item, Value, ordered_set, type_of
from headwater.dynamodb.items.numbers import add_numbers, subtract_numbers

_SECTIONS = frozenset({"SET", "REMOVE", "ADD", "DELETE"})
_ADD_TYPES = frozenset({"N", "SS", "NS", "BS"})
_DELETE_TYPES = frozenset({"SS", "NS", "BS"})
_FAULT_ORDER = (
    "reserved",
    "unknown",
    "misused",
    "section",
    "index",
    "depth",
    "name",
)
_WRONG_TYPE = "An operand in the update expression has an incorrect data type"
_NO_PATH = "The document path provided in the update expression is invalid for update"
_NO_ATTRIBUTE = "The provided expression refers to an attribute that does not exist in the item"
# Marks a removed list element until all actions have run: indexes mean positions before the update.
_REMOVED: Value = {"": None}


@dataclass(frozen=True, slots=True)
class Action:
    """One action: SET, REMOVE, ADD or DELETE; REMOVE has no operand."""

    kind: str
    path: Path
    operand: Operand | None


@dataclass(frozen=True, slots=True)
class CompiledUpdate:
    """An update ready to apply. `touched` is the tree of its paths, for UPDATED_OLD and UPDATED_NEW.

    `assignments` are the attributes with their new values if the update does nothing but SET attributes, else empty.
    """

    actions: tuple[Action, ...]
    touched: PathTree
    used_names: frozenset[str]
    used_values: tuple[str, ...]
    nested_heads: frozenset[str]
    checks: tuple[ValueCheck, ...]
    assignments: tuple[tuple[str, Operand], ...] = ()

    def bind(self, values: Values) -> None:
        """Check the request's values against the expression. Raises: ExpressionFault."""
        require_values(self.used_values, values)
        for check in self.checks:
            check(values)

    def bind_again(self, values: Values) -> None:
        """As `bind`: an update has no check of names alone."""
        self.bind(values)

    def apply(self, item: Item, values: Values) -> Item:
        """The item after the update; the given one is unchanged.

        Raises: ServiceError `ValidationException` if the item does not fit the update.
        """
        if self.assignments:
            # Most updates set attributes, and their order does not count.
            result = dict(item)
            for name, value in self.assignments:
                result[name] = values[value.name] if isinstance(value, ValueRef) else _evaluate(value, item, values)
            return result
        if all(len(action.path.parts) == 1 for action in self.actions):
            result = dict(item)
        else:
            result = _copy_map(item)
        operands = [
            None if action.operand is None else _evaluate(action.operand, item, values) for action in self.actions
        ]
        shortened: list[list[Value]] = []
        # List elements beyond the end are appended in the order of their indexes, whatever the order they are named in.
        ordered = sorted(zip(self.actions, operands, strict=True), key=_index_of)
        for action, operand in ordered:
            _apply(action, operand, result, shortened)
        for members in shortened:
            members[:] = [member for member in members if member is not _REMOVED]
        return result

    @property
    def only_removes(self) -> bool:
        """Whether there are actions and none of them can make an attribute."""
        return bool(self.actions) and all(action.kind in {"REMOVE", "DELETE"} for action in self.actions)

    def static_types(self, values: Values) -> dict[str, str | None]:
        """For each top-level attribute that is SET: the type its new value surely has, or None."""
        return {
            str(action.path.parts[0]): static_type(action.operand, values)
            for action in self.actions
            if action.kind in {"SET", "ADD"} and action.operand is not None and len(action.path.parts) == 1
        }


def compile_update(text: str, names: Mapping[str, str], parameter: str) -> CompiledUpdate:
    """Parse an update expression. Raises: ExpressionFault."""
    parser = _UpdateParser(Cursor(text, parameter), names, Faults(_FAULT_ORDER))
    actions = parser.parse()
    paths = [action.path for action in actions]
    parser.faults.raise_first()
    overlaps = Faults(("overlap", "conflict"))
    check_overlap(paths, overlaps)
    path_checks = [
        always(overlaps.found[kind], RequestExpressionFault) for kind in overlaps.order if kind in overlaps.found
    ]
    return CompiledUpdate(
        tuple(actions),
        path_tree(paths),
        frozenset(parser.used_names),
        tuple(parser.used_values),
        frozenset(parser.nested_heads),
        (*path_checks, *parser.section_checks, *parser.function_checks),
        _assignments(actions),
    )


def _assignments(actions: Sequence[Action]) -> tuple[tuple[str, Operand], ...]:
    assignments: list[tuple[str, Operand]] = []
    for action in actions:
        if action.kind != "SET" or action.operand is None or len(action.path.parts) != 1:
            return ()
        assignments.append((str(action.path.parts[0]), action.operand))
    return tuple(assignments)


class _UpdateParser(OperandParser):
    keywords = _SECTIONS

    def __init__(self, cursor: Cursor, names: Mapping[str, str], faults: Faults) -> None:
        super().__init__(cursor, names, faults)
        self.section_checks: list[ValueCheck] = []
        self.function_checks: list[ValueCheck] = []

    def parse(self) -> list[Action]:
        actions: list[Action] = []
        seen: set[str] = set()
        while True:
            section = self.cursor.current.text.upper()
            if self.cursor.current.kind != "name" or section not in _SECTIONS:
                raise self.cursor.syntax_error()
            self.cursor.advance()
            if section in seen:
                self.faults.add("section", f'The "{section}" section can only be used once in an update expression;')
            seen.add(section)
            actions.append(self._action(section))
            while self.cursor.takes(","):
                actions.append(self._action(section))
            if self.cursor.current.kind == "end":
                return actions

    def _action(self, section: str) -> Action:
        path = self.path()
        if section == "REMOVE":
            return Action(section, path, None)
        if section == "SET":
            self.cursor.expect("=")
            return Action(section, path, self._set_value())
        operand = self.value()
        allowed = _ADD_TYPES if section == "ADD" else _DELETE_TYPES
        self.section_checks.append(_check_section_operand(section, operand, allowed))
        return Action(section, path, operand)

    def _set_value(self) -> Operand:
        if self.cursor.takes("("):
            self.enter()
            value = self._set_value()
            self.cursor.expect(")")
            self.leave()
            left = value
        else:
            left = self.operand()
        token = self.cursor.current
        if token.kind != "operator" or token.text not in {"+", "-"}:
            return left
        self.cursor.advance()
        operands = (left, self.argument())
        self.function_checks.append(check_operands(token.text, operands, frozenset({"N"})))
        return Call(token.text, operands)

    def call(self) -> Call:
        call = super().call()
        function, arguments = call.function, call.arguments
        if function not in {"if_not_exists", "list_append"}:
            self.faults.add("unknown", f"Invalid function name; function: {function}")
        elif len(arguments) != 2:
            self.function_checks.append(
                always(
                    "Incorrect number of operands for operator or function; "
                    f"operator or function: {function}, number of operands: {len(arguments)}"
                )
            )
        elif function == "if_not_exists" and not isinstance(arguments[0], Path):
            self.function_checks.append(
                always(f"Operator or function requires a document path; operator or function: {function}")
            )
        elif function == "list_append" and any(_is_call(argument, function) for argument in arguments):
            self.faults.add(
                "misused",
                f"The function is not allowed to be used this way in an expression; function: {function}",
            )
        elif function == "list_append":
            self.function_checks.append(check_operands(function, arguments, frozenset({"L"})))
        return call


def _is_call(operand: Operand, function: str) -> bool:
    return isinstance(operand, Call) and operand.function == function


def _check_section_operand(section: str, operand: ValueRef, allowed: frozenset[str]) -> ValueCheck:
    def check(values: Values) -> None:
        kind = type_of(values[operand.name])
        if kind not in allowed:
            raise ExpressionFault(
                "Incorrect operand type for operator or function; "
                f"operator: {section}, operand type: {TYPE_NAMES[kind]}, typeSet: ALLOWED_FOR_{section}_OPERAND"
            )

    return check


def _evaluate(operand: Operand, item: Item, values: Values) -> Value:
    """The value of a SET operand against the item before the update."""
    if isinstance(operand, ValueRef):
        return values[operand.name]
    if isinstance(operand, Path):
        value = resolve_path(item, operand.parts)
        if value is None:
            raise validation(_NO_ATTRIBUTE)
        return value
    if operand.function == "if_not_exists":
        path = operand.arguments[0]
        assert isinstance(path, Path)
        existing = resolve_path(item, path.parts)
        return existing if existing is not None else _evaluate(operand.arguments[1], item, values)
    left = _evaluate(operand.arguments[0], item, values)
    right = _evaluate(operand.arguments[1], item, values)
    if operand.function == "list_append":
        if "L" not in left or "L" not in right:
            raise validation(_WRONG_TYPE)
        return {"L": left["L"] + right["L"]}
    if "N" not in left or "N" not in right:
        raise validation(_WRONG_TYPE)
    compute = add_numbers if operand.function == "+" else subtract_numbers
    return {"N": compute(left["N"], right["N"])}


def _index_of(entry: tuple[Action, Value | None]) -> int:
    last = entry[0].path.parts[-1]
    return last if isinstance(last, int) else -1


def _apply(action: Action, operand: Value | None, item: Item, shortened: list[list[Value]]) -> None:
    container, last = _parent(item, action.path.parts)
    if container is None:
        raise validation(_NO_PATH)
    existing = _element(container, last)
    if action.kind == "REMOVE":
        _remove(container, last, shortened)
    elif action.kind == "SET":
        assert operand is not None
        _set(container, last, operand)
    elif action.kind == "ADD":
        assert operand is not None
        _set(container, last, add_value(existing, operand))
    elif existing is not None:
        assert operand is not None
        remaining = subtract_set(existing, operand)
        if remaining is None:
            _remove(container, last, shortened)
        else:
            _set(container, last, remaining)


def _parent(item: Item, parts: Sequence[str | int]) -> tuple[Any, str | int]:
    """The dict or list that holds the last part, or None if the path does not lead there."""
    last = parts[-1]
    if len(parts) == 1:
        return item, last
    parent = resolve_path(item, parts[:-1])
    if parent is None:
        return None, last
    return parent.get("L" if isinstance(last, int) else "M"), last


def _element(container: Any, part: str | int) -> Value | None:
    if isinstance(part, int):
        element: Value | None = container[part] if part < len(container) else None
        return None if element is _REMOVED else element
    found: Value | None = container.get(part)
    return found


def _set(container: Any, part: str | int, value: Value) -> None:
    if isinstance(part, int) and part >= len(container):
        container.append(value)
    else:
        container[part] = value


def _remove(container: Any, part: str | int, shortened: list[list[Value]]) -> None:
    if isinstance(part, int):
        if part < len(container):
            container[part] = _REMOVED
            if not any(members is container for members in shortened):
                shortened.append(container)
    else:
        container.pop(part, None)


def add_value(existing: Value | None, operand: Value) -> Value:
    """ADD: a sum, or a union of sets of one type.

    Raises: ServiceError `ValidationException` if the types differ.
    """
    kind = type_of(operand)
    if existing is None:
        return operand
    if kind not in existing:
        raise validation(_WRONG_TYPE)
    if kind == "N":
        return {"N": add_numbers(existing["N"], operand["N"])}
    present = set(existing[kind])
    return ordered_set(kind, existing[kind] + [member for member in operand[kind] if member not in present])


def subtract_set(existing: Value, operand: Value) -> Value | None:
    """DELETE: the set without the operand's members, or None if it is empty then.

    Raises: ServiceError `ValidationException` if the types differ.
    """
    kind = type_of(operand)
    if kind not in existing:
        raise validation(_WRONG_TYPE)
    removed = set(operand[kind])
    remaining = [member for member in existing[kind] if member not in removed]
    return {kind: remaining} if remaining else None


def _copy_map(fields: Mapping[str, Value]) -> Item:
    return {name: _copy_value(value) for name, value in fields.items()}


def _copy_value(value: Value) -> Value:
    if "M" in value:
        return {"M": _copy_map(value["M"])}
    if "L" in value:
        return {"L": [_copy_value(member) for member in value["L"]]}
    return value
