"""String, hash, codec and time functions of IoT SQL. Source: AWS IoT Core Developer Guide, "Functions"."""

import base64
import binascii
import hashlib
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from headwater.rules.functions.java_time import parse_time_text
from headwater.rules.functions.joda_time import format_time
from headwater.rules.functions.md2 import md2
from headwater.rules.values import MAXIMUM_TEXT, UNDEFINED, floor_int, is_int, parse_json, to_decimal, to_string
from headwater.values.java_regex import JavaPattern, RegexError, TooMuchWorkError

_log = logging.getLogger(__name__)
_MAXIMUM_PADDING = 1000
# What Java's trim() takes away; ltrim and rtrim are said to take tabs and spaces.
_WHITE_SPACE = "".join(map(chr, range(33)))


def _on_strings(function: Callable[..., Any]) -> Callable[..., Any]:
    def compute(*arguments: Any) -> Any:
        texts = [to_string(argument) for argument in arguments]
        return UNDEFINED if any(text is UNDEFINED for text in texts) else function(*texts)

    return compute


def _on_regex(function: Callable[..., Any]) -> Callable[..., Any]:
    """The pattern is text, or a JavaPattern that was compiled with the rule."""

    def compute(value: Any, pattern: Any, *rest: Any) -> Any:
        text, *others = map(to_string, (value, *rest))
        source = pattern if isinstance(pattern, JavaPattern) else to_string(pattern)
        if text is UNDEFINED or source is UNDEFINED or UNDEFINED in others:
            return UNDEFINED
        try:
            compiled = source if isinstance(source, JavaPattern) else JavaPattern(source)
            return function(compiled, text, *others)
        except RegexError:
            return UNDEFINED
        except TooMuchWorkError:
            _log.warning("a regular expression takes too long on a text of %d characters", len(text))
            return UNDEFINED

    return compute


def _found(match: str | None) -> Any:
    return UNDEFINED if match is None else match


def replace(text: str, old: str, new: str) -> Any:
    if len(text) + text.count(old) * (len(new) - len(old)) > MAXIMUM_TEXT:
        return UNDEFINED
    return text.replace(old, new)


def character(value: Any) -> Any:
    """`chr(n)`: the ASCII character of a code, rounded down."""
    code = floor_int(value)
    return chr(code) if is_int(code) and 0 <= code < 128 else UNDEFINED


def concat(*arguments: Any) -> Any:
    """Arrays flatten together with everything else; without an array one String makes all text."""
    if not arguments:
        return UNDEFINED
    if len(arguments) == 1:
        return arguments[0]
    if any(isinstance(argument, list) for argument in arguments):
        flat: list[Any] = []
        for argument in arguments:
            if isinstance(argument, list):
                flat.extend(argument)
            elif argument is not UNDEFINED:
                flat.append(argument)
        return flat
    if not any(isinstance(argument, str) for argument in arguments):
        return UNDEFINED
    return _on_strings(lambda *texts: "".join(texts))(*arguments)


def _pad(is_left: bool) -> Callable[[Any, Any], Any]:
    def compute(value: Any, count: Any) -> Any:
        text, spaces = to_string(value), floor_int(count)
        if text is UNDEFINED or not is_int(spaces):
            return UNDEFINED
        padding = " " * min(max(spaces, 0), _MAXIMUM_PADDING)
        return padding + text if is_left else text + padding

    return compute


def substring(value: Any, start: Any, *stop: Any) -> Any:
    """0-based, the stop exclusive; both are held to the text's bounds."""
    text, first = to_string(value), floor_int(start)
    last = floor_int(stop[0]) if stop else MAXIMUM_TEXT
    if text is UNDEFINED or not is_int(first) or not is_int(last):
        return UNDEFINED
    first, last = max(first, 0), max(last, 0)
    return text[first:last] if first <= last else ""


def encode(value: Any, scheme: Any) -> Any:
    """`encode(x, 'base64')`: of the bytes of a payload, or of the text of a value."""
    if scheme != "base64":
        return UNDEFINED
    data = value if isinstance(value, bytes) else to_string(value)
    if data is UNDEFINED:
        return UNDEFINED
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def decode(value: Any, scheme: Any) -> Any:
    """`decode(x, 'base64')`: the value of a JSON document, else text; Null if it cannot be decoded."""
    text = to_string(value)
    if scheme != "base64" or text is UNDEFINED:
        return UNDEFINED
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        decoded = data.decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    parsed = parse_json(data)
    return decoded if parsed is UNDEFINED else parsed


def parse_time(pattern: Any, moment: Any, zone_name: Any = "UTC") -> Any:
    """Text of epoch milliseconds by a Joda-Time pattern, in UTC unless a zone is given."""
    number = to_decimal(moment)
    if not isinstance(pattern, str) or not isinstance(zone_name, str) or not isinstance(number, Decimal):
        return UNDEFINED
    try:
        return format_time(pattern, int(number), zone_name)
    except (ValueError, OverflowError):
        return UNDEFINED


def time_to_epoch(text: Any, pattern: Any) -> Any:
    """Epoch milliseconds of a text by a java.time pattern."""
    if not isinstance(text, str) or not isinstance(pattern, str):
        return UNDEFINED
    try:
        return parse_time_text(text, pattern)
    except (ValueError, OverflowError, StopIteration):
        return UNDEFINED


def _hash(name: str) -> Callable[..., Any]:
    if name == "md2":
        return _on_strings(lambda text: md2(text.encode()).hex())
    return _on_strings(lambda text: hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest())


REGEX_FUNCTIONS = frozenset(("regexp_matches", "regexp_replace", "regexp_substr"))
TEXT_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "chr": (character, (1,)),
    "concat": (concat, ()),
    "decode": (decode, (2,)),
    "encode": (encode, (2,)),
    "endswith": (_on_strings(str.endswith), (2,)),
    "indexof": (_on_strings(str.find), (2,)),
    "length": (_on_strings(len), (1,)),
    "lower": (_on_strings(str.lower), (1,)),
    "lpad": (_pad(True), (2,)),
    "ltrim": (_on_strings(lambda text: text.lstrip(" \t")), (1,)),
    "numbytes": (_on_strings(lambda text: len(text.encode())), (1,)),
    "parse_time": (parse_time, (2, 3)),
    "regexp_matches": (_on_regex(lambda pattern, text: pattern.search(text) is not None), (2,)),
    "regexp_replace": (_on_regex(lambda pattern, text, new: pattern.replace(text, new)), (3,)),
    "regexp_substr": (_on_regex(lambda pattern, text: _found(pattern.search(text))), (2,)),
    "replace": (_on_strings(replace), (3,)),
    "rpad": (_pad(False), (2,)),
    "rtrim": (_on_strings(lambda text: text.rstrip(" \t")), (1,)),
    "startswith": (_on_strings(str.startswith), (2,)),
    "substring": (substring, (2, 3)),
    "time_to_epoch": (time_to_epoch, (2,)),
    "trim": (_on_strings(lambda text: text.strip(_WHITE_SPACE)), (1,)),
    "upper": (_on_strings(str.upper), (1,)),
    **{name: (_hash(name), (1,)) for name in ("md2", "md5", "sha1", "sha224", "sha256", "sha384", "sha512")},
}
