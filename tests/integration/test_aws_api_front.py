"""The AWS endpoint by values: routing, protocols, credentials, permissions, error documents."""

import asyncio
import json
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import cbor2
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from headwater.deploy.roles import Roles
from headwater.errors import ServiceError
from headwater.server.aws.api import AwsApi
from headwater.values.http import HttpRequest, HttpResponse
from headwater.values.identity import AwsPrincipal

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/T"


class Echo:
    """A service that answers what it was asked, or the error it was given."""

    def __init__(self, target_prefix: str) -> None:
        self.target_prefix = target_prefix
        self.error: Exception | None = None
        self.answer: dict[str, Any] = {}
        self.principals: list[AwsPrincipal] = []

    async def call(self, operation: str, request: dict[str, Any], principal: AwsPrincipal) -> dict[str, Any]:
        self.principals.append(principal)
        if self.error is not None:
            raise self.error
        return self.answer or {"Operation": operation, **request}


class PromptEcho(Echo):
    """Answers without a coroutine: at once, or as `Later` in the next turn of the loop."""

    def start(
        self, operation: str, request: dict[str, Any], done: Callable[[bool, Any], None]
    ) -> dict[str, Any] | None:
        answer = {"Operation": operation, **request}
        if operation == "Now":
            return answer
        outcome = (self.error is None, self.error or answer)
        asyncio.get_running_loop().call_soon(done, *outcome)
        return None


class Front:
    """An AWS endpoint with an echo behind each service and one role that may do as its policy says."""

    def __init__(self, *statements: dict[str, Any], service: type[Echo] = Echo) -> None:
        prefixes = ("DynamoDB_20120810", "DynamoDBStreams_20120810", "Kinesis_20131202", "AmazonSQS")
        self.services = {prefix: service(prefix) for prefix in prefixes}
        roles = Roles("123456789012")
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        roles.add_role("ingest", {"Policies": [{"PolicyDocument": document}]})
        role, administrator = roles.issue_key("ingest"), roles.issue_key(None)
        self.role_key = Credentials(role.access_key_id, role.secret, "session")
        self.administrator_key = Credentials(administrator.access_key_id, administrator.secret)
        self.now = 0.0
        self.api = AwsApi(
            self.services.values(),
            region="us-east-1",
            account_id="123456789012",
            find_secret=roles.find_secret,
            authorize=roles.authorize,
            clock=lambda: self.now,
            rest_services={"lambda": self.rest, "iotdata": self.rest, "s3": self.rest},
        )

    async def rest(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), request.raw_path.encode())

    async def send(
        self,
        target: str = "",
        body: bytes = b"{}",
        *,
        key: Credentials | None = None,
        service: str = "dynamodb",
        method: str = "POST",
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        peer: str = "127.0.0.1",
        is_signed: bool = True,
    ) -> HttpResponse:
        kind = {"Content-Type": "application/x-amz-json-1.0"} if target else {}
        more = {"X-Amz-Target": target} if target else {}
        request = AWSRequest(
            method=method, url=f"http://localhost{path}", data=body, headers={**kind, **more, **(headers or {})}
        )
        if is_signed:
            SigV4Auth(key or Credentials("test", "test"), service, "us-east-1").add_auth(request)
            stamp = request.headers["X-Amz-Date"]
            self.now = datetime.strptime(stamp + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
        wire = {name.lower(): value for name, value in request.headers.items()} | {"host": "localhost"}
        raw_path, _, raw_query = path.partition("?")
        return await self.api.handle(HttpRequest(method, raw_path, raw_query, tuple(wire.items()), body, peer))


def header(response: HttpResponse, name: str) -> str:
    return next((value for key, value in (*response.headers, *response.unique_headers) if key == name), "")


async def test_a_request_goes_to_the_service_of_its_target() -> None:
    response = await Front().send("DynamoDB_20120810.ListTables", b'{"Limit":3}')

    assert json.loads(response.body) == {"Operation": "ListTables", "Limit": 3}
    assert header(response, "content-type") == "application/x-amz-json-1.0"
    assert header(response, "x-amz-crc32") == str(zlib.crc32(response.body))
    assert len(header(response, "x-amzn-requestid")) == 52


async def test_request_ids_never_repeat() -> None:
    front = Front()

    ids = {header(await front.send("AmazonSQS.ListQueues"), "x-amzn-requestid") for _ in range(10)}

    assert len(ids) == 10


async def test_kinesis_speaks_cbor_with_bytes_and_milliseconds() -> None:
    body = cbor2.dumps({"Data": b"\x00\xff", "Timestamp": cbor2.CBORTag(1, 1_700_000_000_500)})
    headers = {"Content-Type": "application/x-amz-cbor-1.1"}

    response = await Front().send("Kinesis_20131202.PutRecord", body, service="kinesis", headers=headers)

    assert header(response, "content-type") == "application/x-amz-cbor-1.1"
    # A point in time has tag 1 and whole milliseconds, which Java's SDK takes for nothing else.
    assert b"Timestamp\xc1\x1b" in response.body
    decoded = cbor2.loads(response.body, semantic_decoders={1: lambda value, is_immutable: value})
    assert decoded == {"Operation": "PutRecord", "Data": b"\x00\xff", "Timestamp": 1_700_000_000_500}


async def test_bytes_of_an_answer_are_base64_in_json() -> None:
    front = Front()
    front.services["Kinesis_20131202"].answer = {"Records": [{"Data": b"\x00\xff"}]}

    response = await front.send("Kinesis_20131202.GetRecords", service="kinesis")

    assert json.loads(response.body) == {"Records": [{"Data": "AP8="}]}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 5000])
async def test_a_body_that_is_no_object_is_a_serialization_exception(body: bytes) -> None:
    response = await Front().send("DynamoDB_20120810.PutItem", body)

    assert response.status == 400
    assert json.loads(response.body) == {"__type": "com.amazon.coral.service#SerializationException"}


@given(body=st.binary(max_size=60), content_type=st.sampled_from(["application/x-amz-cbor-1.1", "application/json"]))
async def test_no_bytes_are_a_crash(body: bytes, content_type: str) -> None:
    front = Front()

    response = await front.send("Kinesis_20131202.PutRecord", body, headers={"Content-Type": content_type})

    assert response.status in (200, 400)


@pytest.mark.parametrize(
    ("target", "error", "kind", "query_error"),
    [
        (
            "DynamoDB_20120810.GetItem",
            ServiceError("ResourceNotFoundException", "Requested resource not found"),
            "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
            "",
        ),
        (
            "DynamoDB_20120810.GetItem",
            ServiceError("ValidationException", "wrong"),
            "com.amazon.coral.validate#ValidationException",
            "",
        ),
        ("Kinesis_20131202.PutRecord", ServiceError("ValidationException", "wrong"), "ValidationException", ""),
        (
            "AmazonSQS.SendMessage",
            ServiceError("QueueDoesNotExist", "The specified queue does not exist."),
            "com.amazonaws.sqs#QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue;Sender",
        ),
    ],
)
async def test_an_error_has_the_form_of_its_service(
    target: str, error: ServiceError, kind: str, query_error: str
) -> None:
    front = Front()
    front.services[target.partition(".")[0]].error = error

    response = await front.send(target)

    assert response.status == 400
    assert json.loads(response.body) == {"__type": kind, "message": error.message}
    # SQS names the namespace there, too, as recorded on the service.
    assert header(response, "x-amzn-errortype") == (kind if target.startswith("AmazonSQS") else error.code)
    assert header(response, "x-amzn-query-error") == query_error


@pytest.mark.parametrize(
    ("code", "fields", "spelling"),
    [
        ("TransactionCanceledException", {"CancellationReasons": [{"Code": "None"}]}, "Message"),
        ("ConditionalCheckFailedException", {"Item": {"PK": {"S": "a"}}}, "message"),
    ],
)
async def test_members_of_an_error_stand_beside_its_message(code: str, fields: dict[str, Any], spelling: str) -> None:
    front = Front()
    front.services["DynamoDB_20120810"].error = ServiceError(code, "why", fields=fields)

    response = await front.send("DynamoDB_20120810.TransactWriteItems")

    kind = f"com.amazonaws.dynamodb.v20120810#{code}"
    assert json.loads(response.body) == {"__type": kind, **fields, spelling: "why"}


async def test_an_unknown_key_on_loopback_is_the_administrator() -> None:
    front = Front()

    await front.send("AmazonSQS.ListQueues", key=Credentials("anything", "whatever"))

    assert front.services["AmazonSQS"].principals == [AwsPrincipal("anything", "123456789012")]


@pytest.mark.parametrize("peer", ["10.0.0.7", "::ffff:10.0.0.7", "fe80::1%eth0", ""])
async def test_an_unknown_key_from_elsewhere_is_refused(peer: str) -> None:
    response = await Front().send("DynamoDB_20120810.ListTables", peer=peer)

    assert response.status == 400
    assert json.loads(response.body) == {
        "__type": "com.amazon.coral.service#UnrecognizedClientException",
        "message": "The security token included in the request is invalid.",
    }


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
async def test_every_loopback_address_is_loopback(peer: str) -> None:
    assert (await Front().send("DynamoDB_20120810.ListTables", peer=peer)).status == 200


async def test_an_issued_key_is_verified_wherever_it_comes_from() -> None:
    for peer in ("127.0.0.1", "10.0.0.7"):
        front = Front()
        right = front.administrator_key
        wrong = Credentials(right.access_key, "guessed")
        assert (await front.send("DynamoDB_20120810.ListTables", key=right, peer=peer)).status == 200
        refused = await front.send("DynamoDB_20120810.ListTables", key=wrong, peer=peer)
        assert json.loads(refused.body)["__type"].endswith("#InvalidSignatureException")


async def test_an_unsigned_request_is_told_so() -> None:
    response = await Front().send("DynamoDB_20120810.ListTables", is_signed=False)

    assert json.loads(response.body)["message"] == "Missing Authentication Token"


async def test_a_role_is_held_to_its_policy_in_the_services_words() -> None:
    front = Front({"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": TABLE})

    allowed = await front.send("DynamoDB_20120810.GetItem", b'{"TableName":"T"}', key=front.role_key)
    denied = await front.send("DynamoDB_20120810.PutItem", b'{"TableName":"T"}', key=front.role_key)

    assert allowed.status == 200
    assert json.loads(denied.body) == {
        "__type": "com.amazon.coral.service#AccessDeniedException",
        "Message": "User: arn:aws:sts::123456789012:assumed-role/ingest/ingest is not authorized to perform: "
        f"dynamodb:PutItem on resource: {TABLE} because no identity-based policy allows the dynamodb:PutItem action",
    }


@pytest.mark.parametrize(
    ("target", "body", "action", "resource"),
    [
        ("DynamoDB_20120810.Query", {"TableName": "T", "IndexName": "I"}, "dynamodb:Query", f"{TABLE}/index/I"),
        ("DynamoDB_20120810.Query", {"TableName": TABLE}, "dynamodb:Query", TABLE),
        ("DynamoDB_20120810.BatchWriteItem", {"RequestItems": {"T": []}}, "dynamodb:BatchWriteItem", TABLE),
        (
            "DynamoDB_20120810.TransactWriteItems",
            {"TransactItems": [{"ConditionCheck": {"TableName": "T"}}]},
            "dynamodb:ConditionCheckItem",
            TABLE,
        ),
        ("DynamoDBStreams_20120810.GetShardIterator", {"StreamArn": "arn:x"}, "dynamodb:GetShardIterator", "arn:x"),
        (
            "Kinesis_20131202.PutRecords",
            {"StreamName": "s"},
            "kinesis:PutRecords",
            "arn:aws:kinesis:us-east-1:123456789012:stream/s",
        ),
        (
            "AmazonSQS.SendMessageBatch",
            {"QueueUrl": "http://localhost:8080/123456789012/q"},
            "sqs:SendMessage",
            "arn:aws:sqs:us-east-1:123456789012:q",
        ),
        ("AmazonSQS.CreateQueue", {"QueueName": "q"}, "sqs:CreateQueue", "arn:aws:sqs:us-east-1:123456789012:q"),
    ],
)
async def test_an_operation_needs_its_action_on_its_resource(
    target: str, body: dict[str, Any], action: str, resource: str
) -> None:
    exact = Front({"Effect": "Allow", "Action": action, "Resource": resource})
    other = Front({"Effect": "Allow", "Action": action, "Resource": resource + "x"})

    assert (await exact.send(target, json.dumps(body).encode(), key=exact.role_key)).status == 200
    denied = await other.send(target, json.dumps(body).encode(), key=other.role_key)
    # SQS has its actions in small letters there: tests/integration/test_denials.py.
    shown = action.lower() if action.startswith("sqs:") else action
    assert f"{shown} on resource: {resource} because" in denied.body.decode()


@pytest.mark.parametrize(
    ("service", "method", "path", "action", "resource", "told"),
    [
        (
            "lambda",
            "POST",
            "/2015-03-31/functions/fan-out/invocations",
            "lambda:InvokeFunction",
            "arn:aws:lambda:us-east-1:123456789012:function:fan-out",
            "on resource: arn:aws:lambda:us-east-1:123456789012:function:fan-out because",
        ),
        (
            "iotdata",
            "POST",
            "/topics/a%2Fb?qos=1",
            "iot:Publish",
            "arn:aws:iot:us-east-1:123456789012:topic/a/b",
            "Forbidden",
        ),
        (
            "s3",
            "PUT",
            "/bucket/a/b.json",
            "s3:PutObject",
            "arn:aws:s3:::bucket/a/b.json",
            'on resource: "arn:aws:s3:::bucket/a/b.json" because',
        ),
        (
            "s3",
            "GET",
            "/bucket?list-type=2",
            "s3:ListBucket",
            "arn:aws:s3:::bucket",
            'on resource: "arn:aws:s3:::bucket" because',
        ),
    ],
)
async def test_a_rest_request_goes_to_the_service_of_its_signature_and_is_held_to_the_policy(
    service: str, method: str, path: str, action: str, resource: str, told: str
) -> None:
    exact = Front({"Effect": "Allow", "Action": action, "Resource": resource})
    none = Front({"Effect": "Allow", "Action": "x:Y", "Resource": "*"})

    allowed = await exact.send(method=method, path=path, service=service, key=exact.role_key)
    denied = await none.send(method=method, path=path, service=service, key=none.role_key)

    assert allowed.body == path.partition("?")[0].encode()
    assert told in denied.body.decode()
    assert denied.status == 403


async def test_a_service_that_is_not_there_is_named() -> None:
    response = await Front().send("AWSGlue.GetTables", service="glue")

    assert response.status == 404
    assert "There is no AWS service 'glue' here" in json.loads(response.body)["message"]


async def test_get_caller_identity_is_answered() -> None:
    body = b"Action=GetCallerIdentity&Version=2011-06-15"

    front = Front()
    response = await front.send(body=body, service="sts", key=front.role_key)

    assert b"<Arn>arn:aws:sts::123456789012:assumed-role/ingest/ingest</Arn>" in response.body
    assert b"<Account>123456789012</Account>" in response.body


async def test_a_burst_of_failures_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    front = Front()
    front.services["DynamoDB_20120810"].error = ServiceError("InternalServerError", "the disk is full", status=500)

    answers = [await front.send("DynamoDB_20120810.PutItem") for _ in range(3)]

    assert [answer.status for answer in answers] == [500, 500, 500]
    assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [
        ("DynamoDB_20120810.PutItem failed: InternalServerError: the disk is full (1 since the last report)", None)
    ]


@pytest.mark.parametrize("operation", ["Now", "Later"])
async def test_a_service_may_answer_without_a_coroutine(operation: str) -> None:
    front = Front(service=PromptEcho)

    response = await front.send(f"DynamoDB_20120810.{operation}", b'{"Limit":3}')

    assert json.loads(response.body) == {"Operation": operation, "Limit": 3}


async def test_an_error_that_comes_later_is_the_answer_too() -> None:
    front = Front(service=PromptEcho)
    front.services["DynamoDB_20120810"].error = ServiceError("ConditionalCheckFailedException", "no")

    response = await front.send("DynamoDB_20120810.Later")

    assert response.status == 400
    assert json.loads(response.body)["message"] == "no"


async def test_what_is_no_error_of_the_service_is_left_to_the_server() -> None:
    front = Front(service=PromptEcho)
    front.services["DynamoDB_20120810"].error = ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        await front.send("DynamoDB_20120810.Later")
