"""What a function's `requirements.txt` names, installed once into the data directory."""

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from headwater.errors import TemplateError

_PROPERTY = "CodeUri"
_LIMIT_S = 600.0
_BARE_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?")


async def installed_requirements(code_dir: Path, into: Path | None) -> tuple[Path, ...]:
    """The folder with a task root's requirements, laid out as a layer; nothing if it has none of its own.

    Names without a version that the interpreter has anyway are left to it, as Lambda has boto3. The folder's name is
    the hash of the file and the interpreter. `into` None only looks whether an installation is possible.
    Raises: TemplateError with pip's reason.
    """
    file = code_dir / "requirements.txt"
    if not file.is_file():
        return ()
    text = file.read_text(encoding="utf-8")
    if all(_is_provided(line) for line in _lines(text)):
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


def _is_provided(line: str) -> bool:
    match = _BARE_NAME.fullmatch(line)
    if match is None:
        return False
    try:
        importlib.metadata.version(match[1])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


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
