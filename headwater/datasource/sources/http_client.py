"""One HTTP request on a connection of its own, to loopback unless the host is allowed."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 5 * 1024 * 1024

AllowsHost = Callable[[str], bool]


class HttpFault(Exception):
    """The request could not be made or the reply is no HTTP; the message says why."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole reply; repeated headers are joined by commas."""

    status: int
    headers: dict[str, str]
    body: bytes


async def send_request(
    host: str,
    port: int,
    request: bytes,
    *,
    ssl_context: ssl.SSLContext | None,
    allows: AllowsHost,
) -> HttpReply:
    """Send the bytes of a request and read its reply; redirects are the caller's business.

    Raises: HttpFault. A host that is not allowed may resolve to loopback addresses only, and the address that was
    checked is the one that is dialled, so a name cannot change its meaning in between.
    """
    address = await _checked_address(host, port, allows)
    try:
        reader, writer = await asyncio.open_connection(
            address,
            port,
            ssl=ssl_context,
            server_hostname=host if ssl_context is not None else None,
            limit=MAX_HEAD_BYTES,
        )
    except OSError as error:
        raise HttpFault(f"Connecting to {host}:{port} failed: {error}") from error
    try:
        writer.write(request)
        await writer.drain()
        return await _read_reply(reader)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise HttpFault(f"The reply of {host}:{port} cannot be read: {error}") from error
    finally:
        writer.close()


async def _checked_address(host: str, port: int, allows: AllowsHost) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise HttpFault(f"The host {host} cannot be found: {error}") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not allows(host):
        for address in addresses:
            if not ipaddress.ip_address(address.split("%")[0]).is_loopback:
                raise HttpFault(f"{host} is not on this machine ({address}) and not among the allowed HTTP hosts")
    return addresses[0]


async def _read_reply(reader: asyncio.StreamReader) -> HttpReply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.rstrip("\r\n").split("\r\n")
    parts = status_line.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise ValueError(f"status line {status_line!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    status = int(parts[1])
    if 100 <= status < 200:
        return await _read_reply(reader)
    if status in (204, 304):
        return HttpReply(status, headers, b"")
    return HttpReply(status, headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower().endswith("chunked"):
        return await _read_chunks(reader)
    if "content-length" in headers:
        length = int(headers["content-length"])
        if length > MAX_BODY_BYTES:
            raise ValueError(f"{length} bytes are more than {MAX_BODY_BYTES}")
        return await reader.readexactly(length)
    body = bytearray()
    while chunk := await reader.read(65536):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"the body is larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if len(body) + size > MAX_BODY_BYTES:
            raise ValueError(f"the body is larger than {MAX_BODY_BYTES} bytes")
        if size == 0:
            while (await reader.readuntil(b"\r\n")) != b"\r\n":
                pass
            return bytes(body)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
