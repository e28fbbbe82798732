"""Flow 2/8: match a publish against the topic rules, filter it and project it."""

import re
from dataclasses import dataclass
from typing import Any

from headwater.errors import TemplateError
from headwater.rules.compiler import (
    CompileContext,
    Environment,
    Evaluator,
    compile_expression,
    compile_query,
)
from headwater.rules.message import Message
from headwater.rules.parser import parse_expression, parse_statement
from headwater.rules.values import UNDEFINED, to_string

SQL_VERSIONS = ("2015-10-08", "2016-03-23", "beta")
_TEMPLATE = re.compile(r"\$\{((?:[^}'\"]|'[^']*'|\"[^\"]*\")*)\}")


class NotFired:
    """What a rule gives that does not fire."""

    __slots__ = ()


NOT_FIRED = NotFired()


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule statement."""

    sql: str
    topic_filter: str | None
    _variables: tuple[tuple[str, Evaluator], ...]
    _where: Evaluator | None
    _select: Evaluator

    def environment(self, message: Message) -> Environment:
        """The publish with the rule's variables, for the WHERE clause, the SELECT and substitution templates."""
        environment = Environment(message, message.value, {})
        for name, evaluate in self._variables:
            environment.variables[name] = evaluate(environment)
        return environment

    def evaluate(self, environment: Environment) -> Any:
        """The outgoing payload, or NOT_FIRED unless WHERE is exactly true."""
        if self._where is not None and self._where(environment) is not True:
            return NOT_FIRED
        return self._select(environment)


def compile_rule(sql: str, version: str = "2016-03-23") -> Rule:
    """Compile a rule. Raises: TemplateError with the position of a syntax error, or naming an unknown function."""
    context = _context(version)
    statement = parse_statement(sql)
    variables: list[tuple[str, Evaluator]] = []
    for name, tree in statement.variables:
        variables.append((name, compile_expression(tree, context)))
        context = CompileContext(version, context.variables | {name})
    where = statement.query.where
    return Rule(
        sql,
        statement.topic_filter,
        tuple(variables),
        compile_expression(where, context) if where is not None else None,
        compile_query(statement.query, context),
    )


def _context(version: str) -> CompileContext:
    if version not in SQL_VERSIONS:
        raise TemplateError(f"AwsIotSqlVersion {version!r} is not one of {', '.join(SQL_VERSIONS)}")
    return CompileContext(version)


@dataclass(frozen=True, slots=True)
class SubstitutionTemplate:
    """Text with `${expression}` parts, evaluated on the publish as it came."""

    _parts: tuple[str | Evaluator, ...]

    def render(self, environment: Environment) -> str:
        """The text; what is undefined becomes the word `undefined`, as the service writes it."""
        return "".join(part if isinstance(part, str) else _rendered(part(environment)) for part in self._parts)


def _rendered(value: Any) -> str:
    text = to_string(value)
    return "undefined" if text is UNDEFINED else str(text)


def compile_template(text: str, rule_sql: str, version: str = "2016-03-23") -> SubstitutionTemplate:
    """Compile a substitution template of a rule's action; variables of the rule's SET clause are known in it."""
    names = frozenset(name for name, _ in parse_statement(rule_sql).variables)
    context = CompileContext(version, names)
    parts: list[str | Evaluator] = []
    position = 0
    for match in _TEMPLATE.finditer(text):
        parts.append(text[position : match.start()])
        parts.append(compile_expression(parse_expression(match[1]), context))
        position = match.end()
    parts.append(text[position:])
    if "${" in parts[-1]:  # type: ignore[operator]  # the last part is text
        raise TemplateError(f"unclosed substitution template in {text!r}")
    return SubstitutionTemplate(tuple(part for part in parts if part != ""))
