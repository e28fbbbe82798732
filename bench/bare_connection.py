"""What the bare servers of the AppSync benchmarks have in common: the limit that a server without GraphQL sets."""

import asyncio
from typing import cast

# The key of this directory's clients is always the same, and so is the answer to it.
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\nSec-WebSocket-Protocol: graphql-ws\r\n\r\n"
)


class BareConnection(asyncio.Protocol):
    """A connection that knows the handshake of AppSync's WebSockets."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self.transport = cast(asyncio.Transport, transport)

    def shakes_hands(self, data: bytes) -> bool:
        """Answer a handshake; says whether `data` was one."""
        if not data.startswith(b"GET"):
            return False
        self.transport.write(_SWITCHING)
        return True
