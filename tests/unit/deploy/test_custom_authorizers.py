"""Custom authorizers: what functions are asked, which answers count, refresh and end, and how they are kept."""

import base64
import datetime
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.deploy.authorizers.credentials import NAME, SIGNATURE, Presented
from headwater.deploy.authorizers.grants import read_grant
from headwater.deploy.authorizers.http import CustomHttp
from headwater.deploy.iot.access import DeviceAccess
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.roles import Roles
from headwater.errors import ServiceError
from headwater.mqtt.broker import Broker
from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import V5, V311, Connect, ReasonCode
from headwater.mqtt.connection import MqttConnection
from headwater.mqtt.ports import ClientContext, Refusal, TransportInfo
from headwater.mqtt.profile import AWS
from headwater.server.http.tls import CertificateAuthority
from headwater.storage.store import Store
from headwater.values.http import HttpRequest, HttpResponse
from tests.unit.deploy.custom_bench import ACCOUNT, ARN, CustomBench, allowing, answer

KEY = rsa.generate_private_key(65537, 2048)


def pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def sign(token: str, key: rsa.RSAPrivateKey = KEY) -> str:
    return base64.b64encode(key.sign(token.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


TLS = TransportInfo("tls", "10.0.0.7", server_name="localhost", alpn="mqtt")
SIGNED = {"signingDisabled": False, "tokenKeyName": "t", "tokenSigningPublicKeys": {"k": pem(KEY)}}


@dataclass
class Instance:
    custom: CustomBench
    access: DeviceAccess
    broker: Broker

    async def outcome(self, username: str | None = None, transport: TransportInfo = TLS, **members: Any) -> Any:
        found = self.access.authenticate(Connect("c1", V311, username=username, **members), transport)
        return found if isinstance(found, ClientContext | Refusal) else await found

    async def connected(self, client_id: str = "c1", username: str = f"?{NAME}=own") -> MqttConnection:
        """A connection of the broker, after its CONNECT was judged."""
        now = self.custom.now[0]
        connection = self.broker.open(TLS, now, lambda: None)
        connect = Connect(client_id, V5, username=username)
        connection.receive(encode_packet(connect, V5), now)
        found = self.access.authenticate(connect, TLS)
        connection.authenticated(found if isinstance(found, ClientContext | Refusal) else await found, now)
        return connection


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    store, now = Store.open(None), [1000.0]
    authority = CertificateAuthority(tmp_path / "tls", datetime.datetime.now(datetime.UTC))
    registry = DeviceRegistry(store, ACCOUNT, lambda: authority, clock=lambda: now[0], new_id=lambda: "id")
    custom = CustomBench(registry.database, now)
    access = DeviceAccess(registry, Roles("123456789012"), custom.authentication, clock=lambda: now[0])
    broker = Broker(AWS, new_id=lambda: "session", now=now[0], authorize=access.authorize)
    access.watch(broker)
    yield Instance(custom, access, broker)
    await store.close()


async def test_a_function_sees_tls_and_mqtt_of_a_client(instance: Instance) -> None:
    await instance.custom.add()

    client = await instance.outcome(f"me?{NAME}=own&x=1", password=b"\x00secret")

    assert (client.principal_id, client.thing_name, client.expires_at) == ("Someone1", None, 4600.0)
    (event,) = instance.custom.events
    assert event.pop("connectionMetadata")["id"].count("-") == 4
    assert event == {
        "signatureVerified": False,
        "protocols": ["tls", "mqtt"],
        "protocolData": {
            "tls": {"serverName": "localhost"},
            "mqtt": {"username": f"me?{NAME}=own&x=1", "password": "AHNlY3JldA==", "clientId": "c1"},
        },
    }


async def test_a_function_sees_the_upgrade_of_a_websocket_that_brings_credentials(instance: Instance) -> None:
    await instance.custom.add(tokenKeyName="t")
    headers = (("host", "device.example:8080"), (NAME, "own"), ("t", "abc"))

    await instance.outcome("me", TransportInfo("websocket", headers=headers, raw_query="a=b"), password=b"p")

    (event,) = instance.custom.events
    assert (event["token"], event["signatureVerified"], event["protocols"]) == ("abc", False, ["tls", "http"])
    assert event["protocolData"]["http"] == {"headers": dict(headers), "queryString": "?a=b"}
    assert event["protocolData"]["tls"] == {"serverName": "device.example"}


async def test_a_token_is_checked_before_the_function_is_asked(instance: Instance) -> None:
    await instance.custom.add("own", **SIGNED)
    other = rsa.generate_private_key(65537, 2048)
    good = sign("abc")

    admitted = await instance.outcome(f"?{NAME}=own&t=abc&{SIGNATURE}={good}")
    refused = [
        await instance.outcome(f"?{NAME}=own&{rest}")
        for rest in (
            "",
            "t=abc",
            f"{SIGNATURE}={good}",
            f"t=abd&{SIGNATURE}={good}",
            f"t=abc&{SIGNATURE}={sign('abc', other)}",
            f"t=abc&{SIGNATURE}=%21%21",
            f"t=abc&{SIGNATURE}=",
        )
    ]

    assert isinstance(admitted, ClientContext)
    assert {one.reason_code for one in refused} == {ReasonCode.NOT_AUTHORIZED}
    assert [(event["token"], event["signatureVerified"]) for event in instance.custom.events] == [("abc", True)]


async def test_either_of_two_keys_signs(instance: Instance) -> None:
    other = rsa.generate_private_key(65537, 2048)
    await instance.custom.add("own", **{**SIGNED, "tokenSigningPublicKeys": {"a": pem(KEY), "b": pem(other)}})

    for key in (KEY, other):
        assert isinstance(await instance.outcome(f"?{NAME}=own&t=x&{SIGNATURE}={sign('x', key)}"), ClientContext)


@pytest.mark.parametrize(
    "given_answer",
    [
        None,
        [],
        {},
        {"isAuthenticated": "true"},
        answer(isAuthenticated=False),
        answer(principalId=""),
        answer(principalId="a b"),
        answer(principalId="a" * 129),
        answer(principalId=5),
        answer(policyDocuments=[]),
        answer(policyDocuments=None),
        answer(policyDocuments=[allowing("*")] * 11),
        answer(policyDocuments=["{"]),
        answer(policyDocuments=[5]),
        answer(policyDocuments=[allowing("*", resource="x" * 2048)]),
        answer(disconnectAfterInSeconds=299),
        answer(disconnectAfterInSeconds=86_401),
        answer(disconnectAfterInSeconds="3600"),
        answer(refreshAfterInSeconds=299),
        answer(refreshAfterInSeconds=True),
        {k: v for k, v in answer().items() if k != "refreshAfterInSeconds"},
        ServiceError("FunctionFailed", "it raised"),
    ],
)
async def test_only_a_complete_answer_lets_a_client_in(instance: Instance, given_answer: Any) -> None:
    await instance.custom.add()
    instance.custom.answers[:] = [given_answer]

    outcome = await instance.outcome(f"?{NAME}=own")

    assert isinstance(outcome, Refusal)
    assert outcome.reason_code is ReasonCode.NOT_AUTHORIZED


async def test_the_policies_of_the_answer_decide(instance: Instance) -> None:
    await instance.custom.add()
    instance.custom.answers[:] = [
        answer(
            policyDocuments=[
                allowing("Connect", resource=f"{ARN}:client/${{iot:ClientId}}"),
                json.dumps(allowing("Publish", resource=f"{ARN}:topic/a/*")),
            ]
        )
    ]
    client = await instance.outcome(f"?{NAME}=own")

    assert instance.access.authorize(client, "Connect", "c1")
    assert instance.access.authorize(client, "Publish", "a/b")
    assert not instance.access.authorize(client, "Connect", "c2")
    assert not instance.access.authorize(client, "Publish", "b/a")
    assert not instance.access.authorize(client, "Subscribe", "a/b")


async def test_a_refresh_brings_new_policies_to_an_open_connection(instance: Instance) -> None:
    await instance.custom.add()
    instance.custom.answers[:] = [answer(refreshAfterInSeconds=600), answer(policyDocuments=[allowing("Connect")])]
    connection = await instance.connected()
    client = connection.client
    assert client is not None
    await instance.custom.timers[0][1]()
    assert instance.access.authorize(client, "Publish", "a")

    await instance.custom.timers[1][1]()

    assert not instance.access.authorize(client, "Publish", "a")
    assert not connection.is_closed
    assert [delay for delay, _ in instance.custom.timers] == [300, 300, 300]
    ids = {event["connectionMetadata"]["id"] for event in instance.custom.events}
    assert (len(instance.custom.events), len(ids)) == (2, 1)


@pytest.mark.parametrize(
    "second",
    [answer(isAuthenticated=False), ServiceError("FunctionTimeout", "too long"), {}, RuntimeError("nobody expects it")],
)
async def test_a_refresh_that_fails_ends_the_connection(instance: Instance, second: Any) -> None:
    await instance.custom.add()
    instance.custom.answers[:] = [answer(), second]
    connection = await instance.connected()

    await instance.custom.timers[0][1]()

    assert connection.is_closed
    assert len(instance.custom.timers) == 1


async def test_a_refresh_of_a_connection_that_has_gone_asks_nobody(instance: Instance) -> None:
    await instance.custom.add()
    first = await instance.connected()
    second = await instance.connected()

    await instance.custom.timers[0][1]()

    assert first.is_closed
    assert not second.is_closed
    assert len(instance.custom.events) == 2


async def test_what_a_client_showed_is_not_kept_for_the_day_its_grant_lasts(instance: Instance) -> None:
    await instance.custom.add()
    instance.custom.answers[:] = [answer(refreshAfterInSeconds=86_400)]
    first = await instance.connected()
    second = await instance.connected()

    while instance.custom.timers:
        delay, work = instance.custom.timers.pop(0)
        assert delay <= 300
        await work()
        if len(instance.custom.timers) == 1:
            break

    assert first.is_closed
    assert not second.is_closed
    assert len(instance.custom.events) == 2


async def test_a_connection_ends_when_the_answer_says_so(instance: Instance) -> None:
    await instance.custom.add()
    instance.custom.answers[:] = [answer(disconnectAfterInSeconds=300)]
    connection = await instance.connected()
    connection.receive(encode_packet(Connect("c1"), V311)[:0], 1299.0)

    instance.broker.tick(1299.0)
    assert not connection.is_closed
    instance.broker.tick(1300.0)
    assert connection.is_closed


async def test_the_default_is_asked_about_who_shows_nothing_else(instance: Instance) -> None:
    await instance.custom.add()
    bare = TransportInfo("websocket", "127.0.0.1")
    plain = TransportInfo("tcp", "127.0.0.1")
    assert (await instance.outcome("me")).reason_code is ReasonCode.NOT_AUTHORIZED
    assert instance.custom.events == []

    await instance.custom.authorizers.set_default("own")

    assert (await instance.outcome("me")).principal_id == "Someone1"
    assert (await instance.outcome("me", bare)).principal_id == "Someone1"
    assert (await instance.outcome("me", plain)).principal_id == "me"
    assert len(instance.custom.events) == 2


async def test_a_domain_has_an_authorizer_of_its_own(instance: Instance) -> None:
    custom = instance.custom
    await custom.add("domains")
    await custom.add("named")
    await custom.domains.create(
        "d",
        {
            "domainName": "Own.Example",
            "authenticationType": "CUSTOM_AUTH",
            "authorizerConfig": {"defaultAuthorizerName": "domains"},
        },
    )
    own = Presented("own.example", username=f"?{NAME}=named")
    elsewhere = Presented("localhost", username=f"?{NAME}=named")

    def chosen(presented: Presented, kind: str = "tls") -> str | None:
        return custom.authentication.authorizer_of(presented, kind, is_bare=True)

    assert (chosen(own), chosen(elsewhere), chosen(Presented("localhost"))) == ("domains", "named", None)
    await custom.domains.update(
        "d",
        {"authorizerConfig": {"defaultAuthorizerName": "domains", "allowAuthorizerOverride": True}},
        removes_authorizer=False,
    )
    assert (chosen(own), chosen(Presented("own.example"))) == ("named", "domains")
    await custom.domains.update("d", {"applicationProtocol": "MQTT_WSS"}, removes_authorizer=False)
    assert (chosen(Presented("own.example")), chosen(Presented("own.example"), "websocket")) == (None, "domains")
    admits = custom.authentication.admits_without_certificate
    assert admits(TransportInfo("tls", server_name="own.example"))
    assert not admits(TransportInfo("tls", server_name="other.example"))
    await custom.domains.update("d", {"domainConfigurationStatus": "DISABLED"}, removes_authorizer=False)
    assert not admits(TransportInfo("tls", server_name="own.example"))


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"authorizerFunctionArn": None}, "not the ARN of a function"),
        ({"authorizerFunctionArn": "arn:aws:sqs:us-east-1:1:q"}, "not the ARN of a function"),
        ({"status": "ON"}, "expected ACTIVE or INACTIVE"),
        ({"signingDisabled": False}, "are needed unless"),
        ({**SIGNED, "signingDisabled": "false"}, "signingDisabled is true or false"),
        ({**SIGNED, "signingDisabled": 1}, "signingDisabled is true or false"),
        ({"enableCachingForHttp": "no"}, "enableCachingForHttp is true or false"),
        ({"tokenKeyName": "a b"}, "tokenKeyName"),
        ({"tokenKeyName": 5}, "tokenKeyName"),
        ({"tokenSigningPublicKeys": {"a": "x", "b": "x", "c": "x"}}, "at most 2"),
        ({"tokenSigningPublicKeys": ["x"]}, "at most 2"),
        ({"tokenSigningPublicKeys": {"a": "x"}}, "no public key in PEM"),
        ({"tokenSigningPublicKeys": {"a": 5}}, "no public key in PEM"),
        ({"tokenSigningPublicKeys": {"a": pem(ec.generate_private_key(ec.SECP256R1()))}}, "not an RSA key"),
        ({"tokenSigningPublicKeys": {"a": pem(rsa.generate_private_key(65537, 1024))}}, "at least 2048 bits"),
    ],
)
async def test_an_authorizer_that_cannot_work_is_refused(instance: Instance, members: Any, fault: str) -> None:
    with pytest.raises(ServiceError, match=fault) as refused:
        await instance.custom.add("own", **members)

    assert refused.value.code == "InvalidRequestException"


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"domainName": "a b"}, "host name"),
        ({"serviceType": "JOBS"}, "DATA does"),
        ({"authenticationType": "AWS_SIGV4"}, "DEFAULT, CUSTOM_AUTH do"),
        ({"applicationProtocol": "COAP"}, "SECURE_MQTT"),
        ({"authorizerConfig": {"other": 1}}, "authorizerConfig.other"),
        ({"authorizerConfig": "x"}, "is an object"),
        ({"authorizerConfig": {"allowAuthorizerOverride": "no"}}, "allowAuthorizerOverride is true or false"),
    ],
)
async def test_a_domain_that_cannot_work_is_refused(instance: Instance, members: Any, fault: str) -> None:
    with pytest.raises(ServiceError, match=fault):
        await instance.custom.domains.create("d", members)


def http_publish(headers: tuple[tuple[str, str], ...], query: str = "", derived: Any = None) -> HttpRequest:
    request = HttpRequest("POST", "/topics/a%2Fb", query, (("host", "localhost:1"), *headers), b"{}", "10.0.0.7")
    if derived is not None:
        request.derived = derived
    return request


async def test_a_kept_http_connection_asks_again_when_the_answer_has_aged(instance: Instance) -> None:
    custom = instance.custom
    await custom.add("kept", enableCachingForHttp=True)
    await custom.add("asked")

    async def publish(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200)

    http = CustomHttp(custom.authentication, custom.authorizers, ACCOUNT, publish=publish, clock=lambda: custom.now[0])
    handle = http.in_front_of(publish)
    connection: dict[str, Any] = {}

    for name, expected in (("kept", 1), ("asked", 3)):
        for _ in range(2):
            assert (await handle(http_publish(((NAME, name),), derived=connection))).status == 200
        assert len(custom.events) == expected
    await handle(http_publish(((NAME, "kept"),), derived={}))
    assert len(custom.events) == 4
    custom.now[0] += 300
    connection.clear()
    await handle(http_publish(((NAME, "kept"),), derived=connection))
    custom.now[0] += 300
    await handle(http_publish(((NAME, "kept"),), derived=connection))
    assert len(custom.events) == 6


@pytest.mark.parametrize("query", ["retain=true", "retain=true&retain=true", "retain=false&retain=true"])
async def test_retaining_over_http_needs_its_own_permission(instance: Instance, query: str) -> None:
    custom = instance.custom
    await custom.add("own")
    custom.answers[:] = [answer(policyDocuments=[allowing("Publish")])]

    async def publish(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200)

    http = CustomHttp(custom.authentication, custom.authorizers, ACCOUNT, publish=publish, clock=lambda: custom.now[0])
    handle = http.in_front_of(publish)

    assert (await handle(http_publish(((NAME, "own"),)))).status == 200
    assert (await handle(http_publish(((NAME, "own"),), query))).status == 403


@pytest.mark.parametrize("path", ["/topics/a/b", "/topics/a/b/", "/topics/a/b//", "/topics/a%2Fb"])
async def test_a_path_is_read_alike_by_who_decides_and_who_publishes(instance: Instance, path: str) -> None:
    custom = instance.custom
    await custom.add("own")
    denying = {**allowing("Publish", resource=f"{ARN}:topic/a/b")["Statement"][0], "Effect": "Deny"}
    policies = [allowing("Publish"), {"Version": "2012-10-17", "Statement": [denying]}]
    custom.answers[:] = [answer(policyDocuments=policies)]

    async def publish(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200)

    http = CustomHttp(custom.authentication, custom.authorizers, ACCOUNT, publish=publish, clock=lambda: custom.now[0])
    request = HttpRequest("POST", path, "", (("host", "localhost:1"), (NAME, "own")), b"{}", "10.0.0.7")

    assert (await http.in_front_of(publish)(request)).status == 403


TEXT = st.one_of(st.text(max_size=12), st.sampled_from([NAME, SIGNATURE, "own", "t", "=", "&", "?", "%", "%ff", "+"]))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=6), st.just(allowing("*"))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*answer(), "Statement", "Version"]), inner, max_size=4),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXT, max_size=8).map("".join), st.lists(st.tuples(TEXT, TEXT), max_size=3))
def test_whatever_a_client_shows_is_looked_through(text: str, headers: list[tuple[str, str]]) -> None:
    presented = Presented("h", tuple(headers), text, text, text.encode("utf-8", "replace"), text, has_http=True)

    for name in (NAME, SIGNATURE, "t"):
        assert presented.value(name) is None or isinstance(presented.value(name), str)
    json.dumps(presented.event(presented.value("t"), is_verified=False)).encode()


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_whatever_a_function_answers_is_a_grant_or_is_refused(told: Any) -> None:
    try:
        grant = read_grant({**answer(), **told} if isinstance(told, dict) else told)
    except ServiceError as error:
        assert error.code == "InvalidResponseException"  # noqa: PT017  # most answers are none at all
    else:
        assert grant is None or grant.principal_id
