"""Why a topic rule fires on a publish or does not, as `headwater explain rule` shows it."""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from headwater.deploy.deployment import Deployment
from headwater.deploy.routing import json_response
from headwater.deploy.rules.engine import DeployedRule
from headwater.errors import TemplateError
from headwater.rules import Message
from headwater.rules.actions import Action
from headwater.rules.compiler import Environment
from headwater.rules.explain import explain_rule
from headwater.values.http import HttpResponse
from headwater.values.topics import split_basic_ingest


def explanation_of(
    deployed: DeployedRule, topic: str, payload: bytes, client_id: str | None, now: float
) -> dict[str, Any]:
    """The explanation as JSON: its lines, whether the rule fires, and what its actions would be asked for."""
    named, rest = split_basic_ingest(topic)
    is_basic_ingest = named == deployed.name
    message = Message(rest if is_basic_ingest else topic, payload, int(now * 1000), os.urandom, client_id=client_id)
    found = explain_rule(deployed.rule, message, is_basic_ingest=is_basic_ingest)
    fires, verdict = found.fires and deployed.is_enabled, found.verdict
    if not deployed.is_enabled:
        verdict = "does not fire: the rule is disabled"
    document: dict[str, Any] = {
        "rule": deployed.name,
        "sql": deployed.rule.sql,
        "lines": [asdict(line) for line in found.lines],
        "fires": fires,
        "verdict": verdict,
        "fired": deployed.fired,
        "failed": deployed.failed,
        "actions": [],
    }
    if found.payload is not None:
        environment = deployed.rule.environment(message)
        document["payload"] = found.payload.decode(errors="replace")
        document["actions"] = [_described(action, environment, found.payload) for action in deployed.actions]
    return document


def _described(action: Action, environment: Environment, payload: bytes) -> dict[str, Any]:
    parameters = action.request(environment, payload).parameters
    return {"kind": action.kind, "parameters": {name: v for name, v in parameters.items() if name != "RoleArn"}}


def explain_running(deployment: Deployment, body: Mapping[str, Any]) -> HttpResponse:
    """`/_headwater/explain/rule`: `rule` is a rule's name or logical id, `payload` base64."""
    wanted, topic, client_id = str(body.get("rule", "")), str(body.get("topic", "")), body.get("clientId")
    rules = deployment.rules.rules
    deployed = rules.get(wanted) or rules.get(_physical_id(deployment, wanted))
    if deployed is None:
        return json_response(400, {"message": f"there is no rule {wanted!r}; there are {', '.join(sorted(rules))}"})
    try:
        payload = base64.b64decode(str(body.get("payload", "")), validate=True)
        client = client_id if isinstance(client_id, str) else None
        return json_response(200, explanation_of(deployed, topic, payload, client, deployment.clock()))
    except (binascii.Error, ValueError) as error:
        return json_response(400, {"message": f"the publish cannot be explained: {error}"})


def _physical_id(deployment: Deployment, logical_id: str) -> str:
    try:
        return deployment.stack.physical_id(logical_id)
    except (TemplateError, KeyError):
        return ""
