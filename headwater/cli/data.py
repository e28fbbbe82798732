"""`headwater data`: export, import and reset a data directory that no instance uses."""

import sys
from pathlib import Path

from headwater.cli import EXIT_OK
from headwater.storage.data_directory import DataDirectory, DataDirectoryError
from headwater.storage.portable import export_data, import_data
from headwater.values.amounts import counted


def run_reset(data_dir: Path) -> int:
    """Remove all that instances made in the directory, and nothing else. Raises: DataDirectoryError."""
    if not data_dir.exists():
        sys.stdout.write(f"{data_dir} is not there: nothing to remove\n")
        return EXIT_OK
    if not DataDirectory.is_one(data_dir):
        raise DataDirectoryError(f"{data_dir} is no data directory of Headwater: nothing was removed")
    directory = DataDirectory.acquire(data_dir)
    try:
        others = directory.clear()
    finally:
        directory.release()
    if others:
        shown = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
        stays = "it did not make stays" if len(others) == 1 else "it did not make stay"
        sys.stdout.write(
            f"what Headwater stored in {data_dir} is removed; "
            f"{counted(len(others), 'entry', 'entries')} {stays}: {shown}\n"
        )
    else:
        sys.stdout.write(f"{data_dir} is empty now\n")
    return EXIT_OK


def run_export(data_dir: Path, file: Path) -> int:
    """Write all stored pairs."""
    _say(export_data(data_dir, file), data_dir, file)
    return EXIT_OK


def run_import(data_dir: Path, file: Path) -> int:
    """Read an export into an empty directory."""
    _say(import_data(file, data_dir), file, data_dir)
    return EXIT_OK


def _say(count: int, source: Path, target: Path) -> None:
    verb = "is" if count == 1 else "are"
    sys.stdout.write(f"{counted(count, 'entry', 'entries')} of {source} {verb} in {target}\n")
