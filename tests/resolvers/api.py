"""The functions' logic on one table, as tests of resolvers call it."""

from typing import Any

import boto3

from resolvers.register_device import register
from resolvers.remove_device import remove
from resolvers.send_command import Backend, send
from streams import items
from streams.aws.calls import AwsError
from streams.items import plain_item
from tests.strawberry_api.callers import person
from tests.strawberry_api.moto_aws import REGION, BotoService, create_table

NOW_MS = 1_732_489_762_123
ADMIN = person("acme", "admin").identity


class Rest:
    """Notes what is posted; refuses when it is told to."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.posted: list[tuple[str, bytes, str]] = []

    def post(self, path: str, body: bytes, *, query: str = "") -> dict[str, Any]:
        if self.refuses:
            raise AwsError("ForbiddenException", "no", status=403, document={})
        self.posted.append((path, body, query))
        return {}


class Api:
    """The functions' logic on one table."""

    def __init__(self) -> None:
        self.table_name = create_table()
        self.table = BotoService(boto3.client("dynamodb", region_name=REGION))
        self.scheduler, self.iot_data = Rest(), Rest()
        self.revoked: list[str] = []

    def register(self, identity: Any = ADMIN, issue: Any = None, **given: Any) -> dict[str, Any]:
        return register(
            {"deviceId": "dev-1", **given},
            identity,
            table=self.table,
            table_name=self.table_name,
            now_ms=NOW_MS,
            retention_s=60,
            issue_certificate=issue,
        )

    def remove(self, identity: Any = ADMIN) -> dict[str, Any]:
        return remove(
            "dev-1",
            identity,
            table=self.table,
            table_name=self.table_name,
            now_ms=NOW_MS,
            retention_s=60,
            revoke_certificates=self.revoke,
            delete_shadows=lambda device_id: 0,
        )

    def revoke(self, device_id: str) -> int:
        self.revoked.append(device_id)
        return 0

    def send(self, identity: Any = ADMIN, **given: Any) -> dict[str, Any]:
        backend = Backend(self.table, self.iot_data, self.scheduler, self.table_name, "arn:f", "arn:r", 86_400)
        given = {"deviceId": "dev-1", "name": "reboot", **given}
        return send(given, identity, backend, now_ms=NOW_MS, random_hex="ab")

    def item(self, key: items.Item) -> dict[str, Any]:
        return plain_item(self.table.call("GetItem", {"TableName": self.table_name, "Key": key}).get("Item", {}))
