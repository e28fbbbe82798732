"""`headwater device add`: key, certificate and CA of a device in a folder, and the device at the running instance."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from headwater.cli import EXIT_OK
from headwater.cli.instance import RefusedError, ask

_MAX_COMMON_NAME = 64


def run_add(data_dir: Path, name: str, out: Path, policy: str) -> int:
    """Make a key that stays here, have its certificate signed and attached, write the files.

    Raises: NoInstanceError; RefusedError, also for files that are there already.
    """
    files = {kind: out / kind for kind in ("device.key", "device.pem", "ca.pem")}
    for path in files.values():
        if path.exists():
            raise RefusedError(f"{path} exists; choose another folder with --out")
    key = ec.generate_private_key(ec.SECP256R1())
    request = {"name": name, "certificateSigningRequest": signing_request(name, key), "policy": policy}
    device = ask(data_dir, "POST", "devices", request)
    ready = orjson.loads((data_dir / "run.json").read_bytes())
    out.mkdir(parents=True, exist_ok=True)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with open(os.open(files["device.key"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    files["device.pem"].write_text(device["certificatePem"])
    files["ca.pem"].write_bytes(Path(ready["caFile"]).read_bytes())
    sys.stdout.write(_report(name, device, files, ready))
    return EXIT_OK


def signing_request(name: str, key: ec.EllipticCurvePrivateKey) -> str:
    """A request for a certificate of a key that stays here."""
    common_name = name[:_MAX_COMMON_NAME] or "device"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def _report(name: str, device: dict[str, Any], files: dict[str, Path], ready: dict[str, Any]) -> str:
    what = "has one more certificate" if device["existed"] else "is registered"
    lines = [
        f"{name} {what}: {device['certificateId']}",
        f"  policy       {device['policyName']}",
        f"  key          {files['device.key']}",
        f"  certificate  {files['device.pem']}",
        f"  CA           {files['ca.pem']}",
    ]
    if ready["mqttTlsPort"] is None:
        lines.append("  The instance has no TLS port for devices.")
    else:
        lines += ["", _command(name, device, files, ready)]
    return "\n".join(lines) + "\n"


def _command(name: str, device: dict[str, Any], files: dict[str, Path], ready: dict[str, Any]) -> str:
    """A publish to paste. Without a topic in the template's metadata the user has to fill one in."""
    command = ["mosquitto_pub", "-h", ready["mqttHost"], "-p", str(ready["mqttTlsPort"])]
    command += ["--cafile", str(files["ca.pem"]), "--cert", str(files["device.pem"]), "--key", str(files["device.key"])]
    command += ["-i", name, "-q", "1", "-t", device["topic"] or "TOPIC", "-m", device["payload"] or "{}"]
    return shlex.join(command)
