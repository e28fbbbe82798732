"""kill -9 in the middle of a load: what was acknowledged is there, once."""

import itertools
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.product import Product, eventually, now_ms

ROUNDS = 10
DEVICES = ("kill-1", "kill-2", "kill-3")


class Load:
    """Publishes QoS 1 as fast as it may until told to stop; remembers what was acknowledged."""

    def __init__(self, product: Product, device_id: str, numbers: "itertools.count[int]") -> None:
        self.device_id = device_id
        self.sent: dict[int, tuple[int, int]] = {}
        self.acknowledged_ids: set[int] = set()
        self.on_some = threading.Event()
        self._numbers = numbers
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=device_id)
        self.client.on_publish = self._on_publish
        self.client.connect(product.ready["mqttHost"], product.ready["mqttPort"])
        self.client.loop_start()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            seq, ts = next(self._numbers), now_ms()
            body = f'{{"ts":{ts},"seq":{seq},"temperature":{seq % 90}}}'
            info = self.client.publish(f"devices/{self.device_id}/telemetry", body, qos=1)
            self.sent[info.mid] = (ts, seq)
            self._stopping.wait(0.002)

    def _on_publish(self, client: Any, userdata: Any, mid: int, *rest: Any) -> None:
        self.acknowledged_ids.add(mid)
        if len(self.acknowledged_ids) > 30:
            self.on_some.set()

    def stop(self) -> set[tuple[int, int]]:
        """Stop, and give what was acknowledged."""
        self._stopping.set()
        self._thread.join(5)
        self.client.loop_stop()
        return {self.sent[mid] for mid in self.acknowledged_ids}


def stored(product: Product, device_id: str) -> list[tuple[int, int]]:
    """(ts, seq) of every history item of a device, straight from the table."""
    found: list[tuple[int, int]] = []
    pages = product.boto3("dynamodb").get_paginator("scan").paginate(TableName="headwater-Table")
    for page in pages:
        for item in page["Items"]:
            if item["SK"]["S"].startswith("TS#") and item["PK"]["S"].startswith(f"DEV#{device_id}#"):
                _, ts, seq = item["SK"]["S"].split("#")[:3]
                found.append((int(ts), int(seq)))
    return found


@pytest.mark.timeout(300)
def test_every_acknowledged_message_survives_kill_9_exactly_once(tmp_path: Path) -> None:
    product = Product(tmp_path / "data").start()
    acknowledged: dict[str, set[tuple[int, int]]] = {device: set() for device in DEVICES}
    numbers = {device: itertools.count(1) for device in DEVICES}
    for round_number in range(ROUNDS):
        loads = [Load(product, device, numbers[device]) for device in DEVICES]
        poison = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="poison")
        poison.connect(product.ready["mqttHost"], product.ready["mqttPort"])
        poison.loop_start()
        poison.publish("devices/poison/telemetry", f"not json {round_number}", qos=1).wait_for_publish(10)
        for load in loads:
            assert load.on_some.wait(20), product.log()

        product.kill()

        poison.loop_stop()
        for load in loads:
            acknowledged[load.device_id] |= load.stop()
        product.start()

    for device, expected in acknowledged.items():
        history = eventually(lambda d=device, e=expected: (h := stored(product, d)) and e <= set(h) and h, 60)
        assert history, f"{device}: {len(expected - set(stored(product, device)))} acknowledged messages are missing"
        assert len(history) == len(set(history)), "a message is stored twice"
        newest = max(history)
        query = f'{{ getDeviceState(deviceId: "{device}") {{ eventId }} }}'
        state = {"eventId": f"{device}#{newest[0]}#{newest[1]}"}
        assert eventually(lambda q=query, s=state: product.data(q)["getDeviceState"] == s, 20)
    letters = eventually(lambda: len(found := product.messages("IngestDeadLetters")) >= ROUNDS and found, 20)
    assert letters, product.messages("IngestDeadLetters")
    assert {letter["reason"] for letter in letters}
    assert product.terminate() == 0
