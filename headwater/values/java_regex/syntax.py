"""Java regular expressions become a tree that knows its Python spelling. Source: JDK 11, java.util.regex.Pattern.

What Java has and Python has not, and the other way round, is a RegexError: classes of classes (`[a&&[b]]`), Unicode
properties, `\\G`, `\\X`; `(?P<n>…)`, conditions and comments.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

MAXIMUM_NESTING = 50
MAXIMUM_COUNT = 1000
_INFINITE = -1
_POSIX = {
    "Lower": "a-z", "Upper": "A-Z", "ASCII": r"\x00-\x7f", "Alpha": "a-zA-Z", "Digit": "0-9", "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~", "Graph": "!-~", "Print": " -~", "Blank": r" \t", "Cntrl": r"\x00-\x1f\x7f",
    "XDigit": "0-9a-fA-F", "Space": r" \t\n\x0b\f\r",
}  # fmt: skip
_CLASSES = {"d": r"\d", "D": r"\D", "w": r"\w", "W": r"\W", "s": r"\s", "S": r"\S"}
_CONTROLS = {"t": r"\t", "n": r"\n", "r": r"\r", "f": r"\f", "a": r"\x07", "e": r"\x1b"}
_ASSERTIONS = {"b": r"\b", "B": r"\B", "A": r"\A", "Z": r"(?=\n?\Z)", "z": r"\Z"}
_COUNT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsx]+)\)")


class RegexError(ValueError):
    """The text is no regular expression of Java, or one that does not work here."""


@dataclass(slots=True)
class Node:
    """A part of a pattern. `text` is Python's spelling; `maximum` -1 is without end.

    `kind` "other" is what only a backtracking matcher can do: look-around, back references, possessive quantifiers.
    """

    kind: Literal["one", "sequence", "choice", "repeat", "group", "assertion", "other"]
    text: str
    children: Sequence["Node"] = ()
    minimum: int = 1
    maximum: int = 1
    is_lazy: bool = False
    group: int | None = None


@dataclass(slots=True)
class Parser:
    """Reads one pattern; `flags` are the global ones it begins with."""

    source: str
    flags: str = ""
    group_count: int = 0
    names: dict[str, int] = field(default_factory=dict)
    _at: int = 0
    _depth: int = 0

    def parse(self) -> Node:
        """The whole pattern. Raises: RegexError."""
        match = _FLAGS.match(self.source)
        if match:
            self.flags, self._at = match[1], match.end()
        node = self._choice()
        if self._at < len(self.source):
            raise RegexError(f"unmatched ')' at {self._at}")
        return node

    def _peek(self, count: int = 1) -> str:
        return self.source[self._at : self._at + count]

    def _take(self) -> str:
        if self._at >= len(self.source):
            raise RegexError("the pattern ends too early")
        character = self.source[self._at]
        self._at += 1
        return character

    def _choice(self) -> Node:
        self._depth += 1
        if self._depth > MAXIMUM_NESTING:
            raise RegexError(f"nested deeper than {MAXIMUM_NESTING} levels")
        branches = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
        self._depth -= 1
        if len(branches) == 1:
            return branches[0]
        return Node("choice", "|".join(branch.text for branch in branches), branches)

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.extend(self._quantified(atom) for atom in self._atoms())
        return Node("sequence", "".join(part.text for part in parts), parts)

    def _atoms(self) -> list[Node]:
        if self._peek(2) == r"\Q":
            end = self.source.find(r"\E", self._at)
            end = len(self.source) if end < 0 else end
            literal = self.source[self._at + 2 : end]
            self._at = min(end + 2, len(self.source))
            return [Node("one", re.escape(character)) for character in literal]
        return [self._atom()]

    def _atom(self) -> Node:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return Node("one", self._class())
        if character == ".":
            return Node("one", ".")
        if character in "^$":
            return Node("assertion", character)
        if character == "\\":
            return self._escape()
        if character in "*+?{":
            raise RegexError(f"nothing to repeat at {self._at - 1}")
        return Node("one", re.escape(character))

    def _quantified(self, atom: Node) -> Node:
        character = self._peek()
        if character in ("*", "+", "?"):
            self._at += 1
            minimum, maximum = {"*": (0, _INFINITE), "+": (1, _INFINITE), "?": (0, 1)}[character]
            spelling = character
        else:
            match = _COUNT.match(self.source, self._at)
            if match is None:
                return atom
            self._at = match.end()
            minimum = int(match[1])
            maximum = minimum if match[2] is None else (int(match[3]) if match[3] else _INFINITE)
            if max(minimum, maximum) > MAXIMUM_COUNT or 0 <= maximum < minimum:
                raise RegexError(f"the count {match[0]} is out of order or above {MAXIMUM_COUNT}")
            spelling = match[0]
        if self._peek() in ("*", "?", "+", "{") and self._peek() not in ("?", "+"):
            raise RegexError(f"a second quantifier at {self._at}")
        suffix = self._take() if self._peek() in ("?", "+") else ""
        text = atom.text if atom.kind in ("one", "group") else f"(?:{atom.text})"
        node = Node("repeat", text + spelling + suffix, [atom], minimum, maximum, is_lazy=suffix == "?")
        if suffix == "+":
            node.kind = "other"
        return node

    def _group(self) -> Node:
        if self._peek() != "?":
            return self._captured("(")
        self._at += 1
        for prefix in (":", "=", "!", ">", "<=", "<!"):
            if self._peek(len(prefix)) == prefix:
                self._at += len(prefix)
                inner = self._closed()
                kind: Literal["group", "other"] = "group" if prefix == ":" else "other"
                return Node(kind, f"(?{prefix}{inner.text})", [inner])
        match = re.compile(r"<([A-Za-z][A-Za-z0-9]*)>").match(self.source, self._at)
        if match:
            self._at = match.end()
            if match[1] in self.names:
                raise RegexError(f"the group {match[1]!r} is named twice")
            self.names[match[1]] = self.group_count + 1
            return self._captured(f"(?P<{match[1]}>")
        return self._flagged()

    def _captured(self, opening: str) -> Node:
        self.group_count += 1
        number = self.group_count
        inner = self._closed()
        return Node("group", f"{opening}{inner.text})", [inner], group=number)

    def _flagged(self) -> Node:
        """`(?i:…)`, or `(?i)`, which holds until the enclosing group ends."""
        match = re.compile(r"([imsx]*(?:-[imsx]+)?)([:)])").match(self.source, self._at)
        if match is None or not match[1]:
            raise RegexError(f"unknown group at {self._at}")
        self._at = match.end()
        inner = self._closed() if match[2] == ":" else self._choice()
        return Node("other", f"(?{match[1]}:{inner.text})", [inner])

    def _closed(self) -> Node:
        node = self._choice()
        if self._take() != ")":
            raise RegexError("a group is not closed")
        return node

    def _escape(self) -> Node:
        character = self._take()
        if character in _ASSERTIONS:
            return Node("assertion", _ASSERTIONS[character])
        if character.isdigit() and character != "0":
            if int(character) > self.group_count:
                raise RegexError(f"there is no group {character}")
            return Node("other", f"(?:\\{character})")
        if character == "k":
            match = re.compile(r"<(\w+)>", re.ASCII).match(self.source, self._at)
            if match is None or match[1] not in self.names:
                raise RegexError("\\k names no group")
            self._at = match.end()
            return Node("other", f"(?P={match[1]})")
        if character == "R":
            return Node("choice", r"(?:\r\n|[\n\x0b\f\r\x85\u2028\u2029])", [
                Node("sequence", r"\r\n", [Node("one", r"\r"), Node("one", r"\n")]),
                Node("one", r"[\n\x0b\f\r\x85\u2028\u2029]"),
            ])  # fmt: skip
        inside, is_negated = self._class_escape(character)
        return Node("one", f"[{'^' if is_negated else ''}{inside}]")

    def _class_escape(self, character: str) -> tuple[str, bool]:
        r"""What an escape stands for inside `[…]`, and whether it is the opposite: `\P`, `\H`."""
        if character in _CLASSES:
            return _CLASSES[character], False
        if character in _CONTROLS:
            return _CONTROLS[character], False
        if character in "hH":
            return " \\t\\xa0\\u1680\\u180e\\u2000-\\u200a\\u202f\\u205f\\u3000", character == "H"
        if character in "xu0c":
            return self._code(character), False
        if character in "pP":
            match = re.compile(r"\{(\w+)\}", re.ASCII).match(self.source, self._at)
            if match is None or match[1] not in _POSIX:
                raise RegexError("only the POSIX classes of \\p work here")
            self._at = match.end()
            return _POSIX[match[1]], character == "P"
        if character.isalnum():
            raise RegexError(f"the escape \\{character} does not work here")
        return re.escape(character), False

    def _code(self, character: str) -> str:
        r"""`\xhh`, `\x{h…h}`, `\uhhhh`, `\0n…` and `\cX` as one character."""
        if character == "c":
            return re.escape(chr(ord(self._take()) ^ 64))
        forms = {"x": r"([0-9a-fA-F]{2})|\{([0-9a-fA-F]+)\}", "u": r"([0-9a-fA-F]{4})()", "0": r"([0-3]?[0-7]{1,2})()"}
        match = re.compile(forms[character]).match(self.source, self._at)
        if match is None:
            raise RegexError(f"\\{character} is not followed by a code")
        self._at = match.end()
        code = int(match[1] or match[2], 8 if character == "0" else 16)
        if code > 0x10FFFF:
            raise RegexError(f"there is no character {code:x}")
        return re.escape(chr(code))

    def _class(self) -> str:
        negation = "^" if self._peek() == "^" else ""
        self._at += len(negation)
        inside = ""
        is_first = True
        while is_first or self._peek() != "]":
            is_first = False
            character = self._take()
            if character == "[" or (character == "&" and self._peek() == "&"):
                raise RegexError("classes of classes do not work here")
            if character == "\\":
                if self._peek() == "Q":
                    raise RegexError("\\Q inside a class does not work here")
                text, is_negated = self._class_escape(self._take())
                if is_negated:
                    raise RegexError("\\P and \\H inside a class do not work here")
                inside += text
            else:
                inside += character if character == "-" else re.escape(character)
        self._at += 1
        return f"[{negation}{inside}]"


def walk(node: Node, visit: Callable[[Node], None]) -> None:
    """Every part of a pattern, outer ones first."""
    visit(node)
    for child in node.children:
        walk(child, visit)
