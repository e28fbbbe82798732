"""The REST API of S3, path style: objects put, read, listed and deleted."""

import asyncio
import base64
import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import Protocol
from urllib.parse import parse_qsl, unquote
from weakref import WeakValueDictionary
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from headwater.errors import ServiceError
from headwater.values.http import HttpRequest, HttpResponse

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_MAX_KEYS = 1000
# What a query may hold; every other parameter is a sub-resource (tagging, uploads, lifecycle, …) and is refused.
_KNOWN_QUERY = frozenset(
    {
        "continuation-token",
        "delete",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "list-type",
        "location",
        "marker",
        "max-keys",
        "prefix",
        "start-after",
        "x-id",
    }
)
# Headers that would change what is stored or who may read it.
_UNSUPPORTED_HEADERS = (
    "x-amz-copy-source",
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption-customer-",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
)
_DEFAULTS = {"x-amz-acl": "private", "x-amz-storage-class": "STANDARD"}


class StoredObject(Protocol):
    """What the store knows of an object."""

    @property
    def key(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def modified_s(self) -> float: ...
    @property
    def etag(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...


class ObjectStore(Protocol):
    """Where objects are; every method raises ServiceError in S3's words."""

    async def create_bucket(self, bucket: str) -> None: ...
    async def delete_bucket(self, bucket: str) -> None: ...
    async def buckets(self) -> list[tuple[str, float]]: ...
    async def put(
        self, bucket: str, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]
    ) -> str: ...
    async def get(self, bucket: str, key: str) -> bytes: ...
    async def head(self, bucket: str, key: str) -> StoredObject: ...
    async def delete(self, bucket: str, key: str) -> None: ...
    async def keys(self, bucket: str, *, prefix: str = "", after: str = "") -> list[str]: ...


class S3Api:
    """Answers S3 requests; `handle` is an `HttpHandler`. What is not supported is refused as NotImplemented."""

    def __init__(self, store: ObjectStore, *, region: str) -> None:
        self._store = store
        self._region = region
        # One writer of an object at a time, so that what a condition saw is still so when its write begins.
        self._writing: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; every refusal is S3's XML error document."""
        try:
            return await self._route(request)
        except ServiceError as error:
            if request.method == "HEAD":
                return HttpResponse(error.status)
            text = f"<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
            return _xml(text, error.status)

    async def _route(self, request: HttpRequest) -> HttpResponse:
        query = dict(parse_qsl(request.raw_query, keep_blank_values=True))
        _refuse_unsupported(request, query)
        bucket, _, key = request.raw_path.lstrip("/").partition("/")
        if not bucket:
            return await self._list_buckets()
        if not key:
            return await self._on_bucket(unquote(bucket), request, query)
        return await self._on_object(unquote(bucket), unquote(key), request)

    async def _list_buckets(self) -> HttpResponse:
        listed = "".join(
            f"<Bucket><Name>{escape(name)}</Name><CreationDate>{_iso(made)}</CreationDate></Bucket>"
            for name, made in await self._store.buckets()
        )
        return _xml(
            f'<ListAllMyBucketsResult xmlns="{_NAMESPACE}"><Buckets>{listed}</Buckets></ListAllMyBucketsResult>'
        )

    async def _on_bucket(self, bucket: str, request: HttpRequest, query: Mapping[str, str]) -> HttpResponse:
        if request.method == "PUT":
            await self._store.create_bucket(bucket)
            return HttpResponse(200, (("location", f"/{bucket}"),))
        if request.method == "DELETE":
            await self._store.delete_bucket(bucket)
            return HttpResponse(204)
        if request.method == "HEAD":
            await self._store.keys(bucket)
            return HttpResponse(200, (("x-amz-bucket-region", self._region),))
        if request.method == "GET" and "location" in query:
            await self._store.keys(bucket)
            return _xml(f'<LocationConstraint xmlns="{_NAMESPACE}"/>')
        if request.method == "GET":
            return await self._list(bucket, query)
        if request.method == "POST" and "delete" in query:
            return await self._delete_many(bucket, request.body)
        raise ServiceError("MethodNotAllowed", f"{request.method} on a bucket is not supported here", status=405)

    async def _on_object(self, bucket: str, key: str, request: HttpRequest) -> HttpResponse:
        if request.method == "PUT":
            return await self._put(bucket, key, request)
        if request.method in ("GET", "HEAD"):
            return await self._get(bucket, key, request)
        if request.method == "DELETE":
            await self._delete(bucket, key)
            return HttpResponse(204)
        raise ServiceError("MethodNotAllowed", f"{request.method} on an object is not supported here", status=405)

    async def _put(self, bucket: str, key: str, request: HttpRequest) -> HttpResponse:
        data = request.body
        if "aws-chunked" in request.header("content-encoding"):
            data = decode_chunks(data)
        _check_digests(data, request)
        metadata = {n.removeprefix("x-amz-meta-"): v for n, v in request.headers if n.startswith("x-amz-meta-")}
        content_type = request.header("content-type", "binary/octet-stream")
        async with self._turn(bucket, key):
            await self._check_overwrite(bucket, key, request)
            etag = await self._store.put(bucket, key, data, content_type=content_type, metadata=metadata)
        return HttpResponse(200, (("etag", f'"{etag}"'),))

    async def _delete(self, bucket: str, key: str) -> None:
        async with self._turn(bucket, key):
            await self._store.delete(bucket, key)

    def _turn(self, bucket: str, key: str) -> asyncio.Lock:
        """What a writer of an object holds; it is forgotten with the last of them."""
        return self._writing.setdefault((bucket, key), asyncio.Lock())

    async def _check_overwrite(self, bucket: str, key: str, request: HttpRequest) -> None:
        """The conditions of a PutObject. Raises: ServiceError PreconditionFailed, NoSuchKey, NotImplemented."""
        absent, present = request.header("if-none-match"), request.header("if-match")
        if absent and absent != "*":
            raise ServiceError("NotImplemented", "If-None-Match of a write can only be *", status=501)
        if absent and key in await self._store.keys(bucket, prefix=key):
            raise _precondition_failed()
        if present and not _matches(present, (await self._store.head(bucket, key)).etag):
            raise _precondition_failed()

    async def _get(self, bucket: str, key: str, request: HttpRequest) -> HttpResponse:
        info = await self._store.head(bucket, key)
        headers = (
            ("etag", f'"{info.etag}"'),
            ("content-type", info.content_type),
            ("last-modified", formatdate(info.modified_s, usegmt=True)),
            ("accept-ranges", "bytes"),
            *((f"x-amz-meta-{name}", value) for name, value in info.metadata.items()),
        )
        if not _is_wanted(request, info):
            return HttpResponse(304, headers)
        # The server leaves the body out of an answer to HEAD, but needs it for the length.
        data = await self._store.get(bucket, key)
        wanted = request.header("range")
        if not wanted:
            return HttpResponse(200, headers, data)
        start, end = parse_range(wanted, len(data))
        span = ("content-range", f"bytes {start}-{end - 1}/{len(data)}")
        return HttpResponse(206, (*headers, span), data[start:end])

    async def _list(self, bucket: str, query: Mapping[str, str]) -> HttpResponse:
        """ListObjectsV2, and the first version with its `marker`. The token is the last key of the page."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = _max_keys(query.get("max-keys"))
        is_v2 = query.get("list-type") == "2"
        token = query.get("continuation-token", "")
        after = (_decode_token(token) or query.get("start-after", "")) if is_v2 else query.get("marker", "")
        keys = await self._store.keys(bucket, prefix=prefix, after=after)
        objects, prefixes, last = _page(keys, prefix, delimiter, limit, after)
        infos = [await self._store.head(bucket, key) for key in objects]
        parts = [_listed(info) for info in infos]
        parts += [f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in prefixes]
        parts.append(f"<IsTruncated>{'true' if last is not None else 'false'}</IsTruncated>")
        if is_v2:
            parts.append(f"<KeyCount>{len(objects) + len(prefixes)}</KeyCount>")
        if last is not None:
            tag, value = ("NextContinuationToken", _encode_token(last)) if is_v2 else ("NextMarker", escape(last))
            parts.append(f"<{tag}>{value}</{tag}>")
        head = (
            f"<Name>{escape(bucket)}</Name><Prefix>{escape(prefix)}</Prefix><MaxKeys>{limit}</MaxKeys>"
            f"<Delimiter>{escape(delimiter)}</Delimiter>"
        )
        return _xml(f'<ListBucketResult xmlns="{_NAMESPACE}">{head}{"".join(parts)}</ListBucketResult>')

    async def _delete_many(self, bucket: str, body: bytes) -> HttpResponse:
        # Entities are what makes an XML parser expand memory; S3's documents have no document type at all.
        if b"<!DOCTYPE" in body:
            raise _malformed()
        try:
            root = ElementTree.fromstring(body)
        except ElementTree.ParseError as error:
            raise _malformed() from error
        keys = [element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == "Key"]
        if not 1 <= len(keys) <= _MAX_KEYS:
            raise _malformed()
        for key in keys:
            await self._delete(bucket, key)
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return _xml(f'<DeleteResult xmlns="{_NAMESPACE}">{gone}</DeleteResult>')


def _refuse_unsupported(request: HttpRequest, query: Mapping[str, str]) -> None:
    """Raises: ServiceError NotImplemented for whatever would be ignored."""
    names = [name for name in query if name not in _KNOWN_QUERY and not name.lower().startswith("x-amz-")]
    if request.method == "PUT":
        names += [name for name in ("location", "delete", "list-type") if name in query]
    for name, value in request.headers:
        if name.startswith(_UNSUPPORTED_HEADERS) or value != _DEFAULTS.get(name, value):
            names.append(name)
    if names:
        raise ServiceError("NotImplemented", f"{names[0]} is not supported here", status=501)


def _is_wanted(request: HttpRequest, info: StoredObject) -> bool:
    """Whether a read's conditions hold; false where its sender has the object already.

    Raises: ServiceError PreconditionFailed.
    Source: S3 API Reference, GetObject, "If-Match" and the others; RFC 9110, section 13.2.2.
    """
    match, none_match = request.header("if-match"), request.header("if-none-match")
    modified_s = int(info.modified_s)
    if match:
        if not _matches(match, info.etag):
            raise _precondition_failed()
    elif _time_of(request.header("if-unmodified-since"), modified_s) < modified_s:
        raise _precondition_failed()
    if none_match:
        return not _matches(none_match, info.etag)
    since = request.header("if-modified-since")
    return not since or _time_of(since, modified_s - 1) < modified_s


def _time_of(text: str, otherwise: int) -> int:
    """A date of HTTP in epoch seconds; one that is none does not count."""
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError):
        return otherwise


def _matches(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in tags or etag in tags


def _precondition_failed() -> ServiceError:
    return ServiceError(
        "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", status=412
    )


def _page(
    keys: Sequence[str], prefix: str, delimiter: str, limit: int, after: str
) -> tuple[list[str], list[str], str | None]:
    """Keys and common prefixes of one page, and where the next one starts (None at the end)."""
    objects: list[str] = []
    prefixes: list[str] = []
    last = ""
    for key in keys:
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        group = key[: end + len(delimiter)] if end >= 0 else ""
        if group and (group in prefixes[-1:] or after.startswith(group)):
            last = key
            continue
        if len(objects) + len(prefixes) >= limit:
            return objects, prefixes, last
        if group:
            prefixes.append(group)
        else:
            objects.append(key)
        last = key
    return objects, prefixes, None


def parse_range(text: str, size: int) -> tuple[int, int]:
    """The half-open range of bytes that a `Range` header names. Raises: ServiceError InvalidRange."""
    unit, _, span = text.partition("=")
    first, _, last = span.partition("-")
    is_right = unit.strip() == "bytes" and all(p.isascii() and (p.isdecimal() or not p) for p in (first, last))
    if is_right and first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if start < end:
            return start, end
    elif is_right and last and int(last) > 0 and size > 0:
        return max(0, size - int(last)), size
    raise ServiceError("InvalidRange", "The requested range is not satisfiable", status=416)


def decode_chunks(body: bytes) -> bytes:
    """The content of an `aws-chunked` body; its trailer is left to the digest headers.

    Raises: ServiceError IncompleteBody.
    Source: S3 API Reference, "Signature calculations: transferring payload in multiple chunks".
    """
    out: list[bytes] = []
    position = 0
    while True:
        end = body.find(b"\r\n", position)
        size_text = body[position:end].partition(b";")[0].strip() if end >= 0 else b""
        try:
            size = int(size_text, 16)
        except ValueError as error:
            raise ServiceError("IncompleteBody", "The aws-chunked body is malformed") from error
        start = end + 2
        if size < 0 or start + size > len(body):
            raise ServiceError("IncompleteBody", "The aws-chunked body ends too early")
        if size == 0:
            return b"".join(out)
        out.append(body[start : start + size])
        position = start + size + 2


def _check_digests(data: bytes, request: HttpRequest) -> None:
    """Raises: ServiceError BadDigest."""
    digests: Iterable[tuple[str, bytes]] = (
        ("content-md5", hashlib.md5(data, usedforsecurity=False).digest()),
        ("x-amz-checksum-sha256", hashlib.sha256(data).digest()),
        ("x-amz-checksum-sha1", hashlib.sha1(data, usedforsecurity=False).digest()),
        ("x-amz-checksum-crc32", zlib.crc32(data).to_bytes(4, "big")),
    )
    for name, digest in digests:
        stated = request.header(name)
        if stated and stated != base64.b64encode(digest).decode():
            raise ServiceError("BadDigest", f"The {name} you specified did not match what we received.")


def _listed(info: StoredObject) -> str:
    return (
        f"<Contents><Key>{escape(info.key)}</Key><LastModified>{_iso(info.modified_s)}</LastModified>"
        f"<ETag>&quot;{info.etag}&quot;</ETag><Size>{info.size_bytes}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _max_keys(text: str | None) -> int:
    if text is None:
        return _MAX_KEYS
    if not text.isascii() or not text.isdecimal():
        raise ServiceError("InvalidArgument", f"max-keys {text!r} is not a number")
    return min(int(text[:9]), _MAX_KEYS)


def _encode_token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _decode_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError as error:
        raise ServiceError("InvalidArgument", "The continuation token provided is incorrect") from error


def _iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _malformed() -> ServiceError:
    return ServiceError("MalformedXML", "The XML you provided was not well-formed or did not validate")


def _xml(text: str, status: int = 200) -> HttpResponse:
    headers = (("content-type", "application/xml"),)
    return HttpResponse(status, headers, b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode())
