"""Hands its event to a collector on loopback and does what the collector answers."""

import json
import os
import urllib.request
from typing import Any


def handler(event: Any, context: Any) -> Any:
    request = urllib.request.Request(os.environ["COLLECTOR"], json.dumps(event).encode())
    with urllib.request.urlopen(request, timeout=30) as reply:
        answer = json.load(reply)
    if "raise" in answer:
        raise RuntimeError(answer["raise"])
    return answer.get("return")
