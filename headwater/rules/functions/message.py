"""Functions of IoT SQL that look at the publish, and those on arrays, objects and missing values."""

import math
import uuid
from collections.abc import Callable
from typing import Any

from headwater.rules.message import Message
from headwater.rules.values import UNDEFINED, floor_int, is_int, to_json

_ENRICH_LIMIT_BYTES = 128 * 1024


def _optional(value: Any) -> Any:
    return UNDEFINED if value is None else value


def topic(message: Message, level: Any = None) -> Any:
    """The whole topic, or one level counted from 1."""
    if level is None:
        return message.topic
    number = floor_int(level)
    if not is_int(number) or not 1 <= number <= len(message.levels):
        return UNDEFINED
    return message.levels[number - 1]


def random_number(message: Message) -> float:
    """Uniform in [0, 1)."""
    return math.ldexp(int.from_bytes(message.entropy(7), "big") >> 3, -53)


def new_uuid(message: Message) -> str:
    return str(uuid.UUID(bytes=message.entropy(16), version=4))


def user_properties(message: Message, key: Any) -> Any:
    values = [value for name, value in message.user_properties if name == key]
    return values or UNDEFINED


MESSAGE_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "accountid": (lambda message: message.account_id, (0,)),
    "clientid": (lambda message: message.client_id or "n/a", (0,)),
    "get_mqtt_property": (lambda message, name: _optional(message.properties.get(name)), (1,)),
    "get_user_properties": (user_properties, (1,)),
    "newuuid": (new_uuid, (0,)),
    "principal": (lambda message: _optional(message.principal), (0,)),
    "rand": (random_number, (0,)),
    "sourceip": (lambda message: _optional(message.source_ip), (0,)),
    "timestamp": (lambda message: message.now_ms, (0,)),
    "topic": (topic, (0, 1)),
    "traceid": (lambda message: _optional(message.trace_id), (0,)),
}


def get(collection: Any, key: Any) -> Any:
    """A member of an Array or String by 0-based index, or of an Object by name."""
    if isinstance(collection, dict):
        return collection.get(key, UNDEFINED) if isinstance(key, str) else UNDEFINED
    if not isinstance(collection, (list, str)):
        return UNDEFINED
    index = floor_int(key)
    if not is_int(index) or not 0 <= index < len(collection):
        return UNDEFINED
    return collection[index]


def get_or_default(value: Any, default: Any) -> Any:
    return default if value is UNDEFINED else value


def transform(mode: Any, extra: Any, items: Any) -> Any:
    """`transform("enrichArray", object, array)`: every object of the array with the members of `object`."""
    if mode != "enrichArray" or not isinstance(extra, dict) or not isinstance(items, list):
        return UNDEFINED
    enriched = [{**item, **extra} if isinstance(item, dict) else item for item in items]
    return UNDEFINED if len(to_json(enriched)) > _ENRICH_LIMIT_BYTES else enriched


COLLECTION_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "get": (get, (2,)),
    "get_or_default": (get_or_default, (2,)),
    "isnull": (lambda value: value is None, (1,)),
    "isundefined": (lambda value: value is UNDEFINED, (1,)),
    "transform": (transform, (3,)),
}
