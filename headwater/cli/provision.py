"""`headwater device provision`: a fleet registers itself by a provisioning template, each device with its own key."""

import asyncio
import os
import re
import ssl
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from headwater.cli import EXIT_OK, EXIT_USER
from headwater.cli.device import signing_request
from headwater.cli.instance import RefusedError, ask
from headwater.cli.provisioning_client import Provisioned, ProvisioningClient, ProvisioningError
from headwater.values.amounts import counted

_AT_ONCE = 16
# A claim of the instance ends after five minutes; who begins after this needs a new one.
_CLAIM_S = 180.0
_SHOWN_FAILURES = 10
_DEFAULT_PATTERN = "device-%04d"
_NUMBER = re.compile(r"%0?\d*d")


@dataclass(slots=True)
class Claim:
    """What devices are made with: a folder of the user's, or claims of the instance, renewed while they are used."""

    data_dir: Path
    template: str
    folder: Path | None
    ca_file: str
    scratch: Path
    _context: ssl.SSLContext | None = field(default=None)
    _made_at: float = 0.0

    def context(self) -> ssl.SSLContext:
        """Raises: RefusedError."""
        if self._context is None or (self.folder is None and time.monotonic() - self._made_at > _CLAIM_S):
            self._context = self._load()
            self._made_at = time.monotonic()
        return self._context

    def _load(self) -> ssl.SSLContext:
        folder = self.folder or self._fresh()
        context = ssl.create_default_context(cafile=self.ca_file)
        try:
            context.load_cert_chain(folder / "device.pem", folder / "device.key")
        except (OSError, ssl.SSLError) as error:
            raise RefusedError(f"{folder} holds no claim (device.pem and device.key): {error}") from error
        return context

    def _fresh(self) -> Path:
        made = ask(self.data_dir, "POST", "claims", {"template": self.template})
        _write_private(self.scratch / "device.key", made["keyPair"]["PrivateKey"].encode())
        (self.scratch / "device.pem").write_text(made["certificatePem"])
        return self.scratch


@dataclass(slots=True)
class _Fleet:
    claim: Claim
    template: str
    patterns: Mapping[str, str]
    out: Path
    host: str
    port: int
    failures: list[str] = field(default_factory=list)
    done: int = 0


def run_provision(
    data_dir: Path, template: str, *, count: int, out: Path, patterns: Mapping[str, str], claim: Path | None
) -> int:
    """Register `count` devices, write a folder for each; %d in a pattern is the device's number.

    Raises: NoInstanceError; RefusedError, also for a folder that holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise RefusedError(f"{out} is not empty; choose another folder with --out")
    wanted = ask(data_dir, "POST", "claims", {"template": template})["parameters"]
    ready = orjson.loads((data_dir / "run.json").read_bytes())
    if ready["mqttTlsPort"] is None:
        raise RefusedError("the instance has no TLS port for devices")
    given = _patterns(template, wanted, patterns, count)
    out.mkdir(parents=True, exist_ok=True)
    (out / "ca.pem").write_bytes(Path(ready["caFile"]).read_bytes())
    scratch = out / ".claim"
    scratch.mkdir(mode=0o700)
    try:
        made = Claim(data_dir, template, claim, ready["caFile"], scratch)
        fleet = _Fleet(made, template, given, out, ready["mqttHost"], ready["mqttTlsPort"])
        started = time.monotonic()
        uvloop.run(_run(fleet, count))
        return _report(fleet, time.monotonic() - started)
    finally:
        for name in ("device.key", "device.pem"):
            (scratch / name).unlink(missing_ok=True)
        scratch.rmdir()


def _patterns(template: str, wanted: list[str], given: Mapping[str, str], count: int) -> Mapping[str, str]:
    missing = [name for name in wanted if name not in given]
    if len(missing) == 1 and not given:
        given = {missing[0]: _DEFAULT_PATTERN}
    elif missing:
        raise RefusedError(f"the template {template} needs --param for {', '.join(missing)}")
    if count > 1 and wanted and not any(_NUMBER.search(pattern) for pattern in given.values()):
        raise RefusedError(f"{count} devices need a --param with %d in it, which becomes their number")
    return given


async def _run(fleet: _Fleet, count: int) -> None:
    numbers = iter(range(1, count + 1))

    async def work() -> None:
        for number in numbers:
            await _one(fleet, number)

    await asyncio.gather(*(work() for _ in range(min(_AT_ONCE, count))))


async def _one(fleet: _Fleet, number: int) -> None:
    parameters = {name: _NUMBER.sub(lambda found: found[0] % number, text) for name, text in fleet.patterns.items()}
    key = ec.generate_private_key(ec.SECP256R1())
    client_id = f"{fleet.template}-{os.getpid()}-{number}"
    client = ProvisioningClient(fleet.host, fleet.port, fleet.claim.context())
    try:
        device = await client.provision(client_id, fleet.template, signing_request(client_id, key), parameters)
    except ProvisioningError as error:
        fleet.failures.append(f"device {number} ({parameters}): {error}")
        return
    _write(fleet.out / device.thing_name, device, key)
    fleet.done += 1


def _write(folder: Path, device: Provisioned, key: ec.EllipticCurvePrivateKey) -> None:
    folder.mkdir(exist_ok=True)
    _write_private(folder / "device.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "device.pem").write_text(device.certificate_pem)
    if device.configuration:
        (folder / "configuration.json").write_bytes(orjson.dumps(device.configuration, option=orjson.OPT_INDENT_2))


def _write_private(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def _report(fleet: _Fleet, seconds: float) -> int:
    for failure in fleet.failures[:_SHOWN_FAILURES]:
        sys.stderr.write(f"headwater: {failure}\n")
    if len(fleet.failures) > _SHOWN_FAILURES:
        sys.stderr.write(f"headwater: … and {len(fleet.failures) - _SHOWN_FAILURES} more\n")
    lines: list[Any] = [
        f"{counted(fleet.done, 'device')} {'is' if fleet.done == 1 else 'are'} registered "
        f"by the template {fleet.template} in {seconds:.1f} s",
        f"  keys and certificates  {fleet.out}{os.sep}<thing>{os.sep}device.key, device.pem",
        f"  CA                     {fleet.out / 'ca.pem'}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_USER if fleet.failures else EXIT_OK
