"""One of the small SAM applications beside this file, as a running instance."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import Product


@contextmanager
def running(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """`tests/patterns/<name>/template.yaml`, started and ended."""
    product = Product(tmp_path_factory.mktemp(name) / "data", template=Path(__file__).parent / name / "template.yaml")
    try:
        yield product.start()
        assert product.terminate() == 0
    finally:
        product.kill()


def logged(product: Product, function: str) -> list[Any]:
    """The JSON lines that a function has printed."""
    url = f"{product.ready['awsEndpointUrl']}/_headwater/logs?function={function}"
    headers = {"authorization": f"Bearer {product.ready['secretAccessKey']}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        events = json.loads(answer.read())["events"]
    return [json.loads(event["message"]) for event in events if event["message"].startswith("{")]


def received(product: Product, queue: str) -> list[dict[str, Any]]:
    """The messages of a queue, removed from it."""
    sqs = product.boto3("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    for message in found.get("Messages", []):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return list(found.get("Messages", []))
