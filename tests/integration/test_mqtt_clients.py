"""The clients people have (paho, aiomqtt, mosquitto_pub and mosquitto_sub) against the server, in 3.1.1 and 5."""

import asyncio
import queue
import shutil
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from headwater.mqtt.profile import STANDARD
from tests.integration.mqtt_serving import serving, until

VERSIONS = pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])
AIO_VERSIONS = pytest.mark.parametrize(
    "version", [aiomqtt.ProtocolVersion.V311, aiomqtt.ProtocolVersion.V5], ids=["3.1.1", "5"]
)


def paho_round_trip(port: int, version: int) -> tuple[bytes, int, Any, Any]:
    """Connect, subscribe, publish at QoS 1 to oneself: payload, QoS, connect reason, user properties."""
    got: queue.Queue[Any] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="paho", protocol=version)  # type: ignore[arg-type]
    client.on_connect = lambda client, data, flags, reason, properties: got.put(reason)
    client.on_subscribe = lambda client, data, mid, reasons, properties: got.put(reasons)
    client.on_message = lambda client, data, message: got.put(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        reason = got.get(timeout=10)
        client.subscribe("dt/+/telemetry", qos=1)
        got.get(timeout=10)
        properties = None
        if version == paho.MQTTv5:
            properties = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # untyped in paho
            properties.UserProperty = ("a", "1")
        info = client.publish("dt/d1/telemetry", b"hello", qos=1, properties=properties)
        info.wait_for_publish(10)
        message = got.get(timeout=10)
        client.disconnect()
    finally:
        client.loop_stop()
    return message.payload, message.qos, reason, getattr(message.properties, "UserProperty", None)


@VERSIONS
async def test_paho_publishes_to_itself(version: int) -> None:
    async with serving() as (_, port):
        payload, qos, reason, properties = await asyncio.to_thread(paho_round_trip, port, version)

    assert (payload, qos, reason.is_failure) == (b"hello", 1, False)
    assert properties == ([("a", "1")] if version == paho.MQTTv5 else None)


@AIO_VERSIONS
async def test_aiomqtt_subscribes_and_gets_what_another_client_publishes(version: aiomqtt.ProtocolVersion) -> None:
    async with serving() as (server, port):
        viewer = aiomqtt.Client("127.0.0.1", port, identifier="viewer", protocol=version)
        device = aiomqtt.Client("127.0.0.1", port, identifier="device", protocol=version)
        async with viewer, device:
            await viewer.subscribe("dt/#", qos=1)
            await device.publish("dt/d1", b"one", qos=1)
            await server.publish("dt/d2", b"two", qos=1)
            messages = viewer.messages
            received = [await anext(messages), await anext(messages)]

    assert [(str(m.topic), m.payload) for m in received] == [("dt/d1", b"one"), ("dt/d2", b"two")]


async def test_aiomqtt_publishes_at_qos2_on_the_standard_profile() -> None:
    async with serving(profile=STANDARD) as (_, port), aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("a", qos=2)
        await client.publish("a", b"1", qos=2)
        message = await anext(client.messages)

    assert message.qos == 2


async def test_a_will_of_a_client_that_vanishes_is_delivered() -> None:
    async with serving() as (server, port):
        will = aiomqtt.Will("gone/d", b"bye", 1)
        async with aiomqtt.Client("127.0.0.1", port, identifier="viewer") as viewer:
            await viewer.subscribe("gone/+", qos=1)
            async with aiomqtt.Client("127.0.0.1", port, identifier="d", will=will):
                session = server.broker.session("d")
                assert session is not None
                assert session.connection is not None
                session.connection.lost(server.clock())
                message = await anext(viewer.messages)

    assert message.payload == b"bye"


needs_mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto_pub") is None or shutil.which("mosquitto_sub") is None,
    reason="mosquitto_pub and mosquitto_sub are not installed",
)


@needs_mosquitto
@pytest.mark.parametrize("version", ["311", "5"])
async def test_mosquitto_pub_and_sub_exchange_a_message(version: str) -> None:
    async with serving() as (server, port):
        subscriber = await asyncio.create_subprocess_exec(
            *("mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-V", version, "-i", "sub", "-t", "a/+"),
            *("-q", "1", "-C", "1", "-W", "20", "-F", "%t %q %p"),
            stdout=asyncio.subprocess.PIPE,
        )
        await until(lambda: (s := server.broker.session("sub")) is not None and bool(s.subscriptions))
        publisher = await asyncio.create_subprocess_exec(
            *("mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-V", version, "-t", "a/b", "-q", "1", "-m", "hi")
        )
        assert await publisher.wait() == 0
        output, _ = await subscriber.communicate()

    assert output == b"a/b 1 hi\n"
