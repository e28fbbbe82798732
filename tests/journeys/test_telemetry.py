"""A device publishes, clients subscribe and query."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gql import Client, gql
from gql.transport.appsync_auth import AppSyncApiKeyAuthentication
from gql.transport.appsync_websockets import AppSyncWebsocketsTransport

from tests.support.product import Device, Product, eventually, now_ms, telemetry
from tests.support.subscriber import Subscriber

STATE = "subscription($id: ID) { onDeviceState(deviceId: $id) { deviceId version eventId readings sampleCount } }"
HISTORY = """query($id: ID!, $from: AWSDateTime!, $limit: Int, $token: String) {
  listTelemetry(deviceId: $id, from: $from, limit: $limit, nextToken: $token) { items { eventId seq } nextToken }
}"""


def test_a_publish_reaches_its_subscriber_and_nobody_else(product: Product) -> None:
    mine = Subscriber(product, STATE, {"id": "reach-1"})
    others = Subscriber(product, STATE, {"id": "reach-2"})
    device = Device(product, "reach-1")
    ts = now_ms()

    device.publish("devices/reach-1/telemetry", telemetry(ts, 1, temperature=21.5, status="OK ÅΩ"))

    event = mine.next_where(deviceId="reach-1")
    assert event["eventId"] == f"reach-1#{ts}#1"
    assert '"temperature":21.5' in event["readings"]
    assert others.events.empty()
    for one in (mine, others, device):
        one.close()


async def test_the_gql_client_subscribes(product: Product) -> None:
    host = product.ready["graphqlUrl"].split("/")[2]
    transport = AppSyncWebsocketsTransport(
        url=product.ready["realtimeUrl"].removesuffix("/realtime"),
        auth=AppSyncApiKeyAuthentication(host=host, api_key=product.ready["apiKey"]),
    )
    device = Device(product, "gql-1")

    async with Client(transport=transport) as session:
        events = session.subscribe(gql('subscription { onDeviceState(deviceId: "gql-1") { deviceId seq } }'))
        waiting = anext(events)
        task = asyncio.ensure_future(waiting)
        for seq in range(1, 50):
            await asyncio.to_thread(device.publish, "devices/gql-1/telemetry", telemetry(now_ms(), seq, temperature=1))
            done, _ = await asyncio.wait((task,), timeout=0.3)
            if done:
                break
        event = await task
        await events.aclose()

    assert event["onDeviceState"]["deviceId"] == "gql-1"
    device.close()


def test_basic_ingest_takes_the_same_path(product: Product) -> None:
    subscriber = Subscriber(product, STATE, {"id": "basic-1"})
    device = Device(product, "basic-1")

    device.publish(
        f"$aws/rules/{product.telemetry_rule}/devices/basic-1/telemetry", telemetry(now_ms(), 1, humidity=40)
    )

    assert subscriber.next_where(deviceId="basic-1")["version"] >= 1
    subscriber.close()
    device.close()


def test_history_pages_newest_first_and_redelivery_changes_nothing(product: Product) -> None:
    device = Device(product, "history-1")
    ts = now_ms()
    since = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    messages = [telemetry(ts + n, n, temperature=n) for n in range(1, 6)]
    for message in (*messages, *messages):
        device.publish("devices/history-1/telemetry", message)

    def page(token: str | None = None) -> Any:
        variables = {"id": "history-1", "from": since, "limit": 2, "token": token}
        return product.data(HISTORY, variables)["listTelemetry"]

    def all_items() -> list[float]:
        seqs: list[float] = []
        token: str | None = None
        for _ in range(20):
            found = page(token)
            seqs += [item["seq"] for item in found["items"]]
            token = found["nextToken"]
            if token is None or len(seqs) >= 5:
                break
        return seqs

    assert eventually(lambda: (seqs := all_items()) and len(seqs) == 5 and seqs) == [5, 4, 3, 2, 1]
    device.close()


def test_late_telemetry_does_not_replace_newer_state(product: Product) -> None:
    device = Device(product, "late-1")
    ts = now_ms()
    query = 'query { getDeviceState(deviceId: "late-1") { eventId } }'
    device.publish("devices/late-1/telemetry", telemetry(ts, 2, temperature=2))
    assert eventually(lambda: product.data(query)["getDeviceState"])

    device.publish("devices/late-1/telemetry", telemetry(ts - 60_000, 1, temperature=1))
    device.publish("devices/late-1/telemetry", telemetry(ts + 1, 3, temperature=3))

    expected = {"eventId": f"late-1#{ts + 1}#3"}
    assert eventually(lambda: product.data(query)["getDeviceState"] == expected)
    device.close()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{not json", "MalformedJson"),
        (b"\xff\xfe", ""),
        ({"seq": 1, "temperature": 1}, ""),
        ({"ts": "yesterday", "seq": 1}, ""),
        ({"ts": 1_700_000_000_000, "seq": 1.5}, ""),
        ({"ts": 4_000_000_000_000, "seq": 1}, ""),
        ([1, 2, 3], ""),
    ],
)
def test_what_is_no_telemetry_ends_in_the_dead_letter_queue_with_its_reason(
    product: Product, payload: object, reason: str
) -> None:
    before = len(product.messages("IngestDeadLetters"))
    device = Device(product, "broken-1")

    device.publish("devices/broken-1/telemetry", payload)

    letters = eventually(lambda: (found := product.messages("IngestDeadLetters")) and len(found) > before and found)
    assert letters, "no dead letter came"
    assert all(letter.get("reason") for letter in letters)
    device.close()
