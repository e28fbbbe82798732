"""A role's calls of the `iot` API are held to its policy, and botocore understands the refusal."""

import datetime
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.parsers import create_parser
from botocore.session import Session

from headwater.deploy.iot.api import IotApi
from headwater.deploy.iot.operations import permissions
from headwater.deploy.iot.registry import DeviceRegistry
from headwater.deploy.roles import Roles
from headwater.server.aws.api import AwsApi
from headwater.server.aws.permissions import Account
from headwater.server.http.tls import CertificateAuthority
from headwater.storage.store import Store
from headwater.values.http import HttpRequest

NOW = datetime.datetime.now(datetime.UTC)


class Caller:
    """Calls the endpoint with a role's key."""

    def __init__(self, store: Store, directory: Path, *statements: dict[str, Any]) -> None:
        account = Account("us-east-1", "123456789012")
        registry = DeviceRegistry(
            store,
            account,
            lambda: CertificateAuthority(directory, NOW),
            clock=NOW.timestamp,
            new_id=lambda: "id",
        )
        roles = Roles("123456789012")
        roles.add_role(
            "r", {"Policies": [{"PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)}}]}
        )
        key = roles.issue_key("r")
        self._credentials = Credentials(key.access_key_id, key.secret)
        self._api = AwsApi(
            [],
            region="us-east-1",
            account_id="123456789012",
            find_secret=roles.find_secret,
            authorize=roles.authorize,
            clock=NOW.timestamp,
            rest_services={"iot": IotApi(registry, "localhost").handle},
            rest_permissions={"iot": permissions},
        )

    async def call(self, operation: str, method: str, path: str) -> dict[str, Any]:
        """The answer as boto3 parses it."""
        signed = AWSRequest(method, f"http://localhost{path}", headers={"host": "localhost"})
        SigV4Auth(self._credentials, "iot", "us-east-1").add_auth(signed)
        headers = tuple((name.lower(), value) for name, value in signed.headers.items())
        sent = HttpRequest(method, urlsplit(path).path, urlsplit(path).query, headers, b"", "192.0.2.1")
        answer = await self._api.handle(sent)
        shape = Session().get_service_model("iot").operation_model(operation).output_shape
        received = {"status_code": answer.status, "headers": dict(answer.headers), "body": answer.body}
        parsed: dict[str, Any] = create_parser("rest-json").parse(received, shape)
        return parsed


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    store = Store.open(None)
    things = "arn:aws:iot:us-east-1:123456789012:thing/own-*"
    yield Caller(
        store,
        tmp_path,
        {"Effect": "Allow", "Action": "iot:CreateThing", "Resource": things},
        {"Effect": "Allow", "Action": "iot:DescribeEndpoint", "Resource": "*"},
    )
    await store.close()


async def test_what_the_policy_allows_is_done(caller: Caller) -> None:
    made = await caller.call("CreateThing", "POST", "/things/own-1")
    endpoint = await caller.call("DescribeEndpoint", "GET", "/endpoint")

    assert made["thingName"] == "own-1"
    assert endpoint["endpointAddress"] == "localhost"


@pytest.mark.parametrize(
    ("operation", "method", "path"), [("CreateThing", "POST", "/things/other"), ("ListThings", "GET", "/things")]
)
async def test_the_rest_is_denied_as_the_service_spells_it(
    caller: Caller, operation: str, method: str, path: str
) -> None:
    denied = await caller.call(operation, method, path)

    assert denied["Error"]["Code"] == "AccessDeniedException"
    assert f"is not authorized to perform: iot:{operation}" in denied["Error"]["Message"]
    assert denied["ResponseMetadata"]["HTTPStatusCode"] == 403
