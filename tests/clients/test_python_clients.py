"""The Python clients of docs/clients.md over TLS, trusting the local CA only."""

import asyncio
import json
import ssl
from pathlib import Path

import boto3
import paho.mqtt.client as mqtt
import pytest
from gql import Client, gql
from gql.transport.appsync_auth import AppSyncApiKeyAuthentication
from gql.transport.appsync_websockets import AppSyncWebsocketsTransport
from paho.mqtt.enums import CallbackAPIVersion

from tests.clients.operations import operation
from tests.support.product import Product, eventually, now_ms, run_cli, telemetry


async def test_gql_subscribes_over_wss(product: Product) -> None:
    ready = product.ready
    host = ready["graphqlUrl"].split("/")[2]
    transport = AppSyncWebsocketsTransport(
        url=f"wss://{host}/graphql",
        auth=AppSyncApiKeyAuthentication(host=host, api_key=ready["apiKey"]),
        ssl=ssl.create_default_context(cafile=ready["caFile"]),
    )
    mutation = operation("ops", "mutation")

    async with Client(transport=transport) as session:
        events = session.subscribe(gql('subscription { onDeviceState(deviceId: "accept-gql") { version } }'))
        first = asyncio.ensure_future(anext(events))
        # The transport does not tell of start_ack, so some are published before the subscription stands.
        for n in range(50):
            await asyncio.to_thread(product.graphql_signed, mutation.text, mutation.variables("gql", n))
            done, _ = await asyncio.wait((first,), timeout=0.2)
            if done:
                break
        event = await first
        await events.aclose()

    assert event["onDeviceState"]["version"] >= 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_boto3_needs_an_endpoint_and_the_ca(scheme: str, product: Product) -> None:
    ready = product.ready
    client = boto3.client(
        "dynamodb",
        endpoint_url=ready["awsEndpointUrl"].replace("http:", f"{scheme}:"),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        verify=ready["caFile"],
    )

    assert client.list_tables()["TableNames"] == ["headwater-Table"]


def test_a_device_with_a_certificate_publishes_over_tls(product: Product, tmp_path: Path) -> None:
    folder = tmp_path / "pump-7"
    added = run_cli("device", "add", "pump-7", "--out", str(folder), "--data-dir", str(product.data_dir))
    assert added.returncode == 0, added.stderr
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="pump-7")
    client.tls_set(
        ca_certs=str(folder / "ca.pem"), certfile=str(folder / "device.pem"), keyfile=str(folder / "device.key")
    )
    client.connect(product.ready["mqttHost"], product.ready["mqttTlsPort"])
    client.loop_start()

    client.publish("devices/pump-7/telemetry", json.dumps(telemetry(now_ms(), 1, power=3)), qos=1).wait_for_publish(10)

    query = '{ getDeviceState(deviceId: "pump-7") { seq } }'
    assert eventually(lambda: product.data(query)["getDeviceState"]) == {"seq": 1}
    client.disconnect()
    client.loop_stop()
