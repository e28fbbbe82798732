"""The operations the clients run: one journey on this project's API, one on a template that is not this project's."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.node_client import NodeClient
from tests.support.product import Product

HERE = Path(__file__).parent
EVENTS = 3


@dataclass(frozen=True)
class Operation:
    """A document with its variables; `${run}` and `${n}` in them are filled in."""

    text: str
    template: Any

    def variables(self, run: str, n: int = 0) -> dict[str, Any]:
        filled: dict[str, Any] = _filled(self.template, run, n)
        return filled


def _filled(value: Any, run: str, n: int) -> Any:
    if isinstance(value, str):
        return n if value == "${n}" else value.replace("${run}", run).replace("${n}", str(n))
    if isinstance(value, list):
        return [_filled(child, run, n) for child in value]
    if isinstance(value, dict):
        return {name: _filled(child, run, n) for name, child in value.items()}
    return value


def operation(folder: str, name: str) -> Operation:
    path = HERE / folder / f"{name}.graphql"
    return Operation(path.read_text(), json.loads(path.with_suffix(".variables.json").read_text()))


def configure(node: NodeClient, product: Product, mode: str, scheme: str) -> None:
    """Point a client at a product as its user would."""
    ready = product.ready
    url = ready["graphqlUrl"].replace("http:", f"{scheme}:")
    token = {"lambda": "custom-authorized", "userPool": product.token() if mode == "userPool" else ""}.get(mode)
    credentials = {"accessKeyId": ready["accessKeyId"], "secretAccessKey": ready["secretAccessKey"]}
    arguments = {"region": ready["region"], "apiKey": ready["apiKey"], "token": token, "credentials": credentials}
    node.send("configure", url=url, mode=mode, **arguments)
    node.expect("configured")


def without_typenames(value: Any) -> Any:
    """What was asked for: Apollo adds `__typename` to every selection."""
    if isinstance(value, dict):
        return {name: without_typenames(child) for name, child in value.items() if name != "__typename"}
    return value


def follow_device_states(node: NodeClient, product: Product) -> None:
    """Subscribe, see what a service publishes exactly once and in order, read a state."""
    run = uuid.uuid4().hex[:8]
    subscription, mutation = operation("ops", "subscription"), operation("ops", "mutation")
    query, expected = operation("ops", "query"), json.loads((HERE / "ops" / "expect.json").read_text())
    node.subscribe(subscription.text, subscription.variables(run))

    for n in range(EVENTS):
        published = product.graphql_signed(mutation.text, mutation.variables(run, n))
        assert "errors" not in published, published
    events = [node.expect("data")["payload"]["data"]["onDeviceState"] for _ in range(EVENTS)]

    for n, event in enumerate(events):
        wanted = _filled(expected["event"]["data"]["onDeviceState"], run, n)
        assert without_typenames(event) == wanted
    assert node.is_quiet()
    node.send("unsubscribe")
    answer = node.execute(query.text, query.variables(run))
    assert answer["data"]["getDeviceState"]["deviceId"] == "device-001"


def publish_and_follow_telemetry(node: NodeClient) -> None:
    """The client itself subscribes, publishes and reads back."""
    run = uuid.uuid4().hex[:8]
    subscription, mutation, query = (operation("telemetry_api/ops", name) for name in ("on", "publish", "get"))
    node.subscribe(subscription.text, subscription.variables(run))

    # The answer and the event of a mutation come over two connections, in either order.
    for n in range(EVENTS):
        node.send("execute", text=mutation.text, variables=mutation.variables(run, n))
        seen = sorted((node.next() for _ in range(2)), key=lambda found: found["event"])
        sent = mutation.variables(run, n)["input"]
        assert [found["event"] for found in seen] == ["data", "result"]
        assert without_typenames(seen[0]["payload"]["data"]["onTelemetry"]) == sent
        assert without_typenames(seen[1]["payload"]["data"]["publishTelemetry"]) == sent

    assert node.is_quiet()
    node.send("unsubscribe")
    answer = node.execute(query.text, query.variables(run, EVENTS - 1))
    assert without_typenames(answer["data"]["getTelemetry"]) == mutation.variables(run, EVENTS - 1)["input"]
