"""Topic rules as devices meet them: actions, error actions, functions that ask other services, loops, explanations."""

import base64
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.product import ROOT, Device, Product, eventually

TEMPLATE = Path(__file__).parent / "rule_stack" / "template.yaml"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(tmp_path_factory.mktemp("rules") / "data", template=TEMPLATE).start()
    yield running
    assert running.terminate() == 0, running.log()


def take(stack: Product, queue: str) -> list[dict[str, Any]]:
    """The bodies waiting in a queue, which is empty afterwards."""
    sqs = stack.boto3("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in received:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in received]


def failures(stack: Product) -> list[dict[str, Any]]:
    """What error actions put into the queue, and take it out."""
    return take(stack, "failed")


def records(stack: Product) -> list[dict[str, Any]]:
    kinesis = stack.boto3("kinesis")
    shard = kinesis.list_shards(StreamName="readings")["Shards"][0]["ShardId"]
    iterator = kinesis.get_shard_iterator(StreamName="readings", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    found: list[dict[str, Any]] = kinesis.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    return found


def metrics(stack: Product) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {stack.ready['secretAccessKey']}"}
    request = urllib.request.Request(f"{stack.ready['awsEndpointUrl']}/_headwater/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        document: dict[str, Any] = json.loads(answer.read())
    return document


def test_what_fires_is_in_the_stream_when_it_is_acknowledged(stack: Product) -> None:
    devices = [Device(stack, f"many-{number}") for number in range(20)]

    for temperature in (49, 50, 51, 52):
        for number, device in enumerate(devices):
            device.publish(f"dt/many-{number}/reading", {"temperature": temperature})
    found = records(stack)
    for device in devices:
        device.close()

    assert len(found) == 40
    assert {record["PartitionKey"] for record in found} == {f"many-{number}" for number in range(20)}
    of_one = [json.loads(record["Data"]) for record in found if record["PartitionKey"] == "many-3"]
    assert of_one == [{"temperature": 51, "device": "many-3"}, {"temperature": 52, "device": "many-3"}]


def test_an_sns_action_reaches_the_subscribers_of_its_topic(stack: Product) -> None:
    device = Device(stack, "teller-1")

    device.publish("tell/x", b'{"default":"to all","sqs":"to queues","n":1}')
    told = take(stack, "told")
    device.publish("tell/x", b'{"n":2}')
    device.close()

    assert all(one["Type"] == "Notification" and one["TopicArn"].endswith(":tidings") for one in told)
    assert [one["Message"] for one in told] == ['{"default":"to all","sqs":"to queues","n":1}', "to queues"]
    assert [one["Message"] for one in take(stack, "told")] == ['{"n":2}']
    (failed,) = take(stack, "failed")
    assert failed["failures"] == [
        {
            "failedAction": "SnsAction",
            "failedResource": "arn:aws:sns:us-east-1:123456789012:tidings",
            "errorMessage": failed["failures"][0]["errorMessage"],
        }
    ]
    assert "No default entry" in failed["failures"][0]["errorMessage"]


def test_a_failed_action_is_told_to_the_error_action(stack: Product) -> None:
    device = Device(stack, "denied-1")

    device.publish("denied/x", b'{"a":1}')
    device.close()

    (document,) = failures(stack)
    assert document["ruleName"] == "denied"
    assert document["topic"] == "denied/x"
    assert document["clientId"] == "denied-1"
    assert base64.b64decode(document["base64OriginalPayload"]) == b'{"a":1}'
    (failure,) = document["failures"]
    assert (failure["failedAction"], failure["failedResource"]) == ("KinesisAction", "readings")
    assert "not authorized to perform: kinesis:PutRecord" in failure["errorMessage"]


def test_a_rule_asks_a_function_a_table_and_a_shadow(stack: Product) -> None:
    stack.boto3("dynamodb").put_item(
        TableName="limits", Item={"id": {"S": "t1"}, "limit": {"M": {"max": {"N": "7.5"}, "of": {"SS": ["a"]}}}}
    )
    shadow = json.dumps({"state": {"reported": {"color": "red"}}})
    stack.boto3("iot-data").update_thing_shadow(thingName="t1", payload=shadow)
    device = Device(stack, "asker")
    device.subscribe("answers/#")

    for n in range(3):
        device.publish("ask/t1", {"n": n})
    eventually(lambda: len(device.received) == 3)
    device.close()

    assert device.received == [
        ("answers/t1", {"n": n, "doubled": 2 * n, "limit": {"max": 7.5, "of": ["a"]}, "color": "red"}) for n in range(3)
    ]
    counts = metrics(stack)["rules"]["not_allowed_to_ask"]
    assert counts == {"fired": 0, "failed": 3}
    assert "not authorized to perform: dynamodb:GetItem" in stack.log()


def test_rules_that_republish_to_each_other_come_to_an_end(stack: Product) -> None:
    device = Device(stack, "looper")
    device.subscribe("loop/#")

    device.publish("loop/x", {"n": 0})
    found = eventually(lambda: failures(stack))
    device.close()

    assert [failure["failures"][0]["errorMessage"].partition(":")[0] for failure in found] == ["RepublishLoopException"]
    assert [payload["n"] for _, payload in device.received] == list(range(11))


def test_mqtt_5_properties_reach_rules_and_republished_messages(stack: Product) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="five", protocol=mqtt.MQTTv5)
    received: list[mqtt.MQTTMessage] = []
    has_received, subscribed = threading.Event(), threading.Event()

    def keep(client: Any, userdata: Any, message: mqtt.MQTTMessage) -> None:
        received.append(message)
        has_received.set()

    client.on_message = keep
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(stack.ready["mqttHost"], stack.ready["mqttPort"])
    client.loop_start()
    client.subscribe("head/out", qos=1)
    assert subscribed.wait(10)
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has no types here
    properties.ContentType = "text/plain"
    properties.UserProperty = [("k", "v1"), ("k", "v2")]

    client.publish("head/in", b"{}", qos=1, properties=properties).wait_for_publish(10)
    assert has_received.wait(10)
    client.disconnect()
    client.loop_stop()

    assert json.loads(received[0].payload) == {"type": "text/plain", "k": ["v1", "v2"], "c": "five"}
    given: Any = received[0].properties
    assert (given.ContentType, given.UserProperty) == ("application/json", [("device", "five")])
    found = metrics(stack)["cloudwatch"]
    assert json.loads(found["logs"][0]["message"]) == {"type": "text/plain", "k": ["v1", "v2"], "c": "five"}
    seen = found["metrics"][0]
    assert (seen["namespace"], seen["name"], seen["unit"], seen["value"]) == ("Fleet", "seen", "Count", 1.0)


def explain(*arguments: str, payload: bytes) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "headwater", "explain", "rule", *arguments]
    return subprocess.run(command, input=payload, cwd=ROOT, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("has_instance", [True, False])
def test_explain_shows_every_clause_with_its_value(stack: Product, has_instance: bool) -> None:
    where = ("--data-dir", str(stack.data_dir)) if has_instance else ("--template", str(TEMPLATE))

    not_fired = explain("to_stream", "--topic", "dt/d1/reading", *where, payload=b'{"temperature":20}')
    fired = explain("ToStream", "--topic", "dt/d1/reading", *where, payload=b'{"temperature":60}')
    elsewhere = explain("to_stream", "--topic", "dt/d1/other", *where, payload=b"{}")
    unknown = explain("nothing", "--topic", "x", *where, payload=b"{}")

    assert b"to_stream does not fire: WHERE is false, not true" in not_fired.stdout
    assert [line.split() for line in not_fired.stdout.decode().splitlines()][-1] == ["temperature", "20"]
    assert b'payload  {"temperature":60,"device":"d1"}' in fired.stdout
    assert b"action   Kinesis: StreamName readings, PartitionKey d1" in fired.stdout
    assert b"level 3 of the topic is 'other', the filter wants 'reading'" in elsewhere.stdout
    assert (unknown.returncode, b"no rule 'nothing'" in unknown.stderr) == (2, True)
