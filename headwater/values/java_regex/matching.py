"""Java patterns on text: by Python's matcher where its time is bounded, by the linear one where it may not be."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import factorial

from headwater.values.java_regex.linear import Budget, Program, Spans
from headwater.values.java_regex.syntax import Node, Parser, RegexError, walk

# About 50 ms of Python's matcher, and 300 ms of ours, on one core.
_BACKTRACKING_STEPS = 5_000_000
_LINEAR_STEPS = 400_000
_SAFE_LENGTH = 12
MAXIMUM_RESULT = 1024 * 1024
MAXIMUM_SOURCE = 10_000


@dataclass(frozen=True, slots=True)
class _Risk:
    """How a backtracking matcher may behave: the exponent of its time, or exponential time."""

    degree: int
    is_exponential: bool
    is_regular: bool


class JavaPattern:
    """A compiled pattern. Its methods raise RegexError or TooMuchWorkError where a text would take too long.

    Raises: RegexError.
    """

    def __init__(self, source: str) -> None:
        if len(source) > MAXIMUM_SOURCE:
            raise RegexError(f"the pattern is longer than {MAXIMUM_SOURCE} characters")
        parser = Parser(source)
        node = parser.parse()
        letters = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
        flags = re.ASCII
        for letter in parser.flags:
            flags |= letters[letter]
        self._groups, self._names = parser.group_count, parser.names
        try:
            self._backtracking = re.compile(node.text, flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise RegexError(str(error)) from error
        self._risk = _risk_of(node)
        self._linear = Program(node, self._groups, flags) if self._risk.is_regular else None

    def search(self, text: str) -> str | None:
        """The first match."""
        if self._is_quick(text):
            match = self._backtracking.search(text)
            return match[0] if match else None
        spans = self._program().search(text, 0, Budget(_LINEAR_STEPS))
        return text[spans[0] : spans[1]] if spans else None

    def replace(self, text: str, replacement: str) -> str:
        """Every match replaced, with `$1` and `${name}` for groups. Raises: RegexError for an unknown group."""
        expand = self._expansion(replacement)
        parts: list[str] = []
        size, position = 0, 0
        for spans in self._matches(text):
            parts += (text[position : spans[0]], expand(text, spans))
            size += len(parts[-2]) + len(parts[-1])
            if size > MAXIMUM_RESULT:
                raise RegexError(f"the result is longer than {MAXIMUM_RESULT} characters")
            position = spans[1]
        return "".join((*parts, text[position:]))

    def _matches(self, text: str) -> Iterator[Spans]:
        if self._is_quick(text):
            for match in self._backtracking.finditer(text):
                yield tuple(bound for group in range(self._groups + 1) for bound in match.span(group))
            return
        program, budget = self._program(), Budget(_LINEAR_STEPS)
        position = 0
        while position <= len(text):
            spans = program.search(text, position, budget)
            if spans is None:
                return
            yield spans
            position = spans[1] + (spans[0] == spans[1])

    def _is_quick(self, text: str) -> bool:
        if self._risk.is_exponential:
            return len(text) <= _SAFE_LENGTH
        power = self._risk.degree + 1
        return bool((len(text) + 1) ** power <= _BACKTRACKING_STEPS * factorial(power))

    def _program(self) -> Program:
        if self._linear is None:
            raise RegexError("the pattern may take too long on a text of this length")
        return self._linear

    def _expansion(self, replacement: str) -> Callable[[str, Spans], str]:
        parts: list[str | int] = []
        position = 0
        while position < len(replacement):
            character = replacement[position]
            position += 1
            if character == "\\":
                parts.append(replacement[position : position + 1])
                if not parts[-1]:
                    raise RegexError("the replacement ends with a backslash")
                position += 1
            elif character == "$":
                group, position = self._reference(replacement, position)
                parts.append(group)
            else:
                parts.append(character)

        def expand(text: str, spans: Spans) -> str:
            return "".join(
                part if isinstance(part, str) else text[max(spans[2 * part], 0) : max(spans[2 * part + 1], 0)]
                for part in parts
            )

        return expand

    def _reference(self, replacement: str, position: int) -> tuple[int, int]:
        """The group of `$n` or `${name}` whose `$` is before `position`, and where it ends."""
        match = re.compile(r"\{(\w+)\}|(\d)", re.ASCII).match(replacement, position)
        if match is None:
            raise RegexError("a $ of the replacement names no group")
        if match[1] is not None:
            if match[1] not in self._names:
                raise RegexError(f"there is no group {match[1]!r}")
            return self._names[match[1]], match.end()
        group, position = int(match[2]), match.end()
        if group > self._groups:
            raise RegexError(f"there is no group {group}")
        # Further digits belong to the number as long as there is such a group.
        while replacement[position : position + 1].isdecimal():
            longer = group * 10 + int(replacement[position])
            if longer > self._groups:
                break
            group, position = longer, position + 1
        return group, position


def _risk_of(node: Node) -> _Risk:
    kinds: list[str] = []
    walk(node, lambda part: kinds.append(part.kind))
    degree, is_exponential = _degree(node)
    return _Risk(degree, is_exponential, "other" not in kinds)


def _degree(node: Node) -> tuple[int, bool]:
    """How many parts of varying length follow each other, and whether one is repeated inside another."""
    inner = [_degree(child) for child in node.children]
    degree = sum(found for found, _ in inner)
    is_exponential = any(found for _, found in inner)
    is_repeat = node.minimum != node.maximum or node.maximum > 1
    if not is_repeat:
        return degree, is_exponential
    varies = degree > 0 or _varies(node.children[0])
    if varies and (node.maximum < 0 or node.maximum > 1):
        return degree, True
    return degree + (node.minimum != node.maximum), is_exponential


def _varies(node: Node) -> bool:
    """Whether a part can match in more than one way at one place."""
    found: list[bool] = []
    walk(node, lambda part: found.append(part.kind in ("choice", "other") or part.minimum != part.maximum))
    return any(found)
