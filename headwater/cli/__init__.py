"""The command line: one module a command, imported when it is called."""

import os
import signal
import sys
from typing import NoReturn

EXIT_OK, EXIT_OURS, EXIT_USER = 0, 1, 2
_EXIT_INTERRUPTED = 130  # as a shell says it of what Ctrl-C ended


def main() -> NoReturn:
    """Run the program; a user's mistake ends with one message a fault and exit code 2."""
    if sys.argv[1:2] == ["up"]:
        _end_at_once_when_told_to()
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)
    sys.exit(EXIT_OK)


def _run() -> None:
    # eval starts once per check of a whole case file and up is measured against its rivals' start, so neither
    # waits for what only the other commands need.
    from headwater.cli.application import application
    from headwater.errors import HeadwaterError

    try:
        application(standalone_mode=True)
    except HeadwaterError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"headwater: {line}\n")
        sys.exit(EXIT_USER)


def _end_at_once_when_told_to() -> None:
    """Let SIGINT and SIGTERM end `up` with 0 while it still imports, until the event loop takes both over.

    Nothing is open yet, so there is nothing to drain. An exception would not do: raised in a callback of an import it
    is printed and forgotten. SIGINT is taken over even where it was ignored at the start, as a script's shell ignores
    it for what runs behind `&`: whoever sends it means this server, and Ctrl-C on the script must not leave it behind.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: os._exit(EXIT_OK))
