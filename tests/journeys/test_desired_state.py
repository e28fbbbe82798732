"""What a device shall be like, from the API to the device and back: over MQTT with its certificate and policy."""

import json
from pathlib import Path
from typing import Any

from tests.journeys.test_devices import REGISTER, Client, Key, connected
from tests.support.product import Product, eventually

FIELDS = "desired reported delta version"
READ = f"query($id: ID!) {{ getDeviceShadow(deviceId: $id) {{ {FIELDS} }} }}"
SET = f"""mutation($id: ID!, $desired: AWSJSON!, $version: Int) {{
  setDesiredState(deviceId: $id, desired: $desired, version: $version) {{ {FIELDS} }} }}"""
REGISTER_ONLY = "mutation($input: RegisterDeviceInput!) { registerDevice(input: $input) { device { deviceId } } }"


def shadow(product: Product, device_id: str) -> Any:
    return product.data(READ, {"id": device_id})["getDeviceShadow"]


def register(product: Product, device_id: str, folder: Path) -> Client:
    """A registered device with its certificate, connected."""
    key, admin = Key(device_id), {"authorization": product.token("admin")}
    wanted = {"deviceId": device_id, "certificateSigningRequest": key.signing_request}
    registered = product.data(REGISTER, {"input": wanted}, admin)["registerDevice"]
    return connected(product, device_id, key.write(folder / device_id, registered["certificatePem"]))


def test_a_device_hears_what_it_shall_be_like_and_says_when_it_is(product: Product, tmp_path: Path) -> None:
    operator = {"authorization": product.token("operator")}
    device = register(product, "wish-1", tmp_path)
    topic = "$aws/things/wish-1/shadow"
    assert device.subscribe(f"{topic}/update/delta")
    assert shadow(product, "wish-1") is None

    asked = {"id": "wish-1", "desired": json.dumps({"interval": 5, "lamp": "on"})}
    wanted = product.data(SET, asked, operator)["setDesiredState"]

    assert json.loads(wanted["delta"]) == {"interval": 5, "lamp": "on"}
    assert eventually(lambda: device.messages), product.log()
    heard_on, payload = device.messages[0]
    delta = json.loads(payload)
    assert (heard_on, delta["state"], delta["version"]) == (f"{topic}/update/delta", {"interval": 5, "lamp": "on"}, 1)

    assert device.publish(f"{topic}/update", {"state": {"reported": delta["state"]}})
    assert eventually(lambda: shadow(product, "wish-1")["delta"] is None)
    assert json.loads(shadow(product, "wish-1")["reported"]) == {"interval": 5, "lamp": "on"}
    device.close()


def test_a_device_that_was_away_asks_for_it(product: Product, tmp_path: Path) -> None:
    operator = {"authorization": product.token("operator")}
    device = register(product, "wish-2", tmp_path)
    device.close()
    product.data(SET, {"id": "wish-2", "desired": '{"interval": 9}'}, operator)

    again = connected(product, "wish-2", tmp_path / "wish-2")
    assert again.subscribe("$aws/things/wish-2/shadow/get/+")
    assert again.publish("$aws/things/wish-2/shadow/get", b"")

    assert eventually(lambda: again.messages), product.log()
    assert json.loads(again.messages[0][1])["state"]["delta"] == {"interval": 9}
    again.close()


def test_a_device_may_use_its_own_classic_shadow_alone(product: Product, tmp_path: Path) -> None:
    operator = {"authorization": product.token("operator")}
    register(product, "wish-3", tmp_path).close()
    register(product, "wish-4", tmp_path).close()
    product.data(SET, {"id": "wish-4", "desired": '{"a": 1}'}, operator)

    for topic in (
        "$aws/things/wish-3/shadow/update",
        "$aws/things/wish-4/shadow/delete",
        "$aws/things/wish-4/shadow/name/config/update",
    ):
        device = connected(product, "wish-4", tmp_path / "wish-4")
        assert not device.subscribe("$aws/things/wish-3/shadow/update/delta")
        assert not device.publish(topic, {"state": {"reported": {"forged": True}}})
        assert device.ended.wait(10)

    assert shadow(product, "wish-3") is None
    assert json.loads(shadow(product, "wish-4")["desired"]) == {"a": 1}
    assert product.boto3("iot-data").list_named_shadows_for_thing(thingName="wish-4")["results"] == []


def test_a_conflict_and_what_is_too_large_are_told_by_their_type(product: Product, tmp_path: Path) -> None:
    operator = {"authorization": product.token("operator")}
    register(product, "wish-5", tmp_path).close()
    product.data(SET, {"id": "wish-5", "desired": '{"a": 1}'}, operator)
    half = json.dumps({"x": "y" * 5000})

    def refused(desired: str, version: int | None = None) -> Any:
        asked = {"id": "wish-5", "desired": desired, "version": version}
        (error,) = product.graphql(SET, asked, operator)["errors"]
        return error["errorType"], error["message"]

    assert refused('{"a": 2}', 7) == ("Conflict", "the shadow is not at version 7: read it and decide again")
    product.boto3("iot-data").update_thing_shadow(
        thingName="wish-5", payload=json.dumps({"state": {"reported": json.loads(half)}})
    )
    assert refused(half) == ("BadRequest", "desired and reported together exceed the 8192 bytes of a shadow")
    assert refused('{"a": [null]}')[0] == "BadRequest"
    assert refused("[]")[0] == "BadRequest"
    assert json.loads(shadow(product, "wish-5")["desired"]) == {"a": 1}


def retained(product: Product, prefix: str) -> list[str]:
    """The topics that hold a retained message."""
    pages = product.boto3("iot-data").get_paginator("list_retained_messages").paginate()
    return [row["topic"] for page in pages for row in page["retainedTopics"] if row["topic"].startswith(prefix)]


def keep_state(product: Product, device_id: str) -> None:
    """A classic shadow, a named one and two retained messages of a device."""
    data = product.boto3("iot-data")
    for name in ({}, {"shadowName": "config"}):
        data.update_thing_shadow(thingName=device_id, payload='{"state": {"desired": {"a": 1}}}', **name)
    for rest in ("note", "commands/old"):
        data.publish(topic=f"devices/{device_id}/{rest}", qos=1, retain=True, payload=b"kept")


def has_shadow(product: Product, device_id: str) -> bool:
    data = product.boto3("iot-data")
    if data.list_named_shadows_for_thing(thingName=device_id)["results"]:
        return True
    try:
        data.get_thing_shadow(thingName=device_id)
    except data.exceptions.ResourceNotFoundException:
        return False
    return True


def test_a_removed_device_leaves_no_shadow_and_no_retained_message(product: Product, tmp_path: Path) -> None:
    admin = {"authorization": product.token("admin")}
    for name in ("gone-1", "gone-10"):
        register(product, name, tmp_path).close()
        keep_state(product, name)

    product.data('mutation { removeDevice(deviceId: "gone-1") { deviceId } }', headers=admin)

    assert not has_shadow(product, "gone-1")
    assert eventually(lambda: not retained(product, "devices/gone-1/")), product.log()
    assert shadow(product, "gone-1") is None
    assert sorted(retained(product, "devices/gone-10/")) == ["devices/gone-10/commands/old", "devices/gone-10/note"]
    assert json.loads(shadow(product, "gone-10")["desired"]) == {"a": 1}
    (error,) = product.graphql(SET, {"id": "gone-1", "desired": "{}"}, admin)["errors"]
    assert error["errorType"] == "NotFound"


def test_an_erased_tenant_leaves_none_either_and_its_report_counts_them(product: Product) -> None:
    tenant = product.tenant("leaving")
    admin = {"authorization": product.token("admin", tenant=tenant)}
    others = {"authorization": product.token("admin", tenant=product.tenant("staying"))}
    for name, owner in (("leave-1", admin), ("leave-2", admin), ("stay-1", others)):
        product.data(REGISTER_ONLY, {"input": {"deviceId": name}}, owner)
        keep_state(product, name)

    erase = "mutation($t: ID!, $c: String!) { eraseTenant(tenantId: $t, confirm: $c) { status } }"
    product.data(erase, {"t": tenant, "c": tenant}, admin)

    query = "query($t: ID!) { getTenantErasure(tenantId: $t) { status erased } }"

    def report() -> Any:
        answer = product.data(query, {"t": tenant}, admin)["getTenantErasure"]
        return answer if answer["status"] == "DONE" else None

    done = eventually(report, 60)
    assert done, product.log()
    erased = json.loads(done["erased"])
    assert (erased["shadows"], erased["retainedMessages"]) == (4, 4)
    assert [has_shadow(product, name) for name in ("leave-1", "leave-2", "stay-1")] == [False, False, True]
    assert retained(product, "devices/leave-") == []
    assert len(retained(product, "devices/stay-1/")) == 2
