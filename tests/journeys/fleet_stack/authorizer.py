"""Lets in who knows the password, or brings a token; what it was asked comes back as a policy's Sid in hex."""

import base64
import json
import time
from typing import Any

PREFIX = "arn:aws:iot:us-east-1:123456789012"


def handler(event: dict[str, Any], context: Any) -> Any:
    mqtt = event["protocolData"].get("mqtt", {})
    password = base64.b64decode(mqtt.get("password", "")).decode()
    token = event.get("token", "")
    if password == "crash":
        raise RuntimeError("crashed as told")
    if password == "slow":
        time.sleep(0.5)
    if password == "wrong-shape":
        return {"isAuthenticated": True, "principalId": "not alphanumeric"}
    client_id = mqtt.get("clientId", "http")
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{PREFIX}:client/${{iot:ClientId}}"},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": f"{PREFIX}:topic/own/{client_id}"},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{PREFIX}:topicfilter/own/{client_id}"},
    ]
    seen = json.dumps(event).encode().hex()
    return {
        "isAuthenticated": password == "let me in" or token == "good",
        "principalId": "Custom1",
        "disconnectAfterInSeconds": 86400,
        "refreshAfterInSeconds": 300,
        "policyDocuments": [
            {"Version": "2012-10-17", "Statement": statements},
            json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [{"Sid": seen[:1000], "Effect": "Deny", "Action": "iot:None", "Resource": "*"}],
                }
            ),
        ],
    }
