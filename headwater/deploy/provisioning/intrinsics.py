"""The intrinsic functions of provisioning templates.

Source: AWS IoT Core Developer Guide, "Provisioning templates", "Intrinsic functions".
"""

from collections.abc import Callable, Mapping
from typing import Any

from headwater.deploy.iot.limits import invalid

_MAX_DEPTH = 32
# What the largest payload of MQTT holds. Joins of joins multiply: ten levels of a hundred references each would take
# all memory there is.
_MAX_CHARACTERS = 128 * 1024
Values = Mapping[str, str]
Function = Callable[[Any, Values, Mapping[str, Any]], Any]


def render(value: Any, values: Values, mappings: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [render(child, values, mappings) for child in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, argument),) = value.items()
        if name == "Ref":
            return _reference(argument, values)
        if name in FUNCTIONS:
            return FUNCTIONS[name](argument, values, mappings)
    return {name: render(child, values, mappings) for name, child in value.items()}


def _reference(name: object, values: Values) -> str:
    if not isinstance(name, str) or name not in values:
        raise invalid(f"Cannot resolve reference value: {name}")
    return values[name]


def _arguments(name: str, argument: Any, count: int) -> list[Any]:
    if not isinstance(argument, list) or len(argument) != count:
        raise invalid(f"{name} takes a list of {count}, found {argument!r}")
    return argument


def _join(argument: Any, values: Values, mappings: Mapping[str, Any]) -> str:
    delimiter, parts = render(_arguments("Fn::Join", argument, 2), values, mappings)
    if not isinstance(delimiter, str) or not isinstance(parts, list):
        raise invalid(f"Fn::Join takes a delimiter and a list, found {argument!r}")
    return _joined("Fn::Join", delimiter, [text_of(part, "Fn::Join") for part in parts])


def _joined(name: str, delimiter: str, parts: list[str]) -> str:
    length = sum(map(len, parts)) + len(delimiter) * max(0, len(parts) - 1)
    if length > _MAX_CHARACTERS:
        raise invalid(f"{name} gives {length} characters; the limit is {_MAX_CHARACTERS}")
    return delimiter.join(parts)


def _select(argument: Any, values: Values, mappings: Mapping[str, Any]) -> Any:
    index, items = render(_arguments("Fn::Select", argument, 2), values, mappings)
    position = int(index) if str(index).isdecimal() and len(str(index)) < 6 else -1
    if not isinstance(items, list) or not 0 <= position < len(items) or items[position] is None:
        raise invalid(f"Fn::Select: there is no item {index!r} in {items!r}")
    return items[position]


def _find_in_map(argument: Any, values: Values, mappings: Mapping[str, Any]) -> Any:
    keys = render(_arguments("Fn::FindInMap", argument, 3), values, mappings)
    found: Any = mappings
    for key in keys:
        if not isinstance(found, dict) or not isinstance(key, str) or key not in found:
            raise invalid(f"Fn::FindInMap: there is no {key!r} in the mapping {keys!r}")
        found = found[key]
    return found


def _split(argument: Any, values: Values, mappings: Mapping[str, Any]) -> list[str]:
    delimiter, text = render(_arguments("Fn::Split", argument, 2), values, mappings)
    if not isinstance(delimiter, str) or not delimiter:
        raise invalid(f"Fn::Split: the delimiter {delimiter!r} is no text")
    return text_of(text, "Fn::Split").split(delimiter)


def _sub(argument: Any, values: Values, mappings: Mapping[str, Any]) -> str:
    own: Mapping[str, Any] = {}
    if isinstance(argument, list):
        argument, own = _arguments("Fn::Sub", argument, 2)
        own = render(object_of(own, "Fn::Sub"), values, mappings)
    if not isinstance(argument, str):
        raise invalid(f"Fn::Sub takes text, found {argument!r}")
    parts = argument.split("${")
    rendered = [parts[0]]
    for part in parts[1:]:
        name, closing, rest = part.partition("}")
        if not closing:
            raise invalid(f"Fn::Sub: an unclosed ${{ in {argument!r}")
        literal = name.startswith("!")
        rendered.append(f"${{{name[1:]}}}" if literal else str(own[name] if name in own else _reference(name, values)))
        rendered.append(rest)
    return _joined("Fn::Sub", "", rendered)


FUNCTIONS: Mapping[str, Function] = {
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::FindInMap": _find_in_map,
    "Fn::Split": _split,
    "Fn::Sub": _sub,
}


def check_functions(value: Any, where: str, depth: int = 0) -> None:
    """Raises: ServiceError InvalidRequestException for a function there is none of."""
    if depth > _MAX_DEPTH:
        raise invalid(f"{where}: nested too deeply")
    if isinstance(value, dict):
        for name, child in value.items():
            if name.startswith("Fn::") and (name not in FUNCTIONS or len(value) != 1):
                raise invalid(f"{where}: {name} is no function of provisioning templates: {', '.join(FUNCTIONS)}")
            check_functions(child, f"{where}.{name}", depth + 1)
    elif isinstance(value, list):
        for child in value:
            check_functions(child, where, depth + 1)


def object_of(value: object, where: str) -> Mapping[str, Any]:
    """Raises: ServiceError InvalidRequestException."""
    if not isinstance(value, dict):
        raise invalid(f"{where} is an object, found {type(value).__name__}")
    return value


def text_of(value: object, where: str) -> str:
    """Raises: ServiceError InvalidRequestException."""
    if not isinstance(value, str):
        raise invalid(f"{where} is text, found {value!r}")
    return value
