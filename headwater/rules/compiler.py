"""Expressions of IoT SQL become closures, compiled once for a rule."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from headwater.errors import TemplateError
from headwater.rules.functions import MESSAGE_FUNCTIONS, PURE_FUNCTIONS
from headwater.rules.message import Message
from headwater.rules.operators import OPERATORS, negate, negation
from headwater.rules.tree import (
    ArrayLiteral,
    Binary,
    Call,
    Case,
    Cast,
    Exists,
    Expression,
    Literal,
    Member,
    Nested,
    ObjectLiteral,
    Path,
    Query,
    SelectItem,
    Unary,
    UndefinedLiteral,
    Variable,
)
from headwater.rules.values import UNDEFINED, cast, is_equal, short_decimal

_EXTERNAL_FUNCTIONS = frozenset(
    "aws_lambda get_dynamodb get_thing_shadow get_secret get_registry_data machinelearning_predict".split()
)


class Environment:
    """What an expression is evaluated in: the publish, the value names refer to, and the rule's variables."""

    __slots__ = ("message", "root", "variables")

    def __init__(self, message: Message, root: Any, variables: dict[str, Any]) -> None:
        self.message = message
        self.root = root
        self.variables = variables


Evaluator = Callable[[Environment], Any]


@dataclass(frozen=True, slots=True)
class CompileContext:
    """What names mean at a place of the statement."""

    sql_version: str
    variables: frozenset[str] = frozenset()
    alias: str | None = None


def compile_expression(tree: Expression, context: CompileContext) -> Evaluator:
    """The evaluator of a tree. Raises: TemplateError for unknown functions and variables."""
    compiler: Callable[[Any, CompileContext], Evaluator] = _COMPILERS[type(tree)]
    return compiler(tree, context)


def _literal(tree: Literal, context: CompileContext) -> Evaluator:
    # 2.0 stays a Decimal, so that 7 / 2.0 is no integer division; it is written as Int 2.
    value = short_decimal(tree.value) if isinstance(tree.value, Decimal) else tree.value
    return lambda environment: value


def _undefined(tree: UndefinedLiteral, context: CompileContext) -> Evaluator:
    return lambda environment: UNDEFINED


def descend(value: Any, names: tuple[str, ...]) -> Any:
    """Members of members; UNDEFINED as soon as one is missing."""
    for name in names:
        if type(value) is not dict:
            return UNDEFINED
        value = value.get(name, UNDEFINED)
    return value


def _path(tree: Path, context: CompileContext) -> Evaluator:
    names = tree.names
    if names == ("*",):
        return _whole
    if names[0] == context.alias:
        rest = names[1:]
        return lambda environment: descend(environment.root, rest)
    if len(names) == 1:
        name = names[0]

        def read(environment: Environment) -> Any:
            root = environment.root
            return root.get(name, UNDEFINED) if type(root) is dict else UNDEFINED

        return read
    return lambda environment: descend(environment.root, names)


def _whole(environment: Environment) -> Any:
    return environment.message.payload if environment.root is UNDEFINED else environment.root


def _variable(tree: Variable, context: CompileContext) -> Evaluator:
    name, members = tree.name, tree.members
    if name not in context.variables:
        raise TemplateError(f"the variable @{name} is not SET")
    return lambda environment: descend(environment.variables[name], members)


def _member(tree: Member, context: CompileContext) -> Evaluator:
    operand, names = compile_expression(tree.operand, context), tree.names
    return lambda environment: descend(operand(environment), names)


def _object(tree: ObjectLiteral, context: CompileContext) -> Evaluator:
    entries = [(key, compile_expression(value, context)) for key, value in tree.entries]

    def build(environment: Environment) -> Any:
        built = {key: evaluate(environment) for key, evaluate in entries}
        return {key: value for key, value in built.items() if value is not UNDEFINED}

    return build


def _array(tree: ArrayLiteral, context: CompileContext) -> Evaluator:
    items = [compile_expression(item, context) for item in tree.items]

    def build(environment: Environment) -> Any:
        return [value for item in items if (value := item(environment)) is not UNDEFINED]

    return build


def _unary(tree: Unary, context: CompileContext) -> Evaluator:
    operand = compile_expression(tree.operand, context)
    operator = negation if tree.operator == "NOT" else negate
    return lambda environment: operator(operand(environment))


def _binary(tree: Binary, context: CompileContext) -> Evaluator:
    left, right = compile_expression(tree.left, context), compile_expression(tree.right, context)
    operator = OPERATORS[tree.operator]
    return lambda environment: operator(left(environment), right(environment))


def _cast(tree: Cast, context: CompileContext) -> Evaluator:
    operand, type_name = compile_expression(tree.operand, context), tree.type_name
    return lambda environment: cast(operand(environment), type_name)


def _call(tree: Call, context: CompileContext) -> Evaluator:
    arguments = [compile_expression(argument, context) for argument in tree.arguments]
    count = len(arguments)
    if tree.name == "sql_version":
        version = context.sql_version
        return lambda environment: version
    if tree.name in MESSAGE_FUNCTIONS:
        asks, counts = MESSAGE_FUNCTIONS[tree.name]
        if count not in counts:
            return lambda environment: UNDEFINED
        return lambda environment: asks(environment.message, *[argument(environment) for argument in arguments])
    if tree.name in _EXTERNAL_FUNCTIONS:
        raise TemplateError(f"{tree.written}() calls another service and does not work here")
    if tree.name not in PURE_FUNCTIONS:
        raise TemplateError(f"{tree.written}() is no function of AWS IoT SQL")
    function, counts = PURE_FUNCTIONS[tree.name]
    if counts and count not in counts:
        return lambda environment: UNDEFINED
    if count == 1:
        only = arguments[0]
        return lambda environment: function(only(environment))
    return lambda environment: function(*[argument(environment) for argument in arguments])


def _case(tree: Case, context: CompileContext) -> Evaluator:
    operand = compile_expression(tree.operand, context) if tree.operand is not None else None
    branches = [(compile_expression(when, context), compile_expression(then, context)) for when, then in tree.branches]
    otherwise = compile_expression(tree.otherwise, context) if tree.otherwise is not None else None

    def choose(environment: Environment) -> Any:
        subject = operand(environment) if operand is not None else True
        if subject is UNDEFINED:
            return UNDEFINED
        for when, then in branches:
            if is_equal(subject, when(environment)) is True:
                return then(environment)
        return otherwise(environment) if otherwise is not None else UNDEFINED

    return choose


def _nested(tree: Nested, context: CompileContext) -> Evaluator:
    source = compile_expression(tree.source, context)
    inner = CompileContext(context.sql_version, context.variables, tree.alias)
    select = compile_query(tree.query, inner)
    where = compile_expression(tree.query.where, inner) if tree.query.where is not None else None

    def run(environment: Environment) -> Any:
        items = source(environment)
        if not isinstance(items, list):
            return UNDEFINED
        results = []
        for item in items:
            row = Environment(environment.message, item, environment.variables)
            if where is None or where(row) is True:
                value = select(row)
                if value is not UNDEFINED:
                    results.append(value)
        return results

    return run


def _exists(tree: Exists, context: CompileContext) -> Evaluator:
    nested = _nested(tree.query, context)
    return lambda environment: bool(nested(environment))


def compile_query(query: Query, context: CompileContext) -> Evaluator:
    """The SELECT clause: an object, with VALUE the bare value, with `*` alone the payload as it is."""
    if query.value is not None:
        return compile_expression(query.value, context)
    if query.items == (SelectItem(None, None),):
        return _whole
    steps = [_item(item, context) for item in query.items]

    def select(environment: Environment) -> Any:
        result: dict[str, Any] = {}
        for step in steps:
            step(environment, result)
        return result

    return select


def _item(item: SelectItem, context: CompileContext) -> Callable[[Environment, dict[str, Any]], None]:
    if item.expression is None or item.alias is None:
        return _copy_payload
    evaluate = compile_expression(item.expression, context)
    *parents, last = item.alias

    def write(environment: Environment, result: dict[str, Any]) -> None:
        value = evaluate(environment)
        if value is not UNDEFINED:
            holder = _holder(result, parents) if parents else result
            holder[last] = int(value) if type(value) is float and value.is_integer() else value

    return write


def _copy_payload(environment: Environment, result: dict[str, Any]) -> None:
    if type(environment.root) is dict:
        result.update(environment.root)


def _holder(result: dict[str, Any], parents: list[str]) -> dict[str, Any]:
    for name in parents:
        child = result.get(name)
        # Copied, because it may be a part of the payload that other rules see too.
        result[name] = dict(child) if isinstance(child, dict) else {}
        result = result[name]
    return result


_COMPILERS: dict[type, Callable[[Any, CompileContext], Evaluator]] = {
    Literal: _literal,
    UndefinedLiteral: _undefined,
    Path: _path,
    Variable: _variable,
    Member: _member,
    ObjectLiteral: _object,
    ArrayLiteral: _array,
    Unary: _unary,
    Binary: _binary,
    Call: _call,
    Cast: _cast,
    Case: _case,
    Nested: _nested,
    Exists: _exists,
}
