"""A data directory as one file that another machine or version can read: JSON lines, keys and values in base64."""

import base64
import contextlib
import gzip
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import lmdb
import orjson

from headwater.storage.data_directory import FORMAT_VERSION, DataDirectory, DataDirectoryError

_HEADER = "headwater-export"
_PAIRS_PER_COMMIT = 5000
_MAX_DATABASES = 256
# The name of lines that hold a file; no database can have it.
_FILE = "@file"
# What makes certificates, tokens and API keys of the old directory valid in the new one, and objects and code.
_KEPT_FILES = ("secret", "tls", "pools", "s3", "lambda")


def export_data(data_dir: Path, file: Path) -> int:
    """Write everything a directory holds, private keys too; the number of pairs and files.

    Raises: DataDirectoryError if an instance uses it, it does not exist, or the file cannot be written.
    """
    if not (data_dir / "store").exists():
        raise DataDirectoryError(f"{data_dir} holds no data of Headwater")
    directory = DataDirectory.acquire(data_dir)
    count = 0
    try:
        environment = lmdb.open(str(data_dir / "store"), readonly=True, max_dbs=_MAX_DATABASES, lock=False)
        with _created(file) as out, environment.begin() as transaction:
            out.write(orjson.dumps({"format": _HEADER, "version": FORMAT_VERSION}) + b"\n")
            names = [bytes(name) for name, _ in transaction.cursor()]
            for name in names:
                database = environment.open_db(name, txn=transaction, create=False)
                for key, value in transaction.cursor(database):
                    line = [name.decode(), base64.b64encode(key).decode(), base64.b64encode(value).decode()]
                    out.write(orjson.dumps(line) + b"\n")
                    count += 1
            for path in _kept_files(data_dir):
                name = str(path.relative_to(data_dir)).encode()
                line = [_FILE, base64.b64encode(name).decode(), base64.b64encode(path.read_bytes()).decode()]
                out.write(orjson.dumps(line) + b"\n")
                count += 1
        environment.close()
    finally:
        directory.release()
    return count


def _kept_files(data_dir: Path) -> Iterator[Path]:
    for name in _KEPT_FILES:
        path = data_dir / name
        yield from (one for one in sorted(path.rglob("*")) if one.is_file())
        if path.is_file():
            yield path


@contextlib.contextmanager
def _created(file: Path) -> Iterator[gzip.GzipFile]:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise DataDirectoryError(f"cannot write {file}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as out:
        yield out


def import_data(file: Path, data_dir: Path) -> int:
    """Read an export into a directory that holds no data; the number of pairs.

    Raises: DataDirectoryError for a directory in use or not empty, or a file that is no export.
    """
    if any((data_dir / name).exists() for name in ("store", *_KEPT_FILES)):
        raise DataDirectoryError(f"{data_dir} holds data already; import into a new one, or reset it first")
    # Read to the end first: a file that is cut off must not leave half a store behind.
    for _ in _pairs(file):
        pass
    directory = DataDirectory.acquire(data_dir)
    try:
        return _fill(file, data_dir)
    except (lmdb.Error, OSError, ValueError) as error:
        _remove_all(data_dir)
        raise DataDirectoryError(f"{file} cannot be imported into {data_dir}: {error}") from error
    except DataDirectoryError:
        _remove_all(data_dir)
        raise
    finally:
        directory.release()


def _fill(file: Path, data_dir: Path) -> int:
    (data_dir / "store").mkdir(mode=0o700)
    environment = lmdb.open(str(data_dir / "store"), map_size=1 << 40, max_dbs=_MAX_DATABASES, mode=0o600)
    count = 0
    pending: list[tuple[bytes, bytes, bytes]] = []
    try:
        for pair in _pairs(file):
            if pair[0] == _FILE.encode():
                _write_file(data_dir, pair[1].decode(), pair[2])
                count += 1
                continue
            pending.append(pair)
            if len(pending) >= _PAIRS_PER_COMMIT:
                count += _put(environment, pending)
        count += _put(environment, pending)
    finally:
        environment.close()
    return count


def _remove_all(data_dir: Path) -> None:
    """What an import that failed left behind: nothing else was there."""
    for name in ("store", *_KEPT_FILES):
        path = data_dir / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _write_file(data_dir: Path, name: str, data: bytes) -> None:
    path = data_dir / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(data)


def _put(environment: lmdb.Environment, pending: list[tuple[bytes, bytes, bytes]]) -> int:
    databases = {name: environment.open_db(name) for name in {entry[0] for entry in pending}}
    with environment.begin(write=True) as transaction:
        for name, key, value in pending:
            if not transaction.put(key, value, db=databases[name], overwrite=False):
                raise ValueError(f"a key of {name.decode()} is there twice")
    count = len(pending)
    pending.clear()
    return count


def _pairs(file: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Database name, key and value of each line. Raises: DataDirectoryError for whatever is no export."""
    try:
        with gzip.open(file, "rb") as opened:
            header = orjson.loads(opened.readline())
            if header.get("format") != _HEADER or header.get("version", 0) > FORMAT_VERSION:
                raise ValueError(f"header {header}")
            for line in opened:
                name, key, value = orjson.loads(line)
                if name == _FILE:
                    _check_file_name(base64.b64decode(key, validate=True).decode())
                yield name.encode(), base64.b64decode(key, validate=True), base64.b64decode(value, validate=True)
    except FileNotFoundError as error:
        raise DataDirectoryError(f"there is no file {file}") from error
    except (OSError, EOFError, zlib.error, ValueError, AttributeError, TypeError) as error:
        raise DataDirectoryError(f"{file} is no export this version reads: {error}") from error


def _check_file_name(name: str) -> None:
    parts = Path(name).parts
    if not parts or parts[0] not in _KEPT_FILES or ".." in parts or "\x00" in name:
        raise ValueError(f"the file name {name!r}")
