"""The query protocol of SQS over the AWS endpoint's front, as SDKs of before November 2023 speak it."""

import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from headwater.server.aws.api import AwsApi
from headwater.storage.sqs_service import SqsService
from headwater.storage.store import Store
from headwater.values.http import HttpRequest, HttpResponse

AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=" + "0" * 64
)
URL = "http://localhost/123456789012/work"


class Front:
    """The endpoint with SQS behind it."""

    def __init__(self, store: Store) -> None:
        self.headers: tuple[tuple[str, str], ...] = ()
        service = SqsService(store, region="us-east-1", account_id="123456789012")
        self.api = AwsApi(
            [service],
            region="us-east-1",
            account_id="123456789012",
            find_secret=lambda key: None,
            authorize=lambda principal, action, resources: None,
            clock=lambda: 1_767_225_600.0,
        )

    async def send(self, path: str = "/", **form: str) -> HttpResponse:
        request = HttpRequest(
            method="POST",
            raw_path=path,
            raw_query="",
            headers=(
                ("host", "localhost"),
                ("content-type", "application/x-www-form-urlencoded"),
                ("x-amz-date", "20260101T000000Z"),
                ("authorization", AUTHORIZATION),
                *self.headers,
            ),
            body=urlencode(form).encode(),
            peer="127.0.0.1",
        )
        return await self.api.handle(request)


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    store = Store.open(None)
    made = Front(store)
    created = await made.send(Action="CreateQueue", QueueName="work")
    assert f"<QueueUrl>{URL}</QueueUrl>" in created.body.decode()
    yield made
    await store.close()


def values(response: HttpResponse, tag: str) -> list[str | None]:
    found = ElementTree.fromstring(response.body).iter()
    return [element.text for element in found if element.tag.rpartition("}")[2] == tag]


async def test_a_message_goes_through_with_its_attributes(front: Front) -> None:
    form = {
        "MessageAttribute.1.Name": "unit",
        "MessageAttribute.1.Value.DataType": "String",
        "MessageAttribute.1.Value.StringValue": "°C & <x>",
        "MessageAttribute.2.Name": "raw",
        "MessageAttribute.2.Value.DataType": "Binary",
        "MessageAttribute.2.Value.BinaryValue": "AP8=",
    }

    sent = await front.send(Action="SendMessage", QueueUrl=URL, MessageBody="a\rb <c>", DelaySeconds="0", **form)
    asked = {"AttributeName.1": "SenderId", "MessageAttributeName.1": "All", "MaxNumberOfMessages": "10"}
    received = await front.send("/123456789012/work", Action="ReceiveMessage", **asked)

    assert values(received, "Body") == ["a\rb <c>"]
    assert values(received, "MessageId") == values(sent, "MessageId")
    assert values(received, "MD5OfMessageAttributes") == values(sent, "MD5OfMessageAttributes")
    assert values(received, "StringValue") == ["°C & <x>"]
    assert values(received, "BinaryValue") == ["AP8="]
    assert values(received, "Value")[0] == "test"


async def test_entries_of_a_batch_answer_one_by_one(front: Front) -> None:
    form = {
        "SendMessageBatchRequestEntry.1.Id": "a",
        "SendMessageBatchRequestEntry.1.MessageBody": "x",
        "SendMessageBatchRequestEntry.2.Id": "b",
        "SendMessageBatchRequestEntry.2.MessageBody": "y",
        "SendMessageBatchRequestEntry.2.DelaySeconds": "901",
    }

    answer = await front.send(Action="SendMessageBatch", QueueUrl=URL, **form)

    assert values(answer, "Id") == ["a", "b"]
    assert values(answer, "Code") == ["InvalidParameterValue"]
    assert values(answer, "SenderFault") == ["true"]


async def test_tags_and_attributes_are_lists_of_pairs(front: Front) -> None:
    made = {"Attribute.1.Name": "VisibilityTimeout", "Attribute.1.Value": "7", "Tag.1.Key": "k", "Tag.1.Value": "v"}

    await front.send(Action="CreateQueue", QueueName="tagged", **made)
    shown = await front.send("/1/tagged", Action="GetQueueAttributes", **{"AttributeName.1": "VisibilityTimeout"})
    tags = await front.send("/1/tagged", Action="ListQueueTags")

    assert (values(shown, "Name"), values(shown, "Value")) == (["VisibilityTimeout"], ["7"])
    assert (values(tags, "Key"), values(tags, "Value")) == (["k"], ["v"])


async def test_a_traced_sender_traces_its_messages(front: Front) -> None:
    trace = "Root=1-3152b799-8954dae64eda91bc9a23a7e8;Parent=7fa8c0f79203be72;Sampled=1"

    front.headers = (("x-amzn-trace-id", trace),)
    await front.send(Action="SendMessage", QueueUrl=URL, MessageBody="a")
    received = await front.send(Action="ReceiveMessage", QueueUrl=URL, **{"AttributeName.1": "AWSTraceHeader"})

    assert values(received, "Value") == [trace]


@pytest.mark.parametrize(
    ("path", "form", "code", "message"),
    [
        (
            "/",
            {"Action": "SendMessage", "QueueUrl": "http://localhost/1/absent", "MessageBody": "a"},
            "AWS.SimpleQueueService.NonExistentQueue",
            "The specified queue does not exist for this wsdl version.",
        ),
        ("/", {"Action": "FooBar"}, "InvalidAction", "The action FooBar is not valid for this endpoint."),
        (
            "/123456789012/work",
            {"Action": "CreateQueue", "QueueName": "b"},
            "InvalidAction",
            "The action CreateQueue is not valid for this endpoint.",
        ),
        ("/", {"Version": "2012-11-05"}, "MissingAction", "The request must contain the parameter Action."),
        (
            "/",
            {"Action": "SendMessage", "QueueUrl": URL},
            "MissingParameter",
            "The request must contain the parameter MessageBody.",
        ),
        ("/", {"Action": "A", "Tag.x.Key": "k"}, "MalformedQueryString", "The elements of a list are numbered from 1"),
        (
            "/",
            {"Action": "A", "B": "1", "B.C": "2"},
            "MalformedQueryString",
            "B is given as a value and as a structure",
        ),
        (
            "/",
            {"Action": "A", "B.C": "1", "B": "2"},
            "MalformedQueryString",
            "B is given as a value and as a structure",
        ),
    ],
)
async def test_a_refusal_is_a_document_of_the_protocol(
    front: Front, path: str, form: dict[str, str], code: str, message: str
) -> None:
    response = await front.send(path, **form)

    assert response.status == 400
    assert (values(response, "Code"), values(response, "Message")) == ([code], [message])
    assert re.match(r'<\?xml version="1.0"\?><ErrorResponse xmlns="http://queue.amazonaws.com', response.body.decode())


async def test_a_form_of_too_many_parameters_is_refused(front: Front) -> None:
    response = await front.send(Action="SendMessage", **{f"AttributeName.{n}": "x" for n in range(5001)})

    assert values(response, "Code") == ["MalformedQueryString"]
