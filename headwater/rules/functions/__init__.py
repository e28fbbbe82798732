"""The functions of IoT SQL: name in lower case -> (function, argument counts; none means any)."""

from headwater.rules.functions.math import MATH_FUNCTIONS
from headwater.rules.functions.message import COLLECTION_FUNCTIONS, MESSAGE_FUNCTIONS
from headwater.rules.functions.text import TEXT_FUNCTIONS

PURE_FUNCTIONS = {**MATH_FUNCTIONS, **TEXT_FUNCTIONS, **COLLECTION_FUNCTIONS}

__all__ = ["MESSAGE_FUNCTIONS", "PURE_FUNCTIONS"]
