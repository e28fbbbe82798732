"""What callers need to know of an AWS service: one port, and the error it raises."""

from collections.abc import Mapping
from typing import Any, Protocol


class AwsError(Exception):
    """AWS refused a call: `code` as it spells it, `document` its whole answer."""

    def __init__(self, code: str, message: str, *, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status
        self.document = document


class Service(Protocol):
    """A service with a JSON protocol (DynamoDB, SQS); requests and answers as in its API reference, raises AwsError."""

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]: ...


class RestService(Protocol):
    """A service with a REST protocol (IoT data plane, EventBridge Scheduler); `path` is percent-encoded."""

    def post(self, path: str, body: bytes, *, query: str = "") -> dict[str, Any]: ...


class ResourceService(RestService, Protocol):
    """A REST service whose resources are read and deleted too (shadows); `query` has its names in order."""

    def get(self, path: str, *, query: str = "") -> dict[str, Any]: ...

    def delete(self, path: str, *, query: str = "") -> dict[str, Any]: ...
