"""The function that a topic rule asks."""

from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"doubled": event["n"] * 2}
