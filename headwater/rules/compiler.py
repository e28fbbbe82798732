"""Expressions of IoT SQL become closures, compiled once for a rule."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from headwater.errors import TemplateError
from headwater.rules.external import EXTERNAL_FUNCTIONS, REFUSED_FUNCTIONS, Answers, ExternalCall
from headwater.rules.functions import MESSAGE_FUNCTIONS, NEWER_FUNCTIONS, PURE_FUNCTIONS, REGEX_FUNCTIONS
from headwater.rules.message import Message
from headwater.rules.operators import OPERATORS, negate, negation
from headwater.rules.syntax.tree import (
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
from headwater.rules.values import UNDEFINED, cast, is_equal, short_decimal, to_string, whole_as_int
from headwater.values.java_regex import JavaPattern, RegexError

OLD_VERSION = "2015-10-08"


class Environment:
    """What an expression is evaluated in: the publish, the value names refer to, and the rule's variables."""

    __slots__ = ("answers", "message", "root", "variables")

    def __init__(self, message: Message, root: Any, variables: dict[str, Any], answers: Answers | None = None) -> None:
        self.message = message
        self.root = root
        self.variables = variables
        self.answers = answers


Evaluator = Callable[[Environment], Any]


@dataclass(frozen=True, slots=True)
class CompileContext:
    """What names mean at a place of the statement.

    `no_external` says why functions that ask other services may not be used; `external` collects those that are.
    """

    sql_version: str
    variables: frozenset[str] = frozenset()
    alias: str | None = None
    is_nested: bool = False
    no_external: str = ""
    external: list[str] = field(default_factory=list)

    def needs_newer(self, what: str) -> None:
        """Raises: TemplateError in the first version of the language, which has no `what`."""
        if self.sql_version == OLD_VERSION:
            raise TemplateError(f"{what} needs AwsIotSqlVersion 2016-03-23; this rule has {OLD_VERSION}, the default")


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
    context.needs_newer("an object literal")
    entries = [(key, compile_expression(value, context)) for key, value in tree.entries]

    def build(environment: Environment) -> Any:
        built = {key: evaluate(environment) for key, evaluate in entries}
        return {key: value for key, value in built.items() if value is not UNDEFINED}

    return build


def _array(tree: ArrayLiteral, context: CompileContext) -> Evaluator:
    context.needs_newer("an array literal")
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
    if type_name in ("Decimal", "Boolean"):
        context.needs_newer(f"cast AS {type_name}")
    return lambda environment: cast(operand(environment), type_name)


def _call(tree: Call, context: CompileContext) -> Evaluator:
    if tree.name in NEWER_FUNCTIONS:
        context.needs_newer(f"{tree.written}()")
    if tree.name in REFUSED_FUNCTIONS:
        raise TemplateError(f"{tree.written}() asks a service that does not run here")
    if tree.name in EXTERNAL_FUNCTIONS:
        return _external(tree, context)
    _check_modes(tree)
    if tree.name == "sql_version":
        version = context.sql_version
        return lambda environment: version if not tree.arguments else UNDEFINED
    if tree.name == "encode" and not context.is_nested and tree.arguments[:1] == (Path(("*",)),):
        # The payload as it came: JSON that was read and written again may differ.
        arguments = [_raw_payload, *(compile_expression(argument, context) for argument in tree.arguments[1:])]
    else:
        arguments = [compile_expression(argument, context) for argument in tree.arguments]
    if tree.name in REGEX_FUNCTIONS and len(arguments) > 1 and isinstance(tree.arguments[1], Literal):
        arguments[1] = _pattern(tree.arguments[1].value)
    return _application(tree, arguments)


def _pattern(value: Any) -> Evaluator:
    """A pattern that is known when the rule is loaded; Undefined, as the service has it, if it is none."""
    text = to_string(value)
    try:
        pattern = UNDEFINED if text is UNDEFINED else JavaPattern(text)
    except RegexError:
        pattern = UNDEFINED
    return lambda environment: pattern


def _check_modes(tree: Call) -> None:
    """Raises: TemplateError for modes that do not work here, and variables where the service takes none."""
    if tree.name == "decode" and (len(tree.arguments) > 2 or tree.arguments[1:] == (Literal("proto"),)):
        raise TemplateError("decode(…, 'proto', …) reads a descriptor from S3 and does not work here; base64 does")
    if tree.name == "transform" and isinstance(next(iter(tree.arguments), None), Variable):
        raise TemplateError("the mode of transform() may not be a variable")


def _raw_payload(environment: Environment) -> Any:
    return environment.message.payload


def _application(tree: Call, arguments: list[Evaluator]) -> Evaluator:
    count = len(arguments)
    if tree.name in MESSAGE_FUNCTIONS:
        asks, counts = MESSAGE_FUNCTIONS[tree.name]
        if count not in counts:
            return lambda environment: UNDEFINED
        if not count:
            return lambda environment: asks(environment.message)
        if tree.name == "topic" and isinstance(tree.arguments[0], Literal) and type(tree.arguments[0].value) is int:
            return _topic_level(tree.arguments[0].value)
        return lambda environment: asks(environment.message, *[argument(environment) for argument in arguments])
    if tree.name not in PURE_FUNCTIONS:
        raise TemplateError(f"{tree.written}() is no function of AWS IoT SQL")
    function, counts = PURE_FUNCTIONS[tree.name]
    if counts and count not in counts:
        return lambda environment: UNDEFINED
    if count == 1:
        only = arguments[0]
        return lambda environment: function(only(environment))
    return lambda environment: function(*[argument(environment) for argument in arguments])


def _topic_level(number: int) -> Evaluator:
    """`topic(2)` and its like, which most rules have."""
    if number < 1:
        return lambda environment: UNDEFINED

    def level(environment: Environment) -> Any:
        levels = environment.message.levels
        return levels[number - 1] if number <= len(levels) else UNDEFINED

    return level


def _external(tree: Call, context: CompileContext) -> Evaluator:
    name = tree.name
    if context.no_external:
        raise TemplateError(f"{tree.written}() asks another service, {context.no_external}")
    if len(tree.arguments) not in EXTERNAL_FUNCTIONS[name]:
        expected = " or ".join(map(str, EXTERNAL_FUNCTIONS[name]))
        raise TemplateError(f"{tree.written}() takes {expected} arguments, found {len(tree.arguments)}")
    if name != "aws_lambda" and not _is_text(tree.arguments[-1]):
        raise TemplateError(f"the role of {tree.written}() is a literal ARN")
    if name == "get_dynamodb" and name in context.external:
        raise TemplateError("get_dynamodb() may be called once in a statement")
    context.external.append(name)
    arguments = [compile_expression(argument, context) for argument in tree.arguments]

    def ask(environment: Environment) -> Any:
        if environment.answers is None:
            return UNDEFINED
        return environment.answers.ask(ExternalCall(name, tuple(argument(environment) for argument in arguments)))

    return ask


def _is_text(tree: Expression) -> bool:
    return isinstance(tree, Literal) and isinstance(tree.value, str)


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
    context.needs_newer("a nested SELECT")
    source = compile_expression(tree.source, context)
    inner = replace(context, alias=tree.alias, is_nested=True)
    select = compile_query(tree.query, inner)
    where = compile_expression(tree.query.where, inner) if tree.query.where is not None else None

    def pick(environment: Environment, item: Any) -> Any:
        row = Environment(environment.message, item, environment.variables, environment.answers)
        return select(row) if where is None or where(row) is True else UNDEFINED

    def run(environment: Environment) -> Any:
        found = source(environment)
        if isinstance(found, dict):
            return pick(environment, found)  # an inner object is one row, and gives its value alone
        if not isinstance(found, list):
            return UNDEFINED
        return [value for item in found if (value := pick(environment, item)) is not UNDEFINED]

    return run


def _exists(tree: Exists, context: CompileContext) -> Evaluator:
    nested = _nested(tree.query, context)

    def exists(environment: Environment) -> bool:
        found = nested(environment)
        return bool(found) if isinstance(found, list) else found is not UNDEFINED

    return exists


def compile_query(query: Query, context: CompileContext) -> Evaluator:
    """The SELECT clause: an object, with VALUE the bare value, with `*` alone the payload as it is."""
    if query.value is not None:
        value = compile_expression(query.value, context)
        return value if context.sql_version == OLD_VERSION else lambda environment: whole_as_int(value(environment))
    if query.items == (SelectItem(None, None),):
        return _whole
    steps = [_item(item, context) for item in query.items]

    def select(environment: Environment) -> Any:
        result: dict[str, Any] = {}
        root = environment.root
        members = root if type(root) is dict else _NO_MEMBERS
        for name, alias, step in steps:
            if step is not None:
                step(environment, result)
            elif (value := members.get(name, UNDEFINED)) is not UNDEFINED:
                result[alias] = value if type(value) is not float else whole_as_int(value)
        return result

    return select


Step = Callable[[Environment, dict[str, Any]], None]
_NO_MEMBERS: dict[str, Any] = {}


def _item(item: SelectItem, context: CompileContext) -> tuple[str, str, Step | None]:
    """How one item is written: as (member, alias, None) if it is a member of the payload, else by a step."""
    if item.expression is None or item.alias is None:
        return "", "", _copy_payload
    keeps_decimals = context.sql_version == OLD_VERSION
    tree = item.expression
    is_member = isinstance(tree, Path) and len(tree.names) == 1 and tree.names[0] not in ("*", context.alias)
    if is_member and isinstance(tree, Path) and len(item.alias) == 1 and not keeps_decimals:
        return tree.names[0], item.alias[0], None
    evaluate = compile_expression(tree, context)
    *parents, last = item.alias

    def write(environment: Environment, result: dict[str, Any]) -> None:
        value = evaluate(environment)
        if value is not UNDEFINED:
            holder = _holder(result, parents) if parents else result
            is_kept = keeps_decimals or (type(value) is not float and type(value) is not Decimal)
            holder[last] = value if is_kept else whole_as_int(value)

    return "", "", write


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
