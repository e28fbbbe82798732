"""Condition, filter and key condition expressions: parse, check, compile to one closure."""

import operator as operators
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from headwater.dynamodb.expressions.nodes import (
    Call,
    Comparison,
    Condition,
    Faults,
    Junction,
    Operand,
    OperandParser,
    Path,
    ValueRef,
)
from headwater.dynamodb.expressions.operands import (
    Resolve,
    ValueCheck,
    Values,
    always,
    check_operands,
    compile_operand,
    require_values,
    static_type,
)
from headwater.dynamodb.expressions.tokens import Cursor, ExpressionFault
from headwater.dynamodb.items.attributes import TYPES, Item, Value, sortable, type_of, values_equal

Test = Callable[[Item, Values], bool]
COMPARATORS = frozenset({"=", "<>", "<", "<=", ">", ">="})
MAX_OPERATORS = 300
_ORDERED = frozenset({"S", "N", "B"})
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
_ARITY = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}
_FAULT_ORDER = ("parens", "unknown", "misused", "reserved", "index", "depth")
# Reported for the first condition that has any, after the kinds above.
_FAULTS_OF_ONE = ("name", "operand", "distinct")


@dataclass(frozen=True, slots=True)
class CompiledCondition:
    """A condition ready to run; `tree` is kept for key conditions."""

    test: Test
    tree: Condition
    used_names: frozenset[str]
    used_values: frozenset[str]
    path_heads: frozenset[str]
    nested_heads: frozenset[str]
    checks: tuple[ValueCheck, ...]
    # Those of the checks that need more than that the values are there.
    type_checks: tuple[ValueCheck, ...]

    def bind(self, values: Values) -> None:
        """Check the request's values against the expression.

        Raises: ExpressionFault for a missing value or one of a type that can never fit.
        """
        for check in self.checks:
            check(values)

    def bind_again(self, values: Values) -> None:
        """As `bind`, for values of names it has seen. Raises: ExpressionFault."""
        for check in self.type_checks:
            check(values)


def compile_condition(text: str, names: Mapping[str, str], parameter: str) -> CompiledCondition:
    """Parse and compile; `names` are the request's ExpressionAttributeNames.

    Raises: ExpressionFault.
    """
    parser = _ConditionParser(Cursor(text, parameter), names, Faults(_FAULT_ORDER))
    tree = parser.parse()
    parser.faults.raise_first()
    return CompiledCondition(
        _compile(tree),
        tree,
        frozenset(parser.used_names),
        frozenset(parser.used_values),
        frozenset(parser.path_heads),
        frozenset(parser.nested_heads),
        tuple(parser.checks),
        tuple(parser.type_checks),
    )


class _ConditionParser(OperandParser):
    keywords = frozenset({"AND", "OR", "NOT", "IN", "BETWEEN"})

    def __init__(self, cursor: Cursor, names: Mapping[str, str], faults: Faults) -> None:
        super().__init__(cursor, names, faults)
        self.checks: list[ValueCheck] = []
        self.type_checks: list[ValueCheck] = []
        self._type_checks: list[ValueCheck] = []
        self._checked_values = 0
        self._values_before_fault = 0

    def name(self) -> str:
        """As inherited; notes how many values stand before the first name that is not defined."""
        had_fault = "name" in self.faults.found
        name = super().name()
        if not had_fault and "name" in self.faults.found:
            self._values_before_fault = len(self.used_values)
        return name

    def _close_condition(self) -> None:
        """Make one check of all that was found since the last condition ended."""
        found = self.faults.found
        # Placeholders are replaced from left to right, so a value after an unknown name is not looked for.
        last = self._values_before_fault if "name" in found else len(self.used_values)
        used = tuple(self.used_values[self._checked_values : last])
        messages = [found.pop(kind) for kind in _FAULTS_OF_ONE if kind in found]
        self._checked_values = len(self.used_values)
        type_checks, self._type_checks = tuple(self._type_checks), []
        self.type_checks += type_checks
        if not (messages or used or type_checks):
            return

        def check(values: Values) -> None:
            require_values(used, values)
            if messages:
                raise ExpressionFault(messages[0])
            for type_check in type_checks:
                type_check(values)

        self.checks.append(check)

    def parse(self) -> Condition:
        tree = self._condition(self._either())
        self.cursor.expect_end()
        count = sum(
            token.text in COMPARATORS or (token.kind == "name" and token.text.upper() in self.keywords)
            for token in self.cursor.tokens
        )
        if count > MAX_OPERATORS:
            self.faults.add("parens", f"The expression contains too many operators; operator count: {count}")
        return tree

    def _either(self) -> Condition | Operand:
        parts = [self._all()]
        while self.cursor.takes_word("OR"):
            parts.append(self._all())
        return self._join("OR", parts)

    def _all(self) -> Condition | Operand:
        parts = [self._negation()]
        while self.cursor.takes_word("AND"):
            parts.append(self._negation())
        return self._join("AND", parts)

    def _join(self, operator: str, parts: list[Condition | Operand]) -> Condition | Operand:
        if len(parts) == 1:
            return parts[0]
        return Junction(operator, tuple(self._condition(part) for part in parts))

    def _negation(self) -> Condition | Operand:
        count = 0
        while self.cursor.takes_word("NOT"):
            count += 1
        part = self._predicate()
        if not count:
            return part
        condition = self._condition(part)
        return Junction("NOT", (condition,)) if count % 2 else condition

    def _predicate(self) -> Condition | Operand:
        left = self._parenthesized() if self.cursor.current.text == "(" else self.operand()
        if isinstance(left, Comparison | Junction):
            return left
        if isinstance(left, Path):
            left = self.path_from(list(left.parts))
        token = self.cursor.current
        if token.kind == "operator" and token.text in COMPARATORS:
            self.cursor.advance()
            return self._comparison(token.text, (left, self.argument()))
        if self.cursor.takes_word("BETWEEN"):
            lower = self.argument()
            if not self.cursor.takes_word("AND"):
                raise self.cursor.syntax_error()
            return self._comparison("BETWEEN", (left, lower, self.argument()))
        if self.cursor.takes_word("IN"):
            self.cursor.expect("(")
            choices = [self.argument()]
            while self.cursor.takes(","):
                choices.append(self.argument())
            self.cursor.expect(")")
            return self._comparison("IN", (left, *choices))
        if isinstance(left, Call) and left.function != "size":
            self._close_condition()
        return left

    def _parenthesized(self) -> Condition | Operand:
        self.enter()
        self.cursor.expect("(")
        starts_with_parenthesis = self.cursor.current.text == "("
        start = self.cursor.position
        inner = self._either()
        if starts_with_parenthesis and self._closes_together(start):
            self.faults.add("parens", "The expression has redundant parentheses;")
        self.cursor.expect(")")
        self.leave()
        return inner

    def _closes_together(self, start: int) -> bool:
        """Whether the parenthesis at `start` closes right before the current token."""
        depth = 0
        for position in range(start, self.cursor.position):
            token = self.cursor.tokens[position]
            if token.kind == "operator" and token.text in "()":
                depth += 1 if token.text == "(" else -1
                if depth == 0:
                    return position == self.cursor.position - 1
        return False

    def _condition(self, part: Condition | Operand) -> Condition:
        if isinstance(part, Path | ValueRef):
            raise self.cursor.syntax_error()
        if isinstance(part, Call):
            if part.function == "size":
                self._misused(part)
            self._close_condition()
        return part

    def _misused(self, call: Call) -> None:
        self.faults.add(
            "misused",
            f"The function is not allowed to be used this way in an expression; function: {call.function}",
        )

    def _operands_only(self, operands: tuple[Operand, ...]) -> None:
        for operand in operands:
            if isinstance(operand, Call) and operand.function != "size":
                self._misused(operand)

    def _distinct(self, operator: str, operands: tuple[Operand, ...]) -> None:
        first = operands[0]
        if len(operands) == 2 and isinstance(first, Path) and first == operands[1]:
            self.faults.add(
                "distinct",
                "The first operand must be distinct from the remaining operands for this operator or function; "
                f"operator: {operator}, first operand: {first}",
            )

    def _comparison(self, operator: str, operands: tuple[Operand, ...]) -> Comparison:
        self._operands_only(operands)
        self._distinct(operator, operands)
        if operator in {"<", "<=", ">", ">="} or operator == "BETWEEN":
            self._type_checks.append(check_operands(operator, operands, _ORDERED))
        if operator == "BETWEEN":
            self._type_checks.append(_check_bounds(operands[1], operands[2]))
        self._close_condition()
        return Comparison(operator, operands)

    def call(self) -> Call:
        call = super().call()
        self._operands_only(call.arguments)
        function, arguments = call.function, call.arguments
        if function in {"if_not_exists", "list_append"}:
            self._misused(call)
            return call
        if function not in _ARITY:
            self.faults.add("unknown", f"Invalid function name; function: {function}")
            return call
        if len(arguments) != _ARITY[function]:
            self.faults.add(
                "operand",
                "Incorrect number of operands for operator or function; "
                f"operator or function: {function}, number of operands: {len(arguments)}",
            )
            return call
        self._distinct(function, arguments)
        if function in {"attribute_exists", "attribute_not_exists"} and not isinstance(arguments[0], Path):
            # After the arguments' own types: inner functions come first.
            self._type_checks.append(
                always(f"Operator or function requires a document path; operator or function: {function}")
            )
        elif function == "begins_with":
            self._type_checks.append(check_operands(function, arguments, frozenset({"S", "B"})))
        elif function == "size":
            self._type_checks.append(check_operands(function, arguments, TYPES - {"N", "BOOL", "NULL"}))
        elif function == "attribute_type":
            self._type_checks.append(_check_type_name(arguments[1]))
        return call


def _check_type_name(operand: Operand) -> ValueCheck:
    def check(values: Values) -> None:
        kind = static_type(operand, values)
        if kind != "S":
            shown = kind or "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}"
            raise ExpressionFault(
                "Incorrect operand type for operator or function; "
                f"operator or function: attribute_type, operand type: {shown}"
            )
        assert isinstance(operand, ValueRef)
        name = values[operand.name]["S"]
        if name not in TYPES:
            raise ExpressionFault(
                f"Invalid attribute type name found; type: {name}, valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}"
            )

    return check


def _check_bounds(lower: Operand, upper: Operand) -> ValueCheck:
    def check(values: Values) -> None:
        if not isinstance(lower, ValueRef) or not isinstance(upper, ValueRef):
            return
        low, high = values[lower.name], values[upper.name]
        shown = (
            f"lower bound operand: AttributeValue: {_shown(low)}, upper bound operand: AttributeValue: {_shown(high)}"
        )
        if type_of(low) != type_of(high):
            raise ExpressionFault(f"The BETWEEN operator requires same data type for lower and upper bounds; {shown}")
        if sortable(low) > sortable(high):
            raise ExpressionFault(
                f"The BETWEEN operator requires upper bound to be greater than or equal to lower bound; {shown}"
            )

    return check


def _shown(value: Value) -> str:
    kind = type_of(value)
    return f"{{{kind}:{value[kind]}}}"


def _compile(tree: Condition) -> Test:
    if isinstance(tree, Junction):
        tests = tuple(_compile(part) for part in tree.parts)
        if tree.operator == "NOT":
            only = tests[0]
            return lambda item, values: not only(item, values)
        return _until(tests, is_all=tree.operator == "AND")
    if isinstance(tree, Call):
        if tree.function not in _FUNCTIONS or len(tree.arguments) != _ARITY[tree.function]:
            return _never  # a fault is reported before this could run
        if any(isinstance(argument, Call) and argument.function != "size" for argument in tree.arguments):
            return _never
        return _FUNCTIONS[tree.function](*map(compile_operand, tree.arguments))
    if any(isinstance(operand, Call) and operand.function != "size" for operand in tree.operands):
        return _never
    operands = tuple(map(compile_operand, tree.operands))
    if tree.operator == "BETWEEN":
        return _between(*operands)
    if tree.operator == "IN":
        return _among(operands[0], operands[1:])
    return _compare(tree.operator, *operands)


def _until(tests: Sequence[Test], *, is_all: bool) -> Test:
    def test(item: Item, values: Values) -> bool:
        # A loop where `all` and `any` would make a generator for each item of a scan.
        for one in tests:
            if one(item, values) is not is_all:
                return not is_all
        return is_all

    return test


def _never(item: Item, values: Values) -> bool:
    return False


def _compare(operator: str, left: Resolve, right: Resolve) -> Test:
    if operator == "=":
        return lambda item, values: values_equal(left(item, values), right(item, values))
    if operator == "<>":
        return lambda item, values: not values_equal(left(item, values), right(item, values))
    compare = _ORDERS[operator]
    return lambda item, values: _is_in_order(compare, left(item, values), right(item, values))


def ordered(operator: str, left: Value | None, right: Value | None) -> bool:
    """`<`, `<=`, `>`, `>=` between scalars of one type; false for anything else."""
    return _is_in_order(_ORDERS[operator], left, right)


def _is_in_order(compare: Callable[[Any, Any], bool], left: Value | None, right: Value | None) -> bool:
    if left is None or right is None:
        return False
    if "N" in left and "N" in right:
        return compare(Decimal(left["N"]), Decimal(right["N"]))
    kind = type_of(left)
    return kind in right and kind in _ORDERED and compare(sortable(left), sortable(right))


def _between(operand: Resolve, lower: Resolve, upper: Resolve) -> Test:
    def test(item: Item, values: Values) -> bool:
        value = operand(item, values)
        return ordered(">=", value, lower(item, values)) and ordered("<=", value, upper(item, values))

    return test


def _among(operand: Resolve, choices: tuple[Resolve, ...]) -> Test:
    def test(item: Item, values: Values) -> bool:
        value = operand(item, values)
        return any(values_equal(value, choice(item, values)) for choice in choices)

    return test


def begins_with(value: Value | None, prefix: Value | None) -> bool:
    """Whether a text or binary starts with another of its type."""
    if value is None or prefix is None:
        return False
    if "S" in value and "S" in prefix:
        return str(value["S"]).startswith(prefix["S"])
    if "B" in value and "B" in prefix:
        return b64decode(value["B"]).startswith(b64decode(prefix["B"]))
    return False


def contains(value: Value | None, member: Value | None) -> bool:
    """Substring, set membership or list membership."""
    if value is None or member is None:
        return False
    kind = type_of(value)
    if kind == "S":
        return "S" in member and member["S"] in value["S"]
    if kind == "B":
        return "B" in member and b64decode(member["B"]) in b64decode(value["B"])
    if kind in {"SS", "NS", "BS"}:
        return kind[0] in member and member[kind[0]] in value[kind]
    if kind == "L":
        return any(values_equal(element, member) for element in value["L"])
    return False


_FUNCTIONS: dict[str, Callable[..., Test]] = {
    "attribute_exists": lambda path: lambda item, values: path(item, values) is not None,
    "attribute_not_exists": lambda path: lambda item, values: path(item, values) is None,
    "attribute_type": lambda path, name: (
        lambda item, values: (value := path(item, values)) is not None and (name(item, values) or {}).get("S") in value
    ),
    "begins_with": lambda left, right: lambda item, values: begins_with(left(item, values), right(item, values)),
    "contains": lambda left, right: lambda item, values: contains(left(item, values), right(item, values)),
}
