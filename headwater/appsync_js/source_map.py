"""The inline source map of a bundle: where in the sources a place of the code comes from."""

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from headwater.values.json_text import parse_json

CODE_FILE = "code.js"
_COMMENT = re.compile(r"^//[#@] ?sourceMappingURL=data:application/json[^,\s]*;base64,([A-Za-z0-9+/=_-]+)\s*$", re.M)
_DIGITS = {
    digit: value for value, digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}
# A place of the sources as the map has it: index of the source, line and column, which count from 0.
Origin = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class SourceMap:
    """For each line of the code, the columns where a mapped piece begins, and each piece's origin.

    Empty for code without a map; then every place is one of `code.js`, as the service calls it.
    Source: ECMA-426, "Source map format", and the Developer Guide's "Using source maps".
    """

    sources: Sequence[str] = ()
    lines: Mapping[int, tuple[list[int], list[Origin]]] = field(default_factory=dict)

    @classmethod
    def of(cls, code: str) -> "SourceMap":
        """The map in the last comment of its kind; a malformed one is as good as none."""
        comments = _COMMENT.findall(code)
        try:
            return _read(parse_json(base64.b64decode(comments[-1], altchars=b"-_"))) if comments else cls()
        except (ValueError, TypeError, KeyError, binascii.Error):
            return cls()

    def place(self, line: int, column: int) -> str:
        """`file:line:column` of a place of the code; both count from 1."""
        columns, origins = self.lines.get(line - 1, ((), ()))
        index = bisect_right(columns, column - 1) - 1
        if index < 0:
            return f"{CODE_FILE}:{line}:{column}"
        source, source_line, source_column = origins[index]
        return f"{self.sources[source]}:{source_line + 1}:{source_column + 1}"


def _read(document: Any) -> SourceMap:
    sources = [str(source) for source in document["sources"]]
    lines: dict[int, tuple[list[int], list[Origin]]] = {}
    source = source_line = source_column = 0
    for number, text in enumerate(str(document["mappings"]).split(";")):
        columns: list[int] = []
        origins: list[Origin] = []
        column = 0
        for segment in filter(None, text.split(",")):
            values = _integers(segment)
            column += values[0]
            if len(values) >= 4:
                source, source_line, source_column = (
                    source + values[1],
                    source_line + values[2],
                    source_column + values[3],
                )
                if not 0 <= source < len(sources):
                    raise ValueError("a segment names a source that is not listed")
                columns.append(column)
                origins.append((source, source_line, source_column))
        if columns:
            if any(left > right for left, right in pairwise(columns)):
                raise ValueError("the segments of a line are not in order")
            lines[number] = (columns, origins)
    return SourceMap(sources, lines)


def _integers(segment: str) -> list[int]:
    """Base64 variable-length quantities: five bits each, the sign in the lowest bit of all."""
    integers: list[int] = []
    value = shift = 0
    for character in segment:
        digit = _DIGITS[character]
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            integers.append(-(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    if shift or not integers:
        raise ValueError("a segment ends in the middle")
    return integers
