"""`headwater explain rule`: clause by clause, why a topic rule fires on a publish or does not."""

import base64
import sys
import time
from pathlib import Path
from typing import Any

from headwater.cli import EXIT_OK
from headwater.cli.instance import ask
from headwater.errors import TemplateError

_TEXT_WIDTH = 62


def run_explain_rule(
    name: str,
    *,
    topic: str,
    client_id: str | None,
    payload: bytes,
    data_dir: Path,
    template: Path | None,
    parameters: dict[str, str],
) -> int:
    """Print the explanation of a running instance, or of a template alone; returns the exit code.

    Raises: NoInstanceError; RefusedError and TemplateError where there is no such rule.
    """
    if template is not None:
        explanation = _from_template(template, parameters, name, topic, payload, client_id)
    else:
        body = {"rule": name, "topic": topic, "clientId": client_id, "payload": base64.b64encode(payload).decode()}
        explanation = ask(data_dir, "POST", "explain/rule", body)
    sys.stdout.write("\n".join(explanation_lines(explanation)) + "\n")
    return EXIT_OK


def _from_template(
    template: Path, parameters: dict[str, str], name: str, topic: str, payload: bytes, client_id: str | None
) -> dict[str, Any]:
    from headwater.deploy.examination import examine, first_of
    from headwater.deploy.loading import load_template
    from headwater.deploy.rules.engine import compile_deployed
    from headwater.deploy.rules.explanation import explanation_of
    from headwater.template.attributes import StackEnvironment

    environment = StackEnvironment()
    loaded = load_template(template, parameters, environment.region, None)
    environment = StackEnvironment(first_api=first_of(loaded, "AWS::AppSync::GraphQLApi"))
    examination = examine(loaded, environment)
    names = []
    for resource in examination.resources:
        if resource.type == "AWS::IoT::TopicRule":
            physical = examination.stack.physical_id(resource.logical_id)
            names.append(physical)
            if name in (physical, resource.logical_id):
                deployed = compile_deployed(physical, resource.properties["TopicRulePayload"])
                return explanation_of(deployed, topic, payload, client_id, time.time())
    raise TemplateError(f"{template} has no rule {name!r}; it has {', '.join(names) or 'none'}")


def explanation_lines(explanation: dict[str, Any]) -> list[str]:
    """The explanation for people: clause, expression, value."""
    lines = [f"{explanation['rule']} {explanation['verdict']}", ""]
    for line in explanation["lines"]:
        text = "  " * line["depth"] + line["text"]
        lines.append(f"  {line['clause']:<8}{text:<{_TEXT_WIDTH}}  {line['value']}")
    if "payload" in explanation:
        lines += ["", f"  payload  {explanation['payload']}"]
    for action in explanation["actions"]:
        parameters = ", ".join(f"{name} {value}" for name, value in action["parameters"].items())
        lines.append(f"  action   {action['kind']}: {parameters}")
    return lines
