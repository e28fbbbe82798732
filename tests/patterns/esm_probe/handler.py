"""Hands its event to the collector of the tests and does what the collector answers."""

import json
import os
import urllib.request
from typing import Any


def handler(event: dict[str, Any], context: Any) -> Any:
    body = json.dumps({"event": event, "function": context.function_name, "request": context.aws_request_id}).encode()
    request = urllib.request.Request(os.environ["COLLECTOR"], body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        answer = json.load(reply)
    if "raise" in answer:
        raise RuntimeError(answer["raise"])
    return answer.get("return")
