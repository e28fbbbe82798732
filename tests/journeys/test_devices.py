"""Devices with certificates: what their policy lets them do, and what ends when it is taken away."""

import datetime
import json
import shlex
import shutil
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from headwater.server.http.tls import CertificateAuthority
from tests.support.product import Device, Product, eventually, now_ms, run_cli, telemetry

REGISTER = """mutation($input: RegisterDeviceInput!) { registerDevice(input: $input) {
  certificatePem certificateId endpoint telemetryTopic commandTopicFilter } }"""
SEND = """mutation($input: SendCommandInput!) { sendCommand(input: $input) { commandId status } }"""
READ = "query($id: ID!) { getDevice(deviceId: $id) { deviceId } }"


class Client:
    """A paho client that remembers what happened to it. It does not connect again by itself."""

    def __init__(
        self,
        client_id: str,
        *,
        version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
        clean: bool = True,
        transport: Literal["tcp", "websockets"] = "tcp",
    ) -> None:
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if version is MQTTProtocolVersion.MQTTv5 else clean,
            protocol=version,
            transport=transport,
            reconnect_on_failure=False,
        )
        self.messages: list[tuple[str, bytes]] = []
        self.is_admitted: bool | None = None
        self.has_session = False
        self.refused_filters: list[bool] = []
        self._answered, self.ended, self._subscribed = threading.Event(), threading.Event(), threading.Event()
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda *_: self.ended.set()
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = lambda _, __, message: self.messages.append((message.topic, bytes(message.payload)))

    def connect(self, host: str, port: int) -> "Client":
        """Connect and wait for the answer, or for the end of the connection."""
        self.client.connect(host, port)
        self.client.loop_start()
        assert self._answered.wait(10), "no CONNACK"
        return self

    def publish(self, topic: str, payload: Any, *, retain: bool = False) -> bool:
        """Publish with QoS 1; whether it was acknowledged."""
        data = payload if isinstance(payload, (bytes, str)) else json.dumps(payload)
        info = self.client.publish(topic, data, qos=1, retain=retain)
        if info.rc == mqtt.MQTT_ERR_NO_CONN:
            return False  # closed already, for what was sent before
        return bool(eventually(lambda: info.is_published() or self.ended.is_set(), 10)) and info.is_published()

    def subscribe(self, topic_filter: str) -> bool:
        """Whether the subscription was granted."""
        self._subscribed.clear()
        self.client.subscribe(topic_filter, qos=1)
        assert self._subscribed.wait(10), "no SUBACK"
        return not self.refused_filters[-1]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _on_connect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.is_admitted = not reason.is_failure
        self.has_session = flags.session_present
        self._answered.set()

    def _on_subscribe(self, client: mqtt.Client, userdata: Any, number: int, reasons: Any, properties: Any) -> None:
        self.refused_filters.append(any(reason.is_failure for reason in reasons))
        self._subscribed.set()


class Key:
    """A device's own key and its signing request."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(self._key, hashes.SHA256())
        self.signing_request = request.public_bytes(Encoding.PEM).decode()

    def write(self, folder: Path, certificate_pem: str) -> Path:
        folder.mkdir(exist_ok=True)
        private = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "device.key").write_bytes(private)
        (folder / "device.pem").write_text(certificate_pem)
        return folder


def tls_client(product: Product, client_id: str, folder: Path, **options: Any) -> Client:
    """A client that shows the certificate of a folder and has not connected yet."""
    client = Client(client_id, **options)
    client.client.tls_set(
        product.ready["caFile"], certfile=str(folder / "device.pem"), keyfile=str(folder / "device.key")
    )
    return client


def connected(product: Product, client_id: str, folder: Path, **options: Any) -> Client:
    client = tls_client(product, client_id, folder, **options)
    return client.connect(product.ready["mqttHost"], product.ready["mqttTlsPort"])


def add_device(product: Product, name: str, folder: Path) -> str:
    """`headwater device add`; the publish it prints."""
    done = run_cli("device", "add", name, "--out", str(folder), "--data-dir", str(product.data_dir))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def certificate_id(folder: Path) -> str:
    certificate = x509.load_pem_x509_certificate((folder / "device.pem").read_bytes())
    return certificate.fingerprint(hashes.SHA256()).hex()


@pytest.fixture(scope="module")
def folder(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of the device `tls-1`."""
    path = tmp_path_factory.mktemp("tls-1")
    add_device(product, "tls-1", path)
    return path


def test_an_added_device_publishes_with_the_command_that_is_printed(product: Product, tmp_path: Path) -> None:
    command = shlex.split(add_device(product, "added-1", tmp_path / "added-1"))

    assert command[0] == "mosquitto_pub"
    assert (tmp_path / "added-1" / "device.key").stat().st_mode & 0o777 == 0o600
    if shutil.which(command[0]):
        subprocess.run(command, check=True, timeout=20)
    else:
        client = connected(product, "added-1", tmp_path / "added-1")
        assert client.publish(command[command.index("-t") + 1], command[command.index("-m") + 1])
        client.close()
    assert eventually(lambda: product.data(READ, {"id": "added-1"})["getDevice"]), product.log()


def test_files_that_exist_and_names_no_thing_can_have_are_refused(product: Product, folder: Path) -> None:
    again = run_cli("device", "add", "tls-1", "--out", str(folder), "--data-dir", str(product.data_dir))
    wrong = run_cli("device", "add", "a/b", "--out", str(folder / "new"), "--data-dir", str(product.data_dir))
    nowhere = run_cli("device", "add", "x", "--out", str(folder / "new"), "--data-dir", str(folder))

    assert (again.returncode, wrong.returncode, nowhere.returncode) == (2, 2, 2)
    assert "exists" in again.stderr
    assert "regular expression" in wrong.stderr
    assert "no instance runs" in nowhere.stderr
    assert not (folder / "new").exists()


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_a_registered_device_publishes_and_receives_its_commands(
    product: Product, tmp_path: Path, version: MQTTProtocolVersion
) -> None:
    name = f"csr-{version.value}"
    key = Key(name)
    admin = {"authorization": product.token("admin")}
    wanted = {"deviceId": name, "certificateSigningRequest": key.signing_request}

    registered = product.data(REGISTER, {"input": wanted}, admin)["registerDevice"]

    assert registered["endpoint"] == product.ready["mqttHost"]
    client = connected(product, name, key.write(tmp_path / name, registered["certificatePem"]), version=version)
    assert client.is_admitted
    assert client.subscribe(registered["commandTopicFilter"])
    assert client.publish(registered["telemetryTopic"], telemetry(now_ms(), 1, temperature=21))
    command = {"deviceId": name, "name": "reboot", "timeoutSeconds": 60}
    sent = product.data(SEND, {"input": command}, {"authorization": product.token("operator")})["sendCommand"]
    assert eventually(lambda: client.messages), product.log()
    assert client.messages[0][0] == f"devices/{name}/commands/{sent['commandId']}"
    client.close()


def test_a_publish_to_another_devices_topic_ends_the_connection_and_goes_nowhere(
    product: Product, folder: Path
) -> None:
    client = connected(product, "tls-1", folder)

    assert not client.publish("devices/victim-1/telemetry", telemetry(now_ms(), 1, temperature=99))

    assert client.ended.wait(10)
    again = connected(product, "tls-1", folder)
    assert again.publish("devices/tls-1/telemetry", telemetry(now_ms(), 2, temperature=20))
    assert eventually(lambda: product.data(READ, {"id": "tls-1"})["getDevice"])
    assert product.data(READ, {"id": "victim-1"})["getDevice"] is None
    again.close()


def test_other_filters_other_client_ids_and_retained_publishes_are_refused(product: Product, folder: Path) -> None:
    client = connected(product, "tls-1", folder)

    assert not client.subscribe("devices/+/commands/+")
    assert not client.subscribe("#")
    assert client.subscribe("devices/tls-1/commands/+")
    assert not client.publish("devices/tls-1/telemetry", telemetry(now_ms(), 3), retain=True)
    assert connected(product, "tls-2", folder).is_admitted is False


def test_certificates_nobody_here_has_issued_are_refused(product: Product, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    stranger = CertificateAuthority(tmp_path / "other-ca", now).issue_client("tls-1")
    ours_unregistered = CertificateAuthority(product.data_dir / "tls", now).issue_client("tls-1")
    folders = []
    for number, issued in enumerate((stranger, ours_unregistered)):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "device.pem").write_text(issued.certificate_pem)
        (place / "device.key").write_text(issued.private_key_pem or "")
        folders.append(place)
    client = tls_client(product, "tls-1", folders[0])

    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        client.connect(product.ready["mqttHost"], product.ready["mqttTlsPort"])

    assert not client.is_admitted
    assert connected(product, "tls-1", folders[1]).is_admitted is False
    nothing = Client("tls-1")
    nothing.client.tls_set(product.ready["caFile"])
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        nothing.connect(product.ready["mqttHost"], product.ready["mqttTlsPort"])
    assert not nothing.is_admitted


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_certificate_that_no_longer_counts_cuts_its_device_off(product: Product, tmp_path: Path, status: str) -> None:
    name = f"cut-{status}"
    add_device(product, name, tmp_path / "device")
    folder = tmp_path / "device"
    client = connected(product, name, folder)
    iot = product.boto3("iot")

    iot.update_certificate(certificateId=certificate_id(folder), newStatus=status)

    assert client.ended.wait(10)
    assert connected(product, name, folder).is_admitted is False
    iot.update_certificate(certificateId=certificate_id(folder), newStatus="ACTIVE")
    back = connected(product, name, folder)
    assert back.is_admitted
    back.close()


def test_a_policy_that_is_detached_counts_for_the_next_publish(product: Product, tmp_path: Path) -> None:
    add_device(product, "bare-1", tmp_path)
    client = connected(product, "bare-1", tmp_path)
    assert client.publish("devices/bare-1/telemetry", telemetry(now_ms(), 1, temperature=20))
    iot = product.boto3("iot")
    arn = iot.list_thing_principals(thingName="bare-1")["principals"][0]
    policy = iot.list_attached_policies(target=arn)["policies"][0]["policyName"]

    iot.detach_policy(policyName=policy, target=arn)

    assert not client.publish("devices/bare-1/telemetry", telemetry(now_ms(), 2, temperature=20))
    assert client.ended.wait(10)


def test_on_the_plain_port_a_things_name_is_held_to_its_policies_and_no_other(product: Product, folder: Path) -> None:
    host, port = product.ready["mqttHost"], product.ready["mqttPort"]
    thing = Client("tls-1").connect(host, port)
    anybody = Client("nobody-1").connect(host, port)

    assert thing.publish("devices/tls-1/telemetry", telemetry(now_ms(), 9, temperature=20))
    assert not thing.publish("devices/nobody-1/telemetry", telemetry(now_ms(), 1, temperature=20))
    assert anybody.publish("any/topic", "x")
    assert anybody.subscribe("#")
    anybody.close()


def test_boto3_reads_retained_messages_and_ends_connections(product: Product) -> None:
    data = product.boto3("iot-data")
    client = Client("boto-1", version=MQTTProtocolVersion.MQTTv5)
    client.connect(product.ready["mqttHost"], product.ready["mqttPort"])
    assert client.subscribe("boto/board")

    data.publish(topic="boto/board", qos=1, retain=True, payload=b"hi", userProperties=[{"k": "v"}])

    assert eventually(lambda: client.messages) == [("boto/board", b"hi")]
    kept = data.get_retained_message(topic="boto/board")
    assert (kept["payload"], kept["qos"], json.loads(kept["userProperties"])) == (b"hi", 1, [{"k": "v"}])
    assert "boto/board" in [row["topic"] for row in data.list_retained_messages()["retainedTopics"]]
    data.delete_connection(clientId="boto-1", cleanSession=True)
    assert client.ended.wait(10)
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        data.delete_connection(clientId="boto-1")
    data.publish(topic="boto/board", qos=1, retain=True, payload=b"")
    with pytest.raises(data.exceptions.ResourceNotFoundException):
        data.get_retained_message(topic="boto/board")
    with pytest.raises(ClientError, match="GetConnection does not work here"):
        data.get_connection(clientId="boto-1")


def test_boto3_manages_things_certificates_and_policies(product: Product) -> None:
    iot = product.boto3("iot")
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    issued = iot.create_keys_and_certificate(setAsActive=True)
    arn, key_id = issued["certificateArn"], issued["certificateId"]
    iot.create_policy(policyName="everything", policyDocument=json.dumps(document))
    iot.create_thing_type(thingTypeName="pump", thingTypeProperties={"thingTypeDescription": "moves water"})
    iot.create_thing(thingName="boto:2", thingTypeName="pump", attributePayload={"attributes": {"site": "north"}})

    iot.attach_policy(policyName="everything", target=arn)
    iot.attach_thing_principal(thingName="boto:2", principal=arn)

    assert iot.list_attached_policies(target=arn)["policies"][0]["policyName"] == "everything"
    assert iot.list_principal_things(principal=arn)["things"] == ["boto:2"]
    assert iot.describe_certificate(certificateId=key_id)["certificateDescription"]["status"] == "ACTIVE"
    assert iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"] == product.ready["mqttHost"]
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_policy(policyName="everything")
    with pytest.raises(iot.exceptions.CertificateStateException):
        iot.delete_certificate(certificateId=key_id)
    with pytest.raises(iot.exceptions.MalformedPolicyException):
        iot.create_policy(policyName="broken", policyDocument="{}")
    with pytest.raises(ClientError, match="CreateBillingGroup does not work here"):
        iot.create_billing_group(billingGroupName="g")
    iot.detach_thing_principal(thingName="boto:2", principal=arn)
    iot.update_certificate(certificateId=key_id, newStatus="INACTIVE")
    iot.delete_certificate(certificateId=key_id, forceDelete=True)
    iot.delete_policy(policyName="everything")
    iot.delete_thing(thingName="boto:2")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName="boto:2")


def test_a_group_gives_its_things_what_its_policy_allows_until_they_leave(product: Product, tmp_path: Path) -> None:
    iot = product.boto3("iot")
    name, folder = "grouped-1", tmp_path / "grouped-1"
    add_device(product, name, folder)
    arn = "arn:aws:iot:us-east-1:123456789012"
    extra = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{arn}:topic/notes/${{iot:ClientId}}"}
    iot.create_policy(policyName="notes", policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [extra]}))
    root = iot.create_thing_group(thingGroupName="writers", thingGroupProperties={"thingGroupDescription": "all"})
    iot.create_thing_group(thingGroupName="new-writers", parentGroupName="writers")
    iot.attach_policy(policyName="notes", target=root["thingGroupArn"])
    assert not connected(product, name, folder).publish(f"notes/{name}", b"x")

    iot.add_thing_to_thing_group(thingGroupName="new-writers", thingName=name)
    client = connected(product, name, folder)

    assert client.publish(f"notes/{name}", b"x")
    assert iot.list_things_in_thing_group(thingGroupName="writers", recursive=True)["things"] == [name]
    assert [one["groupName"] for one in iot.list_thing_groups_for_thing(thingName=name)["thingGroups"]] == [
        "new-writers"
    ]
    effective = iot.get_effective_policies(thingName=name)["effectivePolicies"]
    assert [one["policyName"] for one in effective] == ["notes"]
    iot.create_policy_version(
        policyName="notes",
        policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{**extra, "Effect": "Deny"}]}),
        setAsDefault=True,
    )
    assert not client.publish(f"notes/{name}", b"x")
    iot.set_default_policy_version(policyName="notes", policyVersionId="1")
    again = connected(product, name, folder)
    assert again.publish(f"notes/{name}", b"x")
    iot.remove_thing_from_thing_group(thingGroupName="new-writers", thingName=name)
    assert not again.publish(f"notes/{name}", b"x")
    iot.detach_policy(policyName="notes", target=root["thingGroupArn"])
    iot.delete_policy_version(policyName="notes", policyVersionId="2")
    iot.delete_policy(policyName="notes")


def signed_path(product: Product, secret: str, service: str = "iotdevicegateway") -> str:
    """The path of a WebSocket as AWS's device clients sign it."""
    address = urlsplit(product.ready["awsEndpointUrl"])
    request = AWSRequest("GET", f"http://{address.netloc}/mqtt")
    SigV4QueryAuth(Credentials(product.ready["accessKeyId"], secret), service, product.ready["region"]).add_auth(
        request
    )
    return f"/mqtt?{urlsplit(request.url).query}"


def websocket_client(product: Product, client_id: str, path: str) -> Client:
    address = urlsplit(product.ready["awsEndpointUrl"])
    client = Client(client_id, transport="websockets")
    client.client.ws_set_options(path, {"Host": address.netloc})
    return client.connect(str(address.hostname), address.port or 0)


def test_websockets_are_held_to_their_signature(product: Product, folder: Path) -> None:
    secret = product.ready["secretAccessKey"]

    signed = websocket_client(product, "tls-1", signed_path(product, secret))
    forged = websocket_client(product, "ws-2", signed_path(product, "wrong"))
    for_another = websocket_client(product, "ws-3", signed_path(product, secret, "execute-api"))
    plain = websocket_client(product, "ws-4", "/mqtt")

    assert signed.is_admitted
    assert signed.publish("devices/any-1/telemetry", telemetry(now_ms(), 1, temperature=20)), "the administrator's key"
    assert forged.is_admitted is False
    assert for_another.is_admitted is False
    assert plain.is_admitted
    for client in (signed, plain):
        client.close()


def test_sessions_retained_messages_and_the_registry_survive_kill_9(tmp_path: Path) -> None:
    product = Product(tmp_path / "data").start()
    try:
        add_device(product, "keeper", tmp_path / "keeper")
        reader = connected(product, "keeper", tmp_path / "keeper", clean=False)
        assert reader.subscribe("devices/keeper/commands/+")
        reader.close()
        writer = Device(product, "writer")
        writer.publish("devices/keeper/commands/1", b"first")
        writer.client.publish("notes/board", b"kept", qos=1, retain=True).wait_for_publish(10)
        product.kill()

        product.start()
        again = connected(product, "keeper", tmp_path / "keeper", clean=False)
        visitor = Client("visitor").connect(product.ready["mqttHost"], product.ready["mqttPort"])
        assert visitor.subscribe("notes/board")

        assert again.has_session
        assert eventually(lambda: again.messages) == [("devices/keeper/commands/1", b"first")]
        assert eventually(lambda: visitor.messages) == [("notes/board", b"kept")]
        assert product.boto3("iot").describe_thing(thingName="keeper")["version"] == 1
        again.close()
        visitor.close()
        assert product.terminate() == 0, product.log()
        assert "Traceback" not in product.log()
    finally:
        product.kill()
