"""kill -9 under load of streams, queues and objects: what was answered is there, what was deleted stays away."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.product import Product, eventually

ROUNDS = 3
ANSWERS = 30
TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Stream:
    Type: AWS::Kinesis::Stream
    Properties: {Name: readings, ShardCount: 2}
  Queue:
    Type: AWS::SQS::Queue
    Properties: {QueueName: jobs, VisibilityTimeout: 5}
"""


class Load(threading.Thread):
    """Calls `write` with numbers until the server is gone; `answered` has what came back before."""

    def __init__(self, write: Callable[[int], set[str]], numbers: "itertools.count[int]") -> None:
        super().__init__(daemon=True)
        self.answered: list[set[str]] = []
        self.has_some = threading.Event()
        self._write = write
        self._numbers = numbers
        self.start()

    def run(self) -> None:
        while True:
            try:
                self.answered.append(self._write(next(self._numbers)))
            except (BotoCoreError, ClientError):
                return
            if len(self.answered) > ANSWERS:
                self.has_some.set()


def record_writer(product: Product) -> Callable[[int], set[str]]:
    kinesis = product.boto3("kinesis")

    def write(number: int) -> set[str]:
        names = {f"{number}-{place}" for place in range(5)}
        records = [{"Data": name.encode(), "PartitionKey": name} for name in names]
        assert kinesis.put_records(StreamName="readings", Records=records)["FailedRecordCount"] == 0
        return names

    return write


def message_writer(product: Product) -> Callable[[int], set[str]]:
    sqs = product.boto3("sqs")
    url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]

    def write(number: int) -> set[str]:
        names = {f"{number}-{place}" for place in range(5)}
        entries = [{"Id": name, "MessageBody": name} for name in names]
        assert len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == 5
        return names

    return write


def message_deleter(product: Product, begun: set[str]) -> Callable[[int], set[str]]:
    """Deletes messages; those of `begun` may be gone without an answer."""
    sqs = product.boto3("sqs")
    url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]

    def write(number: int) -> set[str]:
        messages = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", [])
        for message in messages:
            begun.add(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return {message["Body"] for message in messages}

    return write


def object_writer(product: Product) -> Callable[[int], set[str]]:
    s3 = product.boto3("s3")

    def write(number: int) -> set[str]:
        s3.put_object(Bucket="archive", Key=f"{number}.txt", Body=f"{number} ".encode() * 1000)
        return {str(number)}

    return write


def records(product: Product) -> list[str]:
    kinesis = product.boto3("kinesis")
    found: list[str] = []
    for shard in kinesis.list_shards(StreamName="readings")["Shards"]:
        start = {"StreamName": "readings", "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = kinesis.get_shard_iterator(**start)["ShardIterator"]
        while page := kinesis.get_records(ShardIterator=iterator):
            found += [record["Data"].decode() for record in page["Records"]]
            if not page["Records"]:
                break
            iterator = page["NextShardIterator"]
    return found


def messages(product: Product) -> list[str]:
    """All that is in the queue, and what was hidden by a receive that the end cut off."""
    sqs = product.boto3("sqs")
    url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
    found: list[str] = []
    request = {"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 6}
    while page := sqs.receive_message(**request).get("Messages", []):
        found += [message["Body"] for message in page]
        entries = [{"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]} for message in page]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    return found


def objects(product: Product) -> dict[str, bytes]:
    s3 = product.boto3("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="archive")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {key.removesuffix(".txt"): s3.get_object(Bucket="archive", Key=key)["Body"].read() for key in keys}


def joined(loads: list[Load]) -> set[str]:
    return set().union(*(names for load in loads for names in load.answered))


@pytest.mark.timeout(240)
def test_what_streams_queues_and_objects_answered_survives_kill_9(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(TEMPLATE)
    product = Product(tmp_path / "data", template=template).start()
    product.boto3("s3").create_bucket(Bucket="archive")
    numbers, begun = itertools.count(), set[str]()
    puts: list[Load] = []
    sends: list[Load] = []
    deletes: list[Load] = []
    writes: list[Load] = []
    try:
        for _ in range(ROUNDS):
            puts.append(Load(record_writer(product), numbers))
            sends.append(Load(message_writer(product), numbers))
            deletes.append(Load(message_deleter(product, begun), numbers))
            writes.append(Load(object_writer(product), numbers))
            started = (puts[-1], sends[-1], deletes[-1], writes[-1])
            eventually(lambda started=started: all(load.has_some.is_set() for load in started), timeout_s=60)
            product.kill()
            for load in started:
                load.join(60)
            product.start()

        kept = records(product)
        assert len(kept) == len(set(kept))
        assert joined(puts) <= set(kept)
        assert holds_whole_batches(kept)

        waiting = messages(product)
        assert joined(sends) - begun <= set(waiting)
        assert not joined(deletes) & set(waiting)

        stored = objects(product)
        assert joined(writes) <= stored.keys()
        assert all(body == f"{name} ".encode() * 1000 for name, body in stored.items())
    finally:
        product.kill()


def holds_whole_batches(names: list[str]) -> bool:
    """Whether no call of PutRecords was kept in part."""
    batches = itertools.groupby(sorted(name.split("-")[0] for name in names))
    return all(len(list(batch)) == 5 for _, batch in batches)
