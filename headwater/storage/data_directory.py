"""The data directory: who may open it, and which format it has."""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from headwater.errors import HeadwaterError

FORMAT_VERSION = 1
Migration = Callable[[Path], None]
# From each older format to the next: what to do with the data directory, whose `store` was copied before.
MIGRATIONS: Mapping[int, Migration] = {}
# What instances and `headwater data` make in a data directory.
_OWN = re.compile(
    r"functions|lambda|pools|requirements|s3|secret|store|tls|transforms|run\.json|\.run\.json\.\d+|\.secret\.\d+"
    r"|backup-format-\d+|backup\.new|format\.new"
)
# Below this much room in shared memory a temporary store goes to the ordinary temporary directory.
_SHARED_MEMORY_MIN_BYTES = 1 << 30
_TEMPORARY_PREFIX = "headwater-"
_ABANDONED_AFTER_S = 300.0


class DataDirectoryError(HeadwaterError):
    """The data directory cannot be used: another process has it, or its format is not ours. The user acts."""


@dataclass(slots=True)
class DataDirectory:
    """An opened data directory; the lock is held until `release`."""

    path: Path
    lock_descriptor: int
    is_temporary: bool

    @classmethod
    def acquire(cls, path: Path | None) -> "DataDirectory":
        """Create or take over a directory; None makes a temporary one that `release` removes.

        Raises: DataDirectoryError if a running process holds it or its format is unknown.
        """
        if path is None:
            return cls._acquire(_temporary_path(), is_temporary=True)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataDirectoryError(f"data directory {path} cannot be created: {error.strerror}") from error
        return cls._acquire(path, is_temporary=False)

    @classmethod
    def _acquire(cls, path: Path, *, is_temporary: bool) -> "DataDirectory":
        descriptor = _lock(path)
        try:
            _check_format(path)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, is_temporary)

    @classmethod
    def is_one(cls, path: Path) -> bool:
        """Whether an instance has used a directory."""
        return (path / "format").is_file() and (path / "lock").is_file()

    def clear(self) -> list[str]:
        """Remove what instances made, keys and certificates too; the names of what else is there and stays."""
        others = []
        for child in sorted(self.path.iterdir()):
            if child.name in ("lock", "format"):
                continue
            if not _OWN.fullmatch(child.name):
                others.append(child.name)
            elif child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
        return others

    def release(self) -> None:
        """Give the directory back; a second call does nothing."""
        if self.lock_descriptor < 0:
            return
        os.close(self.lock_descriptor)
        self.lock_descriptor = -1
        if self.is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)


def _temporary_path() -> Path:
    shared = Path("/dev/shm")
    has_room = shared.is_dir() and shutil.disk_usage(shared).free >= _SHARED_MEMORY_MIN_BYTES
    parent = shared if has_room else Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    return Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX, dir=parent))


def _remove_abandoned(parent: Path) -> None:
    """Remove temporary directories whose process was killed: nothing else frees shared memory before a reboot."""
    old_before = time.time() - _ABANDONED_AFTER_S
    for path in parent.glob(f"{_TEMPORARY_PREFIX}*"):
        try:
            # A directory this young may belong to a process that has not locked it yet.
            if path.stat().st_mtime > old_before:
                continue
            descriptor = os.open(path / "lock", os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(descriptor)


def _lock(path: Path) -> int:
    # LMDB lets a second process open and write the same file without complaint, so the lock is ours to take.
    # The kernel drops it with the process, however that ends; the file itself stays.
    try:
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataDirectoryError(f"data directory {path} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise DataDirectoryError(
            f"data directory {path} is in use by process {owner}; stop it or choose another --data-dir"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    return descriptor


def _check_format(path: Path) -> None:
    file = path / "format"
    if not file.exists():
        _write_format(path, FORMAT_VERSION)
        return
    text = file.read_text(encoding="ascii", errors="replace").strip()
    if not text.isdecimal() or int(text) < 1:
        raise DataDirectoryError(f"{file} holds {text[:40]!r}, expected a format version such as {FORMAT_VERSION}")
    if int(text) > FORMAT_VERSION:
        raise DataDirectoryError(
            f"data directory {path} has format {text}, newer than {FORMAT_VERSION}, the newest this version reads; "
            "upgrade headwater or choose another --data-dir"
        )
    if int(text) < FORMAT_VERSION:
        migrate(path, int(text), FORMAT_VERSION, MIGRATIONS)


def migrate(path: Path, found: int, wanted: int, migrations: Mapping[int, Migration]) -> None:
    """Bring a data directory to a newer format, step by step; `backup-format-<found>` keeps the store as it was.

    A step that is interrupted runs again at the next start, from the backup.
    Raises: DataDirectoryError if there is no way from `found`, or a step fails.
    """
    missing = [version for version in range(found, wanted) if version not in migrations]
    if missing:
        raise DataDirectoryError(
            f"data directory {path} has format {found} and cannot be brought to {wanted}: no step from {missing[0]}; "
            "use the version of headwater that wrote it, or choose another --data-dir"
        )
    store, backup = path / "store", path / f"backup-format-{found}"
    try:
        if backup.exists():
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(backup, store)
        else:
            pending = path / "backup.new"
            shutil.rmtree(pending, ignore_errors=True)
            shutil.copytree(store, pending)
            pending.replace(backup)
        for version in range(found, wanted):
            migrations[version](path)
    except OSError as error:
        raise DataDirectoryError(f"data directory {path} cannot be brought to format {wanted}: {error}") from error
    _write_format(path, wanted)


def _write_format(path: Path, version: int) -> None:
    pending = path / "format.new"
    pending.write_text(f"{version}\n", encoding="ascii")
    pending.replace(path / "format")
