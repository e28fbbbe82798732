"""Every error Headwater raises, as one tree.

HeadwaterError
  TemplateError        the developer: stop at start, exit code 2, name the logical id and the property
  RemoteProtocolError  the peer broke a protocol: answer as the specification says, close, log at INFO
  LocalProtocolError   our own call in a wrong state: a bug, never swallowed
  RequestError         the API's caller: becomes errors[] with AppSync's errorType
  DataSourceError      a resolver's backend: errors[] with path, null at that field
  ServiceError         an AWS API error: code spelled as AWS does, HTTP status beside it
"""

from collections.abc import Mapping
from typing import Any


class HeadwaterError(Exception):
    """The root: catch it only at a process boundary."""


class TemplateError(HeadwaterError):
    """The template asks for something that is wrong or does not work here.

    `logical_id` and `property_path` name the place; both may be empty for a fault of the whole file.
    """

    def __init__(self, message: str, *, logical_id: str = "", property_path: str = "") -> None:
        place = ".".join(part for part in (logical_id, property_path) if part)
        super().__init__(f"{place}: {message}" if place else message)
        self.message = message
        self.logical_id = logical_id
        self.property_path = property_path


class RemoteProtocolError(HeadwaterError):
    """The peer sent bytes its protocol does not allow."""


class LocalProtocolError(HeadwaterError):
    """Our own code drove a protocol object in a state that forbids the call."""


class RequestError(HeadwaterError):
    """One entry of a GraphQL `errors` list, raised by the caller's fault or a resolver's `util.error`."""

    def __init__(
        self,
        message: str,
        error_type: str | None = None,
        *,
        data: Any = None,
        error_info: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_type = error_type
        self.data = data
        self.error_info = error_info


class DataSourceError(RequestError):
    """A data source refused or failed; becomes `ctx.error` first and a GraphQL error if the handler lets it."""


class ServiceError(HeadwaterError):
    """The error document of an AWS API, e.g. `ResourceNotFoundException`.

    `fields` holds the members the document has beside its message (`CancellationReasons`, `Item`).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = dict(fields or {})
