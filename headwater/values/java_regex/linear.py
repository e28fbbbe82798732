"""A matcher whose time grows with text times pattern: all ways through the pattern are followed at once.

It finds what a backtracking matcher finds, the leftmost match by the order of preference, for patterns without
look-around and back references. Source: R. Cox, "Regular Expression Matching: the Virtual Machine Approach".
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from headwater.values.java_regex.syntax import Node, RegexError

MAXIMUM_PROGRAM = 5000
_ONE, _SPLIT, _SAVE, _ASSERT, _JUMP, _MATCH = range(6)

Spans = tuple[int, ...]


class TooMuchWorkError(Exception):
    """The budget of steps is used up."""


@dataclass(slots=True)
class Budget:
    """Steps that are left."""

    steps: int

    def spend(self, steps: int) -> None:
        """Raises: TooMuchWorkError."""
        self.steps -= steps
        if self.steps < 0:
            raise TooMuchWorkError


class Program:
    """A compiled pattern. Raises: RegexError where it would be too long."""

    def __init__(self, node: Node, group_count: int, flags: re.RegexFlag) -> None:
        self._flags = flags
        self._slots = 2 * (group_count + 1)
        self._code: list[tuple[int, int, int]] = []
        self._ones: list[Callable[[str], object]] = []
        self._known: list[dict[str, bool]] = []
        self._assertions: list[re.Pattern[str]] = []
        self._emit(_SAVE, 0)
        self._compile(node)
        self._emit(_SAVE, 1)
        self._emit(_MATCH)

    def _emit(self, kind: int, first: int = 0, second: int = 0) -> int:
        if len(self._code) >= MAXIMUM_PROGRAM:
            raise RegexError(f"the pattern has more than {MAXIMUM_PROGRAM} steps")
        self._code.append((kind, first, second))
        return len(self._code) - 1

    def _compile(self, node: Node) -> None:
        if node.kind == "one":
            self._ones.append(re.compile(node.text, self._flags).match)
            self._known.append({})
            self._emit(_ONE, len(self._ones) - 1)
        elif node.kind == "assertion":
            self._assertions.append(re.compile(node.text, self._flags))
            self._emit(_ASSERT, len(self._assertions) - 1)
        elif node.kind == "choice":
            self._choice(node)
        elif node.kind == "repeat":
            self._repeat(node)
        else:
            if node.group is not None:
                self._emit(_SAVE, 2 * node.group)
            for child in node.children:
                self._compile(child)
            if node.group is not None:
                self._emit(_SAVE, 2 * node.group + 1)

    def _choice(self, node: Node) -> None:
        ends = []
        for branch in node.children[:-1]:
            split = self._emit(_SPLIT)
            self._compile(branch)
            ends.append(self._emit(_JUMP))
            self._code[split] = (_SPLIT, split + 1, len(self._code))
        self._compile(node.children[-1])
        for end in ends:
            self._code[end] = (_JUMP, len(self._code), 0)

    def _repeat(self, node: Node) -> None:
        child = node.children[0]
        for _ in range(node.minimum):
            self._compile(child)
        if node.maximum < 0:
            split = self._emit(_SPLIT)
            self._compile(child)
            self._emit(_JUMP, split)
            self._branch(split, node)
            return
        splits = []
        for _ in range(node.maximum - node.minimum):
            splits.append(self._emit(_SPLIT))
            self._compile(child)
        for split in splits:
            self._branch(split, node)

    def _branch(self, split: int, node: Node) -> None:
        into, past = split + 1, len(self._code)
        self._code[split] = (_SPLIT, past, into) if node.is_lazy else (_SPLIT, into, past)

    def search(self, text: str, position: int, budget: Budget) -> Spans | None:
        """Start and end of the match and of each group (-1 without one) from `position` on; None if there is none.

        Raises: TooMuchWorkError.
        """
        found: Spans | None = None
        threads: list[tuple[int, Spans]] = []
        empty: Spans = (-1,) * self._slots
        for at in range(position, len(text) + 1):
            ways: list[tuple[int, Spans]] = []
            seen: set[int] = set()
            for pc, spans in threads:
                self._follow(pc, spans, text, at, ways, seen)
            if found is None:
                self._follow(0, empty, text, at, ways, seen)
            budget.spend(len(seen) + 1)
            threads = []
            character = text[at : at + 1]
            for pc, spans in ways:
                kind, operand, _ = self._code[pc]
                if kind == _MATCH:
                    found = spans
                    break  # everything after it is less preferred
                if character and self._is_one(operand, character):
                    threads.append((pc + 1, spans))
            if not threads and found is not None:
                break
        return found

    def _is_one(self, number: int, character: str) -> bool:
        known = self._known[number]
        verdict = known.get(character)
        if verdict is None:
            verdict = known[character] = self._ones[number](character) is not None
        return verdict

    def _follow(self, pc: int, spans: Spans, text: str, at: int, ways: list[tuple[int, Spans]], seen: set[int]) -> None:
        """Add what can be reached without reading a character, in the order of preference."""
        stack = [(pc, spans)]
        while stack:
            pc, spans = stack.pop()
            if pc in seen:
                continue
            seen.add(pc)
            kind, first, second = self._code[pc]
            if kind == _JUMP:
                stack.append((first, spans))
            elif kind == _SPLIT:
                stack.append((second, spans))
                stack.append((first, spans))
            elif kind == _SAVE:
                stack.append((pc + 1, (*spans[:first], at, *spans[first + 1 :])))
            elif kind == _ASSERT:
                if self._assertions[first].match(text, at):
                    stack.append((pc + 1, spans))
            else:
                ways.append((pc, spans))
