"""`headwater logs`: what a function printed, and what it prints."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headwater.cli import EXIT_OK
from headwater.cli.instance import ask


def run_logs(data_dir: Path, function: str, *, is_following: bool, lines: int) -> int:
    """Print the newest lines; following ends with Ctrl-C.

    Raises: NoInstanceError; RefusedError for an unknown function.
    """
    answer = ask(data_dir, "GET", f"logs?function={quote(function)}")
    _print(answer["events"][-lines:] if lines else [])
    try:
        while is_following:
            answer = ask(data_dir, "GET", f"logs?function={quote(function)}&after={answer['next']}&wait=1")
            _print(answer["events"])
    except KeyboardInterrupt:
        pass
    return EXIT_OK


def _print(events: list[dict[str, Any]]) -> None:
    for event in events:
        stamp = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        sys.stdout.write(f"{stamp}Z {event['message'].rstrip()}\n")
    sys.stdout.flush()
