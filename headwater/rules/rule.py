"""Flow 2/8: match a publish against the topic rules, filter it and project it."""

from dataclasses import dataclass
from typing import Any

from headwater.errors import TemplateError
from headwater.rules.compiler import CompileContext, Environment, Evaluator, compile_expression, compile_query
from headwater.rules.external import Answers
from headwater.rules.message import Message
from headwater.rules.syntax.parser import parse_expression, parse_statement
from headwater.rules.syntax.tree import Statement
from headwater.rules.values import UNDEFINED, to_string
from headwater.values.topics import TopicError, check_filter

SQL_VERSIONS = ("2015-10-08", "2016-03-23", "beta")
# Shared and never written: only a rule with SET writes variables, into a dictionary of its own.
_NO_VARIABLES: dict[str, Any] = {}


class NotFired:
    """What a rule gives that does not fire."""

    __slots__ = ()


NOT_FIRED = NotFired()


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule statement; `external` names the functions in it that ask other services."""

    sql: str
    version: str
    statement: Statement
    external: tuple[str, ...]
    _variables: tuple[tuple[str, Evaluator], ...]
    _where: Evaluator | None
    _select: Evaluator

    @property
    def topic_filter(self) -> str | None:
        return self.statement.topic_filter

    def environment(self, message: Message, answers: Answers | None = None) -> Environment:
        """The publish with the rule's variables, for the WHERE clause, the SELECT and substitution templates.

        Without `answers` every function that asks another service is Undefined.
        """
        if not self._variables:
            return Environment(message, message.value, _NO_VARIABLES, answers)
        environment = Environment(message, message.value, {}, answers)
        for name, evaluate in self._variables:
            environment.variables[name] = evaluate(environment)
        return environment

    def evaluate(self, environment: Environment) -> Any:
        """The outgoing payload, or NOT_FIRED unless WHERE is exactly true."""
        if self._where is not None and self._where(environment) is not True:
            return NOT_FIRED
        return self._select(environment)


def compile_rule(sql: str, version: str = "2016-03-23", *, no_external: str = "") -> Rule:
    """Compile a rule; `no_external` is the reason, if any, why functions that ask other services are refused.

    Raises: TemplateError with the position of a syntax error, or naming an unknown function.
    """
    context = _context(version, no_external)
    statement = parse_statement(sql)
    if statement.topic_filter is not None:
        _check_filter(statement.topic_filter)
    variables: list[tuple[str, Evaluator]] = []
    for name, tree in statement.variables:
        variables.append((name, compile_expression(tree, context)))
        context = CompileContext(
            version, context.variables | {name}, no_external=no_external, external=context.external
        )
    where = statement.query.where
    compiled_where = compile_expression(where, context) if where is not None else None
    select = compile_query(statement.query, context)
    return Rule(sql, version, statement, tuple(context.external), tuple(variables), compiled_where, select)


def _check_filter(topic_filter: str) -> None:
    try:
        check_filter(topic_filter)
    except TopicError as error:
        raise TemplateError(f"FROM: {error}") from error


def _context(version: str, no_external: str) -> CompileContext:
    if version not in SQL_VERSIONS:
        raise TemplateError(f"AwsIotSqlVersion {version!r} is not one of {', '.join(SQL_VERSIONS)}")
    return CompileContext(version, no_external=no_external)


@dataclass(frozen=True, slots=True)
class SubstitutionTemplate:
    """Text with `${expression}` parts, evaluated on the publish as it came."""

    external: tuple[str, ...]
    _parts: tuple[str | Evaluator, ...]

    def render(self, environment: Environment) -> str:
        """The text; what is undefined becomes the word `undefined`, as the service writes it."""
        parts = self._parts
        if len(parts) == 1:
            only = parts[0]
            return only if isinstance(only, str) else _rendered(only(environment))
        return "".join([part if isinstance(part, str) else _rendered(part(environment)) for part in parts])


def _rendered(value: Any) -> str:
    if type(value) is str:
        return value
    text = to_string(value)
    return "undefined" if text is UNDEFINED else str(text)


def compile_template(
    text: str, rule_sql: str, version: str = "2016-03-23", *, no_external: str = ""
) -> SubstitutionTemplate:
    """Compile a substitution template of a rule's action; variables of the rule's SET clause are known in it.

    Raises: TemplateError.
    """
    names = frozenset(name for name, _ in parse_statement(rule_sql).variables)
    context = CompileContext(version, names, no_external=no_external)
    parts: list[str | Evaluator] = []
    position = 0
    while (start := text.find("${", position)) >= 0:
        end = _closing_brace(text, start + 2)
        parts.append(text[position:start])
        parts.append(compile_expression(parse_expression(text[start + 2 : end]), context))
        position = end + 1
    parts.append(text[position:])
    return SubstitutionTemplate(tuple(context.external), tuple(part for part in parts if part != ""))


def _closing_brace(text: str, position: int) -> int:
    """Where the expression that starts at `position` ends; braces of object literals and strings belong to it."""
    depth, quote = 0, ""
    for index in range(position, len(text)):
        character = text[index]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if depth == 0:
                return index
            depth -= 1
    raise TemplateError(f"unclosed substitution template in {text!r}")
