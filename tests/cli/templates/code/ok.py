"""A handler that answers with its event."""

from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return event
