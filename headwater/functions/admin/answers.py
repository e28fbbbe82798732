"""What the parts of the Lambda API's functions share: the service's errors, checks of members, and pages of lists."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.errors import ServiceError

_USER = {"Type": "User"}
_DEFAULT_PAGE = 50
# More digits than any number here has; int() refuses a few thousand.
_MAX_DIGITS = 19


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message, status=400, fields=_USER)


def not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message, status=404, fields=_USER)


def conflict(message: str) -> ServiceError:
    return ServiceError("ResourceConflictException", message, status=409, fields=_USER)


def constraint(member: str, value: Any, rule: str) -> ServiceError:
    return ServiceError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {rule}",
    )


def required(request: Mapping[str, Any], name: str) -> Any:
    """A member that must be there and not empty."""
    value = request.get(name)
    if value:
        return value
    member = name[0].lower() + name[1:]
    raise ServiceError(
        "ValidationException",
        f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null",
    )


def checked(request: Mapping[str, Any], name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
    """A member of the JSON type that the API has it in; `default` where it is null or absent.

    Raises: ServiceError SerializationException, which is how the service meets other JSON.
    """
    value = request.get(name)
    if value is None:
        return default
    is_truth = isinstance(value, bool)
    if not isinstance(value, kind) or (is_truth and kind is not bool):
        raise ServiceError("SerializationException", f"{name} has the wrong type: {type(value).__name__}")
    return value


def between(request: Mapping[str, Any], name: str, default: int | None, least: int, most: int) -> int | None:
    """A whole number within its bounds."""
    value: int | None = checked(request, name, int, default)
    if value is None:
        return None
    member = name[0].lower() + name[1:]
    if value < least:
        raise constraint(member, value, f"have value greater than or equal to {least}")
    if value > most:
        raise constraint(member, value, f"have value less than or equal to {most}")
    return value


def number_of(text: str) -> int | None:
    """The number that digits write, None for other text; of a longer one a part that is too large for anything, too."""
    return int(text[:_MAX_DIGITS]) if text.isdecimal() else None


def check_revision(given: str | None, current: str, *, call: str = "GetFunction/GetAlias") -> None:
    """Raises: ServiceError when the caller has seen an older state than the current."""
    if given and given != current:
        raise ServiceError(
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the "
            f"{call} API to retrieve the latest Revision Id",
            status=412,
            fields=_USER,
        )


def page(name: str, entries: Sequence[Any], query: Mapping[str, str], *, most: int = 10_000) -> dict[str, Any]:
    """The part of a list that `Marker` and `MaxItems` ask for, with the marker of the next."""
    limit_text, first = query.get("MaxItems", ""), number_of(query.get("Marker") or "0")
    limit = number_of(limit_text) if limit_text else _DEFAULT_PAGE
    if limit is None or not 1 <= limit <= most:
        raise constraint("maxItems", limit_text, f"have value between 1 and {most}")
    if first is None or first > len(entries):
        raise invalid("Invalid marker.")
    end = first + limit
    answer: dict[str, Any] = {name: list(entries[first:end])}
    if end < len(entries):
        answer["NextMarker"] = str(end)
    return answer
