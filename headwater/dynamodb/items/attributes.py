"""Attribute values: typed JSON in, canonical typed JSON and its size in bytes out."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from headwater.dynamodb.faults import INVALID, RequestFault, invalid, serialization, validation
from headwater.dynamodb.items.numbers import MAX_DIGITS, normalise_number, number_size

Value = dict[str, Any]
Item = dict[str, Value]

MAX_ITEM_BYTES = 400 * 1024
MAX_DEPTH = 32
MAX_NAME_BYTES = 65535
TYPES = frozenset({"S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"})
TYPE_NAMES = {
    "S": "STRING",
    "N": "NUMBER",
    "B": "BINARY",
    "BOOL": "BOOLEAN",
    "NULL": "NULL",
    "SS": "STRING_SET",
    "NS": "NUMBER_SET",
    "BS": "BINARY_SET",
    "L": "LIST",
    "M": "MAP",
}
_TOO_MANY_TYPES = (
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
)
_NAME_TOO_LONG = "Attribute name is too large, must be less than 65536 characters"
EMPTY_NAME = "Empty attribute name"
_NO_TYPE = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
_TOO_DEEP = (
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
)


def check_name(name: str) -> None:
    """The longest attribute name. Raises: ServiceError `ValidationException`."""
    if len(name) > MAX_NAME_BYTES:
        raise invalid(_NAME_TOO_LONG)


def text_size(text: str) -> int:
    """The UTF-8 length. Raises: ServiceError `SerializationException` for half a surrogate pair."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise serialization("Invalid UTF-8 in a string") from None


def normalise_item(item: Any) -> tuple[Item, int]:
    """Check a map of attribute values; the canonical form, which shares what is canonical already, and its size.

    Raises: ServiceError `ValidationException` or `SerializationException`.
    """
    if not isinstance(item, dict):
        raise wrong_type(item, "Map")
    names = "".join(item)
    names_size = len(names)
    if names_size > MAX_NAME_BYTES or not names.isascii():
        names_size = sum(map(_name_size, item))
    if "" in item:
        raise RequestFault(EMPTY_NAME)
    checked, size = normalise_values(item)
    return checked, names_size + size


def normalise_values(values: dict[str, Any], depth: int = 1) -> tuple[dict[str, Value], int]:
    """Check attribute values whatever they are named; as `normalise_item`, with the size of the values alone."""
    changed: dict[str, Value] | None = None
    size = 0
    # Most attributes are strings or numbers as they are stored; the hottest loop of a write (bench/store.py).
    for name, value in values.items():
        if value.__class__ is dict and len(value) == 1 and depth <= MAX_DEPTH:
            if "S" in value:
                text = value["S"]
                if text.__class__ is str:
                    size += len(text) if text.isascii() else text_size(text)
                    continue
            elif "N" in value:
                text = value["N"]
                if text.__class__ is str:
                    number_bytes = (
                        _short_number_size(text) if len(text) <= _MAX_SHORT_DIGITS else _plain_number_size(text)
                    )
                    if number_bytes:
                        size += number_bytes
                        continue
            elif value.get("M") == {}:
                size += 3
                continue
        checked, value_size = normalise_value(value, depth)
        size += value_size
        if checked is not value:
            if changed is None:
                changed = dict(values)
            changed[name] = checked
    return values if changed is None else changed, size


def _plain_number_size(text: str) -> int:
    """`number_size` of a number that is canonical at first sight, as nearly all are; 0 of any other text."""
    if len(text) > MAX_DIGITS or not text.isascii():
        return 0
    if text.isdigit():
        if text[0] == "0":
            return 1 if text == "0" else 0
        return 1 + (len(text.rstrip("0")) + len(text) % 2 + 1) // 2
    whole, _, fraction = text.partition(".")
    if fraction.isdigit() and whole.isdigit() and whole[0] != "0" and fraction[-1] != "0":
        return 1 + (len(text) + len(whole) % 2) // 2
    return number_size(text) if normalise_number(text) is text else 0


# Readings, counts and the seconds of a time to live come again and again; longer numbers hardly do.
_MAX_SHORT_DIGITS = 10
_short_number_size = lru_cache(maxsize=4096)(_plain_number_size)


def _name_size(name: str) -> int:
    check_name(name)
    return text_size(name)


def normalise_value(value: Any, depth: int = 1) -> tuple[Value, int]:
    """Check one attribute value; the canonical form, which may be the value itself, and its size without the name.

    Raises: ServiceError `ValidationException` or `SerializationException`.
    """
    if value.__class__ is dict and len(value) == 1 and depth <= MAX_DEPTH:
        ((kind, content),) = value.items()
        if content.__class__ is str:
            if kind == "S":
                return value, len(content) if content.isascii() else text_size(content)
            if kind == "N":
                size = _plain_number_size(content)
                if size:
                    return value, size
                text = normalise_number(content)
                return {"N": text}, number_size(text)
        elif content is not None and kind in TYPES:
            checked = _CHECKS[kind](content, depth)
            return checked if checked[0][kind] is not content else (value, checked[1])
    elif not isinstance(value, dict):
        raise wrong_type(value, "AttributeValue")
    kinds = [kind for kind, content in value.items() if kind in TYPES and content is not None]
    if not kinds:
        raise validation(_NO_TYPE)
    if depth > MAX_DEPTH:
        raise RequestFault(_TOO_DEEP)
    checked = _CHECKS[kinds[0]](value[kinds[0]], depth)
    if len(kinds) > 1:
        for kind in kinds[1:]:
            _CHECKS[kind](value[kind], depth)
        raise validation(_TOO_MANY_TYPES)
    return checked


def _check_string(content: Any, depth: int) -> tuple[Value, int]:
    return {"S": _string(content)}, text_size(content)


def _check_number(content: Any, depth: int) -> tuple[Value, int]:
    text = normalise_number(_string(content))
    return {"N": text}, number_size(text)


def _check_binary(content: Any, depth: int) -> tuple[Value, int]:
    return {"B": content}, len(binary(content))


def _check_boolean(content: Any, depth: int) -> tuple[Value, int]:
    return {"BOOL": boolean(content)}, 1


def _check_null(content: Any, depth: int) -> tuple[Value, int]:
    if not boolean(content):
        raise invalid("Null attribute value types must have the value of true")
    return {"NULL": True}, 1


def _check_string_set(content: Any, depth: int) -> tuple[Value, int]:
    members = [_string(member) for member in _list(content)]
    if not members:
        raise RequestFault(f"{INVALID}An string set  may not be empty")
    if len(set(members)) != len(members):
        raise RequestFault(
            f"{INVALID}Input collection [{', '.join(members)}] contains duplicates.",
            f"{INVALID}Input collection [{', '.join(_quoted(members))}] contains duplicates.",
        )
    return ordered_set("SS", members), sum(map(text_size, members))


def _check_number_set(content: Any, depth: int) -> tuple[Value, int]:
    if not _list(content):
        raise RequestFault(f"{INVALID}An number set  may not be empty")
    members = [normalise_number(_string(member)) for member in content]
    if len(set(members)) != len(members):
        raise RequestFault("Input collection contains duplicates", f"{INVALID}Input collection contains duplicates.")
    return ordered_set("NS", members), sum(map(number_size, members))


def _check_binary_set(content: Any, depth: int) -> tuple[Value, int]:
    if not _list(content):
        raise RequestFault(f"{INVALID}Binary sets should not be empty")
    sizes = [len(binary(member)) for member in content]
    if len(set(content)) != len(content):
        raise RequestFault(
            f"{INVALID}Input collection [{', '.join(content)}]of type BS contains duplicates.",
            f"{INVALID}Input collection [{','.join(_quoted(content, b64decode))}]of type BS contains duplicates.",
        )
    return ordered_set("BS", content), sum(sizes)


def ordered_set(kind: str, members: list[str]) -> Value:
    """A set of canonical members as the service keeps it: texts and bytes in byte order, whatever order they came in.

    Numbers stay as they came: the recordings there are do not tell whether the service's order of them rises or falls.
    Source: paritysuite/dynamodb-conformance, recorded in October 2026.
    """
    if kind == "NS" or len(members) < 2:
        return {kind: members}
    # Code points sort as their UTF-8 does.
    return {kind: sorted(members, key=b64decode if kind == "BS" else None)}


def _quoted(members: list[str], order: Callable[[str], Any] | None = None) -> list[str]:
    """A set with a duplicate as the newer checks show it: in order up to the first repeat, then as it was sent."""
    seen: dict[str, None] = {}
    for member in members:
        if member in seen:
            break
        seen[member] = None
    return [f'"{member}"' for member in [*sorted(seen, key=order), *members[len(seen) :]]]


def _check_list(content: Any, depth: int) -> tuple[Value, int]:
    size = 3
    members = []
    for member in _list(content):
        checked, member_size = normalise_value(member, depth + 1)
        members.append(checked)
        size += member_size + 1
    return {"L": members}, size


def _check_map(content: Any, depth: int) -> tuple[Value, int]:
    if not isinstance(content, dict):
        raise wrong_type(content, "Map")
    members, size = normalise_values(content, depth + 1)
    names_size = text_size("".join(members))
    if "" in members:
        raise RequestFault(EMPTY_NAME)
    return {"M": members}, 3 + size + names_size + len(members)


_CHECKS = {
    "S": _check_string,
    "N": _check_number,
    "B": _check_binary,
    "BOOL": _check_boolean,
    "NULL": _check_null,
    "SS": _check_string_set,
    "NS": _check_number_set,
    "BS": _check_binary_set,
    "L": _check_list,
    "M": _check_map,
}


def _string(content: Any) -> str:
    if not isinstance(content, str):
        raise wrong_type(content, "String")
    return content


def _list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        if isinstance(content, dict):
            raise serialization("Start of structure or map found where not expected")
        raise serialization("Unexpected field type")
    return content


def binary(content: Any) -> bytes:
    """The bytes of a base64 text.

    Raises: ServiceError `SerializationException` as the service's decoder does.
    """
    if not isinstance(content, str):
        if isinstance(content, dict | list):
            raise wrong_type(content, "java.nio.ByteBuffer")
        raise serialization("only base-64-encoded strings are convertible to bytes")
    if len(content) % 4:
        raise serialization(f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(content)}")
    try:
        decoded = b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise serialization("Invalid last non-pad Base64 character dectected") from None
    if b64encode(decoded).decode() != content:
        raise serialization("Invalid last non-pad Base64 character dectected")
    return decoded


def boolean(content: Any) -> bool:
    """A boolean, also in the words the service's parser takes for one."""
    if isinstance(content, str):
        word = _BOOLEAN_WORDS.get(content.upper())
        if word is None:
            raise serialization("Unexpected token received from parser")
        return word
    if not isinstance(content, bool):
        raise wrong_type(content, "Boolean")
    return content


_BOOLEAN_WORDS = {"TRUE": True, "1": True, "YES": True, "FALSE": False, "0": False, "NO": False}


def wrong_type(content: Any, expected: str) -> Exception:
    """The error for a JSON value of the wrong type; `expected` is the wanted shape's name."""
    if isinstance(content, dict):
        return serialization("Start of structure or map found where not expected")
    if isinstance(content, list):
        if expected in {"String", "Boolean", "Integer", "Long"}:
            return serialization(f"Unrecognized collection type class java.lang.{expected}")
        if expected == "Map":
            prefix = "java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>"
            return serialization(f"Unrecognized collection type {prefix}")
        name = expected if "." in expected else f"com.amazonaws.dynamodb.v20120810.{expected}"
        return serialization(f"Unrecognized collection type class {name}")
    if expected == "Map":
        return serialization("Unexpected field type")
    if expected == "AttributeValue":
        return serialization("Unexpected value type in payload")
    return serialization(f"{_token_name(content)} cannot be converted to {expected}")


def _token_name(content: Any) -> str:
    if isinstance(content, bool):
        return "TRUE_VALUE" if content else "FALSE_VALUE"
    if isinstance(content, int):
        return "NUMBER_VALUE"
    if isinstance(content, float):
        return "DECIMAL_VALUE"
    return "STRING_VALUE"


def keys_of_item(types: Iterable[tuple[str, str]], item: Item) -> tuple[Item, int]:
    """The key attributes (name, type) of a canonical item, and their size without the names."""
    keys: Item = {}
    size = 0
    for name, kind in types:
        keys[name] = value = item[name]
        content = value[kind]
        if kind == "S":
            size += len(content) if content.isascii() else text_size(content)
        else:
            size += number_size(content) if kind == "N" else len(b64decode(content))
    return keys, size


def item_size(item: Item) -> int:
    """The size of an item whose values are canonical; only their nesting may be new.

    Raises: ServiceError `ValidationException` if it nests too deep.
    """
    return text_size("".join(item)) + normalise_values(item)[1]


def type_of(value: Value) -> str:
    """The type letter of a canonical value."""
    return next(iter(value))


def values_equal(left: Value | None, right: Value | None) -> bool:
    """Equality of canonical values; the order of a set does not count."""
    if left is None or right is None:
        return False
    if left == right:
        return True
    kind = type_of(left)
    if kind != type_of(right):
        return False
    one, other = left[kind], right[kind]
    if kind in {"SS", "NS", "BS"}:
        return len(one) == len(other) and set(one) == set(other)
    if kind == "L":
        return len(one) == len(other) and all(map(values_equal, one, other))
    if kind == "M":
        return items_equal(one, other)
    return False


def items_equal(left: Item, right: Item) -> bool:
    """Equality of two maps of canonical values."""
    if left == right:
        return True
    return left.keys() == right.keys() and all(values_equal(value, right[name]) for name, value in left.items())


def sortable(value: Value) -> Any:
    """What `<` compares within one scalar type: text, number or bytes."""
    kind = type_of(value)
    if kind == "N":
        return Decimal(value["N"])
    if kind == "B":
        return b64decode(value["B"])
    return value[kind]


def page_cost(item: Item, sort_name: str | None) -> int:
    """What an item takes of a query's or scan's 1 MB: the service counts its own storage form, not the item's size.

    Source: the boundaries that dynalite's tests measured on the service; kept by
    `test_a_page_ends_where_the_service_ends_it`.
    """
    size = sort_size = 0
    for name, value in item.items():
        if name == sort_name:
            sort_size = normalise_value(value)[1]
        else:
            size += 1 + _stored_size(value)
    return 2 + size + (1 + (1 + size) // 3072) * (18 + sort_size)


def _stored_size(value: Value) -> int:
    kind = type_of(value)
    content = value[kind]
    if kind == "L":
        return 3 + sum(1 + _stored_size(member) for member in content)
    if kind == "M":
        return 3 + sum(2 + _stored_size(member) for member in content.values())
    if kind == "NULL":
        return 0
    size = normalise_value(value)[1]
    if kind == "S":
        return size + (1 if size < 128 else 2 if size < 16384 else 3)
    if kind in {"SS", "NS", "BS"}:
        return size + len(content) + 1
    return size + (kind != "BOOL")
