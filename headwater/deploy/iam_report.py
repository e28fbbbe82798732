"""What each function's role did against what its policies grant."""

from collections.abc import Iterator, Mapping
from typing import Any

from headwater.deploy.deployment import Deployment
from headwater.deploy.roles import Use
from headwater.values.policy import PolicyDocument


def iam_report(deployment: Deployment) -> dict[str, Any]:
    """By function: `used` with counts, `denied`, and the grants `unused` since the start."""
    rows = []
    for config in sorted(deployment.functions.functions(), key=lambda config: config.name):
        role = config.role_arn.rsplit("/", 1)[-1]
        if not deployment.roles.has_role(role):
            continue
        uses = deployment.roles.uses(role)
        rows.append(
            {
                "function": config.name,
                "role": role,
                "used": [_row(use) for use in uses if use.is_allowed],
                "denied": [_row(use) for use in uses if not use.is_allowed],
                "unused": list(_unused(deployment.roles.policies(role), uses)),
            }
        )
    return {"functions": rows, "isComplete": deployment.roles.counts_all}


def _row(use: Use) -> dict[str, Any]:
    return {"action": use.action, "resource": use.resource, "count": use.count}


def _unused(policies: tuple[PolicyDocument, ...], uses: list[Use]) -> Iterator[dict[str, Any]]:
    """Granted actions that no call needed, each with the resources of its statement."""
    for policy in policies:
        written = policy.source.get("Statement") or []
        texts = written if isinstance(written, list) else [written]
        for text, statement in zip(texts, policy.statements, strict=False):
            if not statement.is_allow or statement.is_not_action:
                continue
            for action, pattern in zip(_listed(text, "Action"), statement.actions, strict=False):
                is_used = any(
                    pattern.matches(use.action, {})
                    and (use.resource == "*" or statement.applies(use.action, use.resource, {}))
                    for use in uses
                )
                # What writes the log is the service, not a call that is seen here.
                if not is_used and not action.startswith(("logs:", "xray:")):
                    yield {"action": action, "resources": _listed(text, "Resource")}


def _listed(statement: Mapping[str, Any], name: str) -> list[str]:
    value = statement.get(name) or []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]
