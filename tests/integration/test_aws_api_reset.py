"""What test suites ask of an endpoint without a signature: is it healthy, and forget what we made."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from headwater.server.aws.api import AwsApi
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.kinesis_service import KinesisService
from headwater.storage.sqs_service import SqsService
from headwater.storage.store import Store
from headwater.values.http import HttpRequest, HttpResponse

REGION, ACCOUNT = "us-east-1", "123456789012"
UNSIGNED = {"host": "localhost"}
SIGNED = {
    "host": "localhost",
    "authorization": "AWS4-HMAC-SHA256 Credential=test/20261124/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64,
    "x-amz-date": "20261124T000000Z",
}
KEY = {
    "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}


class Endpoint:
    """An AWS endpoint on a temporary store."""

    def __init__(self, store: Store) -> None:
        self.dynamodb = DynamoDbService(store, region=REGION, account_id=ACCOUNT, clock=lambda: 0.0)
        self.kinesis = KinesisService(store, region=REGION, account_id=ACCOUNT, clock=lambda: 0.0)
        self.sqs = SqsService(store, region=REGION, account_id=ACCOUNT, clock=lambda: 0.0)
        self.api = AwsApi(
            [self.dynamodb, self.kinesis, self.sqs],
            find_secret=lambda key: None,
            authorize=lambda principal, action, resources: None,
            region=REGION,
            account_id=ACCOUNT,
            clock=lambda: 0.0,
        )

    async def send(
        self, headers: Mapping[str, str], body: bytes = b"", *, method: str = "POST", path: str = "/", peer: str = "::1"
    ) -> HttpResponse:
        return await self.api.handle(HttpRequest(method, path, "", tuple(headers.items()), body, peer))

    async def call(self, target: str, body: bytes) -> HttpResponse:
        return await self.send(SIGNED | {"x-amz-target": target, "content-type": "application/x-amz-json-1.0"}, body)

    async def tables(self) -> Any:
        return (await self.dynamodb.call("ListTables", {}))["TableNames"]


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    store = Store.open(None)
    yield Endpoint(store)
    await store.close()


async def test_health_page_names_the_region(endpoint: Endpoint) -> None:
    answer = await endpoint.send(UNSIGNED, method="GET")

    assert (answer.status, answer.body) == (200, b"healthy: dynamodb.us-east-1.amazonaws.com ")


async def test_reset_removes_what_requests_made_and_nothing_else(endpoint: Endpoint) -> None:
    await endpoint.dynamodb.call("CreateTable", {"TableName": "of-the-template", **KEY})
    made = (
        b'{"TableName":"made","DeletionProtectionEnabled":true,"BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":'
        b'[{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}]}'
    )
    assert (await endpoint.call("DynamoDB_20120810.CreateTable", made)).status == 200
    assert (await endpoint.call("Kinesis_20131202.CreateStream", b'{"StreamName":"s","ShardCount":1}')).status == 200
    assert (await endpoint.call("AmazonSQS.CreateQueue", b'{"QueueName":"q"}')).status == 200

    answer = await endpoint.send(UNSIGNED, path="/moto-api/reset")

    assert answer.status == 200
    assert await endpoint.tables() == ["of-the-template"]
    assert (await endpoint.kinesis.call("ListStreams", {}))["StreamNames"] == []
    assert not (await endpoint.sqs.call("ListQueues", {})).get("QueueUrls")


@pytest.mark.parametrize(
    ("headers", "peer"), [({"origin": "https://example.org"}, "127.0.0.1"), ({}, "192.0.2.1")], ids=["page", "remote"]
)
async def test_reset_is_refused_to_pages_and_other_machines(
    endpoint: Endpoint, headers: dict[str, str], peer: str
) -> None:
    answer = await endpoint.send(UNSIGNED | headers, path="/moto-api/reset", peer=peer)

    assert answer.status == 403


async def test_tag_operations_answer_no_body_and_a_long_request_id(endpoint: Endpoint) -> None:
    await endpoint.dynamodb.call("CreateTable", {"TableName": "tagged", **KEY})
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/tagged"
    body = f'{{"ResourceArn":"{arn}","Tags":[{{"Key":"a","Value":"b"}}]}}'.encode()

    answer = await endpoint.call("DynamoDB_20120810.TagResource", body)

    headers = dict((*answer.headers, *answer.unique_headers))
    assert (answer.status, answer.body, headers["x-amz-crc32"]) == (200, b"", "0")
    assert len(headers["x-amzn-requestid"]) == 52
