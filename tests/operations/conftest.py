"""moto's server for the whole run, emptied for each test, and the second implementation on it."""

import os
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.strawberry_api.backend import Backend
from tests.strawberry_api.moto_aws import REGION, create_queue, create_table

ACCOUNT = "123456789012"


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def backend(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """The API on an empty table; the handlers' environment is what the template would give them."""
    import requests

    requests.post(f"{moto_url}/moto-api/reset", timeout=10).close()
    variables = {
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "TABLE_NAME": "headwater",
        "AUTO_REGISTER": "true",
        "PACK_HISTORY": "false",
        "RETENTION_DAYS": "30",
        "GRAPHQL_URL": "http://127.0.0.1:9/graphql",
        "DEVICE_POLICY_NAME": "device",
        "COMMAND_TIMEOUT_ARN": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:timeout",
        "SCHEDULE_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/schedule",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ERASURE_QUEUE_URL", create_queue("erasure"))
    monkeypatch.setenv("AGGREGATE_RETENTION_DAYS", "400")
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", create_queue("dead-letters"))
    assert os.environ["TABLE_NAME"] == create_table()
    boto3.client("iot", region_name=REGION).create_policy(policyName="device", policyDocument="{}")
    return Backend("headwater")
