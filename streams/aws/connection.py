"""Call AWS over kept-alive connections: a fifth of botocore's CPU per call, which is what ingestion spends most on."""

import json
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from streams.aws.calls import AwsError
from streams.aws.signing import Credentials, signed_headers

_TARGETS = {
    "dynamodb": ("DynamoDB_20120810", "application/x-amz-json-1.0"),
    "sqs": ("AmazonSQS", "application/x-amz-json-1.0"),
}
_RETRIED = frozenset(
    {"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "InternalServerError"}
    | {"TransactionInProgressException", "ServiceUnavailable", "KmsThrottled", "RequestThrottled"}
)
_ATTEMPTS = 4
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_FIRST_PAUSE_S = 0.05
# Calls that are under way at once: from here on the other side is what is waited for.
_LANES = 8


class KeptAliveConnection:
    """One connection to one endpoint, opened on first use and again when the other side closed it.

    It is no pool and no queue: it works on one request at a time, and order depends on that.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"endpoint {url!r}, expected http(s)://host[:port]/path")
        self.host = parts.netloc
        self.path = parts.path or "/"
        self._is_tls = parts.scheme == "https"
        self._name = parts.hostname
        self._port = parts.port
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._reader: BinaryIO | None = None

    def post(
        self, headers: Mapping[str, str], body: bytes, *, target: str = "", method: str = "POST"
    ) -> tuple[int, bytes]:
        """Send one request and read its answer; tried once more when a kept connection turns out to be closed.

        `target` is path and query, the endpoint's own path when empty.

        Raises: OSError when the endpoint cannot be reached, HTTPException when it does not speak HTTP/1.1.
        """
        was_open = self._socket is not None
        try:
            self.send(headers, body, target=target, method=method)
            return self.receive()
        except (OSError, HTTPException):
            if not was_open:
                raise
        self.send(headers, body, target=target, method=method)
        return self.receive()

    def send(self, headers: Mapping[str, str], body: bytes, *, target: str = "", method: str = "POST") -> None:
        """Send one request, whose answer `receive` has to read before the next; closed when that fails.

        Raises: OSError.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {target or self.path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
        try:
            if self._socket is None:
                self._open()
            assert self._socket is not None
            self._socket.sendall(head.encode("latin-1") + body)
        except (OSError, HTTPException):
            self.close()
            raise

    def receive(self) -> tuple[int, bytes]:
        """Read status and body of the answer to what was sent; closed when that fails.

        Raises: OSError, HTTPException.
        """
        assert self._reader is not None
        try:
            status, length, is_chunked, stays_open = _read_head(self._reader)
            body = _read_chunks(self._reader) if is_chunked else _read_exactly(self._reader, length)
        except (OSError, HTTPException):
            self.close()
            raise
        if not stays_open:
            self.close()
        return status, body

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._reader = None

    def _open(self) -> None:
        # http.client makes the connection (proxy rules, TLS and its checks); reading with it costs twice the rest of a
        # call, because it parses each answer's headers as an e-mail.
        opener: HTTPConnection
        if self._is_tls:
            opener = HTTPSConnection(
                self._name, self._port, timeout=self._timeout_s, context=ssl.create_default_context()
            )
        else:
            opener = HTTPConnection(self._name, self._port, timeout=self._timeout_s)
        opener.connect()
        assert opener.sock is not None
        self._socket = opener.sock
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")


def _read_head(reader: BinaryIO) -> tuple[int, int, bool, bool]:
    status_line = reader.readline(8192)
    parts = status_line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise HTTPException(f"status line {status_line[:80]!r}, expected HTTP/1.1")
    length, is_chunked, stays_open = 0, False, parts[0] != b"HTTP/1.0"
    for _ in range(200):
        line = reader.readline(65536)
        if line in (b"\r\n", b"\n"):
            return int(parts[1]), length, is_chunked, stays_open
        name, _, value = line.partition(b":")
        name = name.lower()
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            is_chunked = b"chunked" in value.lower()
        elif name == b"connection" and value.strip().lower() == b"close":
            stays_open = False
    raise HTTPException("more than 200 header lines")


def _read_exactly(reader: BinaryIO, length: int) -> bytes:
    body = reader.read(length)
    if len(body) != length:
        raise HTTPException(f"the body ended after {len(body)} of {length} bytes")
    return body


def _read_chunks(reader: BinaryIO) -> bytes:
    parts = []
    while True:
        size = int(reader.readline(1024).split(b";")[0], 16)
        if size == 0:
            break
        parts.append(_read_exactly(reader, size))
        reader.readline(8)
    while reader.readline(65536) not in (b"\r\n", b"\n", b""):
        pass
    return b"".join(parts)


class AwsService:
    """The API of one AWS service, signed with the function's role, throttled calls repeated."""

    def __init__(
        self,
        service: str,
        *,
        region: str,
        endpoint: str,
        credentials: Callable[[], Credentials],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._service = service
        self._region = region
        self._connection = KeptAliveConnection(endpoint)
        self._endpoint = endpoint
        self._lanes = [self._connection]
        self._credentials = credentials
        self._clock = clock
        self._sleep = sleep
        self._uniform = uniform

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do one operation of a service with a JSON protocol; request and answer are as its API reference writes them.

        Raises: AwsError when the service refuses, after 4 attempts when it is throttled or unwell; OSError when it
        cannot be reached.
        """
        prefix, content_type = _TARGETS[self._service]
        headers = {"content-type": content_type, "x-amz-target": f"{prefix}.{operation}"}
        return self._request("POST", headers, _ENCODER.encode(request).encode(), self._connection.path, "")

    def call_each(self, operation: str, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | Exception]:
        """Do one operation for each request, up to 8 at a time and in no order; answers or errors in that of requests.

        What is throttled or loses its connection is done once more, alone and as `call` does it, so a request must
        bear being done twice. The errors are those that `call` raises.
        """
        outcomes: list[dict[str, Any] | Exception] = []
        while len(self._lanes) < min(_LANES, len(requests)):
            self._lanes.append(KeptAliveConnection(self._endpoint))
        for start in range(0, len(requests), _LANES):
            outcomes += self._wave(operation, requests[start : start + _LANES])
        return outcomes

    def _wave(self, operation: str, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | Exception]:
        prefix, content_type = _TARGETS[self._service]
        headers = {"content-type": content_type, "x-amz-target": f"{prefix}.{operation}"}
        sent: list[KeptAliveConnection | None] = []
        for lane, request in zip(self._lanes, requests, strict=False):
            body = _ENCODER.encode(request).encode()
            try:
                lane.send(self._signed(headers, body, lane.path, ""), body)
                sent.append(lane)
            except (OSError, HTTPException):
                sent.append(None)
        answers = [None if lane is None else _received(lane) for lane in sent]
        return [
            answer if answer is not None else self._called(operation, request)
            for answer, request in zip(answers, requests, strict=True)
        ]

    def _called(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any] | Exception:
        try:
            return self.call(operation, request)
        except (AwsError, OSError, HTTPException) as error:
            return error

    def post(self, path: str, body: bytes, *, query: str = "") -> dict[str, Any]:
        """POST to a service with a REST protocol; `path` is percent-encoded. Raises as `call` does."""
        return self._request("POST", {"content-type": "application/json"}, body, path, query)

    def get(self, path: str, *, query: str = "") -> dict[str, Any]:
        """GET from a service with a REST protocol; `query` is percent-encoded too. Raises as `call` does."""
        return self._request("GET", {}, b"", path, query)

    def delete(self, path: str, *, query: str = "") -> dict[str, Any]:
        """DELETE a resource of a service with a REST protocol, as `get`; a lost answer may end in the service's 404."""
        return self._request("DELETE", {}, b"", path, query)

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()

    def _signed(
        self, headers: Mapping[str, str], body: bytes, path: str, query: str, method: str = "POST"
    ) -> dict[str, str]:
        return signed_headers(
            self._credentials(),
            region=self._region,
            service=self._service,
            host=self._connection.host,
            path=path,
            headers=headers,
            body=body,
            now_s=self._clock(),
            query=query,
            method=method,
        )

    def _request(self, method: str, headers: Mapping[str, str], body: bytes, path: str, query: str) -> dict[str, Any]:
        target = f"{path}?{query}" if query else path
        attempt = 1
        while True:
            signed = self._signed(headers, body, path, query, method)
            status, answer = self._connection.post(signed, body, target=target, method=method)
            if 200 <= status < 300:
                return _document(answer)
            error = _error(status, answer)
            if attempt == _ATTEMPTS or not _is_passing(error):
                raise error
            self._sleep(self._uniform(0, _FIRST_PAUSE_S * 2**attempt))
            attempt += 1


def _received(lane: KeptAliveConnection) -> dict[str, Any] | AwsError | None:
    """The answer or the refusal that came; None for what may go better another time."""
    try:
        status, answer = lane.receive()
    except (OSError, HTTPException):
        return None
    if 200 <= status < 300:
        return _document(answer)
    error = _error(status, answer)
    return None if _is_passing(error) else error


def _is_passing(error: AwsError) -> bool:
    # REST services name the error in a header: of a throttled call the status is what is known.
    return error.code in _RETRIED or error.status == 429 or error.status >= 500


def _document(answer: bytes) -> dict[str, Any]:
    try:
        document = json.loads(answer) if answer else {}
    except ValueError:
        document = {}
    return document if isinstance(document, dict) else {}


def _error(status: int, answer: bytes) -> AwsError:
    document = _document(answer)
    code = str(document.get("__type", "")).rpartition("#")[2] or f"Http{status}"
    message = str(document.get("message", document.get("Message", answer[:200].decode("utf-8", "replace"))))
    return AwsError(code, message, status=status, document=document)
