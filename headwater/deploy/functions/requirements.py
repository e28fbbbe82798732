"""What a function's `requirements.txt` names, installed once into the data directory."""

import asyncio
import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headwater.errors import TemplateError

_PROPERTY = "CodeUri"
_LIMIT_S = 600.0


async def installed_requirements(code_dir: Path, into: Path | None) -> tuple[Path, ...]:
    """The folder with a task root's requirements, laid out as a layer; nothing if it has none of its own.

    What lies beside the handler (as `sam build` leaves it), or what the interpreter has in a fitting version, is left
    to them. The folder's name is the hash of the file and the interpreter. `into` None only looks whether an
    installation is possible.
    Raises: TemplateError with pip's reason.
    """
    file = code_dir / "requirements.txt"
    if not file.is_file():
        return ()
    text = file.read_text(encoding="utf-8")
    if all(_is_provided(line, code_dir) for line in _lines(text)):
        return ()
    if importlib.util.find_spec("pip") is None:
        raise TemplateError(
            f"{file} needs pip, which {sys.executable} does not have; install the packages beside the handler",
            property_path=_PROPERTY,
        )
    if into is None:
        return ()
    digest = hashlib.sha256(f"{sys.version}\n{text}".encode()).hexdigest()[:24]
    folder = into / digest
    if not folder.is_dir():
        temporary = folder.with_suffix(".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        await _install(file, temporary / "python")
        temporary.rename(folder)
    return (folder,)


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        stripped = line.split(" #")[0].strip()
        if stripped and not stripped.startswith("#"):
            yield stripped


def _is_provided(line: str, code_dir: Path) -> bool:
    requirement = _requirement(line)
    if requirement is None or requirement.url:
        return False
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    beside = importlib.metadata.distributions(name=requirement.name, path=[str(code_dir)])
    if any(_normal(found.name) == _normal(requirement.name) for found in beside):
        return True
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return bool(requirement.specifier.contains(version, prereleases=True))


def _requirement(line: str) -> Any:
    """The parsed line, None for one that is no requirement (an option, a path) or cannot be read without pip."""
    for module in ("packaging.requirements", "pip._vendor.packaging.requirements"):
        try:
            parsing = importlib.import_module(module)
        except ImportError:
            continue
        try:
            return parsing.Requirement(line)
        except parsing.InvalidRequirement:
            return None
    return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


async def _install(file: Path, target: Path) -> None:
    target.mkdir(parents=True)
    command = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        "--target",
        str(target),
        "--requirement",
        str(file),
        cwd=file.parent,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, printed = await asyncio.wait_for(process.communicate(), _LIMIT_S)
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise
    if process.returncode == 0:
        return
    errors = [line for line in printed.decode(errors="replace").splitlines() if line.startswith("ERROR:")]
    reason = (errors or ["pip failed"])[-1].removeprefix("ERROR: ")
    raise TemplateError(f"the packages of {file} could not be installed: {reason}", property_path=_PROPERTY)
