"""The AWS IoT device SDK for Python against the product: both of its MQTT clients, shadows, and coming back."""

import concurrent.futures
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from awscrt import auth, io, mqtt, mqtt5
from awsiot import iotshadow, mqtt5_client_builder, mqtt_connection_builder

from tests.support.product import Product, eventually, run_cli

ARN = "arn:aws:iot:us-east-1:123456789012"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{ARN}:client/${{iot:ClientId}}"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": [f"{ARN}:topic/sdk/*", f"{ARN}:topic/$aws/things/${{iot:ClientId}}/shadow/*"],
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": [f"{ARN}:topicfilter/sdk/*", f"{ARN}:topicfilter/$aws/things/${{iot:ClientId}}/shadow/*"],
        },
    ],
}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("sdk")
    running = Product(folder / "data").start()
    # The ports are free ones; a client that comes back needs them again after a restart.
    running.arguments = (
        *("--port", str(running.ready["awsEndpointUrl"].rsplit(":", 1)[1])),
        *("--mqtt-port", str(running.ready["mqttPort"]), "--mqtt-tls-port", str(running.ready["mqttTlsPort"])),
    )
    running.boto3("iot").create_policy(policyName="sdk", policyDocument=json.dumps(POLICY))
    yield running
    assert running.terminate() == 0, running.log()


@pytest.fixture(scope="module")
def device(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the thing `sdk-1`, whose certificate may do what the policy `sdk` says."""
    folder = tmp_path_factory.mktemp("device") / "sdk-1"
    arguments = ("device", "add", "sdk-1", "--out", str(folder), "--policy", "sdk")
    done = run_cli(*arguments, "--data-dir", str(product.data_dir))
    assert done.returncode == 0, done.stderr
    return folder


def connection(product: Product, device: Path, **options: Any) -> mqtt.Connection:
    return mqtt_connection_builder.mtls_from_path(
        cert_filepath=str(device / "device.pem"),
        pri_key_filepath=str(device / "device.key"),
        ca_filepath=product.ready["caFile"],
        endpoint="localhost",
        port=product.ready["mqttTlsPort"],
        client_id="sdk-1",
        client_bootstrap=io.ClientBootstrap.get_or_create_static_default(),
        **options,
    )


def test_publishes_reach_subscribers_and_others_topics_are_refused(product: Product, device: Path) -> None:
    client = connection(product, device, clean_session=True)
    client.connect().result(10)
    received: concurrent.futures.Future[tuple[str, bytes]] = concurrent.futures.Future()

    granted, _ = client.subscribe(
        "sdk/+/a", mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: received.set_result((topic, payload))
    )
    refused, _ = client.subscribe("other/#", mqtt.QoS.AT_LEAST_ONCE)

    assert granted.result(10)["qos"] is mqtt.QoS.AT_LEAST_ONCE
    with pytest.raises(mqtt.SubscribeError):
        refused.result(10)
    client.publish("sdk/x/a", b"hello", mqtt.QoS.AT_LEAST_ONCE)[0].result(10)
    assert received.result(10) == ("sdk/x/a", b"hello")
    client.disconnect().result(10)


@pytest.mark.parametrize("shadow", [None, "settings"], ids=["classic", "named"])
def test_the_shadow_client_updates_reads_and_hears_of_differences(
    product: Product, device: Path, shadow: str | None
) -> None:
    client = connection(product, device, clean_session=True)
    client.connect().result(10)
    made = iotshadow.IotShadowClient(client)
    answers: dict[str, list[Any]] = {"updated": [], "delta": [], "got": [], "rejected": []}
    qos = mqtt.QoS.AT_LEAST_ONCE
    if shadow is None:
        state = iotshadow.UpdateShadowSubscriptionRequest(thing_name="sdk-1")
        made.subscribe_to_update_shadow_accepted(state, qos, answers["updated"].append)[0].result(10)
        made.subscribe_to_update_shadow_rejected(state, qos, answers["rejected"].append)[0].result(10)
        changes = iotshadow.ShadowDeltaUpdatedSubscriptionRequest(thing_name="sdk-1")
        made.subscribe_to_shadow_delta_updated_events(changes, qos, answers["delta"].append)[0].result(10)
        reads = iotshadow.GetShadowSubscriptionRequest(thing_name="sdk-1")
        made.subscribe_to_get_shadow_accepted(reads, qos, answers["got"].append)[0].result(10)
    else:
        named = {"thing_name": "sdk-1", "shadow_name": shadow}
        state = iotshadow.UpdateNamedShadowSubscriptionRequest(**named)
        made.subscribe_to_update_named_shadow_accepted(state, qos, answers["updated"].append)[0].result(10)
        made.subscribe_to_update_named_shadow_rejected(state, qos, answers["rejected"].append)[0].result(10)
        changes = iotshadow.NamedShadowDeltaUpdatedSubscriptionRequest(**named)
        made.subscribe_to_named_shadow_delta_updated_events(changes, qos, answers["delta"].append)[0].result(10)
        reads = iotshadow.GetNamedShadowSubscriptionRequest(**named)
        made.subscribe_to_get_named_shadow_accepted(reads, qos, answers["got"].append)[0].result(10)

    def update(**members: Any) -> None:
        if shadow is None:
            request = iotshadow.UpdateShadowRequest(thing_name="sdk-1", **members)
            made.publish_update_shadow(request, qos).result(10)
        else:
            request = iotshadow.UpdateNamedShadowRequest(thing_name="sdk-1", shadow_name=shadow, **members)
            made.publish_update_named_shadow(request, qos).result(10)

    update(state=iotshadow.ShadowState(reported={"color": "red"}, desired={"color": "blue"}), client_token="one")
    assert eventually(lambda: answers["delta"])
    update(state=iotshadow.ShadowState(reported={"color": "blue"}), version=99)
    assert eventually(lambda: answers["rejected"])
    if shadow is None:
        made.publish_get_shadow(iotshadow.GetShadowRequest(thing_name="sdk-1"), qos).result(10)
    else:
        request = iotshadow.GetNamedShadowRequest(thing_name="sdk-1", shadow_name=shadow)
        made.publish_get_named_shadow(request, qos).result(10)
    assert eventually(lambda: answers["got"])

    (updated,), (delta,), (got,), (rejected,) = answers.values()
    assert (updated.version, updated.client_token, updated.state.desired) == (1, "one", {"color": "blue"})
    assert (delta.version, delta.state) == (1, {"color": "blue"})
    assert (got.version, got.state.delta, got.state.reported) == (1, {"color": "blue"}, {"color": "red"})
    assert (rejected.code, rejected.message) == (409, "Version conflict")
    client.disconnect().result(10)


def test_a_signed_websocket_connects_and_publishes(product: Product) -> None:
    keys = auth.AwsCredentialsProvider.new_static(product.ready["accessKeyId"], product.ready["secretAccessKey"])
    address = product.ready["awsEndpointUrl"].rsplit(":", 1)[1]
    client = mqtt_connection_builder.websockets_with_default_aws_signing(
        region=product.ready["region"],
        credentials_provider=keys,
        ca_filepath=product.ready["caFile"],
        endpoint="localhost",
        port=int(address),
        client_id="sdk-ws",
        client_bootstrap=io.ClientBootstrap.get_or_create_static_default(),
    )

    client.connect().result(10)

    client.publish("any/topic", b"x", mqtt.QoS.AT_LEAST_ONCE)[0].result(10)
    client.disconnect().result(10)


def test_a_persistent_session_comes_back_after_kill_9_with_what_it_missed(product: Product, device: Path) -> None:
    resumed = threading.Event()
    received: list[bytes] = []

    def on_resumed(connection: mqtt.Connection, return_code: Any, session_present: bool, **_: Any) -> None:
        if session_present:
            resumed.set()

    client = connection(
        product,
        device,
        clean_session=False,
        reconnect_min_timeout_secs=1,
        reconnect_max_timeout_secs=1,
        on_connection_resumed=on_resumed,
    )
    client.on_message(lambda topic, payload, **_: received.append(payload))
    client.connect().result(10)
    client.subscribe("sdk/kept", mqtt.QoS.AT_LEAST_ONCE)[0].result(10)

    product.kill()
    product.start()
    product.boto3("iot-data").publish(topic="sdk/kept", qos=1, payload=b"while away")

    assert resumed.wait(20), product.log()
    assert eventually(lambda: b"while away" in received)
    client.disconnect().result(10)


def test_the_mqtt_5_client_learns_limits_and_reason_codes(product: Product, device: Path) -> None:
    connected: concurrent.futures.Future[Any] = concurrent.futures.Future()
    client = mqtt5_client_builder.mtls_from_path(
        cert_filepath=str(device / "device.pem"),
        pri_key_filepath=str(device / "device.key"),
        ca_filepath=product.ready["caFile"],
        endpoint="localhost",
        port=product.ready["mqttTlsPort"],
        client_id="sdk-1",
        on_lifecycle_connection_success=connected.set_result,
    )
    client.start()

    settings = connected.result(10).negotiated_settings
    allowed = mqtt5.PublishPacket(topic="sdk/five", qos=mqtt5.QoS.AT_LEAST_ONCE, payload=b"x")
    denied = mqtt5.PublishPacket(topic="other/five", qos=mqtt5.QoS.AT_LEAST_ONCE, payload=b"x")

    assert settings.maximum_qos is mqtt5.QoS.AT_LEAST_ONCE
    assert settings.maximum_packet_size_to_server == 149_504
    assert client.publish(allowed).result(10).puback.reason_code is mqtt5.PubackReasonCode.SUCCESS
    assert client.publish(denied).result(10).puback.reason_code is mqtt5.PubackReasonCode.NOT_AUTHORIZED
    client.stop()
