"""The service's error documents, one constructor for each kind this package raises."""

from collections.abc import Mapping
from typing import Any

from headwater.errors import ServiceError

# What the service puts before a message of its newer request checks, whatever their number.
_DETECTED = "1 validation error detected: "
INVALID = "One or more parameter values were invalid: "
# Of empty key values, which are refused for the whole request even inside a transaction.
NOT_VALID = "One or more parameter values are not valid. "
NO_SCHEMA_MATCH = "The provided key element does not match the schema"


def validation(message: str) -> ServiceError:
    """The request is wrong; `message` is spelled as the service spells it."""
    return ServiceError("ValidationException", message)


def invalid(message: str) -> ServiceError:
    """A ValidationException with the service's commonest opening."""
    return ServiceError("ValidationException", INVALID + message)


def serialization(message: str) -> ServiceError:
    """A member of the request has the wrong JSON type."""
    return ServiceError("SerializationException", message)


def table_not_found() -> ServiceError:
    """What item operations answer; the table's name is not in the message."""
    return ServiceError("ResourceNotFoundException", "Requested resource not found")


def table_not_found_by_name(name: str) -> ServiceError:
    """What table operations answer."""
    return ServiceError("ResourceNotFoundException", f"Requested resource not found: Table: {name} not found")


def condition_failed(item: Mapping[str, Any] | None = None) -> ServiceError:
    """The condition was false; `item` is what the caller asked to see of the old state."""
    fields = {"Item": item} if item else None
    return ServiceError("ConditionalCheckFailedException", "The conditional request failed", fields=fields)


class RequestFault(ServiceError):
    """A ValidationException that the service words in two ways; `unopened` is the newer one without its opening.

    PutItem, UpdateItem and DeleteItem, and Query for its Select, check requests with newer code than the other
    operations do: it puts the number of errors before the message, for most kinds of faults by now.
    Source: moto's tests marked `aws_verified`, captures of paritysuite/dynamodb-conformance of September and October
    2026. Older recordings (dynalite's, Alternator's) have the message alone.
    """

    def __init__(self, message: str, current: str = "") -> None:
        super().__init__("ValidationException", message)
        self.unopened = current or message

    @property
    def current(self) -> str:
        """The newer message."""
        return _DETECTED + self.unopened


def in_current_words(error: ServiceError) -> ServiceError:
    """The fault as the operations with the newer request checks report it."""
    return validation(error.current) if isinstance(error, RequestFault) else error
