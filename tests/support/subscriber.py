"""An AppSync subscriber on the `websockets` client, for tests that look at frames."""

import base64
import contextlib
import json
import queue
import threading
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.product import PATIENCE, Product


class Subscriber:
    """One subscription on one connection; `headers` are the credentials, the API key unless others are given."""

    def __init__(
        self,
        product: Product,
        query: str,
        variables: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        host = product.ready["graphqlUrl"].split("/")[2]
        credentials = {"host": host, **(headers or {"x-api-key": product.ready["apiKey"]})}
        encoded = base64.urlsafe_b64encode(json.dumps(credentials).encode()).decode().rstrip("=")
        offered: Any = ["graphql-ws", f"header-{encoded}"]
        self._open = contextlib.ExitStack()
        self.socket = self._open.enter_context(connect(product.ready["realtimeUrl"], subprotocols=offered))
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.seen: list[dict[str, Any]] = []
        self._send({"type": "connection_init"})
        self._expect("connection_ack")
        data = json.dumps({"query": query, "variables": variables or {}})
        self._send(
            {
                "id": "1",
                "type": "start",
                "payload": {"data": data, "extensions": {"authorization": credentials}},
            }
        )
        self._expect("start_ack")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _send(self, frame: dict[str, Any]) -> None:
        self.socket.send(json.dumps(frame))

    def _expect(self, kind: str) -> dict[str, Any]:
        while True:
            frame: dict[str, Any] = json.loads(self.socket.recv(timeout=15 * PATIENCE))
            if frame["type"] == kind:
                return frame
            assert frame["type"] == "ka", frame

    def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            for text in self.socket:
                frame = json.loads(text)
                if frame["type"] != "ka":
                    self.events.put(frame)

    def next(self, timeout_s: float = 15.0) -> Any:
        """The `data` of the next event. Raises: queue.Empty when none comes."""
        frame = self.events.get(timeout=timeout_s * PATIENCE)
        self.seen.append(frame)
        assert frame["type"] == "data", frame
        assert "errors" not in frame["payload"], frame
        return frame["payload"]["data"]

    def next_where(self, timeout_s: float = 15.0, **fields: Any) -> Any:
        """The next event whose root field has these values."""
        while True:
            (event,) = self.next(timeout_s).values()
            if all(event.get(name) == value for name, value in fields.items()):
                return event

    def close(self) -> None:
        self._open.close()
        self._reader.join(5)
