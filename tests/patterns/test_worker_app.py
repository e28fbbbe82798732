"""An SQS worker with redrive, and asynchronous calls with destinations and a dead-letter queue."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.patterns.running_app import logged, received, running
from tests.support.product import Product, eventually


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running("worker_app", tmp_path_factory) as started:
        yield started


def send(product: Product, **job: Any) -> None:
    sqs = product.boto3("sqs")
    url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(job))


def invoke(product: Product, function: str, **event: Any) -> None:
    client = product.boto3("lambda")
    answer = client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event))
    assert answer["StatusCode"] == 202


def test_broken_job_is_tried_twice_and_kept_while_the_others_succeed(product: Product) -> None:
    send(product, name="good")
    send(product, name="bad", isBroken=True)

    (message,) = eventually(lambda: received(product, "dead-jobs"))

    assert json.loads(message["Body"])["name"] == "bad"
    tries = [(line["job"], line["receive"]) for line in logged(product, "work")]
    assert sorted(tries) == [("bad", "1"), ("bad", "2"), ("good", "1")]


def test_success_goes_to_its_destination_with_request_and_response(product: Product) -> None:
    invoke(product, "report", name="monday")

    (message,) = eventually(lambda: received(product, "results"))

    document = json.loads(message["Body"])
    assert document["requestPayload"] == {"name": "monday"}
    assert document["responsePayload"] == {"reported": "monday"}
    assert document["requestContext"]["condition"] == "Success"


def test_failure_goes_to_its_destination_with_the_error(product: Product) -> None:
    invoke(product, "report", name="tuesday", isBroken=True)

    (message,) = eventually(lambda: received(product, "failures"))

    document = json.loads(message["Body"])
    assert document["requestContext"]["condition"] == "RetriesExhausted"
    assert document["responsePayload"]["errorMessage"] == "broken report"


def test_dead_letter_is_the_event_with_the_error_beside_it(product: Product) -> None:
    invoke(product, "notify", name="wednesday", isBroken=True)

    (message,) = eventually(lambda: received(product, "undeliverable"))

    assert json.loads(message["Body"]) == {"name": "wednesday", "isBroken": True}
    assert message["MessageAttributes"]["ErrorMessage"]["StringValue"] == "broken report"
