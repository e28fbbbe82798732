"""An IoT rule `temperature > 80` with a Lambda action."""

import time
from collections.abc import Iterator

import pytest

from tests.patterns.running_app import logged, running
from tests.support.product import Device, Product, eventually


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running("alarm_app", tmp_path_factory) as started:
        yield started


def test_function_gets_the_select_result_of_what_is_too_hot(product: Product) -> None:
    device = Device(product, "boiler")
    device.publish("devices/boiler/telemetry", {"temperature": 80})
    device.publish("devices/boiler/telemetry", {"temperature": 81.5})
    device.publish("devices/boiler/other", {"temperature": 99})

    assert eventually(lambda: logged(product, "alarm"))
    time.sleep(0.3)
    device.close()
    assert logged(product, "alarm") == [
        {"device": "boiler", "temperature": 81.5, "keys": ["device", "temperature", "topic"]}
    ]


def test_sam_grants_the_rule_its_permission(product: Product) -> None:
    assert "which AWS would refuse" not in product.log()
