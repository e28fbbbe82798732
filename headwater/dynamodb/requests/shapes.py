"""Shapes of request members, and the two checks the service makes with them: JSON types, then constraints."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.dynamodb.faults import serialization, validation
from headwater.dynamodb.items.attributes import binary, boolean, wrong_type

MAX_REPORTED = 10
_JAVA = "com.amazonaws.dynamodb.v20120810."


@dataclass(frozen=True, slots=True)
class Shape:
    """A member's type and constraints.

    `kind` is string, number, time (epoch seconds), boolean, value, values (a map of attribute values), list, map or
    structure. `minimum` and `maximum` bound a number, or the length of anything else. `java` is the class the service
    names in type errors.
    `printed` is the order in which that class prints its members, where it is not the order of their checks.
    `in_list` is true for a structure that is an element, whose type error has a text of its own, `is_terse` for a
    member whose bounds the newer checks know (`_Broken`).
    """

    kind: str
    is_required: bool = False
    minimum: int | None = None
    maximum: int | None = None
    pattern: str = ""
    choices: tuple[str, ...] = ()
    members: "Members | None" = None
    element: "Shape | None" = None
    java: str = ""
    is_generic: bool = False
    in_list: bool = False
    is_terse: bool = False
    key_length: tuple[int, int] | None = None
    value_length: tuple[int, int] | None = None
    printed: tuple[str, ...] = ()


def check_request(members: "Members", request: Any) -> None:
    """Check a whole request.

    Raises: ServiceError `SerializationException` for a wrong JSON type, `ValidationException` for broken constraints.
    """
    if not isinstance(request, dict):
        raise serialization("Start of list found where not expected")
    if members.is_sound(request):
        return
    check_types(members, request)
    errors: list[_Broken] = []
    for name, shape in members.items():
        _collect(shape, request.get(name), _lower(name), errors)
    if errors:
        raise constraint_error([errors[0].alone] if len(errors) == 1 else [error.text for error in errors])


@dataclass(frozen=True, slots=True)
class _Broken:
    """A broken constraint; `alone` is its text where there is no other.

    Newer checks of the service stop at the first bound and show no value, where an operation has them.
    Source: captures of paritysuite/dynamodb-conformance of September 2026.
    """

    text: str
    alone: str


def check_types(members: Mapping[str, Shape], request: Mapping[str, Any]) -> None:
    """Check the JSON types alone. Raises: ServiceError `SerializationException`."""
    for name, shape in members.items():
        _check_type(shape, request.get(name))


def constraint_error(errors: Sequence[str]) -> Exception:
    """The ValidationException that lists broken constraints."""
    plural = "s" if len(errors) > 1 else ""
    return validation(f"{len(errors)} validation error{plural} detected: {'; '.join(errors)}")


Sound = Callable[[Any], bool]


class Members(dict[str, Shape]):
    """The members of a structure by name.

    `is_sound` says whether a value is surely such a structure; it looks no deeper than the request's own members, so
    that it is cheap.
    """

    def __init__(self, members: Mapping[str, Shape]) -> None:
        super().__init__(members)
        self.required = tuple(name for name, shape in members.items() if shape.is_required)
        self.is_sound = _sound_structure({name: _sound(shape) for name, shape in members.items()}, self.required)


def _sound(shape: Shape) -> Sound:
    """The test of one shape, made once: requests meet a closure and no shape."""
    kind = shape.kind
    if kind in {"value", "values"}:
        return _is_object
    if kind == "boolean":
        return lambda value: isinstance(value, bool)
    if kind == "time":
        return lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "number":
        return lambda value: isinstance(value, int) and not isinstance(value, bool) and _is_within(shape, value)
    if kind == "string":
        return _sound_string(shape)
    if kind == "list":
        return _sound_list(shape)
    if kind == "map":
        return _sound_map(shape)
    return _is_object if shape.members is None else shape.members.is_sound


def _sound_structure(sound: Mapping[str, Sound], required: Sequence[str]) -> Sound:
    def is_sound(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        # Over the members that are there: a request has few of those that there may be.
        for name, member in value.items():
            if member is not None and name in sound and not sound[name](member):
                return False
        # A loop where `all` would make a generator: this runs for each of a batch's 25 writes (bench/store.py).
        for name in required:  # noqa: SIM110
            if value.get(name) is None:
                return False
        return True

    return is_sound


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _sound_string(shape: Shape) -> Sound:
    choices = shape.choices
    if choices:
        return lambda value: isinstance(value, str) and value in choices
    if shape.pattern:
        matches = re.compile(shape.pattern).fullmatch

        def is_sound(value: Any) -> bool:
            if not isinstance(value, str):
                return False
            return value.startswith(_TABLE_ARN) or (matches(value) is not None and _is_within(shape, len(value)))

        return is_sound
    if shape.minimum is None and shape.maximum is None:
        return _is_text
    return lambda value: isinstance(value, str) and _is_within(shape, len(value))


def _sound_list(shape: Shape) -> Sound:
    element = None if shape.element is None else _sound(shape.element)

    def is_sound(value: Any) -> bool:
        if not isinstance(value, list) or not _is_within(shape, len(value)):
            return False
        if element is not None:
            for entry in value:
                if entry is None or not element(entry):
                    return False
        return True

    return is_sound


def _sound_map(shape: Shape) -> Sound:
    element = None if shape.element is None else _sound(shape.element)
    key_length, value_length = shape.key_length, shape.value_length

    def is_sound(value: Any) -> bool:
        if not isinstance(value, dict) or not _is_within(shape, len(value)):
            return False
        if key_length is not None:
            low, high = key_length
            if any(not low <= len(key) <= high or not _matches(_NAME, key) for key in value):
                return False
        if value_length is not None:
            low, high = value_length
            if any(not isinstance(entry, list) or not low <= len(entry) <= high for entry in value.values()):
                return False
        if element is not None:
            for entry in value.values():
                if entry is None or not element(entry):
                    return False
        return True

    return is_sound


_TABLE_ARN = "arn:aws:dynamodb:"
_NAME = "[a-zA-Z0-9_.-]+"


def _is_within(shape: Shape, number: int) -> bool:
    if shape.minimum is not None and number < shape.minimum:
        return False
    return shape.maximum is None or number <= shape.maximum


def _matches(pattern: str, value: str) -> bool:
    # A table's ARN may stand wherever its name may.
    return value.startswith(_TABLE_ARN) or re.fullmatch(pattern, value) is not None


def _check_type(shape: Shape, value: Any) -> None:
    if value is None:
        return
    kind = shape.kind
    if kind == "string":
        if not isinstance(value, str):
            raise wrong_type(value, "String")
    elif kind == "number":
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(value, shape.java)
    elif kind == "time":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(value, shape.java)
    elif kind == "boolean":
        boolean(value)
    elif kind == "value":
        _check_value_type(value, is_field=True)
    elif kind == "list":
        _check_list_type(shape, value)
    else:
        _check_object_type(shape, value)


def _check_list_type(shape: Shape, value: Any) -> None:
    if isinstance(value, dict):
        raise serialization("Start of structure or map found where not expected")
    if not isinstance(value, list):
        raise serialization(_GENERIC if shape.is_generic else "Unexpected field type")
    assert shape.element is not None
    for entry in value:
        if shape.element.kind == "value" and entry is not None:
            _check_value_type(entry, is_field=False)
        else:
            _check_type(shape.element, entry)


def _check_object_type(shape: Shape, value: Any) -> None:
    kind = shape.kind
    if isinstance(value, list):
        name = shape.java if "." in shape.java else _JAVA + shape.java
        if kind == "structure":
            raise serialization(f"Unrecognized collection type class {name}")
        raise serialization(f"Unrecognized collection type java.util.Map<java.lang.String, {name}>")
    if not isinstance(value, dict):
        if shape.is_generic:
            raise serialization(_GENERIC)
        raise serialization("Unexpected value type in payload" if shape.in_list else "Unexpected field type")
    if kind == "structure":
        for name, member in (shape.members or {}).items():
            _check_type(member, value.get(name))
    elif kind == "values":
        for entry in value.values():
            _check_value_type(entry, is_field=False)
    elif shape.element is not None:
        for entry in value.values():
            _check_type(shape.element, entry)


_GENERIC = (
    "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class "
    "(sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of "
    "loader 'bootstrap')"
)


def _check_value_type(value: Any, *, is_field: bool) -> None:
    """The JSON types inside an attribute value."""
    if value is None:
        return
    if isinstance(value, list):
        raise serialization(f"Unrecognized collection type class {_JAVA}AttributeValue")
    if not isinstance(value, dict):
        raise serialization("Unexpected field type" if is_field else "Unexpected value type in payload")
    for kind, content in value.items():
        if content is None:
            continue
        if kind in {"S", "N"}:
            _check_type(_STRING, content)
        elif kind == "B":
            binary(content)
        elif kind in {"BOOL", "NULL"}:
            _check_type(_BOOLEAN, content)
        elif kind in {"SS", "NS", "BS", "L"}:
            _check_members(kind, content)
        elif kind == "M":
            _check_object_type(_VALUES, content)


def _check_members(kind: str, content: Any) -> None:
    if isinstance(content, dict):
        raise serialization("Start of structure or map found where not expected")
    if not isinstance(content, list):
        raise serialization("Unexpected field type")
    for member in content:
        if member is None:
            continue
        if kind == "L":
            _check_value_type(member, is_field=False)
        elif kind == "BS":
            binary(member)
        else:
            _check_type(_STRING, member)


_STRING = Shape("string")
_BOOLEAN = Shape("boolean")
_VALUES = Shape("values", java="AttributeValue")


def _collect(shape: Shape, value: Any, path: str, errors: list[_Broken]) -> None:
    """Add the broken constraints of a member, in the service's order, ten at most."""
    if len(errors) >= MAX_REPORTED:
        return
    if value is None:
        if shape.is_required:
            errors.append(_broken(None, path, "Member must not be null"))
        return
    if shape.pattern and not _matches(shape.pattern, value):
        errors.append(_broken(value, path, f"Member must satisfy regular expression pattern: {shape.pattern}"))
    if shape.choices and value not in shape.choices:
        errors.append(_broken(value, path, f"Member must satisfy enum value set: [{', '.join(shape.choices)}]"))
    _collect_bounds(shape, value, path, errors)
    _collect_entries(shape, value, path, errors)
    if shape.kind == "structure":
        for name, member in (shape.members or {}).items():
            _collect(member, value.get(name), f"{path}.{_lower(name)}", errors)
    elif shape.kind == "list" and shape.element is not None:
        for position, entry in enumerate(value, 1):
            _collect_entry(shape.element, entry, f"{path}.{position}.member", errors)
    elif shape.kind == "map" and shape.element is not None:
        for key, entry in value.items():
            _collect_entry(shape.element, entry, f"{path}.{key}.member", errors)


def _collect_entry(element: Shape, entry: Any, path: str, errors: list[_Broken]) -> None:
    if entry is None:
        errors.append(_broken(None, path, "Member must not be null"))
    else:
        _collect(element, entry, path, errors)


def _collect_bounds(shape: Shape, value: Any, path: str, errors: list[_Broken]) -> None:
    if shape.kind == "number":
        number, word = value, "value"
    elif shape.kind in {"string", "list", "map", "values"}:
        number, word = len(value), "length"
    else:
        return
    for bound, is_broken, relation in (
        (shape.minimum, shape.minimum is not None and number < shape.minimum, "greater"),
        (shape.maximum, shape.maximum is not None and number > shape.maximum, "less"),
    ):
        if is_broken and len(errors) < MAX_REPORTED:
            constraint = f"Member must have {word} {relation} than or equal to {bound}"
            broken = _broken(value, path, constraint, shape)
            if shape.is_terse:
                alone = f"Value at '{_as_given(path)}' failed to satisfy constraint: {constraint}"
                broken = _Broken(broken.text, alone)
            errors.append(broken)


def _as_given(path: str) -> str:
    """A path with the members' names as the request spells them."""
    head, dot, last = path.rpartition(".")
    return f"{_upper(head)}.{_upper(last)}" if dot else _upper(path)


def _collect_entries(shape: Shape, value: Any, path: str, errors: list[_Broken]) -> None:
    if shape.key_length is not None:
        low, high = shape.key_length
        if any(not low <= len(key) <= high or not _matches(_NAME, key) for key in value):
            errors.append(
                _broken(
                    value,
                    path,
                    f"Map keys must satisfy constraint: [Member must have length less than or equal to {high}, Member "
                    f"must have length greater than or equal to {low}, Member must satisfy regular expression "
                    f"pattern: {_NAME}]",
                    shape,
                )
            )
    if shape.value_length is not None:
        low, high = shape.value_length
        if any(not low <= len(entry) <= high for entry in value.values() if entry is not None):
            errors.append(
                _broken(
                    value,
                    path,
                    f"Map value must satisfy constraint: [Member must have length less than or equal to {high}, Member "
                    f"must have length greater than or equal to {low}]",
                    shape,
                )
            )


def _broken(value: Any, path: str, constraint: str, shape: Shape | None = None) -> _Broken:
    shown = "null" if value is None else f"'{_shown(value, shape)}'"
    text = f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"
    return _Broken(text, text)


def _shown(value: Any, shape: Shape | None) -> str:
    if isinstance(value, list):
        element = None if shape is None else shape.element
        return f"[{', '.join(_shown(entry, element) for entry in value)}]"
    if isinstance(value, dict):
        if shape is not None and shape.kind == "structure" and shape.members is not None:
            return _as_java(value, shape)
        if shape is not None and shape.element is not None and shape.element.kind == "list":
            return "{" + ", ".join(f"{name}={_shown(entry, shape.element)}" for name, entry in value.items()) + "}"
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def _as_java(value: Mapping[str, Any], shape: Shape) -> str:
    """A structure as the service's own classes print it."""
    members: Mapping[str, Shape] = shape.members or {}
    printed = [
        f"{_lower(name)}={'null' if value.get(name) is None else _shown_inside(value[name], members[name])}"
        for name in shape.printed or members
    ]
    return f"{shape.java}({', '.join(printed)})"


def _shown_inside(value: Any, shape: Shape) -> str:
    if shape.kind == "values":
        return "{" + ", ".join(f"{name}={_attribute_as_java(entry)}" for name, entry in value.items()) + "}"
    return _shown(value, shape)


def _attribute_as_java(value: Any) -> str:
    """An attribute value as the service's own class prints it."""
    given = value or {}
    printed = [f"{field}={'null' if given.get(kind) is None else given[kind]}" for field, kind in _JAVA_FIELDS]
    return f"AttributeValue({', '.join(printed)})"


_JAVA_FIELDS = (
    *(("s", "S"), ("n", "N"), ("b", "B"), ("iNT", ""), ("dECIMAL", ""), ("dOUBLE", ""), ("sS", "SS"), ("nS", "NS")),
    *(("bS", "BS"), ("iNTSET", ""), ("dECIMALSET", ""), ("dOUBLESET", ""), ("m", "M"), ("l", "L")),
    *(("nULL", "NULL"), ("bOOL", "BOOL")),
)


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def _upper(name: str) -> str:
    return name[0].upper() + name[1:]
