"""The service's error documents, one constructor for each kind this package raises."""

from collections.abc import Mapping
from typing import Any

from headwater.errors import ServiceError

INVALID = "One or more parameter values were invalid: "
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
