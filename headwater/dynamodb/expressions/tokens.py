"""Tokens of an expression, and the cursor that every parser walks with."""

import re
from dataclasses import dataclass

from headwater.dynamodb.faults import RequestFault, validation

MAX_EXPRESSION_BYTES = 4096
_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<value>:[A-Za-z0-9_]+)|(?P<placeholder>\#[A-Za-z0-9_]+)|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<integer>[0-9]+)|(?P<operator><>|<=|>=|[=<>(),\[\].+\-])|(?P<end>\Z)|(?P<bad>.))",
    re.DOTALL,
)


class ExpressionFault(Exception):
    """What is wrong with an expression; the caller puts the parameter's name before it."""


class RequestExpressionFault(ExpressionFault):
    """A fault of a kind that `RequestFault` tells of."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token; `kind` is value, placeholder, name, integer, operator, end or bad."""

    kind: str
    text: str
    start: int
    stop: int


def tokenize(text: str) -> list[Token]:
    """All tokens, closed by one of kind `end`."""
    tokens = []
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        assert match is not None
        kind = match.lastgroup or "end"
        start = match.start(kind)
        tokens.append(Token(kind, match.group(kind), start, match.end()))
        if kind == "end":
            return tokens
        position = match.end()


class Cursor:
    """Walks the tokens of one expression."""

    def __init__(self, text: str, parameter: str) -> None:
        if not text:
            raise RequestExpressionFault("The expression can not be empty;")
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > MAX_EXPRESSION_BYTES:
            # The service tells the size of every kind of expression but one.
            shown = "" if parameter == "UpdateExpression" else f" expression size: {size}"
            raise RequestExpressionFault(f"Expression size has exceeded the maximum allowed size;{shown}")
        self.text = text
        self.parameter = parameter
        self.tokens = tokenize(text)
        self.position = 0

    @property
    def current(self) -> Token:
        return self.tokens[self.position]

    def advance(self) -> Token:
        """Take the current token."""
        token = self.tokens[self.position]
        if token.kind != "end":
            self.position += 1
        return token

    def takes(self, text: str) -> bool:
        """Take the current token if it is this operator."""
        token = self.tokens[self.position]
        if token.kind == "operator" and token.text == text:
            self.position += 1
            return True
        return False

    def is_word(self, word: str) -> bool:
        """Whether the current token is this keyword, in any case."""
        token = self.tokens[self.position]
        return token.kind == "name" and token.text.upper() == word

    def takes_word(self, word: str) -> bool:
        """Take the current token if it is this keyword."""
        if self.is_word(word):
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        """Take this operator, or fail."""
        if not self.takes(text):
            raise self.syntax_error()

    def expect_end(self) -> None:
        """Fail if there is more."""
        if self.current.kind != "end":
            raise self.syntax_error()

    def syntax_error(self) -> ExpressionFault:
        """The service's text for an unexpected token, with its neighbours."""
        token = self.current
        first = self.tokens[max(self.position - 1, 0)]
        last = self.tokens[min(self.position + 1, len(self.tokens) - 1)]
        shown = "<EOF>" if token.kind == "end" else token.text
        near = self.text[first.start : last.stop].strip()
        return ExpressionFault(f'Syntax error; token: "{shown}", near: "{near}"')


def expression_error(parameter: str, fault: ExpressionFault) -> Exception:
    """The ValidationException for a faulty expression."""
    message = f"Invalid {parameter}: {fault}"
    return RequestFault(message) if isinstance(fault, RequestExpressionFault) else validation(message)
