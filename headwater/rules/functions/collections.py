"""Functions of IoT SQL on arrays, objects and missing values."""

from collections.abc import Callable
from typing import Any

from headwater.rules.values import UNDEFINED, is_int, to_int, to_json

ENRICH_LIMIT_BYTES = 128 * 1024


def get(collection: Any, key: Any) -> Any:
    """A member of an Array or String by 0-based index, or of an Object by name."""
    if isinstance(collection, dict):
        return collection.get(key, UNDEFINED) if isinstance(key, str) else UNDEFINED
    if not isinstance(collection, (list, str)):
        return UNDEFINED
    index = to_int(key)
    if not is_int(index) or not 0 <= index < len(collection):
        return UNDEFINED
    return collection[index]


def get_or_default(value: Any, default: Any) -> Any:
    return default if value is UNDEFINED else value


def transform(mode: Any, extra: Any, items: Any) -> Any:
    """`transform("enrichArray", object, array)`: every object of the array with the members of `object`."""
    if mode != "enrichArray" or not isinstance(extra, dict) or not isinstance(items, list):
        return UNDEFINED
    if not all(isinstance(item, dict) for item in items):
        return UNDEFINED
    # Measured before it is built: the object is repeated for every element.
    if (len(to_json(extra)) - 1) * len(items) > ENRICH_LIMIT_BYTES:
        return UNDEFINED
    enriched = [{**item, **extra} for item in items]
    return UNDEFINED if len(to_json(enriched)) > ENRICH_LIMIT_BYTES else enriched


COLLECTION_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "get": (get, (2,)),
    "get_or_default": (get_or_default, (2,)),
    "isnull": (lambda value: value is None, (1,)),
    "isundefined": (lambda value: value is UNDEFINED, (1,)),
    "transform": (transform, (3,)),
}
