"""Every parameter of a queue's event source mapping, from SendMessage to what the function is given."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.patterns.esm_driver import Esm, Failing, Overlap
from tests.support.product import eventually

REPORTS: dict[str, Any] = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}


def redrive(dead_letters: str, receives: int) -> str:
    return json.dumps({"deadLetterTargetArn": dead_letters, "maxReceiveCount": receives})


def report(*poison: str) -> Any:
    def behave(event: dict[str, Any], number: int) -> Any:
        failed = [record["messageId"] for record in event["Records"] if record["body"] in poison]
        return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}

    return behave


def test_batch_is_deleted_after_success(esm: Esm) -> None:
    queue = esm.queue()
    for text in "abc":
        queue.send(text)

    with esm.mapping(queue, BatchSize=10):
        calls = esm.wait_for_texts(queue, set("abc"))
        assert eventually(lambda: queue.counts() == (0, 0))

    record = calls[0].records[0]
    assert record["eventSource"] == "aws:sqs"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"


def test_batching_window_gathers_more_than_ten(esm: Esm) -> None:
    queue = esm.queue()

    with esm.mapping(queue, BatchSize=25, MaximumBatchingWindowInSeconds=3):
        for number in range(25):
            queue.send(str(number))
        calls = esm.wait_for_texts(queue, {str(number) for number in range(25)})

    assert max(len(call.records) for call in calls) > 10


def test_message_attributes_come_with_their_digest(esm: Esm) -> None:
    queue = esm.queue()
    title = {"Title": {"DataType": "String", "StringValue": "The Whistler"}}
    digest = esm.client("sqs").send_message(QueueUrl=queue.url, MessageBody="a", MessageAttributes=title)

    with esm.mapping(queue):
        (call,) = esm.wait_for_calls(queue, 1)

    record = call.records[0]
    assert record["messageAttributes"] == {
        "Title": {
            "stringValue": "The Whistler",
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": "String",
        }
    }
    assert record["md5OfMessageAttributes"] == digest["MD5OfMessageAttributes"]


@pytest.mark.parametrize(("window_s", "expected"), [(0, "absent"), (1, None)])
def test_digest_of_no_attributes_is_null_with_a_batching_window_only(esm: Esm, window_s: int, expected: Any) -> None:
    queue = esm.queue()
    queue.send("a")

    with esm.mapping(queue, MaximumBatchingWindowInSeconds=window_s):
        (call,) = esm.wait_for_calls(queue, 1)

    assert call.records[0].get("md5OfMessageAttributes", "absent") == expected


def test_reported_messages_come_again_and_end_in_the_dead_letter_queue(esm: Esm) -> None:
    dead = esm.queue()
    queue = esm.queue(VisibilityTimeout="2", RedrivePolicy=redrive(dead.arn, 2))
    queue.behave(report("bad"))

    with esm.mapping(queue, "esm-probe-timeout", BatchSize=10, **REPORTS):
        queue.send("good")
        queue.send("bad")
        (message,) = eventually(dead.receive, 20)

    assert message["Body"] == "bad"
    delivered = [text for call in queue.calls() for text in call.texts]
    assert (delivered.count("good"), delivered.count("bad")) == (1, 2)


def test_failed_batch_comes_again_whole(esm: Esm) -> None:
    queue = esm.queue(VisibilityTimeout="2")

    def behave(event: dict[str, Any], number: int) -> Any:
        if number == 1:
            raise Failing("once")

    queue.behave(behave)
    queue.send("a")

    with esm.mapping(queue, "esm-probe-timeout"):
        calls = esm.wait_for_calls(queue, 2)
        assert eventually(lambda: queue.counts() == (0, 0))

    assert [call.texts for call in calls] == [["a"], ["a"]]
    assert calls[1].records[0]["attributes"]["ApproximateReceiveCount"] == "2"


def test_timeout_leaves_the_message_in_the_queue(esm: Esm) -> None:
    queue = esm.queue(VisibilityTimeout="3")
    queue.behave(lambda event, number: time.sleep(4) if number == 1 else None)
    queue.send("slow")

    with esm.mapping(queue, "esm-probe-timeout"):
        calls = esm.wait_for_calls(queue, 2)

    assert [call.texts for call in calls] == [["slow"], ["slow"]]


MALFORMED: dict[str, Any] = {
    "empty identifier": {"batchItemFailures": [{"itemIdentifier": ""}]},
    "null identifier": {"batchItemFailures": [{"itemIdentifier": None}]},
    "wrong key": {"batchItemFailures": [{"foo": "bar"}]},
    "unknown identifier": {"batchItemFailures": [{"itemIdentifier": "not-a-message"}]},
}


@pytest.mark.parametrize("form", MALFORMED)
def test_malformed_response_leaves_the_whole_batch(esm: Esm, form: str) -> None:
    queue = esm.queue(VisibilityTimeout="2")
    queue.behave(lambda event, number: MALFORMED[form] if number == 1 else None)
    queue.send("a")

    with esm.mapping(queue, "esm-probe-timeout", **REPORTS):
        calls = esm.wait_for_calls(queue, 2)
        assert eventually(lambda: queue.counts() == (0, 0))

    assert [call.texts for call in calls] == [["a"], ["a"]]


@pytest.mark.parametrize("response", [None, {}, [], "", {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_empty_response_deletes_the_batch(esm: Esm, response: Any) -> None:
    queue = esm.queue(VisibilityTimeout="30")
    queue.behave(lambda event, number: response)
    queue.send("a")

    with esm.mapping(queue, **REPORTS):
        esm.wait_for_calls(queue, 1)
        assert eventually(lambda: queue.counts() == (0, 0))


def test_fifo_groups_stay_in_order(esm: Esm) -> None:
    queue = esm.queue(FifoQueue="true", ContentBasedDeduplication="true")
    for number in range(6):
        for group in "xy":
            queue.send(f"{group}{number}", MessageGroupId=group)

    with esm.mapping(queue, BatchSize=2):
        calls = esm.wait_for_texts(queue, {f"{group}{number}" for number in range(6) for group in "xy"})

    seen = [text for call in sorted(calls, key=lambda call: call.at_s) for text in call.texts]
    for group in "xy":
        assert [text for text in seen if text[0] == group] == [f"{group}{number}" for number in range(6)]
    assert calls[0].records[0]["attributes"]["MessageGroupId"] in ("x", "y")


def test_filter_deletes_what_it_refuses(esm: Esm) -> None:
    queue = esm.queue()
    pattern = json.dumps({"body": {"kind": ["yes"]}})

    with esm.mapping(queue, FilterCriteria={"Filters": [{"Pattern": pattern}]}):
        queue.send('{"kind":"no"}')
        queue.send("plain")
        queue.send('{"kind":"yes"}')
        calls = esm.wait_for_calls(queue, 1)
        assert eventually(lambda: queue.counts() == (0, 0))

    assert [call.texts for call in calls] == [['{"kind":"yes"}']]


def test_maximum_concurrency_bounds_running_batches(esm: Esm) -> None:
    queue = esm.queue()
    for number in range(6):
        queue.send(str(number))
    overlap = Overlap(0.4)
    queue.behave(overlap)

    with esm.mapping(queue, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2}):
        esm.wait_for_texts(queue, {str(number) for number in range(6)})

    assert overlap.most == 2


def test_disabled_mapping_leaves_the_messages(esm: Esm) -> None:
    queue = esm.queue()
    queue.send("a")

    with esm.mapping(queue, Enabled=False) as identifier:
        time.sleep(0.5)
        assert queue.counts() == (1, 0)
        esm.client("lambda").update_event_source_mapping(UUID=identifier, Enabled=True)
        calls = esm.wait_for_calls(queue, 1)

    assert [call.texts for call in calls] == [["a"]]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"BatchSize": 11}, "InvalidParameterValueException"),
        ({"ParallelizationFactor": 2}, "InvalidParameterValueException"),
        ({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::b"}}}, "InvalidParameterValueException"),
    ],
)
def test_create_refuses(esm: Esm, parameters: dict[str, Any], code: str) -> None:
    queue = esm.queue()

    with pytest.raises(ClientError) as refused, esm.mapping(queue, **parameters):
        pass

    assert refused.value.response["Error"]["Code"] == code
