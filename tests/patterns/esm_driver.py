"""Drives event source mappings from outside: boto3, a collector that the functions report to, and nothing else."""

import base64
import http.server
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.product import Product, eventually

Behaviour = Callable[[dict[str, Any], int], Any]


class Failing(Exception):
    """Raised by a behaviour: the function raises."""


@dataclass(frozen=True)
class Call:
    """One invocation as the function saw it."""

    event: dict[str, Any]
    function: str
    request_id: str
    at_s: float

    @property
    def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.event["Records"]
        return found

    @property
    def sequences(self) -> list[str]:
        return [sequence_of(record) for record in self.records]

    @property
    def texts(self) -> list[str]:
        return [text_of(record) for record in self.records]


def sequence_of(record: dict[str, Any]) -> str:
    part = record.get("kinesis") or record.get("dynamodb")
    if part is None:
        return str(record["messageId"])
    return str(part.get("sequenceNumber") or part["SequenceNumber"])


def text_of(record: dict[str, Any]) -> str:
    if "kinesis" in record:
        return base64.b64decode(record["kinesis"]["data"]).decode()
    if "dynamodb" in record:
        return str(record["dynamodb"]["Keys"]["pk"]["S"])
    return str(record["body"])


def _succeed(event: dict[str, Any], number: int) -> Any:
    return None


class Overlap:
    """A behaviour that takes a while and remembers how many calls ran at once."""

    def __init__(self, duration_s: float) -> None:
        self.most = 0
        self._duration_s = duration_s
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, event: dict[str, Any], number: int) -> Any:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        time.sleep(self._duration_s)
        with self._lock:
            self._running -= 1


class Collector:
    """An HTTP server that functions ask what to do; behaviours belong to event sources."""

    def __init__(self) -> None:
        self._behaviours: dict[str, Behaviour] = {}
        self._calls: dict[str, list[Call]] = {}
        self._lock = threading.Lock()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(collector.answer(document)).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    return  # the function was ended by its timeout

            def log_message(self, *arguments: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, document: dict[str, Any]) -> dict[str, Any]:
        event = document["event"]
        source = event.get("eventSourceARN") or event["Records"][0]["eventSourceARN"]
        with self._lock:
            calls = self._calls.setdefault(source, [])
            calls.append(Call(event, document["function"], document["request"], time.time()))
            number = len(calls)
        behaviour = self._behaviours.get(source, _succeed)
        try:
            return {"return": behaviour(event, number)}
        except Failing as failing:
            return {"raise": str(failing)}

    def behave(self, source: str, behaviour: Behaviour) -> None:
        self._behaviours[source] = behaviour

    def calls(self, source: str) -> list[Call]:
        with self._lock:
            return list(self._calls.get(source, ()))


@dataclass
class Esm:
    """The product with the probe functions, and shorthands for what the scenarios make."""

    product: Product
    collector: Collector
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = self.product.boto3(service)
        return self.clients[service]

    # Sources

    def stream(self, shards: int = 1) -> "Stream":
        name = f"stream-{uuid.uuid4().hex[:12]}"
        self.client("kinesis").create_stream(StreamName=name, ShardCount=shards)
        described = self.client("kinesis").describe_stream_summary(StreamName=name)
        return Stream(self, name, described["StreamDescriptionSummary"]["StreamARN"])

    def table(self) -> "Table":
        name = f"table-{uuid.uuid4().hex[:12]}"
        made = self.client("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        return Table(self, name, made["TableDescription"]["LatestStreamArn"])

    def queue(self, **attributes: str) -> "Queue":
        suffix = ".fifo" if attributes.get("FifoQueue") else ""
        name = f"queue-{uuid.uuid4().hex[:12]}{suffix}"
        url = self.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        found = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return Queue(self, url, found["Attributes"]["QueueArn"])

    def bucket(self) -> str:
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.client("s3").create_bucket(Bucket=name)
        return name

    # Mappings

    @contextmanager
    def mapping(self, source: "Source", function: str = "esm-probe", **parameters: Any) -> Iterator[str]:
        """A mapping for the time of the block; stream mappings start at the trim horizon."""
        if not isinstance(source, Queue):
            parameters.setdefault("StartingPosition", "TRIM_HORIZON")
        made = self.client("lambda").create_event_source_mapping(
            EventSourceArn=source.arn, FunctionName=function, **parameters
        )
        try:
            yield made["UUID"]
        finally:
            self.client("lambda").delete_event_source_mapping(UUID=made["UUID"])

    def wait_for_calls(self, source: "Source", count: int, timeout_s: float = 20) -> list[Call]:
        eventually(lambda: len(self.collector.calls(source.arn)) >= count, timeout_s)
        calls = self.collector.calls(source.arn)
        assert len(calls) >= count, [call.texts for call in calls]
        return calls

    def wait_for_texts(self, source: "Source", texts: set[str], timeout_s: float = 20) -> list[Call]:
        def seen() -> bool:
            return texts <= {text for call in self.collector.calls(source.arn) for text in call.texts}

        assert eventually(seen, timeout_s), [call.texts for call in self.collector.calls(source.arn)]
        return self.collector.calls(source.arn)


@dataclass
class Source:
    esm: Esm
    name: str
    arn: str

    def behave(self, behaviour: Behaviour) -> None:
        self.esm.collector.behave(self.arn, behaviour)

    def calls(self) -> list[Call]:
        return self.esm.collector.calls(self.arn)


class Stream(Source):
    def put(self, *texts: str, key: str = "k") -> list[str]:
        """Records of one key in one request; their sequence numbers."""
        records = [{"PartitionKey": key, "Data": text.encode()} for text in texts]
        answer = self.esm.client("kinesis").put_records(StreamName=self.name, Records=records)
        return [entry["SequenceNumber"] for entry in answer["Records"]]


class Table(Source):
    def put(self, *keys: str) -> None:
        for key in keys:
            self.esm.client("dynamodb").put_item(TableName=self.name, Item={"pk": {"S": key}})


class Queue(Source):
    @property
    def url(self) -> str:
        return self.name

    def send(self, text: str, **parameters: Any) -> str:
        sent = self.esm.client("sqs").send_message(QueueUrl=self.url, MessageBody=text, **parameters)
        return str(sent["MessageId"])

    def receive(self) -> list[dict[str, Any]]:
        received = self.esm.client("sqs").receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        for message in received.get("Messages", []):
            self.esm.client("sqs").delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return list(received.get("Messages", []))

    def counts(self) -> tuple[int, int]:
        """Visible and hidden messages."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.esm.client("sqs").get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def documents(self, timeout_s: float = 20) -> list[dict[str, Any]]:
        """The JSON bodies that arrive, at least one."""
        return [json.loads(message["Body"]) for message in eventually(self.receive, timeout_s)]
