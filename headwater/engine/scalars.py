"""The scalars of AppSync: what each accepts, what resolvers get, and what goes into a response."""

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final

import orjson
from graphql import (
    BooleanValueNode,
    FloatValueNode,
    IntValueNode,
    StringValueNode,
    ValueNode,
)

from headwater.values.json_text import NestedTooDeeply, parse_json

MIN_INT: Final = -(2**31)
MAX_INT: Final = 2**31 - 1
# What a JSON parser of Java makes of each kind of value.
JAVA_CLASSES: Final[Mapping[type, str]] = MappingProxyType(
    {bool: "Boolean", int: "Integer", float: "Double", str: "String", list: "ArrayList", dict: "LinkedHashMap"}
)


class ScalarFault(ValueError):
    """A value the scalar does not take; the text completes "Variable 'x' has an invalid value. …"."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One scalar type.

    `parse` turns a JSON value (a variable) into what resolvers see, `literal` does so for a value written in the
    document, `serialize` turns a resolver's value into JSON; all raise ScalarFault. `fast_class` is the class whose
    instances `serialize` returns unchanged, None if there is no such class.
    Source: AppSync Developer Guide, "Scalar types in AWS AppSync"; the built-in ones coerce as graphql-java does.
    """

    name: str
    parse: Callable[[Any], Any]
    literal: Callable[[ValueNode], Any]
    serialize: Callable[[Any], Any]
    fast_class: type | None = None


def java_class(value: Any) -> str:
    """The Java class name the service prints for a JSON value."""
    if value.__class__ is int and not MIN_INT <= value <= MAX_INT:
        return "Long" if -(2**63) <= value < 2**63 else "BigInteger"
    return "null" if value is None else JAVA_CLASSES.get(type(value), type(value).__name__)


def _wrong(name: str, value: Any) -> ScalarFault:
    return ScalarFault(f"Expected type '{name}' but was '{java_class(value)}'.")


def java_text(value: Any) -> str:
    """`Object.toString()` of a JSON value: `{a=1, b=[x]}`, which String fields show for maps and lists."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={java_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(java_text, value)) + "]"
    return str(value)


def _number(name: str, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise _wrong(name, value)
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise _wrong(name, value) from error
    if not number.is_finite():
        raise _wrong(name, value)
    return number


def _int(value: Any) -> int:
    if value.__class__ is int and MIN_INT <= value <= MAX_INT:
        return int(value)
    number = _number("Int", value)
    if number != number.to_integral_value() or not MIN_INT <= number <= MAX_INT:
        raise _wrong("Int", value)
    return int(number)


def _float(value: Any) -> float:
    if value.__class__ is int and -(2**53) <= value <= 2**53:
        return float(value)
    number = float(_number("Float", value))
    if not math.isfinite(number):
        raise _wrong("Float", value)
    return number


def _boolean(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if isinstance(value, int | float | Decimal):
        return value != 0
    raise _wrong("Boolean", value)


def _string_input(value: Any) -> str:
    if value is None or isinstance(value, Mapping | list | tuple):
        raise _wrong("String", value)
    return java_text(value)


def _string_output(value: Any) -> str:
    if value is None:
        raise _wrong("String", value)
    return java_text(value)


def _id(value: Any) -> str:
    if isinstance(value, str):
        return value
    if _is_integral(value):
        return str(int(value))
    raise _wrong("ID", value)


def _int_literal(node: ValueNode) -> int:
    if not isinstance(node, IntValueNode):
        raise ScalarFault("not an Int literal")
    return _int(int(node.value))


def _float_literal(node: ValueNode) -> float:
    if not isinstance(node, IntValueNode | FloatValueNode):
        raise ScalarFault("not a Float literal")
    return _float(node.value)


def _boolean_literal(node: ValueNode) -> bool:
    if not isinstance(node, BooleanValueNode):
        raise ScalarFault("not a Boolean literal")
    return node.value


def _string_literal(node: ValueNode) -> str:
    if not isinstance(node, StringValueNode):
        raise ScalarFault("not a String literal")
    return node.value


def _id_literal(node: ValueNode) -> str:
    if not isinstance(node, StringValueNode | IntValueNode):
        raise ScalarFault("not an ID literal")
    return node.value


_OFFSET = r"(?:Z|[+-](?:0\d|1[0-7]):[0-5]\d(?::[0-5]\d)?|[+-]18:00(?::00)?)"
_DATE_TEXT = r"(-?\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME_TEXT = r"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{0,9})?)?"
# re.ASCII everywhere: \d must not take other scripts' digits.
_DATE = re.compile(f"{_DATE_TEXT}{_OFFSET}?", re.ASCII)
_TIME = re.compile(f"{_TIME_TEXT}{_OFFSET}?", re.ASCII)
_DATE_TIME = re.compile(f"{_DATE_TEXT}T{_TIME_TEXT}{_OFFSET}", re.ASCII)
_EMAIL_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_EMAIL = re.compile(
    rf'(?:{_EMAIL_ATOM}(?:\.{_EMAIL_ATOM})*|"(?:[^"\\\r\n]|\\[^\r\n])*")'
    rf"@(?:{_EMAIL_LABEL}(?:\.{_EMAIL_LABEL})*|\[[0-9A-Fa-f:.]+\])"
)
_PHONE = re.compile(r"\+?\d+(?:[ -]\d+)*", re.ASCII)
_NORTH_AMERICAN = re.compile(r"1?[2-9]\d{2}[2-9]\d{6}", re.ASCII)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#\s]*))?([^?#\s]*)(\?[^#\s]*)?(#\S*)?")
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _is_calendar_date(match: re.Match[str]) -> bool:
    if match.group(3) < "29":
        return True
    year, month, day = (int(part) for part in match.groups())
    if month == 2 and day == 29:
        return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= _MONTH_DAYS[month - 1]


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    return match is not None and _is_calendar_date(match)


def _is_date_time(text: str) -> bool:
    match = _DATE_TIME.fullmatch(text)
    return match is not None and _is_calendar_date(match)


def _is_time(text: str) -> bool:
    return _TIME.fullmatch(text) is not None


def _is_email(text: str) -> bool:
    return _EMAIL.fullmatch(text) is not None


def _is_phone(text: str) -> bool:
    """Digit groups split by single spaces or hyphens; without a country code, or with +1, the North American plan."""
    if _PHONE.fullmatch(text) is None:
        return False
    digits = text.replace(" ", "").replace("-", "")
    if digits.startswith("+") and not digits.startswith("+1"):
        return 7 <= len(digits) - 1 <= 15 and digits[1] != "0"
    return _NORTH_AMERICAN.fullmatch(digits.lstrip("+")) is not None


def _is_url(text: str) -> bool:
    """A scheme is needed and the path holds no `//`; a scheme with `//` needs a host unless it is `file`."""
    match = _URL.fullmatch(text)
    if match is None:
        return False
    scheme, authority, path = match.group(1).lower(), match.group(2), match.group(3)
    if "//" in path:
        return False
    if authority is None:
        return bool(path) and scheme not in ("http", "https", "ftp", "ws", "wss")
    return scheme == "file" or bool(authority.rpartition("@")[2])


def _is_ip_address(text: str) -> bool:
    """IPv4 in dotted quads or IPv6 without brackets, and optionally a prefix length."""
    address, slash, prefix = text.partition("/")
    if "%" in address or (slash and not (prefix.isascii() and prefix.isdigit())):
        return False
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return False
    return not slash or int(prefix) <= (32 if version == 4 else 128)


def _text_scalar(name: str, is_valid: Callable[[str], bool], noun: str) -> Scalar:
    """A scalar whose values are strings of one form; `noun` is what the service calls it in its message."""

    def parse(value: Any) -> str:
        if not isinstance(value, str) or not is_valid(value):
            raise ScalarFault(f"Unable to parse `{java_text(value)}` as a valid {noun}.")
        return value

    def serialize(value: Any) -> str:
        if not isinstance(value, str) or not is_valid(value):
            raise ScalarFault(f"Unable to serialize `{java_text(value)}` as a valid {noun}.")
        return value

    return Scalar(name, parse, lambda node: parse(_string_literal(node)), serialize)


def _is_integral(value: Any) -> bool:
    """Whether it is a whole number of 64 bits."""
    if value.__class__ is int:
        return -(2**63) <= value < 2**63
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return False
    number = Decimal(value)
    return number.is_finite() and -(2**63) <= number < 2**63 and number == number.to_integral_value()


def _timestamp(value: Any) -> int:
    if not _is_integral(value):
        raise ScalarFault(f"Unable to parse `{java_text(value)}` as a valid timestamp.")
    return int(value)


def _timestamp_output(value: Any) -> int:
    if not _is_integral(value):
        raise ScalarFault(f"Unable to serialize `{java_text(value)}` as a valid timestamp.")
    return int(value)


def _timestamp_literal(node: ValueNode) -> int:
    if not isinstance(node, IntValueNode):
        raise ScalarFault("not an Int literal")
    return _timestamp(int(node.value))


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        raise ScalarFault(f"Unable to parse `{java_text(value)}` as valid JSON.")
    try:
        return parse_json(value)
    except NestedTooDeeply as error:
        raise ScalarFault(f"Unable to parse a value as valid JSON: {error}.") from error
    except ValueError as error:
        raise ScalarFault(f"Unable to parse `{value}` as valid JSON.") from error


def _json_output(value: Any) -> str:
    """A string that is JSON already goes out as it is: handlers often stringify themselves."""
    if value is None:
        raise ScalarFault("Unable to serialize `null` as valid JSON.")
    if isinstance(value, str):
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            return orjson.dumps(value).decode()
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise ScalarFault(f"Unable to serialize `{java_text(value)}` as valid JSON.") from error


def _build() -> Mapping[str, Scalar]:
    scalars = (
        Scalar("Int", _int, _int_literal, _int),
        Scalar("Float", _float, _float_literal, _float),
        Scalar("Boolean", _boolean, _boolean_literal, _boolean, bool),
        Scalar("String", _string_input, _string_literal, _string_output, str),
        Scalar("ID", _id, _id_literal, _id, str),
        _text_scalar("AWSDate", _is_date, "date"),
        _text_scalar("AWSTime", _is_time, "time"),
        _text_scalar("AWSDateTime", _is_date_time, "DateTime Object"),
        Scalar("AWSTimestamp", _timestamp, _timestamp_literal, _timestamp_output),
        _text_scalar("AWSEmail", _is_email, "email address"),
        Scalar("AWSJSON", _json, lambda node: _json(_string_literal(node)), _json_output),
        _text_scalar("AWSPhone", _is_phone, "phone number"),
        _text_scalar("AWSURL", _is_url, "URL"),
        _text_scalar("AWSIPAddress", _is_ip_address, "IP address"),
    )
    return MappingProxyType({scalar.name: scalar for scalar in scalars})


SCALARS: Final[Mapping[str, Scalar]] = _build()
AWS_SCALARS: Final = tuple(name for name in SCALARS if name.startswith("AWS"))
