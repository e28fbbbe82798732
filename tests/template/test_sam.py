"""The SAM CLI on the template, as `make deploy` uses it: validate, build, package."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from infra import stage
from tests.template.deploy_tools import deploy_tool
from tests.template.template_file import ROOT, load_template, resources_of_type

pytestmark = pytest.mark.timeout(900)
FUNCTIONS = resources_of_type(load_template(), "AWS::Serverless::Function")


@pytest.fixture(scope="module")
def sam() -> Path:
    return deploy_tool("sam")


@pytest.fixture(scope="module")
def aws_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def run_sam(sam: Path, *arguments: str, endpoint: str = "http://127.0.0.1:9") -> str:
    environment = {
        **os.environ,
        "SAM_CLI_TELEMETRY": "0",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        # `make build-…` runs with this interpreter, whatever the machine calls python3.
        "PYTHON": sys.executable,
    }
    done = subprocess.run(
        [str(sam), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(sam: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam") / "build"
    run_sam(sam, "build", "--config-env", "dev", "--build-dir", str(folder))
    return folder


def test_the_template_is_valid_and_lints(sam: Path) -> None:
    assert "is a valid SAM Template" in run_sam(sam, "validate", "--lint", "--template", "infra/template.yaml")


def test_sam_builds_what_make_package_zips(built: Path, tmp_path: Path) -> None:
    for logical_id in FUNCTIONS:
        stage.stage(logical_id, tmp_path / logical_id, architecture="arm64")

        assert digests(built / logical_id) == digests(tmp_path / logical_id)


def test_packaging_uploads_functions_schema_and_resolver_code(sam: Path, built: Path, aws_url: str) -> None:
    credentials = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    s3 = boto3.client("s3", endpoint_url=aws_url, region_name="us-east-1", **credentials)
    s3.create_bucket(Bucket="packages")
    packaged = built.parent / "packaged.yaml"
    arguments = ("package", "--s3-bucket", "packages", "--template-file", str(built / "template.yaml"))

    run_sam(sam, *arguments, "--output-template-file", str(packaged), endpoint=aws_url)

    resources = yaml.safe_load(packaged.read_text(encoding="utf-8"))["Resources"]
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        for location in ("CodeUri", "CodeS3Location", "DefinitionS3Location"):
            assert properties.get(location, "s3://packages/").startswith("s3://packages/"), name
    key = resources["QueryGetDeviceResolver"]["Properties"]["CodeS3Location"].removeprefix("s3://packages/")
    uploaded = s3.get_object(Bucket="packages", Key=key)["Body"].read()
    assert uploaded == (ROOT / "resolvers" / "Query.getDevice.js").read_bytes()


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
