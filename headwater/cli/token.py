"""`headwater token`: a signed user pool token."""

import sys
from pathlib import Path

from headwater.cli import EXIT_OK
from headwater.cli.instance import ask


def run_token(data_dir: Path, username: str, claims: dict[str, str], groups: list[str], pool: str, hours: float) -> int:
    """Print an id token, which carries custom claims as Cognito's id tokens do."""
    request = {
        "username": username,
        "claims": claims,
        "groups": groups,
        "pool": pool,
        "seconds": int(hours * 3600),
    }
    tokens = ask(data_dir, "POST", "token", request)
    sys.stdout.write(tokens["idToken"] + "\n")
    return EXIT_OK
