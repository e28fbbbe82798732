"""Starting: what is written when it is ready, what its options do, and what keeps it from starting."""

import json
import os
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import ROOT, Product, run_cli

READY_MEMBERS = (
    "graphqlUrl realtimeUrl apiKey mqttHost mqttPort mqttTlsPort awsEndpointUrl region accountId accessKeyId "
    "secretAccessKey caFile consoleUrl pid"
).split()
FREE_PORTS = ("--port", "0", "--mqtt-port", "0", "--mqtt-tls-port", "0")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def refused(*arguments: str) -> str:
    """What a start that is the user's mistake says, without `headwater: `."""
    done = run_cli("up", *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("headwater: ")


def test_the_ready_file_says_how_to_reach_everything(product: Product) -> None:
    ready = product.ready
    run_file = product.data_dir / "run.json"

    assert list(ready) == READY_MEMBERS
    assert json.loads(run_file.read_text()) == ready
    assert stat.S_IMODE(run_file.stat().st_mode) == 0o600
    assert ready["graphqlUrl"] == ready["awsEndpointUrl"] + "/graphql"
    assert ready["realtimeUrl"] == ready["graphqlUrl"].replace("http:", "ws:") + "/realtime"
    assert (ready["region"], ready["accountId"]) == ("us-east-1", "123456789012")
    assert product.process is not None
    assert ready["pid"] == product.process.pid
    assert Path(ready["caFile"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
    for name in ("mqttPort", "mqttTlsPort"):
        socket.create_connection((ready["mqttHost"], ready[name]), timeout=5).close()


def test_only_the_owner_reads_secrets_of_the_data_directory(product: Product) -> None:
    for path in (product.data_dir / "secret", *(product.data_dir / "pools").iterdir(), product.data_dir / "store"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    # Without the x bit only root enters a folder.
    assert stat.S_IMODE((product.data_dir / "store").stat().st_mode) == 0o700


def test_a_second_instance_on_the_data_directory_is_refused(product: Product) -> None:
    said = refused(*FREE_PORTS, "--data-dir", str(product.data_dir))

    assert said == (
        f"data directory {product.data_dir} is in use by process {product.ready['pid']}; "
        "stop it or choose another --data-dir\n"
    )
    assert product.data("{ listDevices { items { deviceId } } }")


@pytest.mark.parametrize("option", ["--port", "--mqtt-port", "--mqtt-tls-port"])
def test_a_port_in_use_names_the_cure(option: str, taken_port: int, tmp_path: Path) -> None:
    ports = dict(zip(FREE_PORTS[::2], FREE_PORTS[1::2], strict=True)) | {option: str(taken_port)}

    said = refused(*[part for pair in ports.items() for part in pair], "--data-dir", str(tmp_path / "data"))

    assert said.startswith(f"port {taken_port} of 127.0.0.1 is in use")
    assert f"{option} 0 picks a free one" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--port", "65536"), "--port"),
        (("--port", "-1"), "--port"),
        (("--mqtt-port", "many"), "--mqtt-port"),
        (("--devices", "-1"), "--devices"),
        (("--sync", "maybe"), "'maybe' is not one of normal, full"),
        (("--quotas", "none"), "'none' is not one of observe, enforce"),
        (("--param", "Stage"), "'Stage' is not Name=Value"),
        (("--frobnicate",), "--frobnicate"),
        (("--allow-host", "https://example.com/"), "'https://example.com/' is not a host"),
        (("--allow-host", "example.com:443"), "'example.com:443' is not a host"),
        (("--allow-host", ""), "'' is not a host"),
        (("--debug-function", "F=x"), "'F=x' is not NAME or NAME=PORT"),
    ],
)
def test_a_bad_option_is_named(arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--param", "Nope=1"), "the template has no parameter Nope; it has AggregateRetentionDays, "),
        (("--debug-function", "Nope"), "--debug-function Nope: the template has no such function; it has AggregateF"),
        (("--param", "Stage=qa"), "Parameters.Stage: 'qa' is not one of dev, prod"),
        (("--param", "ShardCount=few"), "Parameters.ShardCount: 'few' is not a number"),
        (("--host", "192.0.2.1"), "cannot listen on port 0 of 192.0.2.1 (--host, --port): "),
        (("--host", "no.such.host.invalid"), "cannot listen on port 0 of no.such.host.invalid (--host, --port): "),
        (("--ready-file", "/proc/absent/ready.json"), "cannot write --ready-file /proc/absent/ready.json: "),
    ],
)
def test_a_value_that_does_not_work_is_told_with_what_is_wrong(
    arguments: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    assert refused(*FREE_PORTS, "--data-dir", str(tmp_path / "data"), *arguments).startswith(says)


def test_without_a_template_the_option_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "up"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 2
    assert done.stderr == (
        "headwater: cannot read the template infra/template.yaml: No such file or directory; "
        "give yours with --template\n"
    )


@pytest.mark.parametrize("data_dir", ["/proc/absent", str(ROOT / "pyproject.toml")])
def test_a_data_directory_that_cannot_be_made_is_refused(data_dir: str) -> None:
    assert refused(*FREE_PORTS, "--data-dir", data_dir).startswith(f"data directory {data_dir} cannot be created: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_data_directory_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    said = refused(*FREE_PORTS, "--data-dir", str(tmp_path))

    tmp_path.chmod(0o700)
    assert said.startswith(f"data directory {tmp_path} cannot be written: ")


def test_memory_keeps_nothing_and_the_api_key_is_the_given_one(tmp_path: Path) -> None:
    before = set(Path("/dev/shm").glob("headwater-*")) if Path("/dev/shm").is_dir() else set()
    product = Product(tmp_path / "data", ("--memory", "--api-key", "da2-mine", "--param", "RetentionDays=7")).start()

    listed = product.data("{ listDevices { items { deviceId } } }", headers={"x-api-key": "da2-mine"})
    with pytest.raises(urllib.error.HTTPError) as other_key:
        product.graphql("{ __typename }", headers={"x-api-key": "da2-yours"})
    other_key.value.close()
    ca_file = Path(product.ready["caFile"])
    exit_code = product.terminate()

    assert listed == {"listDevices": {"items": []}}
    assert other_key.value.code == 401
    assert product.ready["apiKey"] == "da2-mine"
    assert exit_code == 0
    assert not (tmp_path / "data").exists()
    assert not ca_file.exists()
    assert ca_file.parents[1] not in before


def test_other_machines_get_no_plain_mqtt(tmp_path: Path) -> None:
    product = Product(tmp_path / "data", ("--host", "0.0.0.0")).start()

    ready, exit_code = product.ready, product.terminate()

    assert ready["mqttPort"] is None
    assert isinstance(ready["mqttTlsPort"], int)
    assert ready["graphqlUrl"].startswith("http://127.0.0.1:")
    assert exit_code == 0


def test_a_template_without_an_api_has_no_graphql_url(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {Queue: {Type: AWS::SQS::Queue}}\n")
    product = Product(tmp_path / "data", template=template).start()

    queues = product.boto3("sqs").list_queues()["QueueUrls"]
    exit_code = product.terminate()

    assert [product.ready[name] for name in ("graphqlUrl", "realtimeUrl", "apiKey")] == [None, None, None]
    assert [url.rsplit("/", 1)[1] for url in queues] == ["headwater-Queue"]
    assert exit_code == 0


INLINE = """
Resources:
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Statement: []}}}
  Inline:
    Type: AWS::Lambda::Function
    Properties:
      {Runtime: python3.13, Handler: index.handler, Role: !GetAtt Role.Arn,
       Code: {ZipFile: 'handler = lambda event, context: event["n"] + 1'}}
"""


def test_code_in_a_relative_data_directory_is_found_by_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(INLINE)
    monkeypatch.chdir(ROOT)
    product = Product(Path(os.path.relpath(tmp_path / "data")), template=template).start()

    answer = product.boto3("lambda").invoke(FunctionName="headwater-Inline", Payload=b'{"n": 1}')
    exit_code = product.terminate()

    assert answer["Payload"].read() == b"2"
    assert exit_code == 0


def test_a_stale_ready_file_is_gone_while_a_start_is_refused(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    ready_file.write_text("{}")

    refused("--template", str(tmp_path / "absent.yaml"), "--ready-file", str(ready_file))

    assert not ready_file.exists()


def test_the_health_of_a_running_instance_needs_no_key(product: Product) -> None:
    with urllib.request.urlopen(f"{product.ready['awsEndpointUrl']}/_headwater/health") as answer:
        document: dict[str, Any] = json.loads(answer.read())

    assert document["status"] == "ready"
