"""A Lambda authorizer that writes down its events; what it answers depends on the token."""

import json
import os
from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    with open(os.environ["LOG_FILE"], "a") as file:
        file.write(json.dumps(event) + "\n")
    token = event["authorizationToken"]
    return {
        "isAuthorized": token.startswith("good"),
        "resolverContext": {"partner": "acme"},
        "deniedFields": ["Who.secret", "Thing.note"],
        **({"ttlOverride": 0} if token == "good-once" else {}),
    }
