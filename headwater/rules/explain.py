"""Why a rule fires on a publish or does not: every clause with the values it came to."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from headwater.rules.compiler import CompileContext, Environment, compile_expression
from headwater.rules.message import Message
from headwater.rules.rule import NOT_FIRED, Rule
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
    Unary,
    Variable,
)  # fmt: skip
from headwater.rules.values import UNDEFINED, to_json
from headwater.values.topics import filter_matches

_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an explanation; `depth` is how far inside the clause it is."""

    clause: str
    text: str
    value: str
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """`verdict` is one sentence; `payload` is what the actions get, None if the rule does not fire."""

    lines: tuple[Line, ...]
    fires: bool
    verdict: str
    payload: bytes | None = None


def explain_rule(rule: Rule, message: Message, *, is_basic_ingest: bool = False) -> Explanation:
    """Follow a publish through a rule; Basic Ingest gives it to the rule whatever its topic filter.

    Functions that ask other services are not called and count as Undefined.
    """
    if is_basic_ingest:
        lines = [Line("FROM", "Basic Ingest names this rule", "matches")]
    elif rule.topic_filter is None:
        return Explanation((), False, "does not fire: without FROM only Basic Ingest reaches it")
    else:
        matches = filter_matches(rule.topic_filter, message.topic)
        verdict = "matches" if matches else "does not match"
        lines = [Line("FROM", f"'{rule.topic_filter}', topic {message.topic}", verdict)]
        if not matches:
            return Explanation(tuple(lines), False, _mismatch(rule.topic_filter, message.topic))
    if message.value is UNDEFINED and message.payload:
        lines.append(Line("payload", f"{len(message.payload)} bytes", "no JSON: every member is Undefined"))
    environment = rule.environment(message)
    context = CompileContext(rule.version, frozenset(environment.variables))
    for name, _ in rule.statement.variables:
        lines.append(Line("SET", f"@{name}", shown(environment.variables[name])))
    query = rule.statement.query
    where: Any = True
    if query.where is not None:
        lines += _follow(query.where, "WHERE", environment, context, 0)
        where = _value(query.where, environment, context)
    if where is not True:
        return Explanation(tuple(lines), False, f"does not fire: WHERE is {shown(where)}, not true")
    lines += _selected(query, environment, context)
    result = rule.evaluate(environment)
    payload = b"" if result is NOT_FIRED else to_json(result)
    return Explanation(tuple(lines), True, "fires", payload)


def _mismatch(topic_filter: str, topic: str) -> str:
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return "does not fire: a wildcard in the first level does not match topics that begin with $"
    for number, (expected, level) in enumerate(zip(wanted, levels, strict=False), 1):
        if expected == "#":
            break
        if expected not in ("+", level):
            return f"does not fire: level {number} of the topic is {level!r}, the filter wants {expected!r}"
    return f"does not fire: the topic has {len(levels)} levels, the filter {len(wanted)}"


def _follow(
    tree: Expression, clause: str, environment: Environment, context: CompileContext, depth: int
) -> Iterator[Line]:
    """The value of an expression, then of its parts that are no literals."""
    value = shown(_value(tree, environment, context))
    yield Line(clause, source(tree), value, depth)
    for part in _parts(tree):
        if not isinstance(part, Literal):
            yield from _follow(part, "", environment, context, depth + 1)


def _value(tree: Expression, environment: Environment, context: CompileContext) -> Any:
    return compile_expression(tree, replace(context, external=[]))(environment)


def _parts(tree: Expression) -> tuple[Expression, ...]:
    if isinstance(tree, Binary):
        return (tree.left, tree.right)
    if isinstance(tree, Unary | Cast | Member):
        return (tree.operand,)
    if isinstance(tree, Call):
        return tuple(argument for argument in tree.arguments if argument != Path(("*",)))
    if isinstance(tree, Case):
        return () if tree.operand is None else (tree.operand,)
    return ()


def _selected(query: Query, environment: Environment, context: CompileContext) -> Iterator[Line]:
    if query.value is not None:
        yield Line("SELECT", f"VALUE {source(query.value)}", shown(_value(query.value, environment, context)))
    for item in query.items:
        if item.expression is None or item.alias is None:
            yield Line("SELECT", "*", shown(environment.root))
        else:
            value = shown(_value(item.expression, environment, context))
            left_out = " (left out)" if value == "Undefined" else ""
            yield Line("SELECT", f"{source(item.expression)} AS {'.'.join(item.alias)}", value + left_out)


def shown(value: Any) -> str:
    """A value for people, cut where it is long."""
    if value is UNDEFINED:
        return "Undefined"
    text = f"{len(value)} bytes" if isinstance(value, bytes) else to_json(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def source(tree: Expression) -> str:
    """SQL text of an expression."""
    if isinstance(tree, Literal):
        return "'" + tree.value.replace("'", "''") + "'" if isinstance(tree.value, str) else shown(tree.value)
    if isinstance(tree, Path):
        return ".".join(tree.names)
    if isinstance(tree, Variable):
        return ".".join((f"@{tree.name}", *tree.members))
    if isinstance(tree, Member):
        return ".".join((source(tree.operand), *tree.names))
    if isinstance(tree, Unary):
        return f"{tree.operator} {_inner(tree.operand)}"
    if isinstance(tree, Binary):
        return f"{_inner(tree.left)} {tree.operator} {_inner(tree.right)}"
    if isinstance(tree, Call):
        return f"{tree.written}({', '.join(map(source, tree.arguments))})"
    return _longer_source(tree)


def _longer_source(tree: Expression) -> str:
    if isinstance(tree, Cast):
        return f"cast({source(tree.operand)} AS {tree.type_name})"
    if isinstance(tree, ArrayLiteral):
        return f"[{', '.join(map(source, tree.items))}]"
    if isinstance(tree, ObjectLiteral):
        return "{" + ", ".join(f"'{key}': {source(value)}" for key, value in tree.entries) + "}"
    if isinstance(tree, Case):
        operand = "" if tree.operand is None else f" {source(tree.operand)}"
        branches = "".join(f" WHEN {source(when)} THEN {source(then)}" for when, then in tree.branches)
        otherwise = "" if tree.otherwise is None else f" ELSE {source(tree.otherwise)}"
        return f"CASE{operand}{branches}{otherwise} END"
    if isinstance(tree, Exists):
        return f"EXISTS {source(tree.query)}"
    if isinstance(tree, Nested):
        return f"({_query_source(tree)})"
    return "Undefined"


def _query_source(tree: Nested) -> str:
    query = tree.query
    if query.value is not None:
        items = f"VALUE {source(query.value)}"
    else:
        items = ", ".join("*" if item.expression is None else source(item.expression) for item in query.items)
    alias = "" if tree.alias is None else f" AS {tree.alias}"
    where = "" if query.where is None else f" WHERE {source(query.where)}"
    return f"SELECT {items} FROM {source(tree.source)}{alias}{where}"


def _inner(tree: Expression) -> str:
    return f"({source(tree)})" if isinstance(tree, Binary | Unary) else source(tree)
