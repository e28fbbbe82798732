"""Functions, event source mappings, Kinesis and the Lambda API together on a free port, and boto3 for them."""

import asyncio
import contextlib
import io
import json
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from headwater.errors import ServiceError
from headwater.eventsource.mappings import EventSourceMappings, FunctionReference, MappingPorts
from headwater.eventsource.ports import FailedBatch, QueueSource, RecordSource
from headwater.functions.async_invocation import EventDelivery
from headwater.functions.config import FunctionConfig
from headwater.functions.lambda_api import LambdaApi
from headwater.functions.service import FunctionService, MachineLimits
from headwater.server.http.server import HttpServer
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.kinesis_service import KinesisService
from headwater.storage.sqs_service import SqsService
from headwater.storage.store import Store
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.identity import AwsPrincipal

HANDLERS = Path(__file__).parent / "handlers"
ACCOUNT, REGION = "123456789012", "us-east-1"
ADMINISTRATOR = AwsPrincipal("test", ACCOUNT)


@dataclass
class StoredCheckpoints:
    saved: dict[str, dict[str, str]] = field(default_factory=dict)

    def load(self, mapping_id: str) -> Mapping[str, str]:
        return dict(self.saved.get(mapping_id, {}))

    async def save(self, mapping_id: str, shard: str, sequence: str) -> None:
        self.saved.setdefault(mapping_id, {})[shard] = sequence


@dataclass
class Collector:
    """What the functions were given, and what they shall do: the answer of each event."""

    answer: Callable[[dict[str, Any]], dict[str, Any]] = lambda event: {}
    events: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        event = json.loads(request.body)
        self.events.append(event)
        return HttpResponse(200, (), json.dumps(self.answer(event)).encode())


@dataclass
class LambdaStack:
    functions: FunctionService
    mappings: EventSourceMappings
    kinesis: KinesisService
    dynamodb: DynamoDbService
    sqs: SqsService
    collector: Collector
    failures: list[FailedBatch]
    deliveries: list[EventDelivery]
    slept: list[float]
    lambda_client: Any
    collector_url: str
    restore: Callable[[], None]

    async def call(self, operation: str, **request: Any) -> Any:
        """One boto3 call of the Lambda API."""
        return await asyncio.to_thread(getattr(self.lambda_client, operation), **request)

    def register(self, name: str, handler: str = "app.handler", *, folder: str = "collector", **config: Any) -> str:
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
        config.setdefault("environment", {"COLLECTOR": self.collector_url})
        self.functions.register(FunctionConfig(name, arn, handler, HANDLERS / folder, **config))
        return arn

    async def create_stream(self, name: str, shards: int = 1) -> str:
        await self.kinesis.call("CreateStream", {"StreamName": name, "ShardCount": shards}, ADMINISTRATOR)
        return f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"


def deployment_package(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name, text in files.items():
            package.writestr(name, text)
    return buffer.getvalue()


async def until(condition: Callable[[], object], *, within_s: float = 20.0) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def lambda_stack(directory: Path, *, limits: MachineLimits = MachineLimits()) -> AsyncIterator[LambdaStack]:
    store = Store.open(None)
    kinesis = KinesisService(store, region=REGION, account_id=ACCOUNT)
    dynamodb = DynamoDbService(store, region=REGION, account_id=ACCOUNT, clock=time.time)
    sqs = SqsService(store, region=REGION, account_id=ACCOUNT)
    failures: list[FailedBatch] = []
    deliveries: list[EventDelivery] = []
    slept: list[float] = []

    async def deliver(delivery: EventDelivery) -> None:
        deliveries.append(delivery)

    async def fail(failed: FailedBatch) -> None:
        failures.append(failed)

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)

    functions = FunctionService(account_id=ACCOUNT, region=REGION, deliver=deliver, sleep=sleep, limits=limits)
    await functions.start()

    def find_function(reference: str) -> FunctionReference | None:
        with contextlib.suppress(ServiceError):
            config = functions.config(reference)
            role = "arn:aws:iam::123456789012:role/r"
            return FunctionReference(config.name, config.arn, role, config.timeout_s)
        return None

    def find_source(arn: str) -> RecordSource | QueueSource | None:
        with contextlib.suppress(ServiceError):
            match arn.split(":")[2]:
                case "sqs":
                    return sqs.queue_source(arn)
                case "dynamodb":
                    return dynamodb.stream_source(arn)
            return kinesis.stream_source(arn)
        return None

    ports = MappingPorts(
        find_function,
        find_source,
        functions.invoke,
        StoredCheckpoints(),
        fail,
        functions.clock,
        backoff=lambda attempt: 0.01,
    )
    mappings = EventSourceMappings(ports)
    collector = Collector()
    lambda_api = LambdaApi(functions, mappings, directory)
    lambda_api.restore()
    api = HttpServer(lambda_api)
    collecting = HttpServer(collector)
    port = await api.start("127.0.0.1", 0)
    collector_port = await collecting.start("127.0.0.1", 0)
    client = boto3.client(
        "lambda",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}, read_timeout=30),
    )
    url = f"http://127.0.0.1:{collector_port}/"
    try:
        yield LambdaStack(
            functions,
            mappings,
            kinesis,
            dynamodb,
            sqs,
            collector,
            failures,
            deliveries,
            slept,
            client,
            url,
            lambda_api.restore,
        )
    finally:
        await mappings.stop()
        await functions.close()
        await asyncio.to_thread(client.close)
        await api.stop(1.0)
        await collecting.stop(1.0)
        await store.close()
