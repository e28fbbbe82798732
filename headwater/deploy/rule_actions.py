"""Flow 3/8: carry out what rules ask for, with the rights of the role each action names."""

import base64
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from headwater.deploy.roles import Roles
from headwater.deploy.rule_engine import Perform
from headwater.errors import HeadwaterError, ServiceError
from headwater.functions.service import FunctionService
from headwater.rules.actions import ActionRequest
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.kinesis_service import KinesisService
from headwater.storage.s3_service import S3Service
from headwater.storage.sqs_service import SqsService
from headwater.values.identity import AwsPrincipal

Outcomes = Sequence[HeadwaterError | None]
RepublishTo = Callable[[str, bytes, int], Awaitable[None]]


class RuleActions:
    """The action kinds that work here, each carrying out a list of requests in order."""

    def __init__(
        self,
        *,
        roles: Roles,
        region: str,
        account_id: str,
        kinesis: KinesisService,
        dynamodb: DynamoDbService,
        sqs: SqsService,
        s3: S3Service,
        functions: FunctionService,
        republish: RepublishTo,
    ) -> None:
        self._roles = roles
        self._arn_prefix = (region, account_id)
        self._kinesis = kinesis
        self._dynamodb = dynamodb
        self._sqs = sqs
        self._s3 = s3
        self._functions = functions
        self._republish_to = republish

    def performers(self) -> dict[str, Perform]:
        """By action kind."""
        return {
            "Kinesis": self._put_on_streams,
            "Lambda": self._one_by_one(self._invoke),
            "Republish": self._one_by_one(self._republish),
            "Sqs": self._one_by_one(self._send),
            "DynamoDB": self._one_by_one(self._put_payload),
            "DynamoDBv2": self._one_by_one(self._put_item),
            "S3": self._one_by_one(self._put_object),
        }

    def _one_by_one(self, perform: Callable[[ActionRequest], Awaitable[None]]) -> Perform:
        async def perform_all(requests: Sequence[ActionRequest]) -> Outcomes:
            outcomes: list[HeadwaterError | None] = []
            for request in requests:
                try:
                    await perform(request)
                    outcomes.append(None)
                except HeadwaterError as error:
                    outcomes.append(error)
            return outcomes

        return perform_all

    def _authorize(self, request: ActionRequest, action: str, service: str, resource: str) -> None:
        region, account_id = self._arn_prefix
        role_arn = str(request.parameters.get("RoleArn", ""))
        principal = AwsPrincipal("", account_id, role_arn.rsplit("/", 1)[-1])
        arn = resource if resource.startswith("arn:") else f"arn:aws:{service}:{region}:{account_id}:{resource}"
        self._roles.authorize(principal, action, [arn])

    async def _put_on_streams(self, requests: Sequence[ActionRequest]) -> Outcomes:
        by_stream: dict[str, list[int]] = {}
        outcomes: list[HeadwaterError | None] = [None] * len(requests)
        allowed: dict[tuple[str, str], ServiceError | None] = {}
        for position, request in enumerate(requests):
            stream = str(request.parameters["StreamName"])
            key = (stream, str(request.parameters.get("RoleArn")))
            if key not in allowed:
                try:
                    self._authorize(request, "kinesis:PutRecord", "kinesis", f"stream/{stream}")
                    allowed[key] = None
                except ServiceError as error:
                    allowed[key] = error
            if allowed[key] is None:
                by_stream.setdefault(stream, []).append(position)
            else:
                outcomes[position] = allowed[key]
        for stream, positions in by_stream.items():
            entries = [
                (str(requests[p].parameters.get("PartitionKey") or uuid.uuid4()), requests[p].payload)
                for p in positions
            ]
            for position, outcome in zip(positions, await self._put_records(stream, entries), strict=True):
                outcomes[position] = outcome
        return outcomes

    async def _put_records(self, stream: str, entries: list[tuple[str, bytes]]) -> Outcomes:
        try:
            await self._kinesis.put_records(stream, entries)
        except ServiceError as error:
            if len(entries) == 1:
                return [error]
            # One record of the batch is at fault; each is put alone so that the others arrive.
            return [outcome for entry in entries for outcome in await self._put_records(stream, [entry])]
        return [None] * len(entries)

    async def _invoke(self, request: ActionRequest) -> None:
        payload = request.payload
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise ServiceError("InvalidRequestContentException", "a function takes JSON, not binary data") from error
        await self._functions.invoke_event(str(request.parameters["FunctionArn"]), payload)

    async def _republish(self, request: ActionRequest) -> None:
        topic = str(request.parameters["Topic"])
        if topic.startswith("$$"):
            topic = topic[1:]
        self._authorize(request, "iot:Publish", "iot", f"topic/{topic}")
        await self._republish_to(topic, request.payload, int(request.parameters.get("Qos", 0)))

    async def _send(self, request: ActionRequest) -> None:
        url = str(request.parameters["QueueUrl"])
        self._authorize(request, "sqs:SendMessage", "sqs", url.rsplit("/", 1)[-1])
        body = request.payload
        is_base64 = str(request.parameters.get("UseBase64", "false")).lower() == "true"
        await self._sqs.send(url, (base64.b64encode(body) if is_base64 else body).decode(errors="replace"))

    async def _put_object(self, request: ActionRequest) -> None:
        bucket, key = str(request.parameters["BucketName"]), str(request.parameters["Key"])
        self._authorize(request, "s3:PutObject", "s3", f"arn:aws:s3:::{bucket}/{key}")
        await self._s3.put(bucket, key, request.payload)

    async def _put_item(self, request: ActionRequest) -> None:
        table = str(request.parameters["PutItem"]["TableName"])
        document = _document(request.payload)
        if not isinstance(document, dict):
            raise ServiceError("ValidationException", "DynamoDBv2 takes a JSON object, one attribute for each member")
        await self._put(request, table, {name: to_attribute(value) for name, value in document.items()})

    async def _put_payload(self, request: ActionRequest) -> None:
        parameters = request.parameters
        item = {str(parameters["HashKeyField"]): _key(parameters, "HashKey")}
        if parameters.get("RangeKeyField"):
            item[str(parameters["RangeKeyField"])] = _key(parameters, "RangeKey")
        document = _document(request.payload)
        value = to_attribute(document) if document is not None else {"B": base64.b64encode(request.payload).decode()}
        item[str(parameters.get("PayloadField", "payload"))] = value
        await self._put(request, str(parameters["TableName"]), item)

    async def _put(self, request: ActionRequest, table: str, item: Mapping[str, Any]) -> None:
        self._authorize(request, "dynamodb:PutItem", "dynamodb", f"table/{table}")
        await self._dynamodb.call("PutItem", {"TableName": table, "Item": dict(item)})


def _key(parameters: Mapping[str, Any], name: str) -> dict[str, str]:
    kind = "N" if str(parameters.get(f"{name}Type", "STRING")).upper() == "NUMBER" else "S"
    return {kind: str(parameters[f"{name}Value"])}


def _document(payload: bytes) -> Any:
    """The payload with exact numbers, None if it is no JSON."""
    try:
        return _DECODER.decode(payload)
    except msgspec.DecodeError:
        return None


_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def to_attribute(value: Any) -> dict[str, Any]:
    """A JSON value as a typed DynamoDB attribute."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, (int, float, Decimal)):
        return {"N": str(value)}
    if isinstance(value, list):
        return {"L": [to_attribute(child) for child in value]}
    return {"M": {name: to_attribute(child) for name, child in value.items()}}
