"""The AWS APIs of an instance behind one handler, and where asynchronous work is delivered."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from headwater.deploy.deployment import Deployment
from headwater.deploy.events.api import EventsApi
from headwater.deploy.events.bus import EventBus
from headwater.deploy.events.schedules import SchedulerApi, scheduler_permissions
from headwater.deploy.functions.code_watch import watch_code
from headwater.deploy.iot import resources as iot
from headwater.deploy.topics.api import TopicsApi, sns_permissions
from headwater.deploy.topics.topics import Publication, Topics
from headwater.errors import HeadwaterError, ServiceError
from headwater.functions.async_invocation import EventDelivery
from headwater.functions.lambda_api import LambdaApi
from headwater.functions.service import FunctionService
from headwater.server.aws.api import AwsApi
from headwater.server.aws.s3_api import S3Api
from headwater.storage.dynamodb_streams_service import DynamoDbStreamsService
from headwater.storage.s3_service import S3Service
from headwater.storage.sqs_service import SqsService
from headwater.values.http import HttpHandler

_log = logging.getLogger(__name__)
_SWEEP_INTERVAL_S = 60.0
_RESTART_PAUSE_S = 1.0


def lambda_api(deployment: Deployment) -> LambdaApi:
    """The Lambda API; functions made through it in earlier runs are registered again."""
    api = LambdaApi(
        deployment.functions, deployment.mappings, deployment.data_dir / "lambda", fetch_object=deployment.s3.get
    )
    api.restore()
    return api


def aws_api(deployment: Deployment) -> AwsApi:
    """Everything that SDKs find at the AWS endpoint."""
    options = deployment.options
    streams = DynamoDbStreamsService(
        deployment.store, region=options.region, account_id=options.account_id, clock=deployment.clock
    )
    events = EventsApi(deployment.events, deployment.store, deployment.roles.authorize)
    rest: Mapping[str, HttpHandler] = {
        **iot.rest_services(deployment),
        "lambda": lambda_api(deployment),
        "s3": S3Api(deployment.s3, region=options.region).handle,
        "scheduler": SchedulerApi(deployment.schedules).handle,
        "sns": TopicsApi(deployment.topics).handle,
    }
    return AwsApi(
        [deployment.dynamodb, streams, deployment.kinesis, deployment.sqs, events],
        region=options.region,
        account_id=options.account_id,
        find_secret=deployment.roles.find_secret,
        authorize=deployment.roles.authorize,
        clock=deployment.clock,
        rest_services=rest,
        rest_permissions={
            **iot.rest_permissions(),
            "sns": sns_permissions,
            "scheduler": scheduler_permissions,
        },
    )


def background_work(deployment: Deployment) -> list[Coroutine[Any, Any, None]]:
    """What runs as long as the instance does: expiry, trimming, schedules, reloads of changed code."""
    works: dict[str, Callable[[], Awaitable[Any]]] = {
        "expiry of items": deployment.dynamodb.sweep_forever,
        "trimming of streams, queues and claims": lambda: _sweep(deployment),
        "schedules": deployment.schedules.run,
        "scheduled rules": deployment.events.run,
    }
    watching = watch_code(deployment.functions, deployment.data_dir)
    return [*(_supervised(name, work) for name, work in works.items()), watching]


async def _supervised(name: str, work: Callable[[], Awaitable[Any]]) -> None:
    """Run for ever, again after a failure: a full disk must not end expiry until the next start."""
    while True:
        try:
            await work()
        except HeadwaterError as error:
            _log.error("%s failed and goes on in %g s: %s", name, _RESTART_PAUSE_S, error)
        except Exception:
            # A fault of ours in one turn must not end the work until the next start.
            _log.exception("%s failed and goes on in %g s", name, _RESTART_PAUSE_S)
        await asyncio.sleep(_RESTART_PAUSE_S)


async def _sweep(deployment: Deployment) -> None:
    while True:
        await asyncio.sleep(_SWEEP_INTERVAL_S)
        await deployment.kinesis.sweep()
        await deployment.sqs.sweep()
        await deployment.provisioning.ownership.sweep()


class AsynchronousDelivery:
    """Takes what is handed over without waiting, by its ARN: for queues, functions, topics, event buses, buckets."""

    def __init__(self, sqs: SqsService, s3: S3Service, *, clock: Callable[[], float]) -> None:
        self._sqs = sqs
        self._s3 = s3
        self._clock = clock
        self.functions: FunctionService | None = None
        self.topics: Topics | None = None
        self.events: EventBus | None = None

    async def deliver_event(self, delivery: EventDelivery) -> None:
        """The end of an asynchronous invocation: a destination's document, or a dead letter with its attributes.

        Source: Lambda developer guide, "Capturing records of Lambda asynchronous invocations".
        """
        service = delivery.arn.split(":")[2]
        if service == "events" and self.events is not None:
            document = orjson.loads(delivery.body)
            resources = [delivery.arn, document["requestContext"]["functionArn"]]
            end = "Success" if document["requestContext"]["condition"] == "Success" else "Failure"
            name = delivery.arn.rsplit("/", 1)[-1]
            await self.events.publish(
                name, "lambda", f"Lambda Function Invocation Result - {end}", document, resources=resources
            )
        elif service == "s3":
            moment = datetime.fromtimestamp(self._clock(), UTC)
            function = delivery.function_arn.split(":")[6]
            key = f"aws/lambda/async/{function}/{moment:%Y/%m/%d}/{moment:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
            await self._s3.put(delivery.arn.split(":::")[1].split("/")[0], key, delivery.body.encode())
        else:
            kinds = {"ErrorCode": "Number"}
            attributes = {
                name: {"DataType": kinds.get(name, "String"), "StringValue": value}
                for name, value in delivery.attributes.items()
                if value  # SQS takes no empty value
            }
            await self.deliver(delivery.arn, delivery.body, attributes, trace_header=delivery.trace_header)

    async def deliver(
        self,
        arn: str,
        text: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        trace_header: str | None = None,
    ) -> None:
        """Hand over; a queue's message has the trace header as its system attribute AWSTraceHeader (recorded on AWS).

        Raises: ServiceError for a target that does not work here or does not take it.
        """
        service = arn.split(":")[2]
        if service == "sqs":
            await self._sqs.send(arn, text, attributes=attributes, trace_header=trace_header)
        elif service == "lambda" and self.functions is not None:
            await self.functions.invoke_event(arn, text.encode())
        elif service == "sns" and self.topics is not None:
            await self.topics.publish(arn, Publication(text, attributes=attributes or {}))
        else:
            raise ServiceError("InvalidParameterValueException", f"the target {arn} does not work here")
