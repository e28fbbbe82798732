"""Functions of IoT SQL that look at the publish."""

import math
import uuid
from collections.abc import Callable
from typing import Any

from headwater.rules.message import Message
from headwater.rules.values import UNDEFINED, floor_int, is_int


def _optional(value: Any) -> Any:
    return UNDEFINED if value is None else value


def topic(message: Message, level: Any) -> Any:
    """One level of the topic, counted from 1."""
    number = floor_int(level)
    if not is_int(number) or not 1 <= number <= len(message.levels):
        return UNDEFINED
    return message.levels[number - 1]


def random_number(message: Message) -> float:
    """Uniform in [0, 1)."""
    return math.ldexp(int.from_bytes(message.entropy(7), "big") >> 3, -53)


def new_uuid(message: Message) -> str:
    return str(uuid.UUID(bytes=message.entropy(16), version=4))


def mqtt_property(message: Message, name: Any) -> Any:
    return message.properties.get(name, UNDEFINED) if isinstance(name, str) else UNDEFINED


def user_properties(message: Message, *keys: Any) -> Any:
    """The values of one key in order; without a key every property, each as an object of its own."""
    if not keys:
        return [{name: value} for name, value in message.user_properties] or UNDEFINED
    return [value for name, value in message.user_properties if name == keys[0]] or UNDEFINED


MESSAGE_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "accountid": (lambda message: message.account_id, (0,)),
    "clientid": (lambda message: message.client_id or "n/a", (0,)),
    "get_mqtt_property": (mqtt_property, (1,)),
    "get_user_properties": (user_properties, (0, 1)),
    "newuuid": (new_uuid, (0,)),
    "principal": (lambda message: _optional(message.principal), (0,)),
    "rand": (random_number, (0,)),
    "sourceip": (lambda message: _optional(message.source_ip), (0,)),
    "timestamp": (lambda message: message.now_ms, (0,)),
    "topic": (lambda message, *level: topic(message, *level) if level else message.topic, (0, 1)),
    "traceid": (lambda message: UNDEFINED if message.client_id is None else message.trace_id, (0,)),
}
