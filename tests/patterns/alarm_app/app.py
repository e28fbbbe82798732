"""An alarm for what is too hot. The event is what the rule's SELECT gives, nothing more."""

import json
from typing import Any


def handler(event: dict[str, Any], context: Any) -> None:
    print(json.dumps({"device": event["device"], "temperature": event["temperature"], "keys": sorted(event)}))  # noqa: T201
