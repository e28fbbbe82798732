"""AppSync's enhanced subscription filters, as far as this API sets them."""

from collections.abc import Callable
from typing import Any

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda found, wanted: bool(found == wanted),
    "in": lambda found, wanted: found in wanted,
    "gt": lambda found, wanted: found is not None and found > wanted,
    "lt": lambda found, wanted: found is not None and found < wanted,
}


def matches(filter_: dict[str, Any], payload: dict[str, Any]) -> bool:
    """Groups are alternatives; the rules of a group must all hold."""
    return any(all(_holds(rule, payload) for rule in group["filters"]) for group in filter_["filterGroup"])


def _holds(rule: dict[str, Any], payload: dict[str, Any]) -> bool:
    found: Any = payload
    for part in rule["fieldName"].split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return _OPERATORS[rule["operator"]](found, rule["value"])
