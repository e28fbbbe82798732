"""Alert rules, commands, presence, registration: what people do with devices."""

import json

from tests.support.product import Device, Product, eventually, now_ms, telemetry
from tests.support.subscriber import Subscriber

RULE = """mutation($input: AlertRuleInput!) { putAlertRule(input: $input) { ruleId threshold } }"""
ALERT = """subscription($id: ID) { onAlert(deviceId: $id) { alertId deviceId status severity value acknowledgedBy } }"""
SEND = """mutation($input: SendCommandInput!) { sendCommand(input: $input) { commandId status } }"""
COMMAND = """subscription($id: ID) { onCommand(deviceId: $id) { commandId status reply } }"""


def test_a_temperature_above_80_raises_an_alert_that_is_acknowledged(product: Product) -> None:
    operator = {"authorization": product.token("operator")}
    rule = {
        "name": "hot",
        "reading": "temperature",
        "comparison": "ABOVE",
        "threshold": 80,
        "severity": "CRITICAL",
        "deviceId": "hot-1",
    }
    product.data(RULE, {"input": rule}, operator)
    subscriber = Subscriber(product, ALERT, {"id": "hot-1"})
    device = Device(product, "hot-1")

    def alerts() -> object:
        device.publish("devices/hot-1/telemetry", telemetry(now_ms(), now_ms() % 10**9, temperature=20))
        device.publish("devices/hot-1/telemetry", telemetry(now_ms(), now_ms() % 10**9 + 1, temperature=81))
        return eventually(lambda: not subscriber.events.empty(), 2)

    assert eventually(alerts, 40), product.log()
    opened = subscriber.next_where(status="OPEN")
    assert opened["severity"] == "CRITICAL"
    assert opened["value"] == 81

    acknowledge = "mutation($d: ID!, $a: ID!) { acknowledgeAlert(deviceId: $d, alertId: $a) { status acknowledgedBy } }"
    answer = product.data(acknowledge, {"d": "hot-1", "a": opened["alertId"]}, operator)["acknowledgeAlert"]
    assert answer["status"] == "ACKNOWLEDGED"
    assert subscriber.next_where(status="ACKNOWLEDGED", alertId=opened["alertId"])
    subscriber.close()
    device.close()


def test_a_command_reaches_the_device_and_its_reply_closes_it(product: Product) -> None:
    operator = {"authorization": product.token("operator")}
    device = Device(product, "cmd-1")
    device.publish("devices/cmd-1/telemetry", telemetry(now_ms(), 1, temperature=20))
    assert eventually(lambda: product.data('{ getDevice(deviceId: "cmd-1") { deviceId } }')["getDevice"])
    device.subscribe("devices/cmd-1/commands/+")
    subscriber = Subscriber(product, COMMAND, {"id": "cmd-1"})

    command = {"deviceId": "cmd-1", "name": "reboot", "parameters": json.dumps({"delay": 1}), "timeoutSeconds": 60}
    sent = product.data(SEND, {"input": command}, operator)["sendCommand"]

    assert sent["status"] == "SENT"
    assert device.on_received.wait(10)
    topic, _ = device.received[0]
    assert topic == f"devices/cmd-1/commands/{sent['commandId']}"
    device.publish(f"{topic}/reply", {"status": "SUCCEEDED", "result": {"ok": True}})
    closed = subscriber.next_where(commandId=sent["commandId"], status="SUCCEEDED")
    assert json.loads(closed["reply"]) == {"ok": True}
    subscriber.close()
    device.close()


def test_a_command_without_a_reply_times_out(product: Product) -> None:
    operator = {"authorization": product.token("operator")}
    device = Device(product, "mute-1")
    device.publish("devices/mute-1/telemetry", telemetry(now_ms(), 1, temperature=20))
    assert eventually(lambda: product.data('{ getDevice(deviceId: "mute-1") { deviceId } }')["getDevice"])
    subscriber = Subscriber(product, COMMAND, {"id": "mute-1"})

    command = {"deviceId": "mute-1", "name": "reboot", "timeoutSeconds": 5}
    sent = product.data(SEND, {"input": command}, operator)["sendCommand"]

    assert subscriber.next_where(commandId=sent["commandId"], status="TIMED_OUT", timeout_s=30)
    subscriber.close()
    device.close()


def test_presence_follows_the_connection(product: Product) -> None:
    first = Device(product, "presence-1")
    first.publish("devices/presence-1/telemetry", telemetry(now_ms(), 1, temperature=20))
    assert eventually(lambda: product.data('{ getDevice(deviceId: "presence-1") { deviceId } }')["getDevice"])
    subscriber = Subscriber(
        product, 'subscription { onPresence(deviceId: "presence-1") { deviceId isConnected disconnectReason } }'
    )

    first.close()

    assert subscriber.next_where(isConnected=False)
    second = Device(product, "presence-1")
    assert subscriber.next_where(isConnected=True)
    second.close()
    subscriber.close()


def test_a_device_is_registered_listed_and_removed(product: Product) -> None:
    tenant = product.tenant("acme")
    admin = {"authorization": product.token("admin", tenant=tenant)}
    register = (
        "mutation($input: RegisterDeviceInput!) { registerDevice(input: $input) { device { deviceId tenantId } } }"
    )
    wanted = {"deviceId": "reg-1", "siteId": "north", "name": "Pump"}

    registered = product.data(register, {"input": wanted}, admin)["registerDevice"]["device"]

    assert registered == {"deviceId": "reg-1", "tenantId": tenant}
    again = product.graphql(register, {"input": wanted}, admin)
    assert again["errors"][0]["errorType"] == "DeviceExists"
    listed = product.data("{ listDevices { items { deviceId } } }", headers=admin)["listDevices"]["items"]
    assert listed == [{"deviceId": "reg-1"}]
    assert product.data('{ getDevice(deviceId: "reg-1") { deviceId } }')["getDevice"] is None, "another tenant's"
    removed = product.data('mutation { removeDevice(deviceId: "reg-1") { deviceId } }', headers=admin)
    assert removed["removeDevice"]["deviceId"] == "reg-1"
    assert product.data("{ listDevices { items { deviceId } } }", headers=admin)["listDevices"]["items"] == []


def test_a_viewer_may_not_change_anything(product: Product) -> None:
    document = product.graphql('mutation { removeDevice(deviceId: "x") { deviceId } }')

    assert document["data"] is None or document["data"]["removeDevice"] is None
    assert document["errors"][0]["errorType"] == "Unauthorized"


def test_publish_mutations_are_for_services_only(product: Product) -> None:
    mutation = """mutation { publishDeviceRemoval(input: {
      deviceId: "x", tenantId: "demo", removedAt: "2024-01-01T00:00:00Z", version: 1}) { deviceId } }"""

    refused = product.graphql(mutation)
    signed = product.graphql_signed(mutation)

    assert refused["errors"][0]["errorType"] == "Unauthorized"
    assert signed["data"]["publishDeviceRemoval"] == {"deviceId": "x"}
