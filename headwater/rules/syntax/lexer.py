"""Tokens of the IoT SQL language: words, variables, numbers, strings and punctuation."""

import re
from dataclasses import dataclass
from typing import Literal

from headwater.errors import TemplateError

TokenKind = Literal["word", "variable", "number", "string", "symbol", "end"]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<word>[^\W\d]\w*)
    | (?P<variable>@[^\W\d]\w*)
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)
    | (?P<string>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<symbol><=|>=|<>|[-+*/%=<>(),.\[\]{}:])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `text` of a string is its content, `position` is 0-based in the statement."""

    kind: TokenKind
    text: str
    position: int

    def is_word(self, *words: str) -> bool:
        """Whether this is one of the keywords, in any case."""
        return self.kind == "word" and self.text.upper() in words

    def is_symbol(self, *symbols: str) -> bool:
        return self.kind == "symbol" and self.text in symbols


def tokenize(sql: str) -> list[Token]:
    """Split a statement into tokens, the last of kind "end".

    Raises: TemplateError naming the position of a character that starts no token.
    """
    tokens: list[Token] = []
    position = 0
    while True:
        match = _TOKEN.match(sql, position)
        if match is None:
            rest = sql[position:].lstrip()
            raise TemplateError(f"SQL position {len(sql) - len(rest)}: unexpected {rest[:10]!r}")
        kind: TokenKind = match.lastgroup  # type: ignore[assignment]  # the pattern's groups are the kinds
        text = match.group(match.lastgroup)  # type: ignore[arg-type]  # every alternative is a named group
        start = match.start(match.lastgroup)  # type: ignore[arg-type]  # as above
        if kind == "string":
            text = text[1:-1].replace(text[0] * 2, text[0])
        tokens.append(Token(kind, text, start))
        if kind == "end":
            return tokens
        position = match.end()
