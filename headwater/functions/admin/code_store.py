"""Functions made through the API: their unpacked code and their settings, in a folder of the data directory."""

import hashlib
import io
import json
import lzma
import os
import shutil
import stat
import struct
import uuid
import zipfile
import zlib
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.errors import ServiceError

_MAX_UNPACKED_BYTES = 262_144_000
_MAX_ZIPPED_BYTES = 52_428_800
_SETTINGS = "function.json"
# What zipfile raises for archives that are damaged: a wrong checksum, a password, a file where another needs a folder,
# a name that is no UTF-8, a directory that begins before the file, a dictionary larger than the memory.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError),
    *(OSError, ValueError, LookupError, OverflowError, MemoryError),
)


@dataclass(frozen=True, slots=True)
class StoredCode:
    """Unpacked code; `sha256` is base64 as the API shows it."""

    directory: Path
    sha256: str
    size_bytes: int


class CodeStore:
    """One folder a function: `<name>/<hash>/` holds the code, `<name>/function.json` the settings."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def unpack(self, function_name: str, archive: bytes) -> StoredCode:
        """Unpack a deployment package next to earlier ones, which running environments may still use.

        Raises: ServiceError InvalidParameterValueException for what is no zip, is too large or leaves its folder.
        """
        digest = hashlib.sha256(archive).digest()
        target = self._directory / function_name / digest.hex()[:16]
        if not target.exists():
            # Its own name, for another request may be unpacking the same.
            partial = target.with_suffix(f".{uuid.uuid4().hex[:8]}.partial")
            try:
                unpack_archive(archive, partial)
                if not target.exists():
                    os.replace(partial, target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return StoredCode(target, b64encode(digest).decode(), len(archive))

    def save(self, function_name: str, settings: dict[str, Any]) -> None:
        folder = self._directory / function_name
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / (_SETTINGS + ".partial")
        partial.write_text(json.dumps(settings))
        os.replace(partial, folder / _SETTINGS)

    def load(self) -> list[dict[str, Any]]:
        """The settings of all functions, in the order of their names; what was left half unpacked goes."""
        for left in self._directory.glob("*/*.partial"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
        paths = sorted(self._directory.glob("*/" + _SETTINGS))
        return [json.loads(path.read_text()) for path in paths]

    def remove(self, function_name: str) -> None:
        shutil.rmtree(self._directory / function_name, ignore_errors=True)


def unpack_archive(archive: bytes, target: Path) -> None:
    """Unpack a zip file into a new folder.

    Raises: ServiceError InvalidParameterValueException for what is no zip, is too large or leaves its folder.
    """
    if len(archive) > _MAX_ZIPPED_BYTES:  # (recorded on AWS)
        message = f"Zipped size must be smaller than {_MAX_ZIPPED_BYTES} bytes"
        raise ServiceError("RequestEntityTooLargeException", message, status=413)
    try:
        package = zipfile.ZipFile(io.BytesIO(archive))
    except _DAMAGED as error:
        raise _invalid("Could not unzip uploaded file. Please check your file, then try to upload again.") from error
    with package:
        members = package.infolist()
        unpacked_bytes = sum(member.file_size for member in members)
        if unpacked_bytes > _MAX_UNPACKED_BYTES:
            raise _invalid(f"Unzipped size must be smaller than {_MAX_UNPACKED_BYTES} bytes")
        target.mkdir(parents=True)
        root = target.resolve()
        for member in members:
            try:
                _extract_member(package, member, root)
            except _DAMAGED as error:
                raise _invalid(f"Could not unzip uploaded file: {member.filename}: {error}") from error


def _extract_member(package: zipfile.ZipFile, member: zipfile.ZipInfo, root: Path) -> None:
    path = (root / member.filename).resolve()
    if not path.is_relative_to(root):
        raise _invalid(f"The deployment package names a path outside of itself: {member.filename}")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise _invalid(f"The deployment package holds a symbolic link: {member.filename}")
    package.extract(member, root)
    mode = (member.external_attr >> 16) & 0o777
    if mode and not member.is_dir():
        path.chmod(mode | 0o600)


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message, status=400, fields={"Type": "User"})
