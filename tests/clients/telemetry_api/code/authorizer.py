"""Lets the one token in that its environment names."""

import os
from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    is_known = event["authorizationToken"] == os.environ["TOKEN"]
    return {"isAuthorized": is_known, "resolverContext": {"who": "partner"} if is_known else {}, "ttlOverride": 0}
