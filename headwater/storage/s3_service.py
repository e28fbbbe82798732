"""S3 objects as files: on-failure payloads and what rules archive."""

import os
from pathlib import Path
from urllib.parse import quote

from headwater.errors import ServiceError

_MAX_NAME_BYTES = 240


class S3Service:
    """Buckets are folders, objects are files named by their percent-encoded key; a put is whole or not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def create_bucket(self, bucket: str) -> None:
        """Make a bucket; one that exists stays as it is."""
        self._folder(bucket).mkdir(parents=True, exist_ok=True)

    async def put(self, bucket: str, key: str, data: bytes) -> None:
        """Store one object. Raises: ServiceError NoSuchBucket, KeyTooLongError."""
        path = self._path(bucket, key)
        temporary = path.with_name(f".{os.getpid()}.part")
        temporary.write_bytes(data)
        temporary.replace(path)

    async def get(self, bucket: str, key: str) -> bytes:
        """Read one object. Raises: ServiceError NoSuchBucket, NoSuchKey."""
        try:
            return self._path(bucket, key).read_bytes()
        except FileNotFoundError as error:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", status=404) from error

    def _folder(self, bucket: str) -> Path:
        if not bucket or bucket.startswith(".") or "/" in bucket:
            raise ServiceError("InvalidBucketName", f"The specified bucket is not valid: {bucket!r}")
        return self._directory / bucket

    def _path(self, bucket: str, key: str) -> Path:
        folder = self._folder(bucket)
        if not folder.is_dir():
            raise ServiceError("NoSuchBucket", f"The specified bucket does not exist: {bucket}", status=404)
        name = quote(key, safe="")
        if not key or len(name) > _MAX_NAME_BYTES:
            raise ServiceError("KeyTooLongError", f"Your key is too long: {len(name)} bytes as a file name")
        return folder / (name if not name.startswith(".") else "%2E" + name[1:])
