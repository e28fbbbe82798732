"""A server that answers the requests of bench/store_http.py at once and knows nothing: what is left is the client.

Run: python -m bench.store_bare PORT, and give `bare=http://127.0.0.1:PORT` to bench/store_http.py. The answers are as
long as real ones, so a client's time with it is its own share of a call, the limit of what any server can reach.
"""

import asyncio
import sys
from typing import Any, cast

import orjson
import uvloop

from bench import store_http

_ITEM = store_http.item(1)
_RECORD = {"SequenceNumber": "4" * 56, "ShardId": "shardId-000000000000"}
ANSWERS: dict[str, Any] = {
    "GetItem": {"Item": _ITEM},
    "Query": {
        "Items": [_ITEM] * 10,
        "Count": 10,
        "ScannedCount": 10,
        "LastEvaluatedKey": store_http.key(1),
    },
    "BatchWriteItem": {"UnprocessedItems": {}},
    "PutRecords": {"FailedRecordCount": 0, "Records": [_RECORD] * 100},
}
_HEAD = (
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: " + "0" * 52 + "\r\n"
    "content-length: {length}\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n"
)


def answer(operation: str) -> bytes:
    body = orjson.dumps(ANSWERS.get(operation, {}))
    return _HEAD.format(length=len(body)).encode() + body


class Bare(asyncio.Protocol):
    """One request at a time: as soon as its body is whole, it is answered."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end]
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer = b""
        target = head.partition(b"X-Amz-Target: ")[2].partition(b"\r\n")[0].decode()
        self._transport.write(answer(target.rpartition(".")[2]))


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bare, "127.0.0.1", port)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
