"""Packed history on a running backend: what a client lists is what the device sent."""

from collections.abc import Iterator
from typing import Any

import pytest

from streams.items import iso_time
from tests.support.product import Device, Product, eventually, now_ms, telemetry

LIST = """query L($from: AWSDateTime!, $limit: Int, $nextToken: String) {
  listTelemetry(deviceId: "fast", from: $from, limit: $limit, nextToken: $nextToken) {
    items { seq eventId readings } nextToken
  }
}"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    data_dir = tmp_path_factory.mktemp("packed") / "data"
    parameters = ("--param", "PackHistory=true", "--param", "IngestWindowSeconds=1")
    running = Product(data_dir, parameters).start()
    yield running
    assert running.terminate() == 0, running.log()
    assert "Traceback" not in running.log()


def listed(product: Product, **variables: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token = None
    while True:
        page = product.data(LIST, {**variables, "nextToken": token})["listTelemetry"]
        assert len(page["items"]) <= variables["limit"]
        found += page["items"]
        token = page["nextToken"]
        if token is None:
            return found


def test_a_client_lists_every_message_once_newest_first_in_pages_of_any_size(product: Product) -> None:
    device, first = Device(product, "fast"), iso_time(now_ms())
    for seq in range(1, 61):
        device.publish("devices/fast/telemetry", telemetry(now_ms(), seq, temperature=seq))
    device.close()
    state = '{ getDeviceState(deviceId: "fast") { seq } }'
    assert eventually(lambda: (product.data(state)["getDeviceState"] or {}).get("seq") == 60)

    for limit in (1, 7, 500):
        messages = listed(product, limit=limit, **{"from": first})
        assert [message["seq"] for message in messages] == list(range(60, 0, -1))
        assert messages[0]["readings"] == '{"temperature":60}'
    scan = product.boto3("dynamodb").scan(TableName="headwater-Table", FilterExpression="attribute_exists(pack)")
    assert scan["Count"] > 0
