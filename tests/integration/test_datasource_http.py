"""The HTTP data source against a real server on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headwater.datasource import HttpSource, SigningConfig, SourceCall
from headwater.errors import DataSourceError, RequestError, TemplateError

CALL = SourceCall("Query.getThing")
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 9\r\n\r\n{"a": 1}\n'


@asynccontextmanager
async def server(reply: bytes, seen: list[bytes]) -> AsyncIterator[int]:
    """A server that remembers each request and answers with the same bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
        seen.append(head + await reader.readexactly(length))
        writer.write(reply)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def source(port: int, host: str = "127.0.0.1", path: str = "", **options: Any) -> HttpSource:
    return HttpSource(f"http://{host}:{port}{path}", now=lambda: 1_700_000_000.0, **options)


async def test_a_request_carries_path_query_headers_and_body() -> None:
    seen: list[bytes] = []
    async with server(OK, seen) as port:
        result = await source(port, path="/base").execute(
            {
                "method": "POST",
                "resourcePath": "/items/a b",
                "params": {
                    "query": {"q": "x&y", "n": 1},
                    "headers": {"X-Trace": "t", "Host": "evil", "Content-Length": "99"},
                    "body": {"id": 1},
                },
            },
            CALL,
        )

    assert result == {
        "statusCode": 200,
        "headers": {"content-type": "application/json", "x-a": "1, 2", "content-length": "9"},
        "body": '{"a": 1}\n',
    }
    head, body = seen[0].split(b"\r\n\r\n")
    assert body == b'{"id":1}'
    assert head.split(b"\r\n") == [
        b"POST /base/items/a%20b?q=x%26y&n=1 HTTP/1.1",
        f"host: 127.0.0.1:{port}".encode(),
        b"x-trace: t",
        b"content-type: application/json",
        b"content-length: 8",
        b"connection: close",
    ]


async def test_a_redirect_is_a_result_like_any_other() -> None:
    async with server(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", []) as port:
        result = await source(port).execute({"method": "GET", "resourcePath": "/"}, CALL)

    assert (result["statusCode"], result["body"]) == (302, "")


async def test_chunked_bodies_and_bodies_that_end_with_the_connection_are_read() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    for reply in (chunked, b"HTTP/1.0 200 OK\r\n\r\nabcde"):
        async with server(reply, []) as port:
            result = await source(port).execute({"method": "GET", "resourcePath": "/"}, CALL)

        assert result["body"] == "abcde"


async def test_a_host_that_is_not_this_machine_is_refused_unless_allowed() -> None:
    with pytest.raises(DataSourceError, match="is not on this machine"):
        await source(80, "192.0.2.1").execute({"method": "GET", "resourcePath": "/"}, CALL)


async def test_binary_replies_are_refused() -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1\r\n\r\nx", []) as port:
        with pytest.raises(DataSourceError, match="image/png are not supported"):
            await source(port).execute({"method": "GET", "resourcePath": "/"}, CALL)


async def test_a_silent_server_meets_the_timeout() -> None:
    async with server(b"", []) as port:
        with pytest.raises(DataSourceError):
            await source(port, timeout_s=0.2).execute({"method": "GET", "resourcePath": "/"}, CALL)


async def test_a_closed_port_is_a_data_source_error() -> None:
    async with server(OK, []) as port:
        pass

    with pytest.raises(DataSourceError) as failure:
        await source(port).execute({"method": "GET", "resourcePath": "/"}, CALL)

    assert failure.value.error_type == "Http:RequestFailed"


async def test_a_signed_request_carries_signature_version_4() -> None:
    seen: list[bytes] = []
    signing = SigningConfig("us-east-1", "events", "AKID", "secret", "token")
    async with server(OK, seen) as port:
        await source(port, signing=signing).execute(
            {"method": "POST", "resourcePath": "/", "params": {"body": "{}"}}, CALL
        )

    head = seen[0].decode()
    assert "authorization: AWS4-HMAC-SHA256 Credential=AKID/20231114/us-east-1/events/aws4_request, " in head
    assert "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=" in head


@pytest.mark.parametrize(
    ("request_object", "message"),
    [
        ({"resourcePath": "/"}, r"Value for field '\$\[method\]' not found"),
        ({"method": "GET"}, r"Value for field '\$\[resourcePath\]' not found"),
        ({"method": "TRACE", "resourcePath": "/"}, "Unsupported method 'TRACE'"),
        ({"method": "GET", "resourcePath": "x"}, "has to begin with /"),
        ({"method": "GET", "resourcePath": "/", "params": {"headers": {"a": "b\r\nc: d"}}}, "header 'a' is not valid"),
    ],
)
async def test_a_request_that_cannot_be_read_is_refused(request_object: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        await source(1).execute(request_object, CALL)


def test_an_endpoint_that_is_no_url_is_refused_at_load() -> None:
    with pytest.raises(TemplateError, match="no http or https URL"):
        HttpSource("ftp://x", now=lambda: 0.0)


@pytest.mark.parametrize(
    ("request_object", "message"),
    [
        ({"method": "HEAD", "resourcePath": "/"}, "Unsupported method 'HEAD'. Supported methods: GET, POST, PUT, "),
        ({"method": "GET", "resourcePath": 5}, "Expected string for field '$[resourcePath]' but got 'NUMBER' instead."),
        ({"method": "GET", "resourcePath": "/", "params": 5}, "Expected JSON object for field '$[params]' but got"),
        (
            {"method": "GET", "resourcePath": "/", "params": {"query": "a=b"}},
            "field '$[params][query]' but got 'STRING'",
        ),
        (
            {"method": "GET", "resourcePath": "/", "params": {"headers": []}},
            "field '$[params][headers]' but got 'ARRAY'",
        ),
        (
            {
                "method": "POST",
                "resourcePath": "/",
                "params": {"headers": {"Content-Type": "text/plain; charset=ascii"}, "body": "é"},
            },
            "The body cannot be written in ascii",
        ),
    ],
)
async def test_a_request_that_cannot_be_sent_is_a_mapping_template_error(request_object: Any, message: str) -> None:
    with pytest.raises(RequestError) as failure:
        await source(1).execute(request_object, CALL)

    assert failure.value.error_type == "MappingTemplate"
    assert message in failure.value.message


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain; charset=ISO-8859-1", b"\xe9", "é"),
        ('application/json;charset="utf-16"', '{"a":"é"}'.encode("utf-16"), '{"a":"é"}'),
        ("text/plain; charset=base64", b"caf\xc3\xa9", "café"),
        ("text/plain; charset=unheard-of", b"caf\xc3\xa9", "café"),
        ("text/plain; format=flowed", b"caf\xc3\xa9", "café"),
    ],
)
async def test_bodies_are_in_the_charset_of_their_content_type(content_type: str, body: bytes, text: str) -> None:
    seen: list[bytes] = []
    reply = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    params = {"headers": {"Content-Type": content_type, "User-Agent": "mine"}, "body": text}
    async with server(reply, seen) as port:
        result = await source(port).execute({"method": "POST", "resourcePath": "/", "params": params}, CALL)

    assert result["body"] == text
    assert seen[0].endswith(b"\r\n\r\n" + body)
    assert b"user-agent" not in seen[0]
