"""The tree of an expression, and the faults that are found while it grows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headwater.dynamodb.expressions.reserved import is_reserved
from headwater.dynamodb.expressions.tokens import Cursor, ExpressionFault, RequestExpressionFault

MAX_PATH_DEPTH = 32
MAX_NESTING = 150


@dataclass(frozen=True, slots=True)
class Path:
    """A document path with its placeholders replaced: names and list indexes."""

    parts: tuple[str | int, ...]

    def __str__(self) -> str:
        return "[" + ", ".join(f"[{part}]" if isinstance(part, int) else part for part in self.parts) + "]"


@dataclass(frozen=True, slots=True)
class ValueRef:
    """A placeholder of ExpressionAttributeValues."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or `+` and `-`."""

    function: str
    arguments: tuple["Operand", ...]


Operand = Path | ValueRef | Call


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`, also BETWEEN and IN with their further operands."""

    operator: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Junction:
    """AND, OR, and NOT with one part."""

    operator: str
    parts: tuple["Condition", ...]


Condition = Comparison | Junction | Call


@dataclass(slots=True)
class Faults:
    """The first fault of each kind. The service reports one, by kind before place."""

    order: tuple[str, ...]
    found: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, message: str) -> None:
        """Remember a fault unless there is an earlier one of its kind."""
        self.found.setdefault(kind, message)

    def raise_first(self) -> None:
        """Raise the fault of the first kind in order, if any."""
        for kind in self.order:
            if kind in self.found:
                fault = RequestExpressionFault if kind == "section" else ExpressionFault
                raise fault(self.found[kind])


class OperandParser:
    """Parses paths, values and function calls; the expression kinds build on it."""

    # Words that cannot be a name where an operand stands.
    keywords: frozenset[str] = frozenset()

    def __init__(self, cursor: Cursor, names: Mapping[str, str], faults: Faults) -> None:
        self.cursor = cursor
        self.names = names
        self.faults = faults
        self.used_names: set[str] = set()
        self.used_values: list[str] = []
        self.path_heads: set[str] = set()
        self.nested_heads: set[str] = set()
        self._depth = 0

    def enter(self) -> None:
        """Count a level of parentheses or calls; the limit keeps hostile input off the interpreter's stack."""
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise ExpressionFault("The expression has exceeded the maximum nesting depth;")

    def leave(self) -> None:
        """Leave a level."""
        self._depth -= 1

    def path(self) -> Path:
        """A document path."""
        return self.path_from([self.name()])

    def path_from(self, parts: list[str | int]) -> Path:
        """The rest of a path whose beginning may have stood in parentheses."""
        while True:
            if self.cursor.takes("."):
                parts.append(self.name())
            elif self.cursor.takes("["):
                if self.cursor.current.kind != "integer":
                    raise self.cursor.syntax_error()
                index = int(self.cursor.advance().text)
                self.cursor.expect("]")
                if index > 2**31 - 1:
                    self.faults.add("index", f"List index is not within the allowable range; index: [{index}]")
                parts.append(index)
            else:
                break
        head = parts[0]
        assert isinstance(head, str)
        self.path_heads.add(head)
        if len(parts) > 1:
            self.nested_heads.add(head)
        if len(parts) > MAX_PATH_DEPTH:
            self.faults.add("depth", f"The document path has too many nesting levels; nesting levels: {len(parts)}")
        return Path(tuple(parts))

    def name(self) -> str:
        """One element of a path: a name, or a placeholder replaced."""
        token = self.cursor.current
        if token.kind == "placeholder":
            self.cursor.advance()
            self.used_names.add(token.text)
            if token.text not in self.names:
                self.faults.add(
                    "name",
                    "An expression attribute name used in the document path is not defined; "
                    f"attribute name: {token.text}",
                )
            return self.names.get(token.text, token.text)
        if token.kind != "name" or token.text.upper() in self.keywords:
            raise self.cursor.syntax_error()
        self.cursor.advance()
        if is_reserved(token.text):
            self.faults.add("reserved", f"Attribute name is a reserved keyword; reserved keyword: {token.text}")
        return token.text

    def value(self) -> ValueRef:
        """A placeholder of a value."""
        if self.cursor.current.kind != "value":
            raise self.cursor.syntax_error()
        name = self.cursor.advance().text
        self.used_values.append(name)
        return ValueRef(name)

    def operand(self) -> Operand:
        """A value, a function call or a path."""
        cursor = self.cursor
        if cursor.current.kind == "value":
            return self.value()
        token = cursor.current
        following = cursor.tokens[min(cursor.position + 1, len(cursor.tokens) - 1)]
        is_call = token.kind == "name" and following.kind == "operator" and following.text == "("
        if is_call and token.text.upper() not in self.keywords:
            return self.call()
        return self.path()

    def call(self) -> Call:
        """A function with its arguments."""
        self.enter()
        function = self.cursor.advance().text
        self.cursor.expect("(")
        arguments = [self.argument()]
        while self.cursor.takes(","):
            arguments.append(self.argument())
        self.cursor.expect(")")
        self.leave()
        return Call(function, tuple(arguments))

    def argument(self) -> Operand:
        """One argument of a function, perhaps in parentheses."""
        if self.cursor.takes("("):
            self.enter()
            if self.cursor.current.text == "(":
                self.faults.add("parens", "The expression has redundant parentheses;")
            inner = self.argument()
            self.cursor.expect(")")
            self.leave()
            return self.path_from(list(inner.parts)) if isinstance(inner, Path) else inner
        return self.operand()
