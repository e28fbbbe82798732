"""Who a device is and what it may do, from its certificate, its signature or its name."""

import datetime
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from headwater.deploy.iot.access import DeviceAccess
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.roles import AccessKey, Roles
from headwater.mqtt.broker import Broker
from headwater.mqtt.codec.encoder import encode_packet
from headwater.mqtt.codec.packets import V311, Connect, PublishPacket, ReasonCode
from headwater.mqtt.connection import MqttConnection
from headwater.mqtt.ports import Action, ClientContext, Refusal, TransportInfo
from headwater.mqtt.profile import AWS
from headwater.server.aws.permissions import Account
from headwater.server.http.tls import CertificateAuthority
from headwater.storage.store import Store
from tests.unit.deploy.custom_bench import CustomBench

ARN = "arn:aws:iot:us-east-1:123456789012"
NOW = datetime.datetime.now(datetime.UTC)
OWN_TOPICS: list[dict[str, Any]] = [
    {
        "Effect": "Allow",
        "Action": "iot:Connect",
        "Resource": f"{ARN}:client/${{iot:Connection.Thing.ThingName}}",
        "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
    },
    {
        "Effect": "Allow",
        "Action": ["iot:Publish", "iot:Receive"],
        "Resource": f"{ARN}:topic/d/${{iot:Connection.Thing.ThingName}}/*",
    },
    {
        "Effect": "Allow",
        "Action": "iot:Subscribe",
        "Resource": f"{ARN}:topicfilter/d/${{iot:Connection.Thing.ThingName}}/+",
    },
]


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str, resource: str, condition: dict[str, Any] | None = None) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return statement if condition is None else {**statement, "Condition": condition}


@dataclass
class Instance:
    """The parts of an instance that decide about devices."""

    registry: DeviceRegistry
    roles: Roles
    access: DeviceAccess
    broker: Broker
    custom: CustomBench

    async def certificate(self, thing: str = "", policy: str = "", *, is_active: bool = True) -> bytes:
        """The DER of a new certificate, attached to a thing and a policy."""
        issued = await self.registry.certificates.create_with_key(is_active=is_active)
        if thing:
            await self.registry.things.create(thing)
            await self.registry.certificates.attach_thing(thing, issued["certificateArn"])
        if policy:
            name = f"policy-of-{issued['certificateId'][:8]}"
            await self.registry.policies.create(name, policy)
            await self.registry.policies.attach(name, issued["certificateArn"])
        return load_pem_x509_certificate(issued["certificatePem"].encode()).public_bytes(Encoding.DER)

    def client(self, client_id: str, transport: TransportInfo, username: str | None = None) -> ClientContext:
        outcome = self.access.authenticate(Connect(client_id, V311, username=username), transport)
        assert isinstance(outcome, ClientContext), outcome
        return outcome

    def connect(self, client_id: str, transport: TransportInfo) -> MqttConnection:
        """A connection of the broker after its CONNECT was judged."""
        connection = self.broker.open(transport, 0.0, lambda: None)
        connect = Connect(client_id, V311)
        connection.receive(encode_packet(connect, V311), 0.0)
        outcome = self.access.authenticate(connect, transport)
        assert isinstance(outcome, ClientContext | Refusal)
        connection.authenticated(outcome, 0.0)
        return connection

    def may(self, client: ClientContext, action: Action, resource: str) -> bool:
        return self.access.authorize(client, action, resource)


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    store = Store.open(None)
    numbers = iter(range(1000))
    registry = DeviceRegistry(
        store,
        Account("us-east-1", "123456789012"),
        lambda: CertificateAuthority(tmp_path / "tls", NOW),
        clock=NOW.timestamp,
        new_id=lambda: f"id-{next(numbers)}",
    )
    roles = Roles("123456789012")
    custom = CustomBench(registry.database, [NOW.timestamp()])
    access = DeviceAccess(registry, roles, custom.authentication, clock=NOW.timestamp)
    broker = Broker(AWS, new_id=lambda: "session", now=0, authorize=access.authorize)
    access.watch(broker)
    yield Instance(registry, roles, access, broker, custom)
    await store.close()


def tls(der: bytes) -> TransportInfo:
    return TransportInfo("tls", "10.0.0.7", certificate_der=der)


def websocket(key: AccessKey, *, service: str = "iotdevicegateway", secret: str = "", **options: Any) -> TransportInfo:
    request = AWSRequest("GET", "http://127.0.0.1:8080/mqtt")
    SigV4QueryAuth(Credentials(key.access_key_id, secret or key.secret), service, "us-east-1").add_auth(request)
    headers = (("host", "127.0.0.1:8080"),)
    return TransportInfo("websocket", raw_query=urlsplit(request.url).query, headers=headers, **options)


async def test_a_device_may_do_what_its_policy_says_and_nothing_else(instance: Instance) -> None:
    der = await instance.certificate("t-1", document(*OWN_TOPICS))

    client = instance.client("t-1", tls(der))

    assert client.thing_name == "t-1"
    assert client.principal_id == sha256(der).hexdigest()
    assert instance.may(client, "Connect", "t-1")
    assert instance.may(client, "Publish", "d/t-1/telemetry")
    assert instance.may(client, "Receive", "d/t-1/commands")
    assert instance.may(client, "Subscribe", "d/t-1/+")
    assert not instance.may(client, "Subscribe", "d/t-1/telemetry"), "a filter is compared as text"
    assert not instance.may(client, "Publish", "d/t-2/telemetry")
    assert not instance.may(client, "RetainPublish", "d/t-1/telemetry")


async def test_thing_variables_need_the_things_name_and_its_certificate(instance: Instance) -> None:
    der = await instance.certificate("t-1", document(*OWN_TOPICS))
    await instance.registry.things.create("t-2")

    for client_id in ("t-2", "stranger"):
        client = instance.client(client_id, tls(der))
        assert client.thing_name is None
        assert not instance.may(client, "Connect", client_id)
        assert not instance.may(client, "Publish", f"d/{client_id}/telemetry")


async def test_whether_the_certificate_is_attached_can_be_asked_for(instance: Instance) -> None:
    policy = document(allow("iot:Connect", "*", {"Bool": {"iot:Connection.Thing.IsAttached": "false"}}))

    client = instance.client("stranger", tls(await instance.certificate(policy=policy)))

    assert instance.may(client, "Connect", "stranger")


async def test_variables_of_type_attributes_certificate_and_connection_are_known(instance: Instance) -> None:
    await instance.registry.things.create_type("pump", {})
    await instance.registry.things.create("t-1", "pump", {"site": "north"})
    policy = document(
        allow("iot:Publish", f"{ARN}:topic/${{iot:Connection.Thing.ThingTypeName}}/x"),
        allow("iot:Publish", f"{ARN}:topic/${{iot:Connection.Thing.Attributes[site]}}/x"),
        allow("iot:Publish", f"{ARN}:topic/${{iot:Certificate.Subject.CommonName}}/x"),
        allow("iot:Publish", f"{ARN}:topic/${{iot:Certificate.Subject.CommonName.1}}/x"),
        allow("iot:Publish", f"{ARN}:topic/${{iot:ClientId}}/x"),
        allow("iot:Publish", f"{ARN}:topic/${{iot:Connection.Thing.Attributes[none]}}/x"),
        allow("iot:Receive", "*", {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        allow("iot:Subscribe", "*", {"StringEquals": {"iot:Certificate.Issuer.Organization.List": "Headwater"}}),
    )
    issued = await instance.registry.certificates.create_with_key(is_active=True)
    await instance.registry.policies.create("p", policy)
    await instance.registry.policies.attach("p", issued["certificateArn"])
    await instance.registry.certificates.attach_thing("t-1", issued["certificateArn"])
    der = load_pem_x509_certificate(issued["certificatePem"].encode()).public_bytes(Encoding.DER)

    client = instance.client("t-1", tls(der))

    for topic in ("pump/x", "north/x", "AWS IoT Certificate/x", "t-1/x"):
        assert instance.may(client, "Publish", topic), topic
    assert not instance.may(client, "Publish", "/x")
    assert not instance.may(client, "Publish", "*/x")
    assert instance.may(client, "Receive", "anything")
    assert instance.may(client, "Subscribe", "anything")


async def test_wildcards_of_mqtt_are_plain_characters_in_a_topic(instance: Instance) -> None:
    policy = document(allow("iot:Publish", f"{ARN}:topic/a/+/b"), allow("iot:Publish", f"{ARN}:topic/c/#"))

    client = instance.client("x", tls(await instance.certificate(policy=policy)))

    assert not instance.may(client, "Publish", "a/1/b")
    assert not instance.may(client, "Publish", "c/1")


async def test_a_deny_wins(instance: Instance) -> None:
    deny = {"Effect": "Deny", "Action": "iot:Publish", "Resource": f"{ARN}:topic/secret/*"}

    client = instance.client("x", tls(await instance.certificate(policy=document(allow("iot:*", "*"), deny))))

    assert instance.may(client, "Publish", "open/1")
    assert not instance.may(client, "Publish", "secret/1")


async def test_certificates_that_are_unknown_inactive_or_revoked_are_refused(
    instance: Instance, tmp_path: Path
) -> None:
    unknown = CertificateAuthority(tmp_path / "tls", NOW).issue_client("x").certificate_pem
    ders = [
        load_pem_x509_certificate(unknown.encode()).public_bytes(Encoding.DER),
        await instance.certificate(is_active=False),
    ]

    for der in ders:
        outcome = instance.access.authenticate(Connect("x", V311), tls(der))
        assert isinstance(outcome, Refusal)
        assert outcome.reason_code is ReasonCode.NOT_AUTHORIZED
    assert isinstance(instance.access.authenticate(Connect("x", V311), TransportInfo("tls")), Refusal)


async def test_a_change_counts_for_a_client_that_is_connected(instance: Instance) -> None:
    client = instance.client("t-1", tls(await instance.certificate("t-1", document(*OWN_TOPICS))))
    assert instance.may(client, "Publish", "d/t-1/x")
    (name,) = [row["policyName"] for row in instance.registry.policies.listed(ascending=True, token="", size=None)[0]]

    await instance.registry.policies.replace(name, document(allow("iot:Publish", f"{ARN}:topic/other")))

    assert not instance.may(client, "Publish", "d/t-1/x")
    assert instance.may(client, "Publish", "other")


async def test_a_deactivated_certificate_ends_its_connections_and_no_others(instance: Instance) -> None:
    policy = document(allow("iot:*", "*"))
    ders = {name: await instance.certificate(name, policy) for name in ("t-1", "t-2")}
    connections = {name: instance.connect(name, tls(der)) for name, der in ders.items()}
    connections["plain"] = instance.connect("plain", TransportInfo("tcp", "127.0.0.1"))
    assert not any(connection.is_closed for connection in connections.values())

    await instance.registry.certificates.set_status(sha256(ders["t-1"]).hexdigest(), "REVOKED")

    assert [name for name, connection in connections.items() if connection.is_closed] == ["t-1"]
    assert instance.connect("t-1", tls(ders["t-1"])).is_closed


async def test_a_connected_client_is_asked_again_when_its_thing_or_policy_changes(instance: Instance) -> None:
    der = await instance.certificate("t-1", document(*OWN_TOPICS))
    arn = f"{ARN}:cert/{sha256(der).hexdigest()}"
    device = instance.connect("t-1", tls(der))
    other = instance.connect("t-3", TransportInfo("tcp", "127.0.0.1"))
    for connection, topic in ((device, "d/t-1/x"), (other, "any")):
        connection.receive(encode_packet(PublishPacket(topic, b"", qos=0), V311), 0.0)
        assert not connection.is_closed

    await instance.registry.certificates.detach_thing("t-1", arn)
    await instance.registry.things.create("t-3")

    for connection, topic in ((device, "d/t-1/x"), (other, "any")):
        connection.receive(encode_packet(PublishPacket(topic, b"", qos=0), V311), 0.0)
        assert connection.is_closed


async def test_without_credentials_a_things_name_stands_for_its_certificates(instance: Instance) -> None:
    await instance.certificate("t-1", document(*OWN_TOPICS))
    await instance.registry.things.create("bare")
    local = TransportInfo("tcp", "127.0.0.1")

    thing, bare, other = (instance.client(name, local) for name in ("t-1", "bare", "other"))

    assert instance.may(thing, "Connect", "t-1")
    assert instance.may(thing, "Publish", "d/t-1/x")
    assert not instance.may(thing, "Publish", "d/other/x")
    assert not instance.may(bare, "Connect", "bare"), "no certificate, no policy"
    assert instance.may(other, "Publish", "whatever/it/likes")
    await instance.registry.things.create("other")
    assert not instance.may(other, "Publish", "whatever/it/likes"), "it is a thing now"


@pytest.mark.parametrize("client_id", ["x" * 40_000, "\u00e9", "a b", "a.b", ""])
async def test_any_client_id_can_be_asked_for(instance: Instance, client_id: str) -> None:
    client = instance.client(client_id, TransportInfo("tcp", "::1"))

    assert instance.may(client, "Connect", client_id)


async def test_other_machines_need_a_certificate_or_a_signature(instance: Instance) -> None:
    key = instance.roles.issue_key(None)
    trusting = DeviceAccess(
        instance.registry,
        instance.roles,
        instance.custom.authentication,
        clock=NOW.timestamp,
        trusts_strangers=True,
    )
    connect, far = Connect("x", V311), TransportInfo("tcp", "192.0.2.1")
    unknown_key = AccessKey("AKIAUNKNOWN", "secret", key.principal)

    assert isinstance(instance.access.authenticate(connect, far), Refusal)
    assert isinstance(instance.access.authenticate(connect, websocket(unknown_key, peer_ip="192.0.2.1")), Refusal)
    assert isinstance(instance.access.authenticate(connect, websocket(key, peer_ip="192.0.2.1")), ClientContext)
    assert isinstance(instance.access.authenticate(connect, websocket(unknown_key)), ClientContext), "loopback"
    assert isinstance(trusting.authenticate(connect, far), ClientContext)


@pytest.mark.parametrize(
    ("origin", "is_admitted"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://[::1", False),
        ("null", False),
    ],
)
async def test_pages_of_other_origins_need_a_signature(instance: Instance, origin: str, is_admitted: bool) -> None:
    key = instance.roles.issue_key(None)
    signed = websocket(key)
    headers = (("origin", origin),)

    unsigned = instance.access.authenticate(Connect("x", V311), TransportInfo("websocket", headers=headers))
    with_key = instance.access.authenticate(
        Connect("x", V311), TransportInfo("websocket", raw_query=signed.raw_query, headers=(*signed.headers, *headers))
    )

    assert isinstance(unsigned, ClientContext) is is_admitted
    assert isinstance(with_key, ClientContext)


async def test_a_signature_is_verified_and_its_role_held_to_its_policies(instance: Instance) -> None:
    instance.roles.add_role("reader", {})
    instance.roles.attach(["reader"], json.loads(document(allow("iot:Connect", "*"), allow("iot:Receive", "*"))))
    reader, administrator = instance.roles.issue_key("reader"), instance.roles.issue_key(None)
    connect = Connect("x", V311)

    client = instance.client("x", websocket(reader))

    assert client.expires_at is not None
    assert instance.may(client, "Connect", "x")
    assert not instance.may(client, "Publish", "a")
    assert instance.may(instance.client("x", websocket(administrator)), "Publish", "a")
    for wrong in (
        websocket(reader, secret="other"),
        websocket(reader, service="iotdata"),
        TransportInfo("websocket", raw_query="X-Amz-Algorithm=AWS4-HMAC-SHA256"),
        TransportInfo("websocket", raw_query=websocket(reader).raw_query, headers=(("host", "elsewhere"),)),
    ):
        assert isinstance(instance.access.authenticate(connect, wrong), Refusal)


async def test_a_session_token_need_not_be_signed(instance: Instance) -> None:
    key = instance.roles.issue_key(None)
    unsigned = websocket(key)
    *signed, signature = unsigned.raw_query.split("&")
    token = "X-Amz-Security-Token=a%2Fb"

    for query in ("&".join((*signed, signature, token)), "&".join((*signed, token, signature))):
        transport = TransportInfo("websocket", raw_query=query, headers=unsigned.headers)
        assert isinstance(instance.access.authenticate(Connect("x", V311), transport), ClientContext)
        forged = TransportInfo(
            "websocket", raw_query=query.replace("Signature=", "Signature=0"), headers=unsigned.headers
        )
        assert isinstance(instance.access.authenticate(Connect("x", V311), forged), Refusal)


async def test_a_client_nobody_authenticated_may_do_nothing(instance: Instance) -> None:
    assert not instance.may(ClientContext("x"), "Publish", "a")
