"""The command line: one module a command, imported when it is called."""

import sys
from typing import NoReturn

EXIT_OK, EXIT_OURS, EXIT_USER = 0, 1, 2


def main() -> NoReturn:
    """Run the program; a user's mistake ends with one message a fault and exit code 2."""
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
    sys.exit(EXIT_OK)
