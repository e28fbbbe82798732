"""Whatever is sent to the IoT APIs, the answer is one of the service's and nothing breaks."""

import asyncio
import datetime
import tempfile
from pathlib import Path
from urllib.parse import quote, urlencode

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.deploy.iot.access import DeviceAccess
from headwater.deploy.iot.api import IotApi
from headwater.deploy.iot.data_api import IotDataApi
from headwater.deploy.iot.operations import OPERATIONS, permissions
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.roles import Roles
from headwater.errors import ServiceError
from headwater.mqtt.codec.packets import V311, Connect
from headwater.mqtt.ports import ClientContext, Refusal, TransportInfo
from headwater.server.aws.permissions import Account
from headwater.server.http.tls import CertificateAuthority
from headwater.server.mqtt.server import MqttServer
from headwater.storage.store import Store
from headwater.values.http import HttpRequest, HttpResponse
from tests.unit.deploy.custom_bench import CustomBench

ACCOUNT = Account("us-east-1", "123456789012")
CERTIFICATE = f"arn:aws:iot:us-east-1:123456789012:cert/{'a' * 64}"
TEXT = st.one_of(st.text(max_size=20), st.sampled_from(["t", "p", CERTIFICATE, "a" * 64, "true", "-1", "9" * 30]))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    "attributePayload thingTypeName policyDocument target certificateSigningRequest thingTypeProperties "
    "expectedVersion removeThingType billingGroupName parentGroupName thingGroupProperties thingGroupName thingName "
    "thingArn thingGroupArn thingGroupsToAdd thingGroupsToRemove undoDeprecate principal".split()
)
QUERY = st.dictionaries(
    st.sampled_from(
        "setAsActive newStatus forceDelete pageSize marker maxResults nextToken isAscendingOrder expectedVersion "
        "endpointType attributeName attributeValue thingPrincipalType "
        "parentGroup namePrefixFilter recursive setAsDefault thingName "
        "qos retain messageExpiry responseTopic".split()
    ),
    TEXT,
    max_size=3,
)


def text_path(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")


@st.composite
def iot_requests(draw: st.DrawFn) -> HttpRequest:
    operation = draw(st.sampled_from(OPERATIONS))
    parts = [text_path(draw(TEXT)) if part.startswith("{") else part for part in operation.path.split("/")]
    body = draw(st.one_of(st.binary(max_size=20), st.dictionaries(MEMBERS, JSON, max_size=3).map(orjson.dumps)))
    query = urlencode({name: value.encode("utf-8", "replace") for name, value in draw(QUERY).items()})
    headers = (("x-amzn-principal", draw(st.sampled_from(["", "x", CERTIFICATE]))),)
    return HttpRequest(operation.method, "/" + "/".join(parts), query, headers, body, "127.0.0.1")


@st.composite
def data_requests(draw: st.DrawFn) -> HttpRequest:
    method, folder = draw(st.sampled_from([("POST", "topics"), ("GET", "retainedMessage"), ("DELETE", "connections")]))
    query = urlencode({name: value.encode("utf-8", "replace") for name, value in draw(QUERY).items()})
    header = draw(st.sampled_from("user-properties correlation-data payload-format-indicator".split()))
    headers = ((f"x-amz-mqtt5-{header}", draw(st.text(st.characters(max_codepoint=255), max_size=20))),)
    return HttpRequest(
        method, f"/{folder}/{text_path(draw(TEXT)) or 'x'}", query, headers, draw(st.binary(max_size=50)), "x"
    )


def is_an_answer(response: HttpResponse) -> bool:
    document = orjson.loads(response.body)
    if response.status == 200:
        return isinstance(document, dict)
    return response.status in (400, 404, 406, 409, 410, 413) and bool(document["message"])


@settings(max_examples=80, deadline=None)
@given(st.lists(iot_requests(), max_size=8))
def test_the_registry_answers_any_request(requests: list[HttpRequest]) -> None:
    async def send() -> None:
        store = Store.open(None)
        now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        with tempfile.TemporaryDirectory() as folder:
            registry = DeviceRegistry(
                store,
                ACCOUNT,
                lambda: CertificateAuthority(Path(folder), now),
                clock=lambda: 0.0,
                new_id=lambda: "id",
            )
            api = IotApi(registry, "localhost")
            for request in requests:
                assert is_an_answer(await api.handle(request))
                assert _needed(request) in (0, 1)
        await store.close()

    asyncio.run(send())


@settings(max_examples=80, deadline=None)
@given(st.lists(data_requests(), max_size=5))
def test_the_data_plane_answers_any_request(requests: list[HttpRequest]) -> None:
    async def send() -> None:
        api = IotDataApi(MqttServer(), clock=lambda: 0.0)
        for request in requests:
            assert is_an_answer(await api.handle(request))

    asyncio.run(send())


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=200),
    st.sampled_from(["tcp", "tls", "websocket"]),
    st.one_of(st.text(max_size=60), st.sampled_from(["X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/b"])),
    st.dictionaries(st.sampled_from(["origin", "host", "authorization"]), st.text(max_size=30), max_size=3),
)
def test_anybody_is_admitted_or_refused(client_id: str, kind: str, query: str, headers: dict[str, str]) -> None:
    store = Store.open(None)
    registry = DeviceRegistry(store, ACCOUNT, _no_authority, clock=lambda: 0.0, new_id=lambda: "id")
    custom = CustomBench(registry.database, [0.0])
    access = DeviceAccess(registry, Roles("123456789012"), custom.authentication, clock=lambda: 0.0)
    transport = TransportInfo(kind, raw_query=query, headers=tuple(headers.items()))  # type: ignore[arg-type]  # one of the kinds

    outcome = access.authenticate(Connect(client_id, V311), transport)

    assert isinstance(outcome, ClientContext | Refusal)
    asyncio.run(store.close())


def _needed(request: HttpRequest) -> int:
    """How many permissions a request needs; none if it is refused before anybody asks."""
    try:
        return len(permissions(request, ACCOUNT))
    except ServiceError:
        return 0


def _no_authority() -> CertificateAuthority:
    raise AssertionError("nothing is issued")
