"""Custom authorizers with the clients devices have: the AWS IoT SDK, paho over TLS and WebSocket, HTTP, boto3."""

import base64
import concurrent.futures
import http.client
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import paho.mqtt.client as mqtt
import pytest
from awscrt import mqtt5
from awsiot import mqtt5_client_builder
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.cli.test_stopping import workers_of
from tests.journeys.test_devices import Client
from tests.support.product import Product, eventually

TEMPLATE = Path(__file__).parent / "fleet_stack" / "template.yaml"
KEY = rsa.generate_private_key(65537, 2048)
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
NAME, SIGNATURE = "x-amz-customauthorizer-name", "x-amz-customauthorizer-signature"


def sign(token: str) -> str:
    return base64.b64encode(KEY.sign(token.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    arguments = ("--param", f"PublicKey={PUBLIC}")
    running = Product(tmp_path_factory.mktemp("custom") / "data", arguments, TEMPLATE).start()
    yield running
    assert running.terminate() == 0, running.log()


def tls_client(
    stack: Product, client_id: str, username: str, password: str | None, *, alpn: str | None = "mqtt"
) -> Client:
    client = Client(client_id)
    context = ssl.create_default_context(cafile=stack.ready["caFile"])
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    client.client.tls_set_context(context)
    client.client.username_pw_set(username, password)
    return client.connect("localhost", stack.ready["mqttTlsPort"])


def websocket_client(
    stack: Product, client_id: str, *, headers: dict[str, str] | None = None, query: str = "", **credentials: str
) -> Client:
    address = urlsplit(stack.ready["awsEndpointUrl"])
    client = Client(client_id, transport="websockets")
    client.client.ws_set_options(f"/mqtt{query}", {"Host": address.netloc, **(headers or {})})
    if credentials:
        client.client.username_pw_set(credentials["username"], credentials.get("password"))
    return client.connect(str(address.hostname), address.port or 0)


def test_a_password_lets_a_device_in_and_its_policy_holds(stack: Product) -> None:
    client = tls_client(stack, "pw-1", f"me?{NAME}=plain", "let me in")

    assert client.is_admitted
    assert client.subscribe("own/pw-1")
    assert not client.subscribe("own/#")
    assert client.publish("own/pw-1", b"mine")
    assert eventually(lambda: client.messages) == [("own/pw-1", b"mine")]
    assert not client.publish("own/another", b"not mine")
    assert client.ended.wait(10)


@pytest.mark.parametrize(
    ("username", "password"),
    [
        (f"me?{NAME}=plain", "wrong"),
        (f"me?{NAME}=plain", None),
        (f"me?{NAME}=plain", "crash"),
        (f"me?{NAME}=plain", "wrong-shape"),
        (f"me?{NAME}=absent", "let me in"),
        (f"me?{NAME}=off", "let me in"),
        (f"me?{NAME}=signed", "let me in"),
        (f"me?{NAME}=signed&device-token=good&{SIGNATURE}=AAAA", "let me in"),
        (f"me?{NAME}=%ff%00", "let me in"),
        ("me", "let me in"),
    ],
)
def test_everybody_else_is_turned_away(stack: Product, username: str, password: str | None) -> None:
    assert tls_client(stack, "away-1", username, password).is_admitted is False


def test_a_client_without_certificate_and_alpn_is_cut_off(stack: Product) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        tls_client(stack, "no-alpn", f"me?{NAME}=plain", "let me in", alpn=None)


@pytest.mark.parametrize("encode", [quote, str], ids=["encoded", "as it is"])
def test_a_signed_token_lets_a_device_in(stack: Product, encode: Any) -> None:
    username = f"?{NAME}=signed&device-token=good&{SIGNATURE}={encode(sign('good'))}"

    assert tls_client(stack, "token-1", username, None).is_admitted
    assert tls_client(stack, "token-1", username.replace("=good", "=bad"), None).is_admitted is False


class SdkClient:
    """The SDK's MQTT 5 client; its first connection succeeds or fails."""

    def __init__(self, stack: Product, client_id: str, **credentials: Any) -> None:
        self.outcome: concurrent.futures.Future[bool] = concurrent.futures.Future()
        self.client = mqtt5_client_builder.direct_with_custom_authorizer(
            endpoint="localhost",
            port=stack.ready["mqttTlsPort"],
            ca_filepath=stack.ready["caFile"],
            client_id=client_id,
            on_lifecycle_connection_success=lambda _: self._told(True),
            on_lifecycle_connection_failure=lambda _: self._told(False),
            **credentials,
        )
        self.client.start()

    def _told(self, is_connected: bool) -> None:
        if not self.outcome.done():
            self.outcome.set_result(is_connected)


def test_the_sdk_connects_with_an_authorizer(stack: Product) -> None:
    signed = {"auth_authorizer_name": "signed", "auth_token_key_name": "device-token", "auth_token_value": "good"}

    admitted = SdkClient(stack, "sdk-1", auth_username="me", auth_authorizer_signature=sign("good"), **signed)
    refused = SdkClient(stack, "sdk-2", auth_authorizer_signature=sign("other"), **signed)

    assert admitted.outcome.result(10) is True
    assert refused.outcome.result(10) is False
    refused.client.stop()
    packet = mqtt5.PublishPacket(topic="own/sdk-1", qos=mqtt5.QoS.AT_LEAST_ONCE, payload=b"x")
    assert admitted.client.publish(packet).result(10).puback.reason_code == mqtt5.PubackReasonCode.SUCCESS
    admitted.client.stop()


def test_websockets_bring_credentials_in_headers_query_or_connect(stack: Product) -> None:
    token = {"device-token": "good", SIGNATURE: sign("good"), NAME: "signed"}

    by_header = websocket_client(stack, "ws-1", headers=token)
    by_query = websocket_client(stack, "ws-2", query=f"?{urlencode(token)}")
    by_connect = websocket_client(stack, "ws-3", username=f"me?{NAME}=plain", password="let me in")
    forged = websocket_client(stack, "ws-4", headers={**token, "device-token": "other"})

    assert [one.is_admitted for one in (by_header, by_query, by_connect, forged)] == [True, True, True, False]
    assert by_connect.publish("own/ws-3", b"x")
    assert by_header.publish("own/http", b"x"), "the authorizer was asked before there was a client id"
    assert not by_query.publish("own/ws-2", b"x")


def test_the_domains_authorizer_decides_whatever_a_client_names(stack: Product) -> None:
    client = Client("domain-1")
    context = ssl.create_default_context(cafile=stack.ready["caFile"])
    context.check_hostname = False
    client.client.tls_set_context(context)
    client.client.username_pw_set(f"me?{NAME}=off", "let me in")
    plain_connect = mqtt.Client._ssl_wrap_socket

    def wrap(self: Any, sock: Any) -> Any:
        self._host, host = "devices.example", self._host
        try:
            return plain_connect(self, sock)
        finally:
            self._host = host

    client.client._ssl_wrap_socket = wrap.__get__(client.client)  # type: ignore[method-assign]  # paho has no SNI option
    client.connect("localhost", stack.ready["mqttTlsPort"])

    assert client.is_admitted
    assert client.publish("own/domain-1", b"x")
    client.close()


def post(
    stack: Product, path: str, headers: dict[str, str], connection: http.client.HTTPConnection | None = None
) -> int:
    address = urlsplit(stack.ready["awsEndpointUrl"])
    used = connection or http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    used.request("POST", path, b'{"a":1}', headers)
    answer = used.getresponse()
    answer.read()
    if connection is None:
        used.close()
    return answer.status


def test_http_publishes_are_held_to_the_authorizer(stack: Product) -> None:
    token = {"device-token": "good", SIGNATURE: sign("good"), NAME: "signed"}
    client = Client("http-listener").connect(stack.ready["mqttHost"], stack.ready["mqttPort"])
    assert client.subscribe("own/http")

    assert post(stack, "/topics/own/http?qos=1", token) == 200
    assert post(stack, f"/topics/own/http?qos=1&{urlencode(token)}", {}) == 200
    assert post(stack, "/topics/own/other?qos=1", token) == 403
    assert post(stack, "/topics/own/http?qos=1&retain=true", token) == 403
    assert post(stack, "/topics/own/http?qos=1", {**token, SIGNATURE: "AAAA"}) == 401
    assert post(stack, "/topics/own/http?qos=1", {NAME: "absent"}) == 401
    assert post(stack, "/topics/own/http?qos=1", {}) >= 400
    assert eventually(lambda: len(client.messages) == 2)
    client.close()


def test_boto3_manages_and_tries_authorizers(stack: Product) -> None:
    iot = stack.boto3("iot")
    described = iot.describe_authorizer(authorizerName="signed")["authorizerDescription"]
    assert (described["status"], described["tokenKeyName"], described["enableCachingForHttp"]) == (
        "ACTIVE",
        "device-token",
        True,
    )
    assert described["tokenSigningPublicKeys"] == {"first": PUBLIC}

    tried = iot.test_invoke_authorizer(
        authorizerName="plain",
        mqttContext={"username": "me", "password": b"let me in", "clientId": "c1"},
        httpContext={"headers": {"a": "b"}, "queryString": "?x=y"},
        tlsContext={"serverName": "sni.example"},
    )

    assert (tried["isAuthenticated"], tried["principalId"]) == (True, "Custom1")
    assert (tried["disconnectAfterInSeconds"], tried["refreshAfterInSeconds"]) == (86400, 300)
    seen = bytes.fromhex(json.loads(tried["policyDocuments"][1])["Statement"][0]["Sid"]).decode()
    assert '"protocols": ["tls", "http", "mqtt"]' in seen
    assert '"mqtt": {"username": "me", "password": "bGV0IG1lIGlu", "clientId": "c1"}' in seen
    assert '"http": {"headers": {"a": "b"}, "queryString": "?x=y"}' in seen
    assert iot.test_invoke_authorizer(authorizerName="signed", token="good", tokenSignature=sign("good"))[
        "isAuthenticated"
    ]
    with pytest.raises(iot.exceptions.UnauthorizedException):
        iot.test_invoke_authorizer(authorizerName="signed", token="good", tokenSignature=sign("bad"))
    with pytest.raises(iot.exceptions.InvalidResponseException, match="principalId"):
        iot.test_invoke_authorizer(authorizerName="plain", mqttContext={"password": b"wrong-shape"})
    assert not iot.test_invoke_authorizer(authorizerName="plain", mqttContext={"password": b"no"})["isAuthenticated"]


def test_boto3_makes_changes_and_deletes_authorizers(stack: Product) -> None:
    iot = stack.boto3("iot")
    arn = iot.describe_authorizer(authorizerName="plain")["authorizerDescription"]["authorizerFunctionArn"]
    made = iot.create_authorizer(authorizerName="mine", authorizerFunctionArn=arn, signingDisabled=True)
    assert made["authorizerArn"] == "arn:aws:iot:us-east-1:123456789012:authorizer/mine"
    assert tls_client(stack, "mine-1", f"?{NAME}=mine", "let me in").is_admitted is False

    iot.update_authorizer(authorizerName="mine", status="ACTIVE")

    assert tls_client(stack, "mine-1", f"?{NAME}=mine", "let me in").is_admitted
    names = [one["authorizerName"] for one in iot.list_authorizers(ascendingOrder=True)["authorizers"]]
    assert names == ["mine", "off", "plain", "signed"]
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_authorizer(authorizerName="mine")
    with pytest.raises(iot.exceptions.InvalidRequestException, match="no function"):
        iot.create_authorizer(authorizerName="x", authorizerFunctionArn=arn + "x", signingDisabled=True)
    with pytest.raises(iot.exceptions.InvalidRequestException, match="tokenKeyName"):
        iot.create_authorizer(authorizerName="x", authorizerFunctionArn=arn)
    iot.update_authorizer(authorizerName="mine", status="INACTIVE")
    iot.delete_authorizer(authorizerName="mine")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_authorizer(authorizerName="mine")


def test_the_default_authorizer_is_for_who_shows_nothing_else(stack: Product) -> None:
    iot = stack.boto3("iot")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_default_authorizer()

    iot.set_default_authorizer(authorizerName="plain")
    try:
        assert tls_client(stack, "default-1", "me", "let me in").is_admitted
        assert tls_client(stack, "default-1", "me", "wrong").is_admitted is False
        assert websocket_client(stack, "default-2", username="me", password="let me in").is_admitted
        plain = Client("default-3").connect(stack.ready["mqttHost"], stack.ready["mqttPort"])
        assert plain.is_admitted, "the plain port of this machine knows no default authorizer"
        assert iot.describe_default_authorizer()["authorizerDescription"]["authorizerName"] == "plain"
        with pytest.raises(iot.exceptions.ResourceAlreadyExistsException):
            iot.set_default_authorizer(authorizerName="signed")
    finally:
        iot.clear_default_authorizer()
    with pytest.raises(ClientError):
        iot.clear_default_authorizer()


def test_boto3_manages_domain_configurations(stack: Product) -> None:
    iot = stack.boto3("iot")
    own = iot.describe_domain_configuration(domainConfigurationName="own")
    assert own["authorizerConfig"] == {"defaultAuthorizerName": "plain", "allowAuthorizerOverride": False}
    assert (own["domainType"], own["authenticationType"]) == ("CUSTOMER_MANAGED", "CUSTOM_AUTH")

    iot.create_domain_configuration(
        domainConfigurationName="more", domainName="more.example", authorizerConfig={"defaultAuthorizerName": "plain"}
    )
    listed = iot.list_domain_configurations()["domainConfigurations"]
    assert [one["domainConfigurationName"] for one in listed] == ["more", "own"]
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.delete_domain_configuration(domainConfigurationName="more")
    iot.update_domain_configuration(
        domainConfigurationName="more", domainConfigurationStatus="DISABLED", removeAuthorizerConfig=True
    )
    assert "authorizerConfig" not in iot.describe_domain_configuration(domainConfigurationName="more")
    iot.delete_domain_configuration(domainConfigurationName="more")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_domain_configuration(domainConfigurationName="more")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="counts processes in /proc")
def test_strangers_start_a_few_environments_and_no_more(stack: Product) -> None:
    assert stack.process is not None
    pid = stack.process.pid
    before = len(workers_of(pid))

    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        strangers = [pool.submit(tls_client, stack, f"rush-{n}", f"me?{NAME}=plain", "slow") for n in range(60)]
        most = before
        while not all(stranger.done() for stranger in strangers):
            most = max(most, len(workers_of(pid)))
            time.sleep(0.05)

    assert {stranger.result().is_admitted for stranger in strangers} == {False}
    assert most - before <= 10
    assert tls_client(stack, "after-1", f"me?{NAME}=plain", "let me in").is_admitted
