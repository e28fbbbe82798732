"""Programs that judge and deploy the template, each in an environment of its own in the user's cache.

They take a minute or two to install and another to run, so `make test-deploy` (HEADWATER_TEST_DEPLOY=1) does that and
`make test` does not. HEADWATER_SAM and HEADWATER_CHECKOV name other ones.
"""

import fcntl
import os
import subprocess
import venv
from pathlib import Path

import pytest

REQUIREMENTS = {"sam": "aws-sam-cli==1.170.0", "checkov": "checkov==3.3.30"}


def deploy_tool(name: str) -> Path:
    """Find or install a program of REQUIREMENTS; skips the test where it cannot be had."""
    given = os.environ.get(f"HEADWATER_{name.upper()}")
    if given:
        return Path(given)
    requirement = REQUIREMENTS[name]
    if not os.environ.get("HEADWATER_TEST_DEPLOY"):
        pytest.skip(f"`make test-deploy` installs {requirement} and runs it")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headwater"
    environment = cache / requirement.replace("==", "-")
    # Written last: an installation that was interrupted has none.
    stamp, program = environment / ".installed", environment / "bin" / name
    if not stamp.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not stamp.exists():
                _install(requirement, environment)
                stamp.touch()
    return program


def _install(requirement: str, environment: Path) -> None:
    venv.create(environment, with_pip=True, clear=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{requirement} cannot be installed: {done.stderr.strip()[-300:]}")
