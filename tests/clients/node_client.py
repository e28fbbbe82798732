"""The Node clients as processes: installed once into a cache folder, driven by JSON lines."""

import fcntl
import hashlib
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CACHE_VARIABLE = "HEADWATER_NODE_CACHE"
OLDEST_NODE = 20
INSTALL_TIMEOUT_S = 600


def installed_clients() -> Path:
    """The folder with the clients' scripts and their packages; skips the test where they cannot be had."""
    return installed_packages(HERE)


def installed_packages(source: Path) -> Path:
    """A cached folder with the packages of `source/package.json` and its scripts; skips where it cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs Node 20 or newer with npm")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"needs Node {OLDEST_NODE} or newer, found {version}")
    packages = (source / "package.json").read_bytes()
    cache = Path(os.environ.get(CACHE_VARIABLE) or Path(tempfile.gettempdir()) / "headwater-node-clients")
    folder = cache / hashlib.sha256(packages).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(source, folder)
        for script in source.glob("*.mjs"):
            shutil.copy(script, folder)
    return folder


def _install(source: Path, folder: Path) -> None:
    if (folder / "node_modules" / ".package-lock.json").is_file():
        return
    shutil.copy(source / "package.json", folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm install took longer than {INSTALL_TIMEOUT_S} s")
    if done.returncode != 0:
        pytest.skip(f"npm install failed in {folder}: {done.stderr.strip()[-300:]}")


class NodeClient:
    """A running script. `ca_file` is what NODE_EXTRA_CA_CERTS names."""

    def __init__(self, folder: Path, script: str, ca_file: Path) -> None:
        self._process = subprocess.Popen(
            ["node", script],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(ca_file)},
        )
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.dialled: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.expect("started")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(json.loads(line))

    def send(self, command: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()

    def next(self) -> dict[str, Any]:
        """The next event. Raises: queue.Empty when none comes."""
        while True:
            found = self._events.get(timeout=30)
            if found["event"] != "dialled":
                return found
            self.dialled.append(found["url"])

    def expect(self, event: str) -> dict[str, Any]:
        """The next event, which must be of this kind."""
        found = self.next()
        assert found["event"] == event, found
        return found

    def execute(self, text: str, variables: dict[str, Any]) -> dict[str, Any]:
        self.send("execute", text=text, variables=variables)
        payload: dict[str, Any] = self.expect("result")["payload"]
        return payload

    def subscribe(self, text: str, variables: dict[str, Any]) -> None:
        """Subscribe and wait for the acknowledgement."""
        self.send("subscribe", text=text, variables=variables)
        self.expect("ready")

    def is_quiet(self, for_s: float = 0.3) -> bool:
        """Whether nothing more comes."""
        try:
            self._events.get(timeout=for_s)
        except queue.Empty:
            return True
        return False

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._reader.join(5)
        self._process.stdout.close()
