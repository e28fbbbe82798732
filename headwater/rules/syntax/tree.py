"""The syntax tree of an IoT SQL statement."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Literal:
    value: bool | int | float | Decimal | str | None


@dataclass(frozen=True, slots=True)
class UndefinedLiteral:
    """The word Undefined, which no payload can hold."""


@dataclass(frozen=True, slots=True)
class Path:
    """`a.b.c`; a single `*` stands for the whole payload."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """`@name`, with the members taken from it."""

    name: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """`expression.a.b` on anything but a plain path."""

    operand: "Expression"
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ObjectLiteral:
    entries: tuple[tuple[str, "Expression"], ...]


@dataclass(frozen=True, slots=True)
class ArrayLiteral:
    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; `name` is lower case, `written` as in the statement."""

    name: str
    written: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Cast:
    operand: "Expression"
    type_name: str


@dataclass(frozen=True, slots=True)
class Case:
    """`CASE operand WHEN a THEN b … ELSE c END`; without `operand` each WHEN is a condition."""

    operand: "Expression | None"
    branches: tuple[tuple["Expression", "Expression"], ...]
    otherwise: "Expression | None"


@dataclass(frozen=True, slots=True)
class SelectItem:
    """One item; `alias` is the path it is written to, None for `*`."""

    expression: "Expression | None"
    alias: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Query:
    """The part shared by a statement and a nested SELECT. `value` replaces the items for SELECT VALUE."""

    items: tuple[SelectItem, ...]
    value: "Expression | None"
    where: "Expression | None"


@dataclass(frozen=True, slots=True)
class Nested:
    """`(SELECT … FROM source AS alias WHERE …)` over an array."""

    query: Query
    source: "Expression"
    alias: str | None


@dataclass(frozen=True, slots=True)
class Exists:
    query: Nested


@dataclass(frozen=True, slots=True)
class Statement:
    """A whole rule: variables in order of definition, the query, and the topic filter if there is a FROM."""

    variables: tuple[tuple[str, "Expression"], ...]
    query: Query
    topic_filter: str | None


Expression = (
    Literal | UndefinedLiteral | Path | Variable | Member | ObjectLiteral | ArrayLiteral | Unary | Binary
    | Call | Cast | Case | Nested | Exists
)  # fmt: skip
