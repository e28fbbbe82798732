"""The JSON types of a request's members, which are looked at before their values are."""

from collections.abc import Mapping
from typing import Any

from headwater.errors import ServiceError

# A type or several, a structure by its members, or a list of one shape; `object` is any JSON. Null is absence.
Shape = type | tuple[type, ...] | Mapping[str, Any] | list[Any]
NUMBER = (int, float)


def check_shape(value: Any, shape: Shape, path: str = "") -> None:
    """Look at what a shape names; other members are not its matter.

    Raises: ServiceError SerializationException naming the member, which is how the services meet other JSON.
    """
    if value is None or shape is object:
        return
    kind: Any = dict if isinstance(shape, Mapping) else list if isinstance(shape, list) else shape
    # JSON's true and false are no numbers, though Python's are.
    if not isinstance(value, kind) or (isinstance(value, bool) and shape is not bool):
        raise ServiceError("SerializationException", f"{path or 'the request'} has the wrong type: {_name(value)}")
    if isinstance(shape, list):
        for entry in value:
            if entry is None:
                raise ServiceError("SerializationException", f"{path} has an entry that is null")
            check_shape(entry, shape[0], path)
    elif isinstance(shape, Mapping):
        for name, member in shape.items():
            check_shape(value.get(name), member, f"{path}.{name}" if path else name)


def _name(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "text", list: "list", dict: "structure"}
    return names.get(type(value), type(value).__name__)
