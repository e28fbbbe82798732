"""S3 as boto3 sees it: the real endpoint, objects as files."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
from botocore.config import Config
from botocore.exceptions import ClientError

from headwater.errors import ServiceError
from headwater.server.aws.api import AwsApi
from headwater.server.aws.s3_api import S3Api, decode_chunks, parse_range
from headwater.server.http.server import HttpServer
from headwater.storage.s3_service import S3Service

Call = Callable[..., Any]


def allow_all(principal: object, action: str, resources: object) -> None:
    """No policies in these tests."""


@pytest_asyncio.fixture
async def call(tmp_path: Path) -> AsyncIterator[Call]:
    """Call boto3's S3 client in a thread, against an endpoint with one bucket `b`."""
    service = S3Service(tmp_path)
    await service.create_bucket("b")
    api = AwsApi(
        [],
        region="us-east-1",
        account_id="123456789012",
        find_secret=lambda key: None,
        authorize=allow_all,
        clock=time.time,
        rest_services={"s3": S3Api(service, region="us-east-1").handle},
    )
    server = HttpServer(api.handle)
    port = await server.start("127.0.0.1", 0)
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )

    async def run(operation: str, **request: Any) -> Any:
        return await asyncio.to_thread(lambda: _read(getattr(client, operation)(**request)))

    yield run
    client.close()
    await server.stop(0)


def _read(answer: Any) -> Any:
    body = answer.get("Body")
    if body is not None:
        answer["Body"] = body.read()
        body.close()
    return answer


async def test_an_object_is_put_read_and_deleted(call: Call, tmp_path: Path) -> None:
    put = await call(
        "put_object", Bucket="b", Key="a/ü b.json", Body=b"{}", ContentType="application/json", Metadata={"who": "me"}
    )
    got = await call("get_object", Bucket="b", Key="a/ü b.json")
    head = await call("head_object", Bucket="b", Key="a/ü b.json")
    await call("delete_object", Bucket="b", Key="a/ü b.json")

    assert (got["Body"], got["ContentType"], got["Metadata"]) == (b"{}", "application/json", {"who": "me"})
    assert put["ETag"] == got["ETag"] == head["ETag"]
    assert head["ContentLength"] == 2
    assert [p for p in (tmp_path / "b").rglob("*") if p.is_file()] == []
    with pytest.raises(ClientError, match="The specified key does not exist") as caught:
        await call("get_object", Bucket="b", Key="a/ü b.json")
    assert caught.value.response["Error"]["Code"] == "NoSuchKey"


async def test_a_stream_and_a_range_of_it(call: Call) -> None:
    await call("put_object", Bucket="b", Key="k", Body=io.BytesIO(bytes(range(100)) * 1000))

    part = await call("get_object", Bucket="b", Key="k", Range="bytes=10-19")

    assert part["Body"] == bytes(range(10, 20))
    assert part["ContentRange"] == "bytes 10-19/100000"


async def test_keys_are_listed_in_pages_and_by_folder(call: Call) -> None:
    for key in ("a/1", "a/2", "b/1", "c", ".hidden", "x" * 900):
        await call("put_object", Bucket="b", Key=key, Body=b"1")

    listed: list[str] = []
    token: dict[str, str] = {}
    for _ in range(10):
        page = await call("list_objects_v2", Bucket="b", MaxKeys=2, **token)
        listed += [item["Key"] for item in page["Contents"]]
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    folders = await call("list_objects_v2", Bucket="b", Delimiter="/")
    within = await call("list_objects_v2", Bucket="b", Prefix="a/")
    await call("delete_objects", Bucket="b", Delete={"Objects": [{"Key": key} for key in listed]})

    assert listed == [".hidden", "a/1", "a/2", "b/1", "c", "x" * 900]
    assert [p["Prefix"] for p in folders["CommonPrefixes"]] == ["a/", "b/"]
    assert [item["Key"] for item in folders["Contents"]] == [".hidden", "c", "x" * 900]
    assert [item["Key"] for item in within["Contents"]] == ["a/1", "a/2"]
    assert (await call("list_objects_v2", Bucket="b"))["KeyCount"] == 0


async def test_folders_are_listed_in_pages_without_repeating_one(call: Call) -> None:
    for key in ("a/1", "a/2", "b/1", "b/2", "c"):
        await call("put_object", Bucket="b", Key=key, Body=b"1")

    first = await call("list_objects_v2", Bucket="b", Delimiter="/", MaxKeys=1)
    second = await call(
        "list_objects_v2", Bucket="b", Delimiter="/", MaxKeys=1, ContinuationToken=first["NextContinuationToken"]
    )

    assert [p["Prefix"] for p in first["CommonPrefixes"]] == ["a/"]
    assert [p["Prefix"] for p in second["CommonPrefixes"]] == ["b/"]


async def test_buckets_are_made_listed_and_only_deleted_empty(call: Call) -> None:
    await call("create_bucket", Bucket="other")
    await call("put_object", Bucket="b", Key="k", Body=b"1")

    with pytest.raises(ClientError, match="not empty"):
        await call("delete_bucket", Bucket="b")
    await call("delete_bucket", Bucket="other")

    assert [bucket["Name"] for bucket in (await call("list_buckets"))["Buckets"]] == ["b"]
    with pytest.raises(ClientError, match="NoSuchBucket"):
        await call("put_object", Bucket="other", Key="k", Body=b"1")
    with pytest.raises(ClientError, match="404"):
        await call("head_bucket", Bucket="other")


@pytest.mark.parametrize(
    ("operation", "request_", "named"),
    [
        ("create_multipart_upload", {"Key": "k"}, "uploads"),
        ("upload_part", {"Key": "k", "UploadId": "u", "PartNumber": 1, "Body": b""}, "uploadId|partNumber"),
        ("copy_object", {"Key": "k", "CopySource": "b/other"}, "x-amz-copy-source"),
        ("put_object", {"Key": "k", "Body": b"", "Tagging": "a=b"}, "x-amz-tagging"),
        ("put_object", {"Key": "k", "Body": b"", "ACL": "public-read"}, "x-amz-acl"),
        ("put_object", {"Key": "k", "Body": b"", "StorageClass": "GLACIER"}, "x-amz-storage-class"),
        ("put_object", {"Key": "k", "Body": b"", "GrantRead": "id=1"}, "x-amz-grant-read"),
        ("get_object", {"Key": "k", "VersionId": "v"}, "versionId"),
        ("get_object", {"Key": "k", "ResponseContentType": "a/b"}, "response-content-type"),
        ("get_object_attributes", {"Key": "k", "ObjectAttributes": ["ETag"]}, "attributes"),
        ("put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": []}}, "lifecycle"),
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}, "versioning"),
    ],
)
async def test_what_would_be_ignored_is_refused(
    call: Call, operation: str, request_: dict[str, Any], named: str
) -> None:
    with pytest.raises(ClientError, match=f"NotImplemented.*({named}) is not supported here"):
        await call(operation, Bucket="b", **request_)


async def test_a_private_object_of_the_standard_class_is_what_there_is(call: Call) -> None:
    await call("put_object", Bucket="b", Key="k", Body=b"1", ACL="private", StorageClass="STANDARD")

    assert (await call("get_object", Bucket="b", Key="k"))["Body"] == b"1"


async def test_the_conditions_of_a_read_hold(call: Call) -> None:
    etag = (await call("put_object", Bucket="b", Key="k", Body=b"1"))["ETag"]
    modified = (await call("head_object", Bucket="b", Key="k"))["LastModified"]
    earlier = modified - timedelta(seconds=1)

    async def code(**condition: Any) -> str:
        try:
            await call("get_object", Bucket="b", Key="k", **condition)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "read"

    assert await code(IfMatch=etag) == "read"
    assert await code(IfMatch='"other"') == "PreconditionFailed"
    assert await code(IfNoneMatch=etag) == "304"
    assert await code(IfNoneMatch='"other"') == "read"
    assert await code(IfModifiedSince=modified) == "304"
    assert await code(IfModifiedSince=earlier) == "read"
    assert await code(IfUnmodifiedSince=earlier) == "PreconditionFailed"
    assert await code(IfUnmodifiedSince=modified) == "read"


async def test_a_write_under_a_condition_overwrites_only_what_it_names(call: Call) -> None:
    etag = (await call("put_object", Bucket="b", Key="k", Body=b"1"))["ETag"]

    for condition in ({"IfMatch": '"other"'}, {"IfNoneMatch": "*"}):
        with pytest.raises(ClientError, match="PreconditionFailed"):
            await call("put_object", Bucket="b", Key="k", Body=b"2", **condition)
    with pytest.raises(ClientError, match="NoSuchKey"):
        await call("put_object", Bucket="b", Key="absent", Body=b"2", IfMatch=etag)
    await call("put_object", Bucket="b", Key="k", Body=b"3", IfMatch=etag)

    assert (await call("get_object", Bucket="b", Key="k"))["Body"] == b"3"


@pytest.mark.parametrize("bucket", ["..", "", "a/b", ".about"])
async def test_a_bucket_name_never_leaves_the_directory(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(ServiceError, match="InvalidBucketName"):
        await S3Service(tmp_path).create_bucket(bucket)


async def test_a_key_never_leaves_its_bucket(tmp_path: Path) -> None:
    service = S3Service(tmp_path)
    await service.create_bucket("b")

    for key in ("../../x", "..", ".", "a/../b", "\x00", "k" * 1024):
        await service.put("b", key, b"1")
        assert await service.get("b", key) == b"1"

    assert all(p.parent in (tmp_path / "b", tmp_path / "b" / ".about") for p in tmp_path.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("text", "expected"), [("bytes=0-0", (0, 1)), ("bytes=5-", (5, 10)), ("bytes=-3", (7, 10)), ("bytes=2-99", (2, 10))]
)
def test_a_range_is_cut_to_the_object(text: str, expected: tuple[int, int]) -> None:
    assert parse_range(text, 10) == expected


@pytest.mark.parametrize("text", ["bytes=10-", "bytes=5-4", "bytes=-0", "lines=1-2", "bytes=a-b", "bytes="])
def test_a_range_outside_the_object_is_refused(text: str) -> None:
    with pytest.raises(ServiceError, match="not satisfiable"):
        parse_range(text, 10)


@pytest.mark.parametrize("body", [b"", b"zz\r\n", b"5\r\nabc", b"-1\r\n", b"3\r\nabc\r\n"])
def test_a_chunked_body_that_is_cut_is_refused(body: bytes) -> None:
    with pytest.raises(ServiceError, match="IncompleteBody"):
        decode_chunks(body)


def test_a_chunked_body_is_put_together() -> None:
    body = b"3;chunk-signature=ab\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"

    assert decode_chunks(body) == b"abcde"


async def test_of_conditional_writes_at_once_one_succeeds(call: Call) -> None:
    """Nothing comes between what a condition sees and the write it guards.

    A few, for the clients share the threads of the store.
    """
    puts = [call("put_object", Bucket="b", Key="k", Body=b"%d" % n, IfNoneMatch="*") for n in range(3)]

    outcomes = await asyncio.gather(*puts, return_exceptions=True)

    refused = [one for one in outcomes if isinstance(one, ClientError)]
    assert [one.response["Error"]["Code"] for one in refused] == ["PreconditionFailed"] * 2
    (won,) = [number for number, one in enumerate(outcomes) if not isinstance(one, ClientError)]
    assert (await call("get_object", Bucket="b", Key="k"))["Body"] == b"%d" % won
