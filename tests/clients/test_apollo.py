"""Apollo with AppSync's links, unmodified, against this project's template and another one."""

import pytest

from tests.clients.node_client import NodeClient
from tests.clients.operations import configure, follow_device_states, publish_and_follow_telemetry
from tests.support.product import Product

SCRIPT = "apollo.mjs"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("mode", ["apiKey", "userPool", "iam"])
def test_it_follows_device_states(node: NodeClient, product: Product, mode: str, scheme: str) -> None:
    configure(node, product, mode, scheme)

    follow_device_states(node, product)


@pytest.mark.parametrize("mode", ["apiKey", "userPool", "iam", "lambda"])
def test_it_publishes_and_follows_on_another_template(node: NodeClient, telemetry_product: Product, mode: str) -> None:
    configure(node, telemetry_product, mode, "https")

    publish_and_follow_telemetry(node)


def test_a_wrong_api_key_is_an_error_the_client_understands(node: NodeClient, product: Product) -> None:
    ready = product.ready
    node.send("configure", url=ready["graphqlUrl"], region=ready["region"], mode="apiKey", apiKey="da2-nobody")
    node.expect("configured")

    node.send("execute", text="{ listDevices { items { deviceId } } }", variables={})

    assert node.expect("failed")["message"]
