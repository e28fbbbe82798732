"""The running product as a user starts it: a process, its ready file, and the clients users have."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import paho.mqtt.client as mqtt
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from paho.mqtt.enums import CallbackAPIVersion

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60
# A deployed stack is as far as the region, and its functions start cold.
PATIENCE = 4.0 if os.environ.get("HEADWATER_STACK") else 1.0


class StartFailed(AssertionError):
    """The product did not become ready; the message is what it printed."""


@dataclass
class Product:
    """One `headwater up`. `restart` keeps the data directory."""

    data_dir: Path
    arguments: tuple[str, ...] = ()
    template: Path = ROOT / "infra" / "template.yaml"
    process: "subprocess.Popen[str] | None" = None
    ready: dict[str, Any] = field(default_factory=dict)

    def start(self) -> "Product":
        """Start and wait for the ready file."""
        ready_file = self.data_dir.parent / f"{self.data_dir.name}.ready.json"
        ready_file.unlink(missing_ok=True)
        log = open(self.data_dir.parent / f"{self.data_dir.name}.log", "a")  # noqa: SIM115  # lives with the process
        command = [sys.executable, "-m", "headwater", "up", "--template", str(self.template), "--port", "0"]
        command += ["--mqtt-port", "0", "--mqtt-tls-port", "0", "--data-dir", str(self.data_dir)]
        command += ["--ready-file", str(ready_file), *self.arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, text=True)
        log.close()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise StartFailed(self.log())
            time.sleep(0.02)
        self.ready = json.loads(ready_file.read_text())
        return self

    def log(self) -> str:
        return (self.data_dir.parent / f"{self.data_dir.name}.log").read_text()

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    # Names and clients: what tests/support/deployed.py has of a stack on AWS, too

    def tenant(self, name: str) -> str:
        """A tenant of this name; of nobody else's run, where several share a stack."""
        return name

    @property
    def telemetry_rule(self) -> str:
        return "headwater_TelemetryRule"

    @property
    def telemetry_stream(self) -> str:
        return "headwater-TelemetryStream"

    def connect(self, client: mqtt.Client, client_id: str) -> None:
        """Begin the connection of an MQTT client as this device."""
        client.connect(self.ready["mqttHost"], self.ready["mqttPort"])

    def boto3(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.ready["awsEndpointUrl"],
            region_name=self.ready["region"],
            aws_access_key_id=self.ready["accessKeyId"],
            aws_secret_access_key=self.ready["secretAccessKey"],
        )

    def token(self, *groups: str, tenant: str = "demo", username: str = "tester") -> str:
        """An id token of the template's user pool."""
        request = {"username": username, "groups": list(groups), "claims": {"custom:tenantId": tenant}}
        headers = {"authorization": f"Bearer {self.ready['secretAccessKey']}", "content-type": "application/json"}
        url = f"{self.ready['awsEndpointUrl']}/_headwater/token"
        answer = urllib.request.urlopen(urllib.request.Request(url, json.dumps(request).encode(), headers))
        with answer:
            token: str = json.loads(answer.read())["idToken"]
        return token

    @staticmethod
    def body(query: str, variables: dict[str, Any] | None) -> str:
        """What is posted, and signed."""
        return json.dumps({"query": query, "variables": variables or {}})

    def graphql(
        self, query: str, variables: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """POST an operation, with the API key unless other credentials are given."""
        body = self.body(query, variables).encode()
        sent = {"content-type": "application/json", **(headers or {"x-api-key": self.ready["apiKey"]})}
        request = urllib.request.Request(self.ready["graphqlUrl"], body, sent)
        with urllib.request.urlopen(request, timeout=30) as answer:
            document: dict[str, Any] = json.loads(answer.read())
        return document

    def graphql_signed(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST an operation signed with the administrator's key."""
        body = self.body(query, variables)
        request = AWSRequest("POST", self.ready["graphqlUrl"], data=body, headers={"content-type": "application/json"})
        credentials = Credentials(self.ready["accessKeyId"], self.ready["secretAccessKey"])
        SigV4Auth(credentials, "appsync", self.ready["region"]).add_auth(request)
        return self.graphql(query, variables, dict(request.headers.items()))

    def data(self, query: str, variables: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Any:
        """The data of an operation that has no errors."""
        document = self.graphql(query, variables, headers)
        assert "errors" not in document, document["errors"]
        return document["data"]

    def queue_url(self, queue: str) -> str:
        url: str = self.boto3("sqs").get_queue_url(QueueName=f"headwater-{queue}")["QueueUrl"]
        return url

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """The bodies waiting in a queue of the template."""
        sqs, url = self.boto3("sqs"), self.queue_url(queue)
        bodies: list[dict[str, Any]] = []
        # Seen messages stay hidden while the rest is read, then all of them come back.
        handles: list[str] = []
        while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60).get(
            "Messages"
        ):
            bodies += [json.loads(one["Body"]) for one in received]
            handles += [one["ReceiptHandle"] for one in received]
        for handle in handles:
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
        return bodies


class Device:
    """A paho client: on the plain port, and with a certificate of its own on a deployed stack."""

    def __init__(self, product: Product, client_id: str) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self.received: list[tuple[str, Any]] = []
        self.on_received = threading.Event()
        self.client.on_message = self._on_message
        self._connected = threading.Event()
        self.client.on_connect = lambda *_: self._connected.set()
        product.connect(self.client, client_id)
        self.client.loop_start()
        assert self._connected.wait(10 * PATIENCE), "no CONNACK"

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        self.received.append((message.topic, json.loads(message.payload)))
        self.on_received.set()

    def publish(self, topic: str, payload: Any, qos: int = 1) -> None:
        """Publish and wait for the PUBACK."""
        data = payload if isinstance(payload, (bytes, str)) else json.dumps(payload)
        self.client.publish(topic, data, qos=qos).wait_for_publish(10 * PATIENCE)

    def subscribe(self, topic_filter: str) -> None:
        subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.subscribe(topic_filter, qos=1)
        assert subscribed.wait(10 * PATIENCE), "no SUBACK"

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def eventually(condition: Any, timeout_s: float = 15.0, every_s: float = 0.05) -> Any:
    """Ask until the answer is truthy; that answer."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while True:
        found = condition()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(every_s)


def run_cli(
    *arguments: str, env: dict[str, str] | None = None, timeout_s: float = 60
) -> "subprocess.CompletedProcess[str]":
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "headwater", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, **(env or {})},
    )


def telemetry(ts: int, seq: int, **readings: Any) -> dict[str, Any]:
    return {"ts": ts, "seq": seq, **readings}


def now_ms() -> int:
    return time.time_ns() // 1_000_000
