"""SDL text becomes a document, with the liberties the service's parser allows beyond the specification."""

import re
from collections.abc import Callable
from typing import Final, TypeVar

from graphql import DocumentNode, GraphQLError, GraphQLSyntaxError, NamedTypeNode, TokenKind
from graphql.language.parser import Parser

_T = TypeVar("_T")

# Strings and comments are matched to be left alone.
_STRAY_SEMICOLON: Final = re.compile(r'"""(?:\\"""|[\s\S])*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*|;')


def parse_sdl(sdl: str) -> DocumentNode:
    """Parse a schema; lines in it are those of `sdl`.

    The service's grammar is graphql-java's, which takes `implements A, B` and types without fields (`type Query {}`),
    and its lexer drops characters that begin no token: AWS's serverless-patterns has a schema whose fields end with
    semicolons (appsync-subscription-filter-cdk).
    Raises: GraphQLError, also for text that is nested too deeply to be read.
    """
    try:
        return _parsed(sdl)
    except GraphQLSyntaxError:
        cleaned = _STRAY_SEMICOLON.sub(lambda found: " " if found.group() == ";" else found.group(), sdl)
        if cleaned == sdl:
            raise
    return _parsed(cleaned)


def _parsed(sdl: str) -> DocumentNode:
    try:
        return _ServiceParser(sdl).parse_document()
    except RecursionError:
        raise GraphQLError("it is nested too deeply") from None


class _ServiceParser(Parser):
    def parse_implements_interfaces(self) -> tuple[NamedTypeNode, ...] | None:
        if not self.expect_optional_keyword("implements"):
            return None
        # Commas mean nothing to the lexer, so interfaces with commas between them are names in a row.
        self.expect_optional_token(TokenKind.AMP)
        interfaces = [self.parse_named_type()]
        while self.expect_optional_token(TokenKind.AMP) or self.peek(TokenKind.NAME):
            interfaces.append(self.parse_named_type())
        return tuple(interfaces)

    def optional_many(
        self, open_kind: TokenKind, parse_fn: Callable[[], _T], close_kind: TokenKind
    ) -> tuple[_T, ...] | None:
        if open_kind is TokenKind.BRACE_L and self.peek(TokenKind.BRACE_L):
            return self.any(open_kind, parse_fn, close_kind)
        return super().optional_many(open_kind, parse_fn, close_kind)
