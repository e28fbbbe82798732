"""S3 objects as files: on-failure payloads and what rules archive."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote
from uuid import uuid4

from headwater.errors import ServiceError

T = TypeVar("T")

MAX_KEY_BYTES = 1024
_MAX_NAME_BYTES = 200
_ABOUT = ".about"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object beside its bytes; `modified_s` in epoch seconds, the tag without its quotes."""

    key: str
    size_bytes: int
    modified_s: float
    etag: str
    content_type: str = "binary/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)


class S3Service:
    """Buckets are folders, objects are files named by their percent-encoded key; a put is whole or not there.

    A key that is too long for a file name is named by its digest. What is known of an object lies beside it in
    `.about`; an object that was put there by hand is known too. The disk is waited for in threads.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def create_bucket(self, bucket: str) -> None:
        """Make a bucket; one that exists stays as it is."""
        await asyncio.to_thread((self._folder(bucket) / _ABOUT).mkdir, parents=True, exist_ok=True)

    async def delete_bucket(self, bucket: str) -> None:
        """Raises: ServiceError NoSuchBucket, BucketNotEmpty."""
        folder = self._existing(bucket)
        if any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise ServiceError("BucketNotEmpty", "The bucket you tried to delete is not empty", status=409)
        await asyncio.to_thread(shutil.rmtree, folder)

    async def buckets(self) -> list[tuple[str, float]]:
        """Names and creation times, in epoch seconds."""
        if not self._directory.is_dir():
            return []
        return sorted((entry.name, entry.stat().st_ctime) for entry in self._directory.iterdir() if entry.is_dir())

    async def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str = "binary/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Store one object; returns its entity tag. Raises: ServiceError NoSuchBucket, KeyTooLongError."""
        path = self._path(bucket, key)
        etag = _etag(data)
        about = {"key": key, "etag": etag, "content_type": content_type, "metadata": dict(metadata or {})}

        def write() -> None:
            _about_path(path).parent.mkdir(exist_ok=True)
            _replace(_about_path(path), json.dumps(about).encode())
            _replace(path, data)

        await asyncio.to_thread(write)
        return etag

    async def get(self, bucket: str, key: str) -> bytes:
        """Read one object. Raises: ServiceError NoSuchBucket, NoSuchKey."""
        return await _reading(self._path(bucket, key).read_bytes)

    async def head(self, bucket: str, key: str) -> ObjectInfo:
        """What is known of one object. Raises: ServiceError NoSuchBucket, NoSuchKey."""
        path = self._path(bucket, key)
        return await _reading(lambda: _info(path))

    async def delete(self, bucket: str, key: str) -> None:
        """Delete one object; one that is not there is no error. Raises: ServiceError NoSuchBucket."""
        path = self._path(bucket, key)

        def remove() -> None:
            path.unlink(missing_ok=True)
            _about_path(path).unlink(missing_ok=True)

        await asyncio.to_thread(remove)

    async def keys(self, bucket: str, *, prefix: str = "", after: str = "") -> list[str]:
        """All keys with a prefix that are above `after`, in the order of their UTF-8 bytes.

        Raises: ServiceError NoSuchBucket.
        """
        folder = self._existing(bucket)
        names = await asyncio.to_thread(lambda: [e.name for e in folder.iterdir() if not e.name.startswith(".")])
        found = [_key_of(folder / name) for name in names]
        return sorted((k for k in found if k.startswith(prefix) and k > after), key=str.encode)

    def _folder(self, bucket: str) -> Path:
        if not bucket or bucket.startswith(".") or "/" in bucket or "\x00" in bucket or len(bucket) > 63:
            raise ServiceError("InvalidBucketName", f"The specified bucket is not valid: {bucket!r}")
        return self._directory / bucket

    def _existing(self, bucket: str) -> Path:
        folder = self._folder(bucket)
        if not folder.is_dir():
            raise ServiceError("NoSuchBucket", f"The specified bucket does not exist: {bucket}", status=404)
        return folder

    def _path(self, bucket: str, key: str) -> Path:
        folder = self._existing(bucket)
        size_bytes = len(key.encode("utf-8", "surrogatepass"))
        if not 1 <= size_bytes <= MAX_KEY_BYTES:
            raise ServiceError("KeyTooLongError", f"Your key is too long: {size_bytes} bytes, at most {MAX_KEY_BYTES}")
        name = quote(key, safe="", errors="surrogatepass")
        if name.startswith("."):
            name = "%2E" + name[1:]
        if len(name) > _MAX_NAME_BYTES:
            # `~` is never the first character of an encoded key that is shorter.
            name = "%~" + hashlib.sha256(name.encode()).hexdigest()
        return folder / name


async def _reading(read: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(read)
    except FileNotFoundError as error:
        raise ServiceError("NoSuchKey", "The specified key does not exist.", status=404) from error


def _info(path: Path) -> ObjectInfo:
    stat = path.stat()
    about = _about(path)
    etag = about.get("etag") or _etag(path.read_bytes())
    return ObjectInfo(
        key=_key_of(path),
        size_bytes=stat.st_size,
        modified_s=stat.st_mtime,
        etag=etag,
        content_type=about.get("content_type", "binary/octet-stream"),
        metadata=about.get("metadata", {}),
    )


def _about(path: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(_about_path(path).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return about


def _about_path(path: Path) -> Path:
    return path.parent / _ABOUT / path.name


def _key_of(path: Path) -> str:
    if path.name.startswith("%~"):
        return str(_about(path).get("key", path.name))
    return unquote(path.name, errors="surrogatepass")


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{uuid4().hex}.part")
    temporary.write_bytes(data)
    temporary.replace(path)


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
