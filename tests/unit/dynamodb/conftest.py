import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import ServiceError
from headwater.storage.dynamodb_service import DynamoDbService
from headwater.storage.dynamodb_streams_service import DynamoDbStreamsService
from headwater.storage.store import Store

T0 = 1_700_000_000.0


class Service:
    """DynamoDB on a real store, called synchronously, with a clock that the test moves."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.now = T0
        self._loop = loop
        self.store = Store.open(directory)
        common: dict[str, Any] = {"region": "us-east-1", "account_id": "123456789012", "clock": lambda: self.now}
        self.dynamodb = DynamoDbService(self.store, **common)
        self.streams = DynamoDbStreamsService(self.store, **common)

    def __call__(self, operation: str, **request: Any) -> Any:
        return self._loop.run_until_complete(self.dynamodb.call(operation, request))

    def stream(self, operation: str, **request: Any) -> Any:
        return self._loop.run_until_complete(self.streams.call(operation, request))

    def sweep(self) -> int:
        return self._loop.run_until_complete(self.dynamodb.sweep())

    def error(self, operation: str, **request: Any) -> ServiceError:
        """The error a call ends with."""
        with pytest.raises(ServiceError) as caught:
            self(operation, **request)
        return caught.value

    def message(self, operation: str, **request: Any) -> str:
        """The message of the ValidationException a call ends with."""
        error = self.error(operation, **request)
        assert error.code == "ValidationException", error
        return error.message

    def create(self, name: str = "tab", keys: str = "PK:S SK:S", **more: Any) -> Any:
        """A table by `name:type` of its keys; further `AttributeDefinitions` are added."""
        parts = [part.split(":") for part in keys.split()]
        definitions = [{"AttributeName": attribute, "AttributeType": kind} for attribute, kind in parts]
        definitions += more.pop("AttributeDefinitions", [])
        schema = [
            {"AttributeName": attribute, "KeyType": role}
            for (attribute, _), role in zip(parts, ("HASH", "RANGE"), strict=False)
        ]
        return self(
            "CreateTable",
            TableName=name,
            KeySchema=schema,
            AttributeDefinitions=definitions,
            BillingMode="PAY_PER_REQUEST",
            **more,
        )

    def close(self) -> None:
        self._loop.run_until_complete(self.store.close())


@pytest.fixture
def dynamodb(tmp_path: Path) -> Iterator[Service]:
    loop = asyncio.new_event_loop()
    service = Service(tmp_path / "data", loop)
    yield service
    service.close()
    loop.close()


@pytest.fixture
def table(dynamodb: Service) -> Service:
    """The service with a table `tab` that has PK and SK and a stream of both images."""
    dynamodb.create(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    return dynamodb
