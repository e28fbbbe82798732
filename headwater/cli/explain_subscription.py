"""`headwater explain subscription`: who got a published event of a running instance, and who did not and why."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from headwater.cli import EXIT_OK
from headwater.cli.instance import ask
from headwater.cli.log_lines import one_line

_MAX_ID_CHARACTERS = 64


def run_explain_subscription(data_dir: Path, *, event: int | None, mutation: str, api: str, is_json: bool) -> int:
    """Print the explanation of the latest event, or of the one that is named; returns the exit code.

    Raises: NoInstanceError; RefusedError where there is no such event.
    """
    wanted = {"event": event, "mutation": mutation or None, "api": api or None}
    asked = {name: value for name, value in wanted.items() if value is not None}
    explanation = ask(data_dir, "POST", "explain/subscription", asked)
    text = orjson.dumps(explanation).decode() if is_json else "\n".join(explanation_lines(explanation))
    sys.stdout.write(text + "\n")
    return EXIT_OK


def explanation_lines(explanation: dict[str, Any]) -> list[str]:
    """The explanation for people."""
    at = datetime.fromtimestamp(explanation["at"]).astimezone().strftime("%H:%M:%S")
    lines = [f"Event {explanation['number']} at {at}: {explanation['mutation']} ({explanation['api']})"]
    if not explanation["subscriptionFields"]:
        return [*lines, "  No subscription field follows this mutation: the schema has no @aws_subscribe for it."]
    if not explanation["subscriptions"]:
        return [*lines, f"  Nobody subscribes to {' or '.join(explanation['subscriptionFields'])} now."]
    for verdict in explanation["subscriptions"]:
        lines += _verdict_lines(verdict)
    return lines


def _verdict_lines(verdict: dict[str, Any]) -> list[str]:
    ids = ", ".join(map(_shown, verdict["ids"]))
    more = verdict["subscribers"] - len(verdict["ids"])
    who = f"{verdict['field']}, {ids}" + (f" and {more} more" if more else "")
    if not verdict["matches"]:
        reasons = [f"    {reason}" for reason in verdict["reasons"]]
        return [f"  not sent to {who}:", *reasons]
    unselected = verdict["unselected"]
    nulls = [f"    null there, because the mutation did not select it: {', '.join(unselected)}"] if unselected else []
    errors = [f"    with an error: {message}" for message in verdict["errors"]]
    return [f"  sent to {who}", *nulls, *errors]


def _shown(identifier: str) -> str:
    """An id as its client chose it, which may be anything up to a megabyte."""
    return one_line(identifier if len(identifier) <= _MAX_ID_CHARACTERS else identifier[:_MAX_ID_CHARACTERS] + "…")
