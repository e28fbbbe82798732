"""DynamoDB's typed values to and from the plain JSON that resolvers see."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from headwater.datasource.ports import json_kind, malformed

# JSON numbers beyond this lose digits in JavaScript anyway, and no JSON writer of ours takes them as integers.
LARGEST_INTEGER = 2**63 - 1


def to_plain(value: Mapping[str, Any]) -> Any:
    """The plain value of a typed one: sets become lists, numbers JSON numbers, binary its base64 text."""
    for kind, inner in value.items():
        if kind == "N":
            return to_number(inner)
        if kind == "S" or kind == "BOOL":
            return inner
        if kind == "M":
            return {name: to_plain(member) for name, member in inner.items()}
        if kind == "L":
            return [to_plain(member) for member in inner]
        if kind == "NULL":
            return None
        if kind == "SS":
            return list(inner)
        if kind == "NS":
            return [to_number(member) for member in inner]
        if kind == "B":
            return _text(inner)
        if kind == "BS":
            return [_text(member) for member in inner]
    return None


def to_plain_item(item: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A whole item as plain JSON; None stays None."""
    if item is None:
        return None
    plain = {}
    for name, value in item.items():
        # Most attributes are strings: without this look an item of ten takes half as long again.
        plain[name] = value["S"] if "S" in value else to_plain(value)
    return plain


def to_number(text: Any) -> int | float:
    """A DynamoDB number as a JSON number."""
    if not isinstance(text, str):
        return text  # type: ignore[no-any-return]  # a service in the same process may hand numbers over as they are
    try:
        number = int(text)
    except ValueError:
        return float(text)
    return number if -LARGEST_INTEGER <= number <= LARGEST_INTEGER else float(text)


def _text(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def to_wire(value: Any) -> Any:
    """A typed value as AppSync writes it, `{"N": 10}` and `{"NULL": null}`, in the form DynamoDB takes.

    Raises: TypeError if it, or a value in it, is not typed.
    """
    if not isinstance(value, Mapping):
        raise TypeError(value)
    for kind, inner in value.items():
        if kind == "N":
            return {"N": _number_text(inner)}
        if kind == "NULL":
            return {"NULL": True}
        if kind == "M" and isinstance(inner, Mapping):
            return {"M": {name: to_wire(member) for name, member in inner.items()}}
        if kind == "L" and isinstance(inner, list):
            return {"L": [to_wire(member) for member in inner]}
        if kind == "NS" and isinstance(inner, list):
            return {"NS": [_number_text(member) for member in inner]}
    return value


def to_wire_map(values: Any, path: str) -> dict[str, Any]:
    """A key, item or placeholder map in the form DynamoDB takes; `path` is where the request has it.

    Raises: RequestError of type MappingTemplate naming the first value that is not typed.
    """
    if not isinstance(values, Mapping):
        raise malformed(f"Expected JSON object for field '{path}' but got '{json_kind(values)}' instead.")
    try:
        return {name: to_wire(value) for name, value in values.items()}
    except TypeError as error:
        place, value = next(_untyped(values, path))
        raise malformed(
            f"Expected JSON object for attribute value '{place}' but got '{json_kind(value)}' instead."
        ) from error


def _untyped(values: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """The values below a map that are not typed, each with its place."""
    for name, value in values.items():
        place = f"{path}[{name}]"
        if not isinstance(value, Mapping):
            yield place, value
            continue
        for kind, inner in value.items():
            if kind == "M" and isinstance(inner, Mapping):
                yield from _untyped(inner, f"{place}[M]")
            elif kind == "L" and isinstance(inner, list):
                members = {str(index): member for index, member in enumerate(inner)}
                yield from _untyped(members, f"{place}[L]")


def _number_text(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else repr(value)
