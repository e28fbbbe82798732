"""The `iot` and `iot-data` APIs: paths as botocore has them, permissions, answers to what nobody should send."""

import datetime
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from botocore.session import Session

from headwater.deploy.iot.api import IotApi
from headwater.deploy.iot.data_api import IotDataApi, data_permissions
from headwater.deploy.iot.operations import OPERATIONS, permissions, read_call
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.server.aws.permissions import Account, Permission
from headwater.server.http.tls import CertificateAuthority
from headwater.server.mqtt.server import MqttServer
from headwater.storage.store import Store
from headwater.values.http import HttpRequest, HttpResponse

ACCOUNT = Account("us-east-1", "123456789012")
ARN = "arn:aws:iot:us-east-1:123456789012"
CERTIFICATE = f"{ARN}:cert/{'a' * 64}"


def request(method: str, path: str, body: Any = None, query: str = "", **headers: str) -> HttpRequest:
    raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return HttpRequest(method, path, query, sent, raw, "127.0.0.1")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[IotApi]:
    store = Store.open(None)
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    registry = DeviceRegistry(
        store, ACCOUNT, lambda: CertificateAuthority(tmp_path, now), clock=lambda: 0.0, new_id=lambda: "id"
    )
    yield IotApi(registry, "localhost")
    await store.close()


def error(response: HttpResponse) -> tuple[int, str]:
    headers = dict(response.headers)
    assert orjson.loads(response.body)["message"]
    return response.status, headers["x-amzn-errortype"]


def test_every_operation_is_where_the_service_has_it() -> None:
    model = Session().get_service_model("iot")

    for operation in OPERATIONS:
        http = model.operation_model(operation.name).http
        assert (operation.method, f"/{operation.path}") == (http["method"], http["requestUri"])


def test_paths_are_decoded_and_the_principal_is_found_wherever_it_is() -> None:
    target = quote(CERTIFICATE, safe="")

    named = read_call(request("GET", "/things/a%3Ab"))
    in_path = read_call(request("POST", f"/attached-policies/{target}"))
    in_header = read_call(request("PUT", "/things/t/principals", x_amzn_principal=CERTIFICATE))
    in_body = read_call(request("PUT", "/target-policies/p", {"target": CERTIFICATE}))

    assert named is not None
    assert named.path == {"thingName": "a:b"}
    for call in (in_path, in_header, in_body):
        assert call is not None
        assert call.principal == CERTIFICATE


@pytest.mark.parametrize(
    ("sent", "action", "resource"),
    [
        (request("POST", "/things/t"), "iot:CreateThing", f"{ARN}:thing/t"),
        (request("GET", "/endpoint"), "iot:DescribeEndpoint", "*"),
        (request("POST", "/certificates", {}), "iot:CreateCertificateFromCsr", "*"),
        (request("PUT", "/target-policies/p", {"target": CERTIFICATE}), "iot:AttachPolicy", CERTIFICATE),
        (request("PUT", "/target-policies/p", {"target": 5}), "iot:AttachPolicy", "*"),
        (
            request("PUT", "/things/t/principals", x_amzn_principal=CERTIFICATE),
            "iot:AttachThingPrincipal",
            CERTIFICATE,
        ),
        (request("DELETE", "/policies/p"), "iot:DeletePolicy", f"{ARN}:policy/p"),
    ],
)
def test_a_request_needs_the_permission_of_its_operation(sent: HttpRequest, action: str, resource: str) -> None:
    assert permissions(sent, ACCOUNT) == [Permission(action, (resource,))]


@pytest.mark.parametrize("query", ["retain=true&retain=true", "retain=true&retain=false", "retain=false&retain=true"])
def test_retaining_needs_its_permission_however_often_it_is_asked_for(query: str) -> None:
    needed = data_permissions(request("POST", "/topics/a%2Fb/", query=query), ACCOUNT)

    assert [one.action for one in needed] == ["iot:Publish", "iot:RetainPublish"]
    assert {one.resources for one in needed} == {("arn:aws:iot:us-east-1:123456789012:topic/a/b",)}


def test_data_plane_requests_need_their_own_permissions() -> None:
    publish = data_permissions(request("POST", "/topics/a%2Fb", query="qos=1&retain=true"), ACCOUNT)
    disconnect = data_permissions(request("DELETE", "/connections/c%3A1"), ACCOUNT)

    assert publish == [
        Permission("iot:Publish", (f"{ARN}:topic/a/b",)),
        Permission("iot:RetainPublish", (f"{ARN}:topic/a/b",)),
    ]
    assert disconnect == [Permission("iot:DeleteConnection", (f"{ARN}:client/c:1",))]


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (request("POST", "/certificate/register", {"certificatePem": "x"}), "RegisterCertificate"),
        (request("POST", "/billing-groups/g", {}), "CreateBillingGroup"),
        (request("POST", "/dynamic-thing-groups/g", {}), "CreateDynamicThingGroup"),
        (request("POST", "/rules/r", {}), "CreateTopicRule"),
        (request("TRACE", "/nothing/like/it"), "TRACE /nothing/like/it"),
        (request("GET", "/"), "GET /"),
    ],
)
async def test_what_does_not_work_here_is_refused_by_its_name(api: IotApi, sent: HttpRequest, name: str) -> None:
    response = await api.handle(sent)

    assert error(response) == (404, "UnknownOperationException")
    assert f"{name} does not work here".encode() in response.body


@pytest.mark.parametrize(
    "sent",
    [
        request("POST", "/things/t", b"{"),
        request("POST", "/things/t", b"\xff\xfe"),
        request("POST", "/things/t", []),
        request("POST", "/things/t", {"attributePayload": 5}),
        request("POST", "/things/t", {"attributePayload": {"attributes": [1]}}),
        request("POST", "/things/t", {"attributePayload": {"attributes": {"a": None}}}),
        request("POST", "/things/t", {"thingTypeName": {}}),
        request("POST", "/things/t", {"billingGroupName": "b"}),
        request("POST", "/things/%00", {}),
        request("POST", "/things/" + "x" * 5000, {}),
        request("POST", "/things/t", {"attributePayload": {"attributes": {"a": "x" * 10_000_000}}}),
        request("PATCH", "/things/t", {"expectedVersion": "1"}),
        request("PATCH", "/things/t", {"removeThingType": True, "thingTypeName": "x"}),
        request("DELETE", "/things/t", query="expectedVersion=x"),
        request("POST", "/thing-types/t", {"thingTypeProperties": {"searchableAttributes": ["a", "b", "c", "d"]}}),
        request("POST", "/thing-types/t", {"thingTypeProperties": {"mqtt5Configuration": {}}}),
        request("POST", "/certificates", {"certificateSigningRequest": "x"}),
        request("POST", "/certificates", {}),
        request("PUT", f"/certificates/{'a' * 64}", query="newStatus=PENDING_TRANSFER"),
        request("GET", "/certificates/short"),
        request("GET", "/certificates", query="pageSize=0"),
        request("GET", "/things", query="maxResults=x"),
        request("GET", "/things", query="nextToken=%25"),
        request("POST", "/policies/p", {"policyDocument": 5}),
        request("POST", "/policies/p%20q", {"policyDocument": "{}"}),
        request("PUT", "/target-policies/p", {"target": ["x"]}),
        request("PUT", "/things/t/principals"),
        request("PUT", "/things/t/principals", query="thingPrincipalType=EXCLUSIVE_THING"),
        request("GET", "/endpoint", query="endpointType=iot:Jobs"),
    ],
    ids=lambda sent: f"{sent.method} {sent.raw_path[:30]} {sent.raw_query} {sent.body[:40]!r}",
)
async def test_requests_nobody_should_send_are_invalid_requests(api: IotApi, sent: HttpRequest) -> None:
    response = await api.handle(sent)

    assert error(response) == (400, "InvalidRequestException")
    assert len(response.body) < 1000


async def test_an_error_names_what_exists_already(api: IotApi) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    body = {"policyDocument": json.dumps(document)}
    await api.handle(request("POST", "/policies/p", body))

    response = await api.handle(request("POST", "/policies/p", body))

    assert error(response) == (409, "ResourceAlreadyExistsException")
    assert orjson.loads(response.body)["resourceArn"] == f"{ARN}:policy/p"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("POST", "/topics/a%2F%2B", b"x"), 400),
        (request("POST", "/topics/a", b"x", query="qos=2"), 400),
        (request("POST", "/topics/" + "a" * 300, b"x"), 400),
        (request("POST", "/topics/a", b"x" * 131_073), 413),
        (request("POST", "/topics/a", b"x", query="messageExpiry=-1"), 400),
        (request("POST", "/topics/a", b"x", query="responseTopic=a%2F%23"), 400),
        (request("POST", "/topics/a", b"x", x_amz_mqtt5_user_properties="%%%"), 400),
        (request("POST", "/topics/a", b"x", x_amz_mqtt5_user_properties="WzFd"), 400),
        (request("POST", "/topics/a", b"x", x_amz_mqtt5_correlation_data="%%%"), 400),
        (request("POST", "/topics/a", b"x", x_amz_mqtt5_payload_format_indicator="TEXT"), 400),
        (request("GET", "/retainedMessage/nothing"), 404),
        (request("GET", "/retainedMessage", query="maxResults=201"), 400),
        (request("DELETE", "/connections/nobody"), 404),
        (request("GET", "/things/t/shadow"), 404),
        (request("POST", "/topics/", b"x"), 404),
    ],
    ids=lambda value: f"{value.raw_path[:30]} {value.raw_query}" if isinstance(value, HttpRequest) else str(value),
)
async def test_the_data_plane_answers_with_the_services_errors(sent: HttpRequest, status: int) -> None:
    data = IotDataApi(MqttServer(), clock=lambda: 0.0)

    response = await data.handle(sent)

    assert error(response)[0] == status


async def test_a_publish_keeps_its_mqtt_5_properties() -> None:
    data = IotDataApi(MqttServer(), clock=lambda: 0.0)
    headers = {
        "x_amz_mqtt5_user_properties": "W3siayI6InYifSx7ImsiOiJ3In1d",
        "x_amz_mqtt5_correlation_data": "aWQ=",
        "x_amz_mqtt5_payload_format_indicator": "UTF8_DATA",
    }
    query = "qos=1&retain=true&contentType=text%2Fplain&responseTopic=a%2Freply"

    await data.handle(request("POST", "/topics/a%2Fb", b"hi", query, **headers))
    kept = await data.handle(request("GET", "/retainedMessage/a%2Fb"))
    listed = await data.handle(request("GET", "/retainedMessage"))

    document = orjson.loads(kept.body)
    assert (document["topic"], document["payload"], document["qos"]) == ("a/b", "aGk=", 1)
    assert document["userProperties"] == headers["x_amz_mqtt5_user_properties"]
    assert orjson.loads(listed.body)["retainedTopics"][0]["payloadSize"] == 2
