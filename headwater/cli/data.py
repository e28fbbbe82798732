"""`headwater data`: export, import and reset a data directory that no instance uses."""

import shutil
import sys
from pathlib import Path

from headwater.cli import EXIT_OK
from headwater.storage.data_directory import DataDirectory
from headwater.storage.portable import export_data, import_data

# What makes a data directory another one's successor: keys and certificates go, too.
_KEPT = frozenset(("lock", "format"))


def run_reset(data_dir: Path) -> int:
    """Remove everything below the directory."""
    if not data_dir.is_dir():
        sys.stdout.write(f"{data_dir} holds nothing\n")
        return EXIT_OK
    directory = DataDirectory.acquire(data_dir)
    try:
        for child in data_dir.iterdir():
            if child.is_dir():
                shutil.rmtree(child)
            elif child.name not in _KEPT:
                child.unlink()
    finally:
        directory.release()
    sys.stdout.write(f"{data_dir} is empty now\n")
    return EXIT_OK


def run_export(data_dir: Path, file: Path) -> int:
    """Write all stored pairs."""
    count = export_data(data_dir, file)
    sys.stdout.write(f"{count} entries of {data_dir} are in {file}\n")
    return EXIT_OK


def run_import(data_dir: Path, file: Path) -> int:
    """Read an export into an empty directory."""
    count = import_data(file, data_dir)
    sys.stdout.write(f"{count} entries of {file} are in {data_dir}\n")
    return EXIT_OK
