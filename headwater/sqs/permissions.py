"""AddPermission and RemovePermission: statements of a queue's policy, named by their label."""

import json
import re
from collections.abc import Mapping
from typing import Any

from headwater.errors import ServiceError
from headwater.sqs.queue import Queue, invalid, missing, out_of_range, texts_in, with_attributes

# What an owner may share. Source: API Reference, AddPermission.
_SHARED = (
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ReceiveMessage",
    "SendMessage",
)
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ACCOUNT = re.compile(r"\d{12}")
MAX_ACTIONS = 7


def add_permission(queue: Queue, arn: str, request: Mapping[str, Any], *, now_ms: int) -> Queue:
    """The queue with one more statement in its policy.

    Raises: ServiceError `InvalidParameterValue`, `MissingParameter`, `OverLimit`.
    """
    label, actions, accounts = _label(request), texts_in(request, "Actions"), texts_in(request, "AWSAccountIds")
    statements = _statements(queue)
    if any(statement.get("Sid") == label for statement in statements):
        raise out_of_range(label, "Label", "Already exists.")
    if not actions:
        raise missing("Actions")
    if len(actions) > MAX_ACTIONS:
        raise ServiceError(
            "OverLimit", f"{len(actions)} Actions were found, maximum allowed is {MAX_ACTIONS}.", status=403
        )
    for action in actions:
        if action not in (*_SHARED, "*"):
            reason = "Only the queue owner is allowed to invoke this action."
            raise out_of_range(f"SQS:{action}", "ActionName", reason)
    if not accounts or not all(_ACCOUNT.fullmatch(account) for account in accounts):
        raise out_of_range(f"[{', '.join(accounts)}]", "PrincipalId", "Unable to verify.")
    principals = [f"arn:aws:iam::{account}:root" for account in accounts]
    named = [f"SQS:{action}" for action in actions]
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": principals if len(principals) > 1 else principals[0]},
        "Action": named if len(named) > 1 else named[0],
        "Resource": arn,
    }
    policy = {"Version": "2008-10-17", "Id": f"{arn}/SQSDefaultPolicy", **_policy(queue)}
    policy["Statement"] = [*statements, statement]
    return with_attributes(queue, {"Policy": json.dumps(policy)}, now_ms=now_ms)


def remove_permission(queue: Queue, request: Mapping[str, Any], *, now_ms: int) -> Queue:
    """The queue without a statement; without the last one it has no policy. Raises: ServiceError."""
    label = _label(request)
    statements = _statements(queue)
    kept = [statement for statement in statements if statement.get("Sid") != label]
    if len(kept) == len(statements):
        raise out_of_range(label, "Label", f"can't find label{' on existing policy' if statements else ''}.")
    text = json.dumps({**_policy(queue), "Statement": kept}) if kept else ""
    return with_attributes(queue, {"Policy": text}, now_ms=now_ms)


def _label(request: Mapping[str, Any]) -> str:
    label = request.get("Label")
    if label is None:
        raise missing("Label")
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise invalid(
            f"Value {label} for parameter Label is invalid. Reason: Can only include alphanumeric characters, hyphens, "
            "or underscores. 1 to 80 in length."
        )
    return label


def _policy(queue: Queue) -> dict[str, Any]:
    text = queue.attributes.get("Policy")
    policy: dict[str, Any] = json.loads(text) if text else {}
    return policy


def _statements(queue: Queue) -> list[dict[str, Any]]:
    found = _policy(queue).get("Statement", [])
    statements = found if isinstance(found, list) else [found]
    return [statement for statement in statements if isinstance(statement, dict)]
