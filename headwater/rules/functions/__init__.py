"""The functions of IoT SQL: name in lower case -> (function, argument counts; none means any)."""

from headwater.rules.functions.collections import COLLECTION_FUNCTIONS
from headwater.rules.functions.math import MATH_FUNCTIONS
from headwater.rules.functions.message import MESSAGE_FUNCTIONS
from headwater.rules.functions.text import REGEX_FUNCTIONS, TEXT_FUNCTIONS

PURE_FUNCTIONS = {**MATH_FUNCTIONS, **TEXT_FUNCTIONS, **COLLECTION_FUNCTIONS}
# "Supported by SQL version 2016-03-23 and later."
NEWER_FUNCTIONS = frozenset(
    "decode encode get_dynamodb get_mqtt_property get_or_default get_thing_shadow get_user_properties indexof "
    "isundefined length numbytes parse_time time_to_epoch transform".split()
)

__all__ = ["MESSAGE_FUNCTIONS", "NEWER_FUNCTIONS", "PURE_FUNCTIONS", "REGEX_FUNCTIONS"]
