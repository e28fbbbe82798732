"""docs/examples/js: the React table shows the fleet as it is, by Amplify and by Apollo, over a network that was cut."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.clients.node_client import NodeClient
from tests.support.link import Link
from tests.support.product import Device, Product, eventually, now_ms, telemetry

SCRIPT = "example_page.mjs"
REGISTER = "mutation($id: ID!) { registerDevice(input: {deviceId: $id}) { device { deviceId } } }"
REMOVE = "mutation($id: ID!) { removeDevice(deviceId: $id) { deviceId } }"


class Network:
    """A link that runs on a loop of its own, for a test that waits."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop) -> None:
        self._link, self._loop = link, loop
        self.url = link.url

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._link.cut)

    def restore(self) -> None:
        self._loop.call_soon_threadsafe(self._link.restore)


@contextmanager
def network(product: Product) -> Iterator[Network]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    link = Link(product.ready["graphqlUrl"])
    run(link.__aenter__())
    try:
        yield Network(link, loop)
    finally:
        run(link.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class Page:
    """What the page shows: readings by device."""

    def __init__(self, node: NodeClient) -> None:
        self._node = node
        self._rows: dict[str, Any] = {}

    def until(self, wanted: dict[str, Any]) -> None:
        """Wait until devices are shown with these readings; None is a device that is not shown."""
        while any(self._rows.get(device_id) != readings for device_id, readings in wanted.items()):
            found = self._node.next()
            assert found["event"] in ("shown", "configured"), found
            if found["event"] == "shown":
                self._rows = {row[0]: json.loads(row[2]) for row in found["rows"]}

    def leave(self) -> None:
        """Take the table off the page."""
        self._node.send("execute")
        while self._node.next()["event"] != "result":
            pass


@pytest.mark.parametrize("library", ["amplify", "apollo"])
def test_the_table_shows_what_is_and_what_was_while_it_was_cut_off(
    node: NodeClient, product: Product, library: str
) -> None:
    admin = {"authorization": product.token("admin")}
    kept, gone = f"page-{library}", f"page-{library}-gone"
    for device_id in (kept, gone):
        product.data(REGISTER, {"id": device_id}, admin)
    device = Device(product, kept)

    def send(seq: int) -> None:
        device.publish(f"devices/{kept}/telemetry", telemetry(now_ms(), seq, temperature=seq))
        read = f'{{ getDeviceState(deviceId: "{kept}") {{ seq }} }}'
        assert eventually(lambda: (product.data(read)["getDeviceState"] or {}).get("seq") == seq)

    page = Page(node)
    send(1)
    with network(product) as between:
        ready = product.ready
        node.send("configure", library=library, url=between.url, region=ready["region"], apiKey=ready["apiKey"])
        page.until({kept: {"temperature": 1}, gone: {}})
        send(2)
        page.until({kept: {"temperature": 2}, gone: {}})

        between.cut()
        send(3)
        product.data(REMOVE, {"id": gone}, admin)
        between.restore()

        page.until({kept: {"temperature": 3}, gone: None})
    page.leave()
    device.close()
