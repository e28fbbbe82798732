"""Device shadows as devices and apps meet them: over MQTT and boto3, with rules, and after kill -9."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.product import Device, Product, eventually

TEMPLATE = Path(__file__).parent / "rule_stack" / "template.yaml"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(tmp_path_factory.mktemp("shadows") / "data", template=TEMPLATE).start()
    yield running
    assert running.terminate() == 0, running.log()


def read(answer: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer["payload"].read())
    return document


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize("suffix", ["", "/name/config"])
def test_a_device_and_an_app_agree_on_a_state(stack: Product, suffix: str) -> None:
    device = Device(stack, "lamp-1")
    topic = f"$aws/things/lamp-1/shadow{suffix}"
    for wanted in ("get/+", "update/+", "delete/+"):
        device.subscribe(f"{topic}/{wanted}")

    device.publish(f"{topic}/get", {"clientToken": "t0"})
    device.publish(f"{topic}/update", {"state": {"desired": {"color": "red"}}, "clientToken": "t1"})
    device.publish(f"{topic}/update", {"state": {"reported": {"color": "red"}}, "version": 1})
    device.publish(f"{topic}/update", {"state": {"reported": {"color": "blue"}}, "version": 1, "clientToken": "t3"})
    device.publish(f"{topic}/get", b"")
    device.publish(f"{topic}/delete", b"")
    eventually(lambda: len(device.received) == 9)
    device.close()

    answers: list[tuple[str, Any]] = [
        (received.removeprefix(f"{topic}/"), payload) for received, payload in device.received
    ]
    assert [verb for verb, _ in answers] == [
        "get/rejected",
        "update/accepted",
        "update/delta",
        "update/documents",
        "update/accepted",
        "update/documents",
        "update/rejected",
        "get/accepted",
        "delete/accepted",
    ]
    by_verb = dict(answers)
    assert answers[0][1]["code"] == 404
    assert answers[0][1]["clientToken"] == "t0"
    assert by_verb["update/delta"]["state"] == {"color": "red"}
    assert by_verb["update/rejected"] == {
        "code": 409,
        "message": "Version conflict",
        "timestamp": by_verb["update/rejected"]["timestamp"],
        "clientToken": "t3",
    }
    assert by_verb["get/accepted"]["state"] == {"desired": {"color": "red"}, "reported": {"color": "red"}}
    assert by_verb["get/accepted"]["version"] == 2
    assert by_verb["delete/accepted"]["version"] == 2


def test_the_iot_data_api_has_every_shadow_call(stack: Product) -> None:
    data = stack.boto3("iot-data")
    update = json.dumps({"state": {"desired": {"on": True}}}).encode()

    for name in ("a", "b", "c"):
        data.update_thing_shadow(thingName="lamp-2", shadowName=name, payload=update)
    first = data.list_named_shadows_for_thing(thingName="lamp-2", pageSize=2)
    rest = data.list_named_shadows_for_thing(thingName="lamp-2", pageSize=2, nextToken=first["nextToken"])
    deleted = read(data.delete_thing_shadow(thingName="lamp-2", shadowName="b"))

    assert (first["results"], rest["results"]) == (["a", "b"], ["c"])
    assert "nextToken" not in rest
    assert deleted["version"] == 1
    assert data.list_named_shadows_for_thing(thingName="lamp-2")["results"] == ["a", "c"]
    assert data.list_named_shadows_for_thing(thingName="nobody")["results"] == []
    assert read(data.get_thing_shadow(thingName="lamp-2", shadowName="a"))["state"]["delta"] == {"on": True}


def test_refusals_are_the_exceptions_of_the_api(stack: Product) -> None:
    data = stack.boto3("iot-data")
    large = json.dumps({"state": {"desired": {"x": "y" * 9000}}})
    stale = json.dumps({"state": {"desired": {"x": 1}}, "version": 7})

    assert code_of(data.get_thing_shadow, thingName="nobody") == "ResourceNotFoundException"
    assert code_of(data.delete_thing_shadow, thingName="nobody") == "ResourceNotFoundException"
    assert code_of(data.update_thing_shadow, thingName="l", payload=b"{") == "InvalidRequestException"
    assert code_of(data.update_thing_shadow, thingName="l", payload=stale) == "ConflictException"
    assert code_of(data.update_thing_shadow, thingName="l", payload=large) == "RequestEntityTooLargeException"
    assert code_of(data.update_thing_shadow, thingName="l", payload=b"\xff") == "UnsupportedDocumentEncodingException"


def test_a_rule_sees_what_the_service_publishes_for_an_api_call(stack: Product) -> None:
    device = Device(stack, "watcher")
    device.subscribe("colors/#")
    device.subscribe("$aws/things/lamp-3/shadow/update/accepted")

    payload = json.dumps({"state": {"reported": {"color": "green"}}})
    stack.boto3("iot-data").update_thing_shadow(thingName="lamp-3", payload=payload)
    eventually(lambda: len(device.received) == 2)
    device.close()

    assert ("colors/lamp-3", {"color": "green", "thing": "lamp-3"}) in device.received


def test_an_accepted_update_survives_kill_9(tmp_path: Path) -> None:
    product = Product(tmp_path / "data", template=TEMPLATE).start()
    device = Device(product, "lamp-4")
    for number in range(50):
        device.publish("$aws/things/lamp-4/shadow/update", {"state": {"reported": {"n": number}}})
    device.close()

    product.kill()
    product.start()
    found = read(product.boto3("iot-data").get_thing_shadow(thingName="lamp-4"))
    exit_code = product.terminate()

    assert (found["state"], found["version"], exit_code) == ({"reported": {"n": 49}}, 50, 0)
