"""Regular expressions as Java writes them, matched in bounded time."""

from headwater.values.java_regex.linear import TooMuchWorkError
from headwater.values.java_regex.matching import JavaPattern
from headwater.values.java_regex.syntax import RegexError

__all__ = ["JavaPattern", "RegexError", "TooMuchWorkError"]
