"""Regular expressions as Java writes them, matched in bounded time."""

from headwater.rules.regex.linear import TooMuchWorkError
from headwater.rules.regex.matching import JavaPattern
from headwater.rules.regex.syntax import RegexError

__all__ = ["JavaPattern", "RegexError", "TooMuchWorkError"]
